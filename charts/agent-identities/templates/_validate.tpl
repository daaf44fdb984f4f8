{{/*
Validates relations between values, which the schema cannot express. Collects all problems, each with the path in the values, the error and
the remediation, and fails with one message.
Call: (dict "root" $ "problems" (dict)), after agent-identities.resolve has filled .identities
*/}}
{{- define "agent-identities.validate" -}}
{{- $root := .root }}
{{- $problems := .problems }}
{{- $values := $root.Values }}
{{- $identities := $root.identities }}

{{- $catalogue := $root.Files.Get "files/risk-catalogue.json" | fromJson }}
{{- $_ := set $problems "lifecycle" ($root.Files.Get "files/lifecycle-metadata.json" | fromJson).prefixes }}
{{- include "agent-identities.validateText" (list $problems "" $values) }}
{{- include "agent-identities.validateLabels" (list $problems "extraLabels" $values.extraLabels dict) }}
{{- include "agent-identities.validateLifecycle" (list $problems "extraLabels" $values.extraLabels) }}
{{- if eq $values.proxy.name "default" }}
  {{- include "agent-identities.problem" (list $problems "proxy.name" "is \"default\", the ServiceAccount of every pod that names no other. Write: name: agent-proxy") }}
{{- end }}
{{- include "agent-identities.validateLabels" (list $problems "proxy.labels" $values.proxy.labels $values.extraLabels) }}
{{- include "agent-identities.validateKeys" (list $problems "proxy.annotations" $values.proxy.annotations) }}
{{- range $kind := list "labels" "annotations" }}
  {{- include "agent-identities.validateLifecycle" (list $problems (printf "proxy.%s" $kind) (get $values.proxy $kind)) }}
{{- end }}
{{- if contains "{agent}" (toJson $values.proxy.rules) }}
  {{- include "agent-identities.problem" (list $problems "proxy.rules" "has {agent}, but all agents share the central role. Define a tier instead:\n      tiers:\n        own:\n          rules: [{apiGroups: [\"\"], resources: [configmaps], resourceNames: [\"{agent}-state\"], verbs: [get]}]") }}
{{- end }}
{{- if and $identities.proxied (eq $values.proxy.impersonation "constrained") (semverCompare "<1.35.0-0" $root.Capabilities.KubeVersion.Version) }}
  {{- include "agent-identities.problem" (list $problems "proxy.impersonation" (printf "is constrained, but Kubernetes %s has no constrained impersonation (available since 1.36): the proxy could impersonate no agent. Write: impersonation: auto" $root.Capabilities.KubeVersion.Version)) }}
{{- end }}
{{- include "agent-identities.validateToken" (list $problems "proxy.token" $values.proxy.token) }}
{{- include "agent-identities.validateWorkload" (list $problems "proxy.workload" $values.proxy.workload $values.proxy.token) }}
{{- $_ := set $problems "api" ($root.Files.Get "files/api-resources.json" | fromJson) }}
{{- $_ := set $problems "urlVerbs" $catalogue.verbs.nonResource }}
{{- $roles := dict }}
{{- range $name, $tier := $identities.tiers }}
  {{- include "agent-identities.validateRules" (list $problems (eq $name "proxy" | ternary "proxy" (printf "tiers.%s" $name)) $tier) }}
  {{- if ne $name "proxy" }}{{ include "agent-identities.validateTier" (list $problems $identities $tier) }}{{ end }}
  {{- /* Bindings are named after the role: two tiers with the same role would render the same binding. The central role has its own message. */}}
  {{- $role := printf "%s/%s/%s" $tier.scope $tier.kind (dig "name" $tier.role ($tier.existingRole | default dict)) }}
  {{- if and (hasKey $roles $role) (or $tier.existingRole (ne $tier.role $identities.tiers.proxy.role)) }}
    {{- include "agent-identities.problem" (list $problems (printf "tiers.%s" $name) (printf "is the role %q, as the tier %q is. Keep one of the two." (base $role) (get $roles $role))) }}
  {{- end }}
  {{- $_ := set $roles $role $name }}
{{- end }}
{{- include "agent-identities.validateRisks" (list $problems $root $catalogue) }}
{{- include "agent-identities.validateNetwork" (list $problems $root) }}
{{- include "agent-identities.validateFairShare" (list $problems $values.priorityAndFairness) }}
{{- include "agent-identities.validateGuards" (list $problems $root) }}
{{- range $section := list "agents" "tiers" }}{{ include "agent-identities.validateQuoted" (list $problems $section (get $values $section)) }}{{ end }}
{{- include "agent-identities.validateQuarantined" (list $problems $root) }}
{{- include "agent-identities.validateAdoption" (list $problems $root) }}
{{- range $entry, $agent := $values.agents }}
  {{- if not $agent }}{{ continue }}{{ end }}
  {{- include "agent-identities.validateAgent" (list $problems $identities $entry $agent) }}
  {{- if $agent.labels }}{{ include "agent-identities.validateLabels" (list $problems (printf "agents.%s.labels" $entry) $agent.labels $values.extraLabels) }}{{ end }}
{{- end }}
{{- $everyone := $identities.agents }}
{{- if $identities.quarantined }}{{ $everyone = merge (dict) $identities.agents $identities.quarantined }}{{ end }}
{{- range $name, $identity := $everyone }}
  {{- if or (eq $name "default" $values.proxy.name) (and $identity.createAccount (gt (len $name) 63)) }}
    {{- include "agent-identities.validateName" (list $problems (printf "agents.%s" $identity.entry) $name $values.proxy.name) }}
  {{- end }}
{{- end }}

