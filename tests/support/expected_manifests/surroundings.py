"""What agents may reach and who may reach them, and their share of the API server."""

from collections.abc import Iterator

from support.expected_manifests.plan import Json, Plan


def surroundings(plan: Plan) -> Iterator[Json]:
    """NetworkPolicies, FlowSchema and PriorityLevelConfiguration."""
    for agent in plan.quarantined:
        yield _policy(plan, agent.name, agent.labels, [], [])
    if plan.values["network"]["enabled"]:
        own = plan.proxy.get("network") or {}
        proxy = plan.proxy["name"]
        yield _policy(
            plan, proxy, {"agent-identities/proxy": proxy}, _ingress(plan, own), _egress(plan, own, {}, reaches=True)
        )
        yield from _of_cilium(plan, proxy, {"agent-identities/proxy": proxy}, own, reaches=True)
        for agent in plan.agents:
            network = agent.given.get("network") or {}
            egress = _egress(plan, network, agent.cloud, reaches=not agent.proxied)
            yield _policy(plan, agent.name, agent.labels, _ingress(plan, network), egress)
            yield from _of_cilium(plan, agent.name, agent.labels, network, reaches=not agent.proxied)
    if plan.values["priorityAndFairness"]["enabled"]:
        yield from _fair_share(plan)


def _policy(plan: Plan, name: str, labels: Json, ingress: list[Json], egress: list[Json]) -> Json:
    selector = dict([next(iter(labels.items()))])
    spec: Json = {"podSelector": {"matchLabels": selector}, "policyTypes": ["Ingress", "Egress"]}
    spec |= {"ingress": ingress} if ingress else {}
    spec |= {"egress": egress} if egress else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": plan.meta(name, **labels),
        "spec": spec,
    }


def _egress(plan: Plan, own: Json, cloud: Json, *, reaches: bool) -> list[Json]:
    network = plan.values["network"]
    dns = network["dns"]
    name_servers = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": dns["namespace"]}},
        "podSelector": {"matchLabels": _dns_labels(plan)},
    }
    ports = [{"port": int(port), "protocol": protocol} for port in dns["ports"] for protocol in ("UDP", "TCP")]
    named = network["provider"] == "cilium" and any(_names(plan, own))
    rules: list[Json] = [] if named else [{"to": [name_servers, *_blocks(dns)], "ports": ports}]
    if own.get("apiServer", reaches) and network["apiServer"]["cidrs"]:
        rules.append(_addresses(network["apiServer"]))
    for provider in sorted(cloud):
        endpoint = (network.get("cloud") or {}).get(provider)
        if endpoint and endpoint.get("cidrs"):
            rules.append(_addresses(endpoint))
    found = (
        {"to": [peer for peer in destination["to"] if "fqdn" not in peer], "ports": _ports(destination)}
        for destination in _destinations(plan, own)
    )
    return rules + [rule for rule in found if rule["to"]]


def _destinations(plan: Plan, own: Json) -> list[Json]:
    network = plan.values["network"]
    return [network["destinations"][name] for name in own.get("egress", network["egress"])]


def _dns_labels(plan: Plan) -> Json:
    labels = plan.values["network"]["dns"].get("podLabels") or {}
    return {key: value for key, value in labels.items() if value is not None}


def _names(plan: Plan, own: Json) -> Iterator[Json]:
    """The rules of Cilium for the destinations with host names."""
    for destination in _destinations(plan, own):
        names = [peer["fqdn"] for peer in destination["to"] if "fqdn" in peer]
        if not names:
            continue
        ports = [
            {"port": str(int(one["port"])), "protocol": one.get("protocol", "TCP")}
            | ({"endPort": int(one["endPort"])} if "endPort" in one else {})
            for one in destination["ports"]
        ]
        selectors = [{"matchPattern" if "*" in name else "matchName": name} for name in names]
        yield {"toFQDNs": selectors, "toPorts": [{"ports": ports}]}


def _of_cilium(plan: Plan, name: str, labels: Json, own: Json, *, reaches: bool) -> Iterator[Json]:
    """The CiliumNetworkPolicy: host names, with DNS through Cilium's proxy, and the API server."""
    network = plan.values["network"]
    if network["provider"] != "cilium":
        return
    dns, rules = network["dns"], list(_names(plan, own))
    if rules:
        ports = [{"port": str(int(port)), "protocol": "ANY"} for port in dns["ports"]]
        inspected = {"toPorts": [{"ports": ports, "rules": {"dns": [{"matchPattern": "*"}]}}]}
        labels_of_dns = {f"k8s:{key}": value for key, value in _dns_labels(plan).items()}
        pods = {"k8s:io.kubernetes.pod.namespace": dns["namespace"], **labels_of_dns}
        cidrs = [{"toCIDR": dns["cidrs"], **inspected}] if dns["cidrs"] else []
        rules = [{"toEndpoints": [{"matchLabels": pods}], **inspected}, *cidrs, *rules]
    if own.get("apiServer", reaches):
        ports = [{"port": str(int(port)), "protocol": "TCP"} for port in network["apiServer"]["ports"]]
        rules.append({"toEntities": ["kube-apiserver"], "toPorts": [{"ports": ports}]})
    if rules:
        selector = dict([next(iter(labels.items()))])
        yield {
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumNetworkPolicy",
            "metadata": plan.meta(name, **labels),
            "spec": {"endpointSelector": {"matchLabels": selector}, "egress": rules},
        }


def _ingress(plan: Plan, own: Json) -> list[Json]:
    network = plan.values["network"]
    sources = [network["sources"][name] for name in own.get("ingress", network["ingress"])]
    return [{"from": source["from"], "ports": _ports(source)} for source in sources]


def _blocks(endpoint: Json) -> list[Json]:
    return [{"ipBlock": {"cidr": cidr}} for cidr in endpoint.get("cidrs") or ()]


def _addresses(endpoint: Json) -> Json:
    return {"to": _blocks(endpoint), "ports": [{"port": int(port), "protocol": "TCP"} for port in endpoint["ports"]]}


def _ports(peer: Json) -> list[Json]:
    return [{"protocol": "TCP", **port} for port in peer["ports"]]


def _fair_share(plan: Plan) -> Iterator[Json]:
    given = plan.values["priorityAndFairness"]
    name = f"agent-identities.{plan.namespace}.{plan.target.release}"
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
    subject = {"kind": "Group", "group": {"name": f"system:serviceaccounts:{plan.namespace}"}}
    rule = {
        "subjects": [subject],
        "resourceRules": [everything],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
    yield {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": plan.meta(name, namespace=""),
        "spec": {
            "matchingPrecedence": int(given["matchingPrecedence"]),
            "priorityLevelConfiguration": {"name": name},
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [rule],
        },
    }
    limited = {
        "nominalConcurrencyShares": int(given["nominalConcurrencyShares"]),
        "lendablePercent": int(given["lendablePercent"]),
        "limitResponse": {
            "type": "Queue",
            "queuing": {key: int(given["queuing"][key]) for key in ("queues", "handSize", "queueLengthLimit")},
        },
    }
    if given.get("borrowingLimitPercent") is not None:
        limited["borrowingLimitPercent"] = int(given["borrowingLimitPercent"])
    yield {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "PriorityLevelConfiguration",
        "metadata": plan.meta(name, namespace=""),
        "spec": {"type": "Limited", "limited": limited},
    }
