{{/*
Refuses a tier that matches a critical or high risk of files/risk-catalogue.json, unless the tier accepts the risk with a reason. The field
`about` of the catalogue defines the patterns; agent_identities.rbac.catalogue evaluates them in Python, and a test compares the results.

Call: (list problems root catalogue)
*/}}
{{- define "agent-identities.validateRisks" -}}
{{- $problems := index . 0 }}
{{- $root := index . 1 }}
{{- $identities := $root.identities }}
{{- $named := dict }}
{{- $groups := dict }}
{{- range $identities.tiers }}
  {{- range .rules }}
    {{- range .resources }}{{ $_ := set $named . true }}{{ end }}
    {{- range .apiGroups }}{{ $_ := set $groups . true }}{{ end }}
  {{- end }}
{{- end }}
{{- $index := dict }}
{{- include "agent-identities.indexRisks" (list (index . 2) $index $named $groups) }}
{{- $grantedIn := dict }}
{{- range $namespace, $tiers := $identities.elsewhere }}
  {{- range $tier, $_ := $tiers }}
    {{- $_ := set $grantedIn $tier (merge (dict $namespace true) (get $grantedIn $tier | default dict)) }}
  {{- end }}
{{- end }}
{{- range $name, $tier := $identities.tiers }}
  {{- $accepted := $tier.acceptRisks | default dict }}
  {{- $clusterWide := eq $tier.scope "Cluster" }}
  {{- $namespaces := merge (dict $identities.namespace true) (get $grantedIn $name | default dict) }}
  {{- $met := dict }}
  {{- include "agent-identities.findRisks" (dict "index" $index "rules" $tier.rules "clusterWide" $clusterWide "namespaces" $namespaces "met" $met) }}
  {{- with $tier.existingRole }}
    {{- if not (include "agent-identities.kindMissing" $tier) }}{{ include "agent-identities.findExistingRole" (list $index $tier.kind .name $met) }}{{ end }}
  {{- end }}
  {{- $unread := and $tier.existingRole (or (not $met) (hasKey $met "existing-role-unknown")) | empty | not }}
  {{- $path := eq $name "proxy" | ternary "proxy" (printf "tiers.%s" $name) }}
  {{- if $met }}{{ include "agent-identities.refuseRisks" (list $problems $path $index $met $accepted $tier.rules) }}{{ end }}
  {{- if $accepted }}
    {{- /* A risk of kube-system may stay accepted without a grant there: otherwise, quarantining the agent with the grant would be refused. */}}
    {{- $possible := dict }}
    {{- include "agent-identities.findRisks" (dict "index" $index "rules" $tier.rules "clusterWide" $clusterWide "namespaces" (merge (dict) $namespaces $index.namespaces) "met" $possible) }}
    {{- $possible = merge $possible $met }}
    {{- include "agent-identities.validateAcceptance" (list $problems $path $index $possible $accepted $unread) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Adds the risk of an existing role to met, unless the role is harmless. Call: (list index kind name met) */}}
{{- define "agent-identities.findExistingRole" -}}
{{- $found := "" }}
{{- range (index . 0).existingRoles }}
  {{- $risk := . }}
  {{- if and (not $found) (has (index $ 1) .kinds) }}
    {{- range .names }}
      {{- if or (eq . (index $ 2)) (and (hasSuffix "*" .) (hasPrefix (trimSuffix "*" .) (index $ 2))) }}{{ $found = $risk.id }}{{ end }}
    {{- end }}
  {{- end }}
{{- end }}
{{- range (index . 0).harmlessRoles }}
  {{- if and (eq .kind (index $ 1)) (eq .name (index $ 2)) }}{{ $found = "" }}{{ end }}
{{- end }}
{{- if $found }}{{ $_ := set (index . 3) $found list }}{{ end }}
{{- end }}

