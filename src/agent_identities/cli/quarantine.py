"""agent-identities quarantine: remove one agent's rights, ServiceAccount and pods from a live cluster, now."""

import sys
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from agent_identities.chart.names import DEFAULT_NAMESPACE
from agent_identities.cli import options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Remove an agent's rights, ServiceAccount and pods.")(quarantine)


def quarantine(
    agent: Annotated[
        str | None,
        typer.Argument(
            metavar="[AGENT]",
            help="Name of the agent's ServiceAccount, or of an entry of the values: all its instances.",
            show_default=False,
        ),
    ] = None,
    values: Annotated[
        list[Path] | None,
        typer.Option(
            "--values",
            "-f",
            metavar="FILE",
            help="Values file. May be repeated. Default: the labels on the cluster and Helm's record of the release.",
            show_default=False,
        ),
    ] = None,
    release: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the release. Default: from the labels of the agent's ServiceAccount.",
            show_default=False,
        ),
    ] = None,
    namespace: options.Namespace = DEFAULT_NAMESPACE,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.Output = "text",
    *,
    every: Annotated[bool, typer.Option("--all", help="Quarantine all agents of the release.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be removed.")] = False,
) -> None:
    """Remove an agent's rights, its ServiceAccount and its pods, and wait until the API server refuses the agent.

    The command first removes every binding that names the agent, in any namespace; then its ServiceAccount, so that its
    tokens become invalid within about ten seconds; then its Deployment and pods. Its siblings are not changed. The
    report also names what the command cannot end, such as watches that are open. Exit status: 0 the API server refuses
    the agent, 1 something is left that another run can remove, 2 could not run.
    """
    if (agent is None) is not every:
        raise typer.BadParameter("name one agent, or --all: agent-identities quarantine triage-2", param_hint="AGENT")
    started = time.monotonic() - time.process_time()  # the start of the Python process
    from rich.console import Console

    from agent_identities.agents import Agents
    from agent_identities.cli.clusters import naming
    from agent_identities.cluster.choose import choose
    from agent_identities.cluster.provide import provide
    from agent_identities.quarantine.job import quarantine as quarantine_one
    from agent_identities.quarantine.job import quarantine_all
    from agent_identities.report import write

    agents = Agents(tuple(values), namespace=namespace) if values else None
    if agents is not None:
        _ = agents.values  # invalid files are errors before anything is removed
    choice = choose("kubeconfig", kubeconfig=kubeconfig, context=context)
    with naming(choice), Console(stderr=True).status("searching") as status, provide(choice) as cluster:
        run = quarantine_all if agent is None else partial(quarantine_one, agent)
        result = run(
            cluster,
            agents=agents,
            namespace=namespace,
            release=release,
            dry_run=dry_run,
            started=started,
            on_step=status.update,
        )
    write(result.report(), output, sys.stdout)
    if not result.ok:
        raise typer.Exit(1)
