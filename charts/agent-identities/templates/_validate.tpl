{{/*
What the schema cannot see: the relations between values. Every problem is collected, with its path in the values, what is wrong and what
to write instead; one message names them all.
Call: (dict "root" $ "problems" (dict)), after agent-identities.resolve has filled .identities
*/}}
{{- define "agent-identities.validate" -}}
{{- $root := .root }}
{{- $problems := .problems }}
{{- $values := $root.Values }}
{{- $identities := $root.identities }}

{{- include "agent-identities.validateText" (list $problems "" $values) }}
{{- include "agent-identities.validateLabels" (list $problems "extraLabels" $values.extraLabels dict) }}
{{- if eq $values.proxy.name "default" }}
  {{- include "agent-identities.problem" (list $problems "proxy.name" "is \"default\", the ServiceAccount that every pod without one of its own runs as. Write: name: agent-proxy") }}
{{- end }}
{{- include "agent-identities.validateLabels" (list $problems "proxy.labels" $values.proxy.labels $values.extraLabels) }}
{{- include "agent-identities.validateKeys" (list $problems "proxy.annotations" $values.proxy.annotations) }}
{{- if contains "{agent}" (toJson $values.proxy.rules) }}
  {{- include "agent-identities.problem" (list $problems "proxy.rules" "has {agent}, and the central role is one for all agents. Make it a tier:\n      tiers:\n        own:\n          rules: [{apiGroups: [\"\"], resources: [configmaps], resourceNames: [\"{agent}-state\"], verbs: [get]}]") }}
{{- end }}
{{- if and $identities.proxied (eq $values.proxy.impersonation "constrained") (semverCompare "<1.35.0-0" $root.Capabilities.KubeVersion.Version) }}
  {{- include "agent-identities.problem" (list $problems "proxy.impersonation" (printf "is constrained, and Kubernetes %s has no constrained impersonation, which came with 1.36: the proxy could act as nobody. Write: impersonation: auto" $root.Capabilities.KubeVersion.Version)) }}
{{- end }}
{{- include "agent-identities.validateToken" (list $problems "proxy.token" $values.proxy.token) }}
{{- include "agent-identities.validateWorkload" (list $problems "proxy.workload" $values.proxy.workload) }}
{{- $roles := dict }}
{{- range $name, $tier := $identities.tiers }}
  {{- if ne $name "proxy" }}{{ include "agent-identities.validateTier" (list $problems $identities $tier) }}{{ end }}
  {{- /* Bindings are named after the role: two tiers with one would write the same binding. The central role has its own message. */}}
  {{- $role := printf "%s/%s" $tier.scope (dig "name" $tier.role ($tier.existingRole | default dict)) }}
  {{- if and (hasKey $roles $role) (or $tier.existingRole (ne $tier.role $identities.tiers.proxy.role)) }}
    {{- include "agent-identities.problem" (list $problems (printf "tiers.%s" $name) (printf "is the role %q, and so is the tier %q. Keep one of the two." (base $role) (get $roles $role))) }}
  {{- end }}
  {{- $_ := set $roles $role $name }}
{{- end }}
{{- include "agent-identities.validateRisks" (list $problems $root) }}
{{- include "agent-identities.validateNetwork" (list $problems $root) }}
{{- include "agent-identities.validateFairShare" (list $problems $values.priorityAndFairness) }}
{{- include "agent-identities.validateGuards" (list $problems $root) }}
{{- range $entry, $agent := $values.agents }}
  {{- if not $agent }}{{ continue }}{{ end }}
  {{- include "agent-identities.validateAgent" (list $problems $identities $entry $agent) }}
  {{- if $agent.labels }}{{ include "agent-identities.validateLabels" (list $problems (printf "agents.%s.labels" $entry) $agent.labels $values.extraLabels) }}{{ end }}
{{- end }}
{{- $everyone := $identities.agents }}
{{- if $identities.quarantined }}{{ $everyone = merge (dict) $identities.agents $identities.quarantined }}{{ end }}
{{- range $name, $identity := $everyone }}
  {{- if or (eq $name "default" $values.proxy.name) (gt (len $name) 63) }}
    {{- include "agent-identities.validateName" (list $problems (printf "agents.%s" $identity.entry) $name $values.proxy.name) }}
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

