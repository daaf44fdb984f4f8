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
Stores workloadDefaults in .identities, and the pod security context of these defaults as text. Call: the root context
*/}}
{{- define "agent-identities.resolveWorkloads" -}}
{{- $_ := set .identities "workloadDefaults" .Values.workloadDefaults }}
{{- $_ := set .identities "podSecurity" (include "agent-identities.securityContext" (list .identities.workloadDefaults dict)) }}
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
      enableServiceLinks: false
      securityContext:
        {{- if or (hasKey $workload "runAsUser") (hasKey $workload "runAsGroup") (hasKey $workload "fsGroup") }}
        {{- include "agent-identities.securityContext" (list $root.identities.workloadDefaults $workload) | nindent 8 }}
        {{- else }}
        {{- $root.identities.podSecurity | nindent 8 }}
        {{- end }}
      {{- range $field := list "affinity" "nodeSelector" "priorityClassName" "runtimeClassName" "terminationGracePeriodSeconds" "tolerations" "topologySpreadConstraints" }}
      {{- if hasKey $workload $field }}
      {{ $field }}: {{- toYaml (get $workload $field) | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- $mounts := include "agent-identities.tokenMounts" (list $token $agent.tokens) | trim }}
      {{- $size := $workload.tmp | default $root.identities.workloadDefaults.tmp | default "none" }}
      {{- $containers := list (dict "name" "agent" "spec" $workload "tokens" $mounts "tmp" (include "agent-identities.tmpVolume" (list $size "agent-tmp" $workload))) }}
      {{- $others := dict }}
      {{- range $kind := list "initContainers" "extraContainers" }}
        {{- $found := list }}
        {{- range $container := index $workload $kind }}
          {{- $found = append $found (dict "name" .name "spec" . "tokens" (ternary $mounts "" (eq (toString .mountToken) "true")) "tmp" (include "agent-identities.tmpVolume" (list $size (printf "agent-tmp-%s" .name) .))) }}
        {{- end }}
        {{- $_ := set $others $kind $found }}
      {{- end }}
      {{- with $others.initContainers }}
      initContainers:
        {{- range . }}
        {{- include "agent-identities.container" . | nindent 8 }}
        {{- end }}
      {{- end }}
      containers:
        {{- range concat $containers $others.extraContainers }}
        {{- include "agent-identities.container" . | nindent 8 }}
        {{- end }}
      {{- $volumes := include "agent-identities.tokenVolumes" (list $token $agent.tokens) | trim }}
      {{- $tmps := list }}
      {{- range concat $containers $others.initContainers $others.extraContainers }}{{ with .tmp }}{{ $tmps = append $tmps . }}{{ end }}{{ end }}
      {{- if or $volumes $tmps $workload.volumes }}
      volumes:
        {{- with $volumes }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- range $tmps }}
        - name: {{ . | quote }}
          emptyDir:
            sizeLimit: {{ $size | quote }}
        {{- end }}
        {{- with $workload.volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
{{- end }}

{{/*
A container. Call: (dict "name" "spec" "tokens" "tmp"); spec as in the values, tokens: mounts as text, tmp: the volume of /tmp or ""
*/}}
{{- define "agent-identities.container" -}}
{{- $spec := .spec -}}
- name: {{ .name | quote }}
  image: {{ $spec.image | quote }}
  {{- range $field := list "args" "command" "env" "envFrom" "imagePullPolicy" "livenessProbe" "ports" "readinessProbe" "resources" "restartPolicy" "startupProbe" }}
  {{- if hasKey $spec $field }}
  {{ $field }}: {{- toYaml (get $spec $field) | nindent 4 }}
  {{- end }}
  {{- end }}
  securityContext:
    {{- include "agent-identities.containerSecurityContext" . | nindent 4 }}
  {{- if or .tokens .tmp $spec.volumeMounts }}
  volumeMounts:
    {{- with .tokens }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with .tmp }}
    - name: {{ . | quote }}
      mountPath: /tmp
    {{- end }}
    {{- with $spec.volumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end }}

{{/*
Name of the emptyDir that a container has at /tmp; empty if the container mounts another volume there. Each container has its own: containers
must not read or replace each other's temporary files. Call: (list size name container)
*/}}
{{- define "agent-identities.tmpVolume" -}}
{{- $name := ne (index . 0) "none" | ternary (index . 1) "" }}
{{- range (index . 2).volumeMounts }}
  {{- if eq (include "agent-identities.realPath" .mountPath) "/tmp" }}{{ $name = "" }}{{ end }}
{{- end }}
{{- $name }}
{{- end }}

{{/*
A path in a container as the kubelet resolves it: a relative path is below "/" (pkg/kubelet/kubelet_pods.go, makeMounts), and /run is
/var/run, a link in most images. Call: a path
*/}}
{{- define "agent-identities.realPath" -}}
{{- regexReplaceAll "^/run(/|$)" (printf "/%v" . | clean) "/var/run${1}" }}
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

{{/*
Pod security context that Pod Security "restricted" requires. Without an ID, the image or the platform chooses: OpenShift assigns IDs of the
range of the namespace and refuses others. Call: (list defaults workload); IDs: numbers, "auto" or null
*/}}
{{- define "agent-identities.securityContext" -}}
{{- $ids := index . 0 }}
{{- $workload := index . 1 }}
{{- if hasKey $workload "runAsUser" }}{{ $ids = pick $workload "runAsUser" }}{{ end -}}
runAsNonRoot: true
{{- range $field := list "runAsUser" "runAsGroup" "fsGroup" }}
{{- $id := $ids.runAsUser }}
{{- range $from := list $ids $workload }}{{ if hasKey $from $field }}{{ $id = get $from $field }}{{ end }}{{ end }}
{{- if not (or (kindIs "invalid" $id) (kindIs "string" $id)) }}
{{ $field }}: {{ int $id }}
{{- end }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Security context that Pod Security "restricted" requires of each container. */}}
{{- define "agent-identities.containerSecurityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end }}
