"""agent-identities ways-in: who can become an agent, from a dump of a cluster's objects."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from agent_identities.chart.names import DEFAULT_NAMESPACE
from agent_identities.cli import options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ways-in", short_help="List who can become an agent, from a dump of a cluster, offline.")(ways_in)


def ways_in(
    dump: Annotated[
        Path,
        typer.Argument(metavar="DUMP", help="Output of kubectl get -o json or -o yaml; - is stdin.", allow_dash=True),
    ],
    values: options.ValuesFiles,
    namespace: options.Namespace = DEFAULT_NAMESPACE,
    chart: options.Chart = None,
    output: options.Output = "text",
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Also list the subjects that are declared, or that a guard refuses.")
    ] = False,
) -> None:
    """List every user, group and ServiceAccount that can become an agent, without a cluster.

    A subject can become an agent if it can impersonate it, request its tokens, run or exec into pods as it, or change
    its roles, bindings, ServiceAccount or what its pods read. `agent-identities verify` reports the same for a running
    cluster. Example:

    kubectl get clusterroles,clusterrolebindings,roles,rolebindings -A -o json | agent-identities ways-in - -f v.yaml

    To take guards and pods into account, add validatingadmissionpolicies,validatingadmissionpolicybindings,pods. Exit
    status: 0 no other subject than the values declare; 1 another subject can become an agent; 2 could not run.
    """
    from agent_identities import bundled
    from agent_identities.agents import Agents
    from agent_identities.report import write
    from agent_identities.ways_in.job import ways_in as run

    agents = Agents(tuple(values), {}, chart or bundled.chart_path(), namespace=namespace)
    result = run(agents, dump)
    write(result.report(listing=every), output, sys.stdout)
    if not result.ok:
        raise typer.Exit(1)
