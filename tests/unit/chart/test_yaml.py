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
    assert yaml.load("'on': a\n1: b\n1.36: c\ntrue: d", name="x") == {"on": "a", "1": "b", "1.36": "c", "true": "d"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "v.yaml:3:1: duplicate key 'a' (first in line 1)"),
        ("agents:\n  '1': {}\n  1: {}", "v.yaml:3:3: duplicate key '1'"),
        ("agents:\n  se: {}\n  no: {}", 'v.yaml:3:3: the unquoted key no is read as false. Quote it: "no".'),
        (
            "a: {Off: {}}",
            (
                'v.yaml:1:5: the unquoted key Off is read as false. Quote it: "Off". The name of an agent, '
                'a tier or a namespace can be "off".'
            ),
        ),
        (
            "a: {1_000: {}}",
            (
                'v.yaml:1:5: the unquoted key 1_000 is read as 1000. Quote it: "1_000". The name of an '
                'agent, a tier or a namespace can be "1-000".'
            ),
        ),
        (
            "a: {007: {}}",
            (
                'v.yaml:1:5: the unquoted key 007 is read as 7. Quote it: "007". The name of an agent, '
                'a tier or a namespace can be "n-007".'
            ),
        ),
        ("a:\n  ~: 1", "v.yaml:2:3: the key ~ is null"),
        ("a: [1\nb: 2", "v.yaml:2:2: not valid YAML: did not find expected ',' or ']'"),
        ("a:\n\tb: 1", "v.yaml:2:1: not valid YAML: a tab where YAML allows only spaces. Indent with spaces."),
        ("a: 1\n---\nb: 2", "v.yaml:3: has 2 YAML documents"),
        ("a: {<<: abc}", "v.yaml:1:9: `<<` merges mappings only"),
        ("a: {x: 1, <<: {x: 2}}", "v.yaml:1:11: `<<` after the key 'x' (line 1)"),
        ("a: !!int abc", "v.yaml:1:4: 'abc' is not !!int"),
        ("a: &a [*a]", "v.yaml:1:4: this anchor contains an alias of itself"),
        ("a: 1\nb: \x01", "v.yaml:2:4: not valid YAML: control characters are not allowed"),
        ("a: " + "[" * 200_000, "v.yaml:1:102: nested more than 100 levels deep"),
        ("a: .inf", "v.yaml:1:4: .inf cannot be written as JSON"),
    ],
)
def test_what_cannot_be_read_is_named_with_line_column_and_remediation(text: str, message: str) -> None:
    with pytest.raises(yaml.YamlError) as error:
        yaml.load(text, name="v.yaml")
    assert str(error.value).startswith(message)


def test_an_empty_document_after_the_first_is_nothing() -> None:
    assert yaml.load("a: 1\n---\n# end\n", name="x") == {"a": 1}


def test_anchors_and_merge_keys_work() -> None:
    assert yaml.load("base: &b {x: 1}\nuse: {<<: *b, z: 2}", name="x")["use"] == {"x": 1, "z": 2}


def test_an_alias_is_read_once_however_often_it_is_used() -> None:
    read = yaml.load("base: &b {x: [1]}\nuse: [*b, *b]", name="x")
    assert read["use"][0] is read["use"][1] is read["base"]


def bomb(levels: int) -> str:
    """Each level is nine times the one before."""
    lines = ["a: &l0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"a{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


def test_aliases_that_expand_to_too_much_are_refused() -> None:
    with pytest.raises(yaml.YamlError, match=r"v\.yaml:3:5: its aliases expand to too many values"):
        yaml.load(bomb(7), name="v.yaml")


@pytest.mark.parametrize(
    ("path", "key", "place"),
    [
        (("agents", "a", "tiers", 1), False, (5, 18)),
        (("agents", "a", "tiers"), True, (5, 5)),
        (("agents", "a", "token", "mode"), False, (2, 17)),
        (("agents", "b"), False, None),
        (("agents", "a", "tiers", 2), False, None),
    ],
)
def test_a_value_is_found_by_its_path(path: tuple[str | int, ...], key: bool, place: tuple[int, int] | None) -> None:
    text = "base: &base\n  token: {mode: x}\nagents:\n  a:\n    tiers: [one, two]\n    <<: *base\n"
    assert yaml.Positions(text).find(path, key=key) == place
