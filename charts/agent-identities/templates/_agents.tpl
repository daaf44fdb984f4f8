{{/*
Resolves the values once for all templates, validates them (agent-identities.validate), and stores the result in .identities:

  namespace    namespace of the agents
  prefix       prefix of the names of objects outside that namespace
  labels       labels of every object, as text
  impersonation  constrained or legacy: how the proxy impersonates proxied agents
  tiers        name -> (dict name role kind rules scope perAgent existingRole acceptRisks
               roleNames (namespace -> name of the tier's role there; a cache, filled by agentBinding))
  clusterTiers number of tiers with scope: Cluster
  agents       ServiceAccount -> (dict name entry access tiers namespaces token workload labels annotations createAccount
               ownLabels (text: labels that identify the agent) podLabels tokens audiences (of the clouds) cloud network)
  quarantined  the same, for quarantined agents
  elsewhere    namespace -> tier -> true: tiers granted outside the agents' namespace
  bindings     perAgent or perTier
  groups       with perTier: (dict tier namespace bucket subjects) of each binding
  workloadDefaults  as in the values
  network      rules of the network policies: (dict dns apiServer cloud destinations sources), as text
  proxied      names of the proxied agents
  proxiedTiers namespace -> tier -> true: tiers of the proxied agents; "" is the whole cluster

Every template file begins with: include "agent-identities.resolve" .
The first call resolves the values. Later calls reuse the result: Helm passes the same root context to all files of the chart.
*/}}
{{- define "agent-identities.resolve" -}}
{{- if not (hasKey . "identities") }}
  {{- include "agent-identities.completeValues" . }}
  {{- $problems := dict }}
  {{- $identities := dict "namespace" (include "agent-identities.namespace" .) "prefix" (include "agent-identities.prefix" .) "labels" (include "agent-identities.labels" .) "bindings" .Values.bindings "groups" dict }}
  {{- $_ := set . "identities" $identities }}
  {{- $impersonation := .Values.proxy.impersonation }}
  {{- if eq $impersonation "auto" }}
    {{- $impersonation = semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version | ternary "constrained" "legacy" }}
  {{- end }}
  {{- $_ := set $identities "impersonation" $impersonation }}
  {{- include "agent-identities.resolveTiers" (list . $problems) }}
  {{- include "agent-identities.resolveAgents" (list . $problems) }}
  {{- include "agent-identities.resolveGrants" . }}
  {{- include "agent-identities.resolveNetwork" (list . $problems) }}
  {{- include "agent-identities.resolveWorkloads" . }}
  {{- if eq .Values.bindings "perTier" }}{{ include "agent-identities.resolveGroups" $identities }}{{ end }}
  {{- include "agent-identities.validate" (dict "root" . "problems" $problems) }}
{{- end }}
{{- end }}

{{/* Call: (list root problems) */}}
{{- define "agent-identities.resolveTiers" -}}
{{- $root := index . 0 }}
{{- $problems := index . 1 }}
{{- $proxy := $root.Values.proxy }}
{{- $central := dict "name" "proxy" "role" (printf "%s-role" $proxy.name) "kind" "Role" "rules" $proxy.rules "scope" "Namespace" "perAgent" false "acceptRisks" $proxy.acceptRisks "roleNames" dict }}
{{- $tiers := dict "proxy" $central }}
{{- $clusterTiers := 0 }}
{{- range $name, $tier := $root.Values.tiers }}
  {{- if eq $name "proxy" }}
    {{- include "agent-identities.problem" (list $problems "tiers.proxy" "is reserved for the tier of the central role. Move the rules to proxy.rules, or rename the tier.") }}
    {{- continue }}
  {{- end }}
  {{- $scope := $tier.scope | default "Namespace" }}
  {{- $kind := eq $scope "Cluster" | ternary "ClusterRole" "Role" }}
  {{- with $tier.existingRole }}{{ $kind = .kind | default $kind }}{{ end }}
  {{- $perAgent := regexMatch "\\{agent\\}" (toJson $tier.rules) }}
  {{- if eq $scope "Cluster" }}{{ $clusterTiers = add1 $clusterTiers }}{{ end }}
  {{- $_ := set $tiers $name (dict "name" $name "role" (printf "%s-role" $name) "kind" $kind "rules" $tier.rules "scope" $scope "perAgent" $perAgent "existingRole" $tier.existingRole "acceptRisks" $tier.acceptRisks "roleNames" dict) }}
{{- end }}
{{- $_ := set $root.identities "tiers" $tiers }}
{{- $_ := set $root.identities "clusterTiers" $clusterTiers }}
{{- end }}

