"""agent-identities trace: attribute every request in an audit log to one agent."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from agent_identities.chart.names import DEFAULT_NAMESPACE
from agent_identities.cli import options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(trace)


def trace(
    logs: options.Logs,
    values: Annotated[
        list[Path] | None,
        typer.Option(
            "--values",
            "-f",
            metavar="FILE",
            help="Values file that declares the agents. Default: every ServiceAccount except default is an agent.",
            show_default=False,
        ),
    ] = None,
    namespace: options.Namespace = DEFAULT_NAMESPACE,
    since: options.Since = None,
    until: options.Until = None,
    agent: options.Agent = None,
    chart: options.Chart = None,
    output: options.Output = "text",
) -> None:
    """Attribute every request in an audit log to one agent.

    The report has, for each agent: its requests, the credentials (with the event that issued each), the bindings that
    allowed the requests, and whether the agent sent them itself or through the proxy. Exit status: 0 every request
    belongs to one agent; 1 some requests do not, no agent sent a request, or lines could not be read; 2 could not run.
    """
    from agent_identities import bundled
    from agent_identities.agents import Agents
    from agent_identities.audit.job import known_agents
    from agent_identities.audit.job import trace as run
    from agent_identities.cli.steps import reading
    from agent_identities.report import write

    agents = Agents(tuple(values), {}, chart or bundled.chart_path(), namespace=namespace) if values else None
    with reading() as on_progress:
        result = run(logs, agents, namespace=namespace, since=since, until=until, on_progress=on_progress)
    shown = result.only(known_agents(agent, result)) if agent else result
    write(shown.report(), output, sys.stdout)
    if not result.ok:
        raise typer.Exit(1)
