"""The ServiceAccounts that are agents, by the values or by their namespace."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from agent_identities.declaration import Declaration
from agent_identities.rbac import ServiceAccount

_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class AgentAccounts:
    """``entries``: the declared agents with their key in the values. None: every ServiceAccount except ``default``."""

    namespaces: frozenset[str]
    entries: Mapping[ServiceAccount, str] | None = None
    quarantined: frozenset[ServiceAccount] = field(default_factory=frozenset)

    @classmethod
    def declared(cls, declaration: Declaration) -> Self:
        """The agents that the values declare, and the proxy."""
        entries = {ServiceAccount(each.namespace, each.name): each.entry for each in declaration.identities}
        quarantined = frozenset(ServiceAccount(each.namespace, each.name) for each in declaration.quarantined)
        return cls(frozenset(account.namespace for account in entries), entries, quarantined)

    @classmethod
    def of_namespaces(cls, namespaces: Iterable[str]) -> Self:
        """Every ServiceAccount of these namespaces except ``default``, if there are no values."""
        return cls(frozenset(namespaces))

    def is_agent(self, account: ServiceAccount) -> bool:
        """Whether the account is an agent or the proxy. ``default`` is never an agent."""
        if account.name == _DEFAULT:
            return False
        return account in self.entries if self.entries is not None else account.namespace in self.namespaces
