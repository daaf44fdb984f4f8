"""A fixed set of mutants, and who notices each. `make mutants` tries them all.

tests/corpus/mutants/noticed.yaml names, for every invariant, a mutant of the chart that it notices; where it can be,
one that no other notices.
"""

from typing import TYPE_CHECKING

import pytest

from support.invariants import INVARIANTS
from support.judge import REFUSES, RENDERS, REVIEWED, Judge
from support.mutation import EXPECTED, Noticed, RenderedObjects, Schema, Templates, noticed
from support.schema_judge import AGREE, SAYS

if TYPE_CHECKING:
    from mutation.objects import ObjectMutant


@pytest.fixture(scope="module")
def templates(judge: Judge) -> Templates:
    return Templates(judge)


@pytest.fixture(scope="module")
def schema(judge: Judge) -> Schema:
    return Schema(judge)


@pytest.mark.parametrize("listed", noticed("template"), ids=str)
def test_a_mutant_of_a_template_is_noticed_by(templates: Templates, judge: Judge, listed: Noticed) -> None:
    mutant = templates.named(listed.mutant)
    assert judge.judge_case(listed.case, mutant.path, mutant.text) == listed.by


@pytest.mark.parametrize("listed", noticed("schema"), ids=str)
def test_a_mutant_of_the_schema_is_noticed_by(schema: Schema, listed: Noticed) -> None:
    assert schema.kill(schema.named(listed.mutant)) == listed.by


def test_every_change_of_an_object_is_noticed_by_the_expected_invariants(judge: Judge) -> None:
    """Of each kind of change, in each case, the first."""
    layer = RenderedObjects(judge)
    first: dict[tuple[str, str], ObjectMutant] = {}
    for mutant in layer.mutants():
        first.setdefault((mutant.mutator, mutant.id.partition(": ")[0]), mutant)
    assert {mutator for mutator, _ in first} == EXPECTED.keys()
    unnoticed = {}
    for mutant in first.values():
        broken = layer.kill(mutant)
        if not broken or layer.must_notice(mutant) - broken:
            unnoticed[mutant.id] = broken
    assert unnoticed == {}


def test_every_invariant_has_a_mutant_that_it_notices() -> None:
    names = [*(one.by for layer in ("template", "schema") for one in noticed(layer)), *EXPECTED.values()]
    invariants = {one.id for one in INVARIANTS} | {RENDERS, REFUSES, REVIEWED} | SAYS.keys()
    invariants -= {AGREE}  # the two validators read alike whatever the schema says; every mutant of it asks both
    assert invariants - {name for broken in names for name in broken} == set()
