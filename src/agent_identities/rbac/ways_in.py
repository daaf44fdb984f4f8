"""Who may become a ServiceAccount: the subjects of all bindings whose rules open one of the ways in ``ways``.

The reverse of the authorizer. It starts from the requests and looks for the subjects: each role is compared with the
requests once, and each combination of roles that a subject holds is judged once. The time grows with the bindings and
with the rules of their roles, not with the number of ServiceAccounts.

Chains are not followed, except by impersonation of users and groups: a subject that can become another subject, which
can become the ServiceAccount, is found by ``ways_in`` for the other subject.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

from agent_identities.rbac.authorizer import authenticated_as
from agent_identities.rbac.match import ALL
from agent_identities.rbac.model import Binding, Policy, PolicyRule, Role, Subject
from agent_identities.rbac.request import (
    AUTHENTICATED_GROUP,
    MASTERS_GROUP,
    SERVICE_ACCOUNTS_GROUP,
    Request,
    ServiceAccount,
)
from agent_identities.rbac.ways import WAYS, Ask, Name, Objects, Way, Where

CLUSTER_WIDE = ""
Accounts = frozenset[str]
NOBODY: Accounts = frozenset()

_Key = tuple[str, str]
_AUTHENTICATED: _Key = ("Group", AUTHENTICATED_GROUP)
_NOT_AUTHENTICATED = ("system:unauthenticated", AUTHENTICATED_GROUP)


@dataclass(frozen=True, slots=True)
class Target:
    """The ServiceAccounts of one namespace, and the objects that decide which of them a request reaches.

    ``objects``: kind, then namespace ("" if cluster-scoped), then name, then the ServiceAccounts that the object
    belongs to. A kind that is absent was not read: a request for a named object then counts for every ServiceAccount.
    """

    namespace: str
    accounts: Accounts
    objects: Mapping[Objects, Mapping[str, Mapping[str, Accounts]]] = field(default_factory=dict)

    @property
    def role_namespaces(self) -> frozenset[str]:
        """The namespace, and those of other Roles of the ServiceAccounts."""
        roles = (self.objects.get(kind, {}) for kind in (Objects.ROLES, Objects.ABSENT_ROLES))
        return frozenset((self.namespace, *(namespace for each in roles for namespace in each)))


class Bound(NamedTuple):
    """A binding, its role, and the position of the subject in the binding."""

    binding: Binding
    role: Role
    position: int


class Step(NamedTuple):
    """A request that a subject may send. ``bound`` is the position in ``SubjectWays.bound`` of what allows it."""

    request: Request
    bound: int


class Opening(NamedTuple):
    """An alternative of a way that is open, the ServiceAccounts that it reaches, and the shortest requests."""

    way: Way
    accounts: Accounts
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class SubjectWays:
    """The ways that are open to a subject.

    ``kind`` is User or Group, ``name`` the name of the user or group. ``bound`` are its bindings that open the ways,
    then bindings of groups that it is in. ``administrator``: it may do everything in the whole cluster, and
    ``openings`` is empty.
    """

    kind: str
    name: str
    bound: tuple[Bound, ...]
    openings: tuple[Opening, ...] = ()
    administrator: bool = False

    @property
    def subject(self) -> Subject:
        """The subject, as ServiceAccount if it is one."""
        account = ServiceAccount.of_user(self.name) if self.kind == "User" else None
        return Subject("ServiceAccount", account.name, account.namespace) if account else Subject(self.kind, self.name)


class _Hit(NamedTuple):
    """What a role allows of an `Ask` in a namespace. ``names`` is None if the rule has no names."""

    request: Request
    accounts: Accounts
    names: frozenset[str] | None


_Hits = Mapping[Ask, Mapping[str, _Hit]]
"""By ask, then by the namespace of the request."""


def ways_in(policy: Policy, target: Target, ways: Iterable[Way] = WAYS) -> tuple[SubjectWays, ...]:
    """The subjects of the policy that may become one of the ServiceAccounts, in the order of their names.

    ``system:masters``, which the API server allows everything before RBAC, is in the result only if a binding names it.
    """
    return _Search(policy, target, tuple(ways)).subjects()


def is_administrator(role: Role) -> bool:
    """Whether one rule of the role allows all requests for resources."""
    return any(
        ALL in rule.verbs and ALL in rule.api_groups and ALL in rule.resources and not rule.resource_names
        for rule in role.rules
    )


class _Search:
    def __init__(self, policy: Policy, target: Target, ways: tuple[Way, ...]) -> None:
        self._target = target
        self._ways = ways
        self._index = _Index((ask for way in ways for steps in way.requires for ask in steps), target)
        self._known: dict[tuple[Objects, str], Mapping[str, Accounts] | None] = {}
        self._hits: dict[tuple[int, str], _Hits] = {}
        self._judged: dict[tuple[tuple[int, ...], int], tuple[Opening, ...]] = {}
        self._held: dict[_Key, list[tuple[Bound, _Hits]]] = {}
        self._administrators: dict[_Key, list[Bound]] = {}
        self._chains = False
        self._privileged: dict[Objects | None, set[str]] = {
            Objects.USERS: set(),
            Objects.GROUPS: {MASTERS_GROUP, f"{SERVICE_ACCOUNTS_GROUP}:{target.namespace}"},
        }
        roles: dict[tuple[str, str, str], Role] = {
            (role.kind, role.namespace, role.name): role for role in policy.roles
        }
        for binding in policy.bindings:
            where = binding.namespace if binding.role_ref.kind == "Role" else ""
            role = roles.get((binding.role_ref.kind, where, binding.role_ref.name))
            if role is not None:
                self._add(binding, role)

    def _add(self, binding: Binding, role: Role) -> None:
        administrator = not binding.namespace and is_administrator(role)
        hits = {} if administrator else self._allowed(role, binding.namespace)
        if not (hits or administrator):
            return
        for position, subject in enumerate(binding.subjects):
            key = authenticated_as(subject, binding.namespace)
            if key is None:
                continue
            bound = Bound(binding, role, position)
            if administrator:
                self._administrators.setdefault(key, []).append(bound)
            else:
                self._held.setdefault(key, []).append((bound, hits))

    def subjects(self) -> tuple[SubjectWays, ...]:
        """Judge all subjects; again while impersonation of a subject that was found opens a way to another one."""
        found: dict[_Key, SubjectWays] = {
            key: SubjectWays(*key, tuple(bound), administrator=True) for key, bound in self._administrators.items()
        }
        before, self._chains = -1, True
        while self._chains and len(found) > before:
            before = len(found)
            for kind, name in found:
                if kind == "Group":
                    self._privileged[Objects.GROUPS].add(name)
                elif ServiceAccount.of_user(name) is None:  # such a name is impersonated as ServiceAccount
                    self._privileged[Objects.USERS].add(name)
            self._judged.clear()
            self._chains = False
            for key in self._held.keys() - self._administrators.keys():
                if (ways := self._subject(key)).openings:
                    found[key] = ways
        return tuple(found[key] for key in sorted(found))

    def _subject(self, key: _Key) -> SubjectWays:
        own = self._held[key]
        held = (*own, *(each for group in _groups(key) for each in self._held.get(group, ())))
        known = (tuple(id(hits) for _, hits in held), len(own))
        openings = self._judged.get(known)
        if openings is None:
            openings = tuple(self._openings([hits for _, hits in held], len(own)))
            self._judged[known] = openings
        bound = tuple(bound for bound, _ in held)
        return SubjectWays(*key, bound, tuple(_in_namespaces(each, bound) for each in openings))

    def _openings(self, held: list[_Hits], own: int) -> Iterator[Opening]:
        """The first ``own`` of ``held`` are the subject's, the others those of its groups."""
        for way in self._ways:
            for steps in way.requires:
                reach = held[:own] if len(steps) == 1 else held
                found = [[(n, hit) for n, hits in enumerate(reach) for hit in self._of(hits, ask)] for ask in steps]
                if all(found):
                    yield from _opened(way, steps, found, own)

    def _of(self, hits: _Hits, ask: Ask) -> Iterator[_Hit]:
        """The hits of an ask; impersonation of a user or group only if the user or group can become the account."""
        for hit in hits.get(ask, {}).values():
            if hit.names is None or ask.objects not in self._privileged:
                yield hit
                continue
            self._chains = True
            if reached := sorted(hit.names & self._privileged[ask.objects]):
                yield hit._replace(request=hit.request._replace(name=reached[0]))

    def _allowed(self, role: Role, namespace: str) -> _Hits:
        """What the role allows of all asks if it is bound in the namespace, or cluster-wide.

        In namespaces that no ask names, the result of the role is shared.
        """
        key = (id(role), namespace if not namespace or namespace in self._index.named else "*")
        known = self._hits.get(key)
        if known is None:
            found: dict[Ask, dict[str, _Hit]] = {}
            for rule in role.rules:
                self._match(rule, namespace, found)
            known = self._hits[key] = found
        return known

    def _match(self, rule: PolicyRule, namespace: str, found: dict[Ask, dict[str, _Hit]]) -> None:
        for item in rule.resources:
            for ask in self._index.asks(item, elsewhere=namespace not in self._index.named):
                for verb in _verbs(rule, ask):
                    reached = list(self._reached(rule, item, ask, verb, namespace))
                    for hit in reached:
                        _merge(found.setdefault(ask, {}), hit, ask)
                    if reached:
                        break

    def _reached(self, rule: PolicyRule, item: str, ask: Ask, verb: str, namespace: str) -> Iterator[_Hit]:
        """What a rule that matches verb, group and resource allows: one hit for each namespace with names."""
        if ask.where is Where.ANYWHERE:
            if hit := _anywhere(rule, item, ask, verb, namespace):
                yield hit
            return
        names = _allowed_names(rule, ask, verb)
        asked = (self._hit(ask, verb, where, names) for where in self._index.namespaces(ask, namespace))
        hits = [each for each in asked if each is not None]
        if names is None and hits:
            yield hits[0]._replace(accounts=union(hit.accounts for hit in hits))
        else:
            yield from hits

    def _hit(self, ask: Ask, verb: str, namespace: str, names: frozenset[str] | None) -> _Hit | None:
        resource, _, subresource = ask.resource.partition("/")
        request = Request(verb, ask.group, resource, subresource, namespace=namespace)
        known = self._objects(ask, namespace)
        reached = names
        if known is None or (names is None and ask.objects is Objects.PODS):
            accounts = self._target.accounts
        elif names is None or ask.name is not Name.OBJECT:
            accounts = union(known.values())
        else:
            reached = names & known.keys()
            accounts = union(known[name] for name in reached)
        if not accounts or reached == NOBODY:
            return None
        if reached:
            request = request._replace(name=min(reached))
        elif ask.names:
            request = request._replace(name=ask.names[0])
        elif ask.objects is Objects.ACCOUNTS and len(accounts) == 1 and verb != "deletecollection":
            request = request._replace(name=next(iter(accounts)))
        return _Hit(request, accounts, reached)

    def _objects(self, ask: Ask, namespace: str) -> Mapping[str, Accounts] | None:
        """The objects of an ask by name. None: the names do not decide, or are not known."""
        kind = ask.objects
        if kind is None or kind in self._privileged:
            return None
        key = (kind, namespace)
        if key not in self._known:
            read = self._target.objects
            self._known[key] = read[kind].get(namespace, {}) if kind in read else None
            if kind is Objects.ACCOUNTS:
                self._known[key] = {name: frozenset((name,)) for name in self._target.accounts}
        return self._known[key]