{{- with $problems.list }}
  {{- $shown := min 20 (len .) | int }}
  {{- $text := printf "\n\n%d problem%s in the values:\n" (len .) (ternary "" "s" (eq (len .) 1)) }}
  {{- range slice . 0 $shown }}
    {{- $text = printf "%s\n  %s: %s" $text (index . 0) (index . 1) }}
  {{- end }}
  {{- if gt (len .) $shown }}
    {{- $text = printf "%s\n  ... and %d more" $text (sub (len .) $shown) }}
  {{- end }}
  {{- fail (print $text "\n") }}
{{- end }}
{{- end }}

{{/* Records one problem. Call: (list problems path text) */}}
{{- define "agent-identities.problem" -}}
{{- $problems := index . 0 }}
{{- $_ := set $problems "list" (append ($problems.list | default list) (rest .)) }}
{{- end }}

{{/*
Refuses characters that YAML does not allow: Helm's toYaml renders a value with such a character as an empty string, and a NetworkPolicy
without peers would allow all traffic. It renders U+0085 as a space. Call: (list problems path value)
*/}}
{{- define "agent-identities.validateText" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $value := index . 2 }}
{{- if regexMatch "[\\x{7f}-\\x{9f}\\x{fffe}\\x{ffff}]" (toJson $value) }}
  {{- $before := len ($problems.list | default list) }}
  {{- $shown := toString $value }}
  {{- if kindIs "map" $value }}
    {{- range $key, $below := $value }}{{ include "agent-identities.validateText" (list $problems (trimPrefix "." (printf "%s.%s" $path $key)) $below) }}{{ end }}
    {{- $shown = keys $value | sortAlpha | join ", " }}
  {{- else if kindIs "slice" $value }}
    {{- range $index, $below := $value }}{{ include "agent-identities.validateText" (list $problems (printf "%s[%d]" $path $index) $below) }}{{ end }}
  {{- end }}
  {{- if eq $before (len ($problems.list | default list)) }}
    {{- include "agent-identities.problem" (list $problems $path (printf "has a character that YAML does not allow: %q. Remove it." $shown)) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Refuses invalid label and annotation keys (k8s.io/apimachinery, pkg/api/validate/content). Call: (list problems path map) */}}
{{- define "agent-identities.validateKeys" -}}
{{- range $key, $value := index . 2 }}
  {{- if not (regexMatch "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" $key) }}
    {{- include "agent-identities.problem" (list (index $ 0) (index $ 1) (printf "%q is not a valid key. A key has letters, digits, '-', '_' and '.', at most 63, after an optional DNS name and '/'. Write: example.com/team" $key)) }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
Refuses annotations and labels by which a deployment tool keeps, re-creates or disowns an account: its quarantine would not remove the account.
Call: (list problems path map)
*/}}
{{- define "agent-identities.validateLifecycle" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- range $key, $value := index . 2 }}
  {{- $parts := splitn "/" 2 $key }}
  {{- with get $problems.lifecycle $parts._0 }}
    {{- $found := dict }}
    {{- range . }}
      {{- if and (regexMatch .names ($parts._1 | default "")) (regexMatch (.values | default "") $value) }}{{ $found = . }}{{ end }}
    {{- end }}
    {{- with $found.why }}
      {{- include "agent-identities.problem" (list $problems $path (printf "%q: %s. The quarantine of an agent removes accounts and bindings, and must reach them. Remove this line." (printf "%s: %s" $key $value) .)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
Refuses names that unquoted YAML reads as another type: the key no: arrives as "false", 07: as "7", 1e3: as "1000", and an object would get a
name that the values do not have. A quoted "no" arrives as "no". Call: (list problems path map)
*/}}
{{- define "agent-identities.validateQuoted" -}}
{{- $suspect := regexMatch "(^| )([0-9]+|true|false|null)( |$)" (keys (index . 2) | join " ") }}
{{- range $key, $value := $suspect | ternary (index . 2) dict }}
  {{- if regexMatch "^([0-9]+|true|false|null)$" $key }}
    {{- $text := printf "%q is a number: YAML reads keys such as 07, 0x10 and 1e3 without quotes as numbers. Use a name that is not a number, such as n-%s." $key $key }}
    {{- if eq $key "true" }}{{ $text = "\"true\" is how YAML reads the keys yes, on, y and true without quotes. Quote the key (\"yes\":), or use another name." }}{{ end }}
    {{- if eq $key "false" }}{{ $text = "\"false\" is how YAML reads the keys no, off, n and false without quotes. Quote the key (\"no\":), or use another name." }}{{ end }}
    {{- if eq $key "null" }}{{ $text = "\"null\" without quotes is not a name in YAML. Use another name." }}{{ end }}
    {{- include "agent-identities.problem" (list (index $ 0) (printf "%s.%s" (index $ 1) $key) $text) }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
Refuses labels that the chart or extraLabels already set: an object with a duplicate key is invalid.
Call: (list problems path labels extraLabels)
*/}}
{{- define "agent-identities.validateLabels" -}}
{{- include "agent-identities.validateKeys" . }}
{{- $extra := index . 3 | default dict }}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/managed-by" "helm.sh/chart" }}
{{- range $label, $value := index . 2 }}
  {{- if hasKey $extra $label }}
    {{- include "agent-identities.problem" (list (index $ 0) (index $ 1) (printf "%q is also set in extraLabels. Remove one of the two." $label)) }}
  {{- else if or (has $label $own) (hasPrefix "agent-identities/" $label) }}
    {{- include "agent-identities.problem" (list (index $ 0) (index $ 1) (printf "%q is set by the chart. Choose another key." $label)) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Prints true if a tier refers to a ClusterRole of Kubernetes without its kind. Call: a tier, as in .identities.tiers */}}
{{- define "agent-identities.kindMissing" -}}
{{- if and (eq .kind "Role") (not .existingRole.kind) (has .existingRole.name (list "cluster-admin" "admin" "edit" "view")) }}true{{ end }}
{{- end }}

