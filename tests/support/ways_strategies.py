"""Hypothesis strategies for policies in which subjects can become a ServiceAccount, and the requests of each way."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Final

from hypothesis import strategies as st

from agent_identities.rbac import Binding, PolicyRule, Request, Role, RoleRef, Subject, User
from agent_identities.rbac.match import ALL
from agent_identities.rbac.model import API_GROUP
from agent_identities.rbac.request import AUTHENTICATED_GROUP
from agent_identities.rbac.ways import WAYS, Ask, Name, Objects, Where
from agent_identities.rbac.ways_in import Accounts, Target
from support.rbac_strategies import tuples

HOME: Final = "n1"
NAMES: Final = ("a", "b", "x", "sh.helm.release.v1.agents.v1", "kubernetes.io/kube-apiserver-client")
EVERYONE: Accounts = frozenset({"a", "b"})
ONE: Accounts = frozenset({"a"})
OTHER_NAMESPACE: Final = "n2"
Privileged = Mapping[Objects, frozenset[str]]
"""The users and groups whose impersonation is a way."""

TARGET: Final = Target(
    HOME,
    EVERYONE,
    {
        **{
            kind: {HOME: {"x": ONE}}
            for kind in (
                Objects.PODS,
                Objects.TOKEN_SECRETS,
                Objects.CONFIGMAPS,
                Objects.TRUST_ANCHOR,
                Objects.SECRETS,
            )
        },
        Objects.ROLES: {HOME: {"x": EVERYONE}, OTHER_NAMESPACE: {"b": ONE}},
        Objects.ABSENT_ROLES: {},
        Objects.CLUSTER_ROLES: {"": {"x": ONE}},
        Objects.ABSENT_CLUSTER_ROLES: {},
        Objects.AGGREGATED: {},
        Objects.POLICIES: {"": {"x": EVERYONE}},
        Objects.POLICY_BINDINGS: {},
    },
)

_ASKS: Final = tuple(dict.fromkeys(ask for way in WAYS for steps in way.requires for ask in steps))
_VERBS: Final = sorted({verb.rstrip(":") for ask in _ASKS for verb in ask.verbs})
_RESOURCES: Final = sorted({ask.resource for ask in _ASKS} | {f"*/{ask.resource.partition('/')[2]}" for ask in _ASKS})


def _rule_of(ask: Ask) -> st.SearchStrategy[PolicyRule]:
    """A rule that is about an ask, and often allows it."""
    if ask.resource == ALL:
        return acting_rules
    verbs = [f"{verb}get" if verb.endswith(":") else verb for verb in ask.verbs]
    return st.builds(
        PolicyRule,
        verbs=tuples(*verbs, most=2),
        api_groups=st.sampled_from([(ask.group,), (ALL,), ("apps", ask.group)]),
        resources=st.just((ask.resource,)),
        resource_names=st.just(()) | tuples(*NAMES, "", "system:masters", "alice", most=2),
    )


ACTED_ON: Final = ("pods", "pods/*", "nodes")
"""The resources of rules with impersonate-on verbs."""

acting_rules = st.builds(
    PolicyRule,
    verbs=tuples("impersonate-on:serviceaccount:get", "impersonate-on:user-info:list", ALL),
    api_groups=tuples("", "apps", ALL),
    resources=tuples(*ACTED_ON, ALL),
)
odd_rules = st.builds(
    PolicyRule,
    verbs=tuples(*_VERBS, ALL),
    api_groups=tuples("", API_GROUP, "apps", "authentication.k8s.io", ALL),
    resources=tuples(*(item for item in _RESOURCES if item != "*/"), "pods/*", "nodes"),
    resource_names=st.just(()) | tuples(*NAMES, "", most=2),
)
_alternatives = st.sampled_from(WAYS).flatmap(lambda way: st.sampled_from(way.requires))
rule_lists = st.one_of(
    _alternatives.flatmap(lambda steps: st.tuples(*map(_rule_of, steps))),
    _alternatives.flatmap(lambda steps: st.tuples(*map(_rule_of, steps[:1]), odd_rules)),
    st.lists(odd_rules | acting_rules, min_size=1, max_size=3).map(tuple),
)
"""The rules of a role: those of all steps of an alternative, of its first step, or others."""

roles = st.builds(
    Role,
    kind=st.just("Role"),
    name=st.sampled_from(["r1", "r2"]),
    namespace=st.sampled_from([HOME, OTHER_NAMESPACE, "n3"]),
    rules=rule_lists,
) | st.builds(
    Role,
    kind=st.just("ClusterRole"),
    name=st.sampled_from(["c1", "c2"]),
    rules=rule_lists,
)
subjects = st.sampled_from(
    [
        Subject("User", "alice"),
        Subject("User", "bob"),
        Subject("User", "system:serviceaccount:n1:bot"),
        Subject("Group", "dev"),
        Subject("Group", "system:authenticated"),
        Subject("Group", "system:serviceaccounts"),
        Subject("Group", "system:serviceaccounts:n1"),
        Subject("Group", "system:unauthenticated"),
        Subject("ServiceAccount", "bot", "n1"),
        Subject("ServiceAccount", "bot", "n3"),
    ]
)
bindings = st.builds(
    Binding,
    kind=st.just("RoleBinding"),
    name=st.sampled_from(["b1", "b2", "b3"]),
    namespace=st.sampled_from([HOME, OTHER_NAMESPACE, "n3"]),
    role_ref=st.sampled_from([RoleRef("Role", "r1"), RoleRef("Role", "r2"), RoleRef("ClusterRole", "c1")]),
    subjects=st.lists(subjects, min_size=1, max_size=2).map(tuple),
) | st.builds(
    Binding,
    kind=st.just("ClusterRoleBinding"),
    name=st.sampled_from(["b1", "b2"]),
    namespace=st.just(""),
    role_ref=st.sampled_from([RoleRef("ClusterRole", "c1"), RoleRef("ClusterRole", "c2")]),
    subjects=st.lists(subjects, min_size=1, max_size=2).map(tuple),
)

ANYWHERE: Final = (HOME, OTHER_NAMESPACE, "n3")
"""All namespaces of drawn policies."""

UNMENTIONED: Final = "sh.helm.release.v1.other"
"""The name of an object that no rule names."""

PEOPLE: Final = (
    User("alice", (AUTHENTICATED_GROUP,)),
    User("bob", (AUTHENTICATED_GROUP,)),
    User("", ("dev", AUTHENTICATED_GROUP)),
    User("", (AUTHENTICATED_GROUP,)),
    User("", ("system:unauthenticated",)),
    User("", ("system:serviceaccounts", AUTHENTICATED_GROUP)),
    User("", ("system:serviceaccounts:n1", "system:serviceaccounts", AUTHENTICATED_GROUP)),
    User.service_account("n1", "bot"),
    User.service_account("n3", "bot"),
)
"""Every subject of a drawn policy as a user: with the groups that such a user always has."""


def requests_of_ways(target: Target, privileged: Privileged) -> Iterator[tuple[str, Accounts, list[list[Request]]]]:
    """Each alternative of each way, by brute force: its id, what a name reaches, and the requests of each step.

    One yield for each name of the first step. An alternative is open to a user that may send a request of each step.
    """
    for way in WAYS:
        for steps in way.requires:
            first, *rest = steps
            for name, accounts in _names(first, target, privileged):
                others = [[each for _, each in _requests(ask, target, privileged, name)] for ask in rest]
                own = [request for at, request in _requests(first, target, privileged, "") if at == name]
                yield way.id, accounts, [own, *others]


def _names(ask: Ask, target: Target, privileged: Privileged) -> Iterator[tuple[str, Accounts]]:
    if ask.objects is Objects.ACCOUNTS:
        yield from ((name, frozenset((name,))) for name in target.accounts)
    elif ask.objects in (Objects.USERS, Objects.GROUPS):
        yield from ((name, target.accounts) for name in (UNMENTIONED, *sorted(privileged[ask.objects])))
    elif ask.objects is not None:
        known = target.objects[ask.objects]
        merged = {name: of for by_name in known.values() for name, of in by_name.items()}
        yield from merged.items()
        if ask.objects is Objects.PODS or ask.name is not Name.OBJECT:
            every = target.accounts if ask.objects is Objects.PODS else frozenset().union(*merged.values())
            yield from ([(UNMENTIONED, every)] if every else [])
    elif ask.names:
        yield from ((name, target.accounts) for name in ask.names)
    else:
        yield from ((name, target.accounts) for name in (UNMENTIONED, *_any_names(ask)))


def _any_names(ask: Ask) -> Iterator[str]:
    if ask.name is Name.ANY:
        yield from (name for name in NAMES if name.startswith(ask.prefix))
        yield from (name for name in ("system:masters", "alice") if not ask.prefix)


def _requests(ask: Ask, target: Target, privileged: Privileged, before: str) -> Iterator[tuple[str, Request]]:
    """(name of the object, request) for all verbs, names and namespaces of an ask."""
    for name, _ in _names(ask, target, privileged):
        if ask.same and before and name != before:
            continue
        for verb, (resource, group), namespace in product(_verbs(ask), _resources(ask), _namespaces(ask, target, name)):
            base, _, subresource = resource.partition("/")
            nameless = ask.name is Name.NONE or verb == "deletecollection" or (verb == "create" and not subresource)
            yield name, Request(verb, group, base, subresource, "" if nameless else name, namespace)
            if verb in ("list", "watch"):
                yield name, Request(verb, group, base, subresource, "", namespace)


def _verbs(ask: Ask) -> Iterator[str]:
    for verb in ask.verbs:
        yield from (f"{verb}{each}" for each in ("get", "list")) if verb.endswith(":") else (verb,)


def _resources(ask: Ask) -> list[tuple[str, str]]:
    if ask.resource != ALL:
        return [(ask.resource, ask.group)]
    return [(item, group) for item in ("pods", "nodes") for group in ("", "apps")]


def _namespaces(ask: Ask, target: Target, name: str) -> tuple[str, ...]:
    match ask.where:
        case Where.HOME:
            return (target.namespace,)
        case Where.CLUSTER:
            return ("",)
        case Where.ROLES:
            if ask.objects is None:
                return tuple(target.role_namespaces)
            return tuple(where for where, names in target.objects[ask.objects].items() if name in names)
        case _:
            return ("", *ANYWHERE) if target.namespace == HOME else ("", target.namespace)
