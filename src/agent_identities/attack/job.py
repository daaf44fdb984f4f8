"""The attack job: send, with each agent's own token, every request that an attacker with that token would try."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_identities.agents import Agents
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
    from agent_identities.kube.client import Api

    declaration = agents.declared_for(cluster.version)
    with Api(cluster.access, concurrency=concurrency) as api:
        return send(api, declaration, agents.catalogue, only=only, concurrency=concurrency, on_progress=on_progress)
