{{/*
Names. Kubernetes allows ":" in the names of Roles and bindings, but not in the names of ServiceAccounts and namespaces, so "agent:role" is
unambiguous.

The roleRef of a binding is immutable. So the name of a binding contains the role, and the kind of a role that the chart does not create: a
change of a tier creates a new binding, and the upgrade does not fail. "Role" and "ClusterRole" are not names of agents, which are in lower case.
*/}}

{{/* Namespace of the agents. */}}
{{- define "agent-identities.namespace" -}}
{{ .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{/* Prefix of the names of objects outside the agents' namespace; unique for each release. */}}
{{- define "agent-identities.prefix" -}}
{{ include "agent-identities.namespace" . }}:{{ .Release.Name }}
{{- end }}

{{/*
Name of the role that grants a tier to an agent in a namespace; "" is the whole cluster.
Call: (list identities tier agent namespace); tier as in .identities.tiers, agent by name
*/}}
{{- define "agent-identities.roleName" -}}
{{- $identities := index . 0 }}
{{- $tier := index . 1 }}
{{- if $tier.existingRole -}}
{{ $tier.existingRole.name }}
{{- else -}}
{{ if ne (index . 3) $identities.namespace }}{{ $identities.prefix }}:{{ end }}{{ if $tier.perAgent }}{{ index . 2 }}:{{ end }}{{ $tier.role }}
{{- end }}
{{- end }}

{{/*
Name of the binding of a subject (an agent, or the number of a group) to the role of a tier. It determines the roleRef of the binding: without a
kind, the role is one of the chart; with a kind, an existing role. It omits the role if the role is agent-proxy-role, the default central role.
Call: (list identities tier role subject namespace)
*/}}
{{- define "agent-identities.bindingName" -}}
{{- $identities := index . 0 }}
{{- $tier := index . 1 }}
{{- $role := index . 2 }}
{{- if $tier.existingRole -}}
{{ if ne (index . 4) $identities.namespace }}{{ $identities.prefix }}:{{ end }}{{ $tier.kind }}:{{ index . 3 }}:{{ $role }}
{{- else if eq $role "agent-proxy-role" -}}
{{ index . 3 }}-binding
{{- else -}}
{{ index . 3 }}:{{ $role }}
{{- end }}
{{- end }}
