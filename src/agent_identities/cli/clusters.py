"""The cluster of a command: print its name, and install the release on a cluster that is created for the command."""

import contextlib
import sys
from typing import TYPE_CHECKING

from agent_identities.errors import AgentIdentitiesError
from agent_identities.report.characters import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_identities.agents import Agents
    from agent_identities.cli.steps import Steps
    from agent_identities.cluster.choose import Choice
    from agent_identities.cluster.provide import Cluster


@contextlib.contextmanager
def naming(choice: "Choice") -> "Iterator[None]":
    """Print the cluster in the first and in the last line on stderr, also after an error."""
    line = visible(f"cluster: {choice}\n")
    _write(line)
    try:
        yield
    except AgentIdentitiesError as error:
        error.add_note(line)  # printed after the error
        raise
    _write(line)


def _write(line: str) -> None:
    sys.stderr.write(line)
    sys.stderr.flush()


@contextlib.contextmanager
def cluster_with(agents: "Agents", choice: "Choice", kubernetes: str | None, steps: "Steps") -> "Iterator[Cluster]":
    """The cluster of a command. On a cluster that is created for the run, the release is installed first."""
    from agent_identities.cluster.command_lines import BINARIES
    from agent_identities.cluster.provide import provide as provide_cluster
    from agent_identities.toolchain import DEFAULT_KUBERNETES, provide

    if choice.access is not None and kubernetes is not None:
        raise AgentIdentitiesError(
            f"--kubernetes {kubernetes}: selects the version of a cluster that is created for this run, and {choice} "
            "exists. Omit --kubernetes, or add --cluster embedded to create a cluster."
        )
    minor = kubernetes or DEFAULT_KUBERNETES
    with naming(choice), contextlib.ExitStack() as stack:
        if choice.kind == "embedded":
            with steps.step("toolchain", spinner=False) as note:  # a build shows its own progress
                tools = provide(["helm", *BINARIES], kubernetes=minor)
                note(", ".join(f"{tool.name} {tool.version}" for tool in tools.values()))
        with steps.step("connect" if choice.access else "start") as note:
            cluster = stack.enter_context(provide_cluster(choice, kubernetes=minor))
            note(f"Kubernetes {cluster.version}, {cluster.origin}")
        if cluster.throw_away:
            with steps.step("helm install") as note:
                cluster.install(agents)
                note(f"release {agents.release} in namespace {agents.namespace}")
        yield cluster
