import pytest

from agent_identities.rbac import Request
from agent_identities.rbac.served import UNKNOWN, Served, ServedResource, nearest_verb

ALL_VERBS = frozenset({"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"})
SERVED = Served(
    [
        ServedResource("", "pods", True, ALL_VERBS, frozenset({"pod", "po"})),
        ServedResource("", "pods/log", True, frozenset({"get"})),
        ServedResource("", "pods/exec", True, frozenset({"get", "create"})),
        ServedResource("", "configmaps", True, ALL_VERBS),
        ServedResource("", "serviceaccounts", True, ALL_VERBS),
        ServedResource("", "nodes", False, ALL_VERBS),
        ServedResource("", "namespaces", False, ALL_VERBS - {"deletecollection"}),
        ServedResource("apps", "deployments", True, ALL_VERBS),
        ServedResource("rbac.authorization.k8s.io", "clusterroles", False, ALL_VERBS),
    ],
    unread=["metrics.k8s.io"],
)


def sent(text: str, group: str = "", name: str = "", namespace: str = "team") -> Request | None:
    verb, item = text.split()
    resource, _, sub = item.partition("/")
    return SERVED.sent(Request(verb, group, resource, sub, name, namespace))


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("get pods", ""),
        ("create pods/exec", ""),
        ("patch deployments", "apps"),
        ("impersonate serviceaccounts", ""),
        ("impersonate:serviceaccount serviceaccounts", "authentication.k8s.io"),
        ("impersonate-on:serviceaccount:get pods", ""),
        ("update deployments/finalizers", "apps"),
        ("bind clusterroles", "rbac.authorization.k8s.io"),
        ("bind-agents serviceaccounts", ""),
        ("* *", "*"),
        ("get *", ""),
        ("create */exec", ""),
        ("get pods", "metrics.k8s.io"),
    ],
)
def test_a_request_that_exists_is_sent_as_it_is(text: str, group: str) -> None:
    answer = sent(text, group)
    assert answer is not None
    assert answer.namespace == "team"
    assert answer.api_group == group


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("get deployments", ""),
        ("get deployments", "apps/v1"),
        ("get events", "core"),
        ("get pod", ""),
        ("get Pods", ""),
        ("get pods/logs", ""),
        ("Get pods", ""),
        ("read pods", ""),
        ("list pods/log", ""),
        ("deletecollection namespaces", ""),
        ("impersonate-on:serviceaccount:get pod", ""),
        ("bind pods", ""),
    ],
)
def test_a_permission_that_no_request_uses_is_not_sent(text: str, group: str) -> None:
    assert sent(text, group) is None


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("get nodes", ""),
        ("get nodes/metrics", ""),
        ("list namespaces", ""),
        ("impersonate users", ""),
        ("escalate clusterroles", "rbac.authorization.k8s.io"),
        ("approve signers", "certificates.k8s.io"),
        ("get nodes", "*"),
    ],
)
def test_a_request_for_a_cluster_scoped_resource_has_no_namespace(text: str, group: str) -> None:
    answer = sent(text, group)
    assert answer is not None
    assert answer.namespace == ""


def test_a_request_for_a_namespace_by_name_is_within_that_namespace() -> None:
    answer = sent("get namespaces")
    assert answer is not None
    assert (answer.name, answer.namespace) == ("team", "team")
    other = sent("get namespaces", name="other")
    assert other is not None
    assert other.namespace == "other"


def test_a_deletecollection_request_has_no_name() -> None:
    assert sent("deletecollection configmaps", name="notes") is None
    assert sent("delete configmaps", name="notes") is not None


def test_everything_counts_as_usable_if_the_resources_are_unknown() -> None:
    request = Request("Get", "apps/v1", "pod", namespace="team")
    assert UNKNOWN.sent(request) == request


@pytest.mark.parametrize(
    ("verb", "right"), [("Get", "get"), ("read", "get, list, watch"), ("lst", "list"), ("remove", "delete"), ("xy", "")]
)
def test_the_nearest_verb_is_found(verb: str, right: str) -> None:
    assert nearest_verb(verb) == right
