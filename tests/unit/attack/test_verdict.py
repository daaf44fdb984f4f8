import json
from typing import Any

import pytest

from agent_identities.attack.request import AttackRequest, TokenKind, request_using
from agent_identities.attack.requests import Attacker, listed_requests
from agent_identities.attack.verdict import Outcome, Verdict, judge, refusing_policy, rights_needed
from agent_identities.declaration import Declaration, Identity, declare
from agent_identities.kube.client import Answer
from agent_identities.rbac import Request
from agent_identities.rbac.request_info import request_info

HOME = "agent-system"
READ = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
USER = "system:serviceaccount:agent-system:a"
DENIED = (
    "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'agents-guard' with binding 'agents-guard' denied request: "
    "not as another agent"
)


@pytest.fixture
def declaration() -> Declaration:
    values = {
        "proxy": {"name": "agent-proxy", "rules": [READ], "impersonation": "legacy"},
        "tiers": {"none": {"rules": []}},
        "agents": {"a": {"tiers": ["none"]}, "reader": {}, "shopper": {"access": "proxied"}},
    }
    return declare(values, namespace=HOME)


def one(declaration: Declaration, name: str) -> Identity:
    return next(each for each in declaration.identities if each.name == name)


def sending(method: str, path: str, **more: Any) -> AttackRequest:
    return AttackRequest("x", method, path, "y", more.pop("headers", {}), **more)


def listed(declaration: Declaration, name: str, wanted: str) -> AttackRequest:
    attacker = Attacker(declaration, one(declaration, name), declaration.ungranted_namespace)
    return next(each for each in listed_requests(attacker) if each.id == wanted)


def status(code: int, message: str = "", reason: str = "Forbidden") -> Answer:
    return Answer(code, {"kind": "Status", "message": message, "reason": reason, "code": code})


def forbidden(verb: str, resource: str, *, user: str = USER, group: str = "", namespace: str = HOME) -> Answer:
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    return status(
        403, f'x is forbidden: User "{user}" cannot {verb} resource "{resource}" in API group "{group}" {where}'
    )


SECRETS = sending("GET", "/api/v1/namespaces/agent-system/secrets")
PODS = sending("GET", "/api/v1/namespaces/agent-system/pods")


def outcome(declaration: Declaration, name: str, what: AttackRequest, answer: Answer) -> Outcome:
    return judge(what, one(declaration, name), answer, declaration).outcome


# ---- refusals


def test_the_authorizers_403_for_exactly_this_request_is_a_refusal(declaration: Declaration) -> None:
    assert outcome(declaration, "a", SECRETS, forbidden("list", "secrets")) is Outcome.RBAC


@pytest.mark.parametrize(
    "answer",
    [
        forbidden("watch", "secrets"),  # another verb
        forbidden("list", "configmaps"),  # another resource
        forbidden("list", "secrets", group="apps"),  # another group
        forbidden("list", "secrets", namespace="default"),  # another namespace
        forbidden("list", "secrets", namespace=""),  # cluster-wide
        forbidden("list", "secrets", user="system:anonymous"),  # another user
        status(403, 'x is forbidden: user "a" is attempting to grant RBAC permissions not currently held'),
        status(403, 'pods "x" is forbidden: violates PodSecurity "restricted:latest"'),
        status(404, 'secrets "x" not found', "NotFound"),
        status(405, "the server does not allow this method", "MethodNotAllowed"),
        status(400, "Upgrade request required", "BadRequest"),
        status(409, "the UID in the precondition does not match", "Conflict"),
        status(422, "metadata.name: Required value", "Invalid"),
        Answer(404, {}),  # "404 page not found", in plain text
        Answer(200, {"kind": "SecretList", "items": []}),
        Answer(301, {}),
    ],
)
def test_any_other_answer_means_that_the_authorizer_allowed_the_request(
    declaration: Declaration, answer: Answer
) -> None:
    assert outcome(declaration, "a", SECRETS, answer) is Outcome.UNEXPECTED


def test_a_refused_second_check_is_not_a_refusal_of_the_request(declaration: Declaration) -> None:
    """Server-side apply needs patch, and create if the object does not exist."""
    applied = listed(declaration, "a", "secret-apply")
    assert outcome(declaration, "a", applied, forbidden("patch", "secrets")) is Outcome.RBAC
    assert outcome(declaration, "a", applied, forbidden("create", "secrets")) is Outcome.UNEXPECTED


def test_refusals_of_subresources_and_urls_are_recognized(declaration: Declaration) -> None:
    shell = listed(declaration, "a", "exec")
    assert outcome(declaration, "a", shell, forbidden("create", "pods/exec")) is Outcome.RBAC
    assert outcome(declaration, "a", shell, forbidden("create", "pods")) is Outcome.UNEXPECTED
    logs = listed(declaration, "a", "node-logs")
    refused = status(403, f'forbidden: User "{USER}" cannot get path "/logs/"')
    assert outcome(declaration, "a", logs, refused) is Outcome.RBAC