def _opened(way: Way, steps: tuple[Ask, ...], found: list[list[tuple[int, _Hit]]], own: int) -> Iterator[Opening]:
    if len(steps) == 1:
        for number, hit in found[0]:
            yield Opening(way, hit.accounts, (Step(hit.request, number),))
        return
    for combination in product(*found):
        if all(number >= own for number, _ in combination):
            continue  # a way of the group itself
        if _for_the_same_object(steps, [hit for _, hit in combination]):
            accounts = union(hit.accounts for _, hit in found[0])
            yield Opening(way, accounts, tuple(Step(hit.request, number) for number, hit in combination))
            return


def _for_the_same_object(steps: tuple[Ask, ...], hits: list[_Hit]) -> bool:
    return all(
        not ask.same or before.names is None or hit.names is None or before.names & hit.names
        for ask, before, hit in zip(steps[1:], hits, hits[1:], strict=False)
    )


def _in_namespaces(opening: Opening, bound: tuple[Bound, ...]) -> Opening:
    """The opening with the namespaces of this subject's bindings: subjects with the same roles share openings."""
    if len(opening.steps) == 1:
        return opening
    steps = (
        step._replace(request=step.request._replace(namespace=bound[step.bound].binding.namespace))
        if bound[step.bound].binding.namespace
        else step
        for step in opening.steps
    )
    return opening._replace(steps=tuple(steps))


