"""Look at a cluster: read its state, and compare it with the values."""

from agent_identities.declaration import Declaration
from agent_identities.inventory import ways_report
from agent_identities.inventory.model import Inventory
from agent_identities.inventory.read import read
from agent_identities.inventory.surroundings import read_surroundings
from agent_identities.inventory.ways_in import entrants
from agent_identities.kube.client import Api


def look(api: Api, declaration: Declaration, *, becoming: bool = True) -> Inventory:
    """What the cluster has around the agents that the values do not declare. Read-only. Raises ApiError.

    ``becoming``: also look for subjects that can become an agent.
    """
    state = read(api, declaration)
    if not becoming:
        return Inventory((), state.not_read)
    around, missing = read_surroundings(api, sorted({one.namespace for one in declaration.identities}))
    found = entrants(declaration, state.policy, around)
    return Inventory(tuple(ways_report.findings(found)), (*state.not_read, *missing), found)
