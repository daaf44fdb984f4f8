{{/*
The Role of a tier in a namespace; a ClusterRole if the namespace is "". The agent's name replaces {agent} in resourceNames.
Call: (list identities tier agent namespace)
*/}}
{{- define "agent-identities.role" }}
{{- $identities := index . 0 }}
{{- $tier := index . 1 }}
{{- $agent := index . 2 }}
{{- $namespace := index . 3 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "Role" "ClusterRole" (ne $namespace "") }}
metadata:
  name: {{ include "agent-identities.roleName" . | quote }}
  {{- with $namespace }}
  namespace: {{ . | quote }}
  {{- end }}
  labels:
    {{- $identities.labels | nindent 4 }}
    agent-identities/tier: {{ $tier.name | quote }}
    {{- if $tier.perAgent }}
    {{- index (splitList "\n" (get $identities.agents $agent).ownLabels) 0 | nindent 4 }}
    {{- end }}
  {{- if $tier.acceptRisks }}
  annotations:
    agent-identities/accepted-risks: {{ include "agent-identities.acceptedRisks" $tier | quote }}
  {{- end }}
rules:
  {{- if $tier.perAgent }}
  {{- /* Replaced in JSON, which quotes every name: in YAML, 1{agent} could become a number. */}}
  {{- toJson $tier.rules | replace "{agent}" $agent | fromJsonArray | toYaml | nindent 2 }}
  {{- else }}
  {{- toYaml $tier.rules | nindent 2 }}
  {{- end }}
{{- end }}

{{/*
The binding of subjects to a role in a namespace; a ClusterRoleBinding if the namespace is "".
Call: (dict "identities" "name" "namespace" "kind" (of the role) "role" "labels" (text, or "") "subjects" (list of names))
*/}}
{{- define "agent-identities.binding" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "RoleBinding" "ClusterRoleBinding" (ne .namespace "") }}
metadata:
  name: {{ .name | quote }}
  {{- with .namespace }}
  namespace: {{ . | quote }}
  {{- end }}
  labels:
    {{- .identities.labels | nindent 4 }}
    {{- with .labels }}
    {{- . | nindent 4 }}
    {{- end }}
  {{- with .annotations }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .role | quote }}
subjects:
  {{- $namespace := .identities.namespace }}
  {{- range .subjects }}
  - kind: ServiceAccount
    name: {{ . | quote }}
    namespace: {{ $namespace | quote }}
  {{- end }}
{{- end }}

{{/*
The binding of one agent to one tier in a namespace; "" is the whole cluster. Empty for a tier of another scope and, with bindings: perTier, for
a tier whose binding agents share.
Call: (list identities agent tier-name namespace)
*/}}
{{- define "agent-identities.agentBinding" }}
{{- $identities := index . 0 }}
{{- $agent := index . 1 }}
{{- $tier := get $identities.tiers (index . 2) }}
{{- $namespace := index . 3 }}
{{- if and (eq (eq $tier.scope "Cluster") (not $namespace)) (or $tier.perAgent (eq $identities.bindings "perAgent")) }}
{{- $role := get $tier.roleNames $namespace }}
{{- if not $role }}
{{- $role = include "agent-identities.roleName" (list $identities $tier $agent.name $namespace) }}
{{- if not $tier.perAgent }}{{ $_ := set $tier.roleNames $namespace $role }}{{ end }}
{{- end }}
{{- $name := include "agent-identities.bindingName" (list $identities $tier $role $agent.name $namespace) }}
{{- $labels := printf "%s\nagent-identities/tier: %q" $agent.ownLabels $tier.name }}
{{- include "agent-identities.binding" (dict "identities" $identities "name" $name "namespace" $namespace "kind" $tier.kind "role" $role "labels" $labels "subjects" (list $agent.name)) }}
{{- end }}
{{- end }}

{{/* The shared binding of agents to one tier. Call: (list identities group), a group of .identities.groups */}}
{{- define "agent-identities.groupBinding" }}
{{- $identities := index . 0 }}
{{- $group := index . 1 }}
{{- $tier := get $identities.tiers $group.tier }}
{{- $role := include "agent-identities.roleName" (list $identities $tier "" $group.namespace) }}
{{- $name := printf "%s:%s" $role $group.bucket }}
{{- if $tier.existingRole }}{{ $name = include "agent-identities.bindingName" (list $identities $tier $role $group.bucket $group.namespace) }}{{ end }}
{{- $labels := printf "agent-identities/tier: %q" $tier.name }}
{{- include "agent-identities.binding" (dict "identities" $identities "name" $name "namespace" $group.namespace "kind" $tier.kind "role" $role "labels" $labels "subjects" $group.subjects) }}
{{- end }}
