{{/*
Refuses what would take a pod of an agent out of Pod Security "restricted" (k8s.io/pod-security-admission, policy/), or replace or add a token.
The chart sets all security contexts, and values have no key for them.
Call: (list problems path workload token); token as in the values
*/}}
{{- define "agent-identities.validatePod" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $workload := index . 2 }}
{{- range $index, $volume := $workload.volumes }}
  {{- include "agent-identities.validateVolume" (list $problems (printf "%s.volumes[%d]" $path $index) $volume) }}
{{- end }}
{{- range $key, $value := $workload.podAnnotations }}
  {{- if and (hasPrefix "container.apparmor.security.beta.kubernetes.io/" $key) (not (regexMatch "^(runtime/default|localhost/.*)?$" $value)) }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.podAnnotations" $path) (printf "%q is %q, which Pod Security \"restricted\" refuses. Write: %q: runtime/default" $key $value $key)) }}
  {{- end }}
{{- end }}
{{- include "agent-identities.validateContainer" (list $problems $path $workload) }}
{{- $names := dict "agent" (printf "%s, the container of the agent" $path) }}
{{- $automount := eq (dig "mode" "projected" (index . 3 | default dict)) "automount" }}
{{- range $kind := list "initContainers" "extraContainers" }}
  {{- range $index, $container := index $workload $kind }}
    {{- $place := printf "%s.%s[%d]" $path $kind $index }}
    {{- if hasKey $names .name }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.name" $place) (printf "%q is also the name of %s. Give this container another name." .name (get $names .name))) }}
    {{- end }}
    {{- $_ := set $names .name $place }}
    {{- if and $automount (ne (toString .mountToken) "true") }}
      {{- include "agent-identities.problem" (list $problems $place "token.mode is automount: Kubernetes mounts the token into every container of the pod, also into this one. Write: mountToken: true; or, in the token of the agent: mode: projected") }}
    {{- end }}
    {{- if and (eq $kind "initContainers") (not .restartPolicy) }}
      {{- range $probe := list "livenessProbe" "readinessProbe" "startupProbe" }}
        {{- if hasKey $container $probe }}
          {{- include "agent-identities.problem" (list $problems (printf "%s.%s" $place $probe) "only a sidecar has probes: another init container ends before the agent starts. Write: restartPolicy: Always; or remove the probe") }}
        {{- end }}
      {{- end }}
    {{- end }}
    {{- include "agent-identities.validateContainer" (list $problems $place $container) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Call: (list problems path volume) */}}
{{- define "agent-identities.validateVolume" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $volume := index . 2 }}
{{- if regexMatch "^agent-(tokens?|tmp(-.*)?)$" (toString $volume.name) }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.name" $path) (printf "%q is the name of a volume of the chart. Give this volume another name." $volume.name)) }}
{{- end }}
{{- $allowed := list "configMap" "csi" "downwardAPI" "emptyDir" "ephemeral" "image" "persistentVolumeClaim" "projected" "secret" }}
{{- $types := keys (omit $volume "name") | sortAlpha }}
{{- range $type := $types }}
  {{- if not (has $type $allowed) }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.%s" $path $type) (printf "is not a type of volume that Pod Security \"restricted\" allows. Use one of %s; or a PersistentVolume that an administrator creates: {name: %v, persistentVolumeClaim: {claimName: data}}" (join ", " $allowed) $volume.name)) }}
  {{- end }}
{{- end }}
{{- if gt (len $types) 1 }}
  {{- include "agent-identities.problem" (list $problems $path (printf "has %s, but a volume has one type. Split the volume into volumes with one type each." (join " and " $types))) }}
{{- end }}
{{- if kindIs "map" $volume.projected }}
  {{- range $index, $source := $volume.projected.sources }}
    {{- if and (kindIs "map" $source) (hasKey $source "serviceAccountToken") }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.projected.sources[%d].serviceAccountToken" $path $index) "is a token that neither the guards nor the checks know. Remove the source, and declare the token, which the chart mounts at /var/run/secrets/tokens:\n      agents:\n        <agent>:\n          tokens: {vault: {audience: vault.example, expirationSeconds: 3600}}") }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Validates what the container of the agent and further containers have in common. Call: (list problems path container) */}}
{{- define "agent-identities.validateContainer" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $container := index . 2 }}
{{- range $index, $mount := $container.volumeMounts }}
  {{- include "agent-identities.validateMount" (list $problems (printf "%s.volumeMounts[%d]" $path $index) $mount) }}
{{- end }}
{{- range $index, $port := $container.ports }}
  {{- range $field := list "hostIP" "hostPort" }}
    {{- if hasKey $port $field }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.ports[%d].%s" $path $index $field) "opens a port of the node, which Pod Security \"restricted\" refuses. Remove it, and create a Service for the port.") }}
    {{- end }}
  {{- end }}
{{- end }}
{{- range $probe := list "livenessProbe" "readinessProbe" "startupProbe" }}
  {{- if not (hasKey $container $probe) }}{{ continue }}{{ end }}
  {{- range $action := list "httpGet" "tcpSocket" }}
    {{- $given := index $container $probe $action }}
    {{- if and (kindIs "map" $given) $given.host }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.%s.%s.host" $path $probe $action) "makes the kubelet send requests to another host, which Pod Security \"restricted\" refuses. Remove it: without host, the probe goes to the pod.") }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
Refuses mounts that replace a token: at the directory of a token, below it, or at one of its parents. A container that shares a volume at a parent
could rename the directory of the token in it. Call: (list problems path mount)
*/}}
{{- define "agent-identities.validateMount" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $mount := index . 2 }}
{{- if regexMatch "^agent-(tokens?|tmp(-.*)?)$" (toString $mount.name) }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.name" $path) (printf "%q is a volume of the chart, which mounts it itself. Remove this mount; to mount the tokens into a further container, set mountToken: true on that container." $mount.name)) }}
{{- end }}
{{- if has ".." (splitList "/" (toString $mount.mountPath)) }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.mountPath" $path) (printf "%q has \"..\", which may lead to the directory of a token. Write the path without it, for example: mountPath: /data" $mount.mountPath)) }}
{{- else }}
  {{- $real := include "agent-identities.realPath" $mount.mountPath | trimSuffix "/" }}
  {{- range $directory := include "agent-identities.tokenDirectories" . | splitList " " }}
    {{- if or (hasPrefix (printf "%s/" $directory) (printf "%s/" $real)) (hasPrefix (printf "%s/" $real) (printf "%s/" $directory)) }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.mountPath" $path) (printf "%q would replace the token in %s, or its directory. Choose another path, for example: mountPath: /data" $mount.mountPath $directory)) }}
      {{- break }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
Directories of tokens: of the chart, and of the webhooks of clouds and service meshes (aws/amazon-eks-pod-identity-webhook, EKS Pod Identity,
Azure/azure-workload-identity, dapr/dapr pkg/injector; Istio and Linkerd use /var/run/secrets/tokens).
*/}}
{{- define "agent-identities.tokenDirectories" -}}
/var/run/secrets/kubernetes.io/serviceaccount /var/run/secrets/tokens /var/run/secrets/eks.amazonaws.com/serviceaccount /var/run/secrets/pods.eks.amazonaws.com/serviceaccount /var/run/secrets/azure/tokens /var/run/secrets/dapr.io/sentrytoken
{{- end }}
