"""One release for each file, with only the guard of the file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support.guarded import Guarded, only
from support.namespaces import own_namespace
from support.server import Server


@pytest.fixture(scope="module")
def guarded(
    request: pytest.FixtureRequest, server: Server, cluster: Cluster, chart: Path, helm: Helm
) -> Iterator[Guarded]:
    """Installs the values(namespace) of a file, with the guard in the file's GUARD = (key, name)."""
    key, name = request.module.GUARD
    with own_namespace(server) as namespace:
        ours = Release(helm, chart, "agents", namespace, cluster.kubeconfig, cluster.context)
        ours.install(Values(overrides=only(key, request.module.values(namespace))))
        yield Guarded(server, namespace, f"agents.{namespace}.{name}")
