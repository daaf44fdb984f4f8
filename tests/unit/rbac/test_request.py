import pytest

from agent_identities.rbac import Request, ServiceAccount, User


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (Request("get", "", "pods"), "get pods"),
        (Request("create", "", "pods", "exec"), "create pods/exec"),
        (Request("patch", "apps", "deployments"), "patch deployments.apps"),
        (Request("update", "apps", "deployments", "scale"), "update deployments.apps/scale"),
        (Request("get", "", "configmaps", name="notes"), "get configmaps named notes"),
        (Request("list", "", "secrets", namespace="ns"), "list secrets"),
        (Request("get", path="/logs/"), "get /logs/"),
        (Request("*", "*", "*"), "* *"),
    ],
)
def test_the_string_of_a_request_has_the_format_of_kubectl_auth_can_i(request_: Request, text: str) -> None:
    assert str(request_) == text


def test_an_action_has_no_name() -> None:
    assert Request("get", "", "configmaps", name="notes").action == "get configmaps"


def test_a_review_has_all_attributes_of_the_request() -> None:
    request = Request("update", "apps", "deployments", "scale", "web", "team")
    assert request.review(User("alice"))["spec"]["resourceAttributes"] == {
        "verb": "update",
        "group": "apps",
        "resource": "deployments",
        "subresource": "scale",
        "name": "web",
        "namespace": "team",
    }


def test_a_review_of_a_non_resource_request_has_its_path() -> None:
    assert Request("get", path="/a").review(User("alice", ("dev",)))["spec"] == {
        "user": "alice",
        "groups": ["dev"],
        "nonResourceAttributes": {"verb": "get", "path": "/a"},
    }


def test_a_review_has_the_groups_of_a_service_account() -> None:
    spec = Request("get", "", "pods").review(User.service_account("team", "a"))["spec"]
    assert spec["user"] == "system:serviceaccount:team:a"
    assert set(spec["groups"]) == {"system:serviceaccounts", "system:serviceaccounts:team", "system:authenticated"}


def test_a_review_without_a_user_is_a_self_subject_access_review() -> None:
    review = Request("get", "", "pods").review()
    assert review["kind"] == "SelfSubjectAccessReview"
    assert review["spec"] == {"resourceAttributes": {"verb": "get", "resource": "pods"}}


def test_a_service_account_is_parsed_from_its_user_name() -> None:
    account = ServiceAccount("team", "triage-1")
    assert ServiceAccount.of_user(account.username) == account
    assert str(account) == "team/triage-1"


@pytest.mark.parametrize(
    "username",
    [
        "alice",
        "system:serviceaccounts:team",
        "system:serviceaccount:team",
        "system:serviceaccount::a",
        "system:serviceaccount:team:",
        "system:serviceaccount:team:a:b",
    ],
)
def test_any_other_user_is_not_a_service_account(username: str) -> None:
    assert ServiceAccount.of_user(username) is None
