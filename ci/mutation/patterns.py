"""A regular expression with one part loosened or tightened.

Only syntax with the same meaning in Go and Python: no flags, no lookaround.
"""

import re
from collections.abc import Iterator
from typing import Final

_PART: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d+(?:,\d*)?\}|.")
_BOUNDS: Final = re.compile(r"\{(\d+)(?:,(\d+))?\}")


def looser(pattern: str) -> Iterator[tuple[str, str]]:
    """(description of the change, the changed pattern) for each anchor, character class and bound of a repetition."""
    if pattern.startswith("^"):
        yield "not from the start", pattern[1:]
    if pattern.endswith("$"):
        yield "not to the end", pattern[:-1]
    for found in _PART.finditer(pattern):
        part, where = found[0], f" at {found.start()}"
        if part.startswith("[") and len(part) > 1:
            yield f"any character for {part}{where}", _replaced(pattern, found, ".")
        elif part == "+":
            yield f"none for +{where}", _replaced(pattern, found, "*")
        elif bounds := _BOUNDS.fullmatch(part):
            least, most = int(bounds[1]), int(bounds[2] or bounds[1])
            if least:
                yield f"one less for {part}{where}", _replaced(pattern, found, f"{{{least - 1},{most}}}")
            yield f"one more for {part}{where}", _replaced(pattern, found, f"{{{least},{most + 1}}}")


def tighter(pattern: str) -> Iterator[tuple[str, str]]:
    """(description of the change, the changed pattern) for each repetition."""
    for found in _PART.finditer(pattern):
        part, where = found[0], f" at {found.start()}"
        if part == "+":
            yield f"two for +{where}", _replaced(pattern, found, "{2,}")
        elif part == "*":
            yield f"one for *{where}", _replaced(pattern, found, "+")
        elif part == "?":
            yield f"always for ?{where}", _replaced(pattern, found, "")
        elif bounds := _BOUNDS.fullmatch(part):
            least, most = int(bounds[1]), int(bounds[2] or bounds[1])
            if least < most:
                yield f"least one more for {part}{where}", _replaced(pattern, found, f"{{{least + 1},{most}}}")
                yield f"most one less for {part}{where}", _replaced(pattern, found, f"{{{least},{most - 1}}}")


def _replaced(pattern: str, found: re.Match[str], new: str) -> str:
    return pattern[: found.start()] + new + pattern[found.end() :]
