"""The cluster that a command runs on, by name, and the release that is installed on one that is created for it."""

import contextlib
import sys
from typing import TYPE_CHECKING

from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_identities.agents import Agents
    from agent_identities.cli.steps import Steps
    from agent_identities.cluster.choose import Choice
    from agent_identities.cluster.provide import Cluster


@contextlib.contextmanager
def naming(choice: "Choice") -> "Iterator[None]":
    """The first and the last line on stderr name the cluster, after an error, too."""
    line = f"cluster: {choice}\n"
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
    """The cluster to ask; one that is created for this run gets the release first, and is removed afterwards."""
    from agent_identities.cluster.command_lines import BINARIES
    from agent_identities.cluster.provide import provide as provide_cluster
    from agent_identities.toolchain import DEFAULT_KUBERNETES, provide

    minor = kubernetes or DEFAULT_KUBERNETES
    with naming(choice), contextlib.ExitStack() as stack:
        if choice.kind == "embedded":
            with steps.step("toolchain", spinner=False) as note:  # it shows its own progress where it has to build
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
