"""The model of a job's report: tables, findings, notes and a summary. Each format is one module in formats/."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from io import StringIO
from typing import TYPE_CHECKING, Any

from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from agent_identities.chart.objects import Key


class Severity(StrEnum):
    """An error is a difference from the values; a warning is declared, and should be reviewed."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a job checks: ``title`` is the rule, ``why`` the damage if it is broken, ``id`` its stable name."""

    id: str
    title: str
    why: str


@dataclass(frozen=True, slots=True)
class Location:
    """The location of a finding, as data.

    ``object`` is the Kubernetes object, ``field`` a path in it (``rules[0].verbs``), ``values`` a path in the values
    (``tiers.reader.rules[0]``), ``source`` the template that rendered the object. Unknown parts are empty.
    """

    object: "Key | None" = None
    field: str = ""
    values: str = ""
    source: str = ""

    def __str__(self) -> str:
        parts = (str(self.object) if self.object is not None else "", self.field)
        return " ".join(part for part in parts if part) or self.values or self.source


@dataclass(frozen=True, slots=True)
class Finding:
    """An error or a warning.

    ``rule`` is the id of a `Rule` in ``Report.rules``, or, of a job without rules, a stable name for such findings
    (``unreadable`` of trace); ``message`` is a full sentence; ``details`` are lines with observations;
    ``remediation`` are lines with actions for the user.
    """

    rule: str
    severity: Severity
    message: str
    location: Location = Location()
    details: tuple[str, ...] = ()
    remediation: tuple[str, ...] = ()


class Style(Enum):
    """The meaning of a text; a format chooses the colour or the emphasis."""

    PLAIN = ""
    STRONG = "bold"
    MUTED = "dim"
    GOOD = "green"
    NOTABLE = "yellow"
    BAD = "bold red"


@dataclass(frozen=True, slots=True)
class Span:
    """A text with one style."""

    text: str
    style: Style = Style.PLAIN


Cell = tuple[tuple[Span, ...], ...]
"""The lines of one field of a table; the spans of a line are separated by a blank."""


def cell(text: str, style: Style = Style.PLAIN) -> Cell:
    """A field with one span for each line."""
    return tuple((Span(line, style),) for line in text.split("\n"))


@dataclass(frozen=True, slots=True)
class Column:
    """A column: ``right`` aligns it to the right, ``whole`` never breaks its lines."""

    title: str
    right: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with one field for each column. ``narrow`` is shown instead if the terminal is too narrow."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    narrow: "Table | None" = None


@dataclass(frozen=True, slots=True)
class Block:
    """A preformatted text: YAML to paste, a diff. ``language`` is its name in Markdown, ``title`` may be empty."""

    language: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The report of one run of a job.

    ``about`` names the object of the run, such as the cluster; ``rules`` are the checked rules; ``listing`` has every
    answer (with ``--all``); ``closing`` are sentences after the findings; ``data`` makes the job's own part of the
    JSON, whose keys must differ from those of `formats.json`; no other format needs it.
    """

    command: str
    ok: bool
    summary: str
    about: str = ""
    rules: tuple[Rule, ...] = ()
    tables: tuple[Table, ...] = ()
    legend: str = ""
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    closing: tuple[str, ...] = ()
    listing: Table | None = None
    data: Callable[[], Mapping[str, Any]] = dict


class FindingsError(AgentIdentitiesError):
    """A result with errors; ``findings`` are the errors."""

    def __init__(self, message: str, findings: Sequence[Finding]) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class Result(ABC):
    """The result of a job. Results are frozen."""

    __slots__ = ()

    @abstractmethod
    def report(self, *, listing: bool = False) -> Report:
        """The result as a report; ``listing`` adds every answer."""

    @property
    @abstractmethod
    def ok(self) -> bool:
        """Whether everything is as declared. If not, the command exits with 1."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Errors, then warnings."""
        return self.report().findings

    def raise_for_findings(self) -> None:
        """Raise FindingsError with a line for each error, unless the result is ok."""
        if self.ok:
            return
        report = self.report()
        errors = [each for each in report.findings if each.severity is Severity.ERROR]
        lines = "".join(f"\n- {' '.join((each.message, *each.remediation))}" for each in errors)
        raise FindingsError(f"{report.summary}{lines}", errors)

    def to_json(self, *, listing: bool = False) -> str:
        """The result as JSON; see `formats.json` for the keys that all jobs share."""
        return self._in("json", listing=listing)

    def to_markdown(self, *, listing: bool = False) -> str:
        """The result as Markdown, for a pull request or a CI summary."""
        return self._in("markdown", listing=listing)

    def to_text(self, *, listing: bool = False) -> str:
        """The result as text, as the command writes it to a file."""
        return self._in("text", listing=listing)

    def _in(self, name: str, *, listing: bool) -> str:
        from agent_identities.report import write

        output = StringIO()
        write(self.report(listing=listing), name, output)
        return output.getvalue()


def many(number: int, noun: str, nouns: str = "") -> str:
    """``1 agent``, ``2,000 agents``; ``nouns`` is the plural if it is irregular."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"