{{/*
Refuses critical and high risks that are not accepted. Call: (list problems path index met accepted rules), met from agent-identities.findRisks
*/}}
{{- define "agent-identities.refuseRisks" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $met := index . 3 }}
{{- $accepted := index . 4 }}
{{- $open := list }}
{{- range $risk := (index . 2).risks }}
  {{- if and (hasKey $met .id) (has .severity (list "critical" "high")) (not (hasKey $accepted .id)) }}{{ $open = append $open . }}{{ end }}
{{- end }}
{{- $lines := list }}
{{- range $risk := $open }}{{ $lines = append $lines (printf "%s: \"why it is needed\"" .id) }}{{ end }}
{{- range $number, $risk := $open }}
  {{- $why := .why }}
  {{- range .any }}
    {{- if .unknownKind }}
      {{- $kinds := list }}
      {{- range get $met $risk.id }}
        {{- $rule := index (index $ 5) (int .) }}
        {{- $kinds = append $kinds (include "agent-identities.unknownKinds" (list (index $ 2) $rule $rule.verbs (first $risk.any).verbs)) }}
      {{- end }}
      {{- $why = printf "%s: %s" (join ", " $kinds) $why }}
    {{- end }}
  {{- end }}
  {{- $text := printf "%s risk %s: %s." .severity .id $why }}
  {{- if eq (add1 $number) (len $open | int64) }}
    {{- $instead := hasKey . "names" | ternary "Give the tier rules of its own" "Narrow the rule" }}
    {{- $text = printf "%s %s, or accept the risk in %s:\n      acceptRisks: {%s}" $text $instead $path (join ", " $lines) }}
  {{- end }}
  {{- $rules := list }}
  {{- range get $met .id }}{{ $rules = append $rules (printf "rules[%d]" (int .)) }}{{ end }}
  {{- if hasKey . "names" }}{{ $rules = list "existingRole" }}{{ end }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.%s" $path (join " and " $rules)) $text) }}
{{- end }}
{{- end }}

{{/*
Refuses accepted risks that no rule matches: the acceptance would apply silently to a rule that is added later. unread: only the cluster has the
rules of the tier, an existing role; verify compares the accepted risks with them.
Call: (list problems path index met accepted unread)
*/}}
{{- define "agent-identities.validateAcceptance" -}}
{{- $path := index . 1 }}
{{- $met := index . 3 }}
{{- $known := dict }}
{{- range (index . 2).risks }}{{ $_ := set $known .id (hasKey . "names" | ternary "role" "rules") }}{{ end }}
{{- $here := keys $met | sortAlpha | join ", " | default "none" }}
{{- range $id, $reason := index . 4 }}
  {{- if not (hasKey $known $id) }}
    {{- include "agent-identities.problem" (list (index $ 0) (printf "%s.acceptRisks.%s" $path $id) (printf "there is no such risk. The rules of this tier match: %s. Use one of these risks, or remove this line." $here)) }}
  {{- else if not (or (hasKey $met $id) (and (index $ 5) (eq (get $known $id) "rules"))) }}
    {{- include "agent-identities.problem" (list (index $ 0) (printf "%s.acceptRisks.%s" $path $id) (printf "no rule of this tier matches this risk. The rules match: %s. Remove this line." $here)) }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
Indexes the catalogue by resource, so that a rule is compared only with patterns that can match. Omits patterns of resources that no rule names.
Fills index with

  verbs         as in the catalogue
  risks         as in the catalogue, with the risks of existing roles
  existingRoles, harmlessRoles, harmless, publicURLs  as in the catalogue
  unbound       (dict "risk" "part" (number of the pattern, if the risk requires all patterns) "pattern") of each pattern without resources
                and API groups
  byResource    resource -> the same, of each pattern with that resource
  byGroup       API group -> the same, of each pattern with that API group and without resources
  suffixed      the patterns with suffixes of API groups
  subresources  (dict "item" "resource" "subresource") of each resource/subresource in a pattern
  namespaces    namespace -> true, of each namespace in a pattern

Call: (list catalogue index named groups); named: resource -> true, of each resource in the rules; groups: the same, of API groups
*/}}
{{- define "agent-identities.indexRisks" -}}
{{- $index := index . 1 }}
{{- $named := index . 2 }}
{{- $every := keys $named | join " " | regexMatch "[*/]" }}
{{- $unbound := list }}
{{- $byResource := dict }}
{{- $byGroup := dict }}
{{- $suffixed := list }}
{{- $groups := index . 3 }}
{{- $subresources := list }}
{{- $namespaces := dict }}
{{- range $risk := (index . 0).risks }}
  {{- range $number, $pattern := .all | default .any }}
    {{- $part := ternary (toString $number) "0" (hasKey $risk "all") }}
    {{- if .apiGroupSuffixes }}{{ $suffixed = append $suffixed . }}{{ end }}
    {{- if not (or .resources .apiGroups) }}{{ $unbound = append $unbound (dict "risk" $risk "part" $part "pattern" .) }}{{ end }}
    {{- range hasKey . "resources" | ternary list .apiGroups }}
      {{- if hasKey $groups . }}{{ $_ := set $byGroup . (append (get $byGroup . | default list) (dict "risk" $risk "part" $part "pattern" $pattern)) }}{{ end }}
    {{- end }}
    {{- range .resources }}
      {{- if or $every (hasKey $named .) }}
        {{- if and (contains "/" .) (not (hasKey $byResource .)) }}{{ $split := splitn "/" 2 . }}{{ $subresources = append $subresources (dict "item" . "resource" $split._0 "subresource" $split._1) }}{{ end }}
        {{- $_ := set $byResource . (append (get $byResource . | default list) (dict "risk" $risk "part" $part "pattern" $pattern)) }}
      {{- end }}
    {{- end }}
    {{- range .namespaces }}{{ $_ := set $namespaces . true }}{{ end }}
  {{- end }}
{{- end }}
{{- $_ := set $index "verbs" (index . 0).verbs }}
{{- $_ := set $index "risks" (concat (index . 0).risks (index . 0).existingRoles) }}
{{- $_ := set $index "existingRoles" (index . 0).existingRoles }}
{{- $_ := set $index "harmlessRoles" (index . 0).harmlessRoles }}
{{- $_ := set $index "harmless" (index . 0).harmless }}
{{- $_ := set $index "byGroup" $byGroup }}
{{- $_ := set $index "suffixed" $suffixed }}
{{- $_ := set $index "publicURLs" (index . 0).publicURLs }}
{{- $_ := set $index "unbound" $unbound }}
{{- $_ := set $index "byResource" $byResource }}
{{- $_ := set $index "subresources" $subresources }}
{{- $_ := set $index "namespaces" $namespaces }}
{{- end }}

