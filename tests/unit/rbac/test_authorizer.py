from collections.abc import Sequence

import pytest

from agent_identities.rbac import Authorizer, Binding, Policy, PolicyRule, Request, Role, RoleRef, Subject, User

WORKER = User.service_account("agents", "worker")
READ_PODS = PolicyRule(("get",), ("",), ("pods",))
READ_JOBS = PolicyRule(("get",), ("batch",), ("jobs",))
READ_METRICS = PolicyRule(("get",), non_resource_urls=("/metrics",))

READER = Role("Role", "reader", "agents", (READ_PODS,))
CLUSTER_READER = Role("ClusterRole", "reader", "", (READ_PODS, READ_METRICS))
SERVICE_ACCOUNT = Subject("ServiceAccount", "worker", "agents")


def role_binding(*subjects: Subject, kind: str = "Role", namespace: str = "agents", name: str = "b") -> Binding:
    return Binding("RoleBinding", name, namespace, RoleRef(kind, "reader"), subjects)


def cluster_role_binding(*subjects: Subject, name: str = "b") -> Binding:
    return Binding("ClusterRoleBinding", name, "", RoleRef("ClusterRole", "reader"), subjects)


def authorizer(*bindings: Binding, roles: Sequence[Role] = (READER, CLUSTER_READER)) -> Authorizer:
    return Authorizer(Policy(tuple(roles), bindings))


def get_pods(user: User = WORKER, namespace: str = "agents") -> tuple[User, Request]:
    return user, Request("get", resource="pods", name="a", namespace=namespace)


@pytest.mark.parametrize(
    "subject",
    [
        SERVICE_ACCOUNT,
        Subject("ServiceAccount", "worker"),  # without a namespace: the namespace of the binding
        Subject("User", "system:serviceaccount:agents:worker"),
        Subject("Group", "system:serviceaccounts"),
        Subject("Group", "system:serviceaccounts:agents"),
        Subject("Group", "system:authenticated"),
    ],
)
def test_every_kind_of_subject_can_match_a_service_account(subject: Subject) -> None:
    assert authorizer(role_binding(subject)).decide(*get_pods()).allowed


@pytest.mark.parametrize(
    "subject",
    [
        Subject("ServiceAccount", "worker", "other"),
        Subject("ServiceAccount", "worker-1", "agents"),
        Subject("User", "worker"),
        Subject("User", "system:authenticated"),  # a user with the name of the group
        Subject("Group", "system:serviceaccount:agents:worker"),
        Subject("Group", "system:serviceaccounts:other"),
        Subject("Group", "system:unauthenticated"),
        Subject("serviceaccount", "worker", "agents"),
    ],
)
def test_other_subjects_do_not_match_the_service_account(subject: Subject) -> None:
    assert not authorizer(role_binding(subject)).decide(*get_pods()).allowed


def test_a_service_account_without_namespace_in_a_cluster_role_binding_matches_no_user() -> None:
    assert not authorizer(cluster_role_binding(Subject("ServiceAccount", "worker"))).decide(*get_pods()).allowed


def test_a_user_name_with_an_empty_namespace_does_not_match() -> None:
    forged = User("system:serviceaccount::worker")
    assert not authorizer(cluster_role_binding(Subject("ServiceAccount", "worker"))).decide(*get_pods(forged)).allowed


def test_a_role_binding_can_have_a_service_account_of_another_namespace() -> None:
    other_namespace = role_binding(SERVICE_ACCOUNT, kind="ClusterRole", namespace="team-a")
    assert authorizer(other_namespace).decide(*get_pods(namespace="team-a")).allowed


@pytest.mark.parametrize("namespace", ["team-a", ""])
def test_a_role_binding_to_a_cluster_role_applies_in_its_namespace_only(namespace: str) -> None:
    bound = authorizer(role_binding(SERVICE_ACCOUNT, kind="ClusterRole"))
    assert (bound.decide(*get_pods()).allowed, bound.decide(*get_pods(namespace=namespace)).allowed) == (True, False)


@pytest.mark.parametrize("namespace", ["agents", "team-a", ""])
def test_a_cluster_role_binding_applies_in_every_namespace(namespace: str) -> None:
    assert authorizer(cluster_role_binding(SERVICE_ACCOUNT)).decide(*get_pods(namespace=namespace)).allowed


def test_a_cluster_role_binding_allows_a_url() -> None:
    request = Request("get", path="/metrics")
    assert authorizer(cluster_role_binding(SERVICE_ACCOUNT)).decide(WORKER, request).allowed


def test_a_role_binding_does_not_allow_a_url() -> None:
    request = Request("get", path="/metrics", namespace="agents")
    assert not authorizer(role_binding(SERVICE_ACCOUNT, kind="ClusterRole")).decide(WORKER, request).allowed


