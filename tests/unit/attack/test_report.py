import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agent_identities.attack.requests import Attacker, listed_requests
from agent_identities.attack.result import Attack, Attempt
from agent_identities.attack.tokens import Holder, TokenStatus
from agent_identities.attack.verdict import Outcome, Verdict
from agent_identities.chart import values
from agent_identities.declaration import Declaration, declare
from agent_identities.kube.accounts import UndeclaredAccount
from agent_identities.report.formats.text import show

QUICKSTART = Path(__file__).parents[3] / "values" / "quickstart.yaml"
REASON = (
    'RBAC: allowed by RoleBinding "oops/agent-system" of Role "oops" to ServiceAccount "agent-worker-1/agent-system"'
)


@pytest.fixture
def declaration(chart: Path) -> Declaration:
    return declare(values.load(chart, [QUICKSTART]), namespace="agent-system")


def attack(declaration: Declaration, ends: dict[str, Verdict] | None = None, **more: Any) -> Attack:
    """A run by the first agent, in which the named requests end so and all others are refused."""
    one = declaration.agents[0]
    attempts = []
    for request in listed_requests(Attacker(declaration, one, declaration.ungranted_namespace)):
        fine = Verdict(Outcome.EVERYONE if request.control else Outcome.RBAC, "refused")
        verdict = (ends or {}).get(request.id, fine)
        reason = REASON if verdict.outcome is Outcome.UNEXPECTED and not request.control else ""
        attempts.append(Attempt(one, request, verdict, 403, reason))
    made = Attack("https://here", declaration, (Holder(one, TokenStatus.READY, pod="p"),), tuple(attempts), 12, 156)
    return replace(made, **more)


def text(found: Attack, encoding: str = "utf-8", *, listing: bool = False) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    show(found.report(listing=listing), Console(file=file, width=160, highlight=False))
    file.flush()
    return raw.getvalue().decode(encoding)


def test_a_clean_run_says_how_much_was_tried_and_how_it_was_stopped(declaration: Declaration) -> None:
    said = text(attack(declaration))
    assert "agent-worker-1" in said
    assert "0 unexpected · 0 not sent" in said
    assert "✗" not in said


def test_an_unexpected_success_is_told_with_request_answer_cause_and_cure(declaration: Declaration) -> None:
    said = text(attack(declaration, {"secret-list": Verdict(Outcome.UNEXPECTED, "200")}))
    assert "agent-worker-1: 1 request succeeded that the values do not declare." in said
    assert (
        "list secrets in agent-system: secret-list; GET /api/v1/namespaces/agent-system/secrets?limit=500 → 200" in said
    )
    assert REASON in said
    assert "kubectl -n agent-system delete rolebinding oops" in said


def test_requests_that_use_the_same_right_are_told_together(declaration: Declaration) -> None:
    passed = Verdict(Outcome.UNEXPECTED, "201")
    said = text(attack(declaration, {"pod-as-sibling": passed, "pod-with-secret": passed}))
    assert "create pods in agent-system: pod-as-sibling, pod-with-secret; " in said
    assert "and 1 more" in said


def test_rights_beyond_the_values_are_told_even_if_no_request_used_them(declaration: Declaration) -> None:
    beyond = Verdict(Outcome.UNEXPECTED, "holds beyond the values: exec pods")
    assert "agent-worker-1: its token holds beyond the values: exec pods." in text(
        attack(declaration, {"own-rules": beyond})
    )


def test_what_was_not_sent_is_told_with_its_reason(declaration: Declaration) -> None:
    lost = Verdict(Outcome.NOT_SENT, "the server went away")
    said = text(attack(declaration, {"secret-list": lost, "exec": lost}))
    assert "agent-worker-1: 2 requests could not be sent, and prove nothing: the server went away" in said


def test_a_void_run_says_so(declaration: Declaration) -> None:
    said = text(attack(declaration, {"own-name": Verdict(Outcome.NOT_SENT, "401")}))
    assert "the positive control own-name did not succeed" in said
    assert "INCONCLUSIVE" in said


@pytest.mark.parametrize("standing", [TokenStatus.ABSENT, TokenStatus.REFUSED])
def test_an_agent_without_a_token_is_told_with_the_reason(declaration: Declaration, standing: TokenStatus) -> None:
    holders = (
        Holder(declaration.agents[0], TokenStatus.READY),
        Holder(declaration.agents[1], standing, note="because"),
    )
    said = text(attack(declaration, holders=holders))
    assert f"agent-worker-2: {standing} (because): no request was sent with it." in said


def test_guards_are_named_with_what_they_stopped(declaration: Declaration) -> None:
    stopped = Verdict(Outcome.GUARD, "ValidatingAdmissionPolicy agents: not here")
    said = text(attack(declaration, {"pod-as-sibling": stopped, "pod-with-secret": stopped}))
    assert "ValidatingAdmissionPolicy agents stopped 2 requests." in said


def test_what_was_left_behind_is_told_as_the_command_that_removes_it(declaration: Declaration) -> None:
    assert "kubectl -n x delete pod y" in text(attack(declaration, leftovers=("kubectl -n x delete pod y",)))


def test_in_a_large_fleet_only_those_with_findings_have_a_row(declaration: Declaration) -> None:
    one = declaration.agents[0]
    fleet = tuple(Holder(replace(one, name=f"a-{number}"), TokenStatus.READY) for number in range(100))
    found = attack(
        declaration,
        {"exec": Verdict(Outcome.UNEXPECTED, "404")},
        holders=(Holder(one, TokenStatus.READY), *fleet),
    )
    said = text(found)
    assert "100 more, nothing found" in said
    assert "a-17" not in said
    assert "agent-worker-1" in said


def test_every_request_can_be_listed(declaration: Declaration) -> None:
    found = attack(declaration)
    said = text(found, listing=True)
    assert all(each.request.id in said for each in found.attempts)


def test_json_has_every_request_with_request_and_outcome(declaration: Declaration) -> None:
    found = attack(declaration, {"secret-list": Verdict(Outcome.UNEXPECTED, "200")})
    said = json.loads(found.to_json())
    assert len(said["attempts"]) == len(found.attempts)
    assert said["counts"]["unexpected"] == 1
    assert sum(said["counts"].values()) == len(found.attempts)
    (only,) = said["unexpected"]
    assert only["request"]["path"] == "/api/v1/namespaces/agent-system/secrets?limit=500"
    assert (only["needs"], only["allowedBy"], only["rule"]) == ("list secrets", REASON, "secret-read")
    assert said["ok"] is False


def test_markdown_says_the_same(declaration: Declaration) -> None:
    said = attack(declaration, {"secret-list": Verdict(Outcome.UNEXPECTED, "200")}).to_markdown()
    assert "| **agent-worker-1** |" in said
    assert "1 request succeeded that the values do not declare" in said
    assert "kubectl -n agent-system delete rolebinding oops" in said


def test_a_terminal_without_unicode_gets_it_in_ascii(declaration: Declaration) -> None:
    found = attack(declaration, {"secret-list": Verdict(Outcome.UNEXPECTED, "200")})
    assert "-> 200" in text(found, "ascii")


def test_an_undeclared_account_with_the_label_of_an_agent_is_a_finding(declaration: Declaration) -> None:
    found = attack(declaration, undeclared=(UndeclaredAccount("agent-system", "ghost", "other"),))
    assert not found.ok
    assert not found.inconclusive
    (finding,) = [each for each in found.findings if each.rule == "undeclared-account"]
    assert "agent-system/ghost (release other)" in finding.message
    assert finding.remediation[0] == "Not wanted: kubectl -n agent-system delete serviceaccount ghost"
