{{/*
Names. Kubernetes allows ":" in the names of Roles and bindings and not in those of ServiceAccounts and namespaces, so that "agent:role"
can be read in one way only.

A binding's roleRef is immutable. So the Role is part of the binding's name: a change of tiers is a new binding, never a failed upgrade.
*/}}

{{/* The namespace of the agents. */}}
{{- define "agent-identities.namespace" -}}
{{ .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{/* What the names of objects outside the agents' namespace begin with, so that two releases never meet there. */}}
{{- define "agent-identities.prefix" -}}
{{ include "agent-identities.namespace" . }}:{{ .Release.Name }}
{{- end }}

{{/*
The name of the role that gives a tier to an agent in a namespace; "" is the whole cluster.
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
The binding of an agent to a role. The central role under its usual name goes without saying.
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
