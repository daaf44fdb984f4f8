"""agent-identities trace: attribute every request in an audit log to one agent."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent_identities.chart.names import DEFAULT_NAMESPACE
from agent_identities.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_identities.audit.trace import Use


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(trace)


def trace(
    logs: options.LogsOrNone = None,
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
    *,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-F", help="Wait for more at the end of each log, until Ctrl-C. Follows rotation."),
    ] = False,
) -> None:
    """Attribute every request in an audit log to one agent.

    The report has, for each agent: its requests, the credentials (with the event that issued each), the bindings that
    allowed the requests, and whether the agent sent them itself or through the proxy. If the log waits for more, each
    new kind of request is printed at once, and the report at the end (Ctrl-C). Exit status: 0 every request
    belongs to one agent; 1 some requests do not, no agent sent a request, or lines could not be read; 2 could not run.
    """
    from agent_identities import bundled
    from agent_identities.agents import Agents
    from agent_identities.audit.job import known_agents
    from agent_identities.audit.job import trace as run
    from agent_identities.audit.sources import STDIN
    from agent_identities.cli.steps import reading
    from agent_identities.errors import AgentIdentitiesError
    from agent_identities.report import write

    if not logs:
        follow_it = (
            f" -f is a values file. To follow a log: agent-identities trace --follow {values[0]}" if values else ""
        )
        raise AgentIdentitiesError(f"LOG is missing. Name an audit log, or - for stdin.{follow_it}")
    agents = Agents(tuple(values), {}, chart or bundled.chart_path(), namespace=namespace) if values else None
    lives = follow or STDIN in logs
    with reading() if not lives else contextlib.nullcontext(lambda _log, _lines: None) as on_progress:
        result = run(
            logs,
            agents,
            namespace=namespace,
            since=since,
            until=until,
            on_progress=on_progress,
            follow=follow,
            on_new=_print if lives and output == "text" else None,
        )
    shown = result.only(known_agents(agent, result)) if agent else result
    write(shown.report(), output, sys.stdout)
    if not result.ok:
        raise typer.Exit(1)


def _print(new: "Sequence[Use]") -> None:
    from agent_identities.audit.trace_report import line
    from agent_identities.report.characters import visible

    for use in new:
        print(visible(line(use)), flush=True)
