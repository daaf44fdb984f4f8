"""What must hold for every policy, checked against the plainest reading of the API server's code."""

from itertools import product
from random import Random
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from agent_identities.rbac import (
    Authorizer,
    Binding,
    Policy,
    PolicyRule,
    Request,
    Role,
    RoleRef,
    Subject,
    User,
    covers,
    rule_allows,
)

NAMESPACES: Final = ("n1", "n2")
USERS: Final = (User("alice", ("dev",)), User.service_account("n1", "x"), User.service_account("n2", "x"))


def tuples(*choices: str, least: int = 1) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(choices), min_size=least, max_size=2, unique=True).map(tuple)


resource_rules = st.builds(
    PolicyRule,
    verbs=tuples("get", "list", "*"),
    api_groups=tuples("", "apps", "*"),
    resources=tuples("pods", "pods/log", "pods/*", "*/log", "*/exec", "*"),
    resource_names=tuples("a", "b", "", least=0),
)
concrete_rules = st.builds(
    PolicyRule,
    verbs=tuples("get", "list"),
    api_groups=tuples("", "apps"),
    resources=tuples("pods", "pods/log", "nodes"),
    resource_names=tuples("a", "b", "", least=0),
)
url_rules = st.builds(PolicyRule, verbs=tuples("get", "*"), non_resource_urls=tuples("/a", "/a/*", "/a*", "*"))
rules = resource_rules | url_rules
rule_lists = st.lists(rules, max_size=4)
roles = st.lists(
    st.builds(
        Role,
        kind=st.just("Role"),
        name=st.sampled_from(["r", "s"]),
        namespace=st.sampled_from(NAMESPACES),
        rules=st.lists(rules, max_size=2).map(tuple),
    )
    | st.builds(
        Role,
        kind=st.just("ClusterRole"),
        name=st.sampled_from(["r", "c"]),
        rules=st.lists(rules, max_size=2).map(tuple),
    ),
    max_size=6,
    unique_by=lambda role: (role.kind, role.namespace, role.name),
)
subjects = st.sampled_from(
    [
        Subject("User", "alice"),
        Subject("User", "system:serviceaccount:n1:x"),
        Subject("Group", "dev"),
        Subject("Group", "system:serviceaccounts:n2"),
        Subject("ServiceAccount", "x"),
        Subject("ServiceAccount", "x", "n1"),
    ]
)
refs = st.builds(RoleRef, kind=st.sampled_from(["Role", "ClusterRole"]), name=st.sampled_from(["r", "s", "c"]))
subject_lists = st.lists(subjects, max_size=3).map(tuple)
bindings = st.lists(
    st.builds(
        Binding,
        kind=st.just("RoleBinding"),
        name=st.sampled_from(["a", "b"]),
        namespace=st.sampled_from(NAMESPACES),
        role_ref=refs,
        subjects=subject_lists,
    )
    | st.builds(
        Binding,
        kind=st.just("ClusterRoleBinding"),
        name=st.sampled_from(["a", "b"]),
        namespace=st.just(""),
        role_ref=refs,
        subjects=subject_lists,
    ),
    max_size=5,
    unique_by=lambda binding: (binding.kind, binding.namespace, binding.name),
)
users = st.sampled_from(USERS)
requests = st.builds(
    Request,
    user=users,
    verb=st.sampled_from(["get", "list"]),
    api_group=st.sampled_from(["", "apps"]),
    resource=st.sampled_from(["pods", "nodes"]),
    subresource=st.sampled_from(["", "log"]),
    name=st.sampled_from(["", "a", "c"]),
    namespace=st.sampled_from(["", *NAMESPACES]),
) | st.builds(Request, user=users, verb=st.just("get"), path=st.sampled_from(["/a", "/a/b", "/c"]))

EVERY_REQUEST: Final = (
    *(
        Request(USERS[0], verb, group, resource, subresource, name, "n1")
        for verb, group, resource, subresource, name in product(
            ["get", "list", "other"],
            ["", "apps", "other"],
            ["pods", "nodes"],
            ["", "log", "exec"],
            ["", "a", "b", "other"],
        )
    ),
    *(Request(USERS[0], verb, path=path) for verb, path in product(["get", "other"], ["/", "/a", "/a/", "/a/b", "/c"])),
)


