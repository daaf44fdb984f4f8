{{/*
Controllers that create pods from their own kinds: guards.controllers, with files/controllers.json. The author of such a pod is the controller, so
the guard run-as asks the author of the custom resource instead.

Stores once in .identities.controllers: the items of guards.controllers, each with
  entry     name in the catalogue
  accounts  ServiceAccounts of the controller: namespace, name
  item      the object in the values
Unknown names are left out: validateControllers reports them. Call: the root context
*/}}
{{- define "agent-identities.resolveControllers" -}}
{{- if not (hasKey .identities "controllers") }}
  {{- $found := list }}
  {{- $catalogue := dict }}
  {{- if .Values.guards.controllers }}{{ $catalogue = .Files.Get "files/controllers.json" | fromJson }}{{ end }}
  {{- range .Values.guards.controllers }}
    {{- $item := . }}
    {{- if kindIs "string" . }}{{ $item = dict "name" . }}{{ end }}
    {{- with get $catalogue.controllers $item.name }}
      {{- $accounts := list }}
      {{- range .accounts }}{{ $accounts = append $accounts (dict "namespace" ($item.namespace | default .namespace) "name" .name) }}{{ end }}
      {{- with $item.serviceAccount }}{{ $accounts = list (dict "namespace" (first $accounts).namespace "name" .) }}{{ end }}
      {{- $found = append $found (dict "entry" $item.name "accounts" $accounts "item" $item) }}
    {{- end }}
  {{- end }}
  {{- $_ := set .identities "controllers" $found }}
  {{- $_ := set .identities "controllerCatalogue" $catalogue }}
{{- end }}
{{- end }}

{{/* guards.deployers, and the ServiceAccounts of guards.controllers as deployers; as a JSON array. Call: the root context */}}
{{- define "agent-identities.deployers" -}}
{{- include "agent-identities.resolveControllers" . }}
{{- $deployers := .Values.guards.deployers }}
{{- range $controller := .identities.controllers }}
  {{- range $controller.accounts }}
    {{- $deployers = append $deployers (merge (dict "kind" "ServiceAccount" "namespace" .namespace "name" .name) (pick $controller.item "agents" "bindAgents")) }}
  {{- end }}
{{- end }}
{{- toJson $deployers }}
{{- end }}

{{/* The kinds of the controllers, each with its defaults: the accounts of {default}; as a JSON array. Call: identities */}}
{{- define "agent-identities.controllerKinds" -}}
{{- $catalogue := .controllerCatalogue }}
{{- $defaults := dict }}
{{- range .controllers }}
  {{- $known := get $defaults .entry | default list }}
  {{- with .item.defaultAccount }}{{ $known = append $known . | uniq }}{{ end }}
  {{- $_ := set $defaults .entry $known }}
{{- end }}
{{- $kinds := list }}
{{- range $name, $accounts := $defaults }}
  {{- range (get $catalogue.controllers $name).kinds }}{{ $kinds = append $kinds (merge (dict "defaults" $accounts) .) }}{{ end }}
{{- end }}
{{- toJson $kinds }}
{{- end }}

{{/*
CEL: the ServiceAccounts that an object of a kind names, as a string with commas between them; '*' for every ServiceAccount. A list of lists of
names would need flatten(), which the API server does not have. Call: (list shapes kind)
*/}}
{{- define "agent-identities.celNamed" -}}
{{- $shapes := index . 0 }}
{{- $kind := index . 1 }}
{{- $parts := list }}
{{- range $path, $what := $kind.paths }}
  {{- $parts = append $parts (include "agent-identities.celAt" (list $shapes "dyn(object)" $path $what 0 false)) }}
{{- end }}
{{- if $kind.referred }}{{ $parts = append $parts "variables.name" }}{{ end }}
{{- range $implied := $kind.implied }}
  {{- $accounts := list (printf "variables.name%s" (contains "{name}" .account | ternary (printf " + '%s'" (.account | replace "{name}" "")) "")) }}
  {{- if eq .account "{default}" }}
    {{- $accounts = list }}
    {{- range $kind.defaults }}{{ $accounts = append $accounts (squote .) }}{{ end }}
  {{- end }}
  {{- $conditions := list }}
  {{- range .unless }}{{ $conditions = append $conditions (printf "%s == ''" (include "agent-identities.celAt" (list $shapes "dyn(object)" . "account" 0 false))) }}{{ end }}
  {{- with .if }}{{ $conditions = append $conditions (printf "dyn(object).?%s.orValue(false)" (replace "." ".?" .)) }}{{ end }}
  {{- range $accounts }}
    {{- $parts = append $parts (empty $conditions | ternary . (printf "(%s ? %s : '')" (join " && " $conditions) .)) }}
  {{- end }}
{{- end -}}
[{{ join ", " $parts }}].join(',')
{{- end }}

