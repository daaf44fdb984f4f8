"""Judges mutants of the values schema with values at each bound and one step beyond it.

A looser schema is noticed if it accepts values that must be refused, a tighter schema if it refuses valid values. The
validators of Python and of Helm both decide, and must agree.

If the templates refuse, with the same path, all values that a looser schema accepts, the keyword is redundant: the user
gets the same error, so the mutant is not a defect.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from jsonschema import Draft7Validator

from agent_identities.bundled import chart_path
from agent_identities.chart import schema
from agent_identities.chart.values import Values
from mutation.schema import SchemaMutant, steps_of
from render_worker import Answer, WorkerRenderer
from support.boundary_values import Boundaries, OutOfBounds, Variant
from support.cases import Case
from support.refusals import is_by_templates, paths

Json = dict[str, Any]

REFUSES, TAKES, AGREE = "schema-refuses", "schema-takes", "validators-agree"
SAYS: Final = {
    REFUSES: "values one step beyond a bound are refused, with their path",
    TAKES: "values at the bounds are accepted",
    AGREE: "the validators of Helm and Python agree",
}

_ENOUGH: Final = 12
"""The maximum number of values that are rendered for a mutant."""

_SCHEMA: Final = "specifications of the schema(s)"


class SchemaJudge:
    """Judges one mutant of the schema after another."""

    def __init__(self, renderer: WorkerRenderer, cases: Sequence[Case]) -> None:
        self.renderer = renderer
        around = Boundaries(chart_path())
        self.text = around.text
        self.document: Json = json.loads(around.text)
        self.validator = around.validator
        self.right = [Variant(_own(case), "#", None, around.defaults) for case in cases if case.refusal is None]
        self.inside: dict[str, list[Variant]] = {}
        for variant in around.inside():
            self.inside.setdefault(variant.node, []).append(variant)
        self.near: dict[str, list[OutOfBounds]] = {}
        self.through: dict[str, list[OutOfBounds]] = {}
        for one in around.outside():
            if len(one.keywords) == 1:
                (keyword,) = one.keywords
                self.near.setdefault(keyword, []).append(one)
                for reference in one.through:
                    self.through.setdefault(reference, []).append(one)

    def baseline(self) -> set[str]:
        """The failures of the unchanged schema: it must accept the valid values, and refuse the invalid values."""
        every = [*self.right, *(one for found in self.inside.values() for one in found)]
        taken = all(self.validator.is_valid(one.merged) for one in every)
        return (set() if taken else {TAKES}) | (set() if self.near else {REFUSES})

    def judge(self, mutant: SchemaMutant) -> set[str]:
        """The invariants that a mutant breaks; none if no values notice it, or if its keyword is redundant."""
        validator = schema.validator(mutant.text)
        renderer = self.renderer.with_chart_files({"values.schema.json": mutant.text})
        judged = self._looser if mutant.direction == "looser" else self._tighter
        return judged(mutant, validator, renderer)

    def _looser(self, mutant: SchemaMutant, validator: Draft7Validator, renderer: WorkerRenderer) -> set[str]:
        against = self._against(mutant)
        node = None if mutant.pointer.endswith("/$ref") else _node(validator, mutant.pointer.rpartition("/")[0])
        # the changed value first: to validate all values takes a hundred times as long
        here = [one for one in against if node is None or not any(True for _ in validator.descend(one.instance, node))]
        kept = set(here)
        taken = [one for one in _some(here) if validator.is_valid(one.merged)]
        refused = next((one for one in reversed(against) if one not in kept), None)
        broken = {AGREE} if refused and not _by_schema(_asked(renderer, refused), refused.place) else set()
        for one in taken:
            answer = _asked(renderer, one)
            if _by_schema(answer, one.place):
                return broken | {AGREE}
            if answer.ok or not is_by_templates(answer.text) or one.named not in paths(answer.text):
                return broken | {REFUSES}
        return broken

    def _against(self, mutant: SchemaMutant) -> list[OutOfBounds]:
        """The values that the changed keyword alone refuses."""
        keyword = mutant.pointer
        if keyword.endswith("/$ref"):
            return self.through.get(keyword, [])
        if keyword.endswith("/patternProperties"):  # another keyword refuses a key that matches none of them
            keyword = keyword.removesuffix("patternProperties") + "additionalProperties"
        return self.near.get(keyword, [])

    def _tighter(self, mutant: SchemaMutant, validator: Draft7Validator, renderer: WorkerRenderer) -> set[str]:
        pointer = mutant.pointer.rpartition("/")[0]
        node = _node(validator, pointer)
        inside = self.inside.get(pointer, [])
        here = [one for one in inside if any(True for _ in validator.descend(one.instance, node))]
        refused = next((one for one in [*here, *self.right] if not validator.is_valid(one.merged)), None)
        taken = next((one for one in inside if validator.is_valid(one.merged)), None)
        broken = {AGREE} if taken and _by_schema(_asked(renderer, taken)) else set()
        if refused is None:
            return broken
        return broken | ({TAKES} if _by_schema(_asked(renderer, refused)) else {AGREE})


def _own(case: Case) -> Json:
    """The values of a case, without the chart's defaults."""
    return case.given.given


def _node(validator: Draft7Validator, pointer: str) -> Json:
    """The subschema at a pointer of the file."""
    found: Any = validator.schema
    for step in steps_of(pointer):
        found = found[step]
    assert isinstance(found, dict), pointer
    return found


def _some(taken: list[OutOfBounds]) -> list[OutOfBounds]:
    """At most this number of items, evenly from the first to the last."""
    return taken[:: max(1, len(taken) // _ENOUGH)]


def _asked(renderer: WorkerRenderer, one: Variant) -> Answer:
    return renderer.submit(Values(overrides=one.given)).result()


def _by_schema(answer: Answer, place: str | None = None) -> bool:
    """Whether the schema refuses the values, at a JSON pointer if one is given."""
    if answer.ok or _SCHEMA not in answer.text:
        return False
    return place is None or (place or "/") in paths(answer.text)
