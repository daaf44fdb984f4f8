"""What the commands that talk to a cluster share: which one it is, what is put on it, and how the steps are shown."""

import contextlib
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent_identities.cluster.choose import Choice
    from agent_identities.cluster.provide import Cluster
    from agent_identities.declaration import Declaration


class Output(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


class ClusterKind(StrEnum):
    """What a command runs on."""

    EMBEDDED = "embedded"
    KIND = "kind"
    KUBECONFIG = "kubeconfig"


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
def cluster_for(choice: "Choice", kubernetes: str | None, steps: "Steps") -> "Iterator[Cluster]":
    """The cluster to ask; one that was made for this run is gone afterwards."""
    from agent_identities.cluster.command_lines import BINARIES
    from agent_identities.cluster.provide import provide as provide_cluster
    from agent_identities.toolchain import DEFAULT_KUBERNETES, provide

    minor = kubernetes or DEFAULT_KUBERNETES
    if choice.kind == "embedded":
        with steps.step("toolchain", spinner=False) as note:  # it shows its own progress where it has to build
            tools = provide(["helm", *BINARIES], kubernetes=minor)
            note(", ".join(f"{tool.name} {tool.version}" for tool in tools.values()))
    with contextlib.ExitStack() as stack:
        with steps.step("connect" if choice.access else "start") as note:
            cluster = stack.enter_context(provide_cluster(choice, kubernetes=minor))
            note(f"Kubernetes {cluster.version}, {cluster.origin}")
        yield cluster


def furnish(cluster: "Cluster", declaration: "Declaration") -> None:
    """Makes, on a cluster of this run, what the values take for granted: other namespaces, and accounts of others."""
    from agent_identities.kube.client import Api

    borrowed = [agent for agent in declaration.agents if not agent.created]
    granted = {grant.namespace for one in declaration.agents for grant in one.grants}
    with Api(cluster.access) as api:
        there = {item["metadata"]["name"] for item in api.list_all("/api/v1/namespaces")}
        for name in sorted(granted - there - {"", declaration.namespace}):
            api.post("/api/v1/namespaces", {"metadata": {"name": name}})
        if borrowed and declaration.namespace not in there:
            api.post("/api/v1/namespaces", {"metadata": {"name": declaration.namespace}})
        for one in borrowed:
            path = f"/api/v1/namespaces/{one.namespace}/serviceaccounts"
            api.post(path, {"metadata": {"name": one.name}})


def install(cluster: "Cluster", chart: Path, release: str, namespace: str, files: list[Path], steps: "Steps") -> None:
    """Installs the chart on a cluster of this run, by real Helm."""
    from agent_identities.chart.helm import Helm, Release, Values
    from agent_identities.toolchain import provide

    tool = provide(["helm"])["helm"]
    with steps.step("helm install") as note:
        helm = Helm(tool.path, tool.version)
        Release(helm, chart, release, namespace, cluster.kubeconfig, cluster.context).install(Values(tuple(files)))
        note(f"release {release} in namespace {namespace}")


class Steps:
    """What is being done, on stderr: a spinner or a bar meanwhile, then a line with its seconds."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console: Console = Console(stderr=True, highlight=False)

    @contextlib.contextmanager
    def step(self, title: str, *, spinner: bool = True) -> "Iterator[Callable[[str], None]]":
        """A step; what it gave is told to the function that the block gets."""
        given = [""]
        started = time.monotonic()
        with self._console.status(title) if spinner else contextlib.nullcontext():
            yield lambda text: given.__setitem__(0, text)
        self._done(title, given[0], started)

    @contextlib.contextmanager
    def progress(self, title: str) -> "Iterator[Callable[[int, int], None]]":
        """A step of many questions; the block tells how many of how many are answered."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (SpinnerColumn(), TextColumn(title), BarColumn(40), MofNCompleteColumn(), TimeRemainingColumn())
        answers = 0
        started = time.monotonic()
        disable = not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=disable) as bar:
            task = bar.add_task(title, total=None)

            def on_progress(done: int, total: int) -> None:
                nonlocal answers
                answers = done
                bar.update(task, completed=done, total=total)

            yield on_progress
        self._done(title, f"{answers:,} answers", started)

    def _done(self, title: str, given: str, started: float) -> None:
        from rich.text import Text

        self._console.print(Text(f"{title}: {given} ({time.monotonic() - started:.1f} s)", style="dim"), soft_wrap=True)
