"""The access matrix as text, as JSON and as Markdown."""

import json
import os
import re
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from agent_identities.verify.access import Cell, Matrix
from agent_identities.verify.rows import ABBREVIATIONS, ACTING, NOTHING, Lines, Mark, Part, Row, Table, table
from agent_identities.verify.surprises import notes, surprises

_WIDTH_OF_FILES = 100
_MOST_SENTENCES = 20
_WIDEST_LABEL = 24
_GAP = 2

_ASCII = str.maketrans({"·": ".", "…": "~", "✗": "x"})

_STYLES = {Mark.DECLARED: "green", Mark.DENIED: "dim", Mark.NOTABLE: "yellow", Mark.SURPRISE: "bold red"}


def print_text(matrix: Matrix, console: Console | None = None, *, every_cell: bool = False) -> None:
    """The table, every surprise in a sentence with what to do, and a summary; `every_cell` lists all answers before."""
    console = console or _console()
    if console.encoding.startswith("utf"):
        _print(matrix, console, every_cell=every_cell)
        return
    with console.capture() as captured:
        _print(matrix, console, every_cell=every_cell)
    console.file.write(captured.get().translate(_ASCII))


def _print(matrix: Matrix, console: Console, *, every_cell: bool) -> None:
    if every_cell:
        _print_cells(matrix, console)
    console.print(Text(f"Namespace {matrix.declaration.namespace} on {matrix.server}", style="dim"), soft_wrap=True)
    console.print()
    console.print(_grid(table(matrix), console.width))
    console.print()
    console.print(Text(_legend(matrix), style="dim"))
    console.print()
    sentences = list(surprises(matrix))
    for sentence in sentences[:_MOST_SENTENCES]:
        console.print(Text(f"✗ {sentence.what}", style="bold red"), soft_wrap=True)
        for line in sentence.lines:
            console.print(Text(f"    {line}"), soft_wrap=True)
    if len(sentences) > _MOST_SENTENCES:
        console.print(
            f"  and {len(sentences) - _MOST_SENTENCES} more of that kind: --output json has every answer.", style="red"
        )
    for note in notes(matrix):
        console.print(Text(f"! {note}", style="yellow"), soft_wrap=True)
    if sentences or matrix.undeclared:
        console.print()
    console.print(Text(summary(matrix), style="bold green" if matrix.clean else "bold red"))


def summary(matrix: Matrix) -> str:
    """The counts in one line."""
    wrong = len(matrix.surprises) + len(matrix.absent)
    parts = (
        f"{_many(len(matrix.declaration.agents), 'agent')} and {matrix.declaration.proxy.name}",
        _many(matrix.permissions, "permission"),
        f"{_many(len(matrix.cells), 'answer')} in {matrix.seconds:.1f} s",
        f"{matrix.count(expected=True, allowed=True):,} allowed as declared",
        f"{matrix.count(expected=False, allowed=False):,} denied as declared",
        _many(wrong, "surprise") if wrong else "no surprise",
    )
    return " · ".join(parts)


def to_json(matrix: Matrix) -> str:
    """Every answer, for machines.

    {"server", "namespace", "clean", "seconds", "counts": {...}, "absent": [name],
    "undeclared": [{namespace, name, release}], "surprises": [cell], "cells": [cell]}; a cell is
    {"agent", "namespace" (the ServiceAccount's), "entry", "permission" (as text),
    "request": {verb, apiGroup, resource, subresource, name, namespace}, "expected", "allowed", "reason"}.
    """
    report = {
        "server": matrix.server,
        "namespace": matrix.declaration.namespace,
        "clean": matrix.clean,
        "seconds": round(matrix.seconds, 3),
        "counts": {
            "agents": len(matrix.declaration.agents),
            "permissions": matrix.permissions,
            "answers": len(matrix.cells),
            "allowedAsDeclared": matrix.count(expected=True, allowed=True),
            "deniedAsDeclared": matrix.count(expected=False, allowed=False),
            "allowedThoughNotDeclared": matrix.count(expected=False, allowed=True),
            "deniedThoughDeclared": matrix.count(expected=True, allowed=False),
            "absent": len(matrix.absent),
        },
        "absent": [one.name for one in matrix.absent],
        "undeclared": [
            {"namespace": one.namespace, "name": one.name, "release": one.release} for one in matrix.undeclared
        ],
        "surprises": [_json_cell(cell) for cell in matrix.surprises],
        "cells": [_json_cell(cell) for cell in matrix.cells],
    }
    return json.dumps(report, indent=2)


