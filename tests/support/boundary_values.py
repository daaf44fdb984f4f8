"""For every constraint of the values schema, values at the bound and one step beyond it. None are random.

Each begins as values that are right, with one place of them changed. What is outside has a place that a message must
name, and the keywords of the schema that refuse it, by their JSON pointers; a keyword is judged best by those that it
alone refuses.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

from agent_identities.chart import schema, values, yaml
from mutation.schema import escape
from support.schema import Node, Steps, ValuesSchema

Json = dict[str, Any]

_GONE: Final = object()
_LONG: Final = 70
_SHORT: Final = 3
_BITS: Final = 5
"""Parts of a text that are left out or repeated have so many characters at most."""

_MARKS: Final = "Aa09_-./:@! {\n"
"""A character of each class that a pattern of the schema lets in or keeps out."""

FOR_PARENTS: Final[Json] = {"global": {"any": "thing"}, "enabled": True}
"""Keys that charts above this one may set, and no template reads."""

BLOCKS: Final = (
    "255.255.255.255/32",
    *("0.0.0.0/0", "1.0.0.0/9", "209.249.250.255/32", "19.99.96.0/19", "1.12.199.200/29", "8.8.8.8/30", "::/0"),
    *("2001:db8::/32", "1:22:333:4444:AAAA:bbbb:9:f/128", "::/9", "::/99", "::/100", "::/109", "::/110", "::/119"),
    *("::/120", "::1/128", "::/10"),
)
"""Blocks of addresses that take every branch of the pattern for them."""

PORTS: Final = ("0-w-2", "10-https-20a", "w")
"""Names of ports, likewise."""


@dataclass(frozen=True, eq=False)
class Variant:
    """Values with one place changed: ``node`` is the pointer of its subschema, ``instance`` what stands there."""

    given: Json
    node: str
    instance: Any
    defaults: Json

    @cached_property
    def merged(self) -> Json:
        """The values as templates read them."""
        return values.with_defaults(self.given, self.defaults)


@dataclass(frozen=True, eq=False)
class OutOfBounds(Variant):
    """Values that the schema must refuse at ``place``, a JSON pointer, for what was changed at ``steps``.

    ``keywords`` of the schema refuse it; those in ``through`` are the references that lead there.
    """

    place: str
    steps: Steps
    keywords: frozenset[str]
    through: frozenset[str]

    @property
    def named(self) -> str:
        """The changed place as the templates write it: agents.a.tiers[0]."""
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.steps).removeprefix(".")


@dataclass(frozen=True)
class _Place:
    """Where a walk through values is: the values given and merged, and the subschema by its pointer."""

    steps: Steps
    given: Any
    default: Any
    node: Node
    pointer: str
    through: frozenset[str]


Changes = Callable[[Node, Any], Iterator[Any]]


class Boundaries:
    """Finds the values around each constraint of a chart's schema."""

    def __init__(self, chart: Path) -> None:
        self.text = (chart / "values.schema.json").read_text(encoding="utf-8")
        self.validator = schema.validator(self.text)
        self.schema = ValuesSchema(chart)
        self.schema.document = cast("Json", self.validator.schema)  # with patterns as Python reads them
        self.defaults = values.read(chart / "values.yaml")
        everything = yaml.load((chart / "ci/everything.yaml").read_text(encoding="utf-8"), name="everything.yaml")
        ports = [{"port": name} for name in PORTS]
        opened = {"named": {"to": [{"podSelector": {}}], "ports": ports}}
        network: Json = {"network": {"dns": {"cidrs": list(BLOCKS)}, "destinations": opened}}
        self.bases = [values.overlay(everything | FOR_PARENTS, network), FOR_PARENTS]
        self._shallow: dict[str, Node] = {}

    def inside(self) -> Iterator[Variant]:
        """The bases, and each with one place at a bound: the shortest, the least, each word, each type."""
        for base in self.bases:
            merged = values.with_defaults(base, self.defaults)
            for place in self._places(self._top(base)):
                yield Variant(base, place.pointer, _at(merged, place.steps), self.defaults)
            for steps, new, place, parent in self._changed(base, _at_bounds):
                given = replaced(base, steps, new)
                variant = Variant(given, place.pointer, new, self.defaults)
                if not list(self._errors(place, parent, variant.merged)):
                    yield variant
                    yield Variant(given, parent.pointer, _at(variant.merged, parent.steps), self.defaults)

    def outside(self) -> Iterator[OutOfBounds]:
        """One step outside of every constraint."""
        seen: set[str] = set()
        for base in self.bases:
            for steps, new, place, parent in self._changed(base, _beyond):
                variant = Variant(replaced(base, steps, new), place.pointer, new, self.defaults)
                text = json.dumps([steps, new is _GONE or new, new is _GONE])
                errors = [] if text in seen else list(self._errors(place, parent, variant.merged))
                seen.add(text)
                if errors:
                    below, instance, error, pointer, through = errors[0]
                    where = "".join(f"/{escape(str(step))}" for step in (*below.steps, *error))
                    keywords = frozenset(one[3] for one in errors)
                    yield OutOfBounds(
                        variant.given, _parent_of(pointer), instance, self.defaults, where, steps, keywords, through
                    )

    def _changed(self, base: Json, changes: Changes) -> Iterator[tuple[Steps, Any, _Place, _Place]]:
        """Every change of every place: (where, what stands there then, its place, the place around it)."""
        for parent in self._places(self._top(base)):
            for place in self._below(parent):
                yield from ((place.steps, new, place, parent) for new in changes(place.node, place.given))
            if changes is _beyond and isinstance(parent.given, dict):
                for key, new in _keys(parent):
                    yield (*parent.steps, key), new, parent, parent

    def _top(self, base: Json) -> _Place:
        return _Place((), base, self.defaults, self.schema.document, "#", frozenset())

    def _places(self, place: _Place) -> Iterator[_Place]:
        yield place
        for below in self._below(place):
            yield from self._places(below)

    def _below(self, place: _Place) -> Iterator[_Place]:
        entries = place.given.items() if isinstance(place.given, dict) else ()
        for key, value in entries:
            found = _entry(place.node, place.pointer, key)
            if found is not None and value is not None:
                inner = place.default.get(key) if isinstance(place.default, Mapping) else None
                yield self._place(place, key, value, inner, *found)
        if isinstance(place.given, list) and "items" in place.node:
            for index, value in enumerate(place.given):
                yield self._place(place, index, value, None, place.node["items"], f"{place.pointer}/items")

    def _place(self, around: _Place, step: str | int, given: Any, default: Any, node: Node, pointer: str) -> _Place:
        through = around.through
        while "$ref" in node:
            through |= {f"{pointer}/$ref"}
            pointer, node = node["$ref"], self.schema.document["definitions"][node["$ref"].rsplit("/", 1)[-1]]
        return _Place((*around.steps, step), given, default, node, pointer, through)

    def _errors(
        self, place: _Place, parent: _Place, merged: Json
    ) -> Iterator[tuple[_Place, Any, list[str | int], str, frozenset[str]]]:
        """What is wrong at a place that was changed and just around it: the rest is as it was, and right."""
        around = _at(merged, parent.steps)
        looked_at = [(parent, around, self._without_below(parent))]
        if place is not parent and isinstance(around, (dict, list)):
            there = place.steps[-1] in around if isinstance(around, dict) else True
            looked_at += [(place, _at(merged, place.steps), place.node)] if there else []
        for below, instance, node in looked_at:
            for error in self.validator.descend(instance, node):
                pointer, through = self._keyword(below, node, list(error.absolute_schema_path))
                path = list(error.absolute_path)
                if error.validator == "additionalProperties":
                    path.pop()  # Helm names the mapping that must not have the key
                yield below, error.instance, path, pointer, below.through | through

    def _without_below(self, place: _Place) -> Node:
        """A subschema that looks no deeper than at keys and length."""
        if place.pointer not in self._shallow:
            # With "$schema", jsonschema would take its own validator of that draft instead of the chart's.
            node = {key: value for key, value in place.node.items() if key not in ("items", "$schema")}
            for keyword in ("properties", "patternProperties"):
                if keyword in node:
                    node[keyword] = dict.fromkeys(node[keyword], True)
            if isinstance(node.get("additionalProperties"), dict):
                del node["additionalProperties"]
            self._shallow[place.pointer] = node
        return self._shallow[place.pointer]

    def _keyword(self, place: _Place, top: Node, path: Sequence[str | int]) -> tuple[str, frozenset[str]]:
        """The JSON pointer, in the file, of what an error's path ends at, and the references that it runs through."""
        pointer, through = place.pointer, frozenset[str]()
        node: Any = top
        for step in path:
            while isinstance(node, dict) and "$ref" in node:  # the path runs through it without a word
                through |= {f"{pointer}/$ref"}
                pointer = node["$ref"]
                node = self.schema.document["definitions"][pointer.rsplit("/", 1)[-1]]
            pointer, node = f"{pointer}/{escape(str(step))}", node[step] if isinstance(node, dict) else node
        return pointer, through


