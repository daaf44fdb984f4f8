"""Every format of report/formats, with one report that uses all fields."""

import io
import json
from dataclasses import dataclass, replace

import pytest
from rich.console import Console

from agent_identities.chart.objects import Key
from agent_identities.report import (
    Block,
    Column,
    Finding,
    FindingsError,
    Location,
    Report,
    Result,
    Rule,
    Severity,
    Style,
    Table,
    cell,
    format_names,
    many,
    write,
)
from agent_identities.report.formats.text import show

LOCATION = Location(Key("", "Secret", "team", "token"), "type", "agents.a", "templates/secrets.yaml")
ERROR = Finding("rule", Severity.ERROR, "It is | wrong.", LOCATION, ("Seen: this.",), ("Do that.",))
WARNING = Finding("rule", Severity.WARNING, "Look at it.")
WHOLE = Report(
    command="check",
    ok=False,
    summary="1 error · 1 warning",
    about="Namespace team",
    tables=(Table((Column("agent"), Column("requests", right=True)), ((cell("a\nb", Style.BAD), cell("12")),)),),
    legend="a legend",
    findings=(ERROR, WARNING),
    notes=("a note",),
    blocks=(Block("yaml", "a: ```\n", "Values to add"),),
    closing=("a last sentence",),
    listing=Table((Column("everything"),), ((cell("x" * 300),),)),
    data=lambda: {"agents": 1},
)


@dataclass(frozen=True, slots=True)
class Found(Result):
    """A result as a job returns it."""

    made: Report

    @property
    def ok(self) -> bool:
        return self.made.ok

    def report(self, *, listing: bool = False) -> Report:
        return self.made if listing else replace(self.made, listing=None)


def text(report: Report, width: int = 100) -> str:
    output = io.StringIO()
    show(report, Console(file=output, width=width, highlight=False))
    return output.getvalue()


@pytest.mark.parametrize("name", format_names())
def test_every_format_has_every_finding_the_notes_and_the_summary(name: str) -> None:
    output = io.StringIO()
    write(WHOLE, name, output)
    written = output.getvalue()
    for part in ("wrong.", "Seen: this.", "Do that.", "Look at it.", "a note", "1 error", "1 warning"):
        assert part in written


@pytest.mark.parametrize("name", format_names())
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_every_format_works_with_an_output_of_any_encoding(name: str, encoding: str) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    write(WHOLE, name, output)
    output.flush()


def test_json_has_the_location_and_the_keys_of_the_job() -> None:
    whole = json.loads(Found(WHOLE).to_json())
    assert (whole["command"], whole["ok"], whole["agents"]) == ("check", False, 1)
    assert whole["findings"][0]["location"] == {
        "object": {"group": "", "kind": "Secret", "namespace": "team", "name": "token"},
        "field": "type",
        "values": "agents.a",
        "source": "templates/secrets.yaml",
    }


def test_markdown_escapes_table_separators_and_fences() -> None:
    written = Found(WHOLE).to_markdown()
    assert "It is \\| wrong." in written
    assert "````yaml\na: ```\n````" in written
    assert "| **a**<br>**b** | 12 |" in written


def test_each_row_of_a_listing_is_one_line_of_any_length() -> None:
    assert "x" * 300 in Found(WHOLE).to_text(listing=True).splitlines()
    assert "xxx" not in Found(WHOLE).to_text()


def test_findings_are_below_their_rule() -> None:
    other = Rule("other", "another title", "why")
    shown = text(replace(WHOLE, rules=(Rule("rule", "a title", "why"), other)))
    assert shown.index("✗ rule") < shown.index("It is | wrong.") < shown.index("✓ other")
    assert "    Look at it.\n" in shown


def test_a_table_that_does_not_fit_is_shown_in_its_narrow_form() -> None:
    narrow = Table((Column("short"),), ((cell("narrow"),),))
    wide = Table((Column("w" * 60),) * 2, ((cell("wide"),) * 2,), narrow)
    assert "narrow" in text(replace(WHOLE, tables=(wide,)))
    assert "narrow" not in text(replace(WHOLE, tables=(wide,)), width=140)


def test_text_lists_only_the_first_findings_and_other_formats_list_all() -> None:
    report = replace(WHOLE, findings=tuple(replace(ERROR, message=f"Number {n}.") for n in range(50)))
    assert "and 30 more findings" in text(report)
    assert "Number 49." in Found(report).to_markdown()


def test_a_result_that_is_not_ok_raises_only_its_errors() -> None:
    with pytest.raises(FindingsError) as raised:
        Found(WHOLE).raise_for_findings()
    assert raised.value.findings == (ERROR,)
    assert str(raised.value) == "1 error · 1 warning\n- It is | wrong. Do that."
    Found(replace(WHOLE, ok=True)).raise_for_findings()


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        (LOCATION, "Secret team/token type"),
        (Location(values="agents.a"), "agents.a"),
        (Location(source="audit.log:3"), "audit.log:3"),
        (Location(), ""),
    ],
)
def test_the_text_of_a_location_is_its_object_or_its_values_path(location: Location, shown: str) -> None:
    assert str(location) == shown


@pytest.mark.parametrize(("number", "shown"), [(0, "0 agents"), (1, "1 agent"), (2000, "2,000 agents")])
def test_a_count_has_the_noun_in_singular_or_plural(number: int, shown: str) -> None:
    assert many(number, "agent") == shown


HOSTILE = "a\x1b]0;title\x07\x9b31m\u202eb\r"


@pytest.mark.parametrize("name", format_names())
def test_no_text_of_others_controls_the_terminal(name: str) -> None:
    """An agent chooses the names in its requests, and with them text of `trace`."""
    hostile = cell(HOSTILE, Style.BAD)
    report = Report(
        command="trace",
        ok=False,
        summary=HOSTILE,
        about=HOSTILE,
        rules=(Rule("rule", HOSTILE, HOSTILE),),
        tables=(Table((Column("agent"),), ((hostile,),)),),
        legend=HOSTILE,
        findings=(Finding("rule", Severity.ERROR, HOSTILE, details=(HOSTILE,), remediation=(HOSTILE,)),),
        notes=(HOSTILE,),
        blocks=(Block("yaml", HOSTILE, HOSTILE),),
        closing=(HOSTILE,),
        listing=Table((Column("everything"),), ((hostile,),)),
        data=lambda: {"name": HOSTILE},
    )
    for each in (report, replace(report, rules=())):
        output = io.StringIO()
        write(each, name, output)
        assert not [character for character in output.getvalue() if not (character.isprintable() or character == "\n")]
        assert "31m" in output.getvalue()