{{/* Call: (list root problems) */}}
{{- define "agent-identities.resolveAgents" -}}
{{- $root := index . 0 }}
{{- $problems := index . 1 }}
{{- $agents := dict }}
{{- $quarantined := dict }}
{{- $seen := dict }}
{{- $projected := dict "mode" "projected" "expirationSeconds" 3600 }}
{{- $noCloud := dict "annotations" dict "podLabels" dict "tokens" dict "audiences" list }}
{{- $everyone := eq (toString $root.Values.quarantined) "true" }}
{{- range $entry, $agent := $root.Values.agents }}
  {{- $names := list $entry }}
  {{- $create := true }}
  {{- with $agent.serviceAccount }}
    {{- $names = list (.name | default $entry) }}
    {{- $create = ne (toString .create) "false" }}
  {{- end }}
  {{- if hasKey $agent "instances" }}
    {{- $names = list }}
    {{- range $number := untilStep 1 (int (add1 $agent.instances)) 1 }}
      {{- $names = append $names (printf "%s-%d" $entry $number) }}
    {{- end }}
  {{- end }}
  {{- $tiers := list "proxy" }}
  {{- if hasKey $agent "tiers" }}{{ $tiers = $agent.tiers }}{{ end }}
  {{- $access := $agent.access | default "direct" }}
  {{- $token := $projected }}
  {{- with $agent.token }}{{ $token = merge (dict) . $projected }}{{ end }}
  {{- if ne $access "direct" }}{{ $token = dict "mode" "none" }}{{ end }}
  {{- $cloud := $noCloud }}
  {{- $annotations := $agent.annotations }}
  {{- if or $agent.cloud $agent.tokens }}
    {{- $cloud = dict "annotations" dict "podLabels" dict "tokens" dict "audiences" list }}
    {{- include "agent-identities.resolveCloud" (list $cloud $agent) }}
    {{- $annotations = merge $cloud.annotations ($agent.annotations | default dict) }}
  {{- end }}
  {{- range $index, $name := $names }}
    {{- if gt (len $name) 63 }}
      {{- if hasKey $seen $entry }}
        {{- include "agent-identities.problem" (list $problems (printf "agents.%s" $entry) (printf "labels its objects with %q, because the name of its ServiceAccount is longer than 63 characters, and agents.%s has a ServiceAccount of this name. Rename this agent." $entry (get $seen $entry))) }}
      {{- end }}
      {{- $_ := set $seen $entry $entry }}
    {{- end }}
    {{- if hasKey $seen $name }}
      {{- include "agent-identities.problem" (list $problems (printf "agents.%s" $entry) (printf "expands to the ServiceAccount %q, as agents.%s does. %s" $name (get $seen $name) (include "agent-identities.renameOrQuarantine" (list $root.Values.agents $name $entry (get $seen $name))))) }}
    {{- end }}
    {{- $_ := set $seen $name $entry }}
    {{- $out := $everyone }}
    {{- with $agent.quarantined }}
      {{- $out = or $out (not (kindIs "slice" .)) }}
      {{- if not $out }}{{ range . }}{{ $out = or $out (eq (int .) (int (add1 $index))) }}{{ end }}{{ end }}
    {{- end }}
    {{- $identity := dict "name" $name "entry" $entry "access" $access "tiers" $tiers "namespaces" ($agent.namespaces | default dict) "token" $token "workload" $agent.workload "labels" $agent.labels "annotations" $annotations "createAccount" $create "podLabels" $cloud.podLabels "tokens" $cloud.tokens "audiences" $cloud.audiences "cloud" $agent.cloud "network" ($agent.network | default dict) }}
    {{- $_ := set $identity "ownLabels" (include "agent-identities.agentLabels" $identity) }}
    {{- $_ := set (ternary $quarantined $agents $out) $name $identity }}
  {{- end }}
{{- end }}
{{- $_ := set $root.identities "agents" $agents }}
{{- $_ := set $root.identities "quarantined" $quarantined }}
{{- end }}

