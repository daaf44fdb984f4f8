{{/*
A guard is an admission policy that validates or changes requests to the agents' namespace, for every user. Admission policies are
cluster-scoped, so the name of a guard is <release>.<namespace>.<guard>.

Helm applies admission policies last: during an upgrade, the guards of the previous revision validate the objects of the new revision. So guards
contain the names of agents only, never their permissions, and exempt users who can delete the guard: the user who installs the chart can.

The namespace is the border: a guard covers every ServiceAccount, pod and Role of the agents' namespace, also those that no value names, because
an account of today can be an agent tomorrow. Three guards need names: tokens and shortTokens for what the values allow to an agent, quarantine.
files/guards.json lists the policies with their exemptions.

A CEL expression has at most 100,000 characters, so names are split into maps of at most a thousand, one variable each. A lookup in a map has
a constant cost.

Stores once in .identities.guards, each a list of CEL maps, except for `permissions`:
  permissions  CEL: an authorizer check of the guards' own API group, to which .check('<verb>') is appended
  seconds      name -> maximum lifetime of a token in seconds; 0 for an agent without tokens
  audiences    name -> audience -> maximum lifetime, for audiences other than the API server
  quarantined  name -> 0, for quarantined agents
  proxied      name -> 0, for proxied agents
  entries      name -> key in .Values.agents, where the two differ
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
  {{- $_ := set $guards "permissions" (printf "authorizer.group('agent-identities').resource('agents').subresource('%s').namespace('%s')" $identities.namespace .Release.Namespace) }}
  {{- $_ := set $guards "proxied" (include "agent-identities.celSets" $identities.proxied | fromJsonArray) }}
  {{- $_ := set $guards "quarantined" (include "agent-identities.celSets" (keys $identities.quarantined | sortAlpha) | fromJsonArray) }}
  {{- $_ := set $guards "seconds" (include "agent-identities.celMaps" (list $names $seconds) | fromJsonArray) }}
  {{- $_ := set $guards "audiences" (include "agent-identities.celMaps" (list (keys $audiences | sortAlpha) $audiences) | fromJsonArray) }}
  {{- $_ := set $guards "entries" (include "agent-identities.celMaps" (list (keys $entries | sortAlpha) $entries) | fromJsonArray) }}
  {{- $_ := set $identities "guards" $guards }}
{{- end }}
{{- end }}

{{/*
Maximum lifetime and audiences of the tokens of one account. The limit is the lifetime in the agent's values, or else
guards.tokens.maxSeconds. The token that the webhook of a cloud mounts is valid for a day.
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

{{/* CEL maps name -> 0, of at most a thousand names each, as a JSON array of strings. Call: a list of names */}}
{{- define "agent-identities.celSets" -}}
{{- $maps := list }}
{{- range chunk 1000 . }}
  {{- $maps = append $maps (printf "{'%s':0}" (join "':0,'" .)) }}
{{- end }}
{{- toJson $maps }}
{{- end }}

{{/* CEL maps name -> value, as a JSON array of strings. Call: (list names values-by-name), values as CEL */}}
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

{{/* CEL maps of .identities.guards as variables of a policy: <name>0, <name>1, ... Call: (list identities key name) */}}
{{- define "agent-identities.celVariables" -}}
{{- $name := index . 2 }}
{{- range $number, $map := get (index . 0).guards (index . 1) }}
- name: {{ $name }}{{ $number }}
  expression: {{ $map | quote }}
{{- end }}
{{- end }}

{{/* CEL: true if one of these maps has the key. Call: (list identities key name expression) */}}
{{- define "agent-identities.celIn" -}}
{{- $parts := list }}
{{- range $number, $_ := get (index . 0).guards (index . 1) }}
  {{- $parts = append $parts (printf "%s in variables.%s%d" (index $ 3) (index $ 2) $number) }}
{{- end -}}
({{ join " || " $parts | default "false" }})
{{- end }}

{{/* CEL: the value of a key in these maps, as a list of one item; an empty list without the key. Call: (list identities key name expression) */}}
{{- define "agent-identities.celFind" -}}
{{- $parts := list }}
{{- range $number, $_ := get (index . 0).guards (index . 1) }}
  {{- $parts = append $parts (printf "variables.%s%d" (index $ 2) $number) }}
{{- end -}}
[{{ join ", " $parts }}]{{ if $parts }}.filter(m, {{ index . 3 }} in m).map(m, m[{{ index . 3 }}]){{ end }}
{{- end }}

