"""Reports: one model, and one file for each format in formats/ that has a function `write(report, output)`."""

import importlib
import io
import pkgutil
from pathlib import Path
from typing import TextIO

from agent_identities.report.model import (
    Block,
    Cell,
    Column,
    Finding,
    FindingsError,
    Location,
    Report,
    Result,
    Rule,
    Severity,
    Span,
    Style,
    Table,
    cell,
    many,
)

__all__ = [
    "Block",
    "Cell",
    "Column",
    "Finding",
    "FindingsError",
    "Location",
    "Report",
    "Result",
    "Rule",
    "Severity",
    "Span",
    "Style",
    "Table",
    "cell",
    "format_names",
    "many",
    "write",
]


def format_names() -> tuple[str, ...]:
    """The formats a report can be written in: the modules of formats/, text first."""
    names = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent / "formats")])}
    return ("text", *sorted(names - {"text"}))


def write(report: Report, name: str, output: TextIO) -> None:
    """Write a report in one of `format_names`. Characters that ``output`` cannot hold are replaced."""
    if isinstance(output, io.TextIOWrapper):
        output.reconfigure(errors="replace")  # a symbol must not end the command where LANG is C
    importlib.import_module(f"agent_identities.report.formats.{name}").write(report, output)
