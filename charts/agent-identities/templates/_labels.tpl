{{/* Labels of every object; agent-identities.resolve stores them in .identities.labels. */}}
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
Labels that identify the agent of an object. Selectors and network policies use agent-identities/agent: unlike app.kubernetes.io/instance, no
deployment tool rewrites it. A label value has at most 63 characters: for a longer ServiceAccount, the label has the key of the agent.
agent-identities.resolve stores them in ownLabels of each agent.
Call: an agent, as in .identities.agents
*/}}
{{- define "agent-identities.agentLabels" -}}
agent-identities/agent: {{ gt (len .name) 63 | ternary .entry .name | quote }}
{{- if ne .name .entry }}
agent-identities/instance-of: {{ .entry | quote }}
{{- end }}
{{- end }}
