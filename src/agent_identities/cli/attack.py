"""agent-identities attack: send the requests of an attacker with each agent's token, and report what refuses them."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agent_identities.chart.names import DEFAULT_NAMESPACE, DEFAULT_RELEASE
from agent_identities.cli import options
from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from agent_identities.attack.as_personas import PersonaAttack
    from agent_identities.attack.result import Attack


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Attack with each agent's token; report what stopped it.")(attack)


def attack(
    values: options.ValuesFiles,
    release: options.Release = DEFAULT_RELEASE,
    namespace: options.Namespace = DEFAULT_NAMESPACE,
    cluster: options.Where = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    kubernetes: options.Kubernetes = None,
    chart: options.Chart = None,
    agent: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Attack only from this ServiceAccount. May be repeated.", show_default=False),
    ] = None,
    as_persona: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PERSONA",
            help="Instead: try to go around the guards as this person or account, on a throw-away cluster. May be "
            "repeated. all: every persona.",
            show_default=False,
        ),
    ] = None,
    output: options.Output = "text",
    *,
    yes_attack: Annotated[
        bool, typer.Option("--yes-attack", help="Send these requests to an existing cluster.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Also list every request.")] = False,
    strict: options.Strict = False,
    concurrency: options.Concurrency = 16,
) -> None:
    """Send every request that an attacker with an agent's token would try, and report what refuses each request.

    The requests are real and use a real token of each agent: a list of known attacks, every right in the risk
    catalogue, the agent's rights in another namespace, and the tokens, pods, identities and secrets of its siblings.
    Requests that the values declare may succeed. RBAC or an admission policy must refuse all others. No existing object
    is changed: requests that write are dry runs, or name objects that do not exist. The run creates, and deletes
    afterwards: a pod that never starts for each agent without a pod, and a ServiceAccount without rights.

    With --as-persona, people and accounts around the agents try to go around the guards: users with edit or admin in
    the agents' namespace, the administrator of another namespace, a deployer of one agent, a controller, a GitOps
    account, and attackers with the token of an agent or of the proxy. Each persona tries each move of a catalogue.

    Exit status: 0 all undeclared requests were refused. 1 an undeclared request succeeded or could not be sent, an
    agent has no ServiceAccount or token, a ServiceAccount with the label of an agent is not declared, an object of the
    run is left, or (with --strict) something could not be read. 2 could not run, or a positive
    control failed: the run is inconclusive.
    """
    from agent_identities import bundled
    from agent_identities.agents import Agents
    from agent_identities.attack.job import attack as run
    from agent_identities.attack.job import attack_as, only_on_a_throw_away_cluster
    from agent_identities.attack.moves import chosen
    from agent_identities.cli.clusters import cluster_with
    from agent_identities.cli.steps import Steps
    from agent_identities.cluster.choose import choose
    from agent_identities.report import write

    choice = choose(cluster, kubeconfig=kubeconfig, context=context, throw_away=True)
    if as_persona:
        chosen(as_persona)
        if agent:
            raise AgentIdentitiesError("--agent and --as-persona: use one of them. A persona attacks all agents.")
        if choice.access:
            raise AgentIdentitiesError(only_on_a_throw_away_cluster(choice))
    if choice.access and not yes_attack:
        raise AgentIdentitiesError(
            f"attack sends thousands of requests of an attacker, as each agent, to {choice}. The requests change "
            "nothing, but they are in its audit log. To send them: --yes-attack. To attack a cluster that is created "
            "for this run: --cluster embedded"
        )
    agents = Agents(tuple(values), {}, chart or bundled.chart_path(), release, namespace)
    _ = agents.values, agents.catalogue  # invalid files are errors before anything starts
    steps = Steps()
    with (
        cluster_with(agents, choice, kubernetes, steps) as found,
        steps.progress("attacking") as on_progress,
    ):
        result: Attack | PersonaAttack
        if as_persona:
            result = attack_as(as_persona, agents, found, concurrency=concurrency, on_progress=on_progress)
        else:
            result = run(agents, found, only=agent or (), concurrency=concurrency, on_progress=on_progress)
    write(result.report(listing=every), output, sys.stdout)
    if not result.ok or (strict and not result.complete):
        raise typer.Exit(2 if result.inconclusive else 1)