def _entry(node: Node, pointer: str, key: str) -> tuple[Node, str] | None:
    """The subschema of a key, and its pointer."""
    if key in node.get("properties", {}):
        return node["properties"][key], f"{pointer}/properties/{escape(key)}"
    for pattern, below in node.get("patternProperties", {}).items():
        return below, f"{pointer}/patternProperties/{escape(pattern)}"
    if isinstance(node.get("additionalProperties"), dict):
        return node["additionalProperties"], f"{pointer}/additionalProperties"
    return None


def _parent_of(pointer: str) -> str:
    return pointer.rpartition("/")[0]


def _at(given: Any, steps: Steps) -> Any:
    for step in steps:
        given = given[step]
    return given


def replaced(base: Any, steps: Steps, new: Any) -> Any:
    """The values with another one at a place; only what leads there is copied."""
    if not steps:
        return new
    step, *rest = steps
    made: Any = dict(base) if isinstance(base, dict) else list(base)
    if new is _GONE and not rest:
        del made[step]
    else:
        below = made.get(step) if isinstance(made, dict) else made[int(step)]
        made[step] = replaced(below, tuple(rest), new)
    return made


# ---- inside


def _at_bounds(node: Node, value: Any) -> Iterator[Any]:
    yield from node.get("enum", ())
    if isinstance(value, int) and not isinstance(value, bool):
        yield from (node[key] for key in ("minimum", "maximum") if key in node)
    if isinstance(value, str):
        yield from ("a" * node[key] for key in ("minLength", "maxLength") if key in node)
        if "pattern" in node:
            pattern = schema.go_pattern(node["pattern"])
            forms = _forms(value, pattern)
            short = [text for text in _edits(forms[0]) if len(text) <= len(forms[0]) + 3 and pattern.search(text)]
            yield from [*forms, *short]
    if isinstance(value, list) and node.get("minItems") is not None:
        yield value[: node["minItems"]]
    kinds = node.get("type", ())
    yield from (
        {"null": None, "boolean": True, "integer": 1, "string": "a"}[kind]
        for kind in kinds
        if isinstance(kinds, list) and kind in ("null", "boolean", "integer", "string")
    )
    if isinstance(value, dict):
        for pattern in map(schema.go_pattern, node.get("patternProperties", {})):
            below: Any = next(iter(value.values()), {})
            forms = _forms(next(iter(value), "a"), pattern)
            texts = [*forms, *(text for text in _edits(forms[0]) if len(text) < 4 and pattern.search(text))]
            yield from ({text: below} for text in texts)


