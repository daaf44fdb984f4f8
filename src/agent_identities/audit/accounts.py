"""Whose a request is: the ServiceAccounts that are agents, by the values or by their namespace."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from agent_identities.declaration import Declaration
from agent_identities.rbac import ServiceAccount

_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class AgentAccounts:
    """``entries``: the declared ones, with their key in the values; None: every ServiceAccount but ``default``."""

    namespaces: frozenset[str]
    entries: Mapping[ServiceAccount, str] | None = None
    quarantined: frozenset[ServiceAccount] = field(default_factory=frozenset)

    @classmethod
    def declared(cls, declaration: Declaration) -> Self:
        """Those of a set of values, the proxy among them."""
        entries = {ServiceAccount(one.namespace, one.name): one.entry for one in declaration.identities}
        quarantined = frozenset(ServiceAccount(one.namespace, one.name) for one in declaration.quarantined)
        return cls(frozenset(account.namespace for account in entries), entries, quarantined)

    @classmethod
    def of_namespaces(cls, namespaces: Iterable[str]) -> Self:
        """Every ServiceAccount of these namespaces, without values to tell agents from others."""
        return cls(frozenset(namespaces))

    def is_one(self, account: ServiceAccount) -> bool:
        """Whether the account is an agent (or the proxy); nobody may be ``default``."""
        if account.name == _DEFAULT:
            return False
        return account in self.entries if self.entries is not None else account.namespace in self.namespaces
