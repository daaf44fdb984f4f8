"""Which cluster a command runs on, and the release that is installed on one that is created for it."""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent_identities.cli.options import ClusterKind
from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_identities.agents import Agents
    from agent_identities.cli.steps import Steps
    from agent_identities.cluster.provide import Cluster


def choose(chosen: ClusterKind | None, kubeconfig: Path | None, context: str | None) -> ClusterKind:
    """The chosen kind, else a kubeconfig where one is named, else a cluster that is created for the run."""
    named = kubeconfig is not None or context is not None
    if named and chosen not in (None, ClusterKind.KUBECONFIG):
        raise AgentIdentitiesError(
            f"--cluster {chosen}: makes a cluster for this run. Leave --kubeconfig and --context out, or say "
            "--cluster kubeconfig to ask that one."
        )
    if chosen is None:
        return ClusterKind.KUBECONFIG if named or os.environ.get("KUBECONFIG") else ClusterKind.EMBEDDED
    return chosen


@contextlib.contextmanager
def cluster_with(
    agents: "Agents",
    kind: ClusterKind,
    kubeconfig: Path | None,
    context: str | None,
    kubernetes: str | None,
    steps: "Steps",
) -> "Iterator[Cluster]":
    """The cluster to ask; one that is created for this run gets the release first, and is removed afterwards."""
    from agent_identities.cluster.command_lines import BINARIES
    from agent_identities.cluster.provide import provide_cluster
    from agent_identities.toolchain import DEFAULT_KUBERNETES, provide

    minor = kubernetes or DEFAULT_KUBERNETES
    if kind is ClusterKind.EMBEDDED:
        with steps.step("toolchain", spinner=False) as note:  # it shows its own progress where it has to build
            tools = provide(["helm", *BINARIES], kubernetes=minor)
            note(", ".join(f"{tool.name} {tool.version}" for tool in tools.values()))
    with contextlib.ExitStack() as stack:
        with steps.step("cluster") as note:
            cluster = stack.enter_context(
                provide_cluster(kind.value, kubeconfig=kubeconfig, context=context, kubernetes=minor)
            )
            note(f"Kubernetes {cluster.version}, {cluster.origin}")
        if kind is not ClusterKind.KUBECONFIG:
            with steps.step("helm install") as note:
                cluster.install(agents)
                note(f"release {agents.release} in namespace {agents.namespace}")
        yield cluster
