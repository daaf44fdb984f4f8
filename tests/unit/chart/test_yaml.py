import pytest

from agent_identities.chart import yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True),
        ("off", False),
        ("1e3", 1000.0),
        ("0o7", 7),
        ("017", 15),
        ("0x1F", 31),
        ("1_000", 1000),
        ("2026-01-01", "2026-01-01"),
        ("12:30:45", "12:30:45"),
        ("~", None),
        ("null", None),
        ("'y'", "y"),
        ('"null"', "null"),
        ("08", 8.0),
        ("1.5.2", "1.5.2"),
        ("<<", "<<"),
    ],
)
def test_scalars_are_read_as_kubernetes_reads_them(text: str, value: object) -> None:
    read = yaml.load(f"key: {text}", name="x")["key"]
    assert (type(read), read) == (type(value), value)


def test_keys_are_text_as_in_json() -> None:
    assert yaml.load("on: a\n1: b\nnull: c", name="x") == {"true": "a", "1": "b", "null": "c"}


def test_a_key_that_stands_twice_is_refused_with_both_lines() -> None:
    with pytest.raises(yaml.YamlError, match=r"values\.yaml:3: the key 'a' stands twice .*first in line 1"):
        yaml.load("a: 1\nb: 2\na: 3", name="values.yaml")


def test_keys_that_are_the_same_only_for_kubernetes_are_refused() -> None:
    with pytest.raises(yaml.YamlError, match="'true' stands twice"):
        yaml.load("agents:\n  y: {}\n  on: {}", name="values.yaml")


def test_broken_yaml_is_refused_with_its_line() -> None:
    with pytest.raises(yaml.YamlError, match=r"values\.yaml:2: no valid YAML"):
        yaml.load("a: [1\nb: 2", name="values.yaml")


def test_a_second_document_is_refused() -> None:
    with pytest.raises(yaml.YamlError, match="holds 2 YAML documents"):
        yaml.load("a: 1\n---\nb: 2", name="values.yaml")


def test_anchors_and_merge_keys_work() -> None:
    assert yaml.load("base: &b {x: 1}\nuse: {<<: *b, y: 2}", name="x")["use"] == {"x": 1, "true": 2}
