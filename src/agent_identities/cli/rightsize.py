"""agent-identities rightsize: propose the smallest tiers that cover what the agents of an audit log did."""

import sys
from typing import Annotated

import typer

from agent_identities.chart.names import DEFAULT_NAMESPACE
from agent_identities.cli import options

_SNIPPET, _VALUES = "snippet", "values"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Propose the smallest tiers that cover an audit log.")(rightsize)


def rightsize(
    logs: options.Logs,
    values: options.ValuesFiles,
    namespace: options.Namespace = DEFAULT_NAMESPACE,
    since: options.Since = None,
    until: options.Until = None,
    agent: options.Agent = None,
    names: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Limit a rule to the names of the objects in the log, if there are at most N."
        ),
    ] = 10,
    chart: options.Chart = None,
    output: Annotated[
        str,
        options.output_option(
            "Format of the report. snippet: the values to add with a further -f. values: all of your values, changed.",
            _SNIPPET,
            _VALUES,
        ),
    ] = "text",
    *,
    include_denied: Annotated[
        bool, typer.Option("--include-denied", help="Also grant requests that were denied.")
    ] = False,
    include_idle: Annotated[
        bool, typer.Option("--include-idle", help="Also remove everything from agents without a request.")
    ] = False,
) -> None:
    """Propose the smallest tiers that cover what the agents of an audit log did.

    The proposal never grants more than the tiers do today (except with --include-denied), and agents without a request
    keep their tiers. Choose a log that covers everything that your agents have to do. Exit status: 0 nothing to change,
    or values were printed, 1 there is something to change, 2 could not run.
    """
    from agent_identities import bundled
    from agent_identities.agents import Agents
    from agent_identities.audit import rightsize_report
    from agent_identities.audit.job import rightsize as run
    from agent_identities.cli.steps import reading
    from agent_identities.report import write

    agents = Agents(tuple(values), {}, chart or bundled.chart_path(), namespace=namespace)
    with reading() as on_progress:
        result = run(
            logs,
            agents,
            only=agent or (),
            most_names=names,
            include_denied=include_denied,
            include_idle=include_idle,
            since=since,
            until=until,
            on_progress=on_progress,
        )
    if output == _SNIPPET:
        print(rightsize_report.snippet(result.change), end="")
    elif output == _VALUES:
        print(rightsize_report.to_yaml(result.change.applied_to(agents.given.given)), end="")
        if any(source.has_comments for source in agents.given.sources):
            sys.stderr.write(
                "agent-identities: the comments of your values files are not in this output. To keep them, add the "
                "output of `-o snippet` as a further values file.\n"
            )
    else:
        write(result.report(), output, sys.stdout)
    if output in (_SNIPPET, _VALUES):
        for sentence in rightsize_report.gaps(result.trace):
            sys.stderr.write(f"agent-identities: {sentence}\n")
    elif not result.ok:
        raise typer.Exit(1)
