{{/*
Guards: admission policies of the cluster that judge what is written to the agents' namespace, whoever writes it. Each is cluster-scoped, so
its name is <release>.<namespace>.<guard>.

Helm applies admission policies last: during an upgrade the guards of before judge the objects of after. So they hold names only, never what a
name may hold, and whoever may delete a guard is not held by it: that is whoever installs this chart.

An expression of CEL holds 100,000 characters at most. So names are cut into maps of a thousand, each a variable of its own; a map, since
looking a name up in it costs the same for any number of agents.

Leaves in .identities.guards, once:
  accounts     the names of all agents and of the proxy, as a list of CEL maps name -> 0
  seconds      as a list of CEL maps: name -> how long its tokens may live at most; 0: it has none
  audiences    as a list of CEL maps: name -> audience -> the same for tokens that are for others than the API server
  quarantined  the names of the quarantined, as a list of CEL maps name -> 0
  entries      as a list of CEL maps: name -> key in .Values.agents, where that is another
*/}}
{{- define "agent-identities.resolveGuards" -}}
{{- if not (hasKey .identities "guards") }}
  {{- $identities := .identities }}
  {{- $values := .Values }}
  {{- $longest := int $values.guards.tokens.maxSeconds }}
  {{- $seconds := dict }}
  {{- $audiences := dict }}
  {{- $entries := dict }}
  {{- include "agent-identities.guardedTokens" (list $values.proxy.name (dict "token" $values.proxy.token) list $longest $seconds $audiences) }}
  {{- range $name, $agent := $identities.agents }}
    {{- if ne $name $agent.entry }}{{ $_ := set $entries $name (squote $agent.entry) }}{{ end }}
    {{- if eq $agent.access "proxied" }}
      {{- $_ := set $seconds $name "0" }}
    {{- else }}
      {{- include "agent-identities.guardedTokens" (list $name (get $values.agents $agent.entry) $agent.audiences $longest $seconds $audiences) }}
    {{- end }}
  {{- end }}
  {{- range $name, $agent := $identities.quarantined }}
    {{- if ne $name $agent.entry }}{{ $_ := set $entries $name (squote $agent.entry) }}{{ end }}
    {{- $_ := set $seconds $name "0" }}
  {{- end }}
  {{- $names := keys $seconds | sortAlpha }}
  {{- $guards := dict }}
  {{- $_ := set $guards "accounts" (include "agent-identities.celSets" $names | fromJsonArray) }}
  {{- $_ := set $guards "quarantined" (include "agent-identities.celSets" (keys $identities.quarantined | sortAlpha) | fromJsonArray) }}
  {{- $_ := set $guards "seconds" (include "agent-identities.celMaps" (list $names $seconds) | fromJsonArray) }}
  {{- $_ := set $guards "audiences" (include "agent-identities.celMaps" (list (keys $audiences | sortAlpha) $audiences) | fromJsonArray) }}
  {{- $_ := set $guards "entries" (include "agent-identities.celMaps" (list (keys $entries | sortAlpha) $entries) | fromJsonArray) }}
  {{- $_ := set $identities "guards" $guards }}
{{- end }}
{{- end }}

{{/*
How long the tokens of one account may live, and whom else they may be for. What the values say of an agent is its limit; where they say
nothing, guards.tokens.maxSeconds is. The token that a cloud's webhook mounts lives for a day.
Call: (list name values-of-the-agent audiences longest seconds audiences-by-name); fills the last two
*/}}
{{- define "agent-identities.guardedTokens" -}}
{{- $name := index . 0 }}
{{- $agent := index . 1 }}
{{- $token := $agent.token | default dict }}
{{- $longest := int ($token.expirationSeconds | default (index . 3)) }}
{{- $_ := set (index . 4) $name (toString $longest) }}
{{- $limits := dict }}
{{- range $audience := index . 2 }}{{ $_ := set $limits $audience 86400 }}{{ end }}
{{- range $extra := $agent.tokens }}
  {{- if kindIs "map" $extra }}{{ $_ := set $limits $extra.audience (int ($extra.expirationSeconds | default 3600)) }}{{ end }}
{{- end }}
{{- with $token.audience }}{{ $_ := set $limits . $longest }}{{ end }}
{{- if $limits }}{{ $_ := set (index . 5) $name (toJson $limits) }}{{ end }}
{{- end }}

