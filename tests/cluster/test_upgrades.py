"""Upgrades between all sets of values: none fails, no agent gets another identity, and other objects do not change."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from agent_identities.chart.helm import Helm, Release, Renderer, Target
from agent_identities.chart.objects import Key, Objects, thaw
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support.every_pair import every_pair
from support.server import RBAC, Json, Server, eventually

MakeRelease = Callable[[Helm], Release]
OURS = "labelSelector=app.kubernetes.io/name%3Dagent-identities,app.kubernetes.io/instance%3Dagents"
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
SERVICES = {"apiGroups": [""], "resources": ["services"], "verbs": ["get"]}
OWN = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["{agent}"], "verbs": ["get"]}
NODES = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}
TIERS: Json = {"t": {"rules": [PODS]}, "nodes": {"scope": "Cluster", "rules": [NODES]}}
IMAGE = {"image": "registry.example/agent:1"}

STATES: dict[str, Json] = {
    "base": {"tiers": TIERS, "agents": {"a": {"tiers": ["t"], "workload": IMAGE}, "b": {}}},
    "added": {"tiers": TIERS, "agents": {"a": {"tiers": ["t"], "workload": IMAGE}, "b": {}, "c": {}}},
    "renamed": {"tiers": TIERS, "agents": {"z": {"tiers": ["t"], "workload": IMAGE}, "b": {}}},
    "tiers changed": {"tiers": TIERS, "agents": {"a": {"tiers": ["nodes"], "workload": IMAGE}, "b": {"tiers": []}}},
    "instances": {"tiers": TIERS, "agents": {"a": {"tiers": ["t"], "instances": 2, "workload": IMAGE}, "b": {}}},
    "proxied": {"tiers": TIERS, "agents": {"a": {"tiers": ["t"], "access": "proxied"}, "b": {}}},
    "quarantined": {"tiers": TIERS, "agents": {"a": {"tiers": ["t"], "quarantined": True}, "b": {}}},
    "own objects": {"tiers": {"t": {"rules": [OWN]}}, "agents": {"a": {"tiers": ["t"]}, "b": {}}},
    "cluster scope": {
        "tiers": {"t": {"scope": "Cluster", "rules": [PODS]}},
        "agents": {"a": {"tiers": ["t"]}, "b": {}},
    },
    "central role": {"proxy": {"rules": [SERVICES]}, "agents": {"a": {}, "b": {}}},
    "proxy renamed": {"proxy": {"name": "gateway"}, "agents": {"a": {}, "b": {}}},
    "per tier": {"bindings": "perTier", "tiers": TIERS, "agents": {"a": {"tiers": ["t", "nodes"]}, "b": {}}},
}


def on_server(server: Server, namespace: str) -> dict[tuple[str, str], Json]:
    """(kind, name) -> object of the release, in its namespace and cluster-scoped."""
    paths = {
        "ServiceAccount": f"/api/v1/namespaces/{namespace}/serviceaccounts",
        "Role": f"{RBAC}/namespaces/{namespace}/roles",
        "RoleBinding": f"{RBAC}/namespaces/{namespace}/rolebindings",
        "Deployment": f"/apis/apps/v1/namespaces/{namespace}/deployments",
        "NetworkPolicy": f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
        "ClusterRole": f"{RBAC}/clusterroles",
        "ClusterRoleBinding": f"{RBAC}/clusterrolebindings",
    }
    return {
        (kind, item["metadata"]["name"]): item
        for kind, path in paths.items()
        for item in server.items(f"{path}?{OURS}")
        if not kind.startswith("Cluster") or namespace in item["metadata"]["name"]
    }


def identity(obj: Json) -> tuple[str, object]:
    """A value that changes if the object is recreated or its spec is written, but not with a Deployment's status."""
    meta = obj["metadata"]
    return meta["uid"], meta.get("generation") or meta["resourceVersion"]


def rendered(renderer: Renderer, state: str, target: Target) -> dict[tuple[str, str], Json]:
    objects: Objects = renderer.render(Values(overrides=STATES[state]), target).objects
    return {short(key): thaw(obj.body) for key, obj in objects.items()}


def short(key: Key) -> tuple[str, str]:
    return key.kind, key.name


def _holds(server: Server, namespace: str, wanted: set[tuple[str, str]]) -> bool:
    return on_server(server, namespace).keys() == wanted


def test_every_set_of_values_can_be_upgraded_to_every_other(
    server: Server, cluster: Cluster, release: MakeRelease, either_helm: Helm, chart: Path, namespace: str
) -> None:
    renderer = Renderer(either_helm, chart)
    target = Target(namespace=namespace, kube_version=cluster.version)
    ours = release(either_helm)
    steps = list(every_pair(list(STATES)))
    ours.install(Values(overrides=STATES[steps[0][0]]))
    before = on_server(server, namespace)
    for first, second in steps:
        ours.upgrade(Values(overrides=STATES[second]), "--history-max=2")
        wanted, had = rendered(renderer, second, target), rendered(renderer, first, target)
        eventually(partial(_holds, server, namespace, set(wanted)))
        after = on_server(server, namespace)
        same = {key for key in wanted if wanted[key] == had.get(key)}
        touched = {key for key in same if identity(before[key]) != identity(after[key])}
        assert not touched, (first, second)
        accounts = {key for key in before.keys() & after.keys() if key[0] == "ServiceAccount"}
        swapped = {key for key in accounts if before[key]["metadata"]["uid"] != after[key]["metadata"]["uid"]}
        assert not swapped, (first, second)
        before = after


@pytest.mark.parametrize("state", [state for state in STATES if state != "base"])
def test_every_change_can_be_rolled_back(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str, state: str
) -> None:
    ours = release(either_helm)
    ours.install(Values(overrides=STATES["base"]))
    before = on_server(server, namespace)
    ours.upgrade(Values(overrides=STATES[state]))
    ours.rollback(1)
    eventually(lambda: on_server(server, namespace).keys() == before.keys())
    after = on_server(server, namespace)
    for key in before:
        for field in ("rules", "roleRef", "subjects", "automountServiceAccountToken"):
            assert after[key].get(field) == before[key].get(field), (key, field)
