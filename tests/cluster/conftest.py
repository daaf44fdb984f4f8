"""Releases on a real API server, each test in its own namespace."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_helm_charts.clusters import ExistingCluster

from agent_identities.chart.helm import Helm, Release
from agent_identities.cluster.provide import Cluster
from agent_identities.cluster.shared import shared
from agent_identities.cluster.starting import ControlPlaneConfig
from agent_identities.pytest_plugin import cluster_kind
from agent_identities.toolchain import DEFAULT_KUBERNETES
from support.namespaces import own_namespace
from support.server import RBAC, Server


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """Overrides the plugin's fixture: each xdist worker has an embedded control plane of its own.

    Guards hold in the whole cluster, and verify finds every user of the cluster who can become an agent. So a test must
    not meet the objects of a test that runs at the same time.
    """
    if cluster_kind(request.config) != "embedded":
        provided: Cluster = request.getfixturevalue("cluster")
        return provided
    kubernetes = request.config.getoption("agent_identities_kubernetes") or DEFAULT_KUBERNETES
    plane = shared(tmp_path_factory.getbasetemp(), os.getpid(), ControlPlaneConfig(kubernetes=kubernetes))
    return Cluster.of_control_plane(plane, "embedded")


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


@pytest.fixture(scope="module", autouse=True)
def nothing_left_in_the_cluster(server: Server) -> Iterator[None]:
    """The tests of a module remove their ClusterRoleBindings: the next module's verify would report them."""
    collection = f"{RBAC}/clusterrolebindings"
    before = server.names(collection)
    yield
    assert server.names(collection) <= before


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
