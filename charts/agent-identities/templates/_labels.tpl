{{/* The labels of every object; computed once by agent-identities.resolve and kept in .identities.labels. */}}
{{- define "agent-identities.labels" -}}
app.kubernetes.io/name: agent-identities
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") | trunc 63 | trimSuffix "-" | quote }}
{{- with .Values.extraLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
The labels that say whose an object is. Selectors and network policies may rely on agent-identities/agent: unlike
app.kubernetes.io/instance, no deployment tool rewrites it. Kept as ownLabels of each agent.
Call: an identity, as agent-identities.resolve makes them
*/}}
{{- define "agent-identities.agentLabels" -}}
agent-identities/agent: {{ .name | quote }}
{{- if ne .name .entry }}
agent-identities/instance-of: {{ .entry | quote }}
{{- end }}
{{- end }}
