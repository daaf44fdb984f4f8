"""Which cluster the proofs run on: one the user names, one from kind, or the embedded control plane."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent_identities.cluster.control_plane import ControlPlane, ControlPlaneConfig
from agent_identities.toolchain import DEFAULT_KUBERNETES

if TYPE_CHECKING:
    from agent_identities.agents import Agents

Kind = Literal["embedded", "kind", "kubeconfig"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that answers.

    `context`: None for the kubeconfig's own. `audit_log`: on this machine, None where there is none to read. `version`
    is the server's (v1.36.4), `origin` says in words where the cluster comes from.
    """

    kubeconfig: Path
    context: str | None
    audit_log: Path | None
    version: str
    origin: str

    def install(self, agents: "Agents") -> None:
        """Install a release with real Helm, and before it what its values take for granted.

        Raises HelmError, ApiError, ToolchainError.
        """
        from agent_identities.cluster.install import install

        install(self, agents)


@contextlib.contextmanager
def provide_cluster(
    kind: Kind = "embedded",
    *,
    kubeconfig: Path | None = None,
    context: str | None = None,
    kubernetes: str = DEFAULT_KUBERNETES,
) -> Iterator[Cluster]:
    """A cluster for the length of a block.

    One that the user names by kubeconfig or context is used whatever `kind` says, and left as it is; any other is made
    for the block and is gone afterwards. Raises ClusterError, ToolchainError.
    """
    if kind == "kubeconfig" or kubeconfig is not None or context is not None:
        yield existing(kubeconfig, context)
    elif kind == "kind":
        with _from_kind(kubernetes) as cluster:
            yield cluster
    else:
        with _embedded(kubernetes) as cluster:
            yield cluster


def existing(kubeconfig: Path | None = None, context: str | None = None) -> Cluster:
    """The cluster of a kubeconfig, once it has answered; the one that kubectl would use if absent.

    Raises ClusterError.
    """
    from agent_identities.kube.reach import default_kubeconfig, reach  # slow to import, not needed otherwise

    file = kubeconfig or default_kubeconfig()
    version = reach(file, context)
    where = f"{file}, context {context}" if context else str(file)
    return Cluster(kubeconfig=file, context=context, audit_log=None, version=version, origin=where)


@contextlib.contextmanager
def _from_kind(kubernetes: str) -> Iterator[Cluster]:
    from agent_identities.cluster.kind import kind_cluster
    from agent_identities.kube.reach import reach  # slow to import, not needed otherwise

    with kind_cluster(kubernetes) as (kubeconfig, audit_log):
        yield Cluster(
            kubeconfig=kubeconfig,
            context=None,
            audit_log=audit_log,
            version=reach(kubeconfig),
            origin="kind, made for this run",
        )


@contextlib.contextmanager
def _embedded(kubernetes: str) -> Iterator[Cluster]:
    directory = Path(tempfile.mkdtemp(prefix="agent-identities-"))
    config = ControlPlaneConfig(kubernetes=kubernetes)
    with ControlPlane.start(directory, config, remove_directory=True) as control_plane:
        yield Cluster(
            kubeconfig=control_plane.kubeconfig,
            context=None,
            audit_log=control_plane.audit_log,
            version=control_plane.kubernetes_version,
            origin="embedded control plane, made for this run",
        )
