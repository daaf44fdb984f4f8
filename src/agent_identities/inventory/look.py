"""Look at a cluster: read its state, and compare it with the values."""

from agent_identities.declaration import Declaration
from agent_identities.inventory.binding_findings import binding_findings
from agent_identities.inventory.bindings import undeclared_roles
from agent_identities.inventory.confirm import confirm
from agent_identities.inventory.existing_roles import existing_role_findings
from agent_identities.inventory.model import Inventory
from agent_identities.inventory.read import ClusterState, read
from agent_identities.inventory.unusable import unusable_rules
from agent_identities.kube.client import DEFAULT_CONCURRENCY, Api
from agent_identities.rbac import Catalogue, PolicyRule, RoleRef


def look(
    api: Api, declaration: Declaration, catalogue: Catalogue, *, concurrency: int = DEFAULT_CONCURRENCY
) -> tuple[Declaration, Inventory]:
    """What the cluster has around the agents that the values do not declare. Read-only. Raises ApiError.

    The declaration in the result has the rules of the existing roles that tiers refer to.
    """
    state = read(api, declaration, concurrency=concurrency)
    declaration, absent = _with_existing_roles(api, declaration, state)
    held = undeclared_roles(state, declaration, catalogue)
    answers = confirm(api, held, state.served, concurrency=concurrency)
    unusable = unusable_rules(declaration, state.served)
    found = (
        *binding_findings(held, answers, state.served),
        *existing_role_findings(declaration, catalogue, absent),
        *unusable.findings,
    )
    return declaration, Inventory(found, state.not_read, unusable.notes, held, state.served)


def _with_existing_roles(
    api: Api, declaration: Declaration, state: ClusterState
) -> tuple[Declaration, frozenset[tuple[RoleRef, str]]]:
    """The declaration with the rules of existing roles, and the roles that do not exist."""
    absent: set[tuple[RoleRef, str]] = set()

    def rules_of(ref: RoleRef, namespace: str) -> tuple[PolicyRule, ...]:
        role = state.existing_role(api, ref, namespace)
        if role is None:
            absent.add((ref, namespace))
        return role.rules if role is not None else ()

    return declaration.with_existing_roles(rules_of), frozenset(absent)
