"""agent-identities check: check the rendered chart, without a cluster."""

import sys
from typing import Annotated

import typer

from agent_identities.chart.names import DEFAULT_NAMESPACE, DEFAULT_RELEASE
from agent_identities.cli import options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Check the chart rendered with your values, offline.")(check)


def check(
    values: options.ValuesFiles,
    namespace: options.Namespace = DEFAULT_NAMESPACE,
    release: options.Release = DEFAULT_RELEASE,
    chart: options.Chart = None,
    kube_version: Annotated[str, typer.Option(metavar="VERSION", help="Kubernetes version to render for.")] = "1.36.0",
    output: options.Output = "text",
) -> None:
    """Render the chart with your values and check the objects, without a cluster.

    The checks are, for example: no pod runs as ServiceAccount `default`, each agent has its own identity, tokens are
    short-lived, and each agent has exactly the rules of its tiers. Exit status: 0 no errors, 1 errors, 2 could not run.
    """
    from agent_identities import bundled
    from agent_identities.agents import Agents
    from agent_identities.checks.job import check as run
    from agent_identities.report import write, writer

    agents = Agents(tuple(values), {}, chart or bundled.chart_path(), release, namespace, kube_version)
    result = run(agents, meanwhile=lambda: writer(output))
    write(result.report(), output, sys.stdout)
    if not result.ok:
        raise typer.Exit(1)
