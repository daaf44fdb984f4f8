{{/*
Refuses a namespace of an agent: the namespace of the release is the border for guards, the proxy and the rights of the installer.
Call: (list problems identities entry agent)
*/}}
{{- define "agent-identities.validateNamespace" -}}
{{- $identities := index . 1 }}
{{- $entry := index . 2 }}
{{- $namespace := (index . 3).namespace }}
{{- $fix := printf "Move the agent to the values of a release in %s (helm install agents -n %s ...): docs/namespaces.md installs one release in each namespace, from one list. To grant rights in %s instead, write: namespaces: {%s: [proxy]}" $namespace $namespace $namespace $namespace }}
{{- if eq $namespace $identities.namespace }}{{ $fix = "Remove this key. docs/namespaces.md installs one release in each namespace, from one list." }}{{ end }}
{{- include "agent-identities.problem" (list (index . 0) (printf "agents.%s.namespace" $entry) (printf "is %q, but the agents of a release are in its namespace, %s. %s" $namespace $identities.namespace $fix)) }}
{{- end }}