{{/*
Prints the resources of a rule, as resource.group, for which the catalogue does not know one of these verbs. Wildcards in API groups and resources
are risks of their own. Call: (list index rule verbs-that-count verbs)
*/}}
{{- define "agent-identities.unknownKinds" -}}
{{- $index := index . 0 }}
{{- $rule := index . 1 }}
{{- $counted := index . 2 }}
{{- $verbs := list }}
{{- range index . 3 }}{{ if or (has . $counted) (has "*" $counted) }}{{ $verbs = append $verbs . }}{{ end }}{{ end }}
{{- $unknown := list }}
{{- range $resource := $rule.resources }}
  {{- if contains "*" . }}{{ continue }}{{ end }}
  {{- $items := list . }}
  {{- $split := splitn "/" 2 . }}
  {{- if $split._1 }}{{ $items = list . (printf "*/%s" $split._1) (printf "%s/*" $split._0) }}{{ end }}
  {{- range $group := without $rule.apiGroups "*" }}
    {{- $patterns := list }}
    {{- range $items }}
      {{- range get $index.byResource . | default list }}{{ if or (not .pattern.apiGroups) (has $group .pattern.apiGroups) }}{{ $patterns = append $patterns .pattern }}{{ end }}{{ end }}
    {{- end }}
    {{- $left := include "agent-identities.verbsLeft" (list $index $resource $verbs $patterns) }}
    {{- if $left }}
      {{- $patterns = list }}
      {{- range $index.harmless }}
        {{- $covered := or (not .apiGroups) (has $group .apiGroups) }}
        {{- if .resources }}
          {{- $named := false }}
          {{- range .resources }}{{ $named = or $named (has . $items) }}{{ end }}
          {{- $covered = and $covered $named }}
        {{- end }}
        {{- if $covered }}{{ $patterns = append $patterns . }}{{ end }}
      {{- end }}
      {{- range $pattern := $index.suffixed }}
        {{- range .apiGroupSuffixes }}{{ if hasSuffix . $group }}{{ $patterns = append $patterns $pattern }}{{ end }}{{ end }}
      {{- end }}
      {{- range get $index.byGroup $group | default list }}{{ $patterns = append $patterns .pattern }}{{ end }}
      {{- $left = include "agent-identities.verbsLeft" (list $index $resource (splitList " " $left) $patterns) }}
    {{- end }}
    {{- if $left }}{{ $unknown = append $unknown (trimSuffix "." (printf "%s.%s" $resource $group)) }}{{ end }}
  {{- end }}
{{- end }}
{{- join ", " $unknown }}
{{- end }}

