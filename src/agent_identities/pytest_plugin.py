"""pytest options and fixtures for tests on a real API server: `pytest -p agent_identities.pytest_plugin`.

`--cluster embedded|kind|kubeconfig` says what the tests run on. With `kubeconfig`, `--kubeconfig` (an option of
pytest-helm-charts) or $KUBECONFIG names the cluster.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_identities.cluster.provide import Cluster, provide_cluster
from agent_identities.cluster.shared import shared
from agent_identities.cluster.starting import ControlPlaneConfig
from agent_identities.kube.kubeconfig import load
from agent_identities.toolchain import DEFAULT_KUBERNETES


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("agent-identities")
    group.addoption(
        "--cluster",
        choices=("embedded", "kind", "kubeconfig"),
        default="embedded",
        help="what cluster tests run on (default: embedded, a control plane started for this run)",
    )
    group.addoption(
        "--kubernetes",
        default=DEFAULT_KUBERNETES,
        metavar="MINOR",
        help=f"Kubernetes minor of the embedded control plane (default: {DEFAULT_KUBERNETES})",
    )


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster of this run; one for all xdist workers where it is embedded. It ends with the run."""
    kind = request.config.getoption("--cluster")
    kubernetes = request.config.getoption("--kubernetes")
    if kind == "embedded":
        yield _embedded(tmp_path_factory, kubernetes)
        return
    given = request.config.getoption("kubeconfig", None)
    kubeconfig = Path(given) if given and kind == "kubeconfig" else None
    with provide_cluster(kind, kubeconfig=kubeconfig, kubernetes=kubernetes) as provided:
        yield provided


def _embedded(tmp_path_factory: pytest.TempPathFactory, kubernetes: str) -> Cluster:
    """The run's control plane. Its owner is pytest's own process (xdist's controller): it is gone when that is."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    base = tmp_path_factory.getbasetemp()
    run_dir, owner = (base.parent, os.getppid()) if worker else (base, os.getpid())
    plane = shared(run_dir, owner, ControlPlaneConfig(kubernetes=kubernetes))
    return Cluster(
        access=load(plane.kubeconfig),
        audit_log=plane.audit_log,
        version=plane.kubernetes_version,
        origin="embedded",
    )