{{/* Variable "entry": the key of variables.account in .Values.agents, for messages. Call: identities */}}
{{- define "agent-identities.celEntry" -}}
{{- include "agent-identities.celVariables" (list . "entries" "entries") | trim }}
- name: entry
  expression: {{ printf "(%s + [variables.account])[0]" (include "agent-identities.celFind" (list . "entries" "entries" "variables.account")) | quote }}
{{- end }}

{{/* Name of the policy and binding of a guard; empty if the guard is disabled. Call: (list root key name) */}}
{{- define "agent-identities.guard" -}}
{{- $root := index . 0 }}
{{- $guards := $root.Values.guards }}
{{- if and $guards.enabled (get $guards (index . 1)).enabled }}
{{- include "agent-identities.resolveGuards" $root }}
{{- $root.Release.Name }}.{{ $root.identities.namespace }}.{{ index . 2 }}
{{- end }}
{{- end }}

{{/* Kind and metadata of a policy or of its binding. Call: (list root kind name) */}}
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

{{/*
What a guard applies to: requests in one namespace, or in the whole cluster for "". The API server sets this label; users cannot change it. The
fields have the API server's defaults, so that GitOps tools see no difference to the live object. Call: the namespace, or ""
*/}}
{{- define "agent-identities.guardScope" -}}
matchPolicy: Equivalent
{{- if . }}
namespaceSelector:
  matchLabels:
    kubernetes.io/metadata.name: {{ . | quote }}
{{- else }}
namespaceSelector: {}
{{- end }}
objectSelector: {}
{{- end }}

{{/* Pods, and the eight resources with a pod template. */}}
{{- define "agent-identities.podKinds" -}}
- apiGroups: [""]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [pods, podtemplates, replicationcontrollers]
  scope: "*"
- apiGroups: [apps]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [deployments, replicasets, statefulsets, daemonsets]
  scope: "*"
- apiGroups: [batch]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [jobs, cronjobs]
  scope: "*"
{{- end }}

{{/*
Controllers of Kubernetes, by name: another account of kube-system is not exempt. They create pods from templates that a guard validated before,
clean up, and write the objects of a new namespace. The last two are the controller manager without accounts of its own, and OpenShift's
controller that adds image pull secrets to ServiceAccounts.
Names: kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy/controller_policy.go
*/}}
{{- define "agent-identities.notAController" -}}
- name: not-a-controller
  expression: >-
    !(request.userInfo.username in ['cronjob-controller', 'daemon-set-controller', 'deployment-controller', 'job-controller',
    'replicaset-controller', 'replication-controller', 'statefulset-controller', 'generic-garbage-collector', 'namespace-controller',
    'root-ca-cert-publisher', 'service-account-controller', 'clusterrole-aggregation-controller', 'storage-version-migrator-controller'
    ].map(name, 'system:serviceaccount:kube-system:' + name) +
    ['system:kube-controller-manager', 'system:serviceaccount:openshift-infra:serviceaccount-pull-secrets-controller'])
{{- end }}

{{/*
CEL: true if the user has the verb use on all agents. The guards ask for their own verbs on the resource agents/<namespace> of their own API group:
a Role with resources: ["*"] of other groups does not include them. They ask in the namespace of the release, so that a Role with wildcards in the
agents' namespace does not, either, if the release has another namespace. Call: identities
*/}}
{{- define "agent-identities.mayUseAll" -}}
{{ .guards.permissions }}.check('use').allowed()
{{- end }}

{{/* CEL: true if the user has the verb bind-agents: may change what agents hold, and how they are known. Call: identities */}}
{{- define "agent-identities.mayBind" -}}
{{ .guards.permissions }}.check('bind-agents').allowed()
{{- end }}

{{/*
Variables for the nine resources of podKinds:
  template  the pod template; for a Pod, the Pod
  account   its serviceAccountName. The API server copies the deprecated field serviceAccount into serviceAccountName
  changed   true if the request changes the pod template, not only labels, replicas or status. In a Pod, only containers can change
dyn(), because the nine resources have no common type.
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

{{/* CEL: true if the user has a verb on the agent variables.account. Call: (list identities verb) */}}
{{- define "agent-identities.mayDo" -}}
{{ (index . 0).guards.permissions }}.name(variables.account).check('{{ index . 1 }}').allowed()
{{- end }}

{{/*
CEL: true if the request has a token of the ServiceAccount variables.account. A user who impersonates the account has its name, but no credential
id: the API server sets it for bound tokens, and only users with the right to impersonate this extra field can send it. Call: identities
*/}}
{{- define "agent-identities.isItself" -}}
(request.userInfo.username == 'system:serviceaccount:{{ .namespace }}:' + variables.account && {{ include "agent-identities.hasCredential" . }})
{{- end }}

