{{/*
Refuses an upgrade that quarantines an unknown agent, as `--set agents.typo.quarantined=true` does: the agent that the user means would keep its
permissions. An entry with another key is known. Otherwise the cluster must have its ServiceAccount, its NetworkPolicy (every quarantined agent has
one), or its name in the annotation agent-identities/removed of the proxy's RoleBinding, which `agent-identities quarantine` writes. After a
release without agents, which has the annotation agent-identities/no-agents, every agent is new: the guards were installed before the agents, and
no agent keeps permissions. Without a cluster (helm template), `lookup` does not find the RoleBinding, and nothing is refused.
Call: (list problems root)
*/}}
{{- define "agent-identities.validateQuarantined" -}}
{{- $problems := index . 0 }}
{{- $root := index . 1 }}
{{- $namespace := $root.identities.namespace }}
{{- $binding := dict }}
{{- range $entry, $agent := $root.Values.agents }}
  {{- if and $root.Release.IsUpgrade (kindIs "map" $agent) (eq (omit $agent "enabled" | toJson) "{\"quarantined\":true}") }}
    {{- $binding = $binding | default (lookup "rbac.authorization.k8s.io/v1" "RoleBinding" $namespace (printf "%s-binding" $root.Values.proxy.name)) }}
    {{- $removed := splitList "," (dig "metadata" "annotations" "agent-identities/removed" "" $binding) }}
    {{- $first := dig "metadata" "annotations" "agent-identities/no-agents" "" $binding }}
    {{- if and $binding (not $first) (not (has $entry $removed)) (not (lookup "v1" "ServiceAccount" $namespace $entry)) (not (lookup "networking.k8s.io/v1" "NetworkPolicy" $namespace $entry)) }}
      {{- include "agent-identities.problem" (list $problems (printf "agents.%s.quarantined" $entry) (printf "quarantines nobody: there is no agent %q in the namespace %s. If the name is misspelled, correct it. To list the agents: kubectl -n %s get serviceaccounts -l agent-identities/agent. If the ServiceAccount was deleted by hand, write: agents: {%s: {access: direct, quarantined: true}}" $entry $namespace $namespace $entry)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}
