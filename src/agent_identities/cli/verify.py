"""agent-identities verify: ask an API server what every agent may do, and compare with the values."""

import sys
from typing import Annotated

import typer

from agent_identities.chart.names import DEFAULT_NAMESPACE, DEFAULT_RELEASE
from agent_identities.cli import options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Compare what an API server allows with your values.")(verify)


def verify(
    values: options.ValuesFiles,
    release: options.Release = DEFAULT_RELEASE,
    namespace: options.Namespace = DEFAULT_NAMESPACE,
    cluster: options.Where = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    kubernetes: options.Kubernetes = None,
    chart: options.Chart = None,
    output: options.Output = "text",
    *,
    every: Annotated[bool, typer.Option("--all", help="Also list every answer.")] = False,
    strict: options.Strict = False,
    concurrency: options.Concurrency = 16,
) -> None:
    """Ask the API server what each agent may do, and compare every answer with your values.

    For each ServiceAccount, the command sends SubjectAccessReviews for every permission that a tier mentions, in the
    agent's own namespace and in another namespace, and for a fixed list of dangerous permissions. It compares all roles
    and bindings of the cluster with the values. It writes nothing to an existing cluster. Exit status: 0 as declared; 1
    the cluster differs from the values, or (with --strict) something could not be read; 2 could not run.
    """
    from agent_identities import bundled
    from agent_identities.agents import Agents
    from agent_identities.cli.clusters import cluster_with
    from agent_identities.cli.steps import Steps
    from agent_identities.cluster.choose import choose
    from agent_identities.report import write
    from agent_identities.verify.job import verify as run

    choice = choose(cluster, kubeconfig=kubeconfig, context=context, throw_away=True)
    agents = Agents(tuple(values), {}, chart or bundled.chart_path(), release, namespace)
    _ = agents.values  # invalid files are errors before anything starts
    steps = Steps()
    with (
        cluster_with(agents, choice, kubernetes, steps) as found,
        steps.progress("asking") as on_progress,
    ):
        result = run(agents, found, concurrency=concurrency, on_progress=on_progress)
    write(result.report(listing=every), output, sys.stdout)
    if not result.ok or (strict and not result.complete):
        raise typer.Exit(1)
