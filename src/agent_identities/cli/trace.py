"""agent-identities trace and rightsize: what agents did by the audit log, and how little would have done."""

import datetime
import io
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from agent_identities.audit.accounts import Agents
    from agent_identities.audit.trace import Trace

_MINUTES = {"m": 1, "h": 60, "d": 24 * 60}


class _Output(StrEnum):
    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


class _Proposal(StrEnum):
    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    SNIPPET = "snippet"
    VALUES = "values"


_Logs = Annotated[
    list[str],
    typer.Argument(metavar="LOG...", help="Audit logs of the API server, as lines of JSON, plain or gz; - is stdin."),
]
_Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the release.")]
_Agent = Annotated[
    list[str] | None, typer.Option("--agent", help="Only this agent, or this key of the values; may be repeated.")
]
_Chart = Annotated[Path | None, typer.Option(help="The chart; absent: the one in this package.")]
_Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only from then on: 2026-11-24T03:46:08Z, or 30m, 24h, 7d ago.")
]
_Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only before then.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(trace)
    app.command()(rightsize)


def trace(
    logs: _Logs,
    values: Annotated[
        list[Path] | None,
        typer.Option(
            "--values",
            "-f",
            help="Values file that declares the agents; absent: every ServiceAccount but default is one.",
        ),
    ] = None,
    namespace: _Namespace = "agent-system",
    since: _Since = None,
    until: _Until = None,
    agent: _Agent = None,
    chart: _Chart = None,
    output: Annotated[_Output, typer.Option("--output", "-o", help="How it is printed.")] = _Output.TEXT,
) -> None:
    """Attribute every request in an audit log to one agent.

    What each agent did, by which credential (joined to the event that issued it), under which binding, as itself or
    through the proxy. Exit status: 0 every request is one agent's, 1 some are not, or no agent made any, or lines
    could not be read, 2 could not run.
    """
    from agent_identities import bundled
    from agent_identities.audit import trace_report as report
    from agent_identities.audit.accounts import Agents
    from agent_identities.chart import values as values_files
    from agent_identities.declaration import declare

    if values:
        merged = values_files.load(chart or bundled.chart_path(), values)
        agents = Agents.declared(declare(merged, namespace=namespace))
    else:
        agents = Agents.of_namespaces([namespace])
    traced = _read(logs, agents, since, until)
    shown = traced.only(_known(agent, traced)) if agent else traced
    _replace_what_cannot_be_printed()
    if output is _Output.JSON:
        print(report.to_json(shown))
    elif output is _Output.MARKDOWN:
        print(report.to_markdown(shown), end="")
    else:
        report.print_text(shown)
    if not traced.complete:
        raise typer.Exit(1)


def rightsize(
    logs: _Logs,
    values: Annotated[list[Path], typer.Option("--values", "-f", help="Values file; may be repeated, later ones win.")],
    namespace: _Namespace = "agent-system",
    since: _Since = None,
    until: _Until = None,
    agent: _Agent = None,
    names: Annotated[int, typer.Option(min=0, help="Up to so many names, a rule is limited to the objects used.")] = 10,
    chart: _Chart = None,
    output: Annotated[
        _Proposal,
        typer.Option(
            "--output", "-o", help="snippet: the values to add with a further -f. values: all of your values, changed."
        ),
    ] = _Proposal.TEXT,
    *,
    include_denied: Annotated[bool, typer.Option(help="Also grant what was asked for and denied.")] = False,
    include_idle: Annotated[bool, typer.Option(help="Also take all from agents that made no request.")] = False,
) -> None:
    """Propose the smallest tiers that cover what the agents of an audit log did.

    Never more than the tiers give today (but for --include-denied); agents that made no request keep theirs. Choose a
    log that covers all that your agents have to do. Exit status: 0 nothing to change, or the values were asked for;
    1 there is something to change; 2 could not run.
    """
    from agent_identities import bundled
    from agent_identities.audit import rightsize_report as report
    from agent_identities.audit.accounts import Agents
    from agent_identities.audit.proposal import change
    from agent_identities.audit.rightsize import Options
    from agent_identities.audit.rightsize import rightsize as propose
    from agent_identities.chart import values as values_files
    from agent_identities.declaration import declare
    from agent_identities.rbac import Catalogue

    chart = chart or bundled.chart_path()
    merged = values_files.load(chart, values)
    declaration = declare(merged, namespace=namespace)
    traced = _read(logs, Agents.declared(declaration), since, until)
    if not traced.uses:
        raise AgentIdentitiesError(
            f"{', '.join(logs)}: no request of an agent in {declaration.namespace}: nothing to go by. "
            "Is the release in another namespace? Name it with -n."
        )
    only = frozenset(_known(agent, traced)) if agent else frozenset()
    options = Options(names, include_denied=include_denied, include_idle=include_idle, only=only)
    proposals = propose(traced, declaration, options)
    changed = change(
        proposals, declaration, merged, Catalogue.load(bundled.chart_path() / "files" / "risk-catalogue.json")
    )
    _replace_what_cannot_be_printed()
    if output is _Proposal.JSON:
        print(report.to_json(proposals, changed))
    elif output is _Proposal.MARKDOWN:
        print(report.to_markdown(proposals, changed), end="")
    elif output is _Proposal.SNIPPET:
        print(report.snippet(changed), end="")
    elif output is _Proposal.VALUES:
        given: dict[str, object] = {}
        for path in values:
            given = values_files.overlay(given, values_files.read(path))
        print(report.to_yaml(changed.applied_to(given)), end="")
    else:
        report.print_text(proposals, changed)
    for problem in traced.problems:
        sys.stderr.write(f"agent-identities: {problem.place} {problem.what}: not counted\n")
    if changed.values and output not in (_Proposal.SNIPPET, _Proposal.VALUES):
        raise typer.Exit(1)


def _read(logs: list[str], agents: "Agents", since: str | None, until: str | None) -> "Trace":
    from rich.console import Console

    from agent_identities.audit import lines
    from agent_identities.audit.trace import Tracer

    tracer = Tracer(
        agents, since=_time(since, "--since") if since else "", until=_time(until, "--until") if until else ""
    )
    console = Console(stderr=True, highlight=False)
    with console.status("reading") as status:
        for log in logs:
            for done in tracer.read("stdin" if log == lines.STDIN else log, lines.read(log)):
                status.update(f"reading {log}: {done:,} lines")
    return tracer.result()


def _known(agents: list[str], traced: "Trace") -> list[str]:
    """The names and keys as given; raises where one of them is nobody's."""
    entries = traced.agents.entries
    if entries is None:
        known = {use.agent.name for use in traced.uses}
    else:
        known = {account.name for account in entries} | set(entries.values())
    for name in agents:
        if name not in known:
            shown = ", ".join(sorted(known)[:20]) or "none"
            raise AgentIdentitiesError(f"--agent {name}: there is no such agent. Known: {shown}.")
    return agents


def _time(text: str, option: str) -> str:
    """As the log writes it: UTC, with microseconds."""
    ago = re.fullmatch(r"(\d{1,6})([mhd])", text)
    try:
        if ago:
            now = datetime.datetime.now(datetime.UTC)
            time = now - datetime.timedelta(minutes=int(ago[1]) * _MINUTES[ago[2]])
        else:
            time = datetime.datetime.fromisoformat(text)
            time = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
        return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except (ValueError, OverflowError):
        raise AgentIdentitiesError(
            f"{option} {text}: is no time. Write 2026-11-24T03:46:08Z (UTC where no offset is given), or 30m, 24h, 7d."
        ) from None


def _replace_what_cannot_be_printed() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # symbols must not end the command where LANG is C
