"""Look at a cluster: read its state, and compare it with the values."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

from agent_identities.declaration import Declaration
from agent_identities.inventory import ways_report
from agent_identities.inventory.account_fields import changed_accounts
from agent_identities.inventory.accounts import Accounts
from agent_identities.inventory.binding_findings import binding_findings, foreign_subjects
from agent_identities.inventory.bindings import undeclared_roles
from agent_identities.inventory.confirm import confirm
from agent_identities.inventory.credentials import quarantined_accounts, token_secrets
from agent_identities.inventory.existing_roles import existing_role_findings
from agent_identities.inventory.guards import type_findings
from agent_identities.inventory.model import Inventory, NotRead
from agent_identities.inventory.networks import network_findings
from agent_identities.inventory.objects import AgentObjects, read_objects
from agent_identities.inventory.pod_tokens import pod_tokens
from agent_identities.inventory.pods import other_workloads, pod_findings
from agent_identities.inventory.read import ClusterState, read
from agent_identities.inventory.surroundings import Guards, read_guards, surroundings_on
from agent_identities.inventory.unusable import unusable_rules
from agent_identities.inventory.ways_in import entrants
from agent_identities.inventory.workloads import AgentPod, agent_pods
from agent_identities.kube.client import DEFAULT_CONCURRENCY, Api
from agent_identities.kube.fanout import fan_out
from agent_identities.rbac import Catalogue, PolicyRule, RoleRef
from agent_identities.report.model import Finding


def look(
    api: Api,
    declaration: Declaration,
    catalogue: Catalogue,
    accounts: Accounts,
    *,
    becoming: bool = True,
    concurrency: int = DEFAULT_CONCURRENCY,
) -> tuple[Declaration, Inventory]:
    """What the cluster has around the agents that the values do not declare. Read-only. Raises ApiError.

    ``accounts`` are the ServiceAccounts in the namespaces of the agents, as `read_accounts` returns them. ``becoming``:
    also look for subjects that can become an agent. The declaration in the result has the rules of the existing roles
    that tiers refer to.
    """
    reads: list[Callable[[], ClusterState | AgentObjects | tuple[Guards, tuple[NotRead, ...]]]] = [
        partial(read, api, declaration, concurrency=concurrency),
        partial(read_objects, api, declaration, accounts),
        *((partial(read_guards, api),) if becoming else ()),
    ]
    one, other, *around = fan_out(lambda each: each(), reads, abort=api.abort)
    state, objects = cast("ClusterState", one), cast("AgentObjects", other)
    declaration, absent = _with_existing_roles(api, declaration, state)
    held = undeclared_roles(state, declaration, catalogue)
    answers = confirm(api, held, state.served, concurrency=concurrency)
    unusable = unusable_rules(declaration, state.served)
    pods = agent_pods(objects)
    guards, missing = cast("tuple[Guards, tuple[NotRead, ...]]", around[0]) if around else (None, ())
    become = entrants(declaration, state.policy, surroundings_on(guards, objects)) if guards is not None else None
    found = (
        *binding_findings(held, answers, state.served),
        *foreign_subjects(state.policy.bindings, declaration),
        *existing_role_findings(declaration, catalogue, absent, state.policy.roles),
        *_of_objects(objects, pods),
        *((*ways_report.findings(become), *type_findings(become.guards.values())) if become is not None else ()),
        *unusable.findings,
    )
    not_read = (*accounts.not_read, *state.not_read, *objects.not_read, *missing)
    workloads = other_workloads(objects, pods)
    return declaration, Inventory(found, not_read, unusable.notes, workloads, held, state.served, become)


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


def _of_objects(found: AgentObjects, pods: tuple[AgentPod, ...]) -> Iterator[Finding]:
    """The findings about objects in the namespaces of the agents."""
    yield from quarantined_accounts(found)
    yield from token_secrets(found)
    yield from changed_accounts(found)
    yield from pod_findings(found, pods)
    yield from pod_tokens(found, pods)
    yield from network_findings(found)
