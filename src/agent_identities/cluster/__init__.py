"""Clusters to run the proofs on: the embedded control plane, a kind cluster, or an existing cluster."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_identities.cluster.provide import Cluster

KINDS = ("embedded", "kind", "kubeconfig")
"""The kinds of cluster, as the option --cluster names them."""

DEFAULT_NAME = "default"
"""The default name of the control plane of `up`, `down` and `status`."""


@contextlib.contextmanager
def cluster(
    where: str | Path = "embedded", *, context: str | None = None, kubernetes: str | None = None
) -> "Iterator[Cluster]":
    """A cluster for the duration of a `with` block.

    ``where`` is "embedded" (a control plane of plain processes, without containers), "kind", "kubeconfig" (the cluster
    that kubectl uses) or the path of a kubeconfig file. An embedded or kind cluster is created for the block and
    deleted after it. An existing cluster is not deleted. ``kubernetes`` is the minor version of a new cluster (1.34 to
    1.37). Raises ClusterError and ToolchainError.

        with cluster("embedded") as test_cluster:
            test_cluster.install(agents)
    """
    from agent_identities.cluster.provide import provide_cluster
    from agent_identities.toolchain import DEFAULT_KUBERNETES

    minor = kubernetes or DEFAULT_KUBERNETES
    if where in ("embedded", "kind"):
        block = provide_cluster("kind" if where == "kind" else "embedded", kubernetes=minor)
    else:
        kubeconfig = None if where == "kubeconfig" else Path(where)
        block = provide_cluster("kubeconfig", kubeconfig=kubeconfig, context=context, kubernetes=minor)
    with block as provided:
        yield provided
