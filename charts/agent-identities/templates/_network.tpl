{{/*
NetworkPolicies are additive and cannot deny traffic: a connection is allowed if one policy allows it. So each agent has one policy, named after
the agent, which allows DNS, the API server and the listed destinations only. The policy of a quarantined agent allows nothing. The API server
and the endpoints of clouds are not pods: a policy can select them by address only.

Stores the rules in .identities.network as text, rendered once for all agents. Call: (list root problems)
*/}}
{{- define "agent-identities.resolveNetwork" -}}
{{- $root := index . 0 }}
{{- $values := $root.Values.network }}
{{- $network := dict "destinations" dict "sources" dict "cloud" dict "names" dict }}
{{- if $values.enabled }}
  {{- $_ := set $network "dns" (include "agent-identities.dnsRule" $values.dns) }}
  {{- $_ := set $network "apiServer" "" }}
  {{- if $values.apiServer.cidrs }}{{ $_ := set $network "apiServer" (include "agent-identities.addressRule" $values.apiServer) }}{{ end }}
  {{- if eq $values.provider "cilium" }}{{ include "agent-identities.resolveCilium" (list $network $values) }}{{ end }}
  {{- range $provider, $endpoint := $values.cloud }}
    {{- if and $endpoint $endpoint.cidrs }}{{ $_ := set $network.cloud $provider (include "agent-identities.addressRule" $endpoint) }}{{ end }}
  {{- end }}
  {{- range $name, $destination := $values.destinations }}
    {{- if not $destination }}{{ continue }}{{ end }}
    {{- $peers := list }}
    {{- range $destination.to }}{{ if not .fqdn }}{{ $peers = append $peers . }}{{ end }}{{ end }}
    {{- $_ := set $network.destinations $name (empty $peers | ternary "" (include "agent-identities.peerRule" (list "to" $peers $destination.ports))) }}
  {{- end }}
  {{- range $name, $source := $values.sources }}
    {{- if $source }}{{ $_ := set $network.sources $name (include "agent-identities.peerRule" (list "from" $source.from $source.ports)) }}{{ end }}
  {{- end }}
{{- end }}
{{- $_ := set $root.identities "network" $network }}
{{- end }}