{{/*
What to do about two entries with the same ServiceAccount. An entry with quarantined: true alone is a name that a user took from the cluster, as in
--set agents.triage-1.quarantined=true. Call: (list agents account entry entry)
*/}}
{{- define "agent-identities.renameOrQuarantine" -}}
{{- $agents := index . 0 }}
{{- $account := index . 1 }}
{{- $text := "Rename one of the two." }}
{{- range $pair := list (list (index . 2) (index . 3)) (list (index . 3) (index . 2)) }}
  {{- $owner := last $pair }}
  {{- if eq (get $agents (first $pair) | toJson) "{\"quarantined\":true}" }}
    {{- $quarantined := hasKey (get $agents $owner) "instances" | ternary (printf "[%s]" (trimPrefix (printf "%s-" $owner) $account)) "true" }}
    {{- $text = printf "To quarantine it, remove agents.%s, and write: agents: {%s: {quarantined: %s}}" (first $pair) $owner $quarantined }}
  {{- end }}
{{- end }}
{{- $text }}
{{- end }}

{{/* Collects the proxied agents, and the tiers that are granted in each namespace. Call: the root context */}}
{{- define "agent-identities.resolveGrants" -}}
{{- $identities := .identities }}
{{- $elsewhere := dict }}
{{- $proxied := list }}
{{- $proxiedTiers := dict }}
{{- range $name, $agent := $identities.agents }}
  {{- range $namespace, $tiers := $agent.namespaces }}
    {{- if not (hasKey $elsewhere $namespace) }}{{ $_ := set $elsewhere $namespace dict }}{{ end }}
    {{- range $tier := $tiers }}{{ $_ := set (get $elsewhere $namespace) $tier true }}{{ end }}
  {{- end }}
  {{- if eq $agent.access "proxied" }}
    {{- $proxied = append $proxied $name }}
    {{- range $tier := $agent.tiers }}
      {{- $namespace := eq (dig $tier "scope" "Namespace" $identities.tiers) "Cluster" | ternary "" $identities.namespace }}
      {{- $_ := set $proxiedTiers $namespace (merge (get $proxiedTiers $namespace | default dict) (dict $tier true)) }}
    {{- end }}
    {{- range $namespace, $tiers := $agent.namespaces }}
      {{- range $tier := $tiers }}
        {{- $_ := set $proxiedTiers $namespace (merge (get $proxiedTiers $namespace | default dict) (dict $tier true)) }}
      {{- end }}
    {{- end }}
  {{- end }}
{{- end }}
{{- $_ := set $identities "elsewhere" $elsewhere }}
{{- $_ := set $identities "proxied" $proxied }}
{{- $_ := set $identities "proxiedTiers" $proxiedTiers }}
{{- end }}

{{/*
With bindings: perTier, groups the agents that share a binding: at most sixteen groups for each tier and namespace. The group is the first
digit of a hash of the agent's name, so that adding or removing an agent changes one binding only. Call: identities
*/}}
{{- define "agent-identities.resolveGroups" -}}
{{- $identities := . }}
{{- range $name, $agent := $identities.agents }}
  {{- $bucket := sha256sum $name | trunc 1 }}
  {{- range $tier := $agent.tiers }}
    {{- $namespace := eq (dig $tier "scope" "Namespace" $identities.tiers) "Cluster" | ternary "" $identities.namespace }}
    {{- include "agent-identities.joinGroup" (list $identities $tier $namespace $bucket $name) }}
  {{- end }}
  {{- range $namespace, $tiers := $agent.namespaces }}
    {{- range $tier := $tiers }}
      {{- include "agent-identities.joinGroup" (list $identities $tier $namespace $bucket $name) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Call: (list identities tier-name namespace bucket agent-name) */}}
{{- define "agent-identities.joinGroup" -}}
{{- $identities := index . 0 }}
{{- $tier := index . 1 }}
{{- if not (dig $tier "perAgent" true $identities.tiers) }}
  {{- $key := printf "%s/%s/%s" (index . 2) $tier (index . 3) }}
  {{- $group := get $identities.groups $key | default (dict "tier" $tier "namespace" (index . 2) "bucket" (index . 3) "subjects" list) }}
  {{- $_ := set $group "subjects" (append $group.subjects (index . 4)) }}
  {{- $_ := set $identities.groups $key $group }}
{{- end }}
{{- end }}
