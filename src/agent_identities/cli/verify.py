"""agent-identities verify: ask an API server what every agent may do, and compare with the values."""

import contextlib
import io
import os
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent_identities.cluster.choice import Cluster
    from agent_identities.identities import Declaration
    from agent_identities.live.access import Matrix


class _Output(StrEnum):
    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


class _Kind(StrEnum):
    EMBEDDED = "embedded"
    KIND = "kind"
    KUBECONFIG = "kubeconfig"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(verify)


def verify(
    values: Annotated[list[Path], typer.Option("--values", "-f", help="Values file; may be repeated, later ones win.")],
    release: Annotated[str, typer.Option(help="Name of the release, where one is installed.")] = "agents",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the release.")] = "agent-system",
    cluster: Annotated[
        _Kind | None,
        typer.Option(
            help="kubeconfig: a cluster of yours, which is only asked. embedded, kind: one made for this run, "
            "installed to, asked and removed. Without it: kubeconfig where --kubeconfig, --context or KUBECONFIG "
            "is given, else embedded.",
            show_default=False,
        ),
    ] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="Kubeconfig of the cluster to ask.", dir_okay=False)] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig; its current one if absent.")] = None,
    kubernetes: Annotated[
        str | None, typer.Option(metavar="MINOR", help="Kubernetes minor of a cluster made for this run: 1.36, 1.37.")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(help="The chart; the one that comes with this package if absent.")
    ] = None,
    output: Annotated[_Output, typer.Option("--output", "-o", help="How the matrix is printed.")] = _Output.TABLE,
    *,
    every: Annotated[bool, typer.Option("--all", help="List every single answer, too.")] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Requests in flight.")] = 16,
) -> None:
    """Ask the API server what each agent may do, and compare every answer with your values.

    Each ServiceAccount is asked about every permission that a tier mentions, in its own and in another namespace, and
    about a fixed list of dangerous ones. Exit status: 0 as declared, 1 surprises, 2 could not run.
    """
    from agent_identities import data, identities
    from agent_identities import values as values_files

    kind = _kind(cluster, kubeconfig, context)
    chart = chart or data.chart_path()
    merged = values_files.load(chart, values)
    steps = _Steps()
    with _cluster(kind, kubeconfig, context, kubernetes, steps) as found:
        declaration = identities.declare(merged, namespace=namespace, kube_version=found.version)
        if kind is not _Kind.KUBECONFIG:
            _furnish(found, declaration)
            _install(found, chart, release, namespace, values, steps)
        matrix = _ask(found, declaration, concurrency, steps)
    _print(matrix, output, every=every)
    if not matrix.clean:
        raise typer.Exit(1)


def _kind(chosen: _Kind | None, kubeconfig: Path | None, context: str | None) -> _Kind:
    named = kubeconfig is not None or context is not None
    if named and chosen not in (None, _Kind.KUBECONFIG):
        raise AgentIdentitiesError(
            f"--cluster {chosen}: makes a cluster for this run. Leave --kubeconfig and --context out, or say "
            "--cluster kubeconfig to ask that one."
        )
    if chosen is None:
        return _Kind.KUBECONFIG if named or os.environ.get("KUBECONFIG") else _Kind.EMBEDDED
    return chosen


@contextlib.contextmanager
def _cluster(
    kind: _Kind, kubeconfig: Path | None, context: str | None, kubernetes: str | None, steps: "_Steps"
) -> "Iterator[Cluster]":
    """The cluster to ask; one that was made for this run is gone afterwards."""
    from agent_identities.cluster.choice import provide_cluster
    from agent_identities.cluster.components import BINARIES
    from agent_identities.cluster.toolchain import DEFAULT_KUBERNETES, provide

    minor = kubernetes or DEFAULT_KUBERNETES
    if kind is _Kind.EMBEDDED:
        with steps.step("toolchain", spinner=False) as note:  # it shows its own progress where it has to build
            tools = provide(["helm", *BINARIES], kubernetes=minor)
            note(", ".join(f"{tool.name} {tool.version}" for tool in tools.values()))
    with contextlib.ExitStack() as stack:
        with steps.step("cluster") as note:
            cluster = stack.enter_context(
                provide_cluster(kind.value, kubeconfig=kubeconfig, context=context, kubernetes=minor)
            )
            note(f"Kubernetes {cluster.version}, {cluster.origin}")
        yield cluster


def _furnish(cluster: "Cluster", declaration: "Declaration") -> None:
    """Makes, on a cluster of this run, what the values take for granted: other namespaces, and accounts of others."""
    from agent_identities.live.api import Api

    borrowed = [agent for agent in declaration.agents if not agent.created]
    granted = {grant.namespace for one in declaration.agents for grant in one.grants}
    with Api(cluster.kubeconfig, cluster.context) as api:
        there = {item["metadata"]["name"] for item in api.list_all("/api/v1/namespaces")}
        for name in sorted(granted - there - {"", declaration.namespace}):
            api.post("/api/v1/namespaces", {"metadata": {"name": name}})
        if borrowed and declaration.namespace not in there:
            api.post("/api/v1/namespaces", {"metadata": {"name": declaration.namespace}})
        for one in borrowed:
            path = f"/api/v1/namespaces/{one.namespace}/serviceaccounts"
            api.post(path, {"metadata": {"name": one.name}})


def _install(cluster: "Cluster", chart: Path, release: str, namespace: str, files: list[Path], steps: "_Steps") -> None:
    from agent_identities.cluster.toolchain import provide
    from agent_identities.helm import Helm, Release, Values

    tool = provide(["helm"])["helm"]
    with steps.step("helm install") as note:
        helm = Helm(tool.path, tool.version)
        Release(helm, chart, release, namespace, cluster.kubeconfig, cluster.context).install(Values(tuple(files)))
        note(f"release {release} in namespace {namespace}")


def _ask(cluster: "Cluster", declaration: "Declaration", concurrency: int, steps: "_Steps") -> "Matrix":
    from agent_identities.live.access import verify as verify_live
    from agent_identities.live.api import Api

    with (
        steps.progress("asking") as on_progress,
        Api(cluster.kubeconfig, cluster.context, concurrency=concurrency) as api,
    ):
        return verify_live(api, declaration, concurrency=concurrency, on_progress=on_progress)


def _print(matrix: "Matrix", output: _Output, *, every: bool) -> None:
    from agent_identities.reports import matrix as report

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # Markdown's symbols must not end the command where LANG is C
    if output is _Output.JSON:
        print(report.to_json(matrix))
    elif output is _Output.MARKDOWN:
        print(report.to_markdown(matrix, every_cell=every), end="")
    else:
        report.print_text(matrix, every_cell=every)


class _Steps:
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
