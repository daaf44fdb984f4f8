"""Every invariant, over every case: examples, cases of the chart's ci/, edge cases, and invalid values."""

import pytest

from mutation.judge import Judge
from mutation.mutant import Verdict
from support.cases import Case, cases
from support.invariants import INVARIANTS
from support.refusals import Refusal, faults, problems

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_invariant_is_violated(judge: Judge, case: Case) -> None:
    broken = judge.broken(case.name)
    assert broken == {}, str(Verdict(broken))


def test_valid_and_invalid_values_reach_every_template(judge: Judge) -> None:
    """A kind of object that no valid case prints, or a guard that none has, would be judged by nothing."""
    valid = [judge.message(case.name) for case in CASES if case.refusal is None]
    sources = {line for text in valid for line in text.splitlines() if line.startswith("# Source: ")}
    chart = judge.renderer.chart
    templates = {str(path.relative_to(chart)) for path in (chart / "templates").rglob("*.yaml")}
    assert {f"# Source: {chart.name}/{name}" for name in templates} <= sources


def test_invariants_have_names_of_their_own() -> None:
    assert len({invariant.id for invariant in INVARIANTS}) == len(INVARIANTS)


MESSAGE = """\
Error: execution error at (chart/templates/x.yaml:1:4):

1 problem in the values:

  agents.a.token.expirationSeconds: is 3607, a lifetime that becomes a year. Write: expirationSeconds: 3600
"""
WANTED = Refusal("agents.a.token.expirationSeconds", ("3607",))
GIVEN = {"agents": {"a": {"token": {"expirationSeconds": 3607}}}}


def takes(values: object) -> bool:
    return values == {"agents": {"a": {"token": {"expirationSeconds": 3600}}}}


def test_a_message_with_path_value_and_yaml_that_renders_has_no_fault() -> None:
    assert [problem.path for problem in problems(MESSAGE)] == [WANTED.path]
    assert list(faults(MESSAGE, WANTED, GIVEN, takes)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("agents.a.token.expirationSeconds:", "agents.a.token:", "does not name the path"),
        ("is 3607,", "has", "does not name 3607"),
        ("is 3607", "is %!d(string=3607)", "could not be formatted"),
        (". Write: expirationSeconds: 3600", "", "does not say what to do"),
        ("expirationSeconds: 3600", "expirationSeconds: 3607", "does not render with the YAML"),
        ("Write: expirationSeconds: 3600", "Write another", "does not render with the YAML"),
        ("1 problem in", "2 problems in", "counts 2 problems and lists 1"),
    ],
)
def test_a_message_without_one_of_these_has_a_fault_that_shows_the_message(old: str, new: str, fault: str) -> None:
    changed = MESSAGE.replace(old, new)
    (found,) = faults(changed, WANTED, GIVEN, takes)
    assert fault in found
    assert str(problems(changed)[0]) in found
