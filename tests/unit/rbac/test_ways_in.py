"""Who may become a ServiceAccount, compared with the authorizer's decision on each request of each way."""

from hypothesis import assume, given, settings

from agent_identities.rbac import Authorizer, Binding, Policy, PolicyRule, Request, Role, RoleRef, Subject, User
from agent_identities.rbac.request import MASTERS_GROUP
from agent_identities.rbac.ways import Objects
from agent_identities.rbac.ways_in import Accounts, SubjectWays, Target, is_administrator, ways_in
from support.rbac_strategies import binding_lists, role_lists
from support.ways_strategies import HOME, PEOPLE, TARGET, bindings, requests_of_ways, roles

Alternative = tuple[str, Accounts, list[list[Request]]]


def of(user: User, found: tuple[SubjectWays, ...]) -> dict[str, Accounts]:
    """What a user may become by each way: by its name, or by its groups."""
    reached: dict[str, Accounts] = {}
    for each in found:
        if each.name == user.name if each.kind == "User" else each.name in user.groups:
            for opening in each.openings:
                reached[opening.way.id] = reached.get(opening.way.id, frozenset()) | opening.accounts
    return reached


def by_requests(user: User, authorizer: Authorizer, ways: list[Alternative]) -> dict[str, Accounts]:
    """The same, by a decision on each request."""
    reached: dict[str, Accounts] = {}
    for way, accounts, steps in ways:
        if all(any(authorizer.decide(user, request).allowed for request in step) for step in steps):
            reached[way] = reached.get(way, frozenset()) | accounts
    return reached


@given(role_lists(roles, least=2), binding_lists(bindings, least=2))
@settings(max_examples=40)
def test_a_way_is_open_exactly_if_the_authorizer_allows_its_requests(roles: list[Role], bound: list[Binding]) -> None:
    policy = Policy(tuple(roles), tuple(bound))
    assume(not any(is_administrator(role) for role in roles))
    found = ways_in(policy, TARGET)
    privileged = {
        Objects.USERS: frozenset(each.name for each in found if each.subject.kind == "User"),
        Objects.GROUPS: frozenset(
            (MASTERS_GROUP, f"system:serviceaccounts:{HOME}", *(each.name for each in found if each.kind == "Group"))
        ),
    }
    authorizer, ways = Authorizer(policy), list(requests_of_ways(TARGET, privileged))
    for user in PEOPLE:
        assert of(user, found) == by_requests(user, authorizer, ways), user


@given(role_lists(roles, least=2), binding_lists(bindings, least=2))
def test_every_step_is_a_request_that_its_binding_allows(roles: list[Role], bound: list[Binding]) -> None:
    for each in ways_in(Policy(tuple(roles), tuple(bound)), TARGET):
        for step in (step for opening in each.openings for step in opening.steps):
            by = each.bound[step.bound]
            subject = by.binding.subjects[by.position]
            alone = Authorizer(Policy((by.role,), (by.binding,)))
            name, groups = (subject.name, ()) if subject.kind == "User" else ("", (subject.name,))
            user = (
                User.service_account(subject.namespace, subject.name)
                if subject.kind == "ServiceAccount"
                else User(name, groups)
            )
            assert alone.decide(user, step.request).allowed, (step, by)


EVE = (Subject("User", "eve"),)


def held(*rules: PolicyRule, namespace: str = HOME, subjects: tuple[Subject, ...] = EVE) -> Policy:
    """A policy in which the subjects hold the rules: in a namespace, or with "" in the whole cluster."""
    if not namespace:
        role = Role("ClusterRole", "c", "", rules)
        binding = Binding("ClusterRoleBinding", "b", "", RoleRef("ClusterRole", "c"), subjects)
    else:
        role = Role("Role", "r", namespace, rules)
        binding = Binding("RoleBinding", "b", namespace, RoleRef("Role", "r"), subjects)
    return Policy((role,), (binding,))


def ids(policy: Policy, target: Target = TARGET) -> set[str]:
    return {opening.way.id for each in ways_in(policy, target) for opening in each.openings}


def rule(verb: str, resource: str, group: str = "", *names: str) -> PolicyRule:
    return PolicyRule((verb,), (group,), (resource,), names)


def test_a_subject_that_may_do_everything_is_an_administrator_and_has_no_list_of_ways() -> None:
    everything = PolicyRule(("*",), ("*",), ("*",))
    (cluster_wide,) = ways_in(held(everything, namespace=""), TARGET)
    assert cluster_wide.administrator
    assert not cluster_wide.openings
    (in_namespace,) = ways_in(held(everything), TARGET)
    assert not in_namespace.administrator
    assert {"impersonate", "tokens", "pods", "exec"} <= {each.way.id for each in in_namespace.openings}


def test_rights_in_another_namespace_open_no_way() -> None:
    assert ids(held(PolicyRule(("*",), ("*",), ("*",)), namespace="n3")) == set()


def test_scale_and_status_open_no_way() -> None:
    rules = (rule("patch", "deployments/scale", "apps"), rule("patch", "pods/status"), rule("patch", "jobs", "batch"))
    assert ids(held(*rules)) == set()


