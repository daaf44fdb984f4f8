"""The blocks of a Go template: if, with, range and define, with their branches and ends."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_ACTION: Final = re.compile(
    r"""\{\{-?\s*(/\*.*?\*/|(?:"(?:[^"\\]|\\.)*"|`[^`]*`|[^"`])*?)\s*-?\}\}""",
    re.DOTALL,
)
_WORD: Final = re.compile(r"(if|with|range|define|block|else|end)\b")


@dataclass(frozen=True, slots=True)
class Action:
    """An action in double braces, from ``start`` to ``end``; ``code`` is what is inside, without the braces."""

    start: int
    end: int
    code: str
    code_start: int

    @property
    def keyword(self) -> str:
        """if, with, range, define, block, else or end; "" for all others."""
        found = _WORD.match(self.code)
        return found[1] if found else ""

    @property
    def is_comment(self) -> bool:
        """Whether the action prints nothing."""
        return self.code.startswith("/*")


@dataclass(slots=True)
class Block:
    """A block: the action that opens it, the actions that begin its other branches, and the action that closes it."""

    opening: Action
    elses: list[Action] = field(default_factory=list)
    closing: Action | None = None

    @property
    def end(self) -> Action:
        """The action that closes it. Raises ValueError if there is none."""
        if self.closing is None:
            raise ValueError(f"{self.opening.code}: this block has no end")
        return self.closing

    def branches(self) -> Iterator[tuple[Action, int, int]]:
        """(the action that begins it, where its body starts, where it ends)."""
        heads = [self.opening, *self.elses]
        for head, following in zip(heads, [*self.elses, self.end], strict=True):
            yield head, head.end, following.start


def actions(text: str) -> list[Action]:
    """Every action of a template, in order."""
    return [Action(found.start(), found.end(), found[1], found.start(1)) for found in _ACTION.finditer(text)]


def blocks(text: str) -> list[Block]:
    """Every block of a template, outer before inner. Raises ValueError where they do not nest."""
    found: list[Block] = []
    open_: list[Block] = []
    for action in actions(text):
        match action.keyword:
            case "if" | "with" | "range" | "define" | "block":
                open_.append(Block(action))
                found.append(open_[-1])
            case "else" | "end" if not open_:
                raise ValueError(f"{action.code}: there is no block here")
            case "else":
                open_[-1].elses.append(action)
            case "end":
                open_.pop().closing = action
    if open_:
        raise ValueError(f"{open_[-1].opening.code}: this block has no end")
    return found