{{/* Call: (dict "namespace" "podLabels" "cidrs" "ports") */}}
{{- define "agent-identities.dnsRule" -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .namespace | quote }}
      podSelector:
        matchLabels:
          {{- include "agent-identities.dnsLabels" .podLabels | nindent 10 }}
    {{- range .cidrs }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
  ports:
    {{- range .ports }}
    - port: {{ int . }}
      protocol: UDP
    - port: {{ int . }}
      protocol: TCP
    {{- end }}
{{- end }}

{{/* Labels of the DNS pods, as YAML: a null removes a label of the defaults. Call: podLabels */}}
{{- define "agent-identities.dnsLabels" -}}
{{- $labels := dict }}
{{- range $label, $value := . }}{{ if kindIs "string" $value }}{{ $_ := set $labels $label $value }}{{ end }}{{ end }}
{{- toYaml $labels }}
{{- end }}

{{/* Call: (dict "cidrs" "ports"); TCP */}}
{{- define "agent-identities.addressRule" -}}
- to:
    {{- range .cidrs }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
  ports:
    {{- range .ports }}
    - port: {{ int . }}
      protocol: TCP
    {{- end }}
{{- end }}

{{/* Call: (list "to" or "from" peers ports), as in a NetworkPolicy */}}
{{- define "agent-identities.peerRule" -}}
- {{ index . 0 }}:
    {{- toYaml (index . 1) | nindent 4 }}
  ports:
    {{- range index . 2 }}
    {{- list (merge (dict) . (dict "protocol" "TCP")) | toYaml | nindent 4 }}
    {{- end }}
{{- end }}

{{/*
The NetworkPolicy of an agent, or of the proxy. Call: (list identities name labels-as-text ingress egress); the last two are rules as text
*/}}
{{- define "agent-identities.networkPolicy" }}
{{- $identities := index . 0 }}
{{- $labels := index . 2 }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ index . 1 | quote }}
  namespace: {{ $identities.namespace | quote }}
  labels:
    {{- $identities.labels | nindent 4 }}
    {{- $labels | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- index (splitList "\n" $labels) 0 | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- with index . 3 }}
  ingress:
    {{- . | nindent 4 }}
  {{- end }}
  {{- with index . 4 }}
  egress:
    {{- . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Whether an agent uses the API server: "true" or "". Call: (list network access) */}}
{{- define "agent-identities.reachesServer" -}}
{{- $network := index . 0 }}
{{- if hasKey $network "apiServer" | ternary $network.apiServer (eq (index . 1) "direct") }}true{{ end }}
{{- end }}

{{/* Egress rules of an agent. Call: (list root network clouds access); network and clouds of the agent */}}
{{- define "agent-identities.egressRules" -}}
{{- $root := index . 0 }}
{{- $opened := $root.identities.network }}
{{- $network := index . 1 }}
{{- $rules := list }}
{{- $named := false }}
{{- if include "agent-identities.reachesServer" (list $network (index . 3)) }}{{ $rules = append $rules $opened.apiServer }}{{ end }}
{{- range $provider, $given := index . 2 }}
  {{- if and (hasKey $opened.cloud $provider) (or $given (kindIs "map" $given)) }}{{ $rules = append $rules (get $opened.cloud $provider) }}{{ end }}
{{- end }}
{{- range hasKey $network "egress" | ternary $network.egress $root.Values.network.egress }}
  {{- $rules = append $rules (get $opened.destinations .) }}
  {{- $named = or $named (hasKey $opened.names .) }}
{{- end }}
{{- if not $named }}{{ $rules = prepend $rules $opened.dns }}{{ end }}
{{- join "\n" (compact $rules) }}
{{- end }}

{{/* Ingress rules of an agent. Call: (list root network) */}}
{{- define "agent-identities.ingressRules" -}}
{{- $root := index . 0 }}
{{- $network := index . 1 }}
{{- $rules := list }}
{{- range hasKey $network "ingress" | ternary $network.ingress $root.Values.network.ingress }}
  {{- $rules = append $rules (get $root.identities.network.sources .) }}
{{- end }}
{{- join "\n" $rules }}
{{- end }}

{{/* Validates network, and the network of each agent and of the proxy. Call: (list problems root) */}}
{{- define "agent-identities.validateNetwork" -}}
{{- $problems := index . 0 }}
{{- $root := index . 1 }}
{{- $network := $root.Values.network }}
{{- $noServer := "" }}
{{- include "agent-identities.validateAgentNetwork" (list $problems $network "network" $network) }}
{{- include "agent-identities.validateAgentNetwork" (list $problems $network "proxy.network" $root.Values.proxy.network) }}
{{- if dig "apiServer" true ($root.Values.proxy.network | default dict) }}{{ $noServer = $root.Values.proxy.name }}{{ end }}
{{- range $entry, $agent := $root.Values.agents }}
  {{- if $agent.network }}{{ include "agent-identities.validateAgentNetwork" (list $problems $network (printf "agents.%s.network" $entry) $agent.network) }}{{ end }}
  {{- if not $network.enabled }}{{ continue }}{{ end }}
  {{- if dig "apiServer" (ne ($agent.access | default "direct") "proxied") ($agent.network | default dict) }}{{ $noServer = $entry }}{{ end }}
  {{- if and $agent.cloud (not (hasKey ($agent.network | default dict) "egress" | ternary ($agent.network | default dict).egress $network.egress)) }}
    {{- range $provider, $given := $agent.cloud }}
      {{- if and (or $given (kindIs "map" $given)) (not (dig $provider "cidrs" (list) $network.cloud)) }}
        {{- include "agent-identities.problem" (list $problems (printf "agents.%s.cloud.%s" $entry $provider) (printf "the network policy of the agent allows no endpoint for its cloud token. Set network.cloud.%s.cidrs (the addresses of a private endpoint), or list a destination in agents.%s.network.egress" $provider $entry)) }}
      {{- end }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if and $network.enabled $noServer (not $network.apiServer.cidrs) (ne $network.provider "cilium") }}
  {{- include "agent-identities.problem" (list $problems "network.apiServer.cidrs" (printf "is empty: %s could not reach the API server. The API server is not a pod: list the addresses of its Service and of its endpoints:\n      kubectl get service kubernetes -n default -o jsonpath='{.spec.clusterIPs}'\n      kubectl get endpointslices -n default -l kubernetes.io/service-name=kubernetes\n    Write: cidrs: [10.96.0.1/32, 192.0.2.10/32], with the ports of both; with Cilium: network: {provider: cilium}; or, for an agent that does not use the API server: network: {apiServer: false}" $noServer)) }}
{{- end }}
{{- range $place, $endpoint := merge (dict "dns" $network.dns "apiServer" $network.apiServer) $network.cloud }}
  {{- $path := hasKey $network.cloud $place | ternary (printf "network.cloud.%s" $place) (printf "network.%s" $place) }}
  {{- range $index, $cidr := ($endpoint | default dict).cidrs }}
    {{- include "agent-identities.validateBlock" (list $problems (printf "%s.cidrs[%d]" $path $index) (dict "cidr" $cidr)) }}
    {{- if eq $place "apiServer" }}{{ include "agent-identities.validateMetadata" (list $problems (printf "%s.cidrs[%d]" $path $index) (dict "cidr" $cidr) "cidrs") }}{{ end }}
  {{- end }}
{{- end }}
{{- range $name, $destination := $network.destinations }}
  {{- $hosts := 0 }}
  {{- range $index, $peer := ($destination | default dict).to }}
    {{- $place := printf "network.destinations.%s.to[%d]" $name $index }}
    {{- include "agent-identities.validatePeer" (list $problems $place $peer) }}
    {{- if $peer.fqdn }}
      {{- include "agent-identities.validateHostName" (list $problems $place $peer $network.provider $destination.ports $hosts) }}
      {{- $hosts = add1 $hosts }}
    {{- end }}
    {{- with $peer.ipBlock }}{{ include "agent-identities.validateMetadata" (list $problems (printf "%s.ipBlock" $place) .) }}{{ end }}
  {{- end }}
  {{- include "agent-identities.validatePorts" (list $problems (printf "network.destinations.%s" $name) ($destination | default dict).ports) }}
{{- end }}
{{- range $name, $source := $network.sources }}
  {{- range $index, $peer := ($source | default dict).from }}
    {{- include "agent-identities.validatePeer" (list $problems (printf "network.sources.%s.from[%d]" $name $index) $peer) }}
  {{- end }}
  {{- include "agent-identities.validatePorts" (list $problems (printf "network.sources.%s" $name) ($source | default dict).ports) }}
{{- end }}
{{- end }}

