"""The ServiceAccounts of agents on a cluster, and those that the values do not declare."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent_identities.chart.names import AGENT_LABEL, RELEASE_LABEL
from agent_identities.declaration import Declaration
from agent_identities.kube.client import Api

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class UndeclaredAccount:
    """A ServiceAccount with the label of an agent that the values do not declare."""

    namespace: str
    name: str
    release: str


def service_accounts(api: Api, declaration: Declaration) -> dict[tuple[str, str], Labels]:
    """The labels of each ServiceAccount, by (namespace, name), in the namespaces of the identities. Raises ApiError."""
    return {
        (namespace, item["metadata"]["name"]): item["metadata"].get("labels") or {}
        for namespace in sorted({one.namespace for one in declaration.identities})
        for item in api.list_all(f"/api/v1/namespaces/{namespace}/serviceaccounts")
    }


def undeclared_accounts(
    accounts: Mapping[tuple[str, str], Labels], declaration: Declaration
) -> tuple[UndeclaredAccount, ...]:
    """The ServiceAccounts with the label of an agent that the values do not declare."""
    declared = {(one.namespace, one.name) for one in (declaration.proxy, *declaration.agents)}
    return tuple(
        UndeclaredAccount(*key, labels.get(RELEASE_LABEL, ""))
        for key, labels in sorted(accounts.items(), key=lambda item: item[0])
        if AGENT_LABEL in labels and key not in declared
    )
