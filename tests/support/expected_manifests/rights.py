"""Roles and bindings: what the declaration grants, under the chart's names and labels."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

from agent_identities.bundled import chart_path
from agent_identities.chart.names import AGENT_PLACEHOLDER
from agent_identities.declaration import TierGrant
from agent_identities.rbac import PolicyRule
from support.expected_manifests.plan import Agent, Json, Plan, Tier

RBAC = "rbac.authorization.k8s.io"


def rights(plan: Plan) -> Iterator[Json]:
    """Every Role, ClusterRole, RoleBinding and ClusterRoleBinding."""
    yield from _roles(plan)
    yield from _bindings(plan)
    yield from _impersonation(plan)
    if plan.values["guards"]["enabled"]:
        yield from _deployers(plan)


def _role_name(plan: Plan, tier: Tier, agent: Agent | None, namespace: str) -> str:
    own = f"{agent.name}:" if tier.per_agent and agent else ""
    role = f"{plan.proxy['name']}-role" if tier.name == "proxy" else f"{tier.name}-role"
    return f"{'' if namespace == plan.namespace else plan.prefix + ':'}{own}{role}"


def _role_of(plan: Plan, grant: TierGrant, agent: Agent) -> tuple[str, str]:
    """(kind, name) of the role behind a grant."""
    if grant.existing:
        return grant.existing.kind, grant.existing.name
    name = _role_name(plan, plan.tiers[grant.tier], agent, grant.namespace)
    return ("Role" if grant.namespace else "ClusterRole"), name


def _roles(plan: Plan) -> Iterator[Json]:
    wanted: dict[tuple[str, str], tuple[Tier, Agent | None, tuple[PolicyRule, ...]]] = {}
    for tier in plan.tiers.values():
        if not tier.existing and not tier.per_agent:
            namespace = "" if tier.everywhere else plan.namespace
            wanted[namespace, _role_name(plan, tier, None, namespace)] = tier, None, tier.rules
    for agent in plan.agents:
        for grant in agent.grants:
            if not grant.existing:
                tier = plan.tiers[grant.tier]
                owner = agent if tier.per_agent else None
                wanted[grant.namespace, _role_name(plan, tier, owner, grant.namespace)] = tier, owner, grant.rules
    for (namespace, name), (tier, owner, rules) in wanted.items():
        labels = {"agent-identities/tier": tier.name} | (
            {"agent-identities/agent": owner.labels["agent-identities/agent"]} if owner else {}
        )
        meta = plan.meta(name, namespace=namespace, **labels)
        accepted = sorted(plan.declaration.accepted[tier.name].items())
        if text := "\n".join(f"{risk}: {why}" for risk, why in accepted if why is not None):
            meta["annotations"] = {"agent-identities/accepted-risks": text}
        yield _role(namespace, meta, rules)


def _role(namespace: str, meta: Json, rules: Iterable[PolicyRule]) -> Json:
    kind = "Role" if namespace else "ClusterRole"
    manifests = [rule.to_manifest() for rule in rules]
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": meta, "rules": manifests}


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
    binding = _binding(plan, f"{proxy}-binding", plan.namespace, central, [proxy], **{"agent-identities/tier": "proxy"})
    if not plan.values["agents"]:
        binding["metadata"]["annotations"] = {"agent-identities/no-agents": "true"}
    yield binding
    shared: dict[tuple[TierGrant, tuple[str, str], str], list[str]] = {}
    for agent in plan.agents:
        for grant in agent.grants:
            kind, role = _role_of(plan, grant, agent)
            if plan.values["bindings"] == "perTier" and not plan.tiers[grant.tier].per_agent:
                bucket = hashlib.sha256(agent.name.encode()).hexdigest()[0]
                shared.setdefault((grant, (kind, role), bucket), []).append(agent.name)
                continue
            name = f"{agent.name}-binding" if role == "agent-proxy-role" else f"{agent.name}:{role}"
            if grant.existing:
                name = _of_existing(plan, grant, agent.name)
            labels = {**agent.labels, "agent-identities/tier": grant.tier}
            yield _binding(plan, name, grant.namespace, (kind, role), [agent.name], **labels)
    for (grant, (kind, role), bucket), names in shared.items():
        labels = {"agent-identities/tier": grant.tier}
        name = _of_existing(plan, grant, bucket) if grant.existing else f"{role}:{bucket}"
        yield _binding(plan, name, grant.namespace, (kind, role), names, **labels)


def _of_existing(plan: Plan, grant: TierGrant, subject: str) -> str:
    """The name of a binding to a role that the chart does not create: kind and name of the role are part of it."""
    assert grant.existing is not None
    prefix = "" if grant.namespace == plan.namespace else f"{plan.prefix}:"
    return f"{prefix}{grant.existing.kind}:{subject}:{grant.existing.name}"


def _impersonation(plan: Plan) -> Iterator[Json]:
    """The roles by which the proxy impersonates. Rules that differ by the agent's name alone are one rule."""
    for acting in plan.declaration.proxy.grants:
        if not acting.impersonation:
            continue
        rules = [rule for rule in acting.rules if not rule.verbs[0].startswith("impersonate-on:")]
        if "impersonate" not in (verb for rule in rules for verb in rule.verbs):  # constrained
            holders: dict[str, list[Agent]] = {}
            for agent in plan.proxied:
                for grant in agent.grants:
                    if grant.namespace == acting.namespace:
                        holders.setdefault(grant.tier, []).append(agent)
            rules += [_on(rule, holders[tier]) for tier in sorted(holders) for rule in plan.tiers[tier].rules]
        name = f"{plan.proxy['name']}-impersonation"
        name = name if acting.namespace == plan.namespace else f"{plan.prefix}:{name}"
        yield _role(acting.namespace, plan.meta(name, namespace=acting.namespace), rules)
        kind = "Role" if acting.namespace else "ClusterRole"
        yield _binding(plan, name, acting.namespace, (kind, name), [plan.proxy["name"]])


