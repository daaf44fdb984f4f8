{{/* The name of the FlowSchema and of its PriorityLevelConfiguration. Both are cluster-scoped; a namespace has no dots in its name. */}}
{{- define "agent-identities.fairShareName" -}}
agent-identities.{{ .identities.namespace }}.{{ .Release.Name }}
{{- end }}

{{/* Call: (list problems priorityAndFairness) */}}
{{- define "agent-identities.validateFairShare" -}}
{{- $queuing := (index . 1).queuing }}
{{- if gt (int $queuing.handSize) (int $queuing.queues) }}
  {{- include "agent-identities.problem" (list (index . 0) "priorityAndFairness.queuing.handSize" (printf "is %d, and there are %d queues to deal an agent from. Write: handSize: %d" (int $queuing.handSize) (int $queuing.queues) (int $queuing.queues))) }}
{{- end }}
{{- end }}