def to_markdown(matrix: Matrix, *, every_cell: bool = False) -> str:
    """The same as the text, for a pull request or a CI summary."""
    made = table(matrix)
    blocks = [
        _markdown_table(
            ("Agent", *made.columns, "elsewhere", "dangerous"),
            [
                (
                    f"{row.label} **no ServiceAccount**" if row.absent else row.label,
                    *(_markdown_field(lines) for lines in row.fields or ((),) * len(made.columns)),
                    _markdown_field(row.elsewhere),
                    _markdown_field(row.dangerous),
                )
                for row in made.rows
            ],
        ),
        _escape(_legend(matrix)),
    ]
    blocks += [
        "\n".join([f"- ❌ **{_escape(s.what)}**", *(f"  {_escape(line)}" for line in s.lines)])
        for s in surprises(matrix)
    ]
    blocks += [f"- ⚠️ {_escape(note)}" for note in notes(matrix)]
    blocks.append(f"**{_escape(summary(matrix))}**")
    if every_cell:
        rows = [tuple(map(_escape, _cell_texts(cell))) for cell in matrix.cells]
        blocks.append(_markdown_table(_CELL_HEADER, rows))
    return "\n\n".join(blocks) + "\n"


# ---- the table


def _grid(made: Table, width: int) -> Grid:
    """One column a resource where they fit; else one for all of them."""
    agent = ("agent", [_label(row) for row in made.rows])
    columns = [
        (name, [_text(row.fields[index]) if row.fields else Text() for row in made.rows])
        for index, name in enumerate(made.columns)
    ]
    tail = [
        ("elsewhere", [_text(row.elsewhere) for row in made.rows]),
        ("dangerous", [_text(row.dangerous) for row in made.rows]),
    ]
    if sum(_GAP + _least(*column) for column in (agent, *columns, *tail)) > width:
        columns = [("may", [_text(_listed(made.columns, row)) for row in made.rows])]
    shown = (agent, *columns, *tail)
    # The box puts one blank between columns, the padding the other.
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0), header_style="bold")
    for (name, _), size in zip(shown, _widths(shown, width - _GAP * len(shown)), strict=True):
        grid.add_column(name, width=size, overflow="fold")
    for cells in zip(*(texts for _, texts in shown), strict=True):
        grid.add_row(*cells)
    return grid


def _label(row: Row) -> Text:
    """Whom a row is about, on more than one line where it is long."""
    text = row.label if len(row.label) <= _WIDEST_LABEL else row.label.replace(" (", "\n(")
    return Text(f"{text}\nno ServiceAccount", style=_STYLES[Mark.SURPRISE]) if row.absent else Text(text)


def _least(header: str, texts: Sequence[Text]) -> int:
    """The width below which a column would break words."""
    return max(len(word) for text in (header, *(text.plain for text in texts)) for word in text.split() or [""])


def _natural(header: str, texts: Sequence[Text]) -> int:
    """The width at which a column breaks no line."""
    return max(len(line) for text in (header, *(text.plain for text in texts)) for line in text.splitlines() or [""])


def _widths(columns: Sequence[tuple[str, Sequence[Text]]], room: int) -> list[int]:
    """What each column gets: all that it needs, less where the room is short, from the widest first."""
    least = [_least(*column) for column in columns]
    widths = [_natural(*column) for column in columns]
    while sum(widths) > room and widths != least:
        widest = max(range(len(widths)), key=lambda index: (widths[index] > least[index], widths[index]))
        widths[widest] -= 1
    return widths


