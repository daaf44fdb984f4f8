"""agent-identities quarantine: take one agent out of a live cluster, now."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class _Output(StrEnum):
    TEXT = "text"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(quarantine)


def quarantine(
    agent: Annotated[
        str, typer.Argument(help="The agent's ServiceAccount, or an entry of the values: all of its instances.")
    ],
    values: Annotated[
        list[Path] | None,
        typer.Option(
            "--values", "-f", help="Values file; may be repeated. Absent: the cluster's labels and Helm's record tell."
        ),
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="Name of the release; as its ServiceAccount's labels say if absent.")
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the release.")] = "agent-system",
    kubeconfig: Annotated[Path | None, typer.Option(help="Kubeconfig of the cluster.", dir_okay=False)] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig; its current one if absent.")] = None,
    output: Annotated[_Output, typer.Option("--output", "-o", help="How the result is printed.")] = _Output.TEXT,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Take an agent's rights, its account and its pods away, at once, and wait until the API server refuses it.

    First every binding that names it, in any namespace; then its ServiceAccount, which ends its tokens within about
    ten seconds; then its Deployment and pods. Its siblings are not touched. Exit status: 0 nothing of it is left,
    2 something is, or nothing could be done.
    """
    started = time.monotonic() - time.process_time()  # from here back: Python was busy starting
    from rich.console import Console

    from agent_identities import bundled
    from agent_identities.chart import values as values_files
    from agent_identities.cli.run import naming
    from agent_identities.cluster.choose import choose
    from agent_identities.kube.client import Api
    from agent_identities.quarantine import report
    from agent_identities.quarantine.find import find
    from agent_identities.quarantine.revoke import revoke

    merged = values_files.load(bundled.chart_path(), values) if values else None
    choice = choose("kubeconfig", kubeconfig=kubeconfig, context=context)
    assert choice.access is not None
    with naming(choice), Api(choice.access) as api, Console(stderr=True).status("looking") as status:
        found = find(api, agent, namespace, release=release, values=merged)
        result = revoke(api, found, started=started, dry_run=dry_run, on_step=status.update)
    if output is _Output.JSON:
        print(report.to_json(result))
    else:
        report.print_text(result)
    if result.left:
        raise typer.Exit(2)
