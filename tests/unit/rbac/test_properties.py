"""Properties of every policy, checked with a direct implementation of the API server's code."""

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
    """A scan of all roles and bindings, as in VisitRulesFor."""
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
def test_a_decision_is_equal_to_a_scan_of_every_binding(
    roles: list[Role], bindings: list[Binding], asked: Asked
) -> None:
    policy = Policy(tuple(roles), tuple(bindings))
    decision = Authorizer(policy).decide(*asked)
    masters = MASTERS_GROUP in asked[0].groups  # allowed before RBAC
    found = set() if masters else allowing_bindings(policy, *asked)
    assert (decision.allowed, {grant.binding for grant in decision.by}) == (masters or bool(found), found)


@given(roles, bindings, asked_by, st.randoms(use_true_random=False))
def test_a_decision_does_not_depend_on_the_order_of_roles_and_bindings(
    roles: list[Role], bindings: list[Binding], asked: Asked, random: Random
) -> None:
    before = Authorizer(Policy(tuple(roles), tuple(bindings))).decide(*asked)
    random.shuffle(roles)
    random.shuffle(bindings)
    assert Authorizer(Policy(tuple(roles), tuple(bindings))).decide(*asked) == before


@given(roles, bindings, asked_by)
def test_the_rules_of_a_user_allow_the_same_requests_as_the_authorizer(
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
def test_rules_that_cover_other_rules_allow_all_of_their_requests(
    owner: list[PolicyRule], servant: list[PolicyRule]
) -> None:
    allowed = [request for request in EVERY_REQUEST if any(rule_allows(rule, request) for rule in servant)]
    lacks = [request for request in allowed if not any(rule_allows(rule, request) for rule in owner)]
    assert not lacks or covers(owner, servant)


@given(rule_lists, st.lists(concrete_rules, max_size=2))
@settings(max_examples=400)
def test_without_wildcards_rules_that_allow_all_requests_of_other_rules_cover_them(
    owner: list[PolicyRule], servant: list[PolicyRule]
) -> None:
    allowed = [request for request in EVERY_REQUEST if any(rule_allows(rule, request) for rule in servant)]
    lacks = [request for request in allowed if not any(rule_allows(rule, request) for rule in owner)]
    assert bool(lacks) == bool(covers(owner, servant))


@given(rule_lists, rule_lists)
def test_rules_cover_other_rules_after_the_missing_atoms_are_added(
    owner: list[PolicyRule], servant: list[PolicyRule]
) -> None:
    assert covers([*owner, *covers(owner, servant)], servant) == ()
