"""Look at a cluster: read its state, and compare it with the values."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

from agent_identities.declaration import Declaration
from agent_identities.inventory.account_fields import changed_accounts
from agent_identities.inventory.accounts import Accounts
from agent_identities.inventory.credentials import quarantined_accounts, token_secrets
from agent_identities.inventory.model import Inventory
from agent_identities.inventory.networks import network_findings
from agent_identities.inventory.objects import AgentObjects, read_objects
from agent_identities.inventory.pod_tokens import pod_tokens
from agent_identities.inventory.pods import other_workloads, pod_findings
from agent_identities.inventory.read import ClusterState, read
from agent_identities.inventory.workloads import AgentPod, agent_pods
from agent_identities.kube.client import Api
from agent_identities.kube.fanout import fan_out
from agent_identities.report.model import Finding


def look(api: Api, declaration: Declaration, accounts: Accounts) -> Inventory:
    """What the cluster has around the agents that the values do not declare. Read-only. Raises ApiError.

    ``accounts`` are the ServiceAccounts in the namespaces of the agents, as `read_accounts` returns them.
    """
    reads: list[Callable[[], ClusterState | AgentObjects]] = [
        partial(read, api, declaration),
        partial(read_objects, api, declaration, accounts),
    ]
    state, found = fan_out(lambda each: each(), reads, abort=api.abort)
    state, found = cast("ClusterState", state), cast("AgentObjects", found)
    pods = agent_pods(found)
    return Inventory(
        tuple(_of_objects(found, pods)),
        (*accounts.not_read, *state.not_read, *found.not_read),
        other_workloads(found, pods),
    )


def _of_objects(found: AgentObjects, pods: tuple[AgentPod, ...]) -> Iterator[Finding]:
    """The findings about objects in the namespaces of the agents."""
    yield from quarantined_accounts(found)
    yield from token_secrets(found)
    yield from changed_accounts(found)
    yield from pod_findings(found, pods)
    yield from pod_tokens(found, pods)
    yield from network_findings(found)
