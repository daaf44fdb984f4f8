"""Strict YAML, read as Helm and the API server read it.

PyYAML accepts a duplicate key in silence, and it reads ``y``, ``1e3``, ``0o7``, ``12:30:45``, dates, tags and merge
keys in another way than Go does: a checker on top of it would judge other objects than those that are installed. The
rules here are those of sigs.k8s.io/yaml, which both Helm and Kubernetes use (go.yaml.in/yaml/v2 resolve.go and
decode.go): YAML 1.1 booleans, Go's numbers, dates as text, keys as text. What Helm accepts but almost always is a
mistake (a duplicate key, an unquoted key ``no``) is refused, as is what JSON cannot hold.
"""

import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from yaml import CSafeLoader, MappingNode, Node, ScalarNode, SequenceNode, YAMLError
from yaml.error import Mark
from yaml.reader import ReaderError

from agent_identities.errors import AgentIdentitiesError


class YamlError(AgentIdentitiesError):
    """A text that is not YAML, or YAML that Helm refuses or reads in another way than it is written."""


class _Refused(Exception):  # noqa: N818  # never leaves this module
    """What is wrong at a node, without the name of the file."""

    def __init__(self, node: Node, problem: str) -> None:
        super().__init__(problem)
        self.mark: Mark = node.start_mark
        self.problem = problem


