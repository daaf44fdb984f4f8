"""Whose a request is: the ServiceAccounts that are agents, by the values or by their namespace."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from agent_identities.declaration import Declaration
from agent_identities.rbac.request import SERVICE_ACCOUNT_USER

_PREFIX = f"{SERVICE_ACCOUNT_USER}:"
_DEFAULT = "default"


class Account(NamedTuple):
    """A ServiceAccount."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def username(self) -> str:
        """As the API server knows it."""
        return f"{_PREFIX}{self.namespace}:{self.name}"


def account_of(username: str) -> Account | None:
    """The ServiceAccount behind a user name; None where it is another user."""
    if not username.startswith(_PREFIX):
        return None
    namespace, colon, name = username[len(_PREFIX) :].partition(":")
    return Account(namespace, name) if colon and namespace and name else None


@dataclass(frozen=True, slots=True)
class AgentAccounts:
    """``entries``: the declared ones, with their key in the values; None: every ServiceAccount but ``default``."""

    namespaces: frozenset[str]
    entries: Mapping[Account, str] | None = None
    quarantined: frozenset[Account] = field(default_factory=frozenset)

    @classmethod
    def declared(cls, declaration: Declaration) -> Self:
        """Those of a set of values, the proxy among them."""
        entries = {Account(one.namespace, one.name): one.entry for one in declaration.identities}
        quarantined = frozenset(Account(one.namespace, one.name) for one in declaration.quarantined)
        return cls(frozenset(account.namespace for account in entries), entries, quarantined)

    @classmethod
    def of_namespaces(cls, namespaces: Iterable[str]) -> Self:
        """Every ServiceAccount of these namespaces, without values to tell agents from others."""
        return cls(frozenset(namespaces))

    def is_one(self, account: Account) -> bool:
        """Whether the account is an agent (or the proxy); nobody may be ``default``."""
        if account.name == _DEFAULT:
            return False
        return account in self.entries if self.entries is not None else account.namespace in self.namespaces
