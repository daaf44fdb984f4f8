"""The schema, the defaults and the comments of the values agree, and the chart uses every value."""

import json
import re
from typing import Any, Final

import jsonschema
import pytest

from agent_identities.bundled import chart_path
from agent_identities.chart import yaml
from agent_identities.chart.helm import HelmError, Renderer
from agent_identities.chart.values import Values
from support.refusals import is_by_templates
from support.schema import Leaf, Node, Steps, ValuesSchema, choices

SCHEMA: Final = ValuesSchema(chart_path())
OURS: Final = dict(SCHEMA.properties())
TEXT: Final = (chart_path() / "values.yaml").read_text(encoding="utf-8")
DEFAULTS: Final[dict[str, Any]] = yaml.load(TEXT, name="values.yaml")
EVERYTHING: Final[dict[str, Any]] = yaml.load(
    (chart_path() / "ci/everything.yaml").read_text(encoding="utf-8"), name="everything.yaml"
)
LEAVES: Final = list(SCHEMA.leaves(EVERYTHING))
FOR_PARENTS: Final = {"enabled", "global"}
REFUSED: Final = {"agents.*.namespace"}
"""Keys that the templates always refuse, with a better message than that of the schema."""
FOR_VERIFY: Final = "trustedSubjects."
"""The values that only `agent-identities verify` uses: the chart renders nothing for them."""


