"""Makes drawn values valid: removes contradictions, adds what is missing, and changes nothing else."""

from collections.abc import Iterator
from typing import Any

from agent_identities.chart.values import with_defaults
from agent_identities.rbac import Catalogue, PolicyRule, RoleRef

RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
SPECIAL = frozenset({"use", "bind", "approve"})
"""Verbs that the API server checks in a namespace, even for cluster-scoped resources."""

Json = dict[str, Any]


def made_valid(values: Json, defaults: Json, catalogue: Catalogue, release_namespace: str) -> Json:
    """The values, valid by every rule of the chart's templates."""
    full = with_defaults(values, defaults)
    proxy = full["proxy"]["name"]
    namespace = full.get("namespaceOverride") or release_namespace
    drawn = values.get("tiers") or {}
    tiers = _tiers({name: tier for name, tier in drawn.items() if not _removed(tier)}, proxy)
    for rule in values.get("proxy", {}).get("rules", ()):
        rule["resourceNames"] = [name for name in rule.pop("resourceNames", ()) if "{agent}" not in name] or ["x"]
        _rule(rule, cluster=False)
    extra = values.get("extraLabels", {})
    _without(values.get("proxy", {}), extra)
    scopes = {name: tier.get("scope", "Namespace") for name, tier in tiers.items()} | {"proxy": "Namespace"}
    network = _network(values, full, defaults)

    seen = {proxy, "default"}
    for entry, agent in list(values.get("agents", {}).items()):
        if _removed(agent):
            continue
        agent.pop("namespace", None)  # always refused
        _account(entry, agent)
        _without(agent, extra)
        names = set(names_of(entry, agent))
        long = {name for name in names if len(name) > 63}
        names |= {entry} if long else set()  # a label has the key of the agent
        if names & seen or (long and agent.get("serviceAccount", {}).get("create") is not False):
            del values["agents"][entry]
            continue
        seen |= names
        _grants(agent, scopes, namespace)
        if agent.get("access") == "proxied":
            for key in ("token", "workload", "cloud", "tokens"):
                agent.pop(key, None)
            if full["proxy"].get("impersonation", "auto") != "legacy":
                _only(agent, lambda tier: not (tiers.get(tier) or {}).get("existingRole"))
        _token(agent.get("token"))
        _cloud(agent)
        _agent_network(agent, network)
        _workload(agent.get("workload"), agent.get("token"))
    _token(values.get("proxy", {}).get("token"))
    _agent_network(values.get("proxy", {}), network)
    _workload(values.get("proxy", {}).get("workload"), values.get("proxy", {}).get("token"))
    _guards(values, full, namespace)
    if "adoptServiceAccounts" in values:
        values["adoptServiceAccounts"] = [name for name in values["adoptServiceAccounts"] if name in seen]
    queuing = full["priorityAndFairness"]["queuing"]
    if queuing["handSize"] > queuing["queues"]:
        values["priorityAndFairness"]["queuing"]["handSize"] = queuing["queues"]  # drawn: the defaults have 64 and 6
    values["tiers"] = tiers
    _accept(values, catalogue, namespace)
    values["tiers"] |= {name: tier for name, tier in drawn.items() if _removed(tier) and name not in tiers}
    return values


def _removed(entry: Json | None) -> bool:
    return entry is None or entry.get("enabled") is False


def _rule(rule: Json, *, cluster: bool) -> None:
    """Makes requests exist that the rule allows: its resources are in its groups and in its scope, and have a name."""
    if "nonResourceURLs" in rule:
        if not cluster:
            rule.clear()
            rule.update(RULES[0])
        return
    groups, verbs = rule["apiGroups"], set(rule["verbs"])
    if "example.com" not in groups:
        homes = {resource: "apps" if resource == "deployments" else "" for resource in rule["resources"]}
        rule["resources"] = [
            resource
            for resource, home in homes.items()
            if home in groups and (resource != "nodes" or cluster or verbs & SPECIAL)
        ] or (["pods"] if "" in groups else ["deployments"])
    dead = "deletecollection" in verbs or ("create" in verbs and not verbs & {"update", "patch"})
    if dead and not any("/" in resource for resource in rule["resources"]):
        rule.pop("resourceNames", None)


def names_of(entry: str, agent: Json) -> Iterator[str]:
    if "instances" in agent:
        yield from (f"{entry}-{number + 1}" for number in range(agent["instances"]))
    else:
        yield agent.get("serviceAccount", {}).get("name") or entry