{{/* Names as CEL maps name -> 0, a thousand in each, as a JSON array of texts. Call: a list of names */}}
{{- define "agent-identities.celSets" -}}
{{- $maps := list }}
{{- range chunk 1000 . }}
  {{- $maps = append $maps (printf "{'%s':0}" (join "':0,'" .)) }}
{{- end }}
{{- toJson $maps }}
{{- end }}

{{/* The same with values. Call: (list names values-by-name), values as CEL */}}
{{- define "agent-identities.celMaps" -}}
{{- $values := index . 1 }}
{{- $maps := list }}
{{- range chunk 1000 (index . 0) }}
  {{- $entries := list }}
  {{- $size := 0 }}
  {{- range . }}
    {{- $entry := printf "'%s':%s" . (get $values .) }}
    {{- $size = add $size (len $entry) 1 }}
    {{- if gt $size 90000 }}
      {{- $maps = append $maps (printf "{%s}" (join "," $entries)) }}
      {{- $entries = list }}
      {{- $size = len $entry }}
    {{- end }}
    {{- $entries = append $entries $entry }}
  {{- end }}
  {{- $maps = append $maps (printf "{%s}" (join "," $entries)) }}
{{- end }}
{{- toJson $maps }}
{{- end }}

{{/* Maps of .identities.guards as variables of a policy: <name>0, <name>1, ... Call: (list identities key name) */}}
{{- define "agent-identities.celVariables" -}}
{{- $name := index . 2 }}
{{- range $number, $map := get (index . 0).guards (index . 1) }}
- name: {{ $name }}{{ $number }}
  expression: {{ $map | quote }}
{{- end }}
{{- end }}

{{/* CEL: whether one of these maps holds a key. Call: (list identities key name expression) */}}
{{- define "agent-identities.celIn" -}}
{{- $parts := list }}
{{- range $number, $_ := get (index . 0).guards (index . 1) }}
  {{- $parts = append $parts (printf "%s in variables.%s%d" (index $ 3) (index $ 2) $number) }}
{{- end -}}
({{ join " || " $parts | default "false" }})
{{- end }}

{{/* CEL: what these maps hold for a key, as a list of one or none. Call: (list identities key name expression) */}}
{{- define "agent-identities.celFind" -}}
{{- $parts := list }}
{{- range $number, $_ := get (index . 0).guards (index . 1) }}
  {{- $parts = append $parts (printf "variables.%s%d" (index $ 2) $number) }}
{{- end -}}
[{{ join ", " $parts }}]{{ if $parts }}.filter(m, {{ index . 3 }} in m).map(m, m[{{ index . 3 }}]){{ end }}
{{- end }}

{{/* A variable entry: the key in .Values.agents of variables.account, for messages. Call: identities */}}
{{- define "agent-identities.celEntry" -}}
{{- include "agent-identities.celVariables" (list . "entries" "entries") | trim }}
- name: entry
  expression: {{ printf "(%s + [variables.account])[0]" (include "agent-identities.celFind" (list . "entries" "entries" "variables.account")) | quote }}
{{- end }}

{{/* The name of a guard's policy and binding; nothing where the guard is off. Call: (list root key name) */}}
{{- define "agent-identities.guard" -}}
{{- $root := index . 0 }}
{{- $guards := $root.Values.guards }}
{{- if and $guards.enabled (get $guards (index . 1)).enabled }}
{{- include "agent-identities.resolveGuards" $root }}
{{- $root.Release.Name }}.{{ $root.identities.namespace }}.{{ index . 2 }}
{{- end }}
{{- end }}

