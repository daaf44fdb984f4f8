{{/*
Completes .Values in place, before any other template reads them:

  - Removes keys with null: null takes back what an earlier values file sets. Helm itself removes null only where values.yaml has the key.
  - Removes agents and tiers with enabled: false, for tools that drop null on the way (Argo CD valuesObject, Kustomize).
  - Sets the default of each key that is absent. helm upgrade --reuse-values renders a new chart with the values of the old chart, which lack
    the keys that the new chart added; and Helm deletes a default for which the values have null.

Call: the root context
*/}}
{{- define "agent-identities.completeValues" -}}
{{- $values := .Values }}
{{- range $section, $value := $values }}
  {{- if and (kindIs "map" $value) (ne $section "global") (not (hasPrefix "x-" $section)) (contains ":null" (toJson $value)) }}
    {{- include "agent-identities.removeNulls" $value }}
  {{- end }}
{{- end }}
{{- range $path, $default := include "agent-identities.defaults" . | fromYaml }}
  {{- $keys := splitList "." $path }}
  {{- $at := $values }}
  {{- range initial $keys }}
    {{- if not (kindIs "map" (get $at .)) }}{{ $_ := set $at . dict }}{{ end }}
    {{- $at = get $at . }}
  {{- end }}
  {{- if or (not (hasKey $at (last $keys))) (kindIs "invalid" (get $at (last $keys))) }}{{ $_ := set $at (last $keys) $default }}{{ end }}
{{- end }}
{{- range $entries := list $values.agents $values.tiers }}
  {{- range $name, $entry := $entries }}
    {{- if and (hasKey $entry "enabled") (not $entry.enabled) }}{{ $_ := unset $entries $name }}{{ end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Removes null from a mapping and from the mappings below. null keeps its meaning in the IDs of a workload. Call: a mapping */}}
{{- define "agent-identities.removeNulls" -}}
{{- $map := . }}
{{- range $key, $value := . }}
  {{- if kindIs "invalid" $value }}
    {{- if not (has $key (list "runAsUser" "runAsGroup" "fsGroup")) }}{{ $_ := unset $map $key }}{{ end }}
  {{- else if and (kindIs "map" $value) (contains ":null" (toJson $value)) }}
    {{- include "agent-identities.removeNulls" $value }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The defaults of values.yaml, by path: templates cannot read values.yaml. A test compares the two. */}}
{{- define "agent-identities.defaults" -}}
proxy.name: "agent-proxy"
proxy.rules: [{"apiGroups": [""], "resources": ["pods", "services", "configmaps"], "verbs": ["get", "list", "watch"]}]
proxy.acceptRisks: {}
proxy.impersonation: "auto"
proxy.labels: {}
proxy.annotations: {}
tiers: {}
agents: {}
quarantined: false
bindings: "perAgent"
network.enabled: false
network.provider: "kubernetes"
network.dns.namespace: "kube-system"
network.dns.podLabels: {"k8s-app": "kube-dns"}
network.dns.cidrs: ["169.254.20.10/32"]
network.dns.ports: [53]
network.apiServer.cidrs: []
network.apiServer.ports: [443, 6443]
network.destinations: {}
network.sources: {}
network.egress: []
network.ingress: []
network.cloud.aws.cidrs: []
network.cloud.aws.ports: [443]
network.cloud.awsPodIdentity.cidrs: ["169.254.170.23/32", "fd00:ec2::23/128"]
network.cloud.awsPodIdentity.ports: [80]
network.cloud.gcp.cidrs: ["169.254.169.252/32", "169.254.169.254/32"]
network.cloud.gcp.ports: [80, 987, 988, 8080]
network.cloud.azure.cidrs: []
network.cloud.azure.ports: [443]
priorityAndFairness.enabled: false
priorityAndFairness.matchingPrecedence: 1000
priorityAndFairness.nominalConcurrencyShares: 10
priorityAndFairness.lendablePercent: 50
priorityAndFairness.borrowingLimitPercent: 100
priorityAndFairness.queuing.queues: 64
priorityAndFairness.queuing.handSize: 6
priorityAndFairness.queuing.queueLengthLimit: 50
guards.enabled: false
guards.defaultAccount.enabled: true
guards.defaultAccount.validationActions: ["Deny"]
guards.runAs.enabled: true
guards.runAs.validationActions: ["Deny"]
guards.tokens.enabled: true
guards.tokens.validationActions: ["Deny"]
guards.tokens.maxSeconds: 3600
guards.tokens.apiAudiences: ["https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local"]
guards.tokens.audiences: {}
guards.tokens.meshes: []
guards.tokens.certificates: {}
guards.tokenSecrets.enabled: true
guards.tokenSecrets.validationActions: ["Deny"]
guards.bindings.enabled: true
guards.bindings.validationActions: ["Deny"]
guards.roles.enabled: true
guards.roles.validationActions: ["Deny"]
guards.accounts.enabled: true
guards.accounts.validationActions: ["Deny"]
guards.labels.enabled: true
guards.labels.validationActions: ["Deny"]
guards.networkPolicies.enabled: true
guards.networkPolicies.validationActions: ["Deny"]
guards.trustAnchor.enabled: true
guards.trustAnchor.validationActions: ["Deny"]
guards.records.enabled: true
guards.records.validationActions: ["Deny"]
guards.impersonation.enabled: true
guards.impersonation.validationActions: ["Deny"]
guards.ephemeralContainers.enabled: true
guards.ephemeralContainers.validationActions: ["Deny"]
guards.exec.enabled: true
guards.exec.validationActions: ["Deny"]
guards.quarantine.enabled: true
guards.quarantine.validationActions: ["Deny"]
guards.shortTokens.enabled: "auto"
guards.deployers: []
guards.controllers: []
trustedSubjects: []
workloadDefaults.runAsUser: 65532
workloadDefaults.tmp: "1Gi"
adoptServiceAccounts: []
namespaceOverride: ""
extraLabels: {}
imagePullSecrets: []
{{- end }}