def test_a_name_limits_a_way_to_that_account() -> None:
    (eve,) = ways_in(held(rule("impersonate", "serviceaccounts", "", "a", "unrelated")), TARGET)
    assert [(each.accounts, each.steps[0].request.name) for each in eve.openings] == [(frozenset({"a"}), "a")]


def test_a_role_with_names_does_not_create_pods() -> None:
    assert ids(held(rule("create", "pods", "", "a"))) == set()


def test_a_collection_of_objects_can_be_deleted_and_made_again() -> None:
    both = (rule("deletecollection", "serviceaccounts"), rule("create", "serviceaccounts"))
    assert ids(held(*both)) == {"account"}
    assert ids(held(rule("deletecollection", "serviceaccounts"))) == set()
    named = (rule("deletecollection", "serviceaccounts", "", "a"), rule("create", "serviceaccounts"))
    assert ids(held(*named)) == set()  # the request has no name
    policies = rule("deletecollection", "validatingadmissionpolicies", "admissionregistration.k8s.io")
    assert ids(held(policies, namespace="")) == {"guards"}


def test_a_secret_that_nobody_may_read_gives_no_token() -> None:
    no_tokens = Target(HOME, TARGET.accounts, {**TARGET.objects, Objects.TOKEN_SECRETS: {}, Objects.SECRETS: {}})
    assert ids(held(rule("create", "secrets")), no_tokens) == set()
    assert ids(held(rule("get", "secrets")), no_tokens) == set()
    assert ids(held(rule("create", "secrets"), rule("get", "secrets", "", "mine")), no_tokens) == {"token-secrets"}


def test_constrained_impersonation_takes_both_verbs_of_which_one_may_be_held_elsewhere() -> None:
    who = rule("impersonate:serviceaccount", "serviceaccounts", "authentication.k8s.io", "a")
    act = PolicyRule(("impersonate-on:serviceaccount:list",), ("apps",), ("deployments",))
    elsewhere = held(act, namespace="n3")
    assert ids(held(who)) == set()
    both = Policy((*held(who).roles, *elsewhere.roles), (*held(who).bindings, *elsewhere.bindings))
    (eve,) = ways_in(both, TARGET)
    assert [str(step.request) for step in eve.openings[0].steps] == [
        "impersonate:serviceaccount serviceaccounts.authentication.k8s.io named a",
        "impersonate-on:serviceaccount:list deployments.apps",
    ]
    assert eve.openings[0].steps[1].request.namespace == "n3"


def test_impersonation_of_a_user_counts_only_if_that_user_can_become_the_account() -> None:
    by_name = rule("impersonate", "users", "", "alice")
    assert ids(held(by_name, namespace="")) == set()
    alice = held(rule("create", "serviceaccounts/token"), subjects=(Subject("User", "alice"),))
    both = Policy(
        (*held(by_name, namespace="").roles, *alice.roles), (*held(by_name, namespace="").bindings, *alice.bindings)
    )
    assert {each.name for each in ways_in(both, TARGET)} == {"alice", "eve"}


def test_impersonation_of_a_group_takes_impersonation_of_a_user_or_account_too() -> None:
    masters = rule("impersonate", "groups", "", "system:masters")
    assert ids(held(masters, namespace="")) == set()
    assert ids(held(masters, rule("impersonate", "users", "", "nobody"), namespace="")) == {"impersonate-others"}


def test_a_user_name_of_an_account_is_impersonated_as_account() -> None:
    """The API server checks `impersonate serviceaccounts` for such a name, and not `impersonate users`."""
    assert ids(held(rule("impersonate", "users", "", "system:serviceaccount:n1:a"), namespace="")) == set()


def test_two_bindings_of_a_subject_can_open_a_way_together() -> None:
    first = held(rule("create", "secrets"))
    role = Role("ClusterRole", "reads", "", (rule("list", "secrets"),))
    everybody = (Subject("Group", "system:authenticated"),)
    second = Binding("ClusterRoleBinding", "reads", "", RoleRef("ClusterRole", "reads"), everybody)
    no_tokens = Target(HOME, TARGET.accounts, {**TARGET.objects, Objects.TOKEN_SECRETS: {}, Objects.SECRETS: {}})
    (eve,) = ways_in(Policy((*first.roles, role), (*first.bindings, second)), no_tokens)
    assert eve.name == "eve"
    assert [eve.bound[step.bound].binding.name for step in eve.openings[0].steps] == ["b", "reads"]


def test_write_on_cluster_roles_opens_a_way_by_a_label_if_a_role_of_the_account_is_aggregated() -> None:
    create = held(rule("create", "clusterroles", "rbac.authorization.k8s.io"), namespace="")
    aggregated = {**TARGET.objects, Objects.AGGREGATED: {"": {"view": frozenset({"a"})}}}
    assert ids(create) == set()
    (eve,) = ways_in(create, Target(HOME, TARGET.accounts, aggregated))
    assert [(each.way.id, each.accounts) for each in eve.openings] == [("aggregation", frozenset({"a"}))]