class _Index:
    """The asks by the resource of a rule, and the namespaces of their requests."""

    def __init__(self, asks: Iterable[Ask], target: Target) -> None:
        every = tuple(dict.fromkeys(asks))
        roles = target.role_namespaces
        self._namespaces = {
            Where.HOME: (target.namespace,),
            Where.ROLES: (target.namespace, *sorted(roles - {target.namespace})),
            Where.CLUSTER: (CLUSTER_WIDE,),
        }
        self.named: frozenset[str] = roles | {CLUSTER_WIDE} | {ask.namespace for ask in every}
        self._by_resource: dict[bool, dict[str, list[Ask]]] = {False: {}, True: {}}
        self._any_resource: dict[bool, list[Ask]] = {False: [], True: []}
        self._all: dict[bool, list[Ask]] = {False: [], True: []}
        for ask in every:
            for elsewhere in (False, True):
                if not elsewhere or ask.where is Where.ANYWHERE:
                    self._enter(ask, elsewhere=elsewhere)

    def _enter(self, ask: Ask, *, elsewhere: bool) -> None:
        self._all[elsewhere].append(ask)
        if ask.resource == ALL:
            self._any_resource[elsewhere].append(ask)
        for spelling in _spellings(ask.resource):
            self._by_resource[elsewhere].setdefault(spelling, []).append(ask)

    def asks(self, item: str, *, elsewhere: bool) -> Iterable[Ask]:
        """The asks that a rule with this resource may allow; ``elsewhere``: in a namespace that no ask names."""
        if item == ALL:
            return self._all[elsewhere]
        return (*self._by_resource[elsewhere].get(item, ()), *self._any_resource[elsewhere])

    def namespaces(self, ask: Ask, bound_in: str) -> Iterable[str]:
        """The namespaces of the requests that a binding in this namespace can allow; "" is a ClusterRoleBinding."""
        requests = (ask.namespace,) if ask.namespace else self._namespaces[ask.where]
        return [where for where in requests if bound_in in (CLUSTER_WIDE, where)]


