"""The RBAC authorizer: who may do what, and by which bindings.

The decision of k8s.io/kubernetes pkg/registry/rbac/validation/rule.go (VisitRulesFor) and of
plugin/pkg/auth/authorizer/rbac. The API server stops at the first binding that allows, in random order; here every one
of them is named.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from agent_identities.rbac.match import rule_allows
from agent_identities.rbac.model import Binding, Policy, PolicyRule, Role, Subject
from agent_identities.rbac.request import MASTERS_GROUP, SERVICE_ACCOUNT_USER, Request, User

CLUSTER_WIDE = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """One rule that a user holds: by which subject of which binding, to which role, in which namespace.

    `namespace` is empty for a ClusterRoleBinding. `subject` is the binding's first one that the user matches.
    """

    namespace: str
    binding: Binding
    role: Role
    subject: Subject
    rule: PolicyRule

    @property
    def reason(self) -> str:
        """The text of the API server's audit annotation authorization.k8s.io/reason for a request this grant allows."""
        binding, ref, subject = self.binding, self.binding.role_ref, self.subject
        bound = f"{binding.name}/{binding.namespace}" if binding.kind == "RoleBinding" else binding.name
        who = subject.name
        if subject.kind == "ServiceAccount":
            who = f"{subject.name}/{subject.namespace or binding.namespace}"
        return (
            f"RBAC: allowed by {binding.kind} {_quote(bound)} of {ref.kind} {_quote(ref.name)} "
            f"to {subject.kind} {_quote(who)}"
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request is allowed.

    `by` has one grant for every binding that allows it (empty for system:masters, whom the API server lets pass before
    RBAC); `dangling` are the bindings of the user that apply, but whose role does not exist.
    """

    allowed: bool
    by: tuple[Grant, ...] = ()
    dangling: tuple[Binding, ...] = ()


class _Bound(NamedTuple):
    """A binding as one subject reaches it; sorts by binding, then by the position of the subject."""

    order: int
    position: int
    binding: Binding
    role: Role | None

    def grant(self, rule: PolicyRule, role: Role) -> Grant:
        return Grant(self.binding.namespace, self.binding, role, self.binding.subjects[self.position], rule)


_ByNamespace = dict[str, list[_Bound]]


class Authorizer:
    """Decides requests against one policy.

    Bindings are indexed by subject: a decision costs what the user holds, not what exists.
    """

    def __init__(self, policy: Policy) -> None:
        roles: dict[tuple[str, str, str], Role] = {
            (role.kind, role.namespace, role.name): role for role in policy.roles
        }
        self._by_user: dict[str, _ByNamespace] = {}
        self._by_group: dict[str, _ByNamespace] = {}
        # ClusterRoleBindings first, as VisitRulesFor does; sorted, so that the order of the input changes nothing.
        for order, binding in enumerate(sorted(policy.bindings, key=lambda b: (b.kind, b.namespace, b.name))):
            role_namespace = binding.namespace if binding.role_ref.kind == "Role" else ""
            role = roles.get((binding.role_ref.kind, role_namespace, binding.role_ref.name))
            self._add(order, binding, role)

    def _add(self, order: int, binding: Binding, role: Role | None) -> None:
        seen: set[tuple[str, str]] = set()
        for position, subject in enumerate(binding.subjects):
            key = _authenticated_as(subject, binding.namespace)
            if key is None or key in seen:
                continue
            seen.add(key)
            kind, name = key
            index = self._by_group if kind == "Group" else self._by_user
            index.setdefault(name, {}).setdefault(binding.namespace, []).append(_Bound(order, position, binding, role))

    def decide(self, request: Request) -> Decision:
        """Decide one request. RoleBindings count only for a resource request in their namespace."""
        if MASTERS_GROUP in request.user.groups:
            return Decision(allowed=True)
        by: list[Grant] = []
        dangling: list[Binding] = []
        for bound in self._bound_in(request.user, request.namespace if request.is_resource_request else CLUSTER_WIDE):
            if bound.role is None:
                dangling.append(bound.binding)
                continue
            for rule in bound.role.rules:
                if rule_allows(rule, request):
                    by.append(bound.grant(rule, bound.role))
                    break
        return Decision(bool(by), tuple(by), tuple(dangling))

    def rules_for(self, user: User, namespace: str) -> tuple[PolicyRule, ...]:
        """Every rule that counts for `user` in `namespace`: those bound cluster-wide, then those bound there.

        With an empty namespace only the former. system:masters has no rules: its rights do not come from RBAC.
        """
        bounds = self._bound_in(user, namespace)
        return tuple(rule for bound in bounds if bound.role for rule in bound.role.rules)

    def grants_for(self, user: User) -> tuple[Grant, ...]:
        """Every rule that `user` holds anywhere, cluster-wide ones first, then by namespace and binding."""
        bounds = (bound for held in self._held(user) for bounds in held.values() for bound in bounds)
        return tuple(
            bound.grant(rule, bound.role) for bound in _distinct(bounds) if bound.role for rule in bound.role.rules
        )

    def _held(self, user: User) -> Iterator[_ByNamespace]:
        if held := self._by_user.get(user.name):
            yield held
        for group in user.groups:
            if held := self._by_group.get(group):
                yield held

    def _bound_in(self, user: User, namespace: str) -> list[_Bound]:
        bounds: list[_Bound] = []
        for held in self._held(user):
            bounds += held.get(CLUSTER_WIDE, ())
            if namespace:
                bounds += held.get(namespace, ())
        return _distinct(bounds) if len(bounds) > 1 else bounds


def _distinct(bounds: Iterable[_Bound]) -> list[_Bound]:
    """Each binding once, reached by its first matching subject, in the policy's order."""
    first: dict[int, _Bound] = {}
    for bound in sorted(bounds, key=lambda bound: bound[:2]):
        first.setdefault(bound.order, bound)
    return list(first.values())


def _authenticated_as(subject: Subject, binding_namespace: str) -> tuple[str, str] | None:
    """The user or group that a subject stands for, or None for one that matches nobody.

    A ServiceAccount without a namespace is one of the binding's namespace, so in a ClusterRoleBinding it is nobody.
    """
    if subject.kind in ("User", "Group"):
        return subject.kind, subject.name
    namespace = subject.namespace or binding_namespace
    if subject.kind != "ServiceAccount" or not namespace:
        return None
    return "User", f"{SERVICE_ACCOUNT_USER}:{namespace}:{subject.name}"


def _quote(text: str) -> str:
    """Go's %q, for the printable texts that names are made of."""
    return json.dumps(text, ensure_ascii=False)
