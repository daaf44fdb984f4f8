{{/*
Tokens that the injector of a service mesh adds to each pod, audience -> lifetime in seconds:
  istio    istio/istio, manifests/charts/istio-control/istio-discovery/files/injection-template.yaml: volume istio-token
  linkerd  linkerd/linkerd2, charts/partials/templates/_volumes.tpl: volume linkerd-identity-token
  dapr     dapr/dapr, pkg/injector/patcher/sidecar_volumes.go: volume dapr-identity-token
*/}}
{{- define "agent-identities.meshTokens" -}}
istio: {istio-ca: 43200}
linkerd: {identity.l5d.io: 86400}
dapr: {dapr.io/sentry: 7200}
{{- end }}

{{/* Audiences for all agents as a JSON object: guards.tokens.audiences, and the audiences of guards.tokens.meshes. Call: guards.tokens */}}
{{- define "agent-identities.sharedAudiences" -}}
{{- $presets := include "agent-identities.meshTokens" . | fromYaml }}
{{- $audiences := merge (dict) .audiences }}
{{- range .meshes }}{{ $audiences = merge $audiences (get $presets .) }}{{ end }}
{{- range $audience, $seconds := $audiences }}{{ $_ := set $audiences $audience (int $seconds) }}{{ end }}
{{- toJson $audiences }}
{{- end }}
