{{/*
The risk budget: a tier that meets a critical or high risk of files/risk-catalogue.json says so itself, with the reason, or it is refused.
The catalogue's `about` tells what its patterns mean; agent_identities.rbac.catalogue reads them in Python, and a test holds the two together.

Call: (list problems root)
*/}}
{{- define "agent-identities.validateRisks" -}}
{{- $problems := index . 0 }}
{{- $root := index . 1 }}
{{- $identities := $root.identities }}
{{- $named := dict }}
{{- range $identities.tiers }}{{ range .rules }}{{ range .resources }}{{ $_ := set $named . true }}{{ end }}{{ end }}{{ end }}
{{- $index := dict }}
{{- include "agent-identities.indexRisks" (list ($root.Files.Get "files/risk-catalogue.json" | fromJson) $index $named) }}
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
  {{- $path := eq $name "proxy" | ternary "proxy" (printf "tiers.%s" $name) }}
  {{- if $met }}{{ include "agent-identities.refuseRisks" (list $problems $path $index $met $accepted) }}{{ end }}
  {{- if $accepted }}
    {{- /* A risk of kube-system may stay accepted while nobody is granted the tier there: else to quarantine that agent would be refused. */}}
    {{- $possible := dict }}
    {{- include "agent-identities.findRisks" (dict "index" $index "rules" $tier.rules "clusterWide" $clusterWide "namespaces" (merge (dict) $namespaces $index.namespaces) "met" $possible) }}
    {{- include "agent-identities.validateAcceptance" (list $problems $path $index $possible $accepted) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Refuses what is critical or high and not accepted. Call: (list problems path index met accepted), met as agent-identities.findRisks leaves it */}}
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
  {{- $text := printf "%s risk %s: %s." .severity .id .why }}
  {{- if eq (add1 $number) (len $open | int64) }}
    {{- $text = printf "%s Narrow the rule, or take the risk on purpose; write into %s:\n      acceptRisks: {%s}" $text $path (join ", " $lines) }}
  {{- end }}
  {{- $rules := list }}
  {{- range get $met .id }}{{ $rules = append $rules (printf "rules[%d]" (int .)) }}{{ end }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.%s" $path (join " and " $rules)) $text) }}
{{- end }}
{{- end }}

{{/*
Refuses to accept what is not there: such a line would take the risk in silence, should a rule ever bring it.
Call: (list problems path index met accepted)
*/}}
{{- define "agent-identities.validateAcceptance" -}}
{{- $path := index . 1 }}
{{- $met := index . 3 }}
{{- $known := dict }}
{{- range (index . 2).risks }}{{ $_ := set $known .id true }}{{ end }}
{{- $here := keys $met | sortAlpha | join ", " | default "none" }}
{{- range $id, $reason := index . 4 }}
  {{- if not (hasKey $known $id) }}
    {{- include "agent-identities.problem" (list (index $ 0) (printf "%s.acceptRisks.%s" $path $id) (printf "there is no such risk. The rules here meet: %s. Name one of them, or remove this line." $here)) }}
  {{- else if not (hasKey $met $id) }}
    {{- include "agent-identities.problem" (list (index $ 0) (printf "%s.acceptRisks.%s" $path $id) (printf "no rule here meets this risk. The rules meet: %s. Remove this line." $here)) }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
Sorts the catalogue by what its patterns ask for, so that a rule is compared with those few that can concern it; patterns for resources that no rule names are left out. Fills index with

  verbs         as in the catalogue
  risks         as in the catalogue
  unbound       (dict "risk" "part" (its number, where the risk takes all its patterns) "pattern") of each pattern that names no resource
  byResource    resource -> the same of those that name it
  subresources  (dict "item" "resource" "subresource") of each resource/subresource that a pattern names
  namespaces    namespace -> true, of those that a pattern names

Call: (list catalogue index named), named: resource -> true, of all resources in the rules
*/}}
{{- define "agent-identities.indexRisks" -}}
{{- $index := index . 1 }}
{{- $named := index . 2 }}
{{- $every := keys $named | join " " | regexMatch "[*/]" }}
{{- $unbound := list }}
{{- $byResource := dict }}
{{- $subresources := list }}
{{- $namespaces := dict }}
{{- range $risk := (index . 0).risks }}
  {{- range $number, $pattern := .all | default .any }}
    {{- $part := ternary (toString $number) "0" (hasKey $risk "all") }}
    {{- if not .resources }}{{ $unbound = append $unbound (dict "risk" $risk "part" $part "pattern" .) }}{{ end }}
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
{{- $_ := set $index "risks" (index . 0).risks }}
{{- $_ := set $index "unbound" $unbound }}
{{- $_ := set $index "byResource" $byResource }}
{{- $_ := set $index "subresources" $subresources }}
{{- $_ := set $index "namespaces" $namespaces }}
{{- end }}

