"""All forms that a tier can have, with all forms of the account and of the bindings of its agent."""

from itertools import product
from typing import Any, Final

Json = dict[str, Any]

_PODS: Final = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
_OWN: Final = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["{agent}"], "verbs": ["get"]}


def _existing(kind: str, name: str, scope: str = "Namespace") -> Json:
    accepted = {} if name == "view" else {"acceptRisks": {"existing-role-unknown": "a test"}}
    return {"scope": scope, "existingRole": {"kind": kind, "name": name}, **accepted}


TIERS: Final[dict[str, Json]] = {
    "rules": {"rules": [_PODS]},
    "own objects": {"rules": [_OWN]},
    "cluster rules": {"scope": "Cluster", "rules": [_PODS]},
    "Role": _existing("Role", "theirs"),
    "ClusterRole": _existing("ClusterRole", "theirs"),
    "another ClusterRole": _existing("ClusterRole", "view"),
    "ClusterRole for the cluster": _existing("ClusterRole", "theirs", "Cluster"),
    # existing roles with the names of roles that the chart creates, or with names that look like names of bindings
    "Role of the chart's name": _existing("Role", "t-role"),
    "ClusterRole of the chart's name": _existing("ClusterRole", "t-role"),
    "ClusterRole of the chart's name, for the cluster": _existing(
        "ClusterRole", "agent-system:agents:t-role", "Cluster"
    ),
    "ClusterRole of the proxy's name": _existing("ClusterRole", "agent-proxy-role"),
    "Role with a colon": _existing("Role", "a:t-role"),
    "ClusterRole with a colon": _existing("ClusterRole", "a:t-role"),
    "Role like a kind": _existing("Role", "ClusterRole:a:theirs"),
}
ACCOUNTS: Final[dict[str, Json]] = {
    "created": {},
    "renamed": {"serviceAccount": {"name": "b"}},
    "of others": {"serviceAccount": {"create": False, "name": "a"}},
    "instances": {"instances": 2},
    "named as a tier": {"serviceAccount": {"name": "t-role"}},
}
BINDINGS: Final = ("perAgent", "perTier")


def forms() -> dict[str, Json]:
    """Values for each combination, by a name."""
    return {
        f"{tier}, {account}, {bindings}": form(tier, account, bindings)
        for tier, account, bindings in product(TIERS, ACCOUNTS, BINDINGS)
    }


def form(tier: str, account: str = "created", bindings: str = "perAgent") -> Json:
    """Values with one agent, which has the tier in its own namespace and, if the scope allows it, in another one."""
    elsewhere = {} if TIERS[tier].get("scope") == "Cluster" else {"namespaces": {"team-a": ["t", "proxy"]}}
    return {
        "bindings": bindings,
        "tiers": {"t": TIERS[tier]},
        "agents": {"a": {"tiers": ["t", "proxy"], **elsewhere, **ACCOUNTS[account]}},
    }