{{/*
CEL: what is at a path of files/controllers.json, as celNamed returns it. Fields can be absent, so each is optional (.?).

Below a field with !, the API server keeps all fields, and controllers can read a field whose name differs in case (Go encoding/json: also by a
letter outside ASCII that folds to one of ASCII). So such a field stands for every ServiceAccount.
Call: (list shapes base path what depth raw), base as CEL
*/}}
{{- define "agent-identities.celAt" -}}
{{- $shapes := index . 0 }}
{{- $base := index . 1 }}
{{- $path := index . 2 }}
{{- $what := index . 3 }}
{{- $depth := int (index . 4) }}
{{- $raw := index . 5 }}
{{- $optional := regexMatch "[?][A-Za-z]+$" $base }}
{{- if $path }}
  {{- $parts := splitn "." 2 $path }}
  {{- $segment := trimSuffix "!" $parts._0 }}
  {{- $rest := $parts._1 | default "" }}
  {{- $name := regexReplaceAll "[][{}]+$" $segment "" }}
  {{- $field := printf "%s.?%s" $base $name }}
  {{- $below := or $raw (hasSuffix "!" $parts._0) }}
  {{- $there := "" }}
  {{- if hasSuffix "{}" $segment }}
    {{- $there = printf "[%s.orValue({})].map(m%d, m%d.map(k%d, %s).join(',')).join(',')" $field $depth $depth $depth (include "agent-identities.celAt" (list $shapes (printf "m%d[k%d]" $depth $depth) $rest $what (add1 $depth) $below)) }}
  {{- else if hasSuffix "[][]" $segment }}
    {{- $there = printf "%s.orValue([]).map(l%d, l%d.map(i%d, %s).join(',')).join(',')" $field $depth $depth $depth (include "agent-identities.celAt" (list $shapes (printf "i%d" $depth) $rest $what (add1 $depth) $below)) }}
  {{- else if hasSuffix "[]" $segment }}
    {{- $there = printf "%s.orValue([]).map(i%d, %s).join(',')" $field $depth (include "agent-identities.celAt" (list $shapes (printf "i%d" $depth) $rest $what (add1 $depth) $below)) }}
  {{- else }}
    {{- $there = include "agent-identities.celAt" (list $shapes $field $rest $what $depth $below) }}
  {{- end }}
  {{- if $raw }}
    {{- $fields := $optional | ternary (printf "%s.orValue({})" $base) $base }}
    {{- $there = printf "(%s.exists(f, f != '%s' && (f.lowerAscii() == '%s' || !f.matches('^[ -~]*$'))) ? '*' : %s)" $fields $name (lower $name) $there }}
  {{- end }}
  {{- $there }}
{{- else if kindIs "map" $what -}}
  (string({{ $base }}.orValue('')) in ['{{ join "', '" $what.anyUnless }}'] ? '' : '*')
{{- else if eq $what "any" -}}
  ({{ $base }}.orValue('') in [dyn(''), dyn(false)] ? '' : '*')
{{- else if has $what (list "account" "reference") -}}
  string({{ $base }}.orValue(''))
{{- else }}
  {{- $parts := list }}
  {{- range $below, $there := get $shapes $what }}
    {{- $parts = append $parts (include "agent-identities.celAt" (list $shapes $base $below $there $depth $raw)) }}
  {{- end }}
  {{- $all := printf "[%s].join(',')" (join ", " $parts) }}
  {{- /* An optional field without a value costs nothing. */}}
  {{- $optional | ternary (printf "(%s.hasValue() ? %s : '')" $base $all) $all }}
{{- end }}
{{- end }}

