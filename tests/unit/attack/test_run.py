"""The result of a run. The requests on a real API server are tested in tests/cluster/test_attack.py."""

from pathlib import Path

import pytest

from agent_identities.attack.request import AttackRequest
from agent_identities.attack.requests import Attacker, listed_requests
from agent_identities.attack.result import Attack, Attempt
from agent_identities.attack.tokens import Holder, TokenStatus
from agent_identities.attack.verdict import Outcome, Verdict
from agent_identities.chart import values
from agent_identities.declaration import Declaration, Identity, declare

QUICKSTART = Path(__file__).parents[3] / "values" / "quickstart.yaml"
GOOD = {
    Outcome.RBAC,
    Outcome.GUARD,
    Outcome.TOKEN,
    Outcome.ASKED,
    Outcome.DECLARED,
    Outcome.EVERYONE,
    Outcome.WITHHELD,
}


@pytest.fixture
def declaration(chart: Path) -> Declaration:
    return declare(values.load(chart, [QUICKSTART]), namespace="agent-system")


def requests(declaration: Declaration, identity: Identity) -> dict[str, AttackRequest]:
    return {
        request.id: request
        for request in listed_requests(Attacker(declaration, identity, declaration.ungranted_namespace))
    }


def run(declaration: Declaration, token_status: TokenStatus = TokenStatus.READY, **ends: Outcome) -> Attack:
    """A run of two agents without findings, except for the outcomes of the named requests of the first agent."""
    one, other = declaration.agents[:2]
    holders = (Holder(one, token_status), Holder(other, TokenStatus.READY))
    attempts = [
        Attempt(who, request, Verdict(Outcome.EVERYONE if request.control else Outcome.RBAC))
        for who in (one, other)
        for request in requests(declaration, who).values()
    ]
    attempts = [
        Attempt(a.identity, a.request, Verdict(ends.get(a.request.id.replace("-", "_"), a.outcome)))
        if a.identity == one
        else a
        for a in attempts
    ]
    return Attack("https://here", declaration, holders, tuple(attempts), pairs=24, possible_pairs=156)


@pytest.mark.parametrize("outcome", sorted(GOOD))
def test_a_run_passes_if_requests_are_refused_or_declared(declaration: Declaration, outcome: Outcome) -> None:
    assert run(declaration, secret_list=outcome).ok


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - GOOD))
def test_a_run_does_not_pass_if_a_request_succeeds_or_is_not_sent(declaration: Declaration, outcome: Outcome) -> None:
    found = run(declaration, secret_list=outcome)
    assert not found.ok
    assert not found.inconclusive
    assert [each.request.id for each in found.of(outcome)] == ["secret-list"]


@pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.RBAC, Outcome.GUARD])
def test_a_failed_positive_control_makes_the_run_inconclusive(declaration: Declaration, outcome: Outcome) -> None:
    found = run(declaration, own_name=outcome)
    assert found.inconclusive
    assert not found.ok


def test_a_control_with_a_finding_is_successful(declaration: Declaration) -> None:
    found = run(declaration, own_rules=Outcome.UNEXPECTED)
    assert not found.inconclusive
    assert not found.ok


@pytest.mark.parametrize("token_status", [TokenStatus.ABSENT, TokenStatus.REFUSED])
def test_a_run_does_not_pass_if_an_agent_has_no_token(declaration: Declaration, token_status: TokenStatus) -> None:
    found = run(declaration, token_status)
    assert not found.ok
    assert not found.inconclusive


def test_a_run_passes_if_an_agent_has_no_token_as_declared(declaration: Declaration) -> None:
    assert run(declaration, TokenStatus.TOKENLESS).ok


def test_a_run_without_any_token_is_inconclusive(declaration: Declaration) -> None:
    holders = (Holder(declaration.agents[0], TokenStatus.TOKENLESS),)
    assert Attack("https://here", declaration, holders, (), pairs=0, possible_pairs=156).inconclusive


def test_requests_are_counted_by_agent(declaration: Declaration) -> None:
    found = run(declaration, secret_list=Outcome.UNEXPECTED)
    one, other = declaration.agents[:2]
    assert (found.count(Outcome.UNEXPECTED, one), found.count(Outcome.UNEXPECTED, other)) == (1, 0)
    assert found.count(Outcome.RBAC) == found.count(Outcome.RBAC, one) + found.count(Outcome.RBAC, other)
