"""The RBAC authorizer: whether a user may send a request, and the bindings that allow it.

The decisions are those of k8s.io/kubernetes pkg/registry/rbac/validation/rule.go (VisitRulesFor) and
plugin/pkg/auth/authorizer/rbac. The API server reads bindings in random order and stops at the first that allows the
request. This module returns all of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agent_identities.rbac.match import ALL, rule_reaches, verb_matches
from agent_identities.rbac.model import Binding, Policy, PolicyRule, Role, Subject
from agent_identities.rbac.reason import allowed_by
from agent_identities.rbac.request import MASTERS_GROUP, Request, ServiceAccount, User

CLUSTER_WIDE = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """A rule that a user has, with the binding, its role and its subject, and the namespace.

    `namespace` is empty for a ClusterRoleBinding. `subject` is the first subject of the binding that matches the user.
    """

    namespace: str
    binding: Binding
    role: Role
    subject: Subject
    rule: PolicyRule

    @property
    def reason(self) -> str:
        """The audit annotation authorization.k8s.io/reason of the API server for a request that this grant allows."""
        return allowed_by(self.binding, self.subject)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request is allowed.

    `by` has one grant for every binding that allows the request. It is empty for system:masters, which the API server
    allows before RBAC. `dangling` are the applicable bindings of the user whose role does not exist.
    """

    allowed: bool
    by: tuple[Grant, ...] = ()
    dangling: tuple[Binding, ...] = ()


class _Bound(NamedTuple):
    """A binding and the position of the matching subject. Sorts by binding, then by position."""

    order: int
    position: int
    binding: Binding
    role: Role | None

    def grant(self, rule: PolicyRule, role: Role) -> Grant:
        return Grant(self.binding.namespace, self.binding, role, self.binding.subjects[self.position], rule)


_ByNamespace = dict[str, list[_Bound]]
_Held = tuple[tuple[_Bound, Role, PolicyRule], ...]


class _Reach(NamedTuple):
    """The rules of a user in a namespace, by verb and for all other verbs, and the decision if no rule allows."""

    by_verb: dict[str, _Held]
    any_verb: _Held
    otherwise: Decision


_MASTERS = _Reach({}, (), Decision(allowed=True))


def _reach(bounds: Sequence[_Bound]) -> _Reach:
    held = [(bound, bound.role, rule) for bound in bounds if bound.role for rule in bound.role.rules]
    verbs = {verb for _, _, rule in held for verb in rule.verbs} - {ALL}
    by_verb = {verb: tuple(each for each in held if verb_matches(each[2], verb)) for verb in verbs}
    dangling = tuple(bound.binding for bound in bounds if bound.role is None)
    any_verb = tuple(each for each in held if ALL in each[2].verbs)
    return _Reach(by_verb, any_verb, Decision(allowed=False, dangling=dangling))


class Authorizer:
    """Decides requests for one policy.

    Bindings are indexed by subject: the time of a decision depends on the rules of the user, not on the size of the
    policy. The rules of a user in a namespace are computed once.
    """

    def __init__(self, policy: Policy) -> None:
        roles: dict[tuple[str, str, str], Role] = {
            (role.kind, role.namespace, role.name): role for role in policy.roles
        }
        self._by_user: dict[str, _ByNamespace] = {}
        self._by_group: dict[str, _ByNamespace] = {}
        self._reaches: dict[tuple[str, tuple[str, ...], str], _Reach] = {}
        # ClusterRoleBindings first, as in VisitRulesFor. Sorted, so that the result does not depend on the input order.
        for order, binding in enumerate(sorted(policy.bindings, key=lambda b: (b.kind, b.namespace, b.name))):
            role_namespace = binding.namespace if binding.role_ref.kind == "Role" else ""
            role = roles.get((binding.role_ref.kind, role_namespace, binding.role_ref.name))
            self._add(order, binding, role)

    def _add(self, order: int, binding: Binding, role: Role | None) -> None:
        seen: set[tuple[str, str]] = set()
        for position, subject in enumerate(binding.subjects):
            key = authenticated_as(subject, binding.namespace)
            if key is None or key in seen:
                continue
            seen.add(key)
            kind, name = key
            index = self._by_group if kind == "Group" else self._by_user
            index.setdefault(name, {}).setdefault(binding.namespace, []).append(_Bound(order, position, binding, role))

    def decide(self, user: User, request: Request) -> Decision:
        """Decide a request of a user. A RoleBinding applies only to resource requests in its namespace."""
        namespace = CLUSTER_WIDE if request.path else request.namespace
        reach = self._reaches.get((user.name, user.groups, namespace))
        if reach is None:
            bounds = self._bound_in(user, namespace)
            reach = _MASTERS if MASTERS_GROUP in user.groups else _reach(bounds)
            self._reaches[user.name, user.groups, namespace] = reach
        by: list[Grant] = []
        last = -1
        for bound, role, rule in reach.by_verb.get(request.verb, reach.any_verb):
            if bound.order != last and rule_reaches(rule, request):
                by.append(bound.grant(rule, role))
                last = bound.order
        return Decision(allowed=True, by=tuple(by), dangling=reach.otherwise.dangling) if by else reach.otherwise

    def rules_for(self, user: User, namespace: str) -> tuple[PolicyRule, ...]:
        """Every rule that applies to `user` in `namespace`: first cluster-wide rules, then rules of the namespace.

        With an empty namespace, only cluster-wide rules. system:masters has no rules, because its rights do not come
        from RBAC.
        """
        bounds = self._bound_in(user, namespace)
        return tuple(rule for bound in bounds if bound.role for rule in bound.role.rules)

    def grants_for(self, user: User) -> tuple[Grant, ...]:
        """Every rule of `user` in all namespaces. Cluster-wide rules first, then by namespace and binding."""
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
    """Each binding once, with its first matching subject, in the order of the policy."""
    first: dict[int, _Bound] = {}
    for bound in sorted(bounds, key=lambda bound: bound[:2]):
        first.setdefault(bound.order, bound)
    return list(first.values())


def authenticated_as(subject: Subject, binding_namespace: str) -> tuple[str, str] | None:
    """The user or group that a subject matches, or None for a subject that matches no user.

    A ServiceAccount without a namespace is in the namespace of the binding. In a ClusterRoleBinding it matches no user.
    """
    if subject.kind in ("User", "Group"):
        return subject.kind, subject.name
    namespace = subject.namespace or binding_namespace
    if subject.kind != "ServiceAccount" or not namespace:
        return None
    return "User", ServiceAccount(namespace, subject.name).username
