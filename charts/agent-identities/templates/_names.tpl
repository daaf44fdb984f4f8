{{/*
Names. Kubernetes allows ":" in the names of Roles and RoleBindings and not in those of ServiceAccounts, so "agent:role" can never be
read in two ways.
*/}}

{{/* The Role of a tier. Call: (dict "root" $ "tier" "pod-reader") */}}
{{- define "agent-identities.roleName" -}}
{{- if eq .tier "proxy" }}{{ .root.Values.proxy.name }}-role{{ else }}{{ .tier }}-role{{ end }}
{{- end }}

{{/*
The RoleBinding of an agent to a Role. A binding's roleRef is immutable: the Role is part of the name, so that a change of tiers is a new
binding and never a failed upgrade. The central role under its usual name goes without saying.
Call: (dict "agent" "triage-1" "role" "pod-reader-role")
*/}}
{{- define "agent-identities.bindingName" -}}
{{- if eq .role "agent-proxy-role" }}{{ .agent }}-binding{{ else }}{{ .agent }}:{{ .role }}{{ end }}
{{- end }}
