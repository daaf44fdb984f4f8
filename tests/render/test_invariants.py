"""Every invariant, over every case: examples, cases of the chart's ci/, mistakes and their cures."""

import json

import pytest

from support import reviewed
from support.invariants import INVARIANTS, cases
from support.judge import Judge

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_invariant_is_violated(judge: Judge, case: object) -> None:
    assert judge.broken(str(case)) == []


def test_every_case_of_a_mistake_and_every_right_one_is_there() -> None:
    wrong = [case for case in CASES if case.message is not None]
    assert len(wrong) > 100
    assert len(CASES) - len(wrong) > 80
    assert len({invariant.id for invariant in INVARIANTS}) == len(INVARIANTS)


def test_messages_are_the_reviewed_messages(judge: Judge) -> None:
    """After reading the difference: python tests/support/reviewed.py"""
    found = dict(reviewed.messages(judge.renderer, judge.cases))
    assert found == json.loads(reviewed.MESSAGES.read_text(encoding="utf-8"))


def test_expressions_of_guards_are_the_reviewed_expressions(judge: Judge) -> None:
    """After reading the difference: python tests/support/reviewed.py"""
    found = dict(reviewed.guards(judge.renderer, judge.cases))
    assert found == json.loads(reviewed.GUARDS.read_text(encoding="utf-8"))