{{/*
Prints the verbs on a resource that no pattern has; the patterns cover the resource. All verbs of a subresource count as one: it has one kind of
write. Call: (list index resource verbs patterns)
*/}}
{{- define "agent-identities.verbsLeft" -}}
{{- $known := list }}
{{- range index . 3 }}{{ $known = concat $known (.verbs | default (index $ 0).verbs.api) }}{{ end }}
{{- $left := list }}
{{- $deletes := or (has "delete" $known) (has "deletecollection" $known) }}
{{- range index . 2 }}
  {{- if not (or (has . $known) (and $deletes (hasPrefix "delete" .)) (and $known (contains "/" (index $ 1)))) }}{{ $left = append $left . }}{{ end }}
{{- end }}
{{- join " " $left }}
{{- end }}

{{/*
Finds the risks that a list of rules matches when granted in these namespaces, or in the whole cluster. Fills met with risk -> numbers of the
matching rules.
Call: (dict "index" "rules" "clusterWide" "namespaces" (namespace -> true) "met")
*/}}
{{- define "agent-identities.findRisks" -}}
{{- $index := .index }}
{{- $clusterWide := .clusterWide }}
{{- $namespaces := .namespaces }}
{{- $parts := dict }}
{{- $of := dict }}
{{- range $number, $rule := .rules }}
  {{- $everyResource := has "*" .resources }}
  {{- $candidates := $index.unbound }}
  {{- $items := dict }}
  {{- $unknownVerb := false }}
  {{- $everySubresource := false }}
  {{- range $resource := .resources }}
    {{- $everySubresource = or $everySubresource (hasPrefix "*/" .) }}
    {{- $_ := set $items . true }}
    {{- $split := splitn "/" 2 . }}
    {{- if $split._1 }}
      {{- range $index.subresources }}
        {{- if and (or (eq .resource "*") (eq $split._0 "*") (eq .resource $split._0)) (or (eq .subresource "*") (eq .subresource $split._1)) }}{{ $_ := set $items .item true }}{{ end }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- if $everyResource }}{{ $items = $index.byResource }}{{ end }}
  {{- range .apiGroups }}{{ with get $index.byGroup . }}{{ $candidates = concat $candidates . }}{{ end }}{{ end }}
  {{- range $item, $_ := $items }}{{ with get $index.byResource $item }}{{ $candidates = concat $candidates . }}{{ end }}{{ end }}
  {{- /* For "*" in resources, the wildcard risks cover the API verbs; other risks consider the remaining verbs only. */}}
  {{- $counted := list }}
  {{- range $verb := .verbs }}
    {{- if not (and $everyResource (or (eq . "*") (has . $index.verbs.api))) }}{{ $counted = append $counted . }}{{ end }}
    {{- $known := or (eq . "*") (has . (ternary $index.verbs.nonResource (concat $index.verbs.api $index.verbs.special) (hasKey $rule "nonResourceURLs"))) }}
    {{- range $index.verbs.specialPrefixes }}{{ $known = or $known (hasPrefix . $verb) }}{{ end }}
    {{- $unknownVerb = or $unknownVerb (not $known) }}
  {{- end }}
  {{- $everyURL := false }}
  {{- range $url := .nonResourceURLs }}
    {{- if hasSuffix "*" . }}
      {{- $public := false }}
      {{- range $index.publicURLs }}{{ $public = or $public (hasPrefix (trimSuffix "*" .) $url) }}{{ end }}
      {{- $everyURL = or $everyURL (not $public) }}
    {{- end }}
  {{- end }}
  {{- $wildcards := dict "apiGroups" (has "*" .apiGroups) "resources" $everyResource "subresources" $everySubresource "verbs" (has "*" .verbs) "nonResourceURLs" $everyURL }}
  {{- range $candidate := $candidates }}
    {{- $verbs := eq .risk.category "wildcard" | ternary $rule.verbs $counted }}
    {{- if and (or $clusterWide (eq .risk.scope "any")) (include "agent-identities.patternMet" (list .pattern $rule $verbs $wildcards $unknownVerb $clusterWide $namespaces $index)) }}
      {{- $id := .risk.id }}
      {{- $_ := set $of $id (.risk.all | default (list 0) | len) }}
      {{- if not (hasKey $parts $id) }}{{ $_ := set $parts $id (dict "met" dict "rules" list) }}{{ end }}
      {{- $_ := set (get $parts $id).met .part true }}
      {{- if not (has $number (get $parts $id).rules) }}{{ $_ := set (get $parts $id) "rules" (append (get $parts $id).rules $number) }}{{ end }}
    {{- end }}
  {{- end }}
{{- end }}
{{- range $id, $part := $parts }}
  {{- if eq (len .met) (get $of $id) }}{{ $_ := set $.met $id .rules }}{{ end }}
{{- end }}
{{- end }}

