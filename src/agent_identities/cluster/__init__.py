"""A cluster to prove on: the embedded control plane, kind, or one that exists."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_identities.cluster.provide import Cluster

DEFAULT_NAME = "default"
"""The control plane that `up`, `down` and `status` mean when no name is given."""


@contextlib.contextmanager
def cluster(
    where: str | Path = "embedded", *, context: str | None = None, kubernetes: str | None = None
) -> "Iterator[Cluster]":
    """A cluster for the length of a block.

    ``where`` is "embedded" (a control plane of plain processes, without containers) or "kind": made for the block and
    removed after it; or the path of a kubeconfig: that cluster is left as it is. "kubeconfig" is the one that kubectl
    would use. ``kubernetes`` is the minor of a cluster that is made (1.34 to 1.37). Raises ClusterError and
    ToolchainError.

        with cluster("embedded") as made:
            made.install(agents)
    """
    from agent_identities.cluster.provide import provide_cluster
    from agent_identities.toolchain import DEFAULT_KUBERNETES

    minor = kubernetes or DEFAULT_KUBERNETES
    if where in ("embedded", "kind"):
        provided = provide_cluster("kind" if where == "kind" else "embedded", kubernetes=minor)
    else:
        kubeconfig = None if where == "kubeconfig" else Path(where)
        provided = provide_cluster("kubeconfig", kubeconfig=kubeconfig, context=context, kubernetes=minor)
    with provided as made:
        yield made
