"""The pods of workloads in a namespace that enforces Pod Security "restricted"."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support import parent_chart
from support.guarded import pod
from support.invalid_pods import FREE, HOST_VOLUMES, SIDE
from support.server import Json, Server, eventually

MakeRelease = Callable[[Helm], Release]
IMAGE = "registry.example/agent:1"
PROBE = {"tcpSocket": {"port": 8080}}
VOLUMES = [
    {"name": "data", "emptyDir": {"medium": "Memory"}},
    {"name": "config", "configMap": {"name": "x"}},
    {"name": "secret", "secret": {"secretName": "x"}},
    {"name": "disk", "persistentVolumeClaim": {"claimName": "x"}},
    {
        "name": "own-disk",
        "ephemeral": {
            "volumeClaimTemplate": {
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
            }
        },
    },
    {"name": "store", "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": True}},
    {"name": "model", "image": {"reference": "registry.example/model:1"}},
    {"name": "labels", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    {"name": "both", "projected": {"sources": [{"configMap": {"name": "x"}}]}},
]
SIDECAR: Json = SIDE | {"livenessProbe": PROBE, "ports": [{"containerPort": 8080}], "mountToken": True}
WORKLOADS: dict[str, Json] = {
    "plain": {},
    "auto": {"runAsUser": "auto"},
    "no-id": {"runAsUser": None},
    "group": {"runAsGroup": 7, "fsGroup": "auto"},
    "no-tmp": {"tmp": "none"},
    "volumes": {"volumes": VOLUMES},
    "paths": {
        "volumes": VOLUMES[:1],
        "volumeMounts": [{"name": "data", "mountPath": path} for path in FREE],
    },
    "own-tmp": {"volumes": VOLUMES[:1], "volumeMounts": [{"name": "data", "mountPath": "/tmp"}]},
    "containers": {
        "initContainers": [SIDE | {"name": "init"}, SIDECAR | {"name": "native", "restartPolicy": "Always"}],
        "extraContainers": [SIDECAR],
        "ports": [{"containerPort": 9090}],
        "readinessProbe": PROBE,
    },
    "longest": {"extraContainers": [SIDE | {"name": "c" * 53}]},
}


@pytest.fixture
def restricted(server: Server, namespace: str) -> str:
    """A namespace that refuses pods beyond "restricted"."""
    server.make_namespace(namespace, **{"pod-security.kubernetes.io/enforce": "restricted"})
    return namespace


def created(server: Server, namespace: str, count: int) -> list[Json]:
    """The pods of the namespace, when the controllers have created them."""
    return eventually(
        lambda: found if len(found := server.items(f"/api/v1/namespaces/{namespace}/pods")) == count else []
    )


def test_pods_of_every_form_are_created(
    server: Server, release: MakeRelease, either_helm: Helm, restricted: str
) -> None:
    agents: Json = {name: {"workload": {"image": IMAGE} | one} for name, one in WORKLOADS.items()}
    proxy = {"workload": {"image": IMAGE, "extraContainers": [SIDE]}}
    tokens = {"tokens": {"vault": {"audience": "vault"}}}
    agents["containers"] |= tokens
    mounted = {"token": {"mode": "automount"}, "workload": {"image": IMAGE, "extraContainers": [SIDECAR]}}
    values = Values(overrides={"agents": agents | {"automount": mounted}, "proxy": proxy})
    release(either_helm).install(values, create_namespace=False)
    found = {one["spec"]["serviceAccountName"]: one["spec"] for one in created(server, restricted, len(agents) + 2)}
    assert found.keys() == {*agents, "automount", "agent-proxy"}
    for spec in found.values():
        assert spec["enableServiceLinks"] is False
    tokens_of = {
        one["name"]: {mount["name"] for mount in one["volumeMounts"] if mount["name"].startswith("agent-token")}
        for one in itertools.chain(found["containers"]["containers"], found["containers"]["initContainers"])
    }
    both = {"agent-token", "agent-tokens"}
    assert tokens_of == {"agent": both, "side": both, "native": both, "init": set()}
    injected = [mount for one in found["containers"]["containers"] for mount in one["volumeMounts"]]
    assert not [mount for mount in injected if mount["name"].startswith("kube-api-access")]


def test_pods_without_ids_for_the_whole_release_are_created(
    server: Server, release: MakeRelease, helm: Helm, restricted: str
) -> None:
    workload = {"image": IMAGE, "extraContainers": [SIDE]}
    agents = {name: {"workload": workload} for name in ("a", "b")}
    values = Values(overrides={"agents": agents, "workloadDefaults": {"runAsUser": "auto"}})
    release(helm).install(values, create_namespace=False)
    for found in created(server, restricted, 2):
        assert found["spec"]["securityContext"] == {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }


def test_pods_of_a_parent_chart_are_created(
    server: Server, cluster: Cluster, chart: Path, tmp_path: Path, helm: Helm, restricted: str
) -> None:
    folder = parent_chart.build(helm, chart, tmp_path)
    parent = Release(helm, folder, "parent", restricted, cluster.kubeconfig, cluster.context)
    values = {"agent-identities": {"workloadDefaults": {"runAsUser": "auto"}}}
    parent.install(Values(overrides=values), create_namespace=False)
    created(server, restricted, 2)


@pytest.mark.parametrize("kind", ["hostPath", "nfs", "awsElasticBlockStore"])
def test_the_api_server_refuses_the_volumes_that_the_chart_refuses(server: Server, restricted: str, kind: str) -> None:
    context = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "c", "image": IMAGE, "securityContext": context}
    path = f"/api/v1/namespaces/{restricted}/pods?dryRun=All"
    eventually(lambda: "default" in server.names(f"/api/v1/namespaces/{restricted}/serviceaccounts"))
    body = pod("default", containers=[container])
    server.create(path, body)
    body["spec"]["volumes"] = [{"name": "v", kind: HOST_VOLUMES[kind]}]
    status, answer = server.request("POST", path, body)
    assert status == 403
    assert "restricted volume types" in answer["message"]
