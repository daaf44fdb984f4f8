"""What must hold for every policy, checked against the plainest reading of the API server's code."""

from itertools import product
from random import Random
from typing import Final

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent_identities.rbac import (
    Authorizer,
    Binding,
    Policy,
    PolicyRule,
    Request,
    Role,
    Subject,
    User,
    covers,
    rule_allows,
)
from agent_identities.rbac.request import MASTERS_GROUP
from support.rbac_strategies import (
    Asked,
    asked_by,
    binding_lists,
    concrete_rules,
    plain_roles,
    refused_bindings,
    refused_roles,
    role_lists,
    rule_lists,
)
from support.rbac_strategies import bindings as accepted_bindings

roles = role_lists(plain_roles | refused_roles)
bindings = binding_lists(accepted_bindings | refused_bindings)

EVERY_REQUEST: Final = (
    *(
        Request(verb, group, resource, subresource, name, "n1")
        for verb, group, resource, subresource, name in product(
            ["get", "list", "other"],
            ["", "apps", "other"],
            ["pods", "nodes"],
            ["", "log", "exec"],
            ["", "a", "b", "other"],
        )
    ),
    *(Request(verb, path=path) for verb, path in product(["get", "other"], ["/", "/a", "/a/", "/a/b", "/c"])),
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


def allowing_bindings(policy: Policy, user: User, request: Request) -> set[Binding]:
    """A scan of everything, as VisitRulesFor does it."""
    namespace = "" if request.path else request.namespace
    return {
        binding
        for binding in policy.bindings
        for role in policy.roles
        if binding.kind == "ClusterRoleBinding" or binding.namespace == namespace
        if any(holds(user, subject, binding.namespace) for subject in binding.subjects)
        if (role.kind, role.name) == (binding.role_ref.kind, binding.role_ref.name)
        if role.kind == "ClusterRole" or role.namespace == binding.namespace
        if any(rule_allows(rule, request) for rule in role.rules)
    }


@given(roles, bindings, asked_by)
@settings(max_examples=400)
def test_a_decision_equals_a_scan_of_every_binding(roles: list[Role], bindings: list[Binding], asked: Asked) -> None:
    policy = Policy(tuple(roles), tuple(bindings))
    decision = Authorizer(policy).decide(*asked)
    masters = MASTERS_GROUP in asked[0].groups  # let pass before RBAC
    found = set() if masters else allowing_bindings(policy, *asked)
    assert (decision.allowed, {grant.binding for grant in decision.by}) == (masters or bool(found), found)


@given(roles, bindings, asked_by, st.randoms(use_true_random=False))
def test_the_order_of_roles_and_bindings_changes_nothing(
    roles: list[Role], bindings: list[Binding], asked: Asked, random: Random
) -> None:
    before = Authorizer(Policy(tuple(roles), tuple(bindings))).decide(*asked)
    random.shuffle(roles)
    random.shuffle(bindings)
    assert Authorizer(Policy(tuple(roles), tuple(bindings))).decide(*asked) == before


@given(roles, bindings, asked_by)
def test_the_rules_of_a_user_decide_as_the_authorizer_does(
    roles: list[Role], bindings: list[Binding], asked: Asked
) -> None:
    user, request = asked
    assume(MASTERS_GROUP not in user.groups)
    authorizer = Authorizer(Policy(tuple(roles), tuple(bindings)))
    rules = authorizer.rules_for(user, "" if request.path else request.namespace)
    assert any(rule_allows(rule, request) for rule in rules) == authorizer.decide(*asked).allowed


@given(roles, bindings, asked_by)
def test_the_grants_of_a_user_contain_every_reason_of_a_decision(
    roles: list[Role], bindings: list[Binding], asked: Asked
) -> None:
    authorizer = Authorizer(Policy(tuple(roles), tuple(bindings)))
    assert set(authorizer.decide(*asked).by) <= set(authorizer.grants_for(asked[0]))


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
