"""Real releases on a real API server, each test in a namespace of its own."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_helm_charts.clusters import ExistingCluster

from agent_identities.chart.helm import Helm, Release
from agent_identities.cluster.provide import Cluster
from support.server import Server


@pytest.fixture(scope="session")
def kube_config(cluster: Cluster) -> str:
    """pytest-helm-charts' fixture: its `kube_cluster` is the cluster of this run."""
    return str(cluster.kubeconfig)


@pytest.fixture(scope="session")
def control_plane(cluster: Cluster) -> Cluster:
    return cluster


@pytest.fixture(scope="module")
def server(kube_cluster: ExistingCluster) -> Server:
    """The API server, asked by the administrator."""
    return Server(kube_cluster.kube_client)


@pytest.fixture
def namespace(server: Server) -> Iterator[str]:
    """A new namespace, removed with all that is in it."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    yield name
    server.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture(params=["helm_4", "helm_3"])
def either_helm(request: pytest.FixtureRequest) -> Helm:
    helm: Helm = request.getfixturevalue(getattr(request, "param", "helm_4"))
    return helm


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """With --both-helms, whatever uses `helm`, if only by another fixture, runs with each."""
    if "helm" in metafunc.fixturenames and metafunc.config.getoption("--both-helms"):
        metafunc.parametrize("helm", ["helm_4", "helm_3"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def helm(request: pytest.FixtureRequest) -> Helm:
    """Helm 4; with --both-helms, Helm 3 in a second run of the test."""
    helm: Helm = request.getfixturevalue(getattr(request, "param", "helm_4"))
    return helm


@pytest.fixture
def release(cluster: Cluster, chart: Path, namespace: str) -> Callable[[Helm], Release]:
    """A release of the chart, not yet installed, by the helm that is given."""
    return lambda helm: Release(helm, chart, "agents", namespace, cluster.kubeconfig, cluster.context)