def _listed(columns: Sequence[str], row: Row) -> Lines:
    """All columns of a row in one: ``read pods, services``."""
    alike: dict[tuple[tuple[Part, ...], tuple[Part, ...]], list[str]] = {}
    for column, lines in zip(columns, row.fields, strict=False):
        for line in lines:
            name = tuple(part for part in line if part.is_name)
            for mark in (Mark.DECLARED, Mark.SURPRISE):
                if verbs := tuple(part for part in line if part.mark is mark and not part.is_name):
                    alike.setdefault((verbs, name), []).append(column)
    listed = tuple((*verbs, Part(", ".join(targets), verbs[0].mark), *name) for (verbs, name), targets in alike.items())
    return listed or (() if row.absent else (NOTHING,))


def _text(lines: Lines) -> Text:
    return Text("\n").join(Text(" ").join(Text(part.text, style=_STYLES[part.mark]) for part in line) for line in lines)


def _legend(matrix: Matrix) -> str:
    away = sorted({each.namespace for each in matrix.questions.elsewhere})
    words = {
        **{word: " ".join(verbs) for word, verbs in ABBREVIATIONS.items()},
        **({f"{ACTING}verb": "the proxy, as a proxied agent"} if _acts(matrix) else {}),
        "+verb": "allowed, not declared",
        "-verb": "declared, but denied",
        "elsewhere": f"in namespace {', '.join(away)}",
        "dangerous": "secrets, pods/exec, impersonate, …",
    }
    return " · ".join(f"{word} = {meaning}" for word, meaning in words.items())


def _acts(matrix: Matrix) -> bool:
    """Whether the proxy may act as an agent, by constrained impersonation."""
    return any(cell.permission.verb.startswith("impersonate-on:") for cell in matrix.cells if cell.allowed)


# ---- every cell

_CELL_HEADER = ("agent", "permission", "namespace", "declared", "answer", "reason of the API server")


def _cell_texts(cell: Cell) -> tuple[str, ...]:
    words = {True: "allow", False: "deny"}
    place = cell.permission.namespace or "(cluster)"
    return cell.identity.name, str(cell.permission), place, words[cell.expected], words[cell.allowed], cell.reason


def _print_cells(matrix: Matrix, console: Console) -> None:
    """One line a cell, in columns that can be cut and grepped."""
    rows = [_CELL_HEADER, *map(_cell_texts, matrix.cells)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    styles = ["bold", *(_cell_style(cell) for cell in matrix.cells)]
    for row, style in zip(rows, styles, strict=True):
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        console.print(Text(line, style=style), soft_wrap=True)
    console.print()


def _cell_style(cell: Cell) -> str:
    return _STYLES[Mark.SURPRISE if cell.surprising else Mark.DECLARED if cell.allowed else Mark.DENIED]


def _json_cell(cell: Cell) -> dict[str, object]:
    permission = cell.permission
    return {
        "agent": cell.identity.name,
        "namespace": cell.identity.namespace,
        "entry": cell.identity.entry,
        "permission": str(permission),
        "request": {
            "verb": permission.verb,
            "apiGroup": permission.api_group,
            "resource": permission.resource,
            "subresource": permission.subresource,
            "name": permission.name,
            "namespace": permission.namespace,
        },
        "expected": cell.expected,
        "allowed": cell.allowed,
        "reason": cell.reason,
    }


# ---- Markdown and words


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown_field(lines: Lines) -> str:
    return "<br>".join(
        " ".join(f"**{_escape(part.text)}**" if part.mark is Mark.SURPRISE else _escape(part.text) for part in line)
        for line in lines
    )


def _escape(text: str) -> str:
    return re.sub(r"([*|_<>`\[\]])", r"\\\1", text)


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        return Console(highlight=False, width=_WIDTH_OF_FILES)
    return console
