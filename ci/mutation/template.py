"""Mutants of a chart's templates: one line dropped, one condition turned round, one word changed."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from mutation.blocks import Action, Block, actions, blocks
from mutation.mutant import Mutant

_SHOWN: Final = 110


@dataclass(frozen=True, slots=True)
class TemplateMutant(Mutant):
    """``text`` is what stands in for the file ``path`` of the chart; ``line`` is where it differs, from 1.

    From ``start`` to ``end`` of the file as it was, something else stands now.
    """

    path: str
    line: int
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Edit:
    operator: str
    start: int
    end: int
    new: str = ""


def template_mutants(path: str, text: str) -> Iterator[TemplateMutant]:
    """Every mutant of one template, each once, in the order of the lines.

    ``id`` is path, operator and the line as it was, with a number where the same stands in the file again. Raises
    ValueError for a template whose blocks do not nest.
    """
    seen = {text}
    ids: Counter[str] = Counter()
    for edit in sorted(_edits(text), key=lambda one: (one.start, one.end, one.operator, one.new)):
        mutated = text[: edit.start] + edit.new + text[edit.end :]
        if mutated in seen:
            continue
        seen.add(mutated)
        first = text.rfind("\n", 0, edit.start) + 1
        line = " ".join(text[first:].partition("\n")[0].split())
        was, now = (" ".join(each.split()) for each in (text[edit.start : edit.end], edit.new))
        title = f"{path}: {edit.operator}: {_cut(line)}"
        if edit.new and was != line:
            title += f" [{_cut(was)} -> {_cut(now)}]"
        ids[title] += 1
        number = f" #{ids[title]}" if ids[title] > 1 else ""
        change = f"{_cut(was) or 'nothing'} -> {_cut(now) or 'nothing'}"
        at = text.count("\n", 0, edit.start) + 1
        yield TemplateMutant("template", title + number, change, path, at, mutated, edit.start, edit.end)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _edits(text: str) -> Iterator[_Edit]:
    found = actions(text)
    for block in blocks(text):
        yield from _of_block(block)
    yield from _lines(text, found)
    for action in found:
        if not action.is_comment:
            yield from _of_code(action)
    ends = [0, *(action.end for action in found)]
    for start, end in zip(ends, [*(action.start for action in found), len(text)], strict=True):
        yield from _of_text(text, start, end)


# ---- blocks


def _of_block(block: Block) -> Iterator[_Edit]:
    opening, keyword = block.opening, block.opening.keyword
    start = opening.code_start
    if keyword in ("define", "block"):
        yield _Edit("empty", opening.end, block.end.start)
        return
    if keyword == "if":
        condition = opening.code.removeprefix("if").strip()
        for operator, new in (("always", "true"), ("never", "false"), ("negate", f"not ({condition})")):
            yield _Edit(operator, start, start + len(opening.code), f"if {new}")
    else:
        yield _Edit("drop block", opening.start, block.end.end)
    if keyword == "range":
        yield _Edit("only the first", block.end.start, block.end.start, "{{ break }}")
    for head, body_start, body_end in list(block.branches())[1:]:
        if head.code.startswith("else if"):
            condition = head.code.removeprefix("else if").strip()
            for operator, new in (("always", "true"), ("never", "false"), ("negate", f"not ({condition})")):
                yield _Edit(operator, head.code_start, head.code_start + len(head.code), f"else if {new}")
        else:
            yield _Edit("empty else", body_start, body_end)


# ---- lines


def _lines(text: str, found: list[Action]) -> Iterator[_Edit]:
    """Each line that holds a whole number of actions and of blocks, and something besides comments."""
    start = 0
    for line in text.splitlines(keepends=True):
        end = start + len(line)
        within = [one for one in found if one.start < end and one.end > start]
        whole = all(one.start >= start and one.end <= end for one in within)
        words = [one.keyword for one in within]
        opened = sum(word in ("if", "with", "range", "define", "block") for word in words)
        alone = opened == words.count("end") and (opened or "else" not in words)
        said = line.strip() and not (within and all(one.is_comment for one in within) and line.strip().startswith("{{"))
        if whole and alone and said and not line.strip().startswith("#"):
            yield _Edit("drop line", start, end)
        start = end


# ---- words within actions

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`')
_SWAPS: Final = {
    "eq": "ne",
    "ne": "eq",
    "and": "or",
    "or": "and",
    "gt": "le",
    "lt": "ge",
    "le": "gt",
    "ge": "lt",
    "true": "false",
    "false": "true",
    "min": "max",
    "max": "min",
    "add1": "int",
    "hasKey": "not (hasKey",
}
_WORDS: Final = re.compile(r"(?<![\w.$\"-])(eq|ne|and|or|gt|lt|le|ge|true|false|min|max)(?![\w\"-])")
_NOT: Final = re.compile(r"(?<![\w.$])not (?=[($.\w])")
_NUMBER: Final = re.compile(r"(?<![\w.$\"-])(?<!indent )(\d+)(?![\w.\"])")  # a block further in is the same YAML
_TERNARY: Final = re.compile(r"(?<![\w.$])ternary (\"[^\"]*\"|\S+) (\"[^\"]*\"|[^\s|)]+)")
_PIPED: Final = re.compile(
    r" \| (?:quote|trunc \d+|trimSuffix \"[^\"]*\"|lower|default (?:\"[^\"]*\"|[\w.$]+)|uniq|sortAlpha)(?![\w])"
)
_INCLUDED: Final = re.compile(r"(?:include|template|define) $")


def _of_code(action: Action) -> Iterator[_Edit]:
    code, at = action.code, action.code_start
    strings = [(one.start(), one.end()) for one in _STRING.finditer(code)]

    def outside(position: int) -> bool:
        return not any(start <= position < end for start, end in strings)

    for found in _WORDS.finditer(code):
        if outside(found.start()):
            yield _Edit("swap", at + found.start(), at + found.end(), _SWAPS[found[1]])
    for found in _NOT.finditer(code):
        if outside(found.start()):
            yield _Edit("drop not", at + found.start(), at + found.end())
    for found in _NUMBER.finditer(code):
        if outside(found.start()):
            yield _Edit("one more", at + found.start(), at + found.end(), str(int(found[1]) + 1))
    for found in _TERNARY.finditer(code):
        if outside(found.start()):
            yield _Edit("swap", at + found.start(), at + found.end(), f"ternary {found[2]} {found[1]}")
    for found in _PIPED.finditer(code):
        if outside(found.start()):
            yield _Edit("drop function", at + found.start(), at + found.end())
    for start, end in strings:
        if not _INCLUDED.search(code[:start]):
            yield from _of_string(code[start:end], at + start)


def _of_string(literal: str, at: int) -> Iterator[_Edit]:
    quote, body = literal[0], literal[1:-1]
    if body.startswith("^"):
        yield _Edit("loosen", at, at + len(literal), f"{quote}{body[1:]}{quote}")
    if body.endswith("$"):
        yield _Edit("loosen", at, at + len(literal), f"{quote}{body[:-1]}{quote}")
    if not body.startswith("^"):
        yield _Edit("other word", at, at + len(literal), f"{quote}{body}x{quote}")


# ---- words of the text around

_TextRule = tuple[str, re.Pattern[str], Callable[[re.Match[str]], str]]
_TEXT: Final[tuple[_TextRule, ...]] = (
    ("swap", re.compile(r"\b(true|false)\b"), lambda found: "false" if found[1] == "true" else "true"),
    ("swap", re.compile(r"&&|\|\|"), lambda found: "||" if found[0] == "&&" else "&&"),
    ("swap", re.compile(r"[=!]="), lambda found: "!=" if found[0] == "==" else "=="),
    ("swap", re.compile(r"\.(all|exists)\("), lambda found: ".exists(" if found[1] == "all" else ".all("),
    ("drop not", re.compile(r"!(?=[\w(])"), lambda _found: ""),
    ("one more", re.compile(r"(?<=[\s:(=<>])\d+(?=[\s),\]]|$)", re.MULTILINE), lambda found: str(int(found[0]) + 1)),
    (
        "swap",
        re.compile(r"(?<= )(<=|>=|<|>)(?= )"),
        lambda found: {"<=": ">", ">=": "<", "<": ">=", ">": "<="}[found[0]],
    ),
    ("other word", re.compile(r"(?<=: )([A-Za-z][\w./-]*)(?=\s*$)", re.MULTILINE), lambda found: f"{found[1]}x"),
    ("other word", re.compile(r"(?<=- )([A-Za-z][\w./-]*)(?=\s*$)", re.MULTILINE), lambda found: f"{found[1]}x"),
    ("other word", re.compile(r"(?<=[('])([a-z][\w.:/-]*)(?=')"), lambda found: f"{found[1]}x"),
)
_LIST: Final = re.compile(r"\[([^\[\]{}]+)\]")


def _of_text(text: str, start: int, end: int) -> Iterator[_Edit]:
    part = text[start:end]
    for operator, pattern, change in _TEXT:
        for found in pattern.finditer(part):
            new = change(found)
            if new not in ("truex", "falsex") and not _in_comment(text, start + found.start()):
                yield _Edit(operator, start + found.start(), start + found.end(), new)
    for found in _LIST.finditer(part):
        items = [item.strip() for item in found[1].split(",")]
        for number in range(len(items)):
            rest = ", ".join(items[:number] + items[number + 1 :])
            yield _Edit("drop item", start + found.start(), start + found.end(), f"[{rest}]")


def _in_comment(text: str, position: int) -> bool:
    """Whether it stands on a line of YAML that is a comment."""
    return text[text.rfind("\n", 0, position) + 1 : position].lstrip().startswith("#")