{{/* Refuses names of destinations and sources that are not defined. Call: (list problems network path given) */}}
{{- define "agent-identities.validateAgentNetwork" -}}
{{- $problems := index . 0 }}
{{- $network := index . 1 }}
{{- $path := index . 2 }}
{{- $given := index . 3 | default dict }}
{{- range $key, $kind := dict "egress" "destinations" "ingress" "sources" }}
  {{- $known := get $network $kind }}
  {{- range $index, $name := index $given $key }}
    {{- if not (get $known $name) }}
      {{- $peers := eq $kind "destinations" | ternary "to" "from" }}
      {{- include "agent-identities.problem" (list $problems (printf "%s.%s[%d]" $path $key $index) (printf "network.%s has no %q. Known: %s. Use one of them, or define it:\n      network:\n        %s:\n          %s: {%s: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 443}]}" $kind $name (keys $known | sortAlpha | join ", " | default "none") $kind $name $peers)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Call: (list problems path peer) */}}
{{- define "agent-identities.validatePeer" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $peer := index . 2 }}
{{- if and $peer.ipBlock (or (hasKey $peer "podSelector") (hasKey $peer "namespaceSelector")) }}
  {{- include "agent-identities.problem" (list $problems $path "has both ipBlock and a selector; a peer is either addresses or pods. Split the peer into two items.") }}
{{- end }}
{{- with $peer.ipBlock }}{{ include "agent-identities.validateBlock" (list $problems (printf "%s.ipBlock" $path) .) }}{{ end }}
{{- end }}

{{/* Refuses IPv4 blocks that the API server refuses. Call: (list problems path ipBlock) */}}
{{- define "agent-identities.validateBlock" -}}
{{- $problems := index . 0 }}
{{- $path := index . 1 }}
{{- $block := index . 2 }}
{{- range $cidr := prepend ($block.except | default list) $block.cidr }}
  {{- if not (contains ":" $cidr) }}
    {{- $parts := splitList "/" $cidr }}
    {{- $rest := mod (include "agent-identities.ipv4" (index $parts 0)) (include "agent-identities.ipv4Size" (index $parts 1)) }}
    {{- if $rest }}
      {{- include "agent-identities.problem" (list $problems $path (printf "%s has bits set beyond its prefix of %s. Write the first address of the block, or /32 for a single address." $cidr (index $parts 1))) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if not (contains ":" $block.cidr) }}
  {{- $parts := splitList "/" $block.cidr }}
  {{- $size := include "agent-identities.ipv4Size" (index $parts 1) }}
  {{- range $cidr := $block.except }}
    {{- $inner := splitList "/" $cidr }}
    {{- $within := and (not (contains ":" $cidr)) (gt (int (index $inner 1)) (int (index $parts 1))) }}
    {{- if $within }}{{ $within = eq (div (include "agent-identities.ipv4" (index $inner 0)) $size) (div (include "agent-identities.ipv4" (index $parts 0)) $size) }}{{ end }}
    {{- if not $within }}
      {{- include "agent-identities.problem" (list $problems $path (printf "except lists %s, which is not part of %s. Remove it." $cidr $block.cidr)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* An IPv4 address as a number. */}}
{{- define "agent-identities.ipv4" -}}
{{- $number := 0 }}
{{- range splitList "." . }}{{ $number = add (mul $number 256) (int .) }}{{ end }}
{{- $number }}
{{- end }}

{{/* Number of IPv4 addresses in a block. Call: the length of its prefix */}}
{{- define "agent-identities.ipv4Size" -}}
{{- $size := 1 }}
{{- range until (sub 32 (min 32 (int .)) | int) }}{{ $size = mul $size 2 }}{{ end }}
{{- $size }}
{{- end }}

{{/* Call: (list problems path ports) */}}
{{- define "agent-identities.validatePorts" -}}
{{- range $index, $port := index . 2 }}
  {{- if and (hasKey $port "endPort") (or (kindIs "string" $port.port) (lt (int $port.endPort) (int $port.port))) }}
    {{- include "agent-identities.problem" (list (index $ 0) (printf "%s.ports[%d]" (index $ 1) $index) (printf "%v to %d is not a range of port numbers. Write: {port: 8000, endPort: 8010}" $port.port (int $port.endPort))) }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
The metadata service of a cloud serves the credentials of the node. Refuses a block that includes its address, unless the block is that
address or excludes it. A list of cidrs has no except.
Call: (list problems path ipBlock), and "cidrs" for an item of a list
*/}}
{{- define "agent-identities.validateMetadata" -}}
{{- $cidr := (index . 2).cidr }}
{{- $address := contains ":" $cidr | ternary "fd00:ec2::254/128" "169.254.169.254/32" }}
{{- if and (include "agent-identities.holdsMetadata" $cidr) (not (regexMatch "[.].*/32$|/128$" $cidr)) }}
  {{- $closed := false }}
  {{- range (index . 2).except }}{{ if include "agent-identities.holdsMetadata" . }}{{ $closed = true }}{{ end }}{{ end }}
  {{- if not $closed }}
    {{- $fix := printf "Write: except: [%s]; or, to allow it, list that address alone." $address }}
    {{- if eq (len .) 4 }}{{ $fix = "List the addresses of the API server only. Write: cidrs: [10.96.0.1/32]" }}{{ end }}
    {{- include "agent-identities.problem" (list (index . 0) (index . 1) (printf "%s includes %s, where clouds serve the credentials of the node. %s" $cidr (trimSuffix "/32" $address | trimSuffix "/128") $fix)) }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
"true" if a block includes the metadata address: 169.254.169.254 (AWS, GCP, Azure), fd00:ec2::254 (AWS). Compares the addresses divided by the
size of the block; for IPv6, the first 32 bits. Call: a CIDR
*/}}
{{- define "agent-identities.holdsMetadata" -}}
{{- $parts := splitList "/" . }}
{{- $length := index $parts 1 | int }}
{{- $size := include "agent-identities.ipv4Size" $length }}
{{- if contains ":" . }}
  {{- $words := splitList ":" (index $parts 0) }}
  {{- $high := add (mul 65536 (printf "0x0%s" (index $words 0) | int64)) (printf "0x0%s" (index $words 1) | int64) }}
  {{- if and (eq (div $high $size) (div 4244639426 $size)) (or (lt $length 128) (eq (lower .) "fd00:ec2::254/128")) }}true{{ end }}
{{- else }}
  {{- if eq (div (include "agent-identities.ipv4" (index $parts 0)) $size) (div 2852039166 $size) }}true{{ end }}
{{- end }}
{{- end }}
