"""When a decision of the evaluator and an answer of the API server are the same, and what is left of a difference."""

from collections.abc import Sequence
from typing import Any

import pytest

from agent_identities.kube.reviews import ReviewStatus
from agent_identities.rbac import Authorizer, Policy, Request, User
from differential.compare import agree
from differential.shrink import case_from_json, case_to_json, shrink

ALICE = User("alice", ("dev",))
GET_PODS = (ALICE, Request("get", resource="pods", namespace="n1"))
ALLOWED_BY = 'RBAC: allowed by RoleBinding "{}/n1" of Role "r1" to User "alice"'
NOT_FOUND = 'role.rbac.authorization.k8s.io "{}" not found'

Manifest = dict[str, Any]


def role(name: str, *rules: Manifest) -> Manifest:
    metadata = {"name": name, "namespace": "n1"}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": list(rules)}


def binding(name: str, to: str, *users: str) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": "n1"},
        "roleRef": {"kind": "Role", "name": to},
        "subjects": [{"kind": "User", "name": user} for user in users],
    }


def rule(*verbs: str, resources: Sequence[str] = ("pods",)) -> Manifest:
    return {"apiGroups": [""], "resources": list(resources), "verbs": list(verbs)}


TWICE = [role("r1", rule("get")), binding("b1", "r1", "alice"), binding("b2", "r1", "alice")]
DANGLING = [binding("b1", "r1", "alice"), binding("b2", "r2, or 3", "alice"), binding("b3", "r1", "alice")]


@pytest.mark.parametrize(
    ("manifests", "answer", "same"),
    [
        (TWICE, ReviewStatus(True, ALLOWED_BY.format("b1")), True),
        (TWICE, ReviewStatus(True, ALLOWED_BY.format("b2")), True),
        (TWICE, ReviewStatus(True, ALLOWED_BY.format("b3")), False),
        (TWICE, ReviewStatus(True), False),
        (TWICE, ReviewStatus(False), False),
        ([], ReviewStatus(False), True),
        ([], ReviewStatus(True, ALLOWED_BY.format("b1")), False),
        ([], ReviewStatus(False, f"RBAC: {NOT_FOUND.format('r1')}"), False),
        (DANGLING, ReviewStatus(False, f"RBAC: [{NOT_FOUND.format('r2, or 3')}, {NOT_FOUND.format('r1')}]"), True),
        (DANGLING, ReviewStatus(False, f"RBAC: {NOT_FOUND.format('r1')}"), False),
        (DANGLING, ReviewStatus(False), False),
        (DANGLING[:1], ReviewStatus(False, f"RBAC: {NOT_FOUND.format('r1')}"), True),
        (DANGLING[:1], ReviewStatus(False, f"rbac: RBAC: {NOT_FOUND.format('r1')}"), True),
    ],
)
def test_they_agree_on_the_decision_and_on_a_reason(
    manifests: list[Manifest], answer: ReviewStatus, same: bool
) -> None:
    assert agree(Authorizer(Policy.from_manifests(manifests)).decide(*GET_PODS), answer) == same


def test_whom_the_server_lets_pass_before_rbac_it_gives_no_reason_for() -> None:
    decision = Authorizer(Policy()).decide(User("root", ("system:masters",)), Request("get", resource="pods"))
    assert agree(decision, ReviewStatus(True))
    assert not agree(decision, ReviewStatus(True, ALLOWED_BY.format("b1")))


def test_a_difference_shrinks_to_what_it_is_about() -> None:
    manifests = [
        role("r1", rule("list", "get", resources=["services", "pods"]), rule("delete")),
        role("r2", rule("get")),
        binding("b1", "r1", "bob", "alice"),
        binding("b2", "r2", "bob"),
    ]

    def differs(fewer: Sequence[Any]) -> bool:
        return Authorizer(Policy.from_manifests(fewer)).decide(*GET_PODS).allowed

    assert shrink(manifests, differs) == (role("r1", rule("get")), binding("b1", "r1", "alice"))


def test_a_case_of_the_corpus_is_read_as_it_was_written() -> None:
    for asked in (GET_PODS, (User(""), Request("get", path="/a"))):
        text = case_to_json("a case", "v1.36.0", TWICE, asked, ReviewStatus(True, "because"))
        assert case_from_json(text) == (TWICE, asked, ReviewStatus(True, "because"))
