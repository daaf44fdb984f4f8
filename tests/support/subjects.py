"""Subjects of bindings: every spelling of an agent, and similar subjects that are not agents."""

from support.server import Json

RBAC_GROUP = "rbac.authorization.k8s.io"
VIEW = {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": "view"}
BIND_AGENTS = {"apiGroups": ["agent-identities"], "resources": ["agents/$ns"], "verbs": ["bind-agents"]}


def user(name: str) -> Json:
    return {"apiGroup": RBAC_GROUP, "kind": "User", "name": name}


def group(name: str) -> Json:
    return {"apiGroup": RBAC_GROUP, "kind": "Group", "name": name}


def account(name: str, namespace: str | None = None) -> Json:
    return {"kind": "ServiceAccount", "name": name} | ({"namespace": namespace} if namespace else {})


def agents(namespace: str) -> dict[str, Json]:
    """Every spelling of a ServiceAccount of the agents' namespace, or of all of them."""
    return {
        "account": account("a", namespace),
        "proxy": account("agent-proxy", namespace),
        "account that no value names": account("operator", namespace),
        "user": user(f"system:serviceaccount:{namespace}:a"),
        "user that no value names": user(f"system:serviceaccount:{namespace}:operator"),
        "group of the namespace": group(f"system:serviceaccounts:{namespace}"),
        "all accounts": group("system:serviceaccounts"),
        "all users": group("system:authenticated"),
    }


def others(namespace: str) -> dict[str, Json]:
    """Subjects that look like an agent, and are not agents."""
    return {
        "account elsewhere": account("a", "default"),
        "user elsewhere": user("system:serviceaccount:default:a"),
        "user with the same name": user("a"),
        "group elsewhere": group("system:serviceaccounts:default"),
        "group with its name": group(f"system:serviceaccount:{namespace}:a"),
    }


def binding(*subjects: Json, name: str = "b") -> Json:
    return {"metadata": {"name": name}, "roleRef": VIEW, "subjects": list(subjects)}
