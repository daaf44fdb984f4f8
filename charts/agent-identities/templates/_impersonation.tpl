{{/*
The proxy may impersonate the proxied agents, for the verbs of their tiers only (KEP-5284, Kubernetes 1.36): one rule lists the agents, the rules
of this template list the verbs. The API server also requires the permission of the agent, so the proxy never exceeds it. Before 1.36, the
proxy has the verb `impersonate`, limited to the names of the agents; never both, because the API server falls back to that verb.

Renders the rules of one tier, with each verb as impersonate-on:serviceaccount:<verb>, as a JSON array.
Call: (list identities tier namespace); the namespace is "" for a tier with scope: Cluster
*/}}
{{- define "agent-identities.impersonateOn" -}}
{{- $identities := index . 0 }}
{{- $tier := index . 1 }}
{{- $namespace := index . 2 }}
{{- $rules := list }}
{{- range $rule := $tier.rules }}
  {{- $verbs := list }}
  {{- range $verb := .verbs }}{{ $verbs = append $verbs (printf "impersonate-on:serviceaccount:%s" $verb) }}{{ end }}
  {{- $names := list }}
  {{- range $name := .resourceNames }}
    {{- if contains "{agent}" $name }}
      {{- range $agent := $identities.proxied }}
        {{- $held := get $identities.agents $agent }}
        {{- if has $tier.name (eq $namespace $identities.namespace | ternary $held.tiers (get $held.namespaces $namespace | default list)) }}
          {{- $names = append $names (replace "{agent}" $agent $name) }}
        {{- end }}
      {{- end }}
    {{- else }}
      {{- $names = append $names $name }}
    {{- end }}
  {{- end }}
  {{- $on := dict "verbs" $verbs }}
  {{- range $field := list "apiGroups" "resources" "nonResourceURLs" }}{{ with get $rule . }}{{ $_ := set $on $field . }}{{ end }}{{ end }}
  {{- if .resourceNames }}{{ $_ := set $on "resourceNames" $names }}{{ end }}
  {{- $rules = append $rules $on }}
{{- end }}
{{- toJson $rules }}
{{- end }}

{{/* A role of the proxy, and its binding. Call: (list root name namespace rules); the namespace is "" for the whole cluster */}}
{{- define "agent-identities.impersonation" }}
{{- $root := index . 0 }}
{{- $identities := $root.identities }}
{{- $namespace := index . 2 }}
{{- $name := index . 1 }}
{{- if ne $namespace $identities.namespace }}{{ $name = printf "%s:%s" $identities.prefix $name }}{{ end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "Role" "ClusterRole" (ne $namespace "") }}
metadata:
  name: {{ $name | quote }}
  {{- with $namespace }}
  namespace: {{ . | quote }}
  {{- end }}
  labels:
    {{- $identities.labels | nindent 4 }}
rules:
  {{- toYaml (index . 3) | nindent 2 }}
{{- include "agent-identities.binding" (dict "identities" $identities "name" $name "namespace" $namespace "kind" (ternary "Role" "ClusterRole" (ne $namespace "")) "role" $name "labels" "" "subjects" (list $root.Values.proxy.name)) }}
{{- end }}