{{/*
Refuses characters that YAML cannot hold: Helm's toYaml prints nothing of a value that has one, and a NetworkPolicy without peers would open
all. Of U+0085 it makes a blank. Call: (list problems path value)
*/}}
{{- define "agent-identities.validateText" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $value := index . 2 }}
{{- if regexMatch "[\\x{7f}-\\x{9f}\\x{fffe}\\x{ffff}]" (toJson $value) }}
  {{- $before := len ($problems.list | default list) }}
  {{- $shown := toString $value }}
  {{- if kindIs "map" $value }}
    {{- range $key, $below := $value }}{{ include "agent-identities.validateText" (list $problems (trimPrefix "." (printf "%s.%s" $path $key)) $below) }}{{ end }}
    {{- $shown = keys $value | sortAlpha | join ", " }}
  {{- else if kindIs "slice" $value }}
    {{- range $index, $below := $value }}{{ include "agent-identities.validateText" (list $problems (printf "%s[%d]" $path $index) $below) }}{{ end }}
  {{- end }}
  {{- if eq $before (len ($problems.list | default list)) }}
    {{- include "agent-identities.problem" (list $problems $path (printf "holds a character that YAML cannot: %q. Take it out." $shown)) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Refuses keys that no label or annotation may have (k8s.io/apimachinery, pkg/api/validate/content). Call: (list problems path map) */}}
{{- define "agent-identities.validateKeys" -}}
{{- range $key, $value := index . 2 }}
  {{- if not (regexMatch "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" $key) }}
    {{- include "agent-identities.problem" (list (index $ 0) (index $ 1) (printf "%q is no key: letters, digits, '-', '_' and '.', 63 at most, after an optional DNS name and '/'. Write: example.com/team" $key)) }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
Refuses labels that the object has already, from the chart or from extraLabels: twice the same key is no valid object.
Call: (list problems path labels extraLabels)
*/}}
{{- define "agent-identities.validateLabels" -}}
{{- include "agent-identities.validateKeys" . }}
{{- $extra := index . 3 | default dict }}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/managed-by" "helm.sh/chart" }}
{{- range $label, $value := index . 2 }}
  {{- if hasKey $extra $label }}
    {{- include "agent-identities.problem" (list (index $ 0) (index $ 1) (printf "%q is a label of extraLabels, too: an object has it once. Remove one of the two." $label)) }}
  {{- else if or (has $label $own) (hasPrefix "agent-identities/" $label) }}
    {{- include "agent-identities.problem" (list (index $ 0) (index $ 1) (printf "%q is a label that the chart sets itself. Choose another key." $label)) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Call: (list problems identities tier) */}}
{{- define "agent-identities.validateTier" -}}
{{- $problems := index . 0 }}
{{- $identities := index . 1 }}
{{- $tier := index . 2 }}
{{- $path := printf "tiers.%s" $tier.name }}
{{- if eq $tier.role $identities.tiers.proxy.role }}
  {{- include "agent-identities.problem" (list $problems $path (printf "would be the Role %q, which is the central role's. Give this tier another name." $tier.role)) }}
{{- end }}
{{- if and $tier.rules $tier.existingRole }}
  {{- include "agent-identities.problem" (list $problems $path "has both rules and existingRole. Keep one: the chart writes the rules, or somebody else does.") }}
{{- end }}
{{- if not (or $tier.rules $tier.existingRole) }}
  {{- include "agent-identities.problem" (list $problems $path "has neither rules nor existingRole. Write:\n      rules: [{apiGroups: [\"\"], resources: [pods], verbs: [get, list, watch]}]") }}
{{- end }}
{{- if and $tier.perAgent (eq $tier.scope "Cluster") }}
  {{- include "agent-identities.problem" (list $problems $path "has scope: Cluster and {agent} in its rules: an agent's own objects are in namespaces. Remove one of the two.") }}
{{- end }}
{{- if and (eq $tier.scope "Cluster") (eq $tier.kind "Role") }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.existingRole" $path) "is a Role, which holds in one namespace, and scope is Cluster. Write: kind: ClusterRole") }}
{{- end }}
{{- end }}

{{/* Call: (list problems identities entry agent) */}}
{{- define "agent-identities.validateAgent" -}}
{{- $problems := index . 0 }}
{{- $identities := index . 1 }}
{{- $entry := index . 2 }}
{{- $agent := index . 3 }}
{{- $path := printf "agents.%s" $entry }}
{{- $proxied := eq ($agent.access | default "direct") "proxied" }}
{{- range $index, $tier := $agent.tiers }}
  {{- include "agent-identities.validateGrant" (list $problems $identities (printf "%s.tiers[%d]" $path $index) $tier $proxied) }}
{{- end }}
{{- range $namespace, $tiers := $agent.namespaces }}
  {{- if eq $namespace $identities.namespace }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.namespaces.%s" $path $namespace) (printf "is the agents' own namespace. Write: tiers: [%s]" (join ", " $tiers))) }}
  {{- end }}
  {{- range $index, $tier := $tiers }}
    {{- $place := printf "%s.namespaces.%s[%d]" $path $namespace $index }}
    {{- include "agent-identities.validateGrant" (list $problems $identities $place $tier $proxied) }}
    {{- if eq (dig $tier "scope" "Namespace" $identities.tiers) "Cluster" }}
      {{- include "agent-identities.problem" (list $problems $place (printf "the tier %q has scope: Cluster and holds in every namespace. List it under agents.%s.tiers." $tier $entry)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if $proxied }}
  {{- range $key := list "token" "workload" }}
    {{- if hasKey $agent $key }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.%s" $path $key) "a proxied agent holds no token and runs no pod: the proxy acts as it. Remove this, or write: access: direct") }}
    {{- end }}
  {{- end }}
{{- end }}
{{- with $agent.serviceAccount }}
  {{- if and (eq (toString .create) "false") (not .name) }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.serviceAccount" $path) (printf "create is false, and no name says which ServiceAccount is meant. Write: {create: false, name: %s}" $entry)) }}
  {{- end }}
  {{- if and .name (hasKey $agent "instances") }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.serviceAccount.name" $path) "is one name for several instances: they would share one identity. Remove it, or remove instances.") }}
  {{- end }}
{{- end }}
{{- if kindIs "slice" $agent.quarantined }}
  {{- range $index, $number := $agent.quarantined }}
    {{- if gt (int $number) (int ($agent.instances | default 0)) }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.quarantined[%d]" $path $index) (printf "there is no instance %d of %d. Name one that is there, or write: quarantined: true" (int $number) (int ($agent.instances | default 0)))) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if $agent.token }}{{ include "agent-identities.validateToken" (list $problems (printf "%s.token" $path) $agent.token) }}{{ end }}
{{- if or $agent.cloud $agent.tokens }}{{ include "agent-identities.validateCloud" (list $problems $identities $entry $agent) }}{{ end }}
{{- if $agent.annotations }}{{ include "agent-identities.validateKeys" (list $problems (printf "%s.annotations" $path) $agent.annotations) }}{{ end }}
{{- if $agent.workload }}{{ include "agent-identities.validateWorkload" (list $problems (printf "%s.workload" $path) $agent.workload) }}{{ end }}
{{- end }}

{{/* What no ServiceAccount of an agent may be called. Call: (list problems path name proxy-name) */}}
{{- define "agent-identities.validateName" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $name := index . 2 }}
{{- if eq $name "default" }}
  {{- include "agent-identities.problem" (list $problems $path "\"default\" is the ServiceAccount that every pod without one of its own runs as: no agent may be it. Choose another name.") }}
{{- end }}
{{- if eq $name (index . 3) }}
  {{- include "agent-identities.problem" (list $problems $path (printf "expands to the ServiceAccount %q, which is the proxy's. Rename the agent, or set proxy.name." $name)) }}
{{- end }}
{{- if gt (len $name) 63 }}
  {{- include "agent-identities.problem" (list $problems $path (printf "expands to the ServiceAccount %q of %d characters; a label holds 63. Shorten the name." $name (len $name))) }}
{{- end }}
{{- end }}

{{/* One tier that one agent is given. Call: (list problems identities path tier-name proxied) */}}
{{- define "agent-identities.validateGrant" -}}
{{- $problems := index . 0 }}
{{- $identities := index . 1 }}
{{- $tier := index . 3 }}
{{- if not (hasKey $identities.tiers $tier) }}
  {{- include "agent-identities.problem" (list $problems (index . 2) (printf "there is no tier %q. Known tiers: %s. Use one of them, or define it:\n      tiers:\n        %s:\n          rules: [{apiGroups: [\"\"], resources: [pods], verbs: [get, list, watch]}]" $tier (keys $identities.tiers | sortAlpha | join ", ") $tier)) }}
{{- else if and (index . 4) (get $identities.tiers $tier).existingRole (eq $identities.impersonation "constrained") }}
  {{- include "agent-identities.problem" (list $problems (index . 2) (printf "the tier %q is an existingRole: its verbs are not known here, so the proxy cannot be limited to them. Give the tier rules, or write: access: direct" $tier)) }}
{{- end }}
{{- end }}

{{/* Call: (list problems path token) */}}
{{- define "agent-identities.validateToken" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- with index . 2 }}
  {{- if eq (int .expirationSeconds) 3607 }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.expirationSeconds" $path) "is 3607, the one lifetime that the API server extends to a year. Write: expirationSeconds: 3600") }}
  {{- end }}
  {{- if and (eq (.mode | default "projected") "automount") (or .expirationSeconds .audience) }}
    {{- include "agent-identities.problem" (list $problems $path "mode automount takes neither expirationSeconds nor audience: Kubernetes mounts its own token. Remove them, or write: mode: projected") }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Call: (list problems path workload) */}}
{{- define "agent-identities.validateWorkload" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- with index . 2 }}
  {{- include "agent-identities.validateLabels" (list $problems (printf "%s.podLabels" $path) .podLabels dict) }}
  {{- include "agent-identities.validateKeys" (list $problems (printf "%s.podAnnotations" $path) .podAnnotations) }}
  {{- range $index, $volume := .volumes }}
    {{- if has $volume.name (list "agent-token" "agent-tokens") }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.volumes[%d].name" $path $index) (printf "%q is the volume of the agent's own tokens. Give this volume another name." $volume.name)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}
