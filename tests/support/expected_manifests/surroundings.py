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
        for agent in plan.agents:
            network = agent.given.get("network") or {}
            egress = _egress(plan, network, agent.cloud, reaches=not agent.proxied)
            yield _policy(plan, agent.name, agent.labels, _ingress(plan, network), egress)
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
    labels = {key: value for key, value in (dns.get("podLabels") or {}).items() if value is not None}
    name_servers = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": dns["namespace"]}},
        "podSelector": {"matchLabels": labels},
    }
    ports = [{"port": int(port), "protocol": protocol} for port in dns["ports"] for protocol in ("UDP", "TCP")]
    rules: list[Json] = [{"to": [name_servers, *_blocks(dns)], "ports": ports}]
    if own.get("apiServer", reaches):
        rules.append(_addresses(network["apiServer"]))
    for provider in sorted(cloud):
        endpoint = (network.get("cloud") or {}).get(provider)
        if endpoint and endpoint.get("cidrs"):
            rules.append(_addresses(endpoint))
    for name in own.get("egress", network["egress"]):
        destination = network["destinations"][name]
        rules.append({"to": destination["to"], "ports": _ports(destination)})
    return rules


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