def _spellings(resource: str) -> tuple[str, ...]:
    """The resources of rules that match a resource, besides ``*``."""
    if resource == ALL:
        return ()
    _, slash, subresource = resource.partition("/")
    return (resource, f"{ALL}/{subresource}") if slash else (resource,)


def _verbs(rule: PolicyRule, ask: Ask) -> Iterator[str]:
    """The verbs of the ask that the rule allows. A verb that ends with ``:`` is a prefix."""
    if ask.resource != ALL and ALL not in rule.api_groups and ask.group not in rule.api_groups:
        return
    for verb in ask.verbs:
        if verb.endswith(":"):
            if ALL in rule.verbs:
                yield f"{verb}get"
            yield from (each for each in rule.verbs if each.startswith(verb))
        elif ALL in rule.verbs or verb in rule.verbs:
            yield verb


def _allowed_names(rule: PolicyRule, ask: Ask, verb: str) -> frozenset[str] | None:
    """The names of requests that the rule allows. None: all of them. Empty: no request of the ask."""
    if not rule.resource_names:
        return None
    nameless = ask.name is Name.NONE or verb == "deletecollection" or (verb == "create" and "/" not in ask.resource)
    if "" in rule.resource_names and (nameless or verb in ("list", "watch")):
        return None  # ResourceNameMatches of k8s.io/kubernetes: such a rule matches requests without a name
    if nameless:
        return NOBODY
    names = frozenset(rule.resource_names) - {""}
    if ask.names:
        names &= frozenset(ask.names)
    return frozenset(name for name in names if name.startswith(ask.prefix)) if ask.prefix else names


def _anywhere(rule: PolicyRule, item: str, ask: Ask, verb: str, namespace: str) -> _Hit | None:
    """A request of an ask without a namespace or, with resource ``*``, without a resource."""
    resource, _, subresource = (item if ask.resource == ALL else ask.resource).partition("/")
    if subresource == ALL:  # `pods/*` in a rule matches no request
        return None
    group = ask.group if ask.resource != ALL else next((each for each in rule.api_groups if each != ALL), "")
    name = next((name for name in rule.resource_names if name), "")
    resource = "pods" if resource == ALL else resource
    return _Hit(Request(verb, group, resource, subresource, name, namespace), frozenset(("",)), None)


def _merge(hits: dict[str, _Hit], hit: _Hit, ask: Ask) -> None:
    """Add what a further rule of the same role allows. A rule without names contains the others.

    Of two requests, the one with the more direct verb is kept.
    """
    namespace = hit.request.namespace
    known = hits.get(namespace)
    if known is None:
        hits[namespace] = hit
    elif known.names is None or hit.names is None:
        broad = min((each for each in (known, hit) if each.names is None), key=lambda each: _directness(each, ask))
        hits[namespace] = broad._replace(accounts=union((known.accounts, hit.accounts)))
    else:
        hits[namespace] = known._replace(accounts=union((known.accounts, hit.accounts)), names=known.names | hit.names)


def _directness(hit: _Hit, ask: Ask) -> int:
    return ask.verbs.index(hit.request.verb) if hit.request.verb in ask.verbs else len(ask.verbs)


def union(sets: Iterable[Accounts]) -> Accounts:
    """The union; the set itself if there is only one, since sets of thousands of accounts are shared."""
    distinct = {id(each): each for each in sets}
    return next(iter(distinct.values())) if len(distinct) == 1 else NOBODY.union(*distinct.values())


def _groups(key: _Key) -> Iterator[_Key]:
    """The groups that every user with this name, or every member of this group, is in."""
    kind, name = key
    if kind == "User" and (account := ServiceAccount.of_user(name)):
        yield from (("Group", SERVICE_ACCOUNTS_GROUP), ("Group", f"{SERVICE_ACCOUNTS_GROUP}:{account.namespace}"))
    if kind == "Group" and name.startswith(f"{SERVICE_ACCOUNTS_GROUP}:"):
        yield ("Group", SERVICE_ACCOUNTS_GROUP)
    if kind == "User" or name not in _NOT_AUTHENTICATED:
        yield _AUTHENTICATED
