"""The branches of templates that values reach: each branch gets a marker that fails when it is rendered."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from mutation.blocks import blocks

_MARKER: Final = "marker of the branch at"
_HIT: Final = re.compile(rf"{_MARKER} (\S+) (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Branch:
    """A body of a block, from ``start`` to ``end`` of the template at ``path``; ``code`` is its first action."""

    path: str
    line: int
    code: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {{{{ {self.code} }}}}"


def branches(path: str, text: str) -> Iterator[Branch]:
    """Each if, else, with, range and define of a template, outer before inner, and before them the file as a whole.

    A file of definitions (its name begins with "_") prints nothing itself, so it is not a branch.
    """
    if not path.rpartition("/")[2].startswith("_"):
        yield Branch(path, 1, "the file", 0, len(text))
    for block in blocks(text):
        for head, start, end in block.branches():
            yield Branch(path, text.count("\n", 0, head.start) + 1, " ".join(head.code.split())[:100], start, end)


def around(found: Collection[Branch], start: int, end: int) -> Branch | None:
    """The innermost branch around a part of a template. Values that do not reach the branch do not render the part."""
    holding = [one for one in found if one.start <= start and end <= one.end]
    return max(holding, key=lambda one: (one.start, -one.end)) if holding else None


def marked(text: str, found: Collection[Branch]) -> str:
    """The template with a marker in each of these branches."""
    parts, last = [], 0
    for one in sorted(found, key=lambda one: one.start):
        parts += [text[last : one.start], f'{{{{ fail "{_MARKER} {one.path} {one.start}" }}}}']
        last = one.start
    return "".join([*parts, text[last:]])


def first_reached(message: str) -> tuple[str, int] | None:
    """(path, start) of the branch whose marker is in an error message; None if the message has no marker."""
    hit = _HIT.search(message)
    return (hit[1], int(hit[2])) if hit else None
