"""Values without a key that has a default: `helm upgrade --reuse-values` renders a new chart with old values."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from agent_identities.bundled import chart_path
from agent_identities.chart import values, yaml
from agent_identities.chart.values import Values
from render_worker import RenderWorker, WorkerRenderer
from support.schema import Node, ValuesSchema

Json = dict[str, Any]
Steps = tuple[str, ...]

SCHEMA: Final = ValuesSchema(chart_path())
DEFAULTS: Final[Json] = values.read(chart_path() / "values.yaml")
WHOLE: Final = ("network", "dns", "podLabels")
"""A mapping with keys of the user: it is absent or complete."""

IGNORED: Final = {("global",)}
"""Keys that no template reads."""


def keys(node: Json = DEFAULTS, steps: Steps = ()) -> Iterator[Steps]:
    """Every key with a default, with the keys above it."""
    for key, below in node.items():
        yield (*steps, key)
        if isinstance(below, dict) and (*steps, key) != WHOLE:
            yield from keys(below, (*steps, key))


def without(steps: Steps, node: Json = DEFAULTS) -> Json:
    key, *rest = steps
    if not rest:
        return {name: below for name, below in node.items() if name != key}
    return {**node, key: without(tuple(rest), node[key])}


def default(steps: Steps) -> Any:
    found: Any = DEFAULTS
    for step in steps:
        found = found[step]
    return found


def required(node: Node, steps: Steps = ()) -> Iterator[Steps]:
    """The keys with a default that the schema requires."""
    schema, below = SCHEMA.resolve(node), default(steps)
    yield from ((*steps, key) for key in schema.get("required", ()) if key in below)
    for key, child in schema.get("properties", {}).items():
        if isinstance(below.get(key), dict):
            yield from required(child, (*steps, key))


def test_no_key_with_a_default_is_required() -> None:
    assert list(required(SCHEMA.document)) == []


def test_the_templates_have_the_defaults_of_values_yaml() -> None:
    text = (chart_path() / "templates" / "_values.tpl").read_text(encoding="utf-8")
    defined = re.search(r'define "agent-identities\.defaults" -}}\n(.*?){{- end }}', text, re.DOTALL)
    assert defined
    leaves = {
        ".".join(steps): default(steps)
        for steps in keys()
        if steps not in IGNORED and (not default(steps) or steps == WHOLE or not isinstance(default(steps), dict))
    }
    assert yaml.load(defined[1], name="_values.tpl") == leaves


USED: Final[Json] = {
    "agents": {
        "a": {"cloud": {"awsPodIdentity": True, "gcp": {}}},
        "b": {"access": "proxied"},
        "c": {"quarantined": True},
    },
    "network": {"enabled": True, "apiServer": {"cidrs": ["192.0.2.1/32"]}},
    "guards": {"enabled": True},
    "priorityAndFairness": {"enabled": True},
}
"""Values that need most defaults, and set nothing that is removed below."""


@pytest.mark.parametrize("engine", [4, 3])
def test_values_without_a_default_render_what_the_default_renders(
    render_worker: RenderWorker, chart: Path, engine: int
) -> None:
    renderer = WorkerRenderer(render_worker, chart, engine=engine)  # type: ignore[arg-type] # 3 or 4
    whole = renderer.submit(Values(overrides=USED)).result().stdout()
    for steps in keys():
        old = renderer.with_chart_files({"values.yaml": json.dumps(without(steps))})
        assert old.submit(Values(overrides=USED)).result().stdout() == whole, steps
        assert values.completed(values.with_defaults(USED, without(steps)), DEFAULTS) == values.completed(
            values.with_defaults(USED, DEFAULTS), DEFAULTS
        ), steps
