"""Roles and bindings, those of the proxy's impersonation among them."""

import hashlib
import json
from collections.abc import Iterator

from support.promised.plan import Agent, Json, Plan, Tier

RBAC = "rbac.authorization.k8s.io"


def rights(plan: Plan) -> Iterator[Json]:
    """Every Role, ClusterRole, RoleBinding and ClusterRoleBinding."""
    yield from _roles(plan)
    yield from _bindings(plan)
    yield from _impersonation(plan)
    if plan.values["guards"]["enabled"]:
        yield from _deployers(plan)


def _granted(plan: Plan, agent: Agent) -> Iterator[tuple[Tier, str]]:
    """(tier, namespace) of an agent; "" is the whole cluster."""
    for name in agent.tiers:
        tier = plan.tiers[name]
        yield tier, "" if tier.everywhere else plan.namespace
    for namespace, names in sorted(agent.namespaces.items()):
        for name in names:
            yield plan.tiers[name], namespace


def _role_name(plan: Plan, tier: Tier, agent: Agent | None, namespace: str) -> str:
    if tier.existing:
        return str(tier.existing["name"])
    own = f"{agent.name}:" if tier.per_agent and agent else ""
    role = f"{plan.proxy['name']}-role" if tier.name == "proxy" else f"{tier.name}-role"
    return f"{'' if namespace == plan.namespace else plan.prefix + ':'}{own}{role}"


def _roles(plan: Plan) -> Iterator[Json]:
    wanted: dict[tuple[str, str], tuple[Tier, Agent | None, str]] = {}
    for tier in plan.tiers.values():
        if not tier.existing and not tier.per_agent:
            namespace = "" if tier.everywhere else plan.namespace
            wanted[namespace, _role_name(plan, tier, None, namespace)] = tier, None, namespace
    for agent in plan.agents:
        for tier, namespace in _granted(plan, agent):
            if not tier.existing:
                owner = agent if tier.per_agent else None
                wanted[namespace, _role_name(plan, tier, owner, namespace)] = tier, owner, namespace
    for (namespace, name), (tier, owner, _) in wanted.items():
        labels = {"agent-identities/tier": tier.name} | ({"agent-identities/agent": owner.name} if owner else {})
        meta = plan.meta(name, namespace=namespace, **labels)
        if accepted := {
            risk: why for risk, why in sorted((tier.given.get("acceptRisks") or {}).items()) if why is not None
        }:
            text = "\n".join(f"{risk}: {why}" for risk, why in accepted.items())
            meta["annotations"] = {"agent-identities/accepted-risks": text}
        rules = tier.rules
        if owner:
            rules = json.loads(json.dumps(rules).replace("{agent}", owner.name))
        kind = "Role" if namespace else "ClusterRole"
        yield {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": meta, "rules": rules}


def _binding(plan: Plan, name: str, namespace: str, ref: tuple[str, str], names: list[str], **labels: str) -> Json:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": plan.meta(name, namespace=namespace, **labels),
        "roleRef": {"apiGroup": RBAC, "kind": ref[0], "name": ref[1]},
        "subjects": [{"kind": "ServiceAccount", "name": one, "namespace": plan.namespace} for one in names],
    }


def _bindings(plan: Plan) -> Iterator[Json]:
    proxy = plan.proxy["name"]
    central = ("Role", f"{proxy}-role")
    yield _binding(plan, f"{proxy}-binding", plan.namespace, central, [proxy], **{"agent-identities/tier": "proxy"})
    shared: dict[tuple[str, str, str], list[str]] = {}
    for agent in plan.agents:
        for tier, namespace in _granted(plan, agent):
            if plan.values["bindings"] == "perTier" and not tier.per_agent:
                bucket = hashlib.sha256(agent.name.encode()).hexdigest()[0]
                shared.setdefault((tier.name, namespace, bucket), []).append(agent.name)
                continue
            role = _role_name(plan, tier, agent, namespace)
            name = f"{agent.name}-binding" if role == "agent-proxy-role" else f"{agent.name}:{role}"
            if role != "agent-proxy-role" and namespace != plan.namespace and not role.startswith(plan.prefix):
                name = f"{plan.prefix}:{name}"
            labels = {**agent.labels, "agent-identities/tier": tier.name}
            yield _binding(plan, name, namespace, (tier.kind, role), [agent.name], **labels)
    for (tier_name, namespace, bucket), names in shared.items():
        tier = plan.tiers[tier_name]
        role = _role_name(plan, tier, None, namespace)
        prefix = f"{plan.prefix}:" if tier.existing and namespace != plan.namespace else ""
        labels = {"agent-identities/tier": tier.name}
        yield _binding(plan, f"{prefix}{role}:{bucket}", namespace, (tier.kind, role), names, **labels)


