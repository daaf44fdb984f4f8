"""The values a chart is rendered with: read strictly, merged as Helm merges them, checked against the schema."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import jsonschema

from agent_identities.chart import yaml
from agent_identities.errors import AgentIdentitiesError


class ValuesError(AgentIdentitiesError):
    """Values files that cannot be read, or that the chart's schema refuses."""


def read(path: Path) -> dict[str, Any]:
    """The mapping in a values file; {} if it is empty. Raises ValuesError or YamlError with the file and the line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        raise ValuesError(f"{path}: {reason}. Name a values file that can be read: -f values.yaml") from None
    content = yaml.load(text, name=str(path))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValuesError(f"{path}: holds {_kind(content)} where a mapping is expected, such as `agents: {{}}`.")
    return content


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` on top of ``base``, as Helm takes one values file after the other: mappings merge, all else replaces."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = overlay(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def with_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Values over the chart's own, as Helm does it last: here a null removes the chart's default."""
    merged = {key: value for key, value in values.items() if not (value is None and key in defaults)}
    for key, default in defaults.items():
        if key not in values:
            merged[key] = default
        elif isinstance(values[key], Mapping) and isinstance(default, Mapping):
            merged[key] = with_defaults(values[key], default)
    return merged


def given(files: Sequence[Path]) -> dict[str, Any]:
    """What the files say together, without the chart's defaults. Raises as ``read`` does."""
    merged: dict[str, Any] = {}
    for path in files:
        merged = overlay(merged, read(path))
    return merged


def load(chart: Path, files: Sequence[Path] = (), overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The values that the chart's templates see, checked against its schema.

    Raises ValuesError (unreadable file, or all that the schema refuses, each with its path) and YamlError.
    """
    values = with_defaults(overlay(given(files), overrides or {}), read(chart / "values.yaml"))
    schema = validator((chart / "values.schema.json").read_text(encoding="utf-8"))
    problems = sorted(set(_problems(values, schema)))
    if problems:
        names = ", ".join(str(path) for path in files) or "the values"
        many = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise ValuesError("\n  ".join([f"{names}: {many} in the values:", *problems]))
    return values


def validator(schema: str) -> jsonschema.Draft7Validator:
    """A schema, given as the text of its file, that takes and refuses what Helm's validator does."""
    return jsonschema.Draft7Validator(json.loads(schema, object_hook=_ends_like_go))


def _problems(values: Mapping[str, Any], schema: jsonschema.Draft7Validator) -> Iterator[str]:
    for error in schema.iter_errors(values):
        path = _path(error.absolute_path)
        if error.validator == "additionalProperties":
            closed: Mapping[str, Any] = cast("Mapping[str, Any]", error.schema)
            yield from (
                _unknown_key(path, key, closed)
                for key in _extra_keys(cast("Mapping[str, Any]", error.instance), closed)
            )
        else:
            sentence = _sentence(error.validator, error.validator_value, error.instance, error.message)
            yield f"{path or 'values'}: {sentence}"


def _ends_like_go(node: dict[str, Any]) -> dict[str, Any]:
    """A node whose patterns end as in Go, where Helm reads them: Python's `$` lets a line break pass after it."""
    if isinstance(pattern := node.get("pattern"), str):
        node["pattern"] = re.sub(r"\$$", r"\\Z", pattern)
    if isinstance(keys := node.get("patternProperties"), dict):
        node["patternProperties"] = {re.sub(r"\$$", r"\\Z", key): below for key, below in keys.items()}
    return node


def _extra_keys(given: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    patterns = [re.compile(pattern) for pattern in schema.get("patternProperties", {})]
    known = schema.get("properties", {})
    return (key for key in given if key not in known and not any(pattern.search(key) for pattern in patterns))


def _unknown_key(path: str, key: str, schema: Mapping[str, Any]) -> str:
    place = f"{path}.{key}" if path else key
    if schema.get("patternProperties"):
        return (
            f"{place}: {key!r} is no DNS label. Use lower-case letters, digits and '-', "
            "beginning and ending with a letter or digit, 63 at most."
        )
    known = sorted(schema.get("properties", {}))
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(known)}."
    return f"{place}: there is no key {key!r} here. {hint}"


def _sentence(keyword: object, limit: Any, given: Any, message: str) -> str:
    """What the schema's keyword asks for, in words, with what was given."""
    shown = json.dumps(given)[:80]
    match keyword:
        case "type":
            wanted = " or ".join(limit) if isinstance(limit, list) else limit
            return f"is {_kind(given)} ({shown}) where {wanted} is expected."
        case "minimum":
            return f"is {shown}; {limit} is the least."
        case "maximum":
            return f"is {shown}; {limit} is the most."
        case "minItems":
            return "is empty; at least one entry is needed. Leave the key out if there is nothing to say."
        case "required":
            return f"lacks {', '.join(key for key in limit if key not in given)}."
        case "enum":
            return f"is {shown}; use one of {', '.join(map(str, limit))}."
        case "uniqueItems":
            return f"names one entry twice: {shown}."
        case "pattern":
            return f"is {shown}, which does not match {str(limit).removesuffix(chr(92) + 'Z')}$."
        case _:
            return f"{message}."


def _path(parts: Sequence[str | int]) -> str:
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _kind(value: object) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "nothing (null)")
