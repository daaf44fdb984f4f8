{{/*
Names. Kubernetes allows ":" in the names of Roles and bindings, but not in the names of ServiceAccounts and namespaces, so "agent:role" is
unambiguous.

The roleRef of a binding is immutable. So the name of a binding contains the Role: a change of tiers creates a new binding, and the upgrade
does not fail.
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
Name of the binding of an agent to a role. It omits the role if the role is agent-proxy-role, the default central role.
Call: (list identities role agent namespace)
*/}}
{{- define "agent-identities.bindingName" -}}
{{- $identities := index . 0 }}
{{- $role := index . 1 }}
{{- if eq $role "agent-proxy-role" -}}
{{ index . 2 }}-binding
{{- else -}}
{{ if and (ne (index . 3) $identities.namespace) (not (hasPrefix $identities.prefix $role)) }}{{ $identities.prefix }}:{{ end }}{{ index . 2 }}:{{ $role }}
{{- end }}
{{- end }}