def test_a_refusal_that_names_a_guard_counts_with_any_status(declaration: Declaration) -> None:
    create = sending("POST", "/api/v1/namespaces/agent-system/pods?dryRun=All")
    for answer in (status(403, DENIED), status(422, DENIED, "Invalid"), status(401, DENIED, "Unauthorized")):
        verdict = judge(create, one(declaration, "a"), answer, declaration)
        assert verdict == Verdict(Outcome.GUARD, "ValidatingAdmissionPolicy agents-guard: not as another agent")
    assert refusing_policy('admission webhook "x" denied the request') == ""


# ---- what is allowed


def test_a_request_that_the_tiers_grant_is_allowed_as_declared(declaration: Declaration) -> None:
    assert outcome(declaration, "reader", PODS, Answer(200, {})) is Outcome.DECLARED
    assert outcome(declaration, "a", PODS, Answer(200, {})) is Outcome.UNEXPECTED
    elsewhere = sending("GET", "/api/v1/namespaces/default/pods")
    assert outcome(declaration, "reader", elsewhere, Answer(200, {})) is Outcome.UNEXPECTED


def test_a_declared_request_that_the_server_refuses_is_withheld(declaration: Declaration) -> None:
    refused = forbidden("list", "pods", user="system:serviceaccount:agent-system:reader")
    assert outcome(declaration, "reader", PODS, refused) is Outcome.WITHHELD


