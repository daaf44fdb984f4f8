{{/*
Refuses to take over a ServiceAccount that this release did not make: somebody can hold a token of it or pods that run as it, and can have bound
it. Asks the API server for all ServiceAccounts of the namespace at once; without a cluster (helm template) it finds none.
Without any agent, as when the guards are installed first, every name in adoptServiceAccounts can be of an agent to come.
Stores the names of adopted ServiceAccounts in .identities.adopted. Call: (list problems root)
*/}}
{{- define "agent-identities.validateAdoption" -}}
{{- $problems := index . 0 }}
{{- $root := index . 1 }}
{{- $identities := $root.identities }}
{{- $adopted := dict }}
{{- range $index, $name := $root.Values.adoptServiceAccounts }}
  {{- $_ := set $adopted $name true }}
  {{- if not (or (empty $root.Values.agents) (eq $name $root.Values.proxy.name) (hasKey $identities.agents $name) (hasKey $identities.quarantined $name)) }}
    {{- include "agent-identities.problem" (list $problems (printf "adoptServiceAccounts[%d]" $index) (printf "there is no agent with the ServiceAccount %q. Use the ServiceAccount of a defined agent, or remove this line." $name)) }}
  {{- end }}
{{- end }}
{{- $_ := set $identities "adopted" $adopted }}
{{- $paths := dict $root.Values.proxy.name "proxy.name" }}
{{- range $name, $agent := $identities.agents }}
  {{- if $agent.createAccount }}{{ $_ := set $paths $name (printf "agents.%s" $agent.entry) }}{{ end }}
{{- end }}
{{- range $account := (lookup "v1" "ServiceAccount" $identities.namespace "" | default dict).items }}
  {{- $name := $account.metadata.name }}
  {{- $marks := $account.metadata.annotations | default dict }}
  {{- $release := printf "%s/%s" (get $marks "meta.helm.sh/release-namespace") (get $marks "meta.helm.sh/release-name") }}
  {{- if and (hasKey $paths $name) (not (hasKey $adopted $name)) (ne $release (printf "%s/%s" $root.Release.Namespace $root.Release.Name)) }}
    {{- include "agent-identities.problem" (list $problems (get $paths $name) (printf "the ServiceAccount %q exists, and this release did not make it: somebody can hold a token of it. Delete it, choose another name, or take it over. Write: adoptServiceAccounts: [%s]" $name $name)) }}
  {{- end }}
{{- end }}
{{- end }}
