"""A cluster for the length of a block: one that exists, one from kind, or the embedded control plane."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent_identities.cluster.choose import Choice, Kind, choose
from agent_identities.errors import ClusterError
from agent_identities.kube.access import Access
from agent_identities.kube.kubeconfig import load
from agent_identities.toolchain import DEFAULT_KUBERNETES

if TYPE_CHECKING:
    from agent_identities.agents import Agents


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that answers.

    `audit_log`: on this machine, None where there is none to read. `version` is the server's (v1.36.4), `origin` is
    where the cluster comes from, in words. `throw_away`: made for this run, and gone after it.
    """

    access: Access
    audit_log: Path | None
    version: str
    origin: str
    throw_away: bool = True

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig, for programs that need one. Raises ClusterError where there is none, or several."""
        files = self.access.place.files
        if len(files) != 1:
            raise ClusterError(
                f"{self.access.place}: helm and kubectl need one kubeconfig here. Write it with `kubectl config view "
                "--flatten --minify > one.yaml`, and name it with --kubeconfig."
            )
        return files[0]

    @property
    def context(self) -> str:
        """The context of the kubeconfig."""
        return self.access.place.context

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
    """The cluster of `choose`, as `provide` gives it."""
    with provide(choose(kind, kubeconfig=kubeconfig, context=context), kubernetes=kubernetes) as cluster:
        yield cluster


@contextlib.contextmanager
def provide(choice: Choice, *, kubernetes: str = DEFAULT_KUBERNETES) -> Iterator[Cluster]:
    """The cluster for the length of a block. One that exists is left as it is; another is made, and gone afterwards.

    Raises ClusterError, also where a cluster that exists does not know the caller; ToolchainError.
    """
    if choice.access is not None:
        yield _existing(choice.access)
    elif choice.kind == "kind":
        with _from_kind(kubernetes) as cluster:
            yield cluster
    else:
        with _embedded(kubernetes) as cluster:
            yield cluster


def _existing(access: Access) -> Cluster:
    version, user = _asked(access)
    return Cluster(access, audit_log=None, version=version, origin=f"as {user}", throw_away=False)


def _asked(access: Access) -> tuple[str, str]:
    """(version, user): the server answers, and knows who asks."""
    from agent_identities.kube.client import Api  # slow to import, not needed otherwise

    with Api(access, concurrency=1) as api:
        return api.version(), api.whoami()


@contextlib.contextmanager
def _from_kind(kubernetes: str) -> Iterator[Cluster]:
    from agent_identities.cluster.kind import kind_cluster

    with kind_cluster(kubernetes) as (kubeconfig, audit_log):
        access = load(kubeconfig)
        yield Cluster(access, audit_log, _asked(access)[0], origin="kind, made for this run")


@contextlib.contextmanager
def _embedded(kubernetes: str) -> Iterator[Cluster]:
    from agent_identities.cluster.control_plane import ControlPlane, ControlPlaneConfig  # slow: certificates

    directory = Path(tempfile.mkdtemp(prefix="agent-identities-"))
    config = ControlPlaneConfig(kubernetes=kubernetes)
    with ControlPlane.start(directory, config, remove_directory=True) as plane:
        access = load(plane.kubeconfig)
        origin = "embedded control plane, made for this run"
        yield Cluster(access, plane.audit_log, plane.kubernetes_version, origin)
