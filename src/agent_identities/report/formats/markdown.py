"""Reports as GitHub Flavored Markdown, for a pull request or a CI summary."""

import re
from typing import TextIO

from agent_identities.report.characters import visible
from agent_identities.report.model import Cell, Finding, Report, Severity, Style, Table


def write(report: Report, output: TextIO) -> None:
    """Write tables, findings, notes, preformatted blocks, and the summary."""
    blocks = [f"{escape(report.about)}"] if report.about else []
    blocks += [_table(each) for each in report.tables if each.rows]
    if report.legend:
        blocks.append(escape(report.legend))
    if report.rules:
        blocks.append("\n".join(_rule(report, rule.id, rule.title) for rule in report.rules))
    blocks += [_finding(each) for each in report.findings]
    blocks += [f"- ⚠️ {escape(note)}" for note in report.notes]
    for block in report.blocks:
        blocks += [f"**{escape(block.title)}**"] if block.title else []
        blocks.append(_fenced(block.language, block.text))
    blocks += [escape(sentence) for sentence in report.closing]
    blocks.append(f"**{escape(report.summary)}**")
    if report.listing:
        blocks.append(_table(report.listing))
    output.write("\n\n".join(blocks) + "\n")


def escape(text: str) -> str:
    """The text on one line, escaped for Markdown."""
    return " ".join(re.sub(r"([\\*|_<>`\[\]])", r"\\\1", visible(text)).split())


def _rule(report: Report, name: str, title: str) -> str:
    severities = {each.severity for each in report.findings if each.rule == name}
    mark = "❌" if Severity.ERROR in severities else "⚠️" if severities else "✅"
    return f"- {mark} `{name}`: {escape(title)}"


def _finding(finding: Finding) -> str:
    mark = "❌" if finding.severity is Severity.ERROR else "⚠️"
    lines = [*finding.details, *finding.remediation]
    return "\n".join([f"- {mark} **{escape(finding.message)}**", *(f"  {escape(line)}  " for line in lines)])


def _table(table: Table) -> str:
    header = [column.title for column in table.columns]
    rules = ["---:" if column.right else "---" for column in table.columns]
    rows = [[_cell(each) for each in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rules, *rows])


def _cell(lines: Cell) -> str:
    return "<br>".join(
        " ".join(f"**{escape(span.text)}**" if span.style is Style.BAD else escape(span.text) for span in line)
        for line in lines
    )


def _fenced(language: str, text: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{visible(text).rstrip()}\n{fence}"