def test_a_binding_to_a_missing_role_grants_nothing_and_is_reported_as_dangling() -> None:
    binding = role_binding(SERVICE_ACCOUNT)
    decision = authorizer(binding, roles=[]).decide(*get_pods())
    assert (decision.allowed, decision.dangling) == (False, (binding,))


def test_a_role_of_the_same_name_in_another_namespace_does_not_resolve_a_binding() -> None:
    others = [Role("Role", "reader", "team-a", (READ_PODS,)), CLUSTER_READER]
    assert not authorizer(role_binding(SERVICE_ACCOUNT), roles=others).decide(*get_pods()).allowed


def test_a_dangling_binding_does_not_affect_other_bindings() -> None:
    dangling = Binding("RoleBinding", "a", "agents", RoleRef("Role", "missing"), (SERVICE_ACCOUNT,))
    assert authorizer(dangling, role_binding(SERVICE_ACCOUNT)).decide(*get_pods()).allowed


def test_a_dangling_binding_of_another_namespace_is_not_reported() -> None:
    dangling = Binding("RoleBinding", "a", "team-a", RoleRef("Role", "missing"), (SERVICE_ACCOUNT,))
    assert authorizer(dangling).decide(*get_pods()).dangling == ()


def test_a_decision_has_every_binding_that_allows_it_once() -> None:
    both = role_binding(SERVICE_ACCOUNT, Subject("Group", "system:authenticated"))
    decision = authorizer(cluster_role_binding(SERVICE_ACCOUNT), both, role_binding(name="nobody")).decide(*get_pods())
    assert [grant.binding.kind for grant in decision.by] == ["ClusterRoleBinding", "RoleBinding"]


def test_a_binding_that_allows_by_two_rules_is_in_the_decision_once() -> None:
    two_rules = Role("Role", "reader", "agents", (READ_PODS, PolicyRule(("*",), ("*",), ("*",))))
    decision = authorizer(role_binding(SERVICE_ACCOUNT), roles=[two_rules]).decide(*get_pods())
    assert [grant.rule for grant in decision.by] == [READ_PODS]


@pytest.mark.parametrize(
    ("binding", "reason"),
    [
        (
            role_binding(Subject("ServiceAccount", "worker")),
            'RBAC: allowed by RoleBinding "b/agents" of Role "reader" to ServiceAccount "worker/agents"',
        ),
        (
            role_binding(SERVICE_ACCOUNT, kind="ClusterRole"),
            'RBAC: allowed by RoleBinding "b/agents" of ClusterRole "reader" to ServiceAccount "worker/agents"',
        ),
        (
            cluster_role_binding(SERVICE_ACCOUNT),
            'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "reader" to ServiceAccount "worker/agents"',
        ),
        (
            cluster_role_binding(Subject("Group", "system:authenticated"), SERVICE_ACCOUNT),  # the first match
            'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "reader" to Group "system:authenticated"',
        ),
        (
            cluster_role_binding(Subject("User", "system:serviceaccount:agents:worker")),
            (
                'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "reader" '
                'to User "system:serviceaccount:agents:worker"'
            ),
        ),
    ],
)
def test_the_reason_is_the_text_of_the_api_server(binding: Binding, reason: str) -> None:
    assert [grant.reason for grant in authorizer(binding).decide(*get_pods()).by] == [reason]


def test_system_masters_are_allowed_before_rbac() -> None:
    decision = authorizer().decide(*get_pods(User("admin", ("system:masters",))))
    assert (decision.allowed, decision.by) == (True, ())


def test_without_a_binding_a_request_is_denied() -> None:
    assert not authorizer().decide(*get_pods()).allowed


def test_the_rules_of_a_user_are_the_cluster_wide_rules_and_the_rules_of_the_namespace() -> None:
    jobs = Role("ClusterRole", "reader", "", (READ_JOBS,))
    bound = authorizer(role_binding(SERVICE_ACCOUNT), cluster_role_binding(SERVICE_ACCOUNT), roles=[READER, jobs])
    assert (bound.rules_for(WORKER, "agents"), bound.rules_for(WORKER, "team-a")) == (
        (READ_JOBS, READ_PODS),
        (READ_JOBS,),
    )


def test_the_grants_of_a_user_have_the_namespace_of_each_rule() -> None:
    agents, team_a = (
        role_binding(SERVICE_ACCOUNT),
        role_binding(SERVICE_ACCOUNT, kind="ClusterRole", namespace="team-a"),
    )
    grants = authorizer(team_a, agents).grants_for(WORKER)
    assert [(grant.namespace, grant.role.kind, grant.rule) for grant in grants] == [
        ("agents", "Role", READ_PODS),
        ("team-a", "ClusterRole", READ_PODS),
        ("team-a", "ClusterRole", READ_METRICS),
    ]
