"""One release for each file, with only the guard of the file."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support.guarded import Guarded, only
from support.server import RBAC, Server


@pytest.fixture(scope="module")
def guarded(
    request: pytest.FixtureRequest, server: Server, cluster: Cluster, chart: Path, helm: Helm
) -> Iterator[Guarded]:
    """Installs the values(namespace) of a file, with the guard in the file's GUARD = (key, name)."""
    key, name = request.module.GUARD
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    ours = Release(helm, chart, "agents", namespace, cluster.kubeconfig, cluster.context)
    ours.install(Values(overrides=only(key, request.module.values(namespace))))
    yield Guarded(server, namespace, f"agents.{namespace}.{name}")
    ours.uninstall()
    for kind in ("clusterrolebindings", "clusterroles"):
        server.delete(f"{RBAC}/{kind}?labelSelector=test%3D{namespace}")
    server.delete(f"/api/v1/namespaces/{namespace}")