{{/* Call: (list problems root) */}}
{{- define "agent-identities.validateControllers" -}}
{{- $problems := index . 0 }}
{{- $root := index . 1 }}
{{- $identities := $root.identities }}
{{- include "agent-identities.resolveControllers" $root }}
{{- $seen := dict }}
{{- range $index, $deployer := $root.Values.guards.deployers }}
  {{- if eq .kind "ServiceAccount" }}{{ $_ := set $seen (printf "%s/%s" (.namespace | default "") .name) (printf "guards.deployers[%d]" $index) }}{{ end }}
{{- end }}
{{- range $index, $given := $root.Values.guards.controllers }}
  {{- $path := printf "guards.controllers[%d]" $index }}
  {{- $item := $given }}
  {{- if kindIs "string" $given }}{{ $item = dict "name" $given }}{{ end }}
  {{- $known := $identities.controllerCatalogue.controllers }}
  {{- if not (hasKey $known $item.name) }}
    {{- $nearest := include "agent-identities.nearest" (list $item.name (keys $known | sortAlpha)) }}
    {{- include "agent-identities.problem" (list $problems $path (printf "there is no controller %q; the nearest is %s. Write: %s" $item.name $nearest (kindIs "string" $given | ternary (printf "controllers: [%s]" $nearest) (printf "{name: %s}" $nearest)))) }}
    {{- continue }}
  {{- end }}
  {{- include "agent-identities.validateDeployedAgents" (list $problems $root $path $item.agents) }}
  {{- $accounts := list }}
  {{- range $identities.controllers }}{{ if eq (toJson .item) (toJson $item) }}{{ $accounts = .accounts }}{{ end }}{{ end }}
  {{- range $accounts }}
    {{- $key := printf "%s/%s" .namespace .name }}
    {{- if hasKey $seen $key }}
      {{- include "agent-identities.problem" (list $problems $path (printf "is the ServiceAccount %s, which %s also lists. Keep the entry in guards.controllers." $key (get $seen $key))) }}
    {{- end }}
    {{- $_ := set $seen $key $path }}
    {{- if eq .namespace $identities.namespace }}
      {{- include "agent-identities.problem" (list $problems $path (printf "is a ServiceAccount of %s: users with the built-in ClusterRole edit there can impersonate it, and its pods are agents. Run the controller in another namespace, and write: {name: %s, namespace: %s-system}" .namespace $item.name $item.name)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
Notes on ServiceAccounts that run pods for other users: deployers that are controllers, and controllers with an API of their own.
Call: the root context
*/}}
{{- define "agent-identities.controllerNotes" -}}
{{- $root := . }}
{{- include "agent-identities.resolveControllers" . }}
{{- $catalogue := .Files.Get "files/controllers.json" | fromJson }}
{{- $known := dict }}
{{- range $name, $controller := $catalogue.controllers }}
  {{- range .accounts }}{{ $_ := set $known (printf "%s/%s" .namespace .name) $name }}{{ end }}
{{- end }}
{{- $others := list }}
{{- range .Values.guards.deployers }}
  {{- $account := printf "%s/%s" .namespace .name }}
  {{- if ne .kind "ServiceAccount" }}{{ continue }}{{ end }}
  {{- with get $known $account }}

WARNING: guards.deployers lists {{ $account }}, the controller {{ . }}: a user who can write its custom resources in {{ $root.identities.namespace }} runs
pods as every agent that the controller can use. Move the entry, so that the guard runAs asks these users: guards: {controllers: [{{ . }}]}
  {{- else }}
    {{- $others = append $others $account }}
  {{- end }}
{{- end }}
{{- with $others }}

WARNING: guards.deployers lists {{ join ", " . }}, which guards.controllers does not know. If it is a controller that creates pods from its own
kinds, a user who can write its custom resources in {{ $root.identities.namespace }} runs pods as every agent that the controller can use: restrict these kinds.
{{- end }}
{{- range .identities.controllers }}
  {{- if (get $catalogue.controllers .entry).ownApi }}

NOTE: users also reach the controller {{ .entry }} by an API of its own, which no guard sees. Restrict its users, and list the agents that it can use:
guards: {controllers: [{name: {{ .entry }}, agents: [...]}]}
  {{- end }}
{{- end }}
{{- end }}

{{/* The name that contains a word, or is in it, or shares most pairs of letters with it; of several, the shortest. Call: (list word names) */}}
{{- define "agent-identities.nearest" -}}
{{- $word := index . 0 | lower }}
{{- $best := "" }}
{{- $most := -1 }}
{{- range $name := index . 1 }}
  {{- $shared := 0 }}
  {{- range $at := until (max 0 (sub (len $word) 1) | int) }}
    {{- if contains (substr $at (add $at 2 | int) $word) $name }}{{ $shared = add1 $shared }}{{ end }}
  {{- end }}
  {{- if or (contains $word $name) (contains $name $word) }}{{ $shared = add $shared 100 }}{{ end }}
  {{- $score := sub (mul 100 $shared) (len $name) }}
  {{- if or (eq $best "") (gt (int $score) (int $most)) }}
    {{- $best = $name }}
    {{- $most = $score }}
  {{- end }}
{{- end }}
{{- $best }}
{{- end }}