{{/*
Prints true if a rule matches all fields of a pattern; the index already matched its resources.
Call: (list pattern rule verbs-that-count wildcards unknown-verb cluster-wide namespaces index)
*/}}
{{- define "agent-identities.patternMet" -}}
{{- $pattern := index . 0 }}
{{- $rule := index . 1 }}
{{- $verbs := index . 2 }}
{{- $met := true }}
{{- with $pattern.wildcards }}
  {{- range . }}{{ $met = and $met (get (index $ 3) .) }}{{ end }}
{{- end }}
{{- $groups := $rule.apiGroups }}
{{- if and $groups (not $pattern.resources) }}{{ $groups = without $groups "*" }}{{ end }}
{{- if and $met $pattern.apiGroups }}{{ $met = include "agent-identities.holds" (list $groups $pattern.apiGroups) }}{{ end }}
{{- with $pattern.apiGroupSuffixes }}
  {{- $suffixed := false }}
  {{- range $suffix := . }}{{ range $groups }}{{ $suffixed = or $suffixed (hasSuffix $suffix .) }}{{ end }}{{ end }}
  {{- $met = and $met $suffixed }}
{{- end }}
{{- if and $met $pattern.verbs }}{{ $met = include "agent-identities.holds" (list $verbs $pattern.verbs) }}{{ end }}
{{- if and $met $pattern.verbPrefixes }}
  {{- $met = false }}
  {{- range $prefix := $pattern.verbPrefixes }}{{ range $verbs }}{{ $met = or $met (hasPrefix $prefix .) }}{{ end }}{{ end }}
{{- end }}
{{- with $pattern.resourceNames }}
  {{- $named := false }}
  {{- range . }}{{ $named = or $named (has . $rule.resourceNames) }}{{ end }}
  {{- $met = and $met $named }}
{{- end }}
{{- if hasKey $pattern "named" }}{{ $met = and $met (eq $pattern.named (not (empty $rule.resourceNames))) }}{{ end }}
{{- if hasKey $pattern "subresources" }}
  {{- $whole := false }}
  {{- range $rule.resources }}{{ $whole = or $whole (not (contains "/" .)) }}{{ end }}
  {{- $met = and $met $whole }}
{{- end }}
{{- if $pattern.unknownVerb }}{{ $met = and $met (index . 4) }}{{ end }}
{{- with $pattern.namespaces }}
  {{- $there := index $ 5 }}
  {{- range . }}{{ $there = or $there (hasKey (index $ 6) .) }}{{ end }}
  {{- $met = and $met $there }}
{{- end }}
{{- if and $met $pattern.unknownKind }}{{ $met = include "agent-identities.unknownKinds" (list (index . 7) $rule $verbs $pattern.verbs) }}{{ end }}
{{- if $met }}true{{ end }}
{{- end }}

{{/* Prints true if a field of a rule has one of these items, or "*". Call: (list field items) */}}
{{- define "agent-identities.holds" -}}
{{- $field := index . 0 }}
{{- if has "*" $field -}}
true
{{- else }}
{{- range index . 1 }}{{ if has . $field }}true{{ break }}{{ end }}{{ end }}
{{- end }}
{{- end }}

{{/* The accepted risks of a tier, sorted, one on each line. Call: a tier, as in .identities.tiers */}}
{{- define "agent-identities.acceptedRisks" -}}
{{- $lines := list }}
{{- range $id, $reason := .acceptRisks }}{{ $lines = append $lines (printf "%s: %s" $id $reason) }}{{ end }}
{{- join "\n" $lines }}
{{- end }}
