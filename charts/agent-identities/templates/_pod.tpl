{{/* A ServiceAccount. Call: (list root name labels-as-text labels annotations automount) */}}
{{- define "agent-identities.serviceAccount" }}
{{- $root := index . 0 }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ index . 1 | quote }}
  namespace: {{ $root.identities.namespace | quote }}
  labels:
    {{- $root.identities.labels | nindent 4 }}
    {{- with index . 2 }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with index . 3 }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with index . 4 }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: {{ index . 5 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
A Deployment that runs as a ServiceAccount of this chart.
Call: (list root name labels-as-text token workload agent); agent as in .identities.agents, or a dict without podLabels and tokens
*/}}
{{- define "agent-identities.deployment" }}
{{- $root := index . 0 }}
{{- $name := index . 1 }}
{{- $labels := index . 2 }}
{{- $token := index . 3 }}
{{- $workload := index . 4 }}
{{- $agent := index . 5 }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name | quote }}
  namespace: {{ $root.identities.namespace | quote }}
  labels:
    {{- $root.identities.labels | nindent 4 }}
    {{- $labels | nindent 4 }}
spec:
  {{- if hasKey $workload "replicas" }}
  replicas: {{ int $workload.replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- index (splitList "\n" $labels) 0 | nindent 6 }}
  template:
    metadata:
      labels:
        {{- $labels | nindent 8 }}
        {{- with $agent.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with $workload.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $workload.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ $name | quote }}
      automountServiceAccountToken: {{ eq $token.mode "automount" }}
      securityContext:
        {{- include "agent-identities.podSecurityContext" $workload | nindent 8 }}
      {{- range $field := list "affinity" "nodeSelector" "priorityClassName" "runtimeClassName" "terminationGracePeriodSeconds" "tolerations" "topologySpreadConstraints" }}
      {{- if hasKey $workload $field }}
      {{ $field }}: {{- toYaml (get $workload $field) | nindent 8 }}
      {{- end }}
      {{- end }}
      containers:
        - name: agent
          image: {{ $workload.image | quote }}
          {{- range $field := list "args" "command" "env" "envFrom" "imagePullPolicy" "livenessProbe" "ports" "readinessProbe" "resources" "startupProbe" }}
          {{- if hasKey $workload $field }}
          {{ $field }}: {{- toYaml (get $workload $field) | nindent 12 }}
          {{- end }}
          {{- end }}
          securityContext:
            allowPrivilegeEscalation: false
            capabilities:
              drop: [ALL]
            readOnlyRootFilesystem: true
          {{- $mounts := include "agent-identities.tokenMounts" (list $token $agent.tokens) | trim }}
          {{- if or $mounts $workload.volumeMounts }}
          volumeMounts:
            {{- with $mounts }}
            {{- . | nindent 12 }}
            {{- end }}
            {{- with $workload.volumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- end }}
      {{- if or $mounts $workload.volumes }}
      volumes:
        {{- with $mounts }}
        {{- include "agent-identities.tokenVolumes" (list $token $agent.tokens) | trim | nindent 8 }}
        {{- end }}
        {{- with $workload.volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
{{- end }}

{{/*
The agent's token: short-lived, renewed by the kubelet, at the default path of Kubernetes clients, with the CA certificate of the API server and
the namespace. The volume equals the volume that Kubernetes injects, except for the lifetime: the API server extends the injected 3607 seconds
to a year.
Call: a token (dict "expirationSeconds" 3600 "audience" "")
*/}}
{{- define "agent-identities.tokenVolume" -}}
- name: agent-token
  projected:
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: {{ int .expirationSeconds }}
          {{- with .audience }}
          audience: {{ . | quote }}
          {{- end }}
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                apiVersion: v1
                fieldPath: metadata.namespace
{{- end }}

{{- define "agent-identities.tokenMount" -}}
- name: agent-token
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end }}

{{/*
All token volumes of a pod: the volume of the agent's token, and a volume with one file for each token for another audience.
Call: (list token tokens), tokens: name -> (dict audience expirationSeconds path)
*/}}
{{- define "agent-identities.tokenVolumes" -}}
{{- if eq (index . 0).mode "projected" }}
{{- include "agent-identities.tokenVolume" (index . 0) }}
{{- end }}
{{- with index . 1 }}
- name: agent-tokens
  projected:
    sources:
      {{- range $name, $token := . }}
      - serviceAccountToken:
          path: {{ $token.path | default $name | quote }}
          expirationSeconds: {{ int ($token.expirationSeconds | default 3600) }}
          audience: {{ $token.audience | quote }}
      {{- end }}
{{- end }}
{{- end }}

{{/* Mounts of the token volumes. Call: (list token tokens) */}}
{{- define "agent-identities.tokenMounts" -}}
{{- if eq (index . 0).mode "projected" }}
{{- include "agent-identities.tokenMount" . }}
{{- end }}
{{- if index . 1 }}
- name: agent-tokens
  mountPath: /var/run/secrets/tokens
  readOnly: true
{{- end }}
{{- end }}

{{/* Pod security context that Pod Security "restricted" requires. Call: a workload (dict "runAsUser" 65532) */}}
{{- define "agent-identities.podSecurityContext" -}}
{{- $user := .runAsUser | default 65532 | int -}}
runAsNonRoot: true
runAsUser: {{ $user }}
runAsGroup: {{ $user }}
fsGroup: {{ $user }}
seccompProfile:
  type: RuntimeDefault
{{- end }}
