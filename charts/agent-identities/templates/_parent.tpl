{{/*
Templates for parent charts that run the pods of agents. In a pod template of a parent chart:

  metadata:
    labels:
      {{- include "agent-identities.podLabels" (dict "root" $ "agent" "triage-1") | nindent 6 }}
  spec:
    {{- include "agent-identities.podSpec" (dict "root" $ "agent" "triage-1") | nindent 4 }}
    securityContext:
      {{- include "agent-identities.podSecurityContext" (dict "root" $ "agent" "triage-1") | nindent 6 }}
    containers:
      - name: agent
        securityContext:
          {{- include "agent-identities.containerSecurityContext" $ | nindent 10 }}
        volumeMounts:
          {{- include "agent-identities.volumeMounts" (dict "root" $ "agent" "triage-1") | nindent 10 }}

  root     the context of the chart that depends on this chart
  agent    the name of the ServiceAccount; with instances, of one instance
  chart    the alias of the dependency, if it has one
  volumes  podSpec only: a list of additional volumes
  runAsUser, runAsGroup, fsGroup    podSecurityContext and pod only: IDs of this pod instead of workloadDefaults; "auto" omits the ID

podSpec sets serviceAccountName, automountServiceAccountToken, enableServiceLinks and volumes.

Or all parts in one call: $pod := include "agent-identities.pod" (dict "root" $ "agent" "triage-1") | fromYaml
gives labels, namespace, serviceAccountName, automountServiceAccountToken, enableServiceLinks, securityContext, containerSecurityContext, volumes
and volumeMounts.

A quarantined agent runs no pods, and these templates fail for it. To omit a workload while its agent is quarantined:
{{- if include "agent-identities.runs" (dict "root" $ "agent" "triage-1") }} ... {{- end }}
*/}}

{{- define "agent-identities.pod" -}}
{{- $found := dict }}{{ include "agent-identities.findAgent" (list $found . "pod") }}
{{- with $found.agent }}
namespace: {{ $found.identities.namespace | quote }}
labels:
  {{- include "agent-identities.parentLabels" . | nindent 2 }}
serviceAccountName: {{ .name | quote }}
automountServiceAccountToken: {{ eq .token.mode "automount" }}
enableServiceLinks: false
securityContext:
  {{- include "agent-identities.securityContext" (list $found.identities.workloadDefaults $) | nindent 2 }}
containerSecurityContext:
  {{- include "agent-identities.containerSecurityContext" . | nindent 2 }}
{{- with include "agent-identities.tokenVolumes" (list .token .tokens) | trim }}
volumes:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "agent-identities.tokenMounts" (list .token .tokens) | trim }}
volumeMounts:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "agent-identities.podLabels" -}}
{{- $found := dict }}{{ include "agent-identities.findAgent" (list $found . "podLabels") }}
{{- include "agent-identities.parentLabels" $found.agent }}
{{- end }}

{{- define "agent-identities.podSpec" -}}
{{- $found := dict }}{{ include "agent-identities.findAgent" (list $found . "podSpec") }}
{{- $token := $found.agent.token }}
{{- $problems := dict }}
{{- range $index, $volume := .volumes }}{{ include "agent-identities.validateVolume" (list $problems (printf "volumes[%d]" $index) $volume) }}{{ end }}
{{- with $problems.list }}{{ fail (printf "\n\nagent-identities.podSpec: %s %s\n" (index . 0 0) (index . 0 1)) }}{{ end }}
{{- $volumes := include "agent-identities.tokenVolumes" (list $token $found.agent.tokens) | trim -}}
serviceAccountName: {{ $found.agent.name | quote }}
automountServiceAccountToken: {{ eq $token.mode "automount" }}
enableServiceLinks: false
{{- if or $volumes .volumes }}
volumes:
  {{- with $volumes }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "agent-identities.volumeMounts" -}}
{{- $found := dict }}{{ include "agent-identities.findAgent" (list $found . "volumeMounts") }}
{{- include "agent-identities.tokenMounts" (list $found.agent.token $found.agent.tokens) | trim }}
{{- end }}

