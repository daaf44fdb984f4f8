"""The RBAC authorizer: who may do what, and by which bindings.

The decision of k8s.io/kubernetes pkg/registry/rbac/validation/rule.go (VisitRulesFor) and of
plugin/pkg/auth/authorizer/rbac. The API server stops at the first binding that allows, in random order; here every one
of them is named.
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
        return allowed_by(self.binding, self.subject)


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
_Held = tuple[tuple[_Bound, Role, PolicyRule], ...]


class _Reach(NamedTuple):
    """What one user holds in one namespace: rules by verb, those for any other verb, and what if no rule allows."""

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
    """Decides requests against one policy.

    Bindings are indexed by subject: a decision costs what the user holds, not what exists. What a user holds in a
    namespace is worked out once.
    """

    def __init__(self, policy: Policy) -> None:
        roles: dict[tuple[str, str, str], Role] = {
            (role.kind, role.namespace, role.name): role for role in policy.roles
        }
        self._by_user: dict[str, _ByNamespace] = {}
        self._by_group: dict[str, _ByNamespace] = {}
        self._reaches: dict[tuple[str, tuple[str, ...], str], _Reach] = {}
        # ClusterRoleBindings first, as VisitRulesFor does; sorted, so that the order of the input changes nothing.
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
        """Decide a request of a user. RoleBindings count only for a resource request in their namespace."""
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


def authenticated_as(subject: Subject, binding_namespace: str) -> tuple[str, str] | None:
    """The user or group that a subject stands for, or None for one that matches nobody.

    A ServiceAccount without a namespace is one of the binding's namespace, so in a ClusterRoleBinding it is nobody.
    """
    if subject.kind in ("User", "Group"):
        return subject.kind, subject.name
    namespace = subject.namespace or binding_namespace
    if subject.kind != "ServiceAccount" or not namespace:
        return None
    return "User", ServiceAccount(namespace, subject.name).username