def test_the_schema_is_draft_07_and_accepts_the_defaults() -> None:
    assert SCHEMA.document["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(SCHEMA.document)
    jsonschema.Draft7Validator(SCHEMA.document).validate(DEFAULTS)


def test_the_schema_uses_only_keywords_with_errors_that_contain_the_path() -> None:
    vague = {"oneOf", "anyOf", "allOf", "not", "if", "propertyNames"}
    assert [pointer for pointer, node in SCHEMA.nodes() if node.keys() & vague] == []


def test_the_schema_refers_only_to_its_own_definitions() -> None:
    references = [(pointer, node) for pointer, node in SCHEMA.nodes() if "$ref" in node]
    assert [pointer for pointer, node in references if not node["$ref"].startswith("#/definitions/")] == []
    # draft-07 ignores keywords next to $ref.
    assert [pointer for pointer, node in references if node.keys() != {"$ref"}] == []


def test_every_object_is_closed_except_maps_and_what_is_described_as_in_a_pod_or_container() -> None:
    def is_open(node: Node) -> bool:
        entries = node.get("additionalProperties", True)
        return "object" in node.get("type", ()) and entries is not False and not isinstance(entries, dict)

    described = {pointer: node.get("description", "") for pointer, node in SCHEMA.nodes()}
    of_kubernetes = {pointer for pointer, text in described.items() if re.search(r"[Aa]s in a (pod|container)", text)}
    opened = [pointer for pointer, node in SCHEMA.nodes() if is_open(node)]
    others = [pointer for pointer in opened if pointer.removesuffix("/items") not in of_kubernetes]
    assert others == ["#/properties/global"]


def test_every_property_has_a_description() -> None:
    def description(node: Node) -> str:
        return str(node.get("description") or SCHEMA.resolve(node).get("description", ""))

    assert [path for path, node in OURS.items() if not description(node).endswith((".", "..."))] == []


def test_values_yaml_or_its_comments_contain_every_property() -> None:
    of_kubernetes = re.compile(r"matchExpressions|[.]ports[.]\[\]|ipBlock|^enabled$")
    unsaid = [path for path in OURS if not re.search(rf"\b{path.rsplit('.', 1)[-1]}\b", TEXT)]
    assert [path for path in unsaid if not of_kubernetes.search(path)] == []


def test_everything_yaml_sets_every_property() -> None:
    set_there = [f"{leaf.pattern}." for leaf in LEAVES]
    missing = [path for path in OURS if not any(pattern.startswith(f"{path}.") for pattern in set_there)]
    assert set(missing) == FOR_PARENTS | REFUSED | {"proxy.rules.[].nonResourceURLs"}  # a URL is in no namespace


def test_every_top_level_value_has_a_default() -> None:
    assert SCHEMA.document["properties"].keys() - {"enabled"} == DEFAULTS.keys()


def test_no_default_is_null() -> None:
    assert "null" not in json.dumps(DEFAULTS)


def with_examples(text: str) -> str:
    """values.yaml with the examples in its comments as values: lines after "#   ", and keys with a map after "# "."""
    lines = text.splitlines()
    examples = [re.sub(r"^( *)#(?:(?=   (?!kubectl))| (?=\w+: \{))", r"\1", line) for line in lines]
    given = [line != example for line, example in zip(lines, examples, strict=True)]
    for index, line in enumerate(lines[:-1]):
        if given[index + 1] and not given[index] and re.match(r" *#   ", lines[index + 1]):
            examples[index] = re.sub(r": (\{\}|\[\])$", ":", line)
    return "\n".join(examples)


@pytest.mark.parametrize("engine", ["renderer", "renderer_3"])
def test_the_examples_in_the_comments_are_accepted(request: pytest.FixtureRequest, engine: str) -> None:
    examples = yaml.load(with_examples(TEXT), name="values.yaml with its examples")
    examples["network"] |= {"enabled": True, "provider": "cilium"}
    examples["network"]["apiServer"] = {"cidrs": ["192.0.2.1/32"], "ports": [443]}
    examples["network"]["cloud"] |= {name: {"cidrs": ["192.0.2.2/32"], "ports": [443]} for name in ("aws", "azure")}
    examples["guards"]["enabled"] = True
    objects = request.getfixturevalue(engine).render(Values(overrides=examples)).objects
    assert [key for key in DEFAULTS if DEFAULTS[key] != examples[key]] == [
        "proxy",
        "tiers",
        "agents",
        "network",
        "guards",
        "trustedSubjects",
    ]
    policies = {policy.name for policy in objects.of_kind("NetworkPolicy")}
    assert {"triage-1", "triage-3", "shopper", "legacy-bot", "suspect", "agent-worker-1"} <= policies


# The chart uses every value. Values that can have a mark are marked at once, and each mark must be in the output. The
# other values are changed one at a time.

TIED: Final = (
    "adoptServiceAccounts",
    "tiers",
    "egress",
    "ingress",
    "instances",
    "quarantined",
    "agents",
    "namespaces.*",
    "cidr",
    "except",
    "controllers.[]",
    "controllers.[].name",
)
"""Keys with values that refer to other values, such as the name of a tier. A mark would break the reference."""

SHAPES: Final = {
    "cidrs": "10.0.{0}.0/24",
    "tmp": "4{0:03d}Mi",
    "fqdn": "mark{0}x.example.com",
    "roleArn": "arn:aws:iam::111122223333:role/mark{0}x",
    "serviceAccount": "mark{0}x@project.example",
    "clientId": "{0:08d}-1111-1111-1111-111111111111",
    "nonResourceURLs": "/mark{0}x",
    "tenantId": "{0:08d}-1111-1111-1111-111111111111",
}


def marked(leaf: Leaf, number: int) -> tuple[Any, str] | None:
    """The value with a mark, and the mark; None if the value cannot have a mark."""
    key = leaf.pattern.rsplit(".", 1)[-1]
    shape = "mark{0}x" if leaf.pattern.startswith("guards.") else SHAPES.get(key, "mark{0}x")
    text, figure = shape.format(number), 4000 + number
    node = leaf.node
    items = SCHEMA.resolve(node.get("items", {}))
    entries = node.get("additionalProperties")
    if leaf.pattern.endswith(TIED) or choices(node) or "enum" in items:
        return None
    match leaf.value:
        case bool() | ["head"]:  # the verbs of URLs are the methods of HTTP
            return None
        case str():
            return text, text
        case int():
            return (figure, str(figure)) if figure <= node.get("maximum", figure) else None
        case [int(), *_]:
            return [*leaf.value, figure], str(figure)
        case [str(), *_]:
            return [*leaf.value, text], text
        case [dict(), *_]:
            mark = {"name": text} if key == "volumes" else {text: text}  # a volume has one type, and no other key
            return [*leaf.value, {**leaf.value[0], **mark}], text
        case dict() if isinstance(entries, dict):
            number_map = "integer" in SCHEMA.resolve(entries)["type"]
            return dict.fromkeys(leaf.value, figure if number_map else text), str(figure if number_map else text)
        case dict():
            return {**leaf.value, text: text}, text
    return None


def changed(leaf: Leaf) -> Any:
    """Another value that the schema accepts; None to remove the value."""
    items = leaf.node.get("items", {})
    match leaf.value:
        case ["head"]:
            return ["get"]
        case bool() if "enum" not in leaf.node:
            return not leaf.value
        case int() if "enum" not in leaf.node:
            return leaf.value + 1
        case list() if "enum" in SCHEMA.resolve(items):
            return [next(choice for choice in SCHEMA.resolve(items)["enum"] if choice not in leaf.value)]
    if leaf.pattern.endswith("ipBlock.cidr"):
        return "10.0.0.0/7"
    if leaf.pattern.endswith("controllers.[].name"):
        return "jobset"
    if choices(leaf.node):
        return next((choice for choice in reversed(choices(leaf.node)) if choice != leaf.value), None)
    return None


def with_value(values: Any, steps: Steps, value: Any) -> Any:
    values = json.loads(json.dumps(values))  # a copy in which anchors do not share objects
    place = values
    for step in steps[:-1]:
        place = place[step]
    if value is None:
        del place[steps[-1]]
    else:
        place[steps[-1]] = value
    return values


RENDERED: Final = [leaf for leaf in LEAVES if not leaf.pattern.startswith(FOR_VERIFY)]
MARKS: Final = {leaf: mark for number, leaf in enumerate(RENDERED) if (mark := marked(leaf, number))}
ONE_BY_ONE: Final = [leaf for leaf in RENDERED if leaf not in MARKS]


def path_of(leaf: Leaf) -> str:
    return ".".join(map(str, leaf.steps))


def text_of(renderer: Renderer, values: dict[str, Any]) -> str:
    return renderer.render(Values(overrides=values)).text


@pytest.fixture(scope="module")
def everything(renderer: Renderer) -> str:
    return text_of(renderer, EVERYTHING)


def test_every_value_that_can_have_a_mark_is_in_the_output(renderer: Renderer) -> None:
    values: Any = EVERYTHING
    for leaf, (value, _) in MARKS.items():
        values = with_value(values, leaf.steps, value)
    # The marks are resources and roles that the catalogue does not know.
    for owner, risk in (
        (values["proxy"], "unknown-kind-write"),
        (values["tiers"]["own-state"], "unknown-kind-write"),
        (values["tiers"]["viewer"], "existing-role-unknown"),
    ):
        owner["acceptRisks"] = {**owner.get("acceptRisks", {}), risk: "a test"}
    text = text_of(renderer, values)
    unused = [
        ".".join(map(str, leaf.steps)) for leaf, (_, mark) in MARKS.items() if not re.search(rf"(?<!\w){mark}\b", text)
    ]
    assert unused == []


@pytest.mark.parametrize("leaf", ONE_BY_ONE, ids=map(path_of, ONE_BY_ONE))
def test_every_other_value_changes_the_output(renderer: Renderer, everything: str, leaf: Leaf) -> None:
    try:
        text = text_of(renderer, with_value(EVERYTHING, leaf.steps, changed(leaf)))
    except HelmError as refused:
        text = str(refused)
        if not is_by_templates(text):
            raise
    assert text != everything
