{{/*
The agent's token: short-lived, renewed by the kubelet, at the path where every Kubernetes client looks for it, together with the
certificate of the API server and the namespace. It is what automounting gives, but for the lifetime: the API server extends the
3607 seconds that it injects itself to a year.
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

{{/* What Pod Security "restricted" asks of a pod. Call: a workload (dict "runAsUser" 65532) */}}
{{- define "agent-identities.podSecurityContext" -}}
{{- $user := .runAsUser | default 65532 | int -}}
runAsNonRoot: true
runAsUser: {{ $user }}
runAsGroup: {{ $user }}
fsGroup: {{ $user }}
seccompProfile:
  type: RuntimeDefault
{{- end }}