_NULLS = dict.fromkeys(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_SPECIAL_FLOATS = {
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_WORDS: Mapping[str, bool | float | None] = {**_NULLS, **_BOOLEANS, **_SPECIAL_FLOATS}
_INTEGER = re.compile(r"([-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]{0,19})|0b[-+][01]+)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_FRACTION = re.compile(r"\.[0-9]+(_[0-9]+)*([eE][-+]?[0-9]+(_[0-9]+)*)?\Z")
_INT64, _UINT64 = 2**63, 2**64


@functools.lru_cache(maxsize=10_000)  # keys and kinds come by the thousand
def _plain_scalar(text: str) -> bool | int | float | str | None:
    """The value of an unquoted scalar (resolve.go)."""
    if text in _WORDS:
        return _WORDS[text]
    return _number(text) if text[0] in "+-.0123456789" else text


def _number(text: str) -> int | float | str:
    """A number as strconv reads it; the text where it is none, or one that 64 bits cannot hold."""
    if text[0] == "." and not _FRACTION.match(text):
        return text
    digits = text.replace("_", "")
    if _INTEGER.match(digits):
        number = _integer(digits)
        if -_INT64 <= number < (_INT64 if digits[0] in "+-" or (digits[:2] == "0b" and digits[2] in "+-") else _UINT64):
            return number
    if _FLOAT.match(digits):
        float_number = float(digits)
        if math.isfinite(float_number):
            return float_number
    return text


def _integer(digits: str) -> int:
    if octal := re.match(r"([-+]?)0([0-7]+)\Z", digits):
        return int(octal[1] + octal[2], 8)
    if digits.startswith("0b"):
        return int(digits[2:], 2)  # strconv takes a sign after the prefix, too
    return int(digits, 0)


_TAG = "tag:yaml.org,2002:"
_PLAIN, _QUOTED = "\0plain", "\0quoted"
"""The tags of scalars without a tag of their own. No text can contain them."""
_STR, _MAP, _SEQ, _MERGE = (_TAG + kind for kind in ("str", "map", "seq", "merge"))
_TYPES: Mapping[str, tuple[type, ...]] = {
    _TAG + "null": (type(None),),
    _TAG + "bool": (bool,),
    _TAG + "int": (int,),
    _TAG + "float": (int, float),
}
_UNSUPPORTED = (_TAG + "binary", _TAG + "timestamp")
_DEEPEST = 100
_SHORT_FLOAT = re.compile(r"-?(0|[1-9][0-9]{0,2})\.[0-9]?[1-9]\Z")
"""Floats that Go prints as they are written, where they are keys."""


class _Loader(CSafeLoader):
    """PyYAML's C parser, with Go's idea of scalars and of merge keys, and without duplicate keys."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._levels: list[Node | None] = []
        # Called by the parser after each node. This costs less than a method.
        self.ascend_resolver = self._levels.pop  # type: ignore[method-assign, assignment] # see above
        self._text = text
        self._odd_tags = _ODD_TAG.search(text) is not None
        self._shared: dict[int, Any] | None = {} if has_aliases(text) else None

    def resolve(self, kind: type[Node], value: str | None, implicit: tuple[bool, bool]) -> str:  # noqa: ARG002 # the parser passes it
        """The tag of a node that states none."""
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else _QUOTED
        return _MAP if kind is MappingNode else _SEQ

    def descend_resolver(self, parent: Node | None, index: object) -> None:  # noqa: ARG002 # the parser passes it
        """Called by the parser before each node: its C code has no limit of its own, and would end the process."""
        levels = self._levels
        levels.append(parent)
        if len(levels) > _DEEPEST and parent is not None:
            raise _Refused(parent, f"nested more than {_DEEPEST} levels deep. Use fewer levels.")

    def document(self) -> tuple[Node, Any] | None:
        """The next document: its node and its value."""
        node = self.get_node()
        if node is None:
            return None
        if self._shared is not None:
            _AliasCount().check(node)
            self._shared.clear()
        return node, self.value(node)

    def value(self, node: Node) -> Any:
        """What a node stands for."""
        tag = node.tag
        if not self._odd_tags:  # most of all nodes are scalars without a tag: they come first, and cost little
            if tag == _PLAIN:
                plain = _plain_scalar(node.value)
                return plain if plain.__class__ is not float else _finite(node, plain)
            if tag == _QUOTED:
                return node.value
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if self._shared is None:
            return self._mapping(node) if isinstance(node, MappingNode) else [self.value(item) for item in node.value]
        if id(node) not in self._shared:
            self._shared[id(node)] = (
                self._mapping(node) if isinstance(node, MappingNode) else [self.value(item) for item in node.value]
            )
        return self._shared[id(node)]

    def _scalar(self, node: ScalarNode) -> Any:
        """A scalar that may have a tag."""
        if self._odd_tags and (written := _WRITTEN_TAG.match(self._text, node.start_mark.index)):
            if written[1].endswith(",") or ("," in written[1] and not node.value):
                raise _Refused(node, f"Helm takes the comma for a part of the tag {written[1]}. Put a blank before it.")
            if written[1] == "!":
                return node.value
        if node.tag == _PLAIN:
            plain = _plain_scalar(node.value)
            return _finite(node, plain) if isinstance(plain, float) else plain
        return node.value if node.tag in (_QUOTED, _STR) else _tagged(node)

    def _mapping(self, node: MappingNode) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.value(key_node)
            if key == "<<" and key_node.tag in (_PLAIN, _MERGE):
                merged |= self._merge(key_node, value_node, node, mapping)
                continue
            if key.__class__ is not str:
                key = _key(key_node, key)
            if key in mapping:
                raise _Refused(
                    key_node,
                    f"duplicate key {key!r} (first in line {self._line_of(key, node)}). Helm uses the last one, "
                    "without a warning. Remove one of them.",
                )
            mapping[key] = self.value(value_node)
        return merged | mapping if merged else mapping

    def _line_of(self, key: str, mapping: MappingNode) -> int:
        """The line in which a mapping has a key first."""
        lines: list[int] = [node.start_mark.line + 1 for node, _ in mapping.value if node.value == key]
        return lines[0]

    def _merge(self, key_node: Node, node: Node, within: MappingNode, own: Mapping[str, Any]) -> dict[str, Any]:
        """What `<<` merges. Go does it where the key is: what the mapping has before it would be replaced."""
        if isinstance(node, SequenceNode) and node.start_mark.index < key_node.start_mark.index:
            raise _Refused(key_node, "`<<` merges mappings, not an alias of a list. Write the list here.")
        merged = self._merged(node)
        for key in merged:
            if key in own:
                raise _Refused(
                    key_node,
                    f"`<<` after the key {key!r} (line {self._line_of(key, within)}): Helm takes the value of `<<`, "
                    "other programs the key's own. Put `<<` first in the mapping.",
                )
        return merged

    def _merged(self, node: Node) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        sources = node.value if isinstance(node, SequenceNode) else [node]
        for source in reversed(sources):
            if not isinstance(source, MappingNode):
                raise _Refused(source, "`<<` merges mappings only. Give it an alias of a mapping: `<<: *name`.")
            merged |= self.value(source)
        return merged


def _is_merge(node: Node) -> bool:
    return node.value == "<<" and node.tag in (_PLAIN, _MERGE)


def _tagged(node: ScalarNode) -> Any:
    """A scalar with a tag of its own. A tag that Go does not know says nothing: the scalar is text."""
    short = "!!" + node.tag.removeprefix(_TAG)
    if node.tag in _UNSUPPORTED:
        raise _Refused(node, f"the tag {short} is not supported. Remove the tag, and quote the value.")
    types = _TYPES.get(node.tag)
    if types is None:
        return node.value
    value = _plain_scalar(node.value)
    too_large = isinstance(value, int) and value >= _INT64 and float in types
    if type(value) not in types or too_large:
        raise _Refused(node, f"{_short(node.value)!r} is not {short}. Correct the value, or remove the tag.")
    return _finite(node, float(value)) if float in types and isinstance(value, (int, float)) else value


def _finite(node: Node, number: float) -> float:
    if not math.isfinite(number):
        raise _Refused(node, f"{node.value} cannot be written as JSON, so Helm refuses it. Use a number.")
    return number


def _key(node: Node, value: Any) -> str:
    """The text of a key that is not text, as JSON needs it; refused where Go would make another text of it."""
    if not isinstance(node, ScalarNode):
        raise _Refused(node, "a mapping or a list is used as a key. A key must be text.")
    written = _short(node.value)
    if value is None:
        named = f"the key {written} is null" if written else "a key is empty"
        raise _Refused(node, f"{named}, so Helm refuses it. Write a name.")
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, float):
        text = node.value if _SHORT_FLOAT.match(node.value) else "another number"
    else:
        text = str(value) if value < _INT64 else "a number that is too large"
    if text != node.value:
        name = _name(written)
        another = "" if name == written else f' The name of an agent, a tier or a namespace can be "{name}".'
        raise _Refused(node, f'the unquoted key {written} is read as {text}. Quote it: "{written}".{another}')
    return text


def _name(written: str) -> str:
    """A DNS label that is similar to a key, and no number."""
    label = re.sub(r"[^a-z0-9]+", "-", written.lower()).strip("-")
    return f"n-{label}" if label.isdecimal() else label


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "..."


_ODD_TAG = re.compile(r"!(?<![^\s\[\]{},:?-]!)(\s|[^\s\"'\[\]{}]*,)")
"""A tag without a name, which makes text of what follows, or one before a comma, which Go takes for a part of it."""
_WRITTEN_TAG = re.compile(r"(?:&[\w-]+\s+)?(!\S*)")
_ANCHOR = re.compile(r"&(?<![^\s\[\]{},:?-]&)[\w-]")  # what is rare comes first: the search is then fast
_ALIAS = re.compile(r"\*(?<![^\s\[\]{},:?-]\*)[\w-]")


def has_aliases(text: str) -> bool:
    """Whether a text may use YAML aliases; False means that it does not."""
    return _ALIAS.search(text) is not None and _ANCHOR.search(text) is not None


class _AliasCount:
    """Refuses a document whose aliases expand to too much, as Go does (decode.go, allowedAliasRatio)."""

    def __init__(self) -> None:
        self._decoded = 1  # the document itself
        self._by_alias = 0
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()

    def check(self, node: Node) -> int:
        """How many values Go decodes for a node, each alias expanded."""
        size = self._sizes.get(id(node))
        if size is not None:
            self._decoded += size + 1
            self._by_alias += size
            if self._by_alias > 100 and self._decoded > 1000 and self._by_alias / self._decoded > self._allowed():
                raise _Refused(node, "its aliases expand to too many values, so Helm refuses it. Use fewer aliases.")
            return size + 1
        if id(node) in self._open:
            raise _Refused(node, "this anchor contains an alias of itself. Remove the alias.")
        self._open.add(id(node))
        self._decoded += 1
        size = 1
        if isinstance(node, SequenceNode):
            size += sum(self.check(item) for item in node.value)
        elif isinstance(node, MappingNode):
            for key, value in node.value:
                if not _is_merge(key):
                    size += self.check(key) + self.check(value)
                elif isinstance(value, SequenceNode):
                    size += sum(self.check(item) for item in reversed(value.value))
                else:
                    size += self.check(value)
        self._sizes[id(node)] = size
        return size

    def _allowed(self) -> float:
        low, high = 400_000, 4_000_000
        return 0.99 - 0.89 * min(max(self._decoded - low, 0) / (high - low), 1)


def documents(text: str, *, name: str) -> Iterator[tuple[int, Any]]:
    """Yields (line, document) of a text, the line counted from 1; an empty document is None.

    Raises YamlError, with ``name``, line and column, for what is not YAML and for what this module refuses.
    """
    loader = _Loader(text)
    try:
        while loader.check_node():
            document = loader.document()
            if document is not None:
                yield document[0].start_mark.line + 1, document[1]
    except _Refused as refused:
        raise YamlError(f"{_place(name, refused.mark)}: {refused.problem}") from None
    except YAMLError as error:
        _raise_syntax_error(error, text, name)
    finally:
        loader.dispose()


def load(text: str, *, name: str) -> Any:
    """The one document of a text, or None if it is empty. Raises YamlError as documents does, and for a second one."""
    found = list(documents(text, name=name))
    for line, document in found[1:]:
        if document is not None:
            raise YamlError(
                f"{name}:{line}: has {len(found)} YAML documents, and a values file must have one. Make a file of each."
            )
    return found[0][1] if found else None


class Positions:
    """Where the values of a text are. The text must be YAML that ``load`` accepts."""

    def __init__(self, text: str) -> None:
        loader = _Loader(text)
        try:
            self._root = loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()

    def find(self, path: Sequence[str | int], *, key: bool = False) -> tuple[int, int] | None:
        """(line, column) of the value at a path, or of its key; None where the text has no such path."""
        at: Node | None = None
        node: Node | None = self._root
        for part in path:
            if isinstance(node, MappingNode):
                at, node = _entry(node, part)
            elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
                at = node = node.value[part]
            else:
                return None
            if node is None:
                return None
        found = at if key and at is not None else node
        return (found.start_mark.line + 1, found.start_mark.column + 1) if found is not None else None


def _entry(mapping: MappingNode, name: object) -> tuple[Node | None, Node | None]:
    """The nodes of a key and its value: the mapping's own, else the one that it merges."""
    found: tuple[Node | None, Node | None] = (None, None)
    for key, value in mapping.value:
        if _is_merge(key):
            for source in value.value if isinstance(value, SequenceNode) else [value]:
                merged = _entry(source, name)
                if merged[1] is not None:
                    found = merged
                    break
        elif isinstance(key, ScalarNode) and key.value == name:
            return key, value
    return found


def _place(name: str, mark: Mark) -> str:
    return f"{name}:{mark.line + 1}:{mark.column + 1}"


def _raise_syntax_error(error: YAMLError, text: str, name: str) -> NoReturn:
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    mark = getattr(error, "problem_mark", None)
    remediation = "Check the indentation, brackets and quotes there."
    if problem == "second occurrence":
        problem, remediation = "an anchor (&) is defined twice", "Give each anchor a name of its own."
    place = name
    if mark is not None:
        place = _place(name, mark)
        lines = text.splitlines()
        if mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t":
            problem, remediation = "a tab where YAML allows only spaces", "Indent with spaces."
    elif isinstance(error, ReaderError):
        before = text.encode(errors="replace")[: error.position].decode(errors="replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        place, remediation = f"{name}:{line}:{column}", 'Remove the character, or write it as an escape: "\\x00".'
    raise YamlError(f"{place}: not valid YAML: {problem}. {remediation}") from None
