{{/*
Resolves the values once for all templates: checks them (agent-identities.validate) and leaves in .identities

  labels    the labels of every object, as text
  roles     tier -> name of its Role
  agents    name of the ServiceAccount -> (dict name entry tiers token workload labels annotations)

A file of templates begins with: include "agent-identities.resolve" .
The first call does the work; the root context is one map for all files of the chart, so the others find it done.
*/}}
{{- define "agent-identities.resolve" -}}
{{- if not (hasKey . "identities") }}
  {{- $root := . }}
  {{- $problems := dict }}
  {{- $roles := dict "proxy" (include "agent-identities.roleName" (dict "root" $root "tier" "proxy")) }}
  {{- range $tier, $spec := .Values.tiers }}
    {{- if $spec }}
      {{- $_ := set $roles $tier (include "agent-identities.roleName" (dict "root" $root "tier" $tier)) }}
    {{- end }}
  {{- end }}
  {{- $agents := dict }}
  {{- range $entry, $agent := .Values.agents }}
    {{- if kindIs "invalid" $agent }}{{ continue }}{{ end }}
    {{- $names := list $entry }}
    {{- if hasKey $agent "instances" }}
      {{- $names = list }}
      {{- range $number := untilStep 1 (int (add1 $agent.instances)) 1 }}
        {{- $names = append $names (printf "%s-%d" $entry $number) }}
      {{- end }}
    {{- end }}
    {{- $tiers := list "proxy" }}
    {{- if hasKey $agent "tiers" }}{{ $tiers = $agent.tiers }}{{ end }}
    {{- $token := merge (dict) ($agent.token | default dict) (dict "mode" "projected" "expirationSeconds" 3600) }}
    {{- range $name := $names }}
      {{- $identity := dict "name" $name "entry" $entry "tiers" $tiers "token" $token "workload" $agent.workload "labels" $agent.labels "annotations" $agent.annotations }}
      {{- if hasKey $agents $name }}
        {{- $other := (get $agents $name).entry }}
        {{- include "agent-identities.problem" (list $problems (printf "agents.%s" $entry) (printf "expands to the ServiceAccount %q, and so does agents.%s. Rename one of the two." $name $other)) }}
      {{- end }}
      {{- $_ := set $agents $name $identity }}
    {{- end }}
  {{- end }}
  {{- $_ := set . "identities" (dict "labels" (include "agent-identities.labels" .) "roles" $roles "agents" $agents) }}
  {{- include "agent-identities.validate" (dict "root" . "problems" $problems) }}
{{- end }}
{{- end }}
