"""agent-identities verify: ask an API server what every agent may do, and compare with the values."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent_identities.cli.run import ClusterKind, Output, Steps, cluster_for, furnish, install, naming

if TYPE_CHECKING:
    from agent_identities.cluster.provide import Cluster
    from agent_identities.declaration import Declaration
    from agent_identities.verify.access import Matrix


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(verify)


def verify(
    values: Annotated[list[Path], typer.Option("--values", "-f", help="Values file; may be repeated, later ones win.")],
    release: Annotated[str, typer.Option(help="Name of the release, where one is installed.")] = "agents",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the release.")] = "agent-system",
    cluster: Annotated[
        ClusterKind | None,
        typer.Option(
            help="kubeconfig: a cluster of yours, which is only asked. embedded, kind: one made for this run, "
            "installed to, asked and removed. Without it: the cluster that kubectl would use, else embedded "
            "(docs/clusters.md).",
            show_default=False,
        ),
    ] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="Kubeconfig of the cluster to ask.", dir_okay=False)] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig; its current one if absent.")] = None,
    kubernetes: Annotated[
        str | None, typer.Option(metavar="MINOR", help="Kubernetes minor of a cluster made for this run: 1.34 to 1.37.")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(help="The chart; the one that comes with this package if absent.")
    ] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="How the matrix is printed.")] = Output.TABLE,
    *,
    every: Annotated[bool, typer.Option("--all", help="List every single answer, too.")] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Requests in flight.")] = 16,
) -> None:
    """Ask the API server what each agent may do, and compare every answer with your values.

    Each ServiceAccount is asked about every permission that a tier mentions, in its own and in another namespace, and
    about a fixed list of dangerous ones. Exit status: 0 as declared, 1 surprises, 2 could not run.
    """
    from agent_identities import bundled
    from agent_identities.chart import values as values_files
    from agent_identities.cluster.choose import choose
    from agent_identities.declaration import declare

    choice = choose(cluster.value if cluster else None, kubeconfig=kubeconfig, context=context, throw_away=True)
    chart = chart or bundled.chart_path()
    merged = values_files.load(chart, values)
    steps = Steps()
    with naming(choice), cluster_for(choice, kubernetes, steps) as found:
        declaration = declare(merged, namespace=namespace, kube_version=found.version)
        if found.throw_away:
            furnish(found, declaration)
            install(found, chart, release, namespace, values, steps)
        matrix = _ask(found, declaration, concurrency, steps)
    _print(matrix, output, every=every)
    if not matrix.clean:
        raise typer.Exit(1)


def _ask(cluster: "Cluster", declaration: "Declaration", concurrency: int, steps: "Steps") -> "Matrix":
    from agent_identities.kube.client import Api
    from agent_identities.verify.access import verify as verify_live

    with (
        steps.progress("asking") as on_progress,
        Api(cluster.access, concurrency=concurrency) as api,
    ):
        return verify_live(api, declaration, concurrency=concurrency, on_progress=on_progress)


def _print(matrix: "Matrix", output: Output, *, every: bool) -> None:
    from agent_identities.verify import report

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # Markdown's symbols must not end the command where LANG is C
    if output is Output.JSON:
        print(report.to_json(matrix))
    elif output is Output.MARKDOWN:
        print(report.to_markdown(matrix, every_cell=every), end="")
    else:
        report.print_text(matrix, every_cell=every)
