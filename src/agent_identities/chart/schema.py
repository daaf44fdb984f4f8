"""The chart's JSON schema, judged as Helm judges it, each problem in one sentence."""

import difflib
import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import jsonschema
from jsonschema.exceptions import ValidationError


@dataclass(frozen=True, slots=True)
class Problem:
    """What the schema refuses: the ``path`` of the value, or of its key (``at_key``), and a sentence."""

    path: tuple[str | int, ...]
    sentence: str
    at_key: bool = False

    def __str__(self) -> str:
        return f"{path_text(self.path) or 'values'}: {self.sentence}"


def validator(schema: str) -> jsonschema.Draft7Validator:
    """A schema, given as the text of its file, that accepts and refuses what Helm's validator does."""
    return cast("jsonschema.Draft7Validator", _Validator(json.loads(schema)))


def problems(values: Mapping[str, Any], schema: jsonschema.Draft7Validator) -> Iterator[Problem]:
    """What the schema refuses, in no particular order."""
    for error in schema.iter_errors(values):
        path = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            closed = cast("Mapping[str, Any]", error.schema)
            yield Problem(path, _unknown_key(str(path[-1]), closed), at_key=True)
        else:
            sentence = _sentence(error.validator, error.validator_value, error.instance, error.message)
            if error.validator == "pattern" and not _WORDS.fullmatch(str(error.validator_value)):
                sentence += _expected(cast("Mapping[str, Any]", error.schema))
            yield Problem(path, sentence)


def unknown_tiers(values: Mapping[str, Any]) -> Iterator[Problem]:
    """The tiers of agents that are not in ``tiers``, which a schema cannot find. The values must be completed."""
    known = sorted({"proxy", *(values.get("tiers") or {})})
    for entry, agent in (values.get("agents") or {}).items():
        lists: dict[tuple[str, ...], Sequence[str]] = {("agents", entry, "tiers"): agent.get("tiers") or ()}
        for namespace, granted in (agent.get("namespaces") or {}).items():
            lists["agents", entry, "namespaces", namespace] = granted or ()
        for path, tiers in lists.items():
            for index, tier in enumerate(tiers):
                if tier not in known:
                    close = difflib.get_close_matches(tier, known, n=1)
                    hint = f"Did you mean {close[0]!r}?" if close else f"Known tiers: {', '.join(known)}."
                    yield Problem((*path, index), f"there is no tier {tier!r}. {hint} To define it, add it to `tiers`.")


@functools.cache
def go_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern as Go reads it: `$` is only the end of the text, and classes are ASCII (pkg.go.dev/regexp/syntax)."""
    parts = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", lambda part: r"\Z" if part[0] == "$" else part[0], pattern)
    return re.compile(parts, re.ASCII)


def _pattern(_validator: Any, pattern: str, instance: object, _schema: object) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not go_pattern(pattern).search(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: object, _schema: object
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, below in patterns.items():
        for key, value in instance.items():
            if go_pattern(pattern).search(key):
                yield from validator.descend(value, below, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, additional: object, instance: object, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    """One error for each key that is not allowed, with the key at the end of its path."""
    if not isinstance(instance, dict):
        return
    known = schema.get("properties", {})
    patterns = [go_pattern(pattern) for pattern in schema.get("patternProperties", {})]
    for key, value in instance.items():
        if key in known or any(pattern.search(key) for pattern in patterns):
            continue
        if additional is False:
            yield ValidationError(f"{key!r} is not allowed", path=[key])
        elif isinstance(additional, dict):
            yield from validator.descend(value, additional, path=key)


_Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call] # the stubs of jsonschema have no types for it
    jsonschema.Draft7Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    },
)


def _unknown_key(key: str, schema: Mapping[str, Any]) -> str:
    if "properties" not in schema:
        return (
            f"{key!r} is not a DNS label. Use lower-case letters, digits and '-', "
            "beginning and ending with a letter or digit, 63 at most."
        )
    known = sorted(schema.get("properties", {}))
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(known)}."
    return f"there is no key {key!r} here. {hint}"


def _sentence(keyword: object, limit: Any, given: Any, message: str) -> str:
    """What the schema's keyword asks for, in words, with what was given."""
    shown = json.dumps(given)[:80]
    match keyword:
        case "type":
            kinds = [limit] if isinstance(limit, str) else [kind for kind in limit if kind != "null"]
            wanted = " or ".join(_KINDS[kind] for kind in kinds)
            kind = kind_of(given) if given is None else f"{kind_of(given)} ({shown})"
            return f"is {kind} where {wanted} is expected."
        case "minimum":
            return f"is {shown}; the minimum is {limit}."
        case "maximum":
            return f"is {shown}; the maximum is {limit}."
        case "minItems":
            return "is empty; at least one entry is required. Without entries, omit the key."
        case "required":
            return f"lacks {', '.join(key for key in limit if key not in given)}."
        case "enum":
            return f"is {shown}; use one of {', '.join(str(each) for each in limit if each is not None)}."
        case "uniqueItems":
            return f"names one entry twice: {shown}."
        case "pattern" if words := _WORDS.fullmatch(limit):
            return f"is {shown}; use one of {words[1].replace('|', ', ')}."
        case "pattern":
            return f"is {shown}, which does not match {limit}."
        case _:
            return f"{message}."


def _expected(schema: Mapping[str, Any]) -> str:
    """What the schema says about a value, after a sentence with a pattern, which few people read."""
    return f" Expected: {schema['description']}" if "description" in schema else ""


_WORDS = re.compile(r"\^\(([A-Za-z]+(?:\|[A-Za-z]+)+)\)\$")
"""A pattern that lists words, for keys that allow null, too: Helm shows null in an enum as <nil>."""

_KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "a mapping",
    "string": "text",
}
"""The types of JSON schema, in words."""


def path_text(parts: Sequence[str | int]) -> str:
    """A path in the values, as the chart's own messages write it: agents.a.tiers[0]."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def kind_of(value: object) -> str:
    """What a value is, in words."""
    names = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "nothing (null)")
