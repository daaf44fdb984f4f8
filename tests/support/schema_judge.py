"""Judges mutants of the values schema: by values one step away from valid, and by values at the very bounds.

A looser schema is noticed where it takes what must be refused, a tighter one where it refuses what must be taken. Both
are asked of Python's validator and of Helm's, which must agree.

Where all that a looser schema takes is refused by the templates, with its place, the keyword is covered twice: who
writes such values is told the same, so that is no defect.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from jsonschema import Draft7Validator

from agent_identities.bundled import chart_path
from agent_identities.chart import schema
from agent_identities.chart.values import Values
from mutation.schema import SchemaMutant, steps_of
from render_worker import Answer, WorkerRenderer
from support.invariants import Case
from support.near_misses import NearMiss, Surroundings, Variant

Json = dict[str, Any]

REFUSES, TAKES, AGREE = "schema-refuses", "schema-takes", "validators-agree"
SAYS: Final = {
    REFUSES: "what is one step away from valid is refused, at its place",
    TAKES: "what is valid is taken, up to the very bounds",
    AGREE: "Helm's validator and Python's decide alike",
}

_ENOUGH: Final = 12
"""So many near misses that a mutant takes are shown to the templates, if there are more."""

_SCHEMA: Final = "specifications of the schema(s)"
_PROBLEMS: Final = " in the values:\n"


class SchemaJudge:
    """What is known of the schema as it is; asked about one mutant after the other."""

    def __init__(self, renderer: WorkerRenderer, cases: Sequence[Case]) -> None:
        self.renderer = renderer
        around = Surroundings(chart_path())
        self.text = around.text
        self.document: Json = json.loads(around.text)
        self.validator = around.validator
        self.right = [Variant(_own(case), "#", None, around.defaults) for case in cases if case.message is None]
        self.inside: dict[str, list[Variant]] = {}
        for variant in around.inside():
            self.inside.setdefault(variant.node, []).append(variant)
        self.near: dict[str, list[NearMiss]] = {}
        self.through: dict[str, list[NearMiss]] = {}
        for one in around.outside():
            if len(one.keywords) == 1:
                (keyword,) = one.keywords
                self.near.setdefault(keyword, []).append(one)
                for reference in one.through:
                    self.through.setdefault(reference, []).append(one)

    def baseline(self) -> set[str]:
        """The schema as it is: what is right must be taken, and there must be something wrong to refuse."""
        every = [*self.right, *(one for found in self.inside.values() for one in found)]
        taken = all(self.validator.is_valid(one.merged) for one in every)
        return (set() if taken else {TAKES}) | (set() if self.near else {REFUSES})

    def judge(self, mutant: SchemaMutant) -> set[str]:
        """The invariants that it breaks: none for one that nobody notices, or that is covered twice."""
        validator = schema.validator(mutant.text)
        renderer = self.renderer.with_chart_files({"values.schema.json": mutant.text})
        judged = self._looser if mutant.direction == "looser" else self._tighter
        return judged(mutant, validator, renderer)

    def _looser(self, mutant: SchemaMutant, validator: Draft7Validator, renderer: WorkerRenderer) -> set[str]:
        against = self._against(mutant)
        node = None if mutant.pointer.endswith("/$ref") else _node(validator, mutant.pointer.rpartition("/")[0])
        # at the place first: the whole of the values takes a hundred times as long
        here = [one for one in against if node is None or not any(True for _ in validator.descend(one.instance, node))]
        kept = set(here)
        taken = [one for one in _some(here) if validator.is_valid(one.merged)]
        refused = next((one for one in reversed(against) if one not in kept), None)
        broken = {AGREE} if refused and not _by_schema(_asked(renderer, refused), refused.place) else set()
        for one in taken:
            answer = _asked(renderer, one)
            if _by_schema(answer, one.place):
                return broken | {AGREE}
            if not _by_templates(answer, one.named):
                return broken | {REFUSES}
        return broken

    def _against(self, mutant: SchemaMutant) -> list[NearMiss]:
        """Those that the changed keyword alone refuses."""
        keyword = mutant.pointer
        if keyword.endswith("/$ref"):
            return self.through.get(keyword, [])
        if keyword.endswith("/patternProperties"):  # a key that fits none of them is refused by the keyword beside it
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
    """The values of a case alone, without the chart's."""
    return case.given.given


def _node(validator: Draft7Validator, pointer: str) -> Json:
    """The subschema at a pointer of the file."""
    found: Any = validator.schema
    for step in steps_of(pointer):
        found = found[step]
    assert isinstance(found, dict), pointer
    return found


def _some(taken: list[NearMiss]) -> list[NearMiss]:
    """At most so many of them, from the first to the last."""
    return taken[:: max(1, len(taken) // _ENOUGH)]


def _asked(renderer: WorkerRenderer, one: Variant) -> Answer:
    return renderer.submit(Values(overrides=one.given)).result()


def _by_schema(answer: Answer, place: str | None = None) -> bool:
    """Whether the schema refuses, at a place if one is given."""
    return not answer.ok and (f"at '{place}'" if place is not None else _SCHEMA) in answer.text


def _by_templates(answer: Answer, place: str) -> str:
    """What the templates' list of problems says of a place, or nothing."""
    if answer.ok or _PROBLEMS not in answer.text:
        return ""
    lines = [line.strip() for line in answer.text.partition(_PROBLEMS)[2].splitlines()]
    return next((line for line in lines if re.match(rf"{re.escape(place)}(?![\w.\[-])", line)), "") if place else ""