{{/*
Which risks a list of rules meets, where they are held in these namespaces, or in the whole cluster: fills met with risk -> numbers of the
rules that take part in it.
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
  {{- range $item, $_ := $items }}{{ with get $index.byResource $item }}{{ $candidates = concat $candidates . }}{{ end }}{{ end }}
  {{- /* With every resource, the wildcard risks already tell what the API verbs reach; the others look at the verbs beyond. */}}
  {{- $counted := list }}
  {{- range $verb := .verbs }}
    {{- if not (and $everyResource (or (eq . "*") (has . $index.verbs.api))) }}{{ $counted = append $counted . }}{{ end }}
    {{- $known := or (eq . "*") (has . $index.verbs.api) (has . $index.verbs.special) }}
    {{- range $index.verbs.specialPrefixes }}{{ $known = or $known (hasPrefix . $verb) }}{{ end }}
    {{- $unknownVerb = or $unknownVerb (not $known) }}
  {{- end }}
  {{- $wildcards := dict "apiGroups" (has "*" .apiGroups) "resources" $everyResource "subresources" $everySubresource "verbs" (has "*" .verbs) }}
  {{- range $candidate := $candidates }}
    {{- $verbs := eq .risk.category "wildcard" | ternary $rule.verbs $counted }}
    {{- if and (or $clusterWide (eq .risk.scope "any")) (include "agent-identities.patternMet" (list .pattern $rule $verbs $wildcards $unknownVerb $clusterWide $namespaces)) }}
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
Prints true if a rule meets all fields of a pattern but its resources, which brought the two together.
Call: (list pattern rule verbs-that-count wildcards unknown-verb cluster-wide namespaces)
*/}}
{{- define "agent-identities.patternMet" -}}
{{- $pattern := index . 0 }}
{{- $rule := index . 1 }}
{{- $verbs := index . 2 }}
{{- $met := true }}
{{- with $pattern.wildcards }}
  {{- range . }}{{ $met = and $met (get (index $ 3) .) }}{{ end }}
{{- end }}
{{- if and $met $pattern.apiGroups }}{{ $met = include "agent-identities.holds" (list $rule.apiGroups $pattern.apiGroups) }}{{ end }}
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
{{- if $met }}true{{ end }}
{{- end }}

{{/* Prints true if a field of a rule holds one of these items, or all. Call: (list field items) */}}
{{- define "agent-identities.holds" -}}
{{- $field := index . 0 }}
{{- if has "*" $field -}}
true
{{- else }}
{{- range index . 1 }}{{ if has . $field }}true{{ break }}{{ end }}{{ end }}
{{- end }}
{{- end }}

{{/* The risks that a tier takes on purpose, one a line, sorted. Call: a tier, as in .identities.tiers */}}
{{- define "agent-identities.acceptedRisks" -}}
{{- $lines := list }}
{{- range $id, $reason := .acceptRisks }}{{ $lines = append $lines (printf "%s: %s" $id $reason) }}{{ end }}
{{- join "\n" $lines }}
{{- end }}
