"""Mutants of a values schema: one keyword loosened or tightened, at one location in the file."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from mutation import patterns
from mutation.mutant import Mutant

Json = dict[str, Any]

_DROPPED: Final = (
    "pattern",
    "enum",
    "const",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "uniqueItems",
    "additionalProperties",
    "type",
    "$ref",
)
_LOWER: Final = ("minimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "maxLength", "maxItems", "maxProperties")
_COMBINED: Final = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependencies", "propertyNames", "const")


@dataclass(frozen=True, slots=True)
class SchemaMutant(Mutant):
    """``pointer`` is the JSON pointer of the keyword; ``schema`` is the whole document with the change.

    A ``looser`` mutant accepts values that the schema refuses; a ``tighter`` mutant refuses values that it accepts.
    """

    direction: Literal["looser", "tighter"]
    pointer: str
    schema: Json

    @property
    def text(self) -> str:
        """The file."""
        return json.dumps(self.schema)


def schema_mutants(schema: Json) -> Iterator[SchemaMutant]:
    """Every mutant of a schema (draft 7), in the order of the file. Raises ValueError for an unknown keyword."""
    for pointer, node in _nodes(schema, "#"):
        if unknown := [keyword for keyword in _COMBINED if keyword in node]:
            raise ValueError(f"{pointer}: {unknown[0]} has no mutants yet. Add them here.")
        for keyword, direction, change, new in _changes(node):
            changed = json.loads(json.dumps(schema))
            place = changed
            for step in steps_of(pointer):
                place = place[step]
            place.pop(keyword)
            place.update({} if new is None else {keyword: new})
            title = f"{pointer}/{keyword}: {change}"
            yield SchemaMutant(
                "schema", title, f"{_shown(node[keyword])} -> {_shown(new)}", direction, f"{pointer}/{keyword}", changed
            )


def _shown(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _nodes(node: Json, pointer: str) -> Iterator[tuple[str, Json]]:
    """Every subschema, by its JSON pointer."""
    yield pointer, node
    for keyword in ("properties", "patternProperties", "definitions"):
        for key, below in node.get(keyword, {}).items():
            yield from _nodes(below, f"{pointer}/{keyword}/{escape(key)}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(node.get(keyword), dict):
            yield from _nodes(node[keyword], f"{pointer}/{keyword}")


def escape(step: str) -> str:
    """A key, escaped for a JSON pointer."""
    return step.replace("~", "~0").replace("/", "~1")


def steps_of(pointer: str) -> list[str]:
    """The keys of a JSON pointer that begins with #."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _changes(node: Json) -> Iterator[tuple[str, Literal["looser", "tighter"], str, Any]]:
    """(keyword, direction, description of the change, new value; None removes the keyword)."""
    for keyword in _DROPPED:
        if keyword in node and not isinstance(node[keyword], dict):
            yield keyword, "looser", "dropped", None
    for keyword in _LOWER:
        if node.get(keyword):
            yield keyword, "looser", "one less", node[keyword] - 1
        if keyword in node:
            yield keyword, "tighter", "one more", node[keyword] + 1
    for keyword in _UPPER:
        if keyword in node:
            yield keyword, "looser", "one more", node[keyword] + 1
            yield keyword, "tighter", "one less", node[keyword] - 1
    for what, pattern in patterns.looser(node.get("pattern", "")):
        yield "pattern", "looser", what, pattern
    for what, pattern in patterns.tighter(node.get("pattern", "")):
        yield "pattern", "tighter", what, pattern
    for name in node.get("required", ()):
        yield "required", "looser", f"without {name}", [one for one in node["required"] if one != name]
    for value in node.get("enum", ()):
        yield "enum", "tighter", f"without {json.dumps(value)}", [one for one in node["enum"] if one != value]
    if isinstance(node.get("type"), list):
        for kind in node["type"]:
            yield "type", "tighter", f"no {kind}", [one for one in node["type"] if one != kind]
    for name in node.get("properties", ()):
        if node.get("additionalProperties") is False:
            rest = {key: below for key, below in node["properties"].items() if key != name}
            yield "properties", "tighter", f"no {name}", rest
    for key, below in node.get("patternProperties", {}).items():
        others = {other: one for other, one in node["patternProperties"].items() if other != key}
        for what, pattern in patterns.looser(key):
            yield "patternProperties", "looser", f"{what} of {key}", {**others, pattern: below}
        for what, pattern in patterns.tighter(key):
            yield "patternProperties", "tighter", f"{what} of {key}", {**others, pattern: below}
