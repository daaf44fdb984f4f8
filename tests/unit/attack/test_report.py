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
from agent_identities.inventory import UndeclaredAccount
from agent_identities.report.formats.text import show

QUICKSTART = Path(__file__).parents[3] / "values" / "quickstart.yaml"
REASON = (
    'RBAC: allowed by RoleBinding "oops/agent-system" of Role "oops" to ServiceAccount "agent-worker-1/agent-system"'
)


@pytest.fixture
def declaration(chart: Path) -> Declaration:
    return declare(values.load(chart, [QUICKSTART]), namespace="agent-system")


def attack(declaration: Declaration, ends: dict[str, Verdict] | None = None, **more: Any) -> Attack:
    """A run of the first agent with these verdicts by request id; all other requests are refused."""
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


def test_the_report_of_a_run_without_findings_has_the_counts(declaration: Declaration) -> None:
    shown = text(attack(declaration))
    assert "agent-worker-1" in shown
    assert "0 unexpected · 0 not sent" in shown
    assert "✗" not in shown


def test_an_unexpected_success_has_its_request_answer_reason_and_remediation(declaration: Declaration) -> None:
    shown = text(attack(declaration, {"secret-list": Verdict(Outcome.UNEXPECTED, "200")}))
    assert "agent-worker-1: 1 request succeeded that the values do not declare." in shown
    assert (
        "list secrets in agent-system: secret-list; GET /api/v1/namespaces/agent-system/secrets?limit=500 → 200"
        in shown
    )
    assert REASON in shown
    assert "kubectl -n agent-system delete rolebinding oops" in shown


def test_requests_that_use_the_same_right_share_a_line(declaration: Declaration) -> None:
    passed = Verdict(Outcome.UNEXPECTED, "201")
    shown = text(attack(declaration, {"pod-as-sibling": passed, "pod-with-secret": passed}))
    assert "create pods in agent-system: pod-as-sibling, pod-with-secret; " in shown
    assert "and 1 more" in shown


def test_undeclared_rights_are_reported_even_if_no_request_uses_them(declaration: Declaration) -> None:
    beyond = Verdict(Outcome.UNEXPECTED, "has rights that the values do not declare: exec pods")
    assert "agent-worker-1: the token has rights that the values do not declare: exec pods." in text(
        attack(declaration, {"own-rules": beyond})
    )


def test_requests_that_were_not_sent_are_reported_with_the_reason(declaration: Declaration) -> None:
    lost = Verdict(Outcome.NOT_SENT, "the server went away")
    shown = text(attack(declaration, {"secret-list": lost, "exec": lost}))
    assert "agent-worker-1: 2 requests could not be sent, and prove nothing: the server went away" in shown


def test_the_report_of_an_inconclusive_run_says_so(declaration: Declaration) -> None:
    shown = text(attack(declaration, {"own-name": Verdict(Outcome.NOT_SENT, "401")}))
    assert "the positive control own-name did not succeed" in shown
    assert "INCONCLUSIVE" in shown


@pytest.mark.parametrize("token_status", [TokenStatus.ABSENT, TokenStatus.REFUSED])
def test_an_agent_without_a_token_is_reported_with_the_reason(
    declaration: Declaration, token_status: TokenStatus
) -> None:
    holders = (
        Holder(declaration.agents[0], TokenStatus.READY),
        Holder(declaration.agents[1], token_status, note="because"),
    )
    shown = text(attack(declaration, holders=holders))
    assert f"agent-worker-2: {token_status} (because). attack sent no requests as this agent." in shown


def test_guards_are_reported_with_the_number_of_refused_requests(declaration: Declaration) -> None:
    stopped = Verdict(Outcome.GUARD, "ValidatingAdmissionPolicy agents: not here")
    shown = text(attack(declaration, {"pod-as-sibling": stopped, "pod-with-secret": stopped}))
    assert "ValidatingAdmissionPolicy agents refused 2 requests." in shown


def test_the_report_has_the_commands_to_delete_leftovers(declaration: Declaration) -> None:
    assert "kubectl -n x delete pod y" in text(attack(declaration, leftovers=("kubectl -n x delete pod y",)))


def test_in_a_large_fleet_only_agents_with_findings_have_a_row(declaration: Declaration) -> None:
    one = declaration.agents[0]
    fleet = tuple(Holder(replace(one, name=f"a-{number}"), TokenStatus.READY) for number in range(100))
    found = attack(
        declaration,
        {"exec": Verdict(Outcome.UNEXPECTED, "404")},
        holders=(Holder(one, TokenStatus.READY), *fleet),
    )
    shown = text(found)
    assert "100 more, no findings" in shown
    assert "a-17" not in shown
    assert "agent-worker-1" in shown


def test_every_request_can_be_listed(declaration: Declaration) -> None:
    found = attack(declaration)
    shown = text(found, listing=True)
    assert all(each.request.id in shown for each in found.attempts)


def test_json_has_every_request_with_its_outcome(declaration: Declaration) -> None:
    found = attack(declaration, {"secret-list": Verdict(Outcome.UNEXPECTED, "200")})
    shown = json.loads(found.to_json())
    assert len(shown["attempts"]) == len(found.attempts)
    assert shown["counts"]["unexpected"] == 1
    assert sum(shown["counts"].values()) == len(found.attempts)
    (only,) = shown["unexpected"]
    assert only["request"]["path"] == "/api/v1/namespaces/agent-system/secrets?limit=500"
    assert (only["needs"], only["allowedBy"], only["rule"]) == ("list secrets", REASON, "secret-read")
    assert shown["ok"] is False


def test_markdown_has_the_same_content(declaration: Declaration) -> None:
    shown = attack(declaration, {"secret-list": Verdict(Outcome.UNEXPECTED, "200")}).to_markdown()
    assert "| **agent-worker-1** |" in shown
    assert "1 request succeeded that the values do not declare" in shown
    assert "kubectl -n agent-system delete rolebinding oops" in shown


def test_an_ascii_terminal_gets_only_ascii(declaration: Declaration) -> None:
    found = attack(declaration, {"secret-list": Verdict(Outcome.UNEXPECTED, "200")})
    assert "-> 200" in text(found, "ascii")


def test_an_undeclared_account_with_the_label_of_an_agent_is_a_finding(declaration: Declaration) -> None:
    found = attack(declaration, undeclared=(UndeclaredAccount("agent-system", "ghost", "other"),))
    assert not found.ok
    assert not found.inconclusive
    (finding,) = [each for each in found.findings if each.rule == "undeclared-account"]
    assert "agent-system/ghost (release other)" in finding.message
    assert finding.remediation[0] == "To remove it: kubectl -n agent-system delete serviceaccount ghost"
