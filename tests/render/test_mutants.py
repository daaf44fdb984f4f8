"""A few mutants of the chart, and the invariants that notice each. `make mutants` tries all.

tests/corpus/mutants/noticed.yaml names, for every invariant, a mutant that it notices; where possible, one that no
other notices. Others may notice it, too: a new invariant changes nothing here.
"""

import pytest

from mutation.judge import REFUSES, RENDERS, Judge
from mutation.layers import EXPECTED, RenderedObjects, Schema, Templates
from mutation.lists import Noticed, noticed
from mutation.mutant import Verdict
from mutation.objects import ObjectMutant
from mutation.schema_judge import AGREE, SAYS
from support.invariants import CHECKS, INVARIANTS


@pytest.fixture(scope="module")
def templates(judge: Judge) -> Templates:
    return Templates(judge)


@pytest.fixture(scope="module")
def schema(judge: Judge) -> Schema:
    return Schema(judge)


@pytest.mark.parametrize("listed", noticed("template"), ids=str)
def test_a_mutant_of_a_template_is_noticed_by(templates: Templates, judge: Judge, listed: Noticed) -> None:
    mutant = templates.named(listed.mutant)
    broken = judge.judge_case(listed.case, mutant.path, mutant.text)
    assert broken.keys() >= listed.by, str(Verdict(broken))


@pytest.mark.parametrize("listed", noticed("schema"), ids=str)
def test_a_mutant_of_the_schema_is_noticed_by(schema: Schema, listed: Noticed) -> None:
    verdict = schema.judge(schema.named(listed.mutant))
    assert verdict.broken.keys() >= listed.by, str(verdict)


@pytest.fixture(scope="module")
def objects(judge: Judge) -> list[tuple[ObjectMutant, Verdict]]:
    """Of each kind of change of an object, in each case, the first."""
    layer = RenderedObjects(judge)
    first: dict[tuple[str, str], ObjectMutant] = {}
    for mutant in layer.mutants():
        first.setdefault((mutant.mutator, mutant.id.partition(": ")[0]), mutant)
    return [(mutant, layer.judge(mutant)) for mutant in first.values()]


def test_every_change_of_an_object_is_noticed_by_the_expected_invariants(
    objects: list[tuple[ObjectMutant, Verdict]],
) -> None:
    assert {mutant.mutator for mutant, _ in objects} == EXPECTED.keys()
    unnoticed = {
        mutant.id: str(verdict)
        for mutant, verdict in objects
        if not verdict.broken or EXPECTED[mutant.mutator] - verdict.broken.keys()
    }
    assert unnoticed == {}


def test_every_invariant_has_a_mutant_that_it_notices(objects: list[tuple[ObjectMutant, Verdict]]) -> None:
    """tests/unit/checks/test_each_check_can_fail.py shows the same of the checks: a new check needs no mutant here."""
    names = [*(one.by for layer in ("template", "schema") for one in noticed(layer))]
    names += [frozenset(verdict.broken) for _, verdict in objects]
    invariants = {one.id for one in INVARIANTS} - {one.id for one in CHECKS} | {RENDERS, REFUSES} | SAYS.keys()
    invariants -= {AGREE}  # the two validators agree whatever the schema says; every mutant of it asks both
    assert invariants - {name for broken in names for name in broken} == set()
