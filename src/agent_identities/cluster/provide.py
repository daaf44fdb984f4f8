"""A cluster for the duration of a `with` block: an existing cluster, a kind cluster, or the embedded control plane."""

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
    from agent_identities.cluster.control_plane import ControlPlane


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster whose API server responds.

    `audit_log` is the local path of the audit log, None if there is no local audit log. `version` is the version of the
    server, such as v1.36.4. `origin` is a text that says where the cluster comes from. `throw_away`: the cluster is
    created for this run and deleted after it.
    """

    access: Access
    audit_log: Path | None
    version: str
    origin: str
    throw_away: bool = True

    @classmethod
    def of_control_plane(cls, plane: "ControlPlane", origin: str) -> "Cluster":
        """The cluster of an embedded control plane that is up."""
        return cls(load(plane.kubeconfig), plane.audit_log, plane.kubernetes_version, origin)

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig file, for Helm and kubectl. Raises ClusterError if there is no file, or several files."""
        files = self.access.place.files
        if len(files) != 1:
            raise ClusterError(
                f"{self.access.place}: helm and kubectl need a single kubeconfig file. Write it with `kubectl config "
                "view --flatten --minify > one.yaml`, and use it with --kubeconfig one.yaml."
            )
        return files[0]

    @property
    def context(self) -> str:
        """The context of the kubeconfig."""
        return self.access.place.context

    def install(self, agents: "Agents") -> None:
        """Create the namespaces and ServiceAccounts that the values refer to, then install a release with Helm.

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
    """Choose a cluster with `choose`, and provide it with `provide`."""
    with provide(choose(kind, kubeconfig=kubeconfig, context=context), kubernetes=kubernetes) as cluster:
        yield cluster


@contextlib.contextmanager
def provide(choice: Choice, *, kubernetes: str = DEFAULT_KUBERNETES) -> Iterator[Cluster]:
    """The cluster for the duration of a block. An existing cluster is not changed. A new cluster is deleted afterwards.

    Raises ClusterError, also if an existing cluster does not authenticate the user, and ToolchainError.
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
    version, user = _version_and_user(access)
    return Cluster(access, audit_log=None, version=version, origin=f"as {user}", throw_away=False)


def _version_and_user(access: Access) -> tuple[str, str]:
    """The version of the API server, and the user name that it authenticates. Raises ClusterError."""
    from agent_identities.kube.client import Api  # slow to import, and not needed otherwise

    with Api(access, concurrency=1) as api:
        return api.version(), api.whoami()


@contextlib.contextmanager
def _from_kind(kubernetes: str) -> Iterator[Cluster]:
    from agent_identities.cluster.kind import kind_cluster

    with kind_cluster(kubernetes) as (kubeconfig, audit_log):
        access = load(kubeconfig)
        yield Cluster(access, audit_log, _version_and_user(access)[0], origin="kind, made for this run")


@contextlib.contextmanager
def _embedded(kubernetes: str) -> Iterator[Cluster]:
    from agent_identities.cluster.control_plane import ControlPlane, ControlPlaneConfig  # slow to import

    directory = Path(tempfile.mkdtemp(prefix="agent-identities-"))
    config = ControlPlaneConfig(kubernetes=kubernetes)
    with ControlPlane.start(directory, config, remove_directory=True) as plane:
        yield Cluster.of_control_plane(plane, "embedded control plane, made for this run")
