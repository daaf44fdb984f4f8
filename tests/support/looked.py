"""What verify finds around the agents of a declaration."""

from agent_identities.bundled import chart_path
from agent_identities.declaration import Declaration
from agent_identities.inventory import Inventory, look, read_accounts
from agent_identities.kube.client import Api
from agent_identities.rbac import Catalogue


def looked_at(api: Api, declaration: Declaration, *, becoming: bool = True) -> Inventory:
    """The inventory, with the chart's risk catalogue. ``becoming``: also look for subjects that can become an agent."""
    catalogue = Catalogue.load(chart_path() / "files" / "risk-catalogue.json")
    return look(api, declaration, catalogue, read_accounts(api, declaration), becoming=becoming)[1]
