{{/* Name of the FlowSchema and of the PriorityLevelConfiguration. Both are cluster-scoped; the name of a namespace has no dots, so the names are unique. */}}
{{- define "agent-identities.fairShareName" -}}
agent-identities.{{ .identities.namespace }}.{{ .Release.Name }}
{{- end }}

{{/* Call: (list problems priorityAndFairness) */}}
{{- define "agent-identities.validateFairShare" -}}
{{- $queuing := (index . 1).queuing }}
{{- if gt (int $queuing.handSize) (int $queuing.queues) }}
  {{- include "agent-identities.problem" (list (index . 0) "priorityAndFairness.queuing.handSize" (printf "is %d, greater than queues: %d. Write: handSize: %d" (int $queuing.handSize) (int $queuing.queues) (int $queuing.queues))) }}
{{- end }}
{{- end }}
