{{/*
Refuses rules that no request can use: the API server accepts every text in a rule. files/api-resources.json has the built-in resources; rules for
groups that it does not have are not compared with it. Call: (list problems path tier), problems.api is the content of the file
*/}}
{{- define "agent-identities.validateRules" -}}
{{- $problems := index . 0 }}
{{- $tier := index . 2 }}
{{- range $number, $rule := $tier.rules }}
  {{- $path := printf "%s.rules[%d]" (index $ 1) $number }}
  {{- if $rule.nonResourceURLs }}
    {{- include "agent-identities.validateURLs" (list $problems $path $tier $rule) }}
  {{- else if not $rule.resources }}
    {{- include "agent-identities.problem" (list $problems $path "has neither resources nor nonResourceURLs. Write: resources: [pods]") }}
  {{- else if not $rule.apiGroups }}
    {{- $group := index (get $problems.api.homes (splitList "/" (first $rule.resources) | first) | default (list "")) 0 }}
    {{- include "agent-identities.problem" (list $problems $path (printf "has resources, but no apiGroups. Write: apiGroups: [%q]" $group)) }}
  {{- else }}
    {{- include "agent-identities.validateResources" (list $problems $path $tier $rule) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Call: (list problems path tier rule) */}}
{{- define "agent-identities.validateResources" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $tier := index . 2 }}
{{- $rule := index . 3 }}
{{- $api := $problems.api }}

{{- /* Groups: in the right spelling, and whether all are built-in groups. */}}
{{- $groups := list }}
{{- $builtIn := true }}
{{- range $group := $rule.apiGroups }}
  {{- if not (or (eq . "*") (hasKey $api.groups .)) }}
    {{- $group = splitList "/" . | first | trim | lower }}
    {{- if regexMatch "^v[0-9]+((alpha|beta)[0-9]+)?$" $group }}{{ $group = "" }}{{ end }}
    {{- if hasKey $api.groupNames $group }}{{ $group = get $api.groupNames $group }}{{ end }}
    {{- if not (hasKey $api.groups $group) }}{{ $builtIn = false }}{{ end }}
  {{- end }}
  {{- if not (has $group $groups) }}{{ $groups = append $groups $group }}{{ end }}
{{- end }}
{{- $wrong := list }}
{{- range $rule.apiGroups }}{{ if not (has . $groups) }}{{ $wrong = append $wrong (quote .) }}{{ end }}{{ end }}
{{- if $wrong }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.apiGroups" $path) (printf "has %s. A group has no version, \"\" is the core group, and the name is complete and in lower case. Write: apiGroups: %s" (join ", " $wrong) (toJson $groups))) }}
{{- end }}