def _forms(text: str, pattern: re.Pattern[str]) -> list[str]:
    """The text made as short as the pattern lets it, character by character, and as long; and the text itself.

    The shortest is the first; the last steps to it are there, too.
    """
    short = [text]
    while True:
        shorter = [short[0][:at] + short[0][at + 1 :] for at in range(len(short[0]))]
        found = next((one for one in shorter if pattern.search(one)), None)
        if found is None:
            break
        short.insert(0, found)
    long = text
    for at in reversed(range(len(text))):
        while len(long) < _LONG and pattern.search(grown := f"{long[: at + 1]}{long[at:]}"):
            long = grown
    return list(dict.fromkeys((short[0], *(one for one in short if len(one) <= _SHORT), long, text)))


# ---- outside


def _keys(place: _Place) -> Iterator[tuple[str, Any]]:
    """Keys that must not be there, and those that must be, taken out."""
    node = place.node
    below = next(iter(place.given.values()), 1)
    if node.get("additionalProperties") is False:
        yield "zzUnknown", below
    for pattern in map(schema.go_pattern, node.get("patternProperties", {})):
        name = next(iter(place.given), "a")
        forms = _forms(name, pattern)
        yield from ((text, below) for form in forms for text in _edits(form) if not pattern.search(text))
    for key in node.get("required", ()):
        yield key, None if isinstance(place.default, Mapping) and key in place.default else _GONE


def _beyond(node: Node, value: Any) -> Iterator[Any]:
    yield from ("zz", ["zz"], 7, True, 1.5, {"zz": "zz"})
    if "enum" in node:
        yield "Zz"
    if isinstance(value, int) and not isinstance(value, bool):
        yield from (node[key] + by for key, by in (("minimum", -1), ("maximum", 1)) if key in node)
    if isinstance(value, str):
        yield ""
        if "maxLength" in node:
            yield "a" * (node["maxLength"] + 1)
        if "pattern" in node:
            pattern = schema.go_pattern(node["pattern"])
            texts = [text for form in _forms(value, pattern) for text in _edits(form) if not pattern.search(text)]
            yield from dict.fromkeys(texts)
    if isinstance(value, list):
        yield []
        if value:
            yield [value[0], value[0]]
    if isinstance(value, dict):
        yield {}


def _edits(text: str) -> Iterator[str]:
    """The text with a character added or changed, or with a bit left out or repeated."""
    every = range(len(text) + 1)
    where = every if len(text) < _LONG else sorted({*every[:3], *every[-3:], every[len(every) // 2]})
    for at in where:
        for mark in _MARKS:
            yield text[:at] + mark + text[at:]
            yield text[:at] + mark + text[at + 1 :]
    for size in range(1, _BITS + 1):
        for at in where:
            yield text[:at] + text[at + size :]
            yield text[: at + size] + text[at:]