def holds(user: User, subject: Subject, namespace: str) -> bool:
    match subject.kind:
        case "User":
            return subject.name == user.name
        case "Group":
            return subject.name in user.groups
        case _:
            namespace = subject.namespace or namespace
            return namespace != "" and user.name == f"system:serviceaccount:{namespace}:{subject.name}"


def allowing_bindings(policy: Policy, request: Request) -> set[Binding]:
    """A scan of everything, as VisitRulesFor does it."""
    namespace = "" if request.path else request.namespace
    return {
        binding
        for binding in policy.bindings
        for role in policy.roles
        if binding.kind == "ClusterRoleBinding" or binding.namespace == namespace
        if any(holds(request.user, subject, binding.namespace) for subject in binding.subjects)
        if (role.kind, role.name) == (binding.role_ref.kind, binding.role_ref.name)
        if role.kind == "ClusterRole" or role.namespace == binding.namespace
        if any(rule_allows(rule, request) for rule in role.rules)
    }


@given(roles, bindings, requests)
@settings(max_examples=400)
def test_a_decision_equals_a_scan_of_every_binding(
    roles: list[Role], bindings: list[Binding], request: Request
) -> None:
    policy = Policy(tuple(roles), tuple(bindings))
    decision = Authorizer(policy).decide(request)
    found = allowing_bindings(policy, request)
    assert (decision.allowed, {grant.binding for grant in decision.by}) == (bool(found), found)


@given(roles, bindings, requests, st.randoms(use_true_random=False))
def test_the_order_of_roles_and_bindings_changes_nothing(
    roles: list[Role], bindings: list[Binding], request: Request, random: Random
) -> None:
    before = Authorizer(Policy(tuple(roles), tuple(bindings))).decide(request)
    random.shuffle(roles)
    random.shuffle(bindings)
    assert Authorizer(Policy(tuple(roles), tuple(bindings))).decide(request) == before


@given(roles, bindings, requests)
def test_the_rules_of_a_user_decide_as_the_authorizer_does(
    roles: list[Role], bindings: list[Binding], request: Request
) -> None:
    authorizer = Authorizer(Policy(tuple(roles), tuple(bindings)))
    rules = authorizer.rules_for(request.user, "" if request.path else request.namespace)
    assert any(rule_allows(rule, request) for rule in rules) == authorizer.decide(request).allowed


@given(roles, bindings, requests)
def test_the_grants_of_a_user_contain_every_reason_of_a_decision(
    roles: list[Role], bindings: list[Binding], request: Request
) -> None:
    authorizer = Authorizer(Policy(tuple(roles), tuple(bindings)))
    assert set(authorizer.decide(request).by) <= set(authorizer.grants_for(request.user))


@given(rule_lists, rule_lists)
@settings(max_examples=400)
def test_whoever_covers_rules_may_do_all_that_they_allow(owner: list[PolicyRule], servant: list[PolicyRule]) -> None:
    allowed = [request for request in EVERY_REQUEST if any(rule_allows(rule, request) for rule in servant)]
    lacks = [request for request in allowed if not any(rule_allows(rule, request) for rule in owner)]
    assert not lacks or covers(owner, servant)


@given(rule_lists, st.lists(concrete_rules, max_size=2))
@settings(max_examples=400)
def test_without_wildcards_covering_is_exactly_that(owner: list[PolicyRule], servant: list[PolicyRule]) -> None:
    allowed = [request for request in EVERY_REQUEST if any(rule_allows(rule, request) for rule in servant)]
    lacks = [request for request in allowed if not any(rule_allows(rule, request) for rule in owner)]
    assert bool(lacks) == bool(covers(owner, servant))


@given(rule_lists, rule_lists)
def test_what_is_not_covered_is_covered_once_it_is_added(owner: list[PolicyRule], servant: list[PolicyRule]) -> None:
    assert covers([*owner, *covers(owner, servant)], servant) == ()
