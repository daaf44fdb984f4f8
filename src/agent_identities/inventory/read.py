"""Read objects of a whole cluster, or of the namespaces that the caller may list."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from agent_identities.declaration import EVERYWHERE, Declaration
from agent_identities.inventory.model import NotRead
from agent_identities.kube.client import Api, ApiError
from agent_identities.kube.roles import RBAC
from agent_identities.rbac import Policy

Manifest = Mapping[str, Any]

_ROLES = "rights that a binding gives an agent"
_BINDINGS = "bindings that give an agent rights, or that let somebody become an agent"


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What could be read. ``policy``: roles and bindings, of all namespaces if the caller may list them there."""

    policy: Policy
    not_read: tuple[NotRead, ...] = ()


def read(api: Api, declaration: Declaration) -> ClusterState:
    """Read the state. What the caller may not list is in ``not_read``. Raises ApiError for all other failures."""
    namespaces = tuple(name for name in declaration.granted_namespaces if name != EVERYWHERE)
    manifests: list[Manifest] = []
    not_read: list[NotRead] = []
    for kind, consequence in (
        ("ClusterRole", _ROLES),
        ("Role", _ROLES),
        ("ClusterRoleBinding", _BINDINGS),
        ("RoleBinding", _BINDINGS),
    ):
        within = namespaces if not kind.startswith("Cluster") else ()
        items, missing = list_everywhere(api, RBAC, kind, within, consequence)
        manifests += items
        not_read += missing
    return ClusterState(Policy.from_manifests(manifests), tuple(not_read))


def list_everywhere(
    api: Api, group: str, kind: str, namespaces: Iterable[str], consequence: str
) -> tuple[list[Manifest], list[NotRead]]:
    """All objects of a kind, each with its kind. If the caller may not list all namespaces: those of ``namespaces``.

    ``group`` is the path of the API group and version. Raises ApiError for a failure other than 403.
    """
    plural = f"{kind.lower()}s"
    try:
        return _of_kind(group, kind, api.list_all(f"{group}/{plural}")), []
    except ApiError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        why = str(error)
    found: list[Manifest] = []
    read: list[str] = []
    not_read: list[NotRead] = []
    for namespace in namespaces:
        try:
            found += _of_kind(group, kind, api.list_all(f"{group}/namespaces/{namespace}/{plural}"))
            read.append(namespace)
        except ApiError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
    except_these = f" outside namespaces {', '.join(read)}" if read else ""
    not_read.append(NotRead(f"{kind}s{except_these}", consequence, why))
    return found, not_read


def _of_kind(group: str, kind: str, items: Iterable[Manifest]) -> list[Manifest]:
    """The items with their kind and API version, which the items of a list do not have."""
    return [{**item, "kind": kind, "apiVersion": group.removeprefix("/apis/")} for item in items]