{{/* Kind and metadata of a policy, and of what puts it into force. Call: (list root kind name) */}}
{{- define "agent-identities.guardHead" }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: {{ index . 1 }}
metadata:
  name: {{ index . 2 | quote }}
  labels:
    {{- (index . 0).identities.labels | nindent 4 }}
{{- end }}

{{- define "agent-identities.guardBinding" }}
{{- $root := index . 0 }}
{{- $name := index . 2 }}
{{- include "agent-identities.guardHead" (list $root "ValidatingAdmissionPolicyBinding" $name) }}
spec:
  policyName: {{ $name | quote }}
  validationActions:
    {{- toYaml (get $root.Values.guards (index . 1)).validationActions | nindent 4 }}
{{- end }}

{{/* Only the agents' namespace; the API server keeps this label, nobody can change it. Call: the root context */}}
{{- define "agent-identities.guardNamespace" -}}
namespaceSelector:
  matchLabels:
    kubernetes.io/metadata.name: {{ .identities.namespace | quote }}
{{- end }}

{{/* The nine kinds that make pods, or are pods. */}}
{{- define "agent-identities.podKinds" -}}
- apiGroups: [""]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [pods, podtemplates, replicationcontrollers]
- apiGroups: [apps]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [deployments, replicasets, statefulsets, daemonsets]
- apiGroups: [batch]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [jobs, cronjobs]
{{- end }}

{{/* They make pods of templates that have been judged, and know nothing of who wrote these. */}}
{{- define "agent-identities.notAController" -}}
- name: not-a-controller
  expression: >-
    !('system:serviceaccounts:kube-system' in request.userInfo.groups) && request.userInfo.username != 'system:kube-controller-manager'
{{- end }}

{{/* CEL: whether the author holds the verb use on all ServiceAccounts of the namespace. Call: identities */}}
{{- define "agent-identities.mayUseAll" -}}
authorizer.group('').resource('serviceaccounts').namespace('{{ .namespace }}').check('use').allowed()
{{- end }}

{{/*
Variables for the nine kinds:
  template  the pod template; of a Pod, itself
  account   the ServiceAccount it names. The deprecated serviceAccount needs no look: the API server copies one field into the other
  changed   whether this request says what runs: an update of labels, scale or status does not. Of a Pod, only containers can be changed
dyn() since the nine kinds have no type in common.
*/}}
{{- define "agent-identities.podVariables" -}}
- name: template
  expression: {{ include "agent-identities.podTemplate" "dyn(object)" | quote }}
- name: account
  expression: "has(variables.template.spec.serviceAccountName) ? string(variables.template.spec.serviceAccountName) : ''"
- name: old
  expression: {{ printf "request.operation == 'CREATE' ? dyn({}) : %s" (include "agent-identities.podTemplate" "dyn(oldObject)") | quote }}
- name: changed
  expression: >-
    request.operation == 'CREATE' || (request.resource.resource == 'pods'
    ? variables.template.spec.containers != variables.old.spec.containers ||
    variables.template.spec.?initContainers != variables.old.spec.?initContainers
    : variables.template != variables.old)
{{- end }}

{{- define "agent-identities.podTemplate" -}}
request.resource.resource == 'pods' ? {{ . }} : request.resource.resource == 'podtemplates' ? {{ . }}.template : request.resource.resource == 'cronjobs' ? {{ . }}.spec.jobTemplate.spec.template : {{ . }}.spec.template
{{- end }}

{{/* CEL: whether the author holds a verb on the ServiceAccount variables.account. Call: (list identities verb) */}}
{{- define "agent-identities.mayDo" -}}
authorizer.group('').resource('serviceaccounts').namespace('{{ (index . 0).namespace }}').name(variables.account).check('{{ index . 1 }}').allowed()
{{- end }}

{{/* CEL: whether the author is the ServiceAccount variables.account itself. Call: identities */}}
{{- define "agent-identities.isItself" -}}
request.userInfo.username == 'system:serviceaccount:{{ .namespace }}:' + variables.account
{{- end }}

{{/* CEL: whether the author may delete the guard: who could remove it is not held by it. Call: the guard's name */}}
{{- define "agent-identities.mayDelete" -}}
authorizer.group('admissionregistration.k8s.io').resource('validatingadmissionpolicies').name('{{ . }}').check('delete').allowed()
{{- end }}

{{/*
CEL: whether this request lifts a quarantine. Helm then makes the agent's objects first and removes the guard last; so objects of the chart,
known by their label, pass if their author may remove the guard. The author's own orders do not pass without the label.
Call: the guard's name
*/}}
{{- define "agent-identities.lifts" -}}
(has(object.metadata.labels) && 'app.kubernetes.io/name' in object.metadata.labels && object.metadata.labels['app.kubernetes.io/name'] == 'agent-identities' && {{ include "agent-identities.mayDelete" . }})
{{- end }}

{{/*
CEL: the subjects of a binding that are new in this request and name one of these accounts, in any spelling of RBAC: as ServiceAccount (of
the binding's namespace where it names none), as User, and as one of the Groups that they are members of.
Call: (list identities key name groups), groups as a CEL list
*/}}
{{- define "agent-identities.boundSubjects" -}}
{{- $identities := index . 0 }}
{{- $prefix := printf "system:serviceaccount:%s:" $identities.namespace -}}
!has(object.subjects) ? [] : object.subjects.filter(s,
s.kind == 'ServiceAccount' ? (has(s.namespace) && s.namespace != '' ? s.namespace : request.namespace) == '{{ $identities.namespace }}' &&
{{ include "agent-identities.celIn" (list $identities (index . 1) (index . 2) "s.name") }} :
s.kind == 'User' ? s.name.startsWith('{{ $prefix }}') &&
{{ include "agent-identities.celIn" (list $identities (index . 1) (index . 2) (printf "s.name.substring(%d)" (len $prefix))) }} :
s.kind == 'Group' && s.name in {{ index . 3 }}
).filter(s, request.operation == 'CREATE' || !has(oldObject.subjects) || !(s in oldObject.subjects))
{{- end }}

{{/* The accounts that a deployer may use: of each agent named by its key, all instances. Call: (list root agents), as a JSON array */}}
{{- define "agent-identities.deployedAccounts" -}}
{{- $root := index . 0 }}
{{- $identities := $root.identities }}
{{- $wanted := dict }}
{{- range index . 1 }}{{ $_ := set $wanted . true }}{{ end }}
{{- $found := dict }}
{{- if hasKey $wanted $root.Values.proxy.name }}{{ $_ := set $found $root.Values.proxy.name true }}{{ end }}
{{- range $identity := list $identities.agents $identities.quarantined }}
  {{- range $name, $agent := . }}
    {{- if or (hasKey $wanted $name) (hasKey $wanted $agent.entry) }}{{ $_ := set $found $name true }}{{ end }}
  {{- end }}
{{- end }}
{{- keys $found | sortAlpha | toJson }}
{{- end }}

{{/* Call: (list problems root) */}}
{{- define "agent-identities.validateGuards" -}}
{{- $problems := index . 0 }}
{{- $root := index . 1 }}
{{- $identities := $root.identities }}
{{- $guards := $root.Values.guards }}
{{- range $key, $guard := $guards }}
  {{- if kindIs "map" $guard }}
    {{- if and (has "Deny" ($guard.validationActions | default list)) (has "Warn" $guard.validationActions) }}
      {{- include "agent-identities.problem" (list $problems (printf "guards.%s.validationActions" $key) "lists Deny and Warn: the API server takes one of the two. Write: validationActions: [Deny]") }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if eq (int $guards.tokens.maxSeconds) 3607 }}
  {{- include "agent-identities.problem" (list $problems "guards.tokens.maxSeconds" "is 3607, the one lifetime that the API server extends to a year. Write: maxSeconds: 3600") }}
{{- end }}
{{- if and $guards.enabled (eq (toString $guards.shortTokens.enabled) "true") (semverCompare "<1.36.0-0" $root.Capabilities.KubeVersion.Version) }}
  {{- include "agent-identities.problem" (list $problems "guards.shortTokens.enabled" (printf "is true, and Kubernetes %s has no MutatingAdmissionPolicy v1, which came with 1.36. Write: shortTokens: {enabled: auto}" $root.Capabilities.KubeVersion.Version)) }}
{{- end }}
{{- $everyAgent := list (printf "system:serviceaccounts:%s" $identities.namespace) "system:serviceaccounts" "system:authenticated" }}
{{- $seen := dict }}
{{- range $index, $deployer := $guards.deployers }}
  {{- $path := printf "guards.deployers[%d]" $index }}
  {{- $key := printf "%s/%s/%s" .kind (.namespace | default "") .name }}
  {{- if hasKey $seen $key }}
    {{- include "agent-identities.problem" (list $problems $path (printf "is the %s %q, and so is %s. Keep one, with the agents of both." .kind .name (get $seen $key))) }}
  {{- end }}
  {{- $_ := set $seen $key $path }}
  {{- if and (eq .kind "ServiceAccount") (not .namespace) }}
    {{- include "agent-identities.problem" (list $problems $path (printf "is a ServiceAccount without a namespace. Write: {kind: ServiceAccount, name: %s, namespace: <namespace>}" .name)) }}
  {{- end }}
  {{- if and (ne .kind "ServiceAccount") .namespace }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.namespace" $path) (printf "a %s has no namespace. Remove it." .kind)) }}
  {{- end }}
  {{- if and (eq .kind "Group") (has .name $everyAgent) }}
    {{- include "agent-identities.problem" (list $problems $path (printf "is the group %s, and every agent is in it: each could run pods as every other. Name who deploys: {kind: Group, name: platform-team}" .name)) }}
  {{- end }}
  {{- range $place, $agent := .agents }}
    {{- if not (or (eq $agent $root.Values.proxy.name) (hasKey $identities.agents $agent) (hasKey $identities.quarantined $agent) (kindIs "map" (get $root.Values.agents $agent))) }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.agents[%d]" $path $place) (printf "there is no agent %q. Name one that is there, or leave agents out for all of them." $agent)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}
