"""guards.defaultAccount: no pod runs as `default`."""

import pytest

from support.guarded import Guarded, pod
from support.server import Json, eventually

GUARD = ("defaultAccount", "default-account")


def values(namespace: str) -> Json:
    return {"agents": {"a": {}}}


@pytest.fixture(scope="module", autouse=True)
def in_force(guarded: Guarded) -> None:
    eventually(lambda: guarded.refuses(guarded.server.request("POST", guarded.path("pods"), pod(None))))


@pytest.mark.parametrize("account", [None, "", "default"])
@pytest.mark.parametrize("field", ["serviceAccountName", "serviceAccount"])
def test_a_pod_without_service_account_or_with_default_is_refused(
    guarded: Guarded, account: str | None, field: str
) -> None:
    answer = guarded.server.request("POST", guarded.path("pods"), pod(account, field=field))
    assert guarded.refuses(answer, "admin", "the pod p", "serviceAccountName: <agent>")


def test_a_pod_with_another_service_account_is_allowed(guarded: Guarded) -> None:
    guarded.server.create(guarded.path("serviceaccounts", dry_run=False), {"metadata": {"name": "operator"}})
    for account in ("a", "operator"):
        assert guarded.server.request("POST", guarded.path("pods"), pod(account))[0] == 201


def test_pods_of_controllers_are_refused(guarded: Guarded) -> None:
    body = {"selector": {"matchLabels": {"app": "p"}}, "template": pod(None)}
    path = guarded.path("replicasets", "/apis/apps/v1", dry_run=False)
    guarded.server.create(path, {"metadata": {"name": "r"}, "spec": body})
    events = guarded.path("events", dry_run=False)
    said = eventually(lambda: [e["message"] for e in guarded.server.items(events) if e["reason"] == "FailedCreate"])
    assert 'as the ServiceAccount "default"' in said[0]
    assert guarded.server.items(guarded.path("pods", dry_run=False)) == []


def test_a_mirror_pod_of_a_kubelet_is_allowed(guarded: Guarded) -> None:
    name = guarded.namespace
    node = guarded.server.create("/api/v1/nodes", {"metadata": {"name": name}})
    kubelet = guarded.server.as_user(f"system:node:{name}", "system:nodes")
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"], "controller": True}
    mirror = pod(None, nodeName=name)
    mirror["metadata"] |= {"annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [owner]}
    try:
        # the API server's admission plugin sees the node with a delay
        eventually(lambda: kubelet.request("POST", guarded.path("pods"), mirror)[0] != 404)
        status, answer = kubelet.request("POST", guarded.path("pods"), mirror)
        assert status == 201, answer
    finally:
        guarded.server.delete(f"/api/v1/nodes/{name}")


def test_other_namespaces_are_not_affected(guarded: Guarded) -> None:
    assert guarded.server.request("POST", "/api/v1/namespaces/default/pods?dryRun=All", pod(None))[0] == 201
