{{/*
Resolves the cloud identity of an agent: the ServiceAccount annotations and pod labels that EKS, GKE and Azure read, and tokens for audiences
other than the API server. A cloud trusts system:serviceaccount:<namespace>:<name>: only renaming the agent breaks that trust.

Fills (dict annotations podLabels tokens audiences), the same for all instances of an entry; audiences lists the audiences of the clouds only.
Call: (list that-dict agent)
*/}}
{{- define "agent-identities.resolveCloud" -}}
{{- $result := index . 0 }}
{{- $agent := index . 1 }}
{{- $cloud := $agent.cloud | default dict }}
{{- range $name, $token := $agent.tokens }}
  {{- if kindIs "map" $token }}
    {{- $_ := set $result.tokens $name $token }}
  {{- end }}
{{- end }}
{{- /* aws/amazon-eks-pod-identity-webhook, pkg/annotations.go: the webhook mounts the token. */}}
{{- if kindIs "map" $cloud.aws }}
  {{- $_ := set $result "audiences" (append $result.audiences ($cloud.aws.audience | default "sts.amazonaws.com")) }}
  {{- with $cloud.aws.roleArn }}{{ $_ := set $result.annotations "eks.amazonaws.com/role-arn" . }}{{ end }}
  {{- with $cloud.aws.audience }}{{ $_ := set $result.annotations "eks.amazonaws.com/audience" . }}{{ end }}
  {{- with $cloud.aws.tokenExpirationSeconds }}{{ $_ := set $result.annotations "eks.amazonaws.com/token-expiration" (toString (int .)) }}{{ end }}
  {{- if hasKey $cloud.aws "stsRegionalEndpoints" }}{{ $_ := set $result.annotations "eks.amazonaws.com/sts-regional-endpoints" (toString $cloud.aws.stsRegionalEndpoints) }}{{ end }}
{{- end }}
{{- /* The EKS API stores the association of ServiceAccount and role: no annotation is needed. */}}
{{- if $cloud.awsPodIdentity }}
  {{- $_ := set $result "audiences" (append $result.audiences "pods.eks.amazonaws.com") }}
{{- end }}
{{- if kindIs "map" $cloud.gcp }}
  {{- with $cloud.gcp.serviceAccount }}{{ $_ := set $result.annotations "iam.gke.io/gcp-service-account" . }}{{ end }}
  {{- with $cloud.gcp.workloadPool }}{{ $_ := set $result "audiences" (append $result.audiences .) }}{{ end }}
{{- end }}
{{- /* Azure/azure-workload-identity, pkg/webhook/consts.go: the webhook ignores pods without this label. */}}
{{- if kindIs "map" $cloud.azure }}
  {{- $_ := set $result "audiences" (append $result.audiences "api://AzureADTokenExchange") }}
  {{- $_ := set $result.podLabels "azure.workload.identity/use" "true" }}
  {{- with $cloud.azure.clientId }}{{ $_ := set $result.annotations "azure.workload.identity/client-id" . }}{{ end }}
  {{- with $cloud.azure.tenantId }}{{ $_ := set $result.annotations "azure.workload.identity/tenant-id" . }}{{ end }}
  {{- with $cloud.azure.tokenExpirationSeconds }}{{ $_ := set $result.annotations "azure.workload.identity/service-account-token-expiration" (toString (int .)) }}{{ end }}
{{- end }}
{{- end }}

{{/*
Validates the cloud identities and additional tokens of an agent. Call: (list problems identities entry agent)
*/}}
{{- define "agent-identities.validateCloud" -}}
{{- $problems := index . 0 }}
{{- $entry := index . 2 }}
{{- $agent := index . 3 }}
{{- $path := printf "agents.%s" $entry }}
{{- $cloud := $agent.cloud | default dict }}
{{- $account := $agent.serviceAccount | default dict }}
{{- if eq ($agent.access | default "direct") "proxied" }}
  {{- range $key := list "cloud" "tokens" }}
    {{- if get $agent $key }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.%s" $path $key) "a proxied agent has no token, and a cloud identifies an agent by its token. Remove this field, or write: access: direct") }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if and (kindIs "map" $cloud.aws) $cloud.awsPodIdentity }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.cloud" $path) "sets both aws and awsPodIdentity; the AWS SDK would choose one of the two. Keep one.") }}
{{- end }}
{{- $made := ne (toString $account.create) "false" }}
{{- $keys := dict "aws" "roleArn" "gcp" "serviceAccount" "azure" "clientId" }}
{{- $examples := dict "aws" "arn:aws:iam::111122223333:role/agent" "azure" "00000000-0000-0000-0000-000000000000" }}
{{- range $provider, $key := $keys }}
  {{- $given := get $cloud $provider }}
  {{- if kindIs "map" $given }}
    {{- $place := printf "%s.cloud.%s" $path $provider }}
    {{- if and $made (hasKey $examples $provider) (not (get $given $key)) }}
      {{- include "agent-identities.problem" (list $problems $place (printf "has no %s, which identifies the agent in the cloud. Write: %s: {%s: %q}" $key $provider $key (get $examples $provider))) }}
    {{- end }}
    {{- if and (not $made) (omit $given "audience" "workloadPool") }}
      {{- include "agent-identities.problem" (list $problems $place (printf "%s would be annotations of a ServiceAccount that the chart does not create (serviceAccount.create: false). Annotate the existing ServiceAccount, and write: %s: {}" (omit $given "audience" "workloadPool" | keys | sortAlpha | join ", ") $provider)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- $cloudy := dict "annotations" dict "podLabels" dict "tokens" dict "audiences" list }}
{{- include "agent-identities.resolveCloud" (list $cloudy $agent) }}
{{- range $key, $_ := $cloudy.annotations }}
  {{- if hasKey ($agent.annotations | default dict) $key }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.annotations" $path) (printf "%q is also set by cloud. Keep one of the two." $key)) }}
  {{- end }}
{{- end }}
{{- range $key, $_ := $cloudy.podLabels }}
  {{- if hasKey (($agent.workload | default dict).podLabels | default dict) $key }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.workload.podLabels" $path) (printf "%q is also set by cloud. Remove it from podLabels." $key)) }}
  {{- end }}
{{- end }}
{{- $files := dict }}
{{- range $name, $token := $cloudy.tokens }}
  {{- $place := printf "%s.tokens.%s" $path $name }}
  {{- $file := $token.path | default $name }}
  {{- if hasKey $files $file }}
    {{- include "agent-identities.problem" (list $problems $place (printf "writes the file %q, as %s.tokens.%s does. Give one of the two another path." $file $path (get $files $file))) }}
  {{- end }}
  {{- $_ := set $files $file $name }}
  {{- include "agent-identities.validateToken" (list $problems $place $token) }}
{{- end }}
{{- end }}
