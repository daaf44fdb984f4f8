"""Mutants of schemas: a keyword is loosened or tightened."""

import jsonschema
import pytest

from mutation.schema import schema_mutants

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$"},
        "count": {"type": ["integer", "null"], "minimum": 1, "maximum": 5},
        "mode": {"enum": ["on", "off"]},
    },
}
RIGHT = [{"name": "a"}, {"name": "a", "count": None}, {"name": "a", "count": 1}, {"name": "a", "count": 5}]
RIGHT += [{"name": "a", "mode": "on"}, {"name": "a", "mode": "off"}]
WRONG = [
    {},
    {"name": 1},
    {"name": ""},
    {"name": "A"},
    {"name": "!a"},
    {"name": "a!"},
    {"name": "a", "more": 1},
    {"name": "a", "mode": 1},
]
WRONG += [
    {"name": "a", "count": 0},
    {"name": "a", "count": 6},
    {"name": "a", "count": "x"},
    {"name": "a", "mode": "x"},
    7,
]


def test_a_looser_schema_accepts_more_values_and_a_tighter_schema_fewer() -> None:
    found = list(schema_mutants(SCHEMA))
    assert {mutant.direction for mutant in found} == {"looser", "tighter"}
    for mutant in found:
        validator = jsonschema.Draft7Validator(mutant.schema)
        right, wrong = [validator.is_valid(one) for one in RIGHT], [validator.is_valid(one) for one in WRONG]
        if mutant.direction == "looser":
            assert all(right), mutant.id
            assert any(wrong), mutant.id
        else:
            assert not all(right), mutant.id
            assert not any(wrong), mutant.id


def test_ids_are_paths_in_the_file() -> None:
    found = {mutant.id: mutant.change for mutant in schema_mutants(SCHEMA)}
    assert len(found) == len(list(schema_mutants(SCHEMA)))
    assert found["#/properties/name/pattern: not from the start"] == '"^[a-z]+$" -> "[a-z]+$"'
    assert found["#/required: without name"] == '["name"] -> []'


def test_a_keyword_without_mutants_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"#/properties/a: anyOf has no mutants yet"):
        list(schema_mutants({"properties": {"a": {"anyOf": []}}}))
