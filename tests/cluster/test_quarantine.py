"""`quarantined: true` removes one agent's objects and does not change its siblings; `false` restores the objects."""

from collections.abc import Callable
from typing import Any

import pytest

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from support.server import Json, Server, eventually

MakeRelease = Callable[[Helm], Release]
KINDS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
}
BOTH_KINDS = pytest.mark.parametrize("bindings", ["perAgent", "perTier"])


def values(bindings: str, **suspect: Any) -> Values:
    workload = {"image": "registry.example/agent:1"}
    agents = {"suspect": {"workload": workload, **suspect}, "sibling": {"workload": workload}}
    return Values(overrides={"bindings": bindings, "agents": agents})


def objects(server: Server, namespace: str, agent: str) -> dict[tuple[str, str], Json]:
    """The objects with the label of an agent."""
    label = f"?labelSelector=agent-identities/agent%3D{agent}"
    return {
        (kind, item["metadata"]["name"]): item
        for kind, path in KINDS.items()
        for item in server.items(path.format(namespace) + label)
    }


def written(found: dict[tuple[str, str], Json]) -> dict[tuple[str, str], tuple[str, int]]:
    """UID and generation. They change if the object is recreated or its spec is written."""
    return {key: (obj["metadata"]["uid"], obj["metadata"].get("generation", 0)) for key, obj in found.items()}


def test_the_notes_name_an_instance_in_quarantine(release: MakeRelease, helm: Helm) -> None:
    agents = {"triage": {"instances": 3, "quarantined": [2]}, "suspect": {"quarantined": True}}
    notes = [
        " ".join(line.split()) for line in release(helm).install(Values(overrides={"agents": agents})).splitlines()
    ]
    assert "triage-1 ... triage-3 proxy projected, 3600 s; triage-2 QUARANTINED" in notes
    assert "suspect QUARANTINED none" in notes


@BOTH_KINDS
def test_an_agent_in_quarantine_has_no_objects_and_its_sibling_does_not_change(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str, bindings: str
) -> None:
    ours = release(either_helm)
    ours.install(values(bindings))
    pods = f"/api/v1/namespaces/{namespace}/pods"
    suspect = server.with_token(server.token(namespace, "suspect"))
    sibling = server.with_token(server.token(namespace, "sibling"))
    before = written(objects(server, namespace, "sibling"))
    assert suspect.request("GET", pods)[0] == 200

    ours.upgrade(values(bindings, quarantined=True))
    assert objects(server, namespace, "suspect") == {}
    assert server.as_account(namespace, "suspect").request("GET", pods)[0] == 403
    eventually(lambda: suspect.request("GET", pods)[0] in (401, 403))
    assert sibling.request("GET", pods)[0] == 200
    assert written(objects(server, namespace, "sibling")) == before


@BOTH_KINDS
def test_ending_a_quarantine_restores_the_previous_rights(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str, bindings: str
) -> None:
    ours = release(either_helm)
    ours.install(values(bindings))
    before = objects(server, namespace, "suspect").keys()
    ours.upgrade(values(bindings, quarantined=True))
    ours.upgrade(values(bindings))
    assert objects(server, namespace, "suspect").keys() == before
    lifted = server.with_token(server.token(namespace, "suspect"))
    assert lifted.request("GET", f"/api/v1/namespaces/{namespace}/pods")[0] == 200
    assert lifted.request("GET", f"/api/v1/namespaces/{namespace}/secrets")[0] == 403


def test_one_of_several_instances_can_be_quarantined(
    server: Server, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    ours = release(helm)
    ours.install(Values(overrides={"agents": {"t": {"instances": 3}}}))
    before = written(objects(server, namespace, "t-1"))
    ours.upgrade(Values(overrides={"agents": {"t": {"instances": 3, "quarantined": [2]}}}))
    assert objects(server, namespace, "t-2") == {}
    assert written(objects(server, namespace, "t-1")) == before


def test_an_agent_can_be_quarantined_in_the_first_install(
    server: Server, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    release(helm).install(values("perAgent", quarantined=True))
    assert objects(server, namespace, "suspect") == {}
    assert objects(server, namespace, "sibling") != {}