{{/* CEL: true if the request was authenticated by a bound token, not by impersonation, a client certificate or the token of a Secret. */}}
{{- define "agent-identities.hasCredential" -}}
has(request.userInfo.extra) && request.userInfo.extra[?'authentication.kubernetes.io/credential-id'].orValue([]).exists(id, id.startsWith('JTI='))
{{- end }}

{{/*
CEL: true if a create or update adds a finalizer, or the annotation with which Helm does not delete an object. Kubernetes needs a few finalizers:
a comparison of thousands with thousands takes seconds, so more than twenty count as added.
*/}}
{{- define "agent-identities.keepsItself" -}}
(object.metadata.?finalizers.orValue([]).size() > 20 ||
object.metadata.?finalizers.orValue([]).exists(f, request.operation == 'CREATE' || !(f in oldObject.metadata.?finalizers.orValue([]))) ||
object.metadata.?annotations[?'helm.sh/resource-policy'].orValue('') != '' && (request.operation == 'CREATE' ||
object.metadata.?annotations[?'helm.sh/resource-policy'].orValue('') != oldObject.metadata.?annotations[?'helm.sh/resource-policy'].orValue('')))
{{- end }}

{{/* CEL: true if the user can delete the guard: users who can delete a guard can bypass it. Call: the guard's name */}}
{{- define "agent-identities.mayDelete" -}}
authorizer.group('admissionregistration.k8s.io').resource('validatingadmissionpolicies').name('{{ . }}').check('delete').allowed()
{{- end }}

{{/*
CEL: true if the request belongs to an upgrade that ends a quarantine. Helm then creates the objects of the agent first and removes the guard
last. So the guard admits objects with the chart's label, if the user can delete the guard; it denies other objects to the same user.
Call: the guard's name
*/}}
{{- define "agent-identities.lifts" -}}
(has(object.metadata.labels) && 'app.kubernetes.io/name' in object.metadata.labels && object.metadata.labels['app.kubernetes.io/name'] == 'agent-identities' && {{ include "agent-identities.mayDelete" . }})
{{- end }}

{{/*
CEL: the subjects of a binding that refer to a ServiceAccount of the agents' namespace: a ServiceAccount (by default of the binding's namespace),
the User name of a ServiceAccount, or a Group of ServiceAccounts. Call: (list identities object), the binding as CEL
*/}}
{{- define "agent-identities.subjectsHere" -}}
{{- $identities := index . 0 -}}
!has({{ index . 1 }}.subjects) ? [] : {{ index . 1 }}.subjects.filter(s,
s.kind == 'ServiceAccount' ? (has(s.namespace) && s.namespace != '' ? s.namespace : request.namespace) == '{{ $identities.namespace }}' :
s.kind == 'User' ? s.name.startsWith('system:serviceaccount:{{ $identities.namespace }}:') :
s.kind == 'Group' && s.name in ['system:serviceaccounts:{{ $identities.namespace }}', 'system:serviceaccounts', 'system:authenticated'])
{{- end }}

