"""What a cluster has around the agents: bindings, credentials, pods, and users who may become an agent.

The jobs verify and attack look at it besides their requests. Read-only.
"""

from agent_identities.inventory.accounts import Accounts, UndeclaredAccount, read_accounts
from agent_identities.inventory.look import look
from agent_identities.inventory.model import EMPTY, NOT_READ, Inventory, NotRead

__all__ = [
    "EMPTY",
    "NOT_READ",
    "Accounts",
    "Inventory",
    "NotRead",
    "UndeclaredAccount",
    "look",
    "read_accounts",
]
