"""The one model of what a job reports: tables, findings, notes and a summary. Each format is one file of formats/."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from io import StringIO
from typing import TYPE_CHECKING, Any

from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from agent_identities.chart.objects import Key


class Severity(StrEnum):
    """An error breaks a promise of the values; a warning is declared, and worth a look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a job looks for: ``title`` is the promise, ``why`` the harm when it is broken, ``id`` its stable name."""

    id: str
    title: str
    why: str


@dataclass(frozen=True, slots=True)
class Location:
    """Where a finding is, as data.

    ``object`` is the Kubernetes object, ``field`` a path in it (``rules[0].verbs``), ``values`` a path in the values
    (``tiers.reader.rules[0]``), ``source`` the template that rendered the object. Each is empty where it is not known.
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
    """One thing that is wrong, or worth a look.

    ``rule`` is the id of a `Rule`, ``message`` one full sentence, ``details`` what was observed, ``remediation`` what
    to do; a line each.
    """

    rule: str
    severity: Severity
    message: str
    location: Location = Location()
    details: tuple[str, ...] = ()
    remediation: tuple[str, ...] = ()


class Style(Enum):
    """What a piece of text means; a format chooses the colour or the emphasis."""

    PLAIN = ""
    STRONG = "bold"
    MUTED = "dim"
    GOOD = "green"
    NOTABLE = "yellow"
    BAD = "bold red"


@dataclass(frozen=True, slots=True)
class Span:
    """Text of one style."""

    text: str
    style: Style = Style.PLAIN


Cell = tuple[tuple[Span, ...], ...]
"""The lines of one field of a table; the spans of a line are shown with a blank between them."""


def cell(text: str, style: Style = Style.PLAIN) -> Cell:
    """A field with one span a line."""
    return tuple((Span(line, style),) for line in text.split("\n"))


@dataclass(frozen=True, slots=True)
class Column:
    """A column: ``right`` aligns it to the right, ``whole`` never breaks its lines."""

    title: str
    right: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of as many fields as there are columns. ``narrow`` is shown instead where the terminal is too narrow."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    narrow: "Table | None" = None


@dataclass(frozen=True, slots=True)
class Block:
    """Text to keep as it is: YAML to paste, a diff. ``language`` is Markdown's word for it, ``title`` may be empty."""

    language: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one run of a job says.

    ``about`` names what was looked at, ``rules`` what was looked for, ``listing`` every single answer where that was
    asked for, ``closing`` sentences that come after the findings, ``data`` the job's own part of the JSON (its keys are
    not those of `formats.json`).
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
    data: Mapping[str, Any] = field(default_factory=dict)


class FindingsError(AgentIdentitiesError):
    """A result that is not clean; ``findings`` are its errors."""

    def __init__(self, message: str, findings: Sequence[Finding]) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class Result(ABC):
    """What a job found. Results are frozen; ``ok`` says whether everything is as declared."""

    __slots__ = ()

    @abstractmethod
    def report(self, *, listing: bool = False) -> Report:
        """The result in words and tables; ``listing`` adds every single answer."""

    @property
    @abstractmethod
    def ok(self) -> bool:
        """Whether everything is as declared. The command exits with 1 where it is not."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong or worth a look, errors first."""
        return self.report().findings

    def raise_for_findings(self) -> None:
        """Raise FindingsError, with every error in a line, unless the result is ok."""
        if self.ok:
            return
        report = self.report()
        errors = [each for each in report.findings if each.severity is Severity.ERROR]
        lines = "".join(f"\n- {' '.join((each.message, *each.remediation))}" for each in errors)
        raise FindingsError(f"{report.summary}{lines}", errors)

    def to_json(self, *, listing: bool = False) -> str:
        """The result for machines; the keys that all jobs share are those of `formats.json`."""
        return self._in("json", listing=listing)

    def to_markdown(self, *, listing: bool = False) -> str:
        """The result for a pull request or a CI summary."""
        return self._in("markdown", listing=listing)

    def to_text(self, *, listing: bool = False) -> str:
        """The result as the command prints it to a file."""
        return self._in("text", listing=listing)

    def _in(self, name: str, *, listing: bool) -> str:
        from agent_identities.report import write

        output = StringIO()
        write(self.report(listing=listing), name, output)
        return output.getvalue()


def many(number: int, noun: str, nouns: str = "") -> str:
    """``1 agent``, ``2,000 agents``; ``nouns`` is the plural where it is not the noun and an s."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"