def _tiers(tiers: Json, proxy: str) -> Json:
    kept = {name: tier for name, tier in tiers.items() if name not in ("proxy", proxy)}
    roles = {f"Namespace/{name}-role" for name in (*kept, proxy)} | {f"Cluster/{name}-role" for name in kept}
    for tier in kept.values():
        for rule in tier.get("rules", ()):
            _rule(rule, cluster=tier.get("scope") == "Cluster")
        if "rules" in tier or "existingRole" not in tier:
            tier.pop("existingRole", None)
            tier.setdefault("rules", RULES)
        if tier.get("scope") == "Cluster":
            if "{agent}" in str(tier.get("rules")):
                del tier["scope"]
                for rule in tier["rules"]:
                    _rule(rule, cluster=False)
            elif "existingRole" in tier:
                tier["existingRole"].pop("kind", None)
        if "existingRole" in tier:
            role = tier["existingRole"]
            if f"{tier.get('scope', 'Namespace')}/{role['name']}" in roles:
                role["name"] = f"theirs-{len(roles)}"
            roles.add(f"{tier.get('scope', 'Namespace')}/{role['name']}")
    return kept


def _without(owner: Json, extra: Json) -> None:
    if "labels" in owner:
        owner["labels"] = {key: value for key, value in owner["labels"].items() if key not in extra}


def _account(entry: str, agent: Json) -> None:
    account = agent.get("serviceAccount", {})
    if "instances" in agent:
        account.pop("name", None)
    if account.get("create") is False and "name" not in account:
        del account["create"]
    out = agent.get("quarantined")
    if isinstance(out, list):
        agent["quarantined"] = [number for number in out if number <= agent.get("instances", 0)]


def _only(agent: Json, keep: Any) -> None:
    if "tiers" in agent:
        agent["tiers"] = [tier for tier in agent["tiers"] if keep(tier)]
    spaces = agent.get("namespaces", {})
    for namespace in list(spaces):
        spaces[namespace] = [tier for tier in spaces[namespace] if keep(tier)]
        if not spaces[namespace]:
            del spaces[namespace]


def _grants(agent: Json, scopes: dict[str, str], namespace: str) -> None:
    agent.get("namespaces", {}).pop(namespace, None)
    own = agent.get("tiers")
    _only(agent, lambda tier: scopes.get(tier) == "Namespace")
    if own is not None:
        agent["tiers"] = [tier for tier in own if tier in scopes]


def _token(token: Json | None) -> None:
    if not token:
        return
    if token.get("expirationSeconds") == 3607:
        token["expirationSeconds"] = 3600
    if token.get("mode") == "automount":
        token.pop("expirationSeconds", None)
        token.pop("audience", None)


def _cloud(agent: Json) -> None:
    cloud = agent.get("cloud", {})
    made = agent.get("serviceAccount", {}).get("create", True)
    if cloud.get("awsPodIdentity"):
        cloud.pop("aws", None)
    needs = {
        "aws": ("roleArn", "arn:aws:iam::111122223333:role/a"),
        "azure": ("clientId", "-".join("0" * size for size in (8, 4, 4, 4, 12))),
    }
    for provider in ("aws", "gcp", "azure"):
        given = cloud.get(provider)
        if given is None:
            continue
        if not made:
            cloud[provider] = {key: given[key] for key in given if key in ("audience", "workloadPool")}
        elif provider in needs:
            given.setdefault(*needs[provider])
    files: set[str] = set()
    for name, token in list((agent.get("tokens") or {}).items()):
        if token is None:
            continue
        _token(token)
        file = token.get("path", name)
        if file in files:
            del agent["tokens"][name]
        files.add(file)


def _network(values: Json, full: Json, defaults: Json) -> Json:
    network: Json = values.get("network", {})
    known = {
        kind: {n for n, rule in full["network"].get(kind, {}).items() if rule} for kind in ("destinations", "sources")
    }
    if network:
        _host_names(network)
        _agent_network({"network": network}, known)
        network["apiServer"] = network.get("apiServer") or {}  # null would take the chart's own away
        if network.get("enabled"):
            for place in (network["apiServer"], *_clouds(network)):
                place["cidrs"] = place.get("cidrs") or ["192.0.2.1/32"]
    return known


