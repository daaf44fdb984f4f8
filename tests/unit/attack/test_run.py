"""What a run as a whole proves. What its requests meet on a real API server stands in tests/cluster/test_attack.py."""

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


def run(declaration: Declaration, standing: TokenStatus = TokenStatus.READY, **ends: Outcome) -> Attack:
    """A run by two agents in which all went well, but for the requests of the first that are named."""
    one, other = declaration.agents[:2]
    holders = (Holder(one, standing), Holder(other, TokenStatus.READY))
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
def test_what_was_stopped_or_declared_is_a_pass(declaration: Declaration, outcome: Outcome) -> None:
    assert run(declaration, secret_list=outcome).ok


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - GOOD))
def test_an_unexpected_success_is_none_and_neither_is_what_was_not_sent(
    declaration: Declaration, outcome: Outcome
) -> None:
    found = run(declaration, secret_list=outcome)
    assert not found.ok
    assert not found.inconclusive
    assert [each.request.id for each in found.of(outcome)] == ["secret-list"]


@pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.RBAC, Outcome.GUARD])
def test_a_positive_control_that_fails_makes_the_run_void(declaration: Declaration, outcome: Outcome) -> None:
    found = run(declaration, own_name=outcome)
    assert found.inconclusive
    assert not found.ok


def test_a_control_that_finds_something_has_succeeded(declaration: Declaration) -> None:
    found = run(declaration, own_rules=Outcome.UNEXPECTED)
    assert not found.inconclusive
    assert not found.ok


@pytest.mark.parametrize("standing", [TokenStatus.ABSENT, TokenStatus.REFUSED])
def test_an_agent_that_could_not_be_attacked_from_is_no_pass(declaration: Declaration, standing: TokenStatus) -> None:
    found = run(declaration, standing)
    assert not found.ok
    assert not found.inconclusive


def test_an_agent_that_has_no_token_by_declaration_is_no_failure(declaration: Declaration) -> None:
    assert run(declaration, TokenStatus.TOKENLESS).ok


def test_a_run_without_a_single_token_is_void(declaration: Declaration) -> None:
    holders = (Holder(declaration.agents[0], TokenStatus.TOKENLESS),)
    assert Attack("https://here", declaration, holders, (), pairs=0, possible_pairs=156).inconclusive


def test_requests_are_counted_by_agent(declaration: Declaration) -> None:
    found = run(declaration, secret_list=Outcome.UNEXPECTED)
    one, other = declaration.agents[:2]
    assert (found.count(Outcome.UNEXPECTED, one), found.count(Outcome.UNEXPECTED, other)) == (1, 0)
    assert found.count(Outcome.RBAC) == found.count(Outcome.RBAC, one) + found.count(Outcome.RBAC, other)
