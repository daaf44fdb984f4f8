"""Roles on an API server."""

from http import HTTPStatus
from urllib.parse import quote

from agent_identities.kube.client import Api, ApiError
from agent_identities.rbac import PolicyRule, Role, RoleRef
from agent_identities.rbac.model import API_GROUP

RBAC = f"/apis/{API_GROUP}/v1"
"""The path of the RBAC API."""


def role_path(role: RoleRef, namespace: str) -> str:
    """The path of a role that a binding in ``namespace`` refers to."""
    where = f"/namespaces/{namespace}" if role.kind == "Role" else ""
    return f"{RBAC}{where}/{role.kind.lower()}s/{quote(role.name, safe='')}"


def find_role(api: Api, role: RoleRef, namespace: str) -> Role | None:
    """A role with its rules; None if it does not exist. Raises ApiError."""
    try:
        found = api.get(role_path(role, namespace))
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return None
    return Role.from_manifest("Role" if role.kind == "Role" else "ClusterRole", found)


def role_rules(api: Api, role: RoleRef, namespace: str) -> tuple[PolicyRule, ...]:
    """The rules of a role; none if it does not exist. Raises ApiError."""
    found = find_role(api, role, namespace)
    return found.rules if found is not None else ()
