"""values.schema.json as tests walk it: by the paths of values, with the references resolved."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Node = dict[str, Any]
Steps = tuple[str | int, ...]


@dataclass(frozen=True, eq=False)
class Leaf:
    """A value whose content the schema does not constrain: its path in values and schema, and its node."""

    steps: Steps
    pattern: str
    node: Node
    value: Any


def choices(node: Node) -> list[Any]:
    """The values of an enum, or of a pattern that lists words: ^(direct|proxied)$ where null is allowed, too."""
    listed = re.fullmatch(r"\^\(([A-Za-z]+(?:\|[A-Za-z]+)+)\)\$", node.get("pattern", ""))
    return node.get("enum") or (listed[1].split("|") if listed else [])


class ValuesSchema:
    """The chart's schema."""

    def __init__(self, chart: Path) -> None:
        self.document: Node = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))

    def resolve(self, node: Node) -> Node:
        while "$ref" in node:
            node = self.document["definitions"][node["$ref"].removeprefix("#/definitions/")]
        return node

    def properties(self, node: Node | None = None, path: str = "") -> Iterator[tuple[str, Node]]:
        """Every property that values may have, as "agents.*.token.mode", with its node."""
        node = self.resolve(self.document if node is None else node)
        for key, below in node.get("properties", {}).items():
            yield f"{path}{key}", below
            yield from self.properties(below, f"{path}{key}.")
        for below in node.get("patternProperties", {}).values():
            yield from self.properties(below, f"{path}*.")
        if "items" in node:
            yield from self.properties(node["items"], f"{path}[].")

    def nodes(self, node: Any = None, path: str = "#") -> Iterator[tuple[str, Node]]:
        """Every subschema of the file, by its JSON pointer."""
        node = self.document if node is None else node
        yield path, node
        for keyword in ("properties", "patternProperties", "definitions"):
            for key, below in node.get(keyword, {}).items():
                yield from self.nodes(below, f"{path}/{keyword}/{key}")
        for keyword in ("items", "additionalProperties"):
            if isinstance(node.get(keyword), dict):
                yield from self.nodes(node[keyword], f"{path}/{keyword}")

    def leaves(self, value: Any, node: Node | None = None, steps: Steps = (), pattern: str = "") -> Iterator[Leaf]:
        """The leaves of some values."""
        node = self.resolve(self.document if node is None else node)
        if isinstance(value, dict) and ("properties" in node or "patternProperties" in node):
            entries = next(iter(node.get("patternProperties", {}).values()), None)
            for key, below in value.items():
                named = node.get("properties", {}).get(key)
                assert named or entries, f"{steps} {key}: not in the schema"
                where = f"{pattern}{key if named else '*'}."
                yield from self.leaves(below, named or entries, (*steps, key), where)
        elif isinstance(value, list) and "properties" in self.resolve(node.get("items", {})):
            for index, below in enumerate(value):
                yield from self.leaves(below, node["items"], (*steps, index), f"{pattern}[].")
        else:
            yield Leaf(steps, pattern.rstrip("."), node, value)
