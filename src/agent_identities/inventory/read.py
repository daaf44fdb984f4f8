"""Read objects of a whole cluster, or of the namespaces that the caller may list."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from agent_identities.declaration import EVERYWHERE, Declaration
from agent_identities.inventory.model import NotRead
from agent_identities.kube.client import DEFAULT_CONCURRENCY, Api, ApiError
from agent_identities.kube.discovery import Discovered, discover
from agent_identities.kube.fanout import fan_out
from agent_identities.kube.roles import RBAC, find_role
from agent_identities.rbac import Binding, Policy, Role, RoleRef
from agent_identities.rbac.served import UNKNOWN, Served

_Made = TypeVar("_Made")

_ROLES = "rights that a binding gives an agent"
_BINDINGS = "bindings that give an agent rights, or that let somebody become an agent"
_RULES = "rules that no request can use"


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What could be read. ``policy``: roles and bindings, of all namespaces if the caller may list them there.

    The rules of aggregated ClusterRoles are those on the API server. ``unread_roles`` are the kinds of roles that could
    not be read in all namespaces. ``served``: the resources of the API server.
    """

    policy: Policy
    served: Served = UNKNOWN
    not_read: tuple[NotRead, ...] = ()
    unread_roles: frozenset[str] = frozenset()
    _roles: dict[tuple[str, str, str], Role] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._roles.update({(role.kind, role.namespace, role.name): role for role in self.policy.roles})

    def role(self, ref: RoleRef, namespace: str) -> Role | None:
        """The role that a binding in ``namespace`` refers to; None if it does not exist, or could not be read."""
        return self._roles.get((ref.kind, "" if ref.kind == "ClusterRole" else namespace, ref.name))

    def existing_role(self, api: Api, ref: RoleRef, namespace: str) -> Role | None:
        """The role, read by name if roles could not be listed. None if it does not exist. Raises ApiError."""
        found = self.role(ref, namespace)
        if found is None and ref.kind in self.unread_roles:
            found = find_role(api, ref, namespace)
            if found is not None:
                self._roles[found.kind, found.namespace, found.name] = found
        return found


def read(api: Api, declaration: Declaration, *, concurrency: int = DEFAULT_CONCURRENCY) -> ClusterState:
    """Read the state. What the caller may not list is in ``not_read``. Raises ApiError for all other failures."""
    namespaces = tuple(name for name in declaration.granted_namespaces if name != EVERYWHERE)
    roles: dict[str, tuple[list[Role], list[NotRead]]] = {}
    bindings: dict[str, tuple[list[Binding], list[NotRead]]] = {}
    found: list[Discovered] = []

    def read_roles(kind: str) -> None:
        within = namespaces if kind == "Role" else ()
        make = partial(Role.from_manifest, "Role" if kind == "Role" else "ClusterRole")
        roles[kind] = list_everywhere(api, RBAC, kind, within, _ROLES, make)

    def read_bindings(kind: str) -> None:
        within = namespaces if kind == "RoleBinding" else ()
        make = partial(Binding.from_manifest, "RoleBinding" if kind == "RoleBinding" else "ClusterRoleBinding")
        bindings[kind] = list_everywhere(api, RBAC, kind, within, _BINDINGS, make)

    works: list[Callable[[], None]] = [
        *(partial(read_bindings, kind) for kind in ("RoleBinding", "ClusterRoleBinding")),
        *(partial(read_roles, kind) for kind in ("ClusterRole", "Role")),
        lambda: found.append(discover(api, concurrency=concurrency)),
    ]
    fan_out(lambda work: work(), works, concurrency=concurrency, abort=api.abort)
    kinds = ("ClusterRole", "Role"), ("ClusterRoleBinding", "RoleBinding")
    (discovered,) = found
    return ClusterState(
        Policy(
            tuple(role for kind in kinds[0] for role in roles[kind][0]),
            tuple(binding for kind in kinds[1] for binding in bindings[kind][0]),
        ),
        discovered.served,
        (
            *(missing for kind in kinds[0] for missing in roles[kind][1]),
            *(missing for kind in kinds[1] for missing in bindings[kind][1]),
            *_undiscovered(discovered),
        ),
        frozenset(kind for kind in kinds[0] if roles[kind][1]),
    )


def _undiscovered(discovered: Discovered) -> Iterator[NotRead]:
    if not discovered.served.known:
        yield NotRead("The list of resources of the API server", _RULES, "; ".join(discovered.unread.values()))
        return
    for group, why in discovered.unread.items():
        yield NotRead(f"The resources of API group {group or '(core)'}", f"{_RULES}, for this group", why)


def list_everywhere(
    api: Api,
    group: str,
    kind: str,
    namespaces: Iterable[str],
    consequence: str,
    make: Callable[[dict[str, Any]], _Made],
) -> tuple[list[_Made], list[NotRead]]:
    """``make`` of each object of a kind. If the caller may not list all namespaces: of the objects in ``namespaces``.

    ``group`` is the path of the API group and version. Only a page of objects is in memory at a time. Raises ApiError
    for a failure other than 403.
    """
    plural = f"{kind.lower()}s"
    try:
        return api.list_as(f"{group}/{plural}", make), []
    except ApiError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        why = str(error)
    found: list[_Made] = []
    read: list[str] = []
    for namespace in namespaces:
        try:
            found += api.list_as(f"{group}/namespaces/{namespace}/{plural}", make)
            read.append(namespace)
        except ApiError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
    except_these = f" outside namespaces {', '.join(read)}" if read else ""
    return found, [NotRead(f"{kind}s{except_these}", consequence, why)]
