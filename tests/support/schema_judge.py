"""Judges mutants of the values schema: by values one step away from valid, and by values at the very bounds.

A looser schema is noticed where it takes what must be refused, a tighter one where it refuses what must be taken: by
Python's validator, and by Helm's, which must agree.
"""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agent_identities import values
from agent_identities.data import chart_path
from agent_identities.helm import Target, Values
from agent_identities.mutants.schema import SchemaMutant, escape
from agent_identities.render_worker import WorkerRenderer
from support.invariants import Case
from support.schema import Node, Steps, ValuesSchema

Json = dict[str, Any]

REFUSES, TAKES, AGREE = "schema-refuses", "schema-takes", "validators-agree"
SAYS: Final = {
    REFUSES: "what is one step away from valid is refused, at its place",
    TAKES: "what is valid is taken, up to the very bounds",
    AGREE: "Helm's validator and Python's decide alike",
}
_GONE: Final = object()

Changes = Callable[[Node, Any], Iterator[Any]]

FOR_PARENTS: Final[Json] = {"global": {"any": "thing"}, "enabled": True}
"""Keys that charts above this one may set, and no template reads."""


@dataclass(frozen=True)
class NearMiss:
    """Values that the schema must refuse at a place, and the keywords of the schema that do, by their JSON pointers."""

    given: Json
    merged: Json
    place: str
    keywords: frozenset[str]


class SchemaJudge:
    """What is known of the schema as it is; asked about one mutant after the other."""

    def __init__(self, renderer: WorkerRenderer, cases: Sequence[Case]) -> None:
        self.renderer = renderer
        self.schema = ValuesSchema(chart_path())
        self.text = (chart_path() / "values.schema.json").read_text(encoding="utf-8")
        self.defaults = values.read(chart_path() / "values.yaml")
        right = [(_own(case), case.target) for case in cases if case.message is None]
        bases = [right[0][0] | FOR_PARENTS, FOR_PARENTS]
        bounds = [(one, right[0][1]) for base in bases for one in self._variants(base, _at_bounds)]
        validator = values.validator(self.text)
        merged = [
            (given, self._merged(given), target) for given, target in [*right, *((one, Target()) for one in bases)]
        ]
        self.right = merged + [
            (given, self._merged(given), at) for given, at in bounds if validator.is_valid(self._merged(given))
        ]
        self.near = list(self._near_misses(bases))

    def _merged(self, given: Json) -> Json:
        return values.with_defaults(given, self.defaults)

    def _near_misses(self, bases: Sequence[Json]) -> Iterator[NearMiss]:
        validator = values.validator(self.text)
        seen: set[str] = set()
        for base in bases:
            for given in self._variants(base, _beyond):
                merged = self._merged(given)
                text = json.dumps(merged, sort_keys=True)
                if text in seen:
                    continue
                seen.add(text)
                errors = list(validator.iter_errors(merged))
                if errors:
                    keywords = {self._keyword(list(error.absolute_schema_path)) for error in errors}
                    place = "".join(f"/{escape(str(step))}" for step in errors[0].absolute_path)
                    yield NearMiss(given, merged, place, frozenset(keywords))

    def _keyword(self, path: Sequence[str | int]) -> str:
        """The JSON pointer, in the file, of what an error's path ends at; the path runs through references."""
        pointer, node = "#", self.schema.document
        for step in path:
            while isinstance(node, dict) and "$ref" in node:  # the path runs through it without a word
                pointer = node["$ref"]
                node = self.schema.document["definitions"][pointer.removeprefix("#/definitions/")]
            key = str(step)
            if isinstance(node, dict) and key not in node:  # the validator's own spelling of a pattern
                key = next(name for name in node if name.removesuffix("$") == key.removesuffix(r"\Z"))
            pointer, node = f"{pointer}/{escape(key)}", node[key] if isinstance(node, dict) else node
        return pointer

    def _variants(self, base: Json, changes: Changes) -> Iterator[Json]:
        """The values with one place changed, for every place and every change of it."""
        for steps, new in _walk(base, self.schema, self.schema.document, self.defaults, (), changes):
            made = copy.deepcopy(base)
            place: Any = made
            for step in steps[:-1]:
                place = place[step]
            if new is _GONE:
                del place[steps[-1]]
            else:
                place[steps[-1]] = new
            yield made

    def baseline(self) -> set[str]:
        """The schema as it is: what is right must be taken, and there must be something wrong to refuse."""
        validator = values.validator(self.text)
        taken = all(validator.is_valid(merged) for _, merged, _ in self.right)
        return (set() if taken else {TAKES}) | (set() if self.near else {REFUSES})

    def judge(self, mutant: SchemaMutant) -> set[str]:
        """The invariants that it breaks: none for one that nobody notices."""
        validator = values.validator(mutant.text)
        renderer = self.renderer.with_chart_files({"values.schema.json": mutant.text})
        if mutant.direction == "looser":
            wrong = next((one for one in self._against(mutant) if validator.is_valid(one.merged)), None)
            if wrong is None:
                return set()
            answer = renderer.submit(Values(overrides=wrong.given)).result()
            return {REFUSES} | ({AGREE} if f"at '{wrong.place}'" in answer.text else set())
        for given, merged, target in self.right:
            if not validator.is_valid(merged):
                answer = renderer.submit(Values(overrides=given), target).result()
                return {TAKES} | ({AGREE} if answer.ok else set())
        return set()

    def _against(self, mutant: SchemaMutant) -> Iterator[NearMiss]:
        """Those that the changed keyword alone refuses."""
        keyword = mutant.pointer
        if keyword.endswith("/patternProperties"):  # a key that fits none of them is refused by the keyword beside it
            keyword = keyword.removesuffix("patternProperties") + "additionalProperties"
        return (one for one in self.near if one.keywords == {keyword})


