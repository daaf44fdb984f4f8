{{/*
CiliumNetworkPolicies, with network.provider: cilium, next to the NetworkPolicies: Cilium allows what one of the two allows. They select
- host names: the DNS proxy of Cilium reads the answers, so these agents have their DNS rule here, and not in the NetworkPolicy, where the plain
  rule would go past the proxy;
- the API server: for Cilium, its addresses are not in a CIDR block, but the entity kube-apiserver.

Stores in .identities.network: inspectedDns, entity, and names: destination -> rule, as text. Call: (list network values-of-network)
*/}}
{{- define "agent-identities.resolveCilium" -}}
{{- $network := index . 0 }}
{{- $values := index . 1 }}
{{- $_ := set $network "inspectedDns" (include "agent-identities.inspectedDnsRules" $values.dns) }}
{{- $_ := set $network "entity" (include "agent-identities.entityRule" $values.apiServer) }}
{{- range $name, $destination := $values.destinations }}
  {{- $hosts := list }}
  {{- range ($destination | default dict).to }}{{ if .fqdn }}{{ $hosts = append $hosts .fqdn }}{{ end }}{{ end }}
  {{- if $hosts }}{{ $_ := set $network.names $name (include "agent-identities.hostRule" (list $hosts $destination.ports)) }}{{ end }}
{{- end }}
{{- end }}

{{/* DNS through the proxy of Cilium: to the DNS pods, and to the addresses of NodeLocal DNSCache. Call: network.dns */}}
{{- define "agent-identities.inspectedDnsRules" -}}
- toEndpoints:
    - matchLabels:
        k8s:io.kubernetes.pod.namespace: {{ .namespace | quote }}
        {{- range $label, $value := include "agent-identities.dnsLabels" .podLabels | fromYaml }}
        {{ printf "k8s:%s" $label | quote }}: {{ $value | quote }}
        {{- end }}
  {{- include "agent-identities.inspectedDnsPorts" .ports | nindent 2 }}
{{- with .cidrs }}
- toCIDR:
    {{- toYaml . | nindent 4 }}
  {{- include "agent-identities.inspectedDnsPorts" $.ports | nindent 2 }}
{{- end }}
{{- end }}

{{- define "agent-identities.inspectedDnsPorts" -}}
toPorts:
  - ports:
      {{- range . }}
      - port: {{ int . | quote }}
        protocol: ANY
      {{- end }}
    rules:
      dns:
        - matchPattern: "*"
{{- end }}

{{/* Call: network.apiServer */}}
{{- define "agent-identities.entityRule" -}}
- toEntities: [kube-apiserver]
  toPorts:
    - ports:
        {{- range .ports }}
        - port: {{ int . | quote }}
          protocol: TCP
        {{- end }}
{{- end }}

{{/* Call: (list host-names ports) */}}
{{- define "agent-identities.hostRule" -}}
- toFQDNs:
    {{- range index . 0 }}
    - {{ contains "*" . | ternary "matchPattern" "matchName" }}: {{ . | quote }}
    {{- end }}
  toPorts:
    - ports:
        {{- range index . 1 }}
        - port: {{ int .port | quote }}
          {{- with .endPort }}
          endPort: {{ int . }}
          {{- end }}
          protocol: {{ .protocol | default "TCP" }}
        {{- end }}
{{- end }}

{{/* Egress rules of an agent's CiliumNetworkPolicy; empty if it needs none. Call: (list root network access) */}}
{{- define "agent-identities.ciliumRules" -}}
{{- $root := index . 0 }}
{{- $opened := $root.identities.network }}
{{- $network := index . 1 }}
{{- $rules := list }}
{{- range hasKey $network "egress" | ternary $network.egress $root.Values.network.egress }}
  {{- with get $opened.names . }}{{ $rules = append $rules . }}{{ end }}
{{- end }}
{{- if $rules }}{{ $rules = prepend $rules $opened.inspectedDns }}{{ end }}
{{- if include "agent-identities.reachesServer" (list $network (index . 2)) }}{{ $rules = append $rules $opened.entity }}{{ end }}
{{- join "\n" $rules }}
{{- end }}

{{/* Call: (list identities name labels-as-text egress-rules-as-text) */}}
{{- define "agent-identities.ciliumPolicy" }}
{{- $identities := index . 0 }}
{{- $labels := index . 2 }}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: {{ index . 1 | quote }}
  namespace: {{ $identities.namespace | quote }}
  labels:
    {{- $identities.labels | nindent 4 }}
    {{- $labels | nindent 4 }}
spec:
  endpointSelector:
    matchLabels:
      {{- index (splitList "\n" $labels) 0 | nindent 6 }}
  egress:
    {{- index . 3 | nindent 4 }}
{{- end }}

{{/*
Validates a peer with a host name. Names without Cilium are one problem for each destination.
Call: (list problems path peer provider ports number-of-names-before)
*/}}
{{- define "agent-identities.validateHostName" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $peer := index . 2 }}
{{- $provider := index . 3 }}
{{- if and (ne $provider "cilium") (eq (int (index . 5)) 0) }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.fqdn" $path) (printf "%q is a host name, and a NetworkPolicy has addresses and pods only. Host names need a policy of the network plugin: Cilium, Calico Enterprise, Antrea, OVN-Kubernetes and GKE Dataplane V2 have one, and the chart writes that of Cilium. On Cilium, write:\n      network: {provider: cilium}\n    On other plugins, run an egress proxy in the cluster that allows the name, and allow its pods: to: [{podSelector: {matchLabels: {app: egress-proxy}}}]; or list the addresses: ipBlock" $peer.fqdn)) }}
{{- end }}
{{- if gt (len $peer) 1 }}
  {{- include "agent-identities.problem" (list $problems $path (printf "has fqdn and %s; a peer is a host name, addresses or pods. Split the peer into items with one of them each." (omit $peer "fqdn" | keys | sortAlpha | join " and "))) }}
{{- end }}
{{- if regexMatch "[.](svc|cluster[.]local)$" $peer.fqdn }}
  {{- include "agent-identities.problem" (list $problems (printf "%s.fqdn" $path) (printf "%q is a Service of the cluster; Cilium applies host names to addresses outside the cluster only. Use an item that selects its pods: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: <namespace>}}, podSelector: {matchLabels: {app: <app>}}}" $peer.fqdn)) }}
{{- end }}
{{- range $index, $port := index . 4 }}
  {{- if kindIs "string" $port.port }}
    {{- include "agent-identities.problem" (list $problems $path (printf "is a host name, but ports[%d] has the name %q, which only pods define. Set the number of the port: {port: 443}" $index $port.port)) }}
  {{- end }}
{{- end }}
{{- end }}
