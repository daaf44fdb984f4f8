"""The documents that `helm template` prints, read-only, without a YAML scanner for what is plain.

Nearly every line that a chart prints is a key, or `- `, and a value that ends with the line. Such lines nest by their
indentation alone, and ``yaml`` reads each distinct value once. A document with anything else (block scalars, values of
several lines, quoted keys, anchors, tags, tabs, characters beyond ASCII, mistakes) is read by ``yaml`` as a whole. The
result is always that of ``yaml``, errors included; of several errors, it may be another that comes first.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from agent_identities.chart import yaml

_LINE = re.compile(r"(?: *(?:#.*)?|( *)((?:- )*)(?:([A-Za-z][A-Za-z0-9_./-]{0,200}):(?: +(\S.*))?|(\S.*)))\n")
"""Indentation, `- ` (once or more), key, value, or an item without a key. A comment or an empty line has none."""

_NO_CUTS = ("\n%", "\r", "\x85", "\u2028", "\u2029")
"""Directives belong to the document that follows, and YAML counts lines by more than line feeds."""

_TEXT = re.compile(r'"([ !#-\[\]-~]*)"\Z|([A-Za-z][A-Za-z_]*[-./0-9][\w./-]*)\Z', re.ASCII)
"""Quoted text without an escape, and unquoted text that is too odd for a boolean or null."""

_NOT_A_VALUE = ("|", ">", "&", "*", "!")
_MARKER = "---\n"
_END = ("", "", "", "", "")
# Both keep what nests here far below the depth that ``yaml`` refuses.
_WIDEST_INDENTATION = 40
_MOST_BRACKETS = 10


class _NotPlainError(Exception):
    """Only ``yaml`` can read this document."""


def documents(text: str, *, name: str) -> Iterator[tuple[int, Any]]:
    """Yields (line, document) of a text, the line counted from 1, without empty documents.

    Raises YamlError as ``yaml.documents`` does.
    """
    line, end = 1, 0
    for part in _parts(text):
        end += len(part)
        try:
            found = [_Reader(part).document()]
        except _NotPlainError:
            padded = "\n" * (line - 1) + part + text[end : end + len(_MARKER)]  # errors name the line
            found = [(number - line, freeze(document)) for number, document in yaml.documents(padded, name=name)]
        yield from ((line + offset, document) for offset, document in found if document is not None)
        line += part.count("\n")


def freeze(value: Any) -> Any:
    """A deeply read-only copy: mappings as MappingProxyType, lists as tuples."""
    if isinstance(value, str):  # most of all values, and slow to tell from a Mapping
        return value
    if isinstance(value, Mapping):
        return MappingProxyType({key: freeze(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(freeze(item) for item in value)
    return value


def _parts(text: str) -> Iterator[str]:
    """The text cut before each line `---`, which always ends a document; uncut where YAML counts lines otherwise."""
    start = 0
    if text.startswith("%") or any(each in text for each in _NO_CUTS):
        yield text
        return
    while (end := text.find("\n" + _MARKER, start)) >= 0:
        yield text[start : end + 1]
        start = end + 1
    yield text[start:]


class _Reader:
    """Reads one document from its lines; raises _NotPlainError for what is not plain. Columns are their blanks."""

    def __init__(self, text: str) -> None:
        if not text.isascii() or not text.replace("\n", "").isprintable():
            raise _NotPlainError
        lines = _LINE.findall(text if text.endswith("\n") else text + "\n", len(_MARKER) * text.startswith(_MARKER))
        self._lines = [line for line in lines if line[2] or line[4]]
        self._first = text.startswith(_MARKER) + (lines.index(self._lines[0]) if self._lines else 0)
        self._lines.append(_END)
        self._at = 0

    def document(self) -> tuple[int, Any]:
        """How many lines are before the document, and the document; None for an empty one."""
        if len(self._lines) == 1:
            return self._first, None
        document = self._block("")
        if self._lines[self._at] is not _END:
            raise _NotPlainError
        return self._first, document

    def _block(self, column: str) -> Any:
        """The mapping or the list that begins in a column of the current line."""
        indentation, dashes, _, _, _ = self._lines[self._at]
        if indentation != column or len(column) > _WIDEST_INDENTATION:
            raise _NotPlainError
        return self._list(column) if dashes else self._mapping(column)

    def _mapping(self, column: str) -> Mapping[str, Any]:
        lines, at = self._lines, self._at
        mapping: dict[str, Any] = {}
        indentation, dashes, key, value, _ = lines[at]
        while indentation == column and key:
            name = _key(key)
            if dashes or name in mapping:
                raise _NotPlainError
            at += 1
            indentation, dashes, key, next_value, _ = lines[at]
            if value:
                mapping[name] = _value(value)
            elif len(indentation) > len(column) or (indentation == column and dashes):
                self._at = at
                mapping[name] = self._block(indentation)
                at = self._at
                indentation, dashes, key, next_value, _ = lines[at]
            else:
                mapping[name] = None
            value = next_value
        self._at = at
        if len(indentation) > len(column):
            raise _NotPlainError
        return MappingProxyType(mapping)

    def _list(self, column: str) -> tuple[Any, ...]:
        lines = self._lines
        items: list[Any] = []
        indentation, dashes, key, value, item = lines[self._at]
        while indentation == column and dashes:
            if item and dashes == "- ":
                items.append(_value(item))
                self._at += 1
            else:  # the rest of the line is the first line of a block of its own
                lines[self._at] = (column + "  ", dashes[2:], key, value, item)
                items.append(self._block(column + "  "))
            indentation, dashes, key, value, item = lines[self._at]
        if len(indentation) > len(column):
            raise _NotPlainError
        return tuple(items)


@lru_cache(maxsize=10_000)
def _value(text: str) -> Any:
    """What ``yaml`` reads for the value of a key, where it ends with the line."""
    if found := _TEXT.match(text):
        return found[1] if found[2] is None else found[2]
    if text.startswith(_NOT_A_VALUE) or text.count("[") + text.count("{") > _MOST_BRACKETS:
        raise _NotPlainError
    return freeze(_loaded(f"k: {text}\n")["k"])


@lru_cache(maxsize=10_000)
def _key(text: str) -> str:
    """The text of a key as ``yaml`` reads it."""
    return next(iter(_loaded(f"{text}: 0\n")))


def _loaded(text: str) -> dict[str, Any]:
    try:
        mapping: dict[str, Any] = yaml.load(text, name="")
    except yaml.YamlError:
        raise _NotPlainError from None
    return mapping
