{{/*
What the schema cannot see: the relations between values. Every problem is collected, with its path in the values, what is wrong and what
to write instead; one message names them all.
Call: (dict "root" $ "problems" (dict)), after agent-identities.resolve has filled .identities
*/}}
{{- define "agent-identities.validate" -}}
{{- $root := .root }}
{{- $problems := .problems }}
{{- $values := $root.Values }}
{{- $roles := $root.identities.roles }}
{{- $known := keys $roles | sortAlpha | join ", " }}

{{- if eq $values.proxy.name "default" }}
  {{- include "agent-identities.problem" (list $problems "proxy.name" "is \"default\", the ServiceAccount that every pod without one of its own runs as. Write: name: agent-proxy") }}
{{- end }}
{{- include "agent-identities.validateLabels" (list $problems "proxy.labels" $values.proxy.labels) }}
{{- if hasKey $values.tiers "proxy" }}
  {{- include "agent-identities.problem" (list $problems "tiers.proxy" "is the name of the central role's tier. Move its rules to proxy.rules, or give this tier another name.") }}
{{- end }}
{{- range $tier, $role := $roles }}
  {{- if and (ne $tier "proxy") (eq $role $roles.proxy) }}
    {{- include "agent-identities.problem" (list $problems (printf "tiers.%s" $tier) (printf "would be the Role %q, which is the central role's. Give this tier another name." $role)) }}
  {{- end }}
{{- end }}

{{- range $entry, $agent := $values.agents }}
  {{- if kindIs "invalid" $agent }}{{ continue }}{{ end }}
  {{- $path := printf "agents.%s" $entry }}
  {{- range $index, $tier := $agent.tiers }}
    {{- if not (hasKey $roles $tier) }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.tiers[%d]" $path $index) (printf "there is no tier %q. Known tiers: %s. Use one of them, or define it:\n      tiers:\n        %s:\n          rules: [{apiGroups: [\"\"], resources: [pods], verbs: [get, list, watch]}]" $tier $known $tier)) }}
    {{- end }}
  {{- end }}
  {{- with $agent.token }}
    {{- if eq (int .expirationSeconds) 3607 }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.token.expirationSeconds" $path) "is 3607, the one lifetime that the API server extends to a year. Write: expirationSeconds: 3600") }}
    {{- end }}
    {{- if and (eq (.mode | default "projected") "automount") (or .expirationSeconds .audience) }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.token" $path) "mode automount takes neither expirationSeconds nor audience: Kubernetes mounts its own token. Remove them, or write: mode: projected") }}
    {{- end }}
  {{- end }}
  {{- include "agent-identities.validateLabels" (list $problems (printf "%s.labels" $path) $agent.labels) }}
  {{- with $agent.workload }}
    {{- include "agent-identities.validateLabels" (list $problems (printf "%s.workload.podLabels" $path) .podLabels) }}
    {{- range $index, $volume := .volumes }}
      {{- if eq $volume.name "agent-token" }}
        {{- include "agent-identities.problem" (list $problems (printf "%s.workload.volumes[%d].name" $path $index) "\"agent-token\" is the volume of the agent's own token. Give this volume another name.") }}
      {{- end }}
    {{- end }}
  {{- end }}
{{- end }}

{{- range $name, $identity := $root.identities.agents }}
  {{- $path := printf "agents.%s" $identity.entry }}
  {{- if eq $name "default" }}
    {{- include "agent-identities.problem" (list $problems $path "\"default\" is the ServiceAccount that every pod without one of its own runs as: no agent may be it. Choose another name.") }}
  {{- end }}
  {{- if eq $name $values.proxy.name }}
    {{- include "agent-identities.problem" (list $problems $path (printf "expands to the ServiceAccount %q, which is the proxy's. Rename the agent, or set proxy.name." $name)) }}
  {{- end }}
  {{- if gt (len $name) 63 }}
    {{- include "agent-identities.problem" (list $problems $path (printf "expands to the ServiceAccount %q of %d characters; a label holds 63. Shorten the name." $name (len $name))) }}
  {{- end }}
{{- end }}

{{- with $problems.list }}
  {{- $shown := min 20 (len .) | int }}
  {{- $text := printf "\n\n%d problem%s in the values:\n" (len .) (ternary "" "s" (eq (len .) 1)) }}
  {{- range slice . 0 $shown }}
    {{- $text = printf "%s\n  %s: %s" $text (index . 0) (index . 1) }}
  {{- end }}
  {{- if gt (len .) $shown }}
    {{- $text = printf "%s\n  ... and %d more" $text (sub (len .) $shown) }}
  {{- end }}
  {{- fail (print $text "\n") }}
{{- end }}
{{- end }}

{{/* Notes one problem. Call: (list problems path text) */}}
{{- define "agent-identities.problem" -}}
{{- $problems := index . 0 }}
{{- $_ := set $problems "list" (append ($problems.list | default list) (rest .)) }}
{{- end }}

{{/* Refuses labels that the chart sets itself: twice the same key is no valid object. Call: (list problems path labels) */}}
{{- define "agent-identities.validateLabels" -}}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/managed-by" "helm.sh/chart" }}
{{- range $label, $value := index . 2 }}
  {{- if or (has $label $own) (hasPrefix "agent-identities/" $label) }}
    {{- include "agent-identities.problem" (list (index $ 0) (index $ 1) (printf "%q is a label that the chart sets itself. Choose another key." $label)) }}
  {{- end }}
{{- end }}
{{- end }}
