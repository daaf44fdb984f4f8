"""NetworkPolicies in the namespaces of the agents that differ from the values.

NetworkPolicies are additive: another policy that selects an agent's pods can allow traffic, and never denies what the
agent's own policy allows. Without a declared policy (`network.enabled`), a pod may send and receive everything, so that
another policy can only restrict it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent_identities.chart.objects import Key
from agent_identities.declaration import Identity
from agent_identities.inventory.accounts import Manifest
from agent_identities.inventory.findings import INSTALL_AGAIN, NAMES, compact, finding, kubectl, objects
from agent_identities.inventory.objects import AgentObjects, account_of
from agent_identities.rbac.selector import LabelSelector
from agent_identities.report.model import Finding
from agent_identities.report.words import label

_GROUP = "networking.k8s.io"


def network_findings(found: AgentObjects) -> Iterator[Finding]:
    """Policies that allow traffic of agents outside the values, and the agents' own policies if they differ."""
    limited = [one for one in found.declaration.identities if found.of(one).policy is not None]
    live = {(policy["metadata"]["namespace"], policy["metadata"]["name"]): policy for policy in found.policies}
    read = [one for one in limited if (one.namespace, "NetworkPolicy") not in found.unread]
    yield from _own(found, read, live)
    own = {(one.namespace, one.name) for one in limited}
    labels = _pod_labels(found, read)
    for (namespace, name), policy in live.items():
        if (namespace, name) in own or not (traffic := _allowed(policy["spec"])):
            continue
        selector = LabelSelector.from_manifest(policy["spec"].get("podSelector") or {})
        selected = [
            one
            for one in read
            if one.namespace == namespace and any(map(selector.matches, labels[namespace, one.name]))
        ]
        if not selected:
            continue
        names = [one.name for one in selected]
        yield finding(
            "undeclared-network-policy",
            f"NetworkPolicy {namespace}/{name} allows {' and '.join(traffic)} of {label(names)}, but the values do not "
            "declare it.",
            [Key(_GROUP, "NetworkPolicy", namespace, name)],
            selected,
            remediation=(
                f"To remove it: {kubectl(namespace, [name], 'delete', 'networkpolicy', NAMES)}",
                "To keep the traffic: declare it under network.destinations and network.sources.",
            ),
        )


def _own(
    found: AgentObjects, limited: Sequence[Identity], live: Mapping[tuple[str, str], Manifest]
) -> Iterator[Finding]:
    missing: dict[str, list[Identity]] = {}
    for one in limited:
        policy, declared = live.get((one.namespace, one.name)), found.of(one).policy
        if policy is None:
            missing.setdefault(one.namespace, []).append(one)
        elif declared is not None and _normal(policy["spec"]) != _normal(declared):
            yield finding(
                "changed-network-policy",
                f"NetworkPolicy {one.namespace}/{one.name} differs from the values in "
                f"{', '.join(_differing(_normal(policy['spec']), _normal(declared)))}.",
                [Key(_GROUP, "NetworkPolicy", one.namespace, one.name)],
                [one],
                field="spec",
                remediation=(f"To fix it: {_patch(one, declared)}", INSTALL_AGAIN),
            )
    for namespace, group in missing.items():
        names = [one.name for one in group]
        yield finding(
            "changed-network-policy",
            f"{objects('NetworkPolicy', namespace, names)}: does not exist, but the values declare it: the pods of the "
            "agent can send and receive everything that other policies do not forbid.",
            [Key(_GROUP, "NetworkPolicy", namespace, name) for name in names],
            group,
            remediation=(_AGAIN,),
        )


_AGAIN = INSTALL_AGAIN.replace("Then install", "To fix it, install")


def _patch(one: Identity, declared: Mapping[str, Any]) -> str:
    """The command that sets the declared spec; null removes a list."""
    spec = {**declared, **{key: declared.get(key) or None for key in ("ingress", "egress")}}
    return kubectl(
        one.namespace, [one.name], "patch", "networkpolicy", NAMES, "--type=merge", "-p", compact({"spec": spec})
    )


def _allowed(spec: Manifest) -> list[str]:
    """The kinds of traffic that a policy allows. A policy without rules only denies traffic."""
    types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    return [kind for kind in ("ingress", "egress") if kind.capitalize() in types and spec.get(kind)]


def _pod_labels(found: AgentObjects, limited: Sequence[Identity]) -> Mapping[tuple[str, str], list[Mapping[str, str]]]:
    """The labels of the pods of each agent: those of the values, and those of the pods that exist."""
    labels = {(one.namespace, one.name): [found.of(one).pod_labels or found.of(one).labels] for one in limited}
    for pod in found.pods:
        of_agent = labels.get((pod["metadata"]["namespace"], account_of(pod)))
        own = pod["metadata"].get("labels") or {}
        if of_agent is not None and own not in of_agent:
            of_agent.append(own)
    return labels


def _differing(live: Mapping[str, Any], declared: Mapping[str, Any]) -> list[str]:
    return [key for key in declared if live[key] != declared[key]]


def _normal(spec: Manifest) -> dict[str, Any]:
    """The parts of a spec, with the defaults that the API server adds."""
    return {
        "podSelector": spec.get("podSelector") or {},
        "policyTypes": sorted(spec.get("policyTypes") or ()),
        "ingress": [_rule(rule) for rule in spec.get("ingress") or ()],
        "egress": [_rule(rule) for rule in spec.get("egress") or ()],
    }


def _rule(rule: Manifest) -> dict[str, Any]:
    ports = [{"protocol": "TCP", **port} for port in rule.get("ports") or ()]
    return {"from": rule.get("from") or [], "to": rule.get("to") or [], "ports": ports}
