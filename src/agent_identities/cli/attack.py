"""agent-identities attack: try with each agent's own token everything that a thief would, and see what stops it."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent_identities.cli.run import ClusterKind, Output, Steps, cluster_for, furnish, install, naming
from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from agent_identities.attack.run import Attack


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(attack)


def attack(
    values: Annotated[list[Path], typer.Option("--values", "-f", help="Values file; may be repeated, later ones win.")],
    release: Annotated[str, typer.Option(help="Name of the release, where one is installed.")] = "agents",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the release.")] = "agent-system",
    cluster: Annotated[
        ClusterKind | None,
        typer.Option(
            help="kubeconfig: a cluster of yours, with the release installed; needs --yes-attack. embedded, kind: one "
            "made for this run, installed to, attacked and removed. Without it: the cluster that kubectl would use, "
            "else embedded (docs/clusters.md).",
            show_default=False,
        ),
    ] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="Kubeconfig of the cluster.", dir_okay=False)] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig; its current one if absent.")] = None,
    kubernetes: Annotated[
        str | None, typer.Option(metavar="MINOR", help="Kubernetes minor of a cluster made for this run: 1.34 to 1.37.")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(help="The chart; the one that comes with this package if absent.")
    ] = None,
    agent: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Attack from this ServiceAccount only; may be repeated.")
    ] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="How the run is printed.")] = Output.TABLE,
    *,
    yes_attack: Annotated[
        bool, typer.Option("--yes-attack", help="Yes, send these requests to a cluster of mine.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="List every single move, too.")] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Requests in flight.")] = 16,
) -> None:
    """Steal each agent's token, try everything a thief would, and say how it was stopped.

    Real requests, with a real token of each agent: a list of known attacks, every right that the risk catalogue is
    about, the agent's rights in another namespace, and its siblings' tokens, pods, identity and secrets. What the
    values declare may succeed; all else must be refused by RBAC, or by an admission policy that names itself. Nothing
    is changed: requests that write are dry runs, the others aim at objects that do not exist. Made for the run and
    removed after it: a pod that never starts for each agent without one, and a ServiceAccount without rights.

    Exit status: 0 all stopped; 1 something succeeded that was not declared, could not be sent, or an agent has no
    ServiceAccount or token; 2 could not run, or a positive control failed, so that the run proves nothing.
    """
    from agent_identities import bundled
    from agent_identities.chart import values as values_files
    from agent_identities.cluster.choose import choose
    from agent_identities.declaration import declare
    from agent_identities.rbac import Catalogue

    choice = choose(cluster.value if cluster else None, kubeconfig=kubeconfig, context=context, throw_away=True)
    if choice.access and not yes_attack:
        raise AgentIdentitiesError(
            f"attack: would send thousands of hostile requests, as each of the agents, to {choice}. They change "
            "nothing, but they will be seen in its audit log. If that is wanted: --yes-attack. To attack a cluster "
            "made for this run instead: --cluster embedded"
        )
    chart = chart or bundled.chart_path()
    merged = values_files.load(chart, values)
    catalogue = Catalogue.load(chart / "files" / "risk-catalogue.json")
    steps = Steps()
    with naming(choice), cluster_for(choice, kubernetes, steps) as found:
        declaration = declare(merged, namespace=namespace, kube_version=found.version)
        if found.throw_away:
            furnish(found, declaration)
            install(found, chart, release, namespace, values, steps)

        from agent_identities.attack.run import attack as attack_live
        from agent_identities.kube.client import Api

        with (
            steps.progress("attacking") as on_progress,
            Api(found.access, concurrency=concurrency) as api,
        ):
            run = attack_live(
                api, declaration, catalogue, only=agent or (), concurrency=concurrency, on_progress=on_progress
            )
    _print(run, output, every=every)
    if not run.clean:
        raise typer.Exit(2 if run.void else 1)


def _print(run: "Attack", output: Output, *, every: bool) -> None:
    from agent_identities.attack import report

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # Markdown's symbols must not end the command where LANG is C
    if output is Output.JSON:
        print(report.to_json(run))
    elif output is Output.MARKDOWN:
        print(report.to_markdown(run, every_move=every), end="")
    else:
        report.print_text(run, every_move=every)