{{/*
CEL: the subjects that this request adds to a binding and that refer to one of these accounts. Call: (list identities key name groups), groups as
a CEL list
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

{{/* ServiceAccounts that a deployer may use, as a JSON array; for a key of .Values.agents, all instances. Call: (list root agents) */}}
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
      {{- include "agent-identities.problem" (list $problems (printf "guards.%s.validationActions" $key) "lists both Deny and Warn; the API server accepts only one of the two. Write: validationActions: [Deny]") }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if and $guards.enabled (has $identities.namespace (list "kube-system" "kube-public" "kube-node-lease")) }}
  {{- include "agent-identities.problem" (list $problems "namespaceOverride" (printf "the namespace of the agents is %s, where the ServiceAccounts of Kubernetes itself are. Install the release in another namespace, or write: namespaceOverride: agent-system" $identities.namespace)) }}
{{- end }}
{{- if eq (int $guards.tokens.maxSeconds) 3607 }}
  {{- include "agent-identities.problem" (list $problems "guards.tokens.maxSeconds" "is 3607, the lifetime that the API server extends to a year. Write: maxSeconds: 3600") }}
{{- end }}
{{- if and $guards.enabled (eq (toString $guards.shortTokens.enabled) "true") (semverCompare "<1.36.0-0" $root.Capabilities.KubeVersion.Version) }}
  {{- include "agent-identities.problem" (list $problems "guards.shortTokens.enabled" (printf "is true, but Kubernetes %s has no MutatingAdmissionPolicy v1 (available since 1.36). Write: shortTokens: {enabled: auto}" $root.Capabilities.KubeVersion.Version)) }}
{{- end }}
{{- $everyAgent := list (printf "system:serviceaccounts:%s" $identities.namespace) "system:serviceaccounts" "system:authenticated" }}
{{- $seen := dict }}
{{- range $index, $deployer := $guards.deployers }}
  {{- $path := printf "guards.deployers[%d]" $index }}
  {{- $key := printf "%s/%s/%s" .kind (.namespace | default "") .name }}
  {{- if hasKey $seen $key }}
    {{- include "agent-identities.problem" (list $problems $path (printf "is the %s %q, which %s also lists. Keep one entry, with the agents of both." .kind .name (get $seen $key))) }}
  {{- end }}
  {{- $_ := set $seen $key $path }}
  {{- if and (eq .kind "ServiceAccount") (not .namespace) }}
    {{- include "agent-identities.problem" (list $problems $path (printf "is a ServiceAccount without a namespace. Write: {kind: ServiceAccount, name: %s, namespace: <namespace>}" .name)) }}
  {{- end }}
  {{- if and (eq .kind "ServiceAccount") (or (gt (len .name) 253) (not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" .name))) }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.name" $path) (printf "%q is not a name of a ServiceAccount: lower-case letters, digits, '-' and '.', at most 253. For another kind, write: kind: User" .name)) }}
  {{- end }}
  {{- if and (ne .kind "ServiceAccount") .namespace }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.namespace" $path) (printf "a %s has no namespace. Remove this field." .kind)) }}
  {{- end }}
  {{- if has .name (list "system:anonymous" "system:unauthenticated") }}
    {{- include "agent-identities.problem" (list $problems $path (printf "is %s, which includes users that nobody authenticated. List the users or groups that deploy agents: {kind: Group, name: platform-team}" .name)) }}
  {{- end }}
  {{- if or (and (eq .kind "ServiceAccount") (eq (.namespace | default "") $identities.namespace)) (and (eq .kind "User") (hasPrefix (printf "system:serviceaccount:%s:" $identities.namespace) .name)) }}
    {{- include "agent-identities.problem" (list $problems $path (printf "is a ServiceAccount of %s: users with the built-in ClusterRole edit there can impersonate it, and its pods are agents. Use a ServiceAccount of another namespace: {kind: ServiceAccount, name: pipeline, namespace: ci}" $identities.namespace)) }}
  {{- end }}
  {{- if and (eq .kind "Group") (has .name $everyAgent) }}
    {{- include "agent-identities.problem" (list $problems $path (printf "is the group %s, which includes every agent: each agent could run pods as every other agent. List the users or groups that deploy agents: {kind: Group, name: platform-team}" .name)) }}
  {{- end }}
  {{- include "agent-identities.validateDeployedAgents" (list $problems $root $path .agents) }}
{{- end }}
{{- include "agent-identities.validateControllers" (list $problems $root) }}
{{- range $index, $trusted := $root.Values.trustedSubjects }}
  {{- $path := printf "trustedSubjects[%d]" $index }}
  {{- if and (eq .kind "ServiceAccount") (not .namespace) }}
    {{- include "agent-identities.problem" (list $problems $path (printf "is a ServiceAccount without a namespace. Write: {kind: ServiceAccount, name: %s, namespace: <namespace>, reason: ...}" .name)) }}
  {{- end }}
  {{- if and (ne .kind "ServiceAccount") .namespace }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.namespace" $path) (printf "a %s has no namespace. Remove this field." .kind)) }}
  {{- end }}
  {{- if and (eq .kind "Group") (has .name (append $everyAgent "system:unauthenticated")) }}
    {{- include "agent-identities.problem" (list $problems $path (printf "is the group %s, which includes every agent or everybody: verify would report nobody. List the users or groups that you trust: {kind: Group, name: on-call, reason: debugs agents}" .name)) }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
Refuses unknown agents of a deployer. Without any agent, it refuses nothing: the guards are installed before the agents, and the deployer gets no
permission on an absent agent. Call: (list problems root path agents)
*/}}
{{- define "agent-identities.validateDeployedAgents" -}}
{{- $problems := index . 0 }}
{{- $root := index . 1 }}
{{- $identities := $root.identities }}
{{- $path := index . 2 }}
{{- range $place, $agent := index . 3 }}
  {{- if not (or (empty $root.Values.agents) (eq $agent $root.Values.proxy.name) (hasKey $identities.agents $agent) (hasKey $identities.quarantined $agent) (kindIs "map" (get $root.Values.agents $agent))) }}
    {{- include "agent-identities.problem" (list $problems (printf "%s.agents[%d]" $path $place) (printf "there is no agent %q. Use a defined agent, or remove agents to allow all of them." $agent)) }}
  {{- end }}
{{- end }}
{{- end }}
