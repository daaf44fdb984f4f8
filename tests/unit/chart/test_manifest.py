"""What chart/manifest.py reads is what chart/yaml.py reads, whatever the lines."""

import random
from typing import Any

import pytest

from agent_identities.chart import manifest, yaml

DOCUMENTS = (
    """---
# Source: agent-identities/templates/rolebindings.yaml
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: "agent-1-binding"
  labels:
    helm.sh/chart: "agent-identities-0.1.0"
roleRef:
  apiGroup: rbac.authorization.k8s.io
  name: agent-proxy-role
subjects:
  - kind: ServiceAccount
    name: "agent-1"
""",
    """---
kind: Role
rules:
- apiGroups: [""]
  resources:
  - pods
  - pods/log
  verbs: [get, list]
- nonResourceURLs: ["/healthz"]

  verbs: [get]
automountServiceAccountToken: false
""",
    """---
kind: Policy
spec:
  expression: >-
    has(object.spec)
    ? true : false
  # a comment
  nested:
    - - a
      - b: 1
    -
      c: 'x'
  note: "a
    b"
""",
)
LINES = (
    """
-|- a|- a: 1|a:|# c|k: \\||k: >-|k: 'x|k: "x|k: [a,|k: [a, b]|k: {a: 1}|b]|k: &a 1|k: *a|<<: {a: 1}|yes: 1|no: 2|1: 2
null: 3|~: 4|a b: 1|'q': 1|? x|: y|---|--- x|...|%YAML 1.1|k: !!str 1|k: 1e3|k: 0o7|k: 012|k: 1_0|k: .5|k: .inf|k: -
k: - a|k: a: b|k: a #c|k:#c|k: #c|k:  |k:v|- - a|- - a: 1|-  a|- k: \\||text|text: |\tk: 1|k:\tv|k: \u00e9|\u00e9: 1
http://x: 1|k: http://x|k: '|k: a\\|k: "a\\|k: "a\\n"|k: @a|k: `a|k: %a|k: ,a|k: ]|k: }|k: ?a|k: ? a|k: -a|k: :a|k: a:
k: [[[[[[[[[[[[[a]]]]]]]]]]]]]|y: 1|on: 1|k: y|k: on|k: 2020-01-01|k: 12:30|k: ''|k: ~|k: \u2028|\rk: 1
""".replace("\\|", "\0")
    .strip("\n")
    .replace("\n", "|")
    .split("|")
)
LINES = [line.replace("\0", "|") for line in LINES]
CHARACTERS = " :-#'\"[]{},&*!|>%@`?~\tab1\r\x85"


def outcome(documents: Any, text: str) -> Any:
    """What a reader makes of a text: lines and documents, or the error."""
    try:
        found = [(line, manifest.freeze(document)) for line, document in documents(text, name="m.yaml")]
    except yaml.YamlError as error:
        return str(error)
    return repr([each for each in found if each[1] is not None])  # the text tells 1 from True and 1.0


def assert_same(text: str) -> None:
    assert outcome(manifest.documents, text) == outcome(yaml.documents, text), repr(text)


SMALL = """---
a: b
c:
- d: [e]
  f:
    g: 1
- h
i: >-
  j
"""


@pytest.mark.parametrize("line", LINES)
def test_one_more_line_anywhere(line: str) -> None:
    lines = SMALL.split("\n")
    for at in range(len(lines)):
        for indentation in ("", "  ", "    "):
            assert_same("\n".join([*lines[:at], indentation + line, *lines[at:]]))


@pytest.mark.parametrize("seed", range(10))
def test_documents_with_random_damage(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        lines = "".join(chance.choices(DOCUMENTS, k=chance.randint(1, 3))).split("\n")
        for _ in range(chance.randint(1, 3)):
            damage(lines, chance)
        assert_same("\n".join(lines))


def damage(lines: list[str], chance: random.Random) -> None:
    at = chance.randrange(len(lines))
    line = lines[at]
    column = chance.randint(0, len(line))
    match chance.randrange(6):
        case 0:
            lines[at] = " " * chance.randint(1, 4) + line
        case 1:
            lines[at] = line[chance.randint(0, 3) :]
        case 2:
            lines[at] = line[:column] + chance.choice(CHARACTERS) + line[column + chance.randint(0, 1) :]
        case 3:
            lines.insert(at, chance.choice(lines))
        case 4:
            lines.insert(at, " " * chance.randint(0, 4) + chance.choice(LINES))
        case _:
            lines[at] = ""


@pytest.mark.parametrize(
    "text", ["", "\n", "---", "---\n", "---\n---\n", "# c\n", "a", "- a", "a: 1", "---\n\n# c\n\na: 1\n"]
)
def test_small_texts(text: str) -> None:
    assert_same(text)


def test_nesting_that_yaml_refuses() -> None:
    for depth in (5, 39, 41, 120):
        assert_same("".join(" " * at + f"k{at}:\n" for at in range(depth)))
        assert_same("- " * depth + "a\n")
        assert_same("k: " + "[" * depth + "]" * depth + "\n")


def test_documents_are_read_only() -> None:
    [(line, document)] = manifest.documents("\n# c\na: {b: [1]}\n", name="m.yaml")
    assert line == 3
    assert document["a"]["b"] == (1,)
    with pytest.raises(TypeError):
        document["a"]["c"] = 2
