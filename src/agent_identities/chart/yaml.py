"""Strict YAML, read as Helm and the API server read it.

PyYAML takes a key that stands twice in silence and reads ``y``, ``1e3``, ``0o7``, ``12:30:45`` and dates in another
way than Go does, so that a checker built on it would judge other objects than those that are installed. The rules here
are those of sigs.k8s.io/yaml, which both Helm and Kubernetes use: YAML 1.1 booleans, Go's numbers, dates as text, keys
as text.
"""

import functools
import math
import re
from collections.abc import Iterator
from typing import Any

from yaml import CSafeLoader, MappingNode, Node, ScalarNode, SequenceNode, YAMLError
from yaml.constructor import ConstructorError

from agent_identities.errors import AgentIdentitiesError


class YamlError(AgentIdentitiesError):
    """A text that is no YAML, or that says one thing twice."""


_BOOLEANS = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_NULLS = {"", "~", "null", "Null", "NULL"}
_SPECIAL_FLOATS = {
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGER = re.compile(r"[-+]?(0x[0-9a-fA-F]+|0b[01]+|0o[0-7]+|0[0-7]+|0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")


@functools.lru_cache(maxsize=10_000)  # keys and kinds come by the thousand
def _plain_scalar(text: str) -> bool | int | float | str | None:
    """The value of an unquoted scalar (goyaml.v2 resolve.go)."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[text]
    digits = text.replace("_", "")
    if _INTEGER.match(digits):
        octal = re.match(r"([-+]?)0([0-7]+)\Z", digits)
        return int(octal[1] + octal[2], 8) if octal else int(digits, 0)
    if _FLOAT.match(digits):
        return float(digits)
    return text


_STR = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_MAP = "tag:yaml.org,2002:map"
_SEQ = "tag:yaml.org,2002:seq"


class _Loader(CSafeLoader):
    """PyYAML's C parser, with Go's idea of plain scalars, and no key twice in a mapping."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._building: set[int] = set()

    def resolve(self, kind: type[Node], value: str | None, implicit: tuple[bool, bool]) -> str:
        """The tag of a node that states none; plain scalars keep !!str until ``value`` reads them."""
        if kind is ScalarNode:
            return _MERGE if value == "<<" and implicit[0] else _STR
        return _MAP if kind is MappingNode else _SEQ

    def value(self, node: Node) -> Any:
        """What a node stands for."""
        if isinstance(node, ScalarNode):
            if node.tag in (_STR, _MERGE):
                return node.value if node.style else _plain_scalar(node.value)
            return self.construct_object(node, deep=True)
        if id(node) in self._building:
            raise ConstructorError(None, None, "an alias that contains itself", node.start_mark)
        self._building.add(id(node))
        built = self._mapping(node) if isinstance(node, MappingNode) else [self.value(item) for item in node.value]
        self._building.remove(id(node))
        return built

    def _mapping(self, node: MappingNode) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        stands: dict[str, Node] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                sources = value_node.value if isinstance(value_node, SequenceNode) else [value_node]
                for source in reversed(sources):
                    merged |= self.value(source)
                continue
            key = _key(self.value(key_node))
            if key in stands:
                raise _DuplicateKeyError(key, key_node.start_mark.line + 1, stands[key].start_mark.line + 1)
            stands[key] = key_node
            mapping[key] = self.value(value_node)
        return merged | mapping if merged else mapping


class _DuplicateKeyError(Exception):
    def __init__(self, key: str, line: int, first: int) -> None:
        super().__init__(key, line, first)
        self.key, self.line, self.first = key, line, first


def _key(value: object) -> str:
    """A mapping's key in JSON, where all keys are text."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def load_all(text: str, *, name: str) -> Iterator[Any]:
    """Yields the documents of a text; empty ones as None. Raises as ``documents`` does."""
    return (document for _, document in documents(text, name=name))


def documents(text: str, *, name: str) -> Iterator[tuple[int, Any]]:
    """Yields (line, document) of a text, the line counted from 1; an empty document is None.

    Raises YamlError, with ``name`` and the line, for anything that is no YAML or has a key twice.
    """
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                yield node.start_mark.line + 1, loader.value(node)
    except _DuplicateKeyError as twice:
        raise YamlError(
            f"{name}:{twice.line}: the key {twice.key!r} stands twice in one mapping (first in line {twice.first}). "
            "One of them would silently win: remove the other."
        ) from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark else name
        raise YamlError(f"{place}: no valid YAML: {getattr(error, 'problem', None) or error}") from None
    finally:
        loader.dispose()


def load(text: str, *, name: str) -> Any:
    """The one document of a text, or None if it is empty. Raises YamlError as load_all does, and for a second one."""
    found = list(load_all(text, name=name))
    if len(found) > 1:
        raise YamlError(f"{name}: holds {len(found)} YAML documents; one is expected. Split it at its `---` lines.")
    return found[0] if found else None
