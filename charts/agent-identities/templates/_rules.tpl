{{/*
Refuses rules that no request can use: the API server accepts every text in a rule. files/api-resources.json has the built-in resources; rules for
groups that it does not have are not compared with it. Call: (list problems path tier), problems.api is the content of the file
*/}}
{{- define "agent-identities.validateRules" -}}
{{- $problems := index . 0 }}
{{- $tier := index . 2 }}
{{- $clusterScoped := dict "list" list }}
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
    {{- include "agent-identities.validateResources" (list $problems $path $tier $rule $clusterScoped) }}
  {{- end }}
{{- end }}
{{- if $clusterScoped.list }}{{ include "agent-identities.refuseClusterScoped" (list $problems $tier $clusterScoped.list) }}{{ end }}
{{- end }}

{{/*
Call: (list problems path tier rule cluster-scoped); adds the cluster-scoped resources of a tier with scope: Namespace to cluster-scoped.list
*/}}
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
  {{- $parts := splitn "/" 2 (trim . | trimPrefix "/") }}
  {{- $plural := lower $parts._0 }}
  {{- if and (contains "." $plural) (not (contains "*" $plural)) }}
    {{- /* As kubectl names a resource, and a CustomResourceDefinition its name: deployments.v1.apps, widgets.example.com. */}}
    {{- range $groups }}{{ $plural = regexReplaceAll (printf "[.](v[0-9]+((alpha|beta)[0-9]+)?)?[.]?%s$" (regexQuoteMeta .)) $plural "" }}{{ end }}
  {{- end }}
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
    {{- if and $found (not $namespaced) }}{{ $clusterScoped = append $clusterScoped (empty $sub | ternary $plural (printf "%s/%s" $plural $sub)) }}{{ end }}
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
  {{- include "agent-identities.validateScope" (list (index . 4) $path $rule $groups $clusterScoped $verbs) }}
{{- end }}
{{- end }}

{{/*
Refuses "*" as a part of a name: RBAC compares texts, except for "*" alone and for the resource "*" of a subresource. The names of signers may be
example.com/*: the API server also asks for this name (plugin/pkg/admission/certificates). Call: (list problems path rule)
*/}}
{{- define "agent-identities.validateGlobs" -}}
{{- $rule := index . 2 }}
{{- if contains "*" (toJson $rule) }}
  {{- $signers := has "signers" $rule.resources }}
  {{- range $field := list "apiGroups" "resources" "verbs" "resourceNames" }}
    {{- range get $rule $field | default list }}
      {{- if and (contains "*" .) (or (and (eq $field "resourceNames") (not (and $signers (regexMatch "^[^*]+/[*]$" .)))) (and (not (has $field (list "resourceNames"))) (ne . "*") (or (ne $field "resources") (not (regexMatch "^[*]/[^*]+$" .))))) }}
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
  {{- $right := list }}
  {{- range regexSplit "[\\s,;|]+" (lower . | trim) -1 }}
    {{- $right = concat $right (get $problems.api.verbs . | default (list .)) }}
  {{- end }}
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
Finds cluster-scoped resources in a rule of a tier with scope: Namespace. A Role applies to a Namespace for requests with its name, and to verbs
such as bind, which the API server checks in the namespace of the binding. Adds (dict path dead rest rule) to found.list; rule: for a tier with
scope: Cluster. Call: (list found path rule groups cluster-scoped-resources verbs)
*/}}
{{- define "agent-identities.validateScope" -}}
{{- $found := index . 0 }}
{{- $rule := index . 2 }}
{{- $verbs := index . 5 }}
{{- $special := false }}
{{- range $verbs }}{{ $special = or $special (not (has . (list "*" "get" "list" "watch" "create" "update" "patch" "delete" "deletecollection"))) }}{{ end }}
{{- $named := false }}
{{- range list "*" "get" "update" "patch" "delete" }}{{ $named = or $named (has . $verbs) }}{{ end }}
{{- $dead := list }}
{{- range index . 4 }}
  {{- if not (or $special (and (hasPrefix "namespaces" .) $named) (and (eq . "clusterroles") (has "*" $verbs))) }}{{ $dead = append $dead . | uniq }}{{ end }}
{{- end }}
{{- if $dead }}
  {{- $moved := printf "apiGroups: %s, resources: %s, verbs: %s" (toJson (index . 3)) (toJson $dead) (toJson $verbs) }}
  {{- with $rule.resourceNames }}{{ $moved = printf "%s, resourceNames: %s" $moved (toJson .) }}{{ end }}
  {{- $_ := set $found "list" (append $found.list (dict "path" (index . 1) "dead" $dead "whole" (eq (len $rule.resources) (len $dead)) "rule" (printf "{%s}" $moved))) }}
{{- end }}
{{- end }}

{{/*
Refuses the cluster-scoped resources of a tier with scope: Namespace; the last message has the YAML for all of them.
Call: (list problems tier found), found from agent-identities.validateScope
*/}}
{{- define "agent-identities.refuseClusterScoped" -}}
{{- $problems := index . 0 }}
{{- $tier := index . 1 }}
{{- $found := index . 2 }}
{{- $whole := and (ne $tier.name "proxy") (eq (len $found) (len $tier.rules)) }}
{{- $rules := list }}
{{- range $found }}
  {{- $whole = and $whole .whole }}
  {{- $rules = append $rules .rule }}
{{- end }}
{{- $fix := " Write: scope: Cluster" }}
{{- if not $whole }}
  {{- $fix = printf " Move the resource to a tier with scope: Cluster, and list this tier in the tiers of the agents:\n      tiers:\n        %s-cluster:\n          scope: Cluster\n          rules: [%s]" $tier.name (join ", " $rules) }}
{{- end }}
{{- range $number, $each := $found }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.resources" .path) (printf "has %s: cluster-scoped, so a Role in a namespace allows no request.%s" (join ", " .dead) (eq (add1 $number) (len $found | int64) | ternary $fix ""))) }}
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
{{- $urls := list }}
{{- $wrong := list }}
{{- range $rule.nonResourceURLs }}
  {{- $right := . }}
  {{- if not (regexMatch "^([*]|/[^*?#]*[*]?)$" .) }}
    {{- $wrong = append $wrong (quote .) }}
    {{- $right = regexReplaceAll "^[a-z]+://[^/]*" (trim .) "" | splitList "?" | first | splitList "#" | first }}
    {{- $start := splitList "*" $right | first }}
    {{- $right = printf "/%s%s" (trimPrefix "/" $start) (eq $right (printf "%s*" $start) | ternary "*" "") }}
  {{- end }}
  {{- $urls = append $urls $right | uniq }}
  {{- if regexMatch "^/(api|apis/[^/]+)/[^/]+/[^/*]" $right }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.nonResourceURLs" $path) (printf "has %q, the URL of a resource, to which RBAC applies apiGroups and resources. Write a rule with the resource instead, for example: {apiGroups: [%q], resources: [%s], verbs: [get, list]}" . (hasPrefix "/apis/" $right | ternary (splitList "/" $right | rest | rest | first) "") (splitList "/" $right | last))) }}
  {{- end }}
{{- end }}
{{- if $wrong }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.nonResourceURLs" $path) (printf "has %s. A URL is a path that begins with /, without host and query, and * is the last character. Write: nonResourceURLs: %s" (join ", " $wrong) (toJson $urls))) }}
{{- end }}
{{- $verbs := list }}
{{- $wrong = list }}
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
