"""Mutants of a chart's templates: one line dropped, one condition negated, one word changed.

Edits of other lines do not change an id, nor do edits without effect: blanks, trim markers, names of variables, the
words of a message. It has the file, the define, the operator, and the action or line that is changed, normalised:

    templates/_rbac.tpl role: swap: if and $1.on (not .off) [and -> or]

If a define has the same text again, the id ends with its number: #2.
"""

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
    """``text`` replaces the file ``path`` of the chart; ``line`` is where it differs, from 1.

    The unchanged file differs from ``start`` to ``end``.
    """

    path: str
    line: int
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Edit:
    """``new`` replaces the text from ``start`` to ``end``; ``of`` is the action or line that the id names."""

    operator: str
    start: int
    end: int
    of: str
    new: str = ""
    word: bool = False
    """Whether the id contains the old and the new text."""


def template_mutants(path: str, text: str) -> Iterator[TemplateMutant]:
    """Every mutant of one template, without duplicates, in the order of the lines.

    Raises ValueError for a template whose blocks do not nest.
    """
    seen = {text}
    ids: Counter[str] = Counter()
    defines = [(block.opening.end, block.end.start, _name(block)) for block in blocks(text) if _name(block)]
    for edit in sorted(_edits(text), key=lambda one: (one.start, one.end, one.operator, one.new)):
        mutated = text[: edit.start] + edit.new + text[edit.end :]
        if mutated in seen:
            continue
        seen.add(mutated)
        inside = next((name for start, end, name in defines if start <= edit.start <= end), "")
        was, now = text[edit.start : edit.end], edit.new
        title = f"{path}{inside}: {edit.operator}: {normalised(edit.of)}"
        if edit.word:
            title += f" [{normalised(was)} -> {normalised(now)}]"
        ids[title] += 1
        number = f" #{ids[title]}" if ids[title] > 1 else ""
        change = f"{_cut(was) or 'nothing'} -> {_cut(now) or 'nothing'}"
        at = text.count("\n", 0, edit.start) + 1
        yield TemplateMutant("template", title + number, change, path, at, mutated, edit.start, edit.end)


def _name(block: Block) -> str:
    """The name of a define, without the chart's."""
    found = re.match(r'(?:define|block) "(?:agent-identities\.)?([^"]*)"', block.opening.code)
    return f" {found[1]}" if found else ""