{{- /* Resources: in the right spelling, and with the groups that have them. */}}
{{- $resources := list }}
{{- $wrong = list }}
{{- $elsewhere := list }}
{{- $used := dict "*" true }}
{{- $clusterScoped := list }}
{{- range $resource := $rule.resources }}
  {{- $parts := splitn "/" 2 . }}
  {{- $plural := lower $parts._0 }}
  {{- $sub := lower ($parts._1 | default "") }}
  {{- if and $builtIn (not (has $plural (list "*" ""))) }}
    {{- if and (not (hasKey $api.homes $plural)) (hasKey $api.spellings $plural) }}{{ $plural = get $api.spellings $plural }}{{ end }}
    {{- $namespaced := false }}
    {{- $found := false }}
    {{- range $group := $groups }}
      {{- if eq . "*" }}
        {{- $found = true }}
        {{- $namespaced = true }}
      {{- else if hasKey (get $api.groups .) $plural }}
        {{- $found = true }}
        {{- $namespaced = or $namespaced (get (get $api.groups .) $plural) }}
        {{- $_ := set $used . true }}
        {{- $subs := get (get $api.subresources . | default dict) $plural | default list }}
        {{- if and $sub (not (has $sub $subs)) }}
          {{- $near := list (replace "-" "" $sub) (trimSuffix "s" $sub) (trimSuffix "es" $sub) (printf "%ss" $sub) }}
          {{- range $subs }}{{ if has . $near }}{{ $sub = . }}{{ end }}{{ end }}
        {{- end }}
      {{- end }}
    {{- end }}
    {{- if and (not $found) (hasKey $api.homes $plural) }}
      {{- $elsewhere = append $elsewhere (quote $plural) }}
      {{- $_ := set $used (get $api.homes $plural | first) true }}
    {{- end }}
    {{- if and $found (not $namespaced) }}{{ $clusterScoped = append $clusterScoped $plural }}{{ end }}
  {{- end }}
  {{- $right := empty $sub | ternary $plural (printf "%s/%s" $plural $sub) }}
  {{- if ne . $right }}{{ $wrong = append $wrong (quote .) }}{{ end }}
  {{- if not (has $right $resources) }}{{ $resources = append $resources $right }}{{ end }}
{{- end }}
{{- if $wrong }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.resources" $path) (printf "has %s. A resource is a plural in lower case, as in the URL of a request. Write: resources: %s" (join ", " $wrong) (toJson $resources))) }}
{{- end }}
{{- if $elsewhere }}
  {{- $right := list }}
  {{- range concat $groups (keys $used | sortAlpha) | uniq }}{{ if and (hasKey $used .) (or (ne . "*") (has . $groups)) }}{{ $right = append $right . }}{{ end }}{{ end }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.apiGroups" $path) (printf "has not the group of %s. Write: apiGroups: %s" (join ", " $elsewhere) (toJson $right))) }}
{{- end }}
{{- include "agent-identities.validateGlobs" (list $problems $path $rule) }}
{{- $verbs := include "agent-identities.validateVerbs" (list $problems $path $rule) | fromJsonArray }}
{{- if and $clusterScoped (eq $tier.scope "Namespace") }}
  {{- include "agent-identities.validateScope" (list $problems $path $tier $rule $clusterScoped $verbs) }}
{{- end }}
{{- end }}

{{/* Refuses "*" as a part of a name: RBAC compares texts, except for "*" alone and for the resource "*" of a subresource. Call: (list problems path rule) */}}
{{- define "agent-identities.validateGlobs" -}}
{{- $rule := index . 2 }}
{{- if contains "*" (toJson $rule) }}
  {{- range $field := list "apiGroups" "resources" "verbs" "resourceNames" }}
    {{- range get $rule $field | default list }}
      {{- if and (contains "*" .) (or (eq $field "resourceNames") (and (ne . "*") (or (ne $field "resources") (not (regexMatch "^[*]/[^*]+$" .))))) }}
        {{- include "agent-identities.problem" (list (index $ 0) (printf "%s.%s" (index $ 1) $field) (printf "has %q, which RBAC compares literally: \"*\" is not a pattern here. List the %s." . (eq $field "resourceNames" | ternary "names, or remove resourceNames to allow all objects" $field))) }}
      {{- end }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Refuses verbs that no request has. Prints the verbs in the right spelling as JSON. Call: (list problems path rule) */}}
{{- define "agent-identities.validateVerbs" -}}
{{- $problems := index . 0 }}
{{- $rule := index . 2 }}
{{- $verbs := list }}
{{- $wrong := list }}
{{- range $rule.verbs }}
  {{- $right := list (lower .) }}
  {{- if hasKey $problems.api.verbs (lower .) }}{{ $right = get $problems.api.verbs (lower .) }}{{ end }}
  {{- if not (has . $right) }}{{ $wrong = append $wrong (quote .) }}{{ end }}
  {{- $verbs = concat $verbs $right }}
{{- end }}
{{- $verbs = uniq $verbs }}
{{- if $wrong }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.verbs" (index . 1)) (printf "has %s, which no request has. Verbs are in lower case. Write: verbs: %s" (join ", " $wrong) (toJson $verbs))) }}
{{- else if $rule.resourceNames }}
  {{- $whole := true }}
  {{- range $rule.resources }}{{ $whole = and $whole (not (contains "/" .)) (ne . "*") }}{{ end }}
  {{- $dead := list }}
  {{- if and (has "create" $verbs) (not (or (has "update" $verbs) (has "patch" $verbs))) }}{{ $dead = append $dead "create" }}{{ end }}
  {{- if has "deletecollection" $verbs }}{{ $dead = append $dead "deletecollection" }}{{ end }}
  {{- if and $whole $dead }}
    {{- $rest := list }}
    {{- range $verbs }}{{ if not (has . $dead) }}{{ $rest = append $rest . }}{{ end }}{{ end }}
    {{- $fix := "Remove resourceNames from this rule." }}
    {{- if $rest }}{{ $fix = printf "Write: verbs: %s" (toJson $rest) }}{{ end }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.verbs" (index . 1)) (printf "has %s with resourceNames, which allows no request: these requests have no name. Allow the verb in a rule without resourceNames. %s" (join " and " $dead) $fix)) }}
  {{- end }}
{{- end }}
{{- toJson $verbs }}
{{- end }}

{{/*
Refuses cluster-scoped resources in a tier with scope: Namespace. A Role applies to a Namespace for requests with its name, and to verbs such as
bind, which the API server checks in the namespace of the binding. Call: (list problems path tier rule cluster-scoped-resources verbs)
*/}}
{{- define "agent-identities.validateScope" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $tier := index . 2 }}
{{- $rule := index . 3 }}
{{- $verbs := index . 5 }}
{{- $special := false }}
{{- range $verbs }}{{ $special = or $special (not (has . (list "*" "get" "list" "watch" "create" "update" "patch" "delete" "deletecollection"))) }}{{ end }}
{{- $named := false }}
{{- range list "*" "get" "update" "patch" "delete" }}{{ $named = or $named (has . $verbs) }}{{ end }}
{{- $dead := list }}
{{- range index . 4 }}
  {{- if not (or $special (and (eq . "namespaces") $named) (and (eq . "clusterroles") (has "*" $verbs))) }}{{ $dead = append $dead . }}{{ end }}
{{- end }}
{{- if $dead }}
  {{- $fix := "Write: scope: Cluster" }}
  {{- if or (eq $tier.name "proxy") (gt (len $tier.rules) 1) (gt (len $rule.resources) (len $dead)) }}
    {{- $fix = printf "Move the resource to a tier with scope: Cluster, and list this tier in the tiers of the agents:\n      tiers:\n        %s-cluster:\n          scope: Cluster\n          rules: [{apiGroups: %s, resources: %s, verbs: %s}]" $tier.name (toJson $rule.apiGroups) (toJson ($dead | uniq)) (toJson $verbs) }}
  {{- end }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.resources" $path) (printf "has %s: cluster-scoped, so a Role in a namespace allows no request. %s" (join ", " ($dead | uniq)) $fix)) }}
{{- end }}
{{- end }}

{{/* Validates a rule for URLs. Call: (list problems path tier rule) */}}
{{- define "agent-identities.validateURLs" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $tier := index . 2 }}
{{- $rule := index . 3 }}
{{- if or $rule.resources $rule.apiGroups $rule.resourceNames }}
  {{- include "agent-identities.problem" (list $problems $path "has nonResourceURLs and fields of resources (apiGroups, resources, resourceNames). Split the rule into two rules.") }}
{{- end }}
{{- if eq $tier.name "proxy" }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.nonResourceURLs" $path) (printf "are not in a namespace, but the central role is. Move the rule to a tier:\n      tiers:\n        urls:\n          scope: Cluster\n          rules: [{nonResourceURLs: %s, verbs: [get]}]" (toJson $rule.nonResourceURLs))) }}
{{- else if ne $tier.scope "Cluster" }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.nonResourceURLs" $path) "are not in a namespace, but the tier is. Write: scope: Cluster") }}
{{- end }}
{{- range $rule.nonResourceURLs }}
  {{- if not (regexMatch "^([*]|/[^*]*[*]?)$" .) }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.nonResourceURLs" $path) (printf "has %q. A URL is a path that begins with /, and * is the last character. Write: nonResourceURLs: [%q]" . (printf "/%s" (splitList "*" . | first | trimPrefix "/")))) }}
  {{- end }}
{{- end }}
{{- $verbs := list }}
{{- $wrong := list }}
{{- $same := dict "list" "get" "watch" "get" "read" "get" "view" "get" "create" "post" "update" "put" }}
{{- range $rule.verbs }}
  {{- $right := get $same (lower .) | default (lower .) }}
  {{- if not (has $right (append $problems.urlVerbs "*")) }}{{ $right = "get" }}{{ end }}
  {{- if ne . $right }}{{ $wrong = append $wrong (quote .) }}{{ end }}
  {{- $verbs = append $verbs $right | uniq }}
{{- end }}
{{- if $wrong }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.verbs" $path) (printf "has %s. The verbs of URLs are the methods of HTTP, in lower case. Write: verbs: %s" (join ", " $wrong) (toJson $verbs))) }}
{{- end }}
{{- end }}