def _own(case: Case) -> Json:
    """The values of a case alone, without the chart's."""
    return values.overlay(values.given(list(case.given.files)), dict(case.given.overrides))


def _walk(
    value: Any, schema: ValuesSchema, node: Node, default: Any, steps: Steps, changes: Changes
) -> Iterator[tuple[Steps, Any]]:
    node = schema.resolve(node)
    if steps:
        yield from ((steps, new) for new in changes(node, value))
    if isinstance(value, dict):
        entries = next(iter(node.get("patternProperties", {}).values()), None)
        if changes is _beyond:
            keys = ("Zz Unknown", "zz!", "!zz") if "patternProperties" in node else ("zzUnknown",)
            yield from (
                ((*steps, key), next(iter(value.values()), 1))
                for key in keys
                if node.get("additionalProperties") is False
            )
            for key in node.get("required", ()):
                yield (*steps, key), None if isinstance(default, Mapping) and key in default else _GONE
        for key, below in value.items():
            child = node.get("properties", {}).get(key, entries)
            child = child if child is not None else node.get("additionalProperties")
            if isinstance(child, dict) and below is not None:
                inner = default.get(key) if isinstance(default, Mapping) else None
                yield from _walk(below, schema, child, inner, (*steps, key), changes)
    if isinstance(value, list) and "items" in node:
        for index, below in enumerate(value):
            yield from _walk(below, schema, node["items"], None, (*steps, index), changes)


def _beyond(node: Node, value: Any) -> Iterator[Any]:
    """One step outside of each keyword."""
    yield from ("zz", ["zz"], 7, True, 1.5, {"zz": "zz"})
    if "enum" in node:
        yield "Zz"
    if isinstance(value, int) and not isinstance(value, bool):
        yield from (node[key] + by for key, by in (("minimum", -1), ("maximum", 1)) if key in node)
    if isinstance(value, str):
        yield from ("", "A b!", "{", "a/b", f"{value}\n")
        yield from (f"{before}{value}{after}" for mark in "!{ " for before, after in (("", mark), (mark, "")))
        if "maxLength" in node:
            yield "a" * (node["maxLength"] + 1)
    if isinstance(value, list):
        yield []
        if value:
            yield [value[0], value[0]]
    if isinstance(value, dict):
        yield {}


def _at_bounds(node: Node, value: Any) -> Iterator[Any]:
    """Each bound itself, each word of a list of words, each type."""
    yield from node.get("enum", ())
    if isinstance(value, int) and not isinstance(value, bool):
        yield from (node[key] for key in ("minimum", "maximum") if key in node)
    if isinstance(value, str):
        yield from ("a" * node[key] for key in ("minLength", "maxLength") if key in node)
    if isinstance(value, list) and node.get("minItems") is not None:
        yield value[: node["minItems"]]
    kinds = node.get("type", ())
    yield from (
        {"null": None, "boolean": True, "integer": 1, "string": "a"}[kind]
        for kind in kinds
        if isinstance(kinds, list) and kind in ("null", "boolean", "integer", "string")
    )
