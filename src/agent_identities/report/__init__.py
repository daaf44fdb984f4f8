"""Reports: one model, and one module in formats/ for each format, with a function `write(report, output)`."""

import importlib
import io
import pkgutil
from collections.abc import Callable
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
    "writer",
]


def format_names() -> tuple[str, ...]:
    """The names of the formats: the modules of formats/, text first."""
    names = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent / "formats")])}
    return ("text", *sorted(names - {"text"}))


def write(report: Report, name: str, output: TextIO) -> None:
    """Write a report in one of `format_names`. Characters that ``output`` cannot encode are replaced."""
    if isinstance(output, io.TextIOWrapper):
        output.reconfigure(errors="replace")  # with LANG=C, a symbol must not stop the command
    writer(name)(report, output)


def writer(name: str) -> Callable[[Report, TextIO], None]:
    """The function `write` of one of `format_names`; its module may take long to import."""
    write_format: Callable[[Report, TextIO], None] = importlib.import_module(f"{__name__}.formats.{name}").write
    return write_format
