"""Reports as text for a terminal; without colour in a file, and in ASCII if the output's encoding is not UTF."""

import os
from collections.abc import Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from agent_identities.report.characters import visible
from agent_identities.report.model import Block, Cell, Column, Finding, Report, Rule, Severity, Table

_WIDTH_OF_FILES = 120
_MOST_FINDINGS = 20
_GAP = 2
_ASCII = str.maketrans({"·": ".", "…": "~", "✗": "x", "✓": "+", "→": "->"})
_DIFF_STYLES = {"+": "yellow", "-": "green", "@": "dim"}


def write(report: Report, output: TextIO) -> None:
    """Write the listing if there is one, the tables, the findings with remediations, notes and the summary."""
    console = Console(file=output, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_OF_FILES
    show(report, console)


def show(report: Report, console: Console) -> None:
    """Write the report to the caller's console."""
    if console.encoding.startswith("utf"):
        _show(report, console)
        return
    with console.capture() as captured:
        _show(report, console)
    console.file.write(captured.get().translate(_ASCII))


def _show(report: Report, console: Console) -> None:
    if report.listing is not None:
        _list(report.listing, console)
    if report.about:
        console.print(_shown(report.about, style="dim"), soft_wrap=True)
        console.print()
    for table in report.tables:
        if table.rows:
            console.print(_grid(table, console.width))
            console.print()
    if report.legend:
        console.print(_shown(report.legend, style="dim"))
        console.print()
    for rule in report.rules:
        _show_rule(rule, [each for each in report.findings if each.rule == rule.id], console)
    if not report.rules:
        for finding in report.findings[:_MOST_FINDINGS]:
            _show_finding(finding, console)
        if len(report.findings) > _MOST_FINDINGS:
            more = len(report.findings) - _MOST_FINDINGS
            console.print(_shown(f"  and {more:,} more findings: --output json lists all findings.", style="red"))
    for note in report.notes:
        console.print(_shown(f"! {note}", style="yellow"), soft_wrap=True)
    if report.rules or report.findings or report.notes:
        console.print()
    for block in report.blocks:
        _show_block(block, console)
    for sentence in report.closing:
        console.print(_shown(sentence, style="dim"), soft_wrap=True)
    console.print(_shown(report.summary, style="bold green" if report.ok else "bold red"), soft_wrap=True)


def _show_rule(rule: Rule, findings: Sequence[Finding], console: Console) -> None:
    """A line for the rule, and its findings below."""
    errors = any(each.severity is Severity.ERROR for each in findings)
    mark, style = ("✗", "bold red") if errors else ("!", "yellow") if findings else ("✓", "green")
    console.print(_shown(f"{mark} {rule.id:<18}", style=style), _shown(rule.title), soft_wrap=True)
    for each in findings:
        what = _shown(f"    {each.message}", style="red" if each.severity is Severity.ERROR else "yellow")
        more = " ".join((*each.details, *each.remediation))
        console.print(what, *([_shown(more, style="dim")] if more else ()), soft_wrap=True)


def _show_finding(finding: Finding, console: Console) -> None:
    mark, style = ("✗", "bold red") if finding.severity is Severity.ERROR else ("!", "yellow")
    console.print(_shown(f"{mark} {finding.message}", style=style), soft_wrap=True)
    for line in (*finding.details, *finding.remediation):
        console.print(_shown(f"    {line}"), soft_wrap=True)


def _show_block(block: Block, console: Console) -> None:
    if block.title:
        console.print(_shown(block.title, style="bold"), soft_wrap=True)
    for line in block.text.rstrip().splitlines():
        style = _DIFF_STYLES.get(line[:1], "") if block.language == "diff" else ""
        console.print(_shown(line, style=style), soft_wrap=True)
    console.print()


def _list(table: Table, console: Console) -> None:
    """Every row on one line of any length, in columns for cut and grep; the first field sets the style."""
    header = [column.title for column in table.columns]
    texts = [header, *([_text(each).plain for each in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    styles = ["bold", *(row[0][0][0].style.value for row in table.rows)]
    for row, style in zip(texts, styles, strict=True):
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        console.print(_shown(line, style=style), soft_wrap=True)
    console.print()


def _grid(table: Table, width: int) -> Grid:
    """The table, or its narrow form if the words do not fit. Every column is shown."""
    columns = [[_text(row[index]) for row in table.rows] for index in range(len(table.columns))]
    least = [_least(column, texts) for column, texts in zip(table.columns, columns, strict=True)]
    if table.narrow is not None and sum(least) + _GAP * len(least) > width:
        return _grid(table.narrow, width)
    natural = [_natural(column.title, texts) for column, texts in zip(table.columns, columns, strict=True)]
    # The gap between columns is one blank of the box and one blank of the padding.
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0), header_style="bold")
    for column, size in zip(table.columns, _widths(natural, least, width - _GAP * len(least)), strict=True):
        grid.add_column(column.title, width=size, overflow="fold", justify="right" if column.right else "left")
    for row in zip(*columns, strict=True):
        grid.add_row(*row)
    return grid


def _shown(text: str, style: str = "") -> Text:
    """The text, whose characters cannot control the terminal."""
    return Text(visible(text), style=style)


def _text(lines: Cell) -> Text:
    return Text("\n").join(Text(" ").join(_shown(span.text, style=span.style.value) for span in line) for line in lines)


def _least(column: Column, texts: Sequence[Text]) -> int:
    """The minimum width at which a column does not break words."""
    if column.whole:
        return _natural(column.title, texts)
    return max(len(word) for text in (column.title, *(text.plain for text in texts)) for word in text.split() or [""])


def _natural(header: str, texts: Sequence[Text]) -> int:
    """The minimum width at which a column does not break lines."""
    return max(len(line) for text in (header, *(text.plain for text in texts)) for line in text.splitlines() or [""])


def _widths(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """The width of each column: its natural width; if there is not enough room, the widest columns are narrowed."""
    widths = list(natural)
    while sum(widths) > room and widths != list(least):
        widest = max(range(len(widths)), key=lambda index: (widths[index] > least[index], widths[index]))
        widths[widest] -= 1
    return widths
