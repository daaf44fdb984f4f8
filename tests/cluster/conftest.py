"""Releases on a real API server, each test in its own namespace."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_helm_charts.clusters import ExistingCluster

from agent_identities.chart.helm import Helm, Release
from agent_identities.cluster.provide import Cluster
from support.namespaces import own_namespace
from support.server import Server


@pytest.fixture(scope="session")
def kube_config(cluster: Cluster) -> str:
    """Overrides the fixture of pytest-helm-charts, so that its `kube_cluster` is the cluster of this run."""
    return str(cluster.kubeconfig)


@pytest.fixture(scope="session")
def control_plane(cluster: Cluster) -> Cluster:
    return cluster


@pytest.fixture(scope="module")
def server(kube_cluster: ExistingCluster) -> Server:
    """The API server, with the administrator's credentials."""
    return Server(kube_cluster.kube_client)


@pytest.fixture
def namespace(server: Server) -> Iterator[str]:
    """The name of a new namespace. Releases in it leave the cluster, whatever fails."""
    with own_namespace(server) as name:
        yield name


@pytest.fixture(params=["helm_4", "helm_3"])
def either_helm(request: pytest.FixtureRequest) -> Helm:
    helm: Helm = request.getfixturevalue(getattr(request, "param", "helm_4"))
    return helm


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """With --both-helms, each test that uses `helm`, directly or by another fixture, runs with both Helms."""
    if "helm" in metafunc.fixturenames and metafunc.config.getoption("--both-helms"):
        metafunc.parametrize("helm", ["helm_4", "helm_3"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def helm(request: pytest.FixtureRequest) -> Helm:
    """Helm 4. With --both-helms, the test also runs with Helm 3."""
    helm: Helm = request.getfixturevalue(getattr(request, "param", "helm_4"))
    return helm


@pytest.fixture
def release(cluster: Cluster, chart: Path, namespace: str) -> Callable[[Helm], Release]:
    """A function that returns a release of the chart, not installed, for a Helm."""
    return lambda helm: Release(helm, chart, "agents", namespace, cluster.kubeconfig, cluster.context)