def test_a_request_allowed_to_every_service_account_is_not_a_finding(declaration: Declaration) -> None:
    assert outcome(declaration, "a", sending("GET", "/version"), Answer(200, {})) is Outcome.EVERYONE
    review = sending("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
    assert outcome(declaration, "a", review, Answer(201, {})) is Outcome.EVERYONE
    assert outcome(declaration, "a", sending("GET", "/metrics"), Answer(200, {})) is Outcome.UNEXPECTED


# ---- what was not sent


@pytest.mark.parametrize("code", [401, 429, 500, 502, 503, 504])
def test_a_server_error_means_that_the_request_was_not_sent(declaration: Declaration, code: int) -> None:
    assert outcome(declaration, "a", SECRETS, status(code, "later", "x")) is Outcome.NOT_SENT


def test_a_server_error_of_an_authorized_request_is_a_finding(declaration: Declaration) -> None:
    trouble = status(503, 'no endpoints available for service "x"', "ServiceUnavailable")
    verdict = judge(SECRETS, one(declaration, "a"), trouble, declaration, authorized=True)
    assert verdict.outcome is Outcome.UNEXPECTED


def test_a_403_without_a_status_object_does_not_count(declaration: Declaration) -> None:
    assert outcome(declaration, "a", SECRETS, Answer(403, {})) is Outcome.NOT_SENT


# ---- reviews


def test_a_right_that_no_request_uses_is_reviewed(declaration: Declaration) -> None:
    right = Request("bind", "rbac.authorization.k8s.io", "roles", namespace=HOME)
    asked = request_using(right, id="x", why="y")
    assert outcome(declaration, "a", asked, Answer(201, {"status": {"allowed": False}})) is Outcome.ASKED
    assert outcome(declaration, "a", asked, Answer(201, {"status": {"allowed": True}})) is Outcome.UNEXPECTED
    may_not_ask = forbidden("create", "selfsubjectaccessreviews", group="authorization.k8s.io", namespace="")
    assert outcome(declaration, "a", asked, may_not_ask) is Outcome.NOT_SENT


# ---- positive controls


def rules(*held: dict[str, Any]) -> Answer:
    everyone = {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews"]}
    urls = {"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/version"]}
    return Answer(201, {"status": {"resourceRules": [everyone, *held], "nonResourceRules": [urls]}})


def test_undeclared_rules_in_the_self_subject_rules_review_are_a_finding(declaration: Declaration) -> None:
    control = listed(declaration, "reader", "own-rules")
    assert outcome(declaration, "reader", control, rules(READ)) is Outcome.EVERYONE
    more = {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"], "resourceNames": ["web"]}
    verdict = judge(control, one(declaration, "reader"), rules(READ, more), declaration)
    assert verdict == Verdict(
        Outcome.UNEXPECTED, "has rights that the values do not declare: patch deployments.apps/scale named web"
    )


def test_a_self_subject_rules_review_without_rules_does_not_pass(declaration: Declaration) -> None:
    control = listed(declaration, "reader", "own-rules")
    assert outcome(declaration, "reader", control, Answer(201, {})) is Outcome.NOT_SENT


@pytest.mark.parametrize(("name", "expected"), [(USER, Outcome.EVERYONE), ("jane", Outcome.NOT_SENT)])
def test_the_token_must_belong_to_the_agent(declaration: Declaration, name: str, expected: Outcome) -> None:
    control = listed(declaration, "a", "own-name")
    answer = Answer(201, {"status": {"userInfo": {"username": name}}})
    assert outcome(declaration, "a", control, answer) is expected


@pytest.mark.parametrize("token", [TokenKind.OTHER_AUDIENCE, TokenKind.DELETED_ACCOUNT])
def test_only_401_is_a_refusal_of_an_invalid_token(declaration: Declaration, token: TokenKind) -> None:
    sent = sending("GET", "/api", token=token)
    assert outcome(declaration, "a", sent, status(401, "Unauthorized", "Unauthorized")) is Outcome.TOKEN
    assert outcome(declaration, "a", sent, Answer(200, {})) is Outcome.UNEXPECTED
    assert outcome(declaration, "a", sent, forbidden("list", "secrets")) is Outcome.UNEXPECTED
    assert outcome(declaration, "a", sent, status(503, "later", "x")) is Outcome.NOT_SENT


# ---- impersonation


def as_user(user: str, path: str, **more: str) -> AttackRequest:
    return sending("GET", path, headers={"Impersonate-User": user, **more})


def test_each_impersonation_header_needs_a_right() -> None:
    plain = as_user("x", "/api/v1/secrets", **{"Impersonate-Group": "system:masters"})
    assert rights_needed(plain) == (
        (
            Request("impersonate", "", "users", "", "x"),
            Request("impersonate", "", "groups", "", "system:masters"),
        ),
    )
    scoped = as_user(USER, "/api/v1/secrets", **{"Impersonate-Uid": "1", "Impersonate-Extra-Scopes": "s"})
    assert [right.action for right in rights_needed(scoped)[0]] == [
        "impersonate serviceaccounts",
        "impersonate uids.authentication.k8s.io",
        "impersonate userextras.authentication.k8s.io/scopes",
    ]


def test_a_service_account_can_be_impersonated_in_two_ways() -> None:
    legacy, constrained = rights_needed(as_user(USER, "/api/v1/namespaces/agent-system/pods"))
    assert legacy == (Request("impersonate", "", "serviceaccounts", "", "a", HOME),)
    assert constrained == (
        Request("impersonate:serviceaccount", "authentication.k8s.io", "serviceaccounts", "", "a", HOME),
        Request("impersonate-on:serviceaccount:list", "", "pods", "", "", HOME),
    )


@pytest.mark.parametrize("verb", ["impersonate", "impersonate-on:serviceaccount:list", "impersonate:serviceaccount"])
def test_a_refused_impersonation_is_a_refusal(declaration: Declaration, verb: str) -> None:
    sent = as_user("system:serviceaccount:kube-system:default", "/api/v1/secrets")
    assert outcome(declaration, "a", sent, forbidden(verb, "serviceaccounts", namespace="kube-system")) is Outcome.RBAC


def test_undeclared_impersonation_is_a_finding_even_if_the_impersonated_user_is_refused(
    declaration: Declaration,
) -> None:
    sent = as_user("system:serviceaccount:agent-system:reader", "/api/v1/secrets")
    refused = forbidden("list", "secrets", user="system:serviceaccount:agent-system:reader", namespace="")
    assert outcome(declaration, "a", sent, refused) is Outcome.UNEXPECTED


@pytest.mark.parametrize(
    ("path", "answer", "expected"),
    [
        ("/api/v1/namespaces/agent-system/pods", Answer(200, {}), Outcome.DECLARED),
        ("/api/v1/namespaces/agent-system/secrets", Answer(200, {}), Outcome.UNEXPECTED),
        (
            "/api/v1/namespaces/agent-system/secrets",
            forbidden("list", "secrets", user="system:serviceaccount:agent-system:shopper"),
            Outcome.RBAC,
        ),
    ],
)
def test_requests_of_the_proxy_as_an_agent_need_the_rights_of_the_agent(
    declaration: Declaration, path: str, answer: Answer, expected: Outcome
) -> None:
    sent = as_user("system:serviceaccount:agent-system:shopper", path)
    assert outcome(declaration, "agent-proxy", sent, answer) is expected


def test_the_proxy_must_not_impersonate_agents_that_are_not_proxied(declaration: Declaration) -> None:
    sent = as_user("system:serviceaccount:agent-system:reader", "/api/v1/namespaces/agent-system/pods")
    assert outcome(declaration, "agent-proxy", sent, Answer(200, {})) is Outcome.UNEXPECTED


def test_verdicts_contain_no_content_of_objects(declaration: Declaration) -> None:
    secret = Answer(200, {"kind": "Secret", "message": "hunter2", "data": {"password": "aHVudGVyMg=="}})
    verdict = judge(SECRETS, one(declaration, "a"), secret, declaration)
    assert "hunter2" not in json.dumps(verdict.how)
    assert request_info("GET", SECRETS.path) == SECRETS.needs