def _on(rule: PolicyRule, holders: list[Agent]) -> PolicyRule:
    """A rule of a tier as the proxy may use it, as one of these agents."""
    names = [
        name.replace(AGENT_PLACEHOLDER, holder.name)
        for name in rule.resource_names
        for holder in (holders if AGENT_PLACEHOLDER in name else holders[:1])
    ]
    verbs = tuple(f"impersonate-on:serviceaccount:{verb}" for verb in rule.verbs)
    return replace(rule, verbs=verbs, resource_names=tuple(names))


def _deployers(plan: Plan) -> Iterator[Json]:
    """The roles of deployers: the guards' own verbs."""
    for deployer in [*(plan.values["guards"].get("deployers") or ()), *_controllers(plan)]:
        identity = f"{deployer['kind']}/{deployer.get('namespace') or ''}/{deployer['name']}"
        name = f"{plan.proxy['name']}-deployer-{hashlib.sha256(identity.encode()).hexdigest()[:10]}"
        use: Json = {"apiGroups": ["agent-identities"], "resources": [f"agents/{plan.namespace}"], "verbs": ["use"]}
        if deployer.get("agents"):
            use["resourceNames"] = sorted({one for entry in deployer["agents"] for one in _accounts_of(plan, entry)})
        bind = {"apiGroups": ["agent-identities"], "resources": [f"agents/{plan.namespace}"], "verbs": ["bind-agents"]}
        nobody = "resourceNames" in use and not use["resourceNames"]  # an entry without instances
        rules = [*([] if nobody else [use]), *([bind] if deployer.get("bindAgents") else [])]
        subject = {"kind": deployer["kind"], "name": deployer["name"]}
        subject |= {"namespace": deployer["namespace"]} if deployer["kind"] == "ServiceAccount" else {"apiGroup": RBAC}
        release = plan.target.namespace
        name = name if release == plan.namespace else f"{plan.prefix}:{name}"
        meta = plan.meta(name, namespace=release)
        yield {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": meta, "rules": rules}
        yield _binding(plan, name, release, ("Role", name), []) | {"subjects": [subject]}


def _controllers(plan: Plan) -> Iterator[Json]:
    """The controllers of the values, as deployers: the accounts of the catalogue, or those of the values."""
    catalogue = json.loads((chart_path() / "files" / "controllers.json").read_text())["controllers"]
    for given in plan.values["guards"].get("controllers") or ():
        item = {"name": given} if isinstance(given, str) else given
        accounts = catalogue[item["name"]]["accounts"]
        if "serviceAccount" in item:
            accounts = [{"namespace": accounts[0]["namespace"], "name": item["serviceAccount"]}]
        for account in accounts:
            deployer = {key: value for key, value in item.items() if key in ("agents", "bindAgents")}
            namespace = item.get("namespace", account["namespace"])
            yield deployer | {"kind": "ServiceAccount", "name": account["name"], "namespace": namespace}


def _accounts_of(plan: Plan, named: str) -> list[str]:
    """The ServiceAccounts that a name stands for: an entry with all of its instances, one of them, or the proxy."""
    every = [*plan.agents, *plan.quarantined]
    found = [agent.name for agent in every if agent.entry == named]
    return found if named in plan.values["agents"] else [named]