def _impersonation(plan: Plan) -> Iterator[Json]:
    if not plan.proxied:
        return
    names = [agent.name for agent in plan.proxied]
    how = plan.proxy["impersonation"]
    constrained = how == "constrained" or (how == "auto" and plan.minor >= 36)
    if not constrained:
        rule = {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": names, "verbs": ["impersonate"]}
        yield from _acting(plan, plan.namespace, [rule])
        return
    as_whom = {
        "apiGroups": ["authentication.k8s.io"],
        "resources": ["serviceaccounts"],
        "resourceNames": names,
        "verbs": ["impersonate:serviceaccount"],
    }
    for_what: dict[str, dict[str, list[Agent]]] = {plan.namespace: {}}
    for agent in plan.proxied:
        for tier, namespace in _granted(plan, agent):
            for_what.setdefault(namespace, {}).setdefault(tier.name, []).append(agent)
    for namespace, tiers in for_what.items():
        rules = [as_whom] if namespace == plan.namespace else []
        for tier_name, holders in sorted(tiers.items()):
            rules += [_on(rule, holders) for rule in plan.tiers[tier_name].rules]
        yield from _acting(plan, namespace, rules)


def _on(rule: Json, holders: list[Agent]) -> Json:
    """A rule of a tier as the proxy may use it, as one of these agents."""
    found = {
        "apiGroups": rule["apiGroups"],
        "resources": rule["resources"],
        "verbs": [f"impersonate-on:serviceaccount:{verb}" for verb in rule["verbs"]],
    }
    if rule.get("resourceNames"):
        found["resourceNames"] = [
            name.replace("{agent}", holder.name) if "{agent}" in name else name
            for name in rule["resourceNames"]
            for holder in (holders if "{agent}" in name else holders[:1])
        ]
    return found


def _acting(plan: Plan, namespace: str, rules: list[Json]) -> Iterator[Json]:
    name = f"{plan.proxy['name']}-impersonation"
    name = name if namespace == plan.namespace else f"{plan.prefix}:{name}"
    kind = "Role" if namespace else "ClusterRole"
    yield {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": plan.meta(name, namespace=namespace), "rules": rules}
    yield _binding(plan, name, namespace, (kind, name), [plan.proxy["name"]])


def _deployers(plan: Plan) -> Iterator[Json]:
    """The guards' own verbs, for those whom the values let run agents."""
    for deployer in plan.values["guards"].get("deployers") or ():
        identity = f"{deployer['kind']}/{deployer.get('namespace') or ''}/{deployer['name']}"
        name = f"{plan.proxy['name']}-deployer-{hashlib.sha256(identity.encode()).hexdigest()[:10]}"
        use: Json = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["use"]}
        if deployer.get("agents"):
            use["resourceNames"] = sorted({one for entry in deployer["agents"] for one in _accounts_of(plan, entry)})
        bind = {"apiGroups": [RBAC], "resources": ["rolebindings"], "verbs": ["bind-agents"]}
        rules = [use, *([bind] if deployer.get("bindAgents") else [])]
        subject = {"kind": deployer["kind"], "name": deployer["name"]}
        subject |= {"namespace": deployer["namespace"]} if deployer["kind"] == "ServiceAccount" else {"apiGroup": RBAC}
        meta = plan.meta(name)
        yield {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": meta, "rules": rules}
        yield _binding(plan, name, plan.namespace, ("Role", name), []) | {"subjects": [subject]}


def _accounts_of(plan: Plan, named: str) -> list[str]:
    """The ServiceAccounts that a name stands for: an entry with all of its instances, one of them, or the proxy."""
    every = [*plan.agents, *plan.quarantined]
    found = [agent.name for agent in every if agent.entry == named]
    return found or [named]
