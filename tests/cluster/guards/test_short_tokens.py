"""guards.shortTokens: the token that Kubernetes mounts is short-lived."""

import base64
import json
from typing import Any

import pytest

from agent_identities.cluster.provide import Cluster
from support.guarded import Guarded, pod
from support.server import Json, eventually

GUARD = ("shortTokens", "short-tokens")
MOUNTED: Json = {"automountServiceAccountToken": True}


@pytest.fixture(scope="module", autouse=True)
def has_the_api(cluster: Cluster) -> None:
    if tuple(int(part) for part in cluster.version.lstrip("v").split(".")[:2]) < (1, 36):
        pytest.skip(f"MutatingAdmissionPolicy v1 came with Kubernetes 1.36; this is {cluster.version}")


pytestmark = pytest.mark.usefixtures("has_the_api")


def values(namespace: str) -> Json:
    agents: Json = {"a": {}, "hasty": {"token": {"expirationSeconds": 900}}, "mount": {"token": {"mode": "automount"}}}
    return {"agents": agents}


def lifetimes(guarded: Guarded, account: str, **spec: Any) -> dict[str, list[int]]:
    """Volume -> lifetimes of its tokens, for a pod in a dry run."""
    made = guarded.server.create(guarded.path("pods"), pod(account, **spec))
    return {
        "injected" if volume["name"].startswith("kube-api-access-") else volume["name"]: [
            source["serviceAccountToken"]["expirationSeconds"]
            for source in volume["projected"]["sources"] or ()
            if "serviceAccountToken" in source
        ]
        for volume in made["spec"].get("volumes", ())
        if "projected" in volume
    }


@pytest.fixture(scope="module", autouse=True)
def in_force(guarded: Guarded, has_the_api: None) -> None:
    eventually(lambda: lifetimes(guarded, "a", **MOUNTED) == {"injected": [3600]})


@pytest.mark.parametrize(
    ("account", "seconds"), [("a", 3600), ("agent-proxy", 3600), ("mount", 3600), ("hasty", 900), ("default", 3600)]
)
def test_the_automounted_token_is_valid_for_an_hour_or_as_declared(
    guarded: Guarded, account: str, seconds: int
) -> None:
    assert lifetimes(guarded, account, **MOUNTED) == {"injected": [seconds]}


def test_only_the_lifetime_of_3607_seconds_is_changed(guarded: Guarded) -> None:
    def tokens(*seconds: int) -> Json:
        return {"sources": [{"serviceAccountToken": {"path": str(s), "expirationSeconds": s}} for s in seconds]}

    volumes = [
        {"name": "empty", "emptyDir": {}},
        {"name": "none", "projected": {"sources": []}},
        {"name": "own", "projected": tokens(600, 3607, 86400)},
    ]
    found = lifetimes(guarded, "a", volumes=volumes, **MOUNTED)
    assert found == {"injected": [3600], "none": [], "own": [600, 3600, 86400]}


def test_the_issued_token_is_short_lived(guarded: Guarded) -> None:
    body = pod("a", "short", **MOUNTED)
    made = guarded.server.create(guarded.path("pods", dry_run=False), body)
    ref = {"apiVersion": "v1", "kind": "Pod", "name": "short", "uid": made["metadata"]["uid"]}
    (seconds,) = lifetimes(guarded, "a", **MOUNTED)["injected"]
    payload = guarded.server.token(guarded.namespace, "a", expirationSeconds=seconds, boundObjectRef=ref).split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["exp"] - claims["iat"] == 3600


def test_pods_of_controllers_are_also_changed(guarded: Guarded) -> None:
    body = {"selector": {"matchLabels": {"app": "p"}}, "template": pod("a", **MOUNTED)}
    guarded.server.create(
        guarded.path("replicasets", "/apis/apps/v1", dry_run=False), {"metadata": {"name": "r"}, "spec": body}
    )
    made = eventually(lambda: guarded.server.items(f"{guarded.path('pods', dry_run=False)}?labelSelector=app%3Dp"))
    sources = made[0]["spec"]["volumes"][0]["projected"]["sources"]
    assert sources[0]["serviceAccountToken"]["expirationSeconds"] == 3600
