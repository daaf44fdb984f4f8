"""A small hand-written install without findings. Each test changes one object or field of it."""

import copy
from typing import Any

Manifest = dict[str, Any]
NAMESPACE = "agents"
RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
VALUES = {
    "proxy": {"name": "agent-proxy", "rules": RULES},
    "tiers": {},
    "agents": {"worker": {}, "idle": {"tiers": []}, "old": {"token": {"mode": "automount"}}},
}


def account(name: str) -> Manifest:
    meta = {"name": name, "namespace": NAMESPACE, "labels": {"agent-identities/agent": name}}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta, "automountServiceAccountToken": False}


def binding(name: str, subject: Manifest, kind: str = "RoleBinding", role: str = "agent-proxy-role") -> Manifest:
    meta = {"name": name} | ({"namespace": NAMESPACE} if kind == "RoleBinding" else {})
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}
    rbac = "rbac.authorization.k8s.io/v1"
    return {"apiVersion": rbac, "kind": kind, "metadata": meta, "roleRef": ref, "subjects": [subject]}


def role(name: str, rules: list[Manifest]) -> Manifest:
    meta = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": rules}


def subject(name: str) -> Manifest:
    return {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}


def pod_spec(name: str) -> Manifest:
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    volume = {"name": "agent-token", "projected": {"sources": [token]}}
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    own = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        "securityContext": security,
        "containers": [{"name": "agent", "securityContext": own}],
        "volumes": [volume],
    }


def deployment(name: str, spec: Manifest) -> Manifest:
    meta = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"template": {"spec": spec}}}


def good_install() -> list[Manifest]:
    """New manifests that match VALUES."""
    return [
        account("agent-proxy"),
        account("worker"),
        account("idle"),
        account("old"),
        role("agent-proxy-role", copy.deepcopy(RULES)),
        binding("agent-proxy-binding", subject("agent-proxy")),
        binding("worker-binding", subject("worker")),
        binding("old-binding", subject("old")),
        deployment("worker", pod_spec("worker")),
    ]
