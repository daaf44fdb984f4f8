"""Hypothesis strategies for roles, bindings and requests, small in their choice of words so that much coincides.

What they draw is what an API server stores, but for `refused_bindings` and `refused_roles`.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from agent_identities.rbac import (
    Binding,
    LabelRequirement,
    LabelSelector,
    PolicyRule,
    Request,
    Role,
    RoleRef,
    Subject,
    User,
    breakdown,
)

NAMESPACES: Final = ("n1", "n2")
ALICE: Final = User("alice", ("dev",))
USERS: Final = (
    ALICE,
    User("alice", ("system:authenticated", "dev", "ops")),
    User('bob "é" \\ \u200b', ("ops", "system:authenticated")),
    User("dev", ("alice",)),  # names as groups, groups as names
    User("", ("dev",)),
    User("bob", ("system:masters",)),
    User.service_account("n1", "x"),
    User.service_account("n2", "x"),
    User.service_account("n1", "y"),
    User(
        "system:serviceaccount:n1:x"
    ),  # as kubectl --as spells it with an explicit group: without the groups of the account
    User("system:serviceaccount:n1:y", ("system:serviceaccounts:n2",)),
)
WORDS: Final = ("n1", "n2", "alice", "bob", "dev", "ops", "r1", "r2", "c1", "c2", "sum1", "sum2", "b1", "b2", "part")
"""What makes a drawn policy its own: with each of these renamed, two of them live on one API server side by side."""


def tuples(*choices: str, least: int = 1, most: int = 2) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(choices), min_size=least, max_size=most, unique=True).map(tuple)


resource_rules = st.builds(
    PolicyRule,
    verbs=tuples("get", "list", "create", "*"),
    api_groups=tuples("", "apps", "*"),
    resources=tuples("pods", "pods/log", "pods/*", "*/log", "*/exec", "*/*", "*", "nodes", "namespaces"),
    resource_names=st.just(()) | tuples("a", "b", "", "*", "n1", least=0),
)
concrete_rules = st.builds(
    PolicyRule,
    verbs=tuples("get", "list"),
    api_groups=tuples("", "apps"),
    resources=tuples("pods", "pods/log", "nodes"),
    resource_names=tuples("a", "b", "", least=0),
)
url_rules = st.builds(
    PolicyRule,
    verbs=tuples("get", "list", "*"),
    non_resource_urls=tuples("/a", "/a/*", "/a*", "/a**", "/*", "/", "*", "/*/b"),
)
rules = resource_rules | url_rules
rule_lists = st.lists(rules, max_size=4)


def _labels(*values: str) -> st.SearchStrategy[dict[str, str]]:
    return st.just({}) | st.sampled_from(values).map(lambda value: {"part": value})


_named = [LabelRequirement("part", "In", (value,)) for value in ("one", "two")]
_not_one = (LabelRequirement("part", "Exists"), LabelRequirement("part", "NotIn", ("one",)))
selectors = st.sampled_from([LabelSelector((named,)) for named in _named] + [LabelSelector(_not_one)])

plain_roles = st.builds(
    Role,
    kind=st.just("Role"),
    name=st.sampled_from(["r1", 'r2 "é"', "c1"]),
    namespace=st.sampled_from(NAMESPACES),
    rules=st.just(()) | st.lists(resource_rules, min_size=1, max_size=3).map(tuple),
) | st.builds(
    Role,
    kind=st.just("ClusterRole"),
    name=st.sampled_from(["c1", "c2:\\", "r1"]),
    rules=st.lists(rules, min_size=1, max_size=3).map(tuple),
    labels=_labels("one", "two"),
)
aggregated_roles = st.builds(
    Role,
    kind=st.just("ClusterRole"),
    name=st.sampled_from(["sum1", "sum2"]),
    labels=_labels("one", "two"),
    aggregation=st.lists(selectors, min_size=1, max_size=2).map(tuple),
)
refused_roles = st.builds(
    Role, kind=st.just("Role"), name=st.just("r1"), namespace=st.just("n1"), rules=st.tuples(url_rules)
)

subjects = st.sampled_from(
    [
        Subject("User", "alice"),
        Subject("User", 'bob "é" \\ \u200b'),
        Subject("User", "dev"),
        Subject("User", "alice", "n1"),  # a namespace says nothing here
        Subject("User", "*"),  # no wildcard
        Subject("User", "system:serviceaccount:n1:x"),
        Subject("Group", "dev"),
        Subject("Group", "alice"),
        Subject("Group", "system:serviceaccounts:n1"),
        Subject("Group", "system:serviceaccounts:n2"),
        Subject("Group", "system:serviceaccount:n1:x"),  # no group has this name
        Subject("ServiceAccount", "x", "n1"),
        Subject("ServiceAccount", "x", "n2"),
        Subject("ServiceAccount", "y", "n1"),
    ]
)
subjects_in_namespace = subjects | st.sampled_from(
    [
        Subject("ServiceAccount", "x"),
        Subject("ServiceAccount", "y"),
        Subject("Group", "system:serviceaccounts"),
        Subject("Group", "system:authenticated"),
    ]
)
cluster_role_refs = st.sampled_from([RoleRef("ClusterRole", name) for name in ("c1", "c2:\\", "r1", "sum1", "sum2")])
role_refs = cluster_role_refs | st.sampled_from(
    [RoleRef("Role", "r1"), RoleRef("Role", 'r2 "é"'), RoleRef("Role", "c1"), RoleRef("ClusterRole", "view")]
)
bindings = st.builds(
    Binding,
    kind=st.just("RoleBinding"),
    name=st.sampled_from(["b1", 'b2 "é" \\']),
    namespace=st.sampled_from(NAMESPACES),
    role_ref=role_refs,
    subjects=st.just(()) | st.lists(subjects_in_namespace, min_size=1, max_size=3).map(tuple),
) | st.builds(
    Binding,
    kind=st.just("ClusterRoleBinding"),
    name=st.sampled_from(["b1", "b2:b1"]),
    namespace=st.just(""),
    role_ref=cluster_role_refs,
    subjects=st.just(()) | st.lists(subjects, min_size=1, max_size=3).map(tuple),
)
refused_bindings = st.builds(
    Binding,
    kind=st.just("ClusterRoleBinding"),
    name=st.sampled_from(["b1", "b3"]),
    namespace=st.just(""),
    role_ref=role_refs,
    subjects=st.just(()) | st.lists(subjects_in_namespace, min_size=1, max_size=3).map(tuple),
)


def role_lists(each: st.SearchStrategy[Role], least: int = 0) -> st.SearchStrategy[list[Role]]:
    return st.lists(each, min_size=least, max_size=6, unique_by=lambda role: (role.kind, role.namespace, role.name))


def binding_lists(each: st.SearchStrategy[Binding], least: int = 0) -> st.SearchStrategy[list[Binding]]:
    return st.lists(each, min_size=least, max_size=6, unique_by=lambda each: (each.kind, each.namespace, each.name))


users = st.sampled_from(USERS)
requests = st.builds(
    Request,
    verb=st.sampled_from(["get", "list", "create", "*"]),
    api_group=st.sampled_from(["", "apps", "*"]),
    resource=st.sampled_from(["pods", "nodes", "namespaces", "*"]),
    subresource=st.sampled_from(["", "log", "exec", "*"]),
    name=st.sampled_from(["", "a", "c", "*", "n1"]),
    namespace=st.sampled_from(["", *NAMESPACES]),
) | st.builds(
    Request,
    verb=st.sampled_from(["get", "list"]),
    path=st.sampled_from(["/", "/a", "/a/", "/a/b", "/ab", "/a*", "/c", "/c/b", "*"]),
)


Asked = tuple[User, Request]
asked_by = st.tuples(users, requests)
"""A subject and a request."""


@dataclass(frozen=True, slots=True)
class PolicyCase:
    """A policy that an API server accepts, and what is asked of it."""

    roles: tuple[Role, ...]
    bindings: tuple[Binding, ...]
    asked: tuple[Asked, ...]


@st.composite
def cases(draw: st.DrawFn, number: int) -> PolicyCase:
    """Half of the requests match a rule with a bound subject; the others are arbitrary."""
    roles = draw(role_lists(plain_roles | plain_roles | aggregated_roles, least=5))
    bound = draw(binding_lists(bindings, least=4))
    aims = [
        (subject, binding.namespace, rule)
        for binding in bound
        for subject in binding.subjects
        for role in roles
        if (role.kind, role.name) == (binding.role_ref.kind, binding.role_ref.name)
        for rule in role.rules
    ]
    aimed = st.sampled_from(aims).flatmap(lambda aim: _aimed(*aim)) if aims else asked_by
    each = [*(draw(aimed) for _ in range(number // 2)), *(draw(asked_by) for _ in range(number - number // 2))]
    return PolicyCase(tuple(roles), tuple(bound), tuple(each))


def _aimed(subject: Subject, namespace: str, rule: PolicyRule) -> st.SearchStrategy[Asked]:
    """Requests of somebody who may be the subject, for what the rule may be about, where it may hold."""
    if subject.kind == "ServiceAccount":
        who = User.service_account(subject.namespace or namespace, subject.name)
    else:
        who = User(subject.name, ("dev",)) if subject.kind == "User" else User("bob", (subject.name,))
    if rule.non_resource_urls:
        path = st.sampled_from([*rule.non_resource_urls, *(url.replace("*", "b") for url in rule.non_resource_urls)])
        return st.tuples(st.just(who), st.builds(Request, verb=st.just("get"), path=path))
    items = st.sampled_from(rule.resources).map(lambda item: item.replace("*", "pods").partition("/"))
    made = st.builds(
        lambda item, **fields: Request(resource=item[0], subresource=item[2], **fields),
        items,
        verb=st.sampled_from(rule.verbs),
        api_group=st.sampled_from(rule.api_groups),
        name=st.sampled_from(rule.resource_names or ("", "a")),
        namespace=st.sampled_from([namespace or "n1", namespace]) | st.sampled_from(NAMESPACES),
    )
    return st.tuples(st.just(who), made)


def _some_of(owner: list[PolicyRule]) -> st.SearchStrategy[list[PolicyRule]]:
    held = [atom for rule in owner for atom in breakdown(rule)]
    return st.lists(st.sampled_from(held) if held else concrete_rules, max_size=4)


escalations = rule_lists.flatmap(
    lambda owner: st.tuples(st.just(owner), _some_of(owner) | rule_lists | st.lists(concrete_rules, max_size=2))
)
"""The rules of a subject, and the rules that it would grant."""

T = TypeVar("T")


def drawn(strategy: st.SearchStrategy[T], count: int, start: int) -> list[T]:
    """So many examples, the same for the same start."""
    found: list[T] = []

    @seed(start)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(example: T) -> None:
        found.append(example)

    draw()
    return found[:count]
