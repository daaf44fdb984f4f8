"""The objects in the agents' namespace, and elsewhere, that exist before the guards: probes change or use them."""

from typing import Any

from support.guard_probes import controllers
from support.guard_probes.model import ELSEWHERE, HERE, OF_RELEASE, collection
from support.guarded import pod
from support.server import Json
from support.subjects import RBAC_GROUP, account, binding, group, user
from support.workloads import RESOURCES, workload

Thing = tuple[str, Json]
"""(path of the collection, object)"""

ACCOUNTS = (
    "a",
    "b",
    "long",
    "vault",
    "cloud",
    "proxied",
    "crew-1",
    "team-1",
    "team-2",
    "other-bot",
    "kept-bot",
    "agent-proxy",
    "gateway",
    "operator",
)
"""Not suspect and team-3: the accounts of the quarantined are gone, where the chart makes them."""

LARGE_FLEET = 1500
"""Subjects of a large binding: an update of its labels must not cost more than an expression may."""

SECRET_TYPE = "kubernetes.io/service-account-token"
SECRET_NAME = "kubernetes.io/service-account.name"
NOWHERE: Json = {"nodeSelector": {"agent-identities/probes": "nowhere"}}
"""No pod is ever scheduled, on whatever cluster."""


OWNER: Json = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "name": "plain",
    "uid": "11111111-2222-3333-4444-555555555555",
    "controller": True,
}
"""Of nobody: the garbage collector deletes what it owns, so only objects without dry run must not have it."""


def token_secret(of: str, name: str = "s") -> Json:
    return {"metadata": {"name": name, "annotations": {SECRET_NAME: of}}, "type": SECRET_TYPE}


def standing(resource: str, name: str, of: str) -> Thing:
    """A workload of one of the nine kinds that runs no pods."""
    _, body = workload(resource, of, **NOWHERE)
    body["metadata"]["name"] = name
    if resource in ("deployments", "replicasets", "statefulsets", "replicationcontrollers"):
        body["spec"]["replicas"] = 0
    if resource in ("jobs", "cronjobs"):
        body["spec"]["suspend"] = True
    if resource in ("deployments", "replicasets", "statefulsets", "daemonsets", "replicationcontrollers"):
        of_pod = body["spec"]["template"]["metadata"]
        of_pod["labels"] = {"app": name}
        selector = body["spec"]["selector"]
        selector.update({"app": name} if resource == "replicationcontrollers" else {"matchLabels": {"app": name}})
    return collection(resource), body


def _with(_name: str, spec: Json, path: str, body: Json) -> Thing:
    body["spec"] |= spec
    return path, body


def still_pod(of: str, name: str, **spec: Any) -> Json:
    return pod(of, name, automountServiceAccountToken=False, **NOWHERE, **spec)


def _token(seconds: int) -> Json:
    source = {"serviceAccountToken": {"path": "t", "expirationSeconds": seconds}}
    return {"volumes": [{"name": "t", "projected": {"sources": [source]}}]}


def everybodys(*others: Json) -> Json:
    """A binding of all users to a role that does not exist."""
    given = binding(group("system:authenticated"), *others, name="everybodys")
    return given | {"roleRef": {"apiGroup": RBAC_GROUP, "kind": "Role", "name": "nothing"}}


RULES: list[Json] = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
RECORD: Json = {"owner": "helm", "name": "$release"}


def _kept_for_long() -> Json:
    """A binding that already has a finalizer; the garbage collector of namespaces waits for nothing else."""
    given = binding(account("a", HERE), name="kept-for-long")
    given["metadata"]["finalizers"] = ["example.com/keep"]
    return given


def policy(name: str) -> Json:
    return {"metadata": {"name": name}, "spec": {"podSelector": {}, "policyTypes": ["Egress"]}}


def service(name: str) -> Json:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 443}]}}


def here() -> list[Thing]:
    """In the agents' namespace; the accounts have to be there before all else."""
    init = {"initContainers": [{"name": "i", "image": "registry.example/i:1"}]}
    pods = [still_pod(name, name, **(init if name == "a" else {})) for name in (*ACCOUNTS, "default")]
    pods += [still_pod("b", "longer", **_token(86400)), still_pod("a", "simple")]
    for name, label in (("labelled", "a"), ("mislabelled", "b")):
        pods.append(still_pod("a", name))
        pods[-1]["metadata"]["labels"] = {"agent-identities/agent": label}
    opaque = {"metadata": {"name": "opaque", "annotations": {SECRET_NAME: "a"}}}
    revision = {"metadata": {"name": "old"}, "revision": 1, "data": {}}
    return [
        *((collection("pods"), body) for body in pods),
        *(standing(resource, "old", "a") for resource in RESOURCES if resource != "pods"),
        *(standing(resource, "kept", "kept-bot") for resource in ("deployments", "podtemplates", "cronjobs")),
        standing("deployments", "plain", "default"),
        _with("paused", {"paused": True}, *standing("deployments", "paused", "default")),
        _with("two", {"replicas": 2}, *standing("replicasets", "two", "operator")),
        (collection("secrets"), token_secret("default", "of-default")),
        (collection("secrets"), token_secret("a", "of-a")),
        (collection("secrets"), opaque),
        (collection("controllerrevisions"), revision),
        (collection("rolebindings"), binding(account("a", HERE), name="held")),
        (collection("rolebindings"), binding(account("kept-bot", HERE), name="kept")),
        (collection("rolebindings"), binding(user("somebody"), name="somebodys")),
        (collection("rolebindings"), binding(*[account("a", HERE)] * LARGE_FLEET, name="crowd")),
        (collection("rolebindings"), binding(*[account("kept-bot", HERE)] * LARGE_FLEET, name="crowd-kept")),
        (collection("rolebindings"), everybodys()),
        (collection("rolebindings"), _kept_for_long()),
        (collection("rolebindings"), binding(user("system:serviceaccount:$ns:a"), name="of-user")),
        (collection("rolebindings"), binding(group("system:serviceaccounts:$ns"), name="of-group")),
        (collection("roles"), {"metadata": {"name": "reader-role"}, "rules": RULES}),
        (collection("roles"), {"metadata": {"name": "existing"}, "rules": RULES}),
        (collection("roles", ELSEWHERE), {"metadata": {"name": "$ns:$release:reader-role"}, "rules": RULES}),
        (collection("clusterroles", ""), {"metadata": {"name": "$ns:$release:reader-role"}, "rules": RULES}),
        (collection("networkpolicies"), policy("there")),
        *controllers.standing(),
        (collection("services"), service("plain")),
        (collection("secrets", OF_RELEASE), {"metadata": {"name": "sh.helm.release.v1.$release.v1"}}),
        (collection("secrets", OF_RELEASE), {"metadata": {"name": "labelled", "labels": RECORD}}),
        (collection("secrets", OF_RELEASE), {"metadata": {"name": "plain"}}),
        (collection("rolebindings"), {k: v for k, v in binding(name="empty").items() if k != "subjects"}),
        (collection("clusterrolebindings", ""), binding(account("a", HERE), name="$ns-held")),
    ]


def elsewhere() -> list[Thing]:
    return [(collection("pods", ELSEWHERE), still_pod("a", "a"))]
