"""The verify job: ask an API server what each agent may do, and compare each answer with the values."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_identities.agents import Agents
    from agent_identities.cluster.provide import Cluster
    from agent_identities.verify.matrix import Matrix


def verify(
    agents: "Agents",
    cluster: "Cluster",
    *,
    concurrency: int = 16,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> "Matrix":
    """Ask the API server about every declared permission and every dangerous permission, for each agent. Read-only.

    ``concurrency`` is the number of requests in flight. ``on_progress`` receives (answers, questions). Raises ApiError
    if the API server does not answer a question.
    """
    from agent_identities.inventory.location import as_installed, locate
    from agent_identities.kube.client import Api
    from agent_identities.verify.run import verify as ask

    with Api(cluster.access, concurrency=concurrency) as api:
        declaration = as_installed(partial(locate, api), agents).declared_for(cluster.version)
        return ask(api, declaration, catalogue=agents.catalogue, concurrency=concurrency, on_progress=on_progress)
