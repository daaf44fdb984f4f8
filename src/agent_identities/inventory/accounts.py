"""The ServiceAccounts in the namespaces of the agents, and those that the values do not declare."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from agent_identities.chart.names import AGENT_LABEL, RELEASE_LABEL
from agent_identities.declaration import Declaration, Identity
from agent_identities.inventory.model import NotRead
from agent_identities.kube.client import Api, ApiError
from agent_identities.kube.fanout import fan_out

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UndeclaredAccount:
    """A ServiceAccount with the label of an agent that the values do not declare."""

    namespace: str
    name: str
    release: str


@dataclass(frozen=True, slots=True)
class Accounts:
    """ServiceAccounts by (namespace, name).

    If the caller may not list a namespace: only the declared ones there, and ``not_read`` says so.
    """

    by_key: Mapping[tuple[str, str], Manifest]
    not_read: tuple[NotRead, ...] = ()

    def of(self, identity: Identity) -> Manifest | None:
        """The ServiceAccount of an identity; None if it does not exist."""
        return self.by_key.get((identity.namespace, identity.name))

    def undeclared(self, declaration: Declaration) -> tuple[UndeclaredAccount, ...]:
        """The ServiceAccounts with the label of an agent that the values do not declare, not even as quarantined."""
        declared = {(one.namespace, one.name) for one in declaration.identities}
        return tuple(
            UndeclaredAccount(*key, labels.get(RELEASE_LABEL, ""))
            for key, account in sorted(self.by_key.items(), key=lambda item: item[0])
            if AGENT_LABEL in (labels := account["metadata"].get("labels") or {}) and key not in declared
        )


def read_accounts(api: Api, declaration: Declaration) -> Accounts:
    """The ServiceAccounts in the namespaces of the identities. Raises ApiError if neither list nor get is allowed."""
    found: dict[tuple[str, str], Manifest] = {}
    not_read: list[NotRead] = []
    for namespace in sorted({one.namespace for one in declaration.identities}):
        try:
            items = api.list_all(_path(namespace))
        except ApiError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            items = _each(api, declaration, namespace)
            consequence = "ServiceAccounts with the label of an agent that the values do not declare"
            what = f"ServiceAccounts in namespace {namespace} that the values do not declare"
            not_read.append(NotRead(what, consequence, str(error)))
        found |= {(namespace, item["metadata"]["name"]): item for item in items}
    return Accounts(found, tuple(not_read))


def _each(api: Api, declaration: Declaration, namespace: str) -> list[dict[str, Any]]:
    """The declared ServiceAccounts that exist, each by its name."""
    names = [one.name for one in declaration.identities if one.namespace == namespace]
    found = fan_out(lambda name: _account(api, namespace, name), names, abort=api.abort)
    return [account for account in found if account is not None]


def _account(api: Api, namespace: str, name: str) -> dict[str, Any] | None:
    try:
        return api.get(f"{_path(namespace)}/{quote(name, safe='')}")
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return None


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/serviceaccounts"