{{- define "agent-identities.podSecurityContext" -}}
{{- $found := dict }}{{ include "agent-identities.findAgent" (list $found . "podSecurityContext") }}
{{- include "agent-identities.securityContext" (list $found.identities.workloadDefaults .) }}
{{- end }}

{{/* "true" if the agent may run pods; empty if the agent is quarantined. */}}
{{- define "agent-identities.runs" -}}
{{- $found := dict }}{{ include "agent-identities.findIdentities" (list $found . "runs") }}
{{- if not (hasKey $found.identities.quarantined (toString .agent)) }}
{{- include "agent-identities.findAgent" (list $found . "runs") }}true
{{- end }}
{{- end }}

{{/* Call: an agent */}}
{{- define "agent-identities.parentLabels" -}}
{{- .ownLabels }}
{{- with .podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Sets found.identities: the resolved identities of the dependency. Call: (list found arguments template-name) */}}
{{- define "agent-identities.findIdentities" -}}
{{- $found := index . 0 }}
{{- $arguments := index . 1 }}
{{- $chart := $arguments.chart | default "agent-identities" }}
{{- if not $arguments.root }}
  {{- fail (printf "\n\nagent-identities.%s: there is no root in the call. Pass the context of the parent chart and the agent: (dict \"root\" $ \"agent\" \"triage-1\")\n" (index . 2)) }}
{{- end }}
{{- $context := index ($arguments.root.Subcharts | default dict) $chart }}
{{- if not $context }}
  {{- fail (printf "\n\nagent-identities.%s: %s has no enabled dependency %q. Its dependencies: %s. For a dependency with an alias, pass the alias: (dict \"root\" $ \"agent\" %q \"chart\" \"the-alias\")\n" (index . 2) $arguments.root.Chart.Name $chart (keys ($arguments.root.Subcharts | default dict) | sortAlpha | join ", " | default "none") (toString $arguments.agent)) }}
{{- end }}
{{- include "agent-identities.resolve" $context }}
{{- $_ := set $found "identities" $context.identities }}
{{- end }}

{{/* Sets found.identities and found.agent; fails if no pod may run as the agent. Call: (list found arguments template-name) */}}
{{- define "agent-identities.findAgent" -}}
{{- include "agent-identities.findIdentities" . }}
{{- $found := index . 0 }}
{{- $arguments := index . 1 }}
{{- $name := toString $arguments.agent }}
{{- $chart := $arguments.chart | default "agent-identities" }}
{{- $call := printf "(dict \"root\" $ \"agent\" %q%s)" $name (ne $chart "agent-identities" | ternary (printf " \"chart\" %q" $chart) "") }}
{{- $agent := get $found.identities.agents $name }}
{{- if hasKey $found.identities.quarantined $name }}
  {{- fail (printf "\n\nagent-identities.%s: the agent %q is quarantined and runs no pods. End the quarantine, or omit the workloads of the agent:\n  {{- if include \"agent-identities.runs\" %s }} ... {{- end }}\n" (index . 2) $name $call) }}
{{- else if not $agent }}
  {{- $known := keys $found.identities.agents | sortAlpha }}
  {{- fail (printf "\n\nagent-identities.%s: there is no agent %q. Known agents: %s. Use one of them, or define it:\n  %s:\n    agents:\n      %s: {}\n" (index . 2) $name (slice $known 0 (min 20 (len $known) | int) | join ", " | default "none") $chart $name) }}
{{- else if eq $agent.access "proxied" }}
  {{- fail (printf "\n\nagent-identities.%s: the agent %q is proxied: it has no token, and the proxy impersonates it. To run pods as the agent, write:\n  %s:\n    agents:\n      %s: {access: direct}\n" (index . 2) $name $chart $agent.entry) }}
{{- end }}
{{- $_ := set $found "agent" $agent }}
{{- end }}