{{/* Call: (list problems identities tier) */}}
{{- define "agent-identities.validateTier" -}}
{{- $problems := index . 0 }}
{{- $identities := index . 1 }}
{{- $tier := index . 2 }}
{{- $path := printf "tiers.%s" $tier.name }}
{{- if eq $tier.role $identities.tiers.proxy.role }}
  {{- include "agent-identities.problem" (list $problems $path (printf "would create the Role %q, which is the central role. Give this tier another name." $tier.role)) }}
{{- end }}
{{- if and $tier.rules $tier.existingRole }}
  {{- include "agent-identities.problem" (list $problems $path "has both rules and existingRole. Keep one: rules for a role that the chart creates, existingRole for a role that it does not.") }}
{{- end }}
{{- if not (or $tier.rules $tier.existingRole) }}
  {{- include "agent-identities.problem" (list $problems $path "has neither rules nor existingRole. Write:\n      rules: [{apiGroups: [\"\"], resources: [pods], verbs: [get, list, watch]}]") }}
{{- end }}
{{- with $tier.existingRole }}
  {{- if include "agent-identities.kindMissing" $tier }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.existingRole" $path) (printf "%q is a ClusterRole of Kubernetes, and without kind the tier refers to a Role. If the namespaces of the tier have a Role of this name, write: kind: Role. Otherwise, write: existingRole: {kind: ClusterRole, name: %s}" .name .name)) }}
  {{- end }}
{{- end }}
{{- if and $tier.perAgent (eq $tier.scope "Cluster") }}
  {{- include "agent-identities.problem" (list $problems $path "has scope: Cluster and {agent} in its rules, but {agent} is for objects in namespaces. Remove one of the two.") }}
{{- end }}
{{- if and (eq $tier.scope "Cluster") (eq $tier.kind "Role") }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.existingRole" $path) "is a Role, which applies to one namespace, but scope is Cluster. Write: kind: ClusterRole") }}
{{- end }}
{{- end }}

{{/* Call: (list problems identities entry agent) */}}
{{- define "agent-identities.validateAgent" -}}
{{- $problems := index . 0 }}
{{- $identities := index . 1 }}
{{- $entry := index . 2 }}
{{- $agent := index . 3 }}
{{- $path := printf "agents.%s" $entry }}
{{- $proxied := eq ($agent.access | default "direct") "proxied" }}
{{- if $agent.namespace }}{{ include "agent-identities.validateNamespace" (list $problems $identities $entry $agent) }}{{ end }}
{{- range $index, $tier := $agent.tiers }}
  {{- include "agent-identities.validateGrant" (list $problems $identities (printf "%s.tiers[%d]" $path $index) $tier $proxied) }}
{{- end }}
{{- range $namespace, $tiers := $agent.namespaces }}
  {{- if eq $namespace $identities.namespace }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.namespaces.%s" $path $namespace) (printf "is the namespace of the agents. Write: tiers: [%s]" (join ", " $tiers))) }}
  {{- end }}
  {{- range $index, $tier := $tiers }}
    {{- $place := printf "%s.namespaces.%s[%d]" $path $namespace $index }}
    {{- include "agent-identities.validateGrant" (list $problems $identities $place $tier $proxied) }}
    {{- if eq (dig $tier "scope" "Namespace" $identities.tiers) "Cluster" }}
      {{- include "agent-identities.problem" (list $problems $place (printf "the tier %q has scope: Cluster and applies to every namespace. List the tier under agents.%s.tiers." $tier $entry)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if $proxied }}
  {{- range $key := list "token" "workload" }}
    {{- if hasKey $agent $key }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.%s" $path $key) "a proxied agent has no token and runs no pods: the proxy impersonates it. Remove this field, or write: access: direct") }}
    {{- end }}
  {{- end }}
{{- end }}
{{- with $agent.serviceAccount }}
  {{- if and (eq (toString .create) "false") (not .name) }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.serviceAccount" $path) (printf "create is false, which requires the name of an existing ServiceAccount. Write: {create: false, name: %s}" $entry)) }}
  {{- end }}
  {{- if and .name (hasKey $agent "instances") }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.serviceAccount.name" $path) "is one name for several instances, which would share one identity. Remove the name, or remove instances.") }}
  {{- end }}
{{- end }}
{{- if kindIs "slice" $agent.quarantined }}
  {{- range $index, $number := $agent.quarantined }}
    {{- if gt (int $number) (int ($agent.instances | default 0)) }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.quarantined[%d]" $path $index) (printf "there is no instance %d: the agent has %s. List an existing instance, or write: quarantined: true" (int $number) (hasKey $agent "instances" | ternary (printf "%d" (int ($agent.instances | default 0))) "no instances"))) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if $agent.token }}{{ include "agent-identities.validateToken" (list $problems (printf "%s.token" $path) $agent.token) }}{{ end }}
{{- if or $agent.cloud $agent.tokens }}{{ include "agent-identities.validateCloud" (list $problems $identities $entry $agent) }}{{ end }}
{{- if $agent.annotations }}{{ include "agent-identities.validateKeys" (list $problems (printf "%s.annotations" $path) $agent.annotations) }}{{ end }}
{{- if or $agent.annotations $agent.labels }}
  {{- range $kind := list "labels" "annotations" }}{{ include "agent-identities.validateLifecycle" (list $problems (printf "%s.%s" $path $kind) (get $agent $kind | default dict)) }}{{ end }}
{{- end }}
{{- if $agent.namespaces }}{{ include "agent-identities.validateQuoted" (list $problems (printf "%s.namespaces" $path) $agent.namespaces) }}{{ end }}
{{- if $agent.workload }}{{ include "agent-identities.validateWorkload" (list $problems (printf "%s.workload" $path) $agent.workload $agent.token) }}{{ end }}
{{- end }}

{{/* Refuses names that the ServiceAccount of an agent must not have. Call: (list problems path name proxy-name) */}}
{{- define "agent-identities.validateName" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $name := index . 2 }}
{{- if eq $name "default" }}
  {{- include "agent-identities.problem" (list $problems $path "\"default\" is the ServiceAccount of every pod that names no other: an agent must not use it. Choose another name.") }}
{{- end }}
{{- if eq $name (index . 3) }}
  {{- include "agent-identities.problem" (list $problems $path (printf "expands to the ServiceAccount %q, which is the ServiceAccount of the proxy. Rename the agent, or set proxy.name." $name)) }}
{{- end }}
{{- if gt (len $name) 63 }}
  {{- include "agent-identities.problem" (list $problems $path (printf "expands to the ServiceAccount %q of %d characters; a label value has at most 63. Shorten the name." $name (len $name))) }}
{{- end }}
{{- end }}

{{/* Validates one tier of one agent. Call: (list problems identities path tier-name proxied) */}}
{{- define "agent-identities.validateGrant" -}}
{{- $problems := index . 0 }}
{{- $identities := index . 1 }}
{{- $tier := index . 3 }}
{{- if not (hasKey $identities.tiers $tier) }}
  {{- include "agent-identities.problem" (list $problems (index . 2) (printf "there is no tier %q. Known tiers: %s. Use one of them, or define it:\n      tiers:\n        %s:\n          rules: [{apiGroups: [\"\"], resources: [pods], verbs: [get, list, watch]}]" $tier (keys $identities.tiers | sortAlpha | join ", ") $tier)) }}
{{- else if and (index . 4) (get $identities.tiers $tier).existingRole (eq $identities.impersonation "constrained") }}
  {{- include "agent-identities.problem" (list $problems (index . 2) (printf "the tier %q is an existingRole: the chart does not know its verbs, so it cannot limit the proxy to them. Give the tier rules, or write: access: direct" $tier)) }}
{{- end }}
{{- end }}

{{/* Call: (list problems path token) */}}
{{- define "agent-identities.validateToken" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- with index . 2 }}
  {{- if eq (int .expirationSeconds) 3607 }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.expirationSeconds" $path) "is 3607, the lifetime that the API server extends to a year. Write: expirationSeconds: 3600") }}
  {{- end }}
  {{- if and (eq (.mode | default "projected") "automount") (or .expirationSeconds .audience) }}
    {{- include "agent-identities.problem" (list $problems $path "mode automount allows neither expirationSeconds nor audience: Kubernetes mounts its own token. Remove these fields, or write: mode: projected") }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Call: (list problems path workload token) */}}
{{- define "agent-identities.validateWorkload" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $token := index . 3 }}
{{- with index . 2 }}
  {{- include "agent-identities.validateLabels" (list $problems (printf "%s.podLabels" $path) .podLabels dict) }}
  {{- include "agent-identities.validateKeys" (list $problems (printf "%s.podAnnotations" $path) .podAnnotations) }}
  {{- include "agent-identities.validatePod" (list $problems $path . $token) }}
{{- end }}
{{- end }}