def _host_names(network: Json) -> None:
    """Host names need Cilium, and numbers of ports."""
    for destination in filter(None, (network.get("destinations") or {}).values()):
        if network.get("provider") != "cilium":
            destination["to"] = [peer for peer in destination["to"] if "fqdn" not in peer] or [{"podSelector": {}}]
        if any("fqdn" in peer for peer in destination["to"]):
            destination["ports"] = [one for one in destination["ports"] if not isinstance(one["port"], str)]
            destination["ports"] = destination["ports"] or [{"port": 443}]


def _clouds(network: Json) -> Iterator[Json]:
    cloud = network.setdefault("cloud", {})
    for provider in ("aws", "awsPodIdentity", "gcp", "azure"):
        cloud[provider] = cloud.get(provider) or {}
        yield cloud[provider]


def _agent_network(agent: Json, known: Json) -> None:
    for key, kind in (("egress", "destinations"), ("ingress", "sources")):
        if key in (agent.get("network") or {}):
            agent["network"][key] = [name for name in agent["network"][key] if name in known[kind]]


def _workload(workload: Json | None, token: Json | None) -> None:
    if not workload:
        return
    others = [*(workload.get("initContainers") or ()), *(workload.get("extraContainers") or ())]
    if any("volumeMounts" in one for one in (workload, *others)):
        workload["volumes"] = [{"name": "data", "emptyDir": {}}]
    if (token or {}).get("mode") == "automount":
        for one in others:
            one["mountToken"] = True


def _guards(values: Json, full: Json, namespace: str) -> None:
    guards = values.get("guards", {})
    for guard in guards.values():
        actions = guard.get("validationActions", []) if isinstance(guard, dict) else []
        if "Deny" in actions and "Warn" in actions:
            actions.remove("Warn")
    if guards.get("tokens", {}).get("maxSeconds") == 3607:
        guards["tokens"]["maxSeconds"] = 3600
    known = {full["proxy"]["name"]} | {
        entry for entry, agent in values.get("agents", {}).items() if not _removed(agent)
    }
    unique: dict[tuple[str, ...], Json] = {}
    for deployer in guards.get("deployers", ()):
        if deployer["kind"] == "ServiceAccount":
            deployer.setdefault("namespace", "ci")
            if deployer["namespace"] == namespace:
                deployer["namespace"] = "ci"
        else:
            deployer.pop("namespace", None)
        if "agents" in deployer:
            deployer["agents"] = [one for one in deployer["agents"] if one in known] or [full["proxy"]["name"]]
        unique[deployer["kind"], deployer.get("namespace", ""), deployer["name"]] = deployer
    if unique:
        guards["deployers"] = list(unique.values())
    for controller in guards.get("controllers", ()):
        if "agents" in controller and isinstance(controller, dict):
            controller["agents"] = [one for one in controller["agents"] if one in known] or [full["proxy"]["name"]]
        if isinstance(controller, dict) and controller.get("namespace") == namespace:
            del controller["namespace"]
    for trusted in values.get("trustedSubjects", ()):
        if trusted["kind"] == "ServiceAccount":
            trusted.setdefault("namespace", "ci")
        else:
            trusted.pop("namespace", None)


def _accept(values: Json, catalogue: Catalogue, namespace: str) -> None:
    """Each tier accepts the critical and high risks that its rules match where it is granted."""
    for name, tier in {**values["tiers"], "proxy": values.get("proxy", {})}.items():
        rules = [PolicyRule.from_manifest(rule) for rule in tier.get("rules", ())]
        wide = tier.get("scope") == "Cluster"
        places = {namespace} | {
            elsewhere
            for agent in values.get("agents", {}).values()
            if not _removed(agent)
            for elsewhere, tiers in (agent.get("namespaces") or {}).items()
            if name in tiers
        }
        met = {
            match.risk.id
            for place in places
            for match in catalogue.findings(rules, cluster_wide=wide, namespace=place)
            if match.risk.severity in ("critical", "high")
        }
        if "rules" in tier:
            tier["acceptRisks"] = dict.fromkeys(sorted(met), "drawn")
        elif role := tier.get("existingRole"):
            kind = role.get("kind") or ("ClusterRole" if wide else "Role")
            risk = catalogue.of_existing_role(RoleRef(kind, role["name"]))
            tier["acceptRisks"] = {risk.id: "drawn"} if risk else {}
