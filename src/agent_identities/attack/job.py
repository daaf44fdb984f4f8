"""The attack job: the requests of an attacker with an agent's token, and the moves of personas around the agents."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from agent_identities.agents import Agents
    from agent_identities.attack.as_personas import PersonaAttack
    from agent_identities.attack.result import Attack
    from agent_identities.cluster.provide import Cluster


def attack(
    agents: "Agents",
    cluster: "Cluster",
    *,
    only: Collection[str] = (),
    concurrency: int = 16,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> "Attack":
    """Send every attack request with the token of every agent (``only``: of these ServiceAccounts); judge the answers.

    Requests that write are dry runs, or name objects that do not exist. The run creates, and deletes afterwards: a pod
    that never starts for each agent without a pod, and a ServiceAccount without rights. The requests are in the
    cluster's audit log. Raises ApiError if the cluster cannot be read, AgentIdentitiesError for a name in ``only`` that
    the values do not declare.
    """
    from agent_identities.attack.run import attack as send
    from agent_identities.inventory.location import as_installed, locate
    from agent_identities.kube.client import Api

    with Api(cluster.access, concurrency=concurrency) as api:
        declaration = as_installed(partial(locate, api), agents).declared_for(cluster.version)
        return send(api, declaration, agents.catalogue, only=only, concurrency=concurrency, on_progress=on_progress)


def attack_as(
    personas: Sequence[str],
    agents: "Agents",
    cluster: "Cluster",
    *,
    concurrency: int = 16,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> "PersonaAttack":
    """Try every move of moves.json as these personas (``all``: as every persona), and judge what refused it.

    Only on a throw-away cluster with the release: the run creates the personas as ServiceAccounts with real rights, and
    a Deployment, a Service and a network policy to attack; it deletes them afterwards. No other object is changed:
    requests that write are dry runs. Raises AgentIdentitiesError for another cluster or an unknown persona, ApiError if
    the cluster cannot be read.
    """
    from agent_identities.attack.as_personas import attack_as as send
    from agent_identities.attack.moves import chosen
    from agent_identities.kube.client import Api

    found = chosen(personas)
    if not cluster.throw_away:
        raise AgentIdentitiesError(only_on_a_throw_away_cluster(cluster.origin))
    declaration = agents.declared_for(cluster.version)
    with Api(cluster.access, concurrency=concurrency) as api:
        return send(
            api,
            declaration,
            agents.release,
            found,
            version=cluster.version,
            concurrency=concurrency,
            on_progress=on_progress,
        )


def only_on_a_throw_away_cluster(where: object) -> str:
    """The message for a cluster that exists."""
    return (
        f"--as-persona creates accounts with the rights of attackers, and does not do this on a cluster that exists "
        f"({where}). To create a cluster for this run: --cluster embedded"
    )