def _cut(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= _SHOWN else f"{one_line[: _SHOWN - 1]}…"


# ---- ids

_TRIM: Final = re.compile(r"\{\{-|-\}\}")
_VARIABLE: Final = re.compile(r"\$([A-Za-z]\w*)")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`')
_QUOTED: Final = re.compile(rf"{_STRING.pattern}|'[^']*'")
_PROSE: Final = re.compile(r"[A-Za-z]{2,}[,:;]? [A-Za-z]+[,:;]? [A-Za-z]+")


def is_prose(literal: str) -> bool:
    """Whether a string of a template is the text of a message: three words in a row."""
    return bool(_PROSE.search(literal))


def normalised(code: str) -> str:
    """An action or a line without blanks and trim markers, with variables numbered, and … for the text of messages."""
    code = " ".join(_TRIM.sub(lambda mark: mark[0].replace("-", ""), code).split())
    code = _QUOTED.sub(lambda found: "…" if is_prose(found[0]) else found[0], code)
    code = code.replace("{{ ", "{{").replace(" }}", "}}")
    names: dict[str, str] = {}
    return _VARIABLE.sub(lambda found: f"${names.setdefault(found[1], str(len(names) + 1))}", code)


def _line(text: str, position: int) -> str:
    """The line around a position."""
    return text[text.rfind("\n", 0, position) + 1 :].partition("\n")[0]


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
    opening, keyword, code = block.opening, block.opening.keyword, block.opening.code
    if keyword in ("define", "block"):
        yield _Edit("empty", opening.end, block.end.start, code)
        return
    if keyword == "if":
        yield from _of_condition(opening, "if")
    else:
        yield _Edit("drop block", opening.start, block.end.end, code)
    if keyword == "range":
        yield _Edit("only the first", block.end.start, block.end.start, code, "{{ break }}")
    for head, body_start, body_end in list(block.branches())[1:]:
        if head.code.startswith("else if"):
            yield from _of_condition(head, "else if")
        else:
            yield _Edit("empty else", body_start, body_end, code)


def _of_condition(action: Action, keyword: str) -> Iterator[_Edit]:
    condition = action.code.removeprefix(keyword).strip()
    start, end = action.code_start, action.code_start + len(action.code)
    for operator, new in (("always", "true"), ("never", "false"), ("negate", f"not ({condition})")):
        yield _Edit(operator, start, end, action.code, f"{keyword} {new}")


# ---- lines


def _lines(text: str, found: list[Action]) -> Iterator[_Edit]:
    """Each line that has only complete actions and blocks, and is not only comments."""
    start = 0
    for line in text.splitlines(keepends=True):
        end = start + len(line)
        within = [one for one in found if one.start < end and one.end > start]
        whole = all(one.start >= start and one.end <= end for one in within)
        words = [one.keyword for one in within]
        opened = sum(word in ("if", "with", "range", "define", "block") for word in words)
        alone = opened == words.count("end") and (opened or "else" not in words)
        content = line.strip() and not (
            within and all(one.is_comment for one in within) and line.strip().startswith("{{")
        )
        if whole and alone and content and not line.strip().startswith("#"):
            yield _Edit("drop line", start, end, line)
        start = end


# ---- words within actions

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
_NUMBER: Final = re.compile(r"(?<![\w.$\"-])(?<!indent )(\d+)(?![\w.\"])")  # a nested block has the same YAML
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

    def edit(operator: str, start: int, end: int, new: str = "") -> _Edit:
        return _Edit(operator, at + start, at + end, code, new, word=True)

    for found in _WORDS.finditer(code):
        if outside(found.start()):
            yield edit("swap", found.start(), found.end(), _SWAPS[found[1]])
    for found in _NOT.finditer(code):
        if outside(found.start()):
            yield edit("drop not", found.start(), found.end())
    for found in _NUMBER.finditer(code):
        if outside(found.start()):
            yield edit("one more", found.start(), found.end(), str(int(found[1]) + 1))
    for found in _TERNARY.finditer(code):
        if outside(found.start()):
            yield edit("swap", found.start(), found.end(), f"ternary {found[2]} {found[1]}")
    for found in _PIPED.finditer(code):
        if outside(found.start()):
            yield edit("drop function", found.start(), found.end())
    for start, end in strings:
        if not _INCLUDED.search(code[:start]):
            for operator, new in _of_string(code[start:end]):
                yield edit(operator, start, end, new)


_SENTENCE: Final = re.compile(r"[.:;,] (?=\S)")


def _of_string(literal: str) -> Iterator[tuple[str, str]]:
    """(operator, the new literal). The wording of a message does not matter, so a message is cut after each clause."""
    quote, body = literal[0], literal[1:-1]
    if is_prose(body):
        for end in [found.start() for found in _SENTENCE.finditer(body)]:
            yield "cut", f"{quote}{body[:end]}{quote}"
        return
    if body.startswith("^"):
        yield "loosen", f"{quote}{body[1:]}{quote}"
    if body.endswith("$"):
        yield "loosen", f"{quote}{body[:-1]}{quote}"
    if not body.startswith("^"):
        yield "other word", f"{quote}{body}x{quote}"


# ---- words outside of actions

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
                here = start + found.start()
                yield _Edit(operator, here, start + found.end(), _line(text, here), new, word=True)
    for found in _LIST.finditer(part):
        items = [item.strip() for item in found[1].split(",")]
        for number in range(len(items)):
            rest = ", ".join(items[:number] + items[number + 1 :])
            here = start + found.start()
            yield _Edit("drop item", here, start + found.end(), _line(text, here), f"[{rest}]", word=True)


def _in_comment(text: str, position: int) -> bool:
    """Whether the position is in a YAML comment."""
    return text[text.rfind("\n", 0, position) + 1 : position].lstrip().startswith("#")
