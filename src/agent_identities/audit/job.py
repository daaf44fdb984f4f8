"""The trace and rightsize jobs: the requests of agents in an audit log, and the smallest tiers that cover them."""

import datetime
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from agent_identities.chart.names import DEFAULT_NAMESPACE
from agent_identities.errors import AgentIdentitiesError

if TYPE_CHECKING:
    from pathlib import Path

    from agent_identities.agents import Agents
    from agent_identities.audit import sources
    from agent_identities.audit.proposal import Rightsizing
    from agent_identities.audit.trace import Trace, Use
    from agent_identities.audit.tracer import Tracer

_MINUTES = {"m": 1, "h": 60, "d": 24 * 60}

Progress = Callable[[str, int], None]
"""A callback with the name of the log and the number of lines that have been read."""


Follower = Callable[["Sequence[Use]"], None]
"""A callback with the kinds of requests that are new."""

_SECONDS_BETWEEN_READS = 0.5


def _silent(_log: str, _lines: int) -> None:
    pass


def trace(
    logs: "Sequence[str | Path]",
    agents: "Agents | None" = None,
    *,
    namespace: str = DEFAULT_NAMESPACE,
    since: str | None = None,
    until: str | None = None,
    on_progress: Progress = _silent,
    follow: bool = False,
    on_new: Follower | None = None,
) -> "Trace":
    """Attribute every request in audit logs to one agent.

    ``logs`` are files, or directories with files, in any form of docs/trace.md. ``-`` is stdin. Without ``agents``,
    every ServiceAccount of ``namespace`` except ``default`` is an agent. ``since`` and ``until`` are times
    (2026-11-24T03:46:08Z, in UTC without an offset) or ages (30m, 24h, 7d). ``follow``: wait for more at the end of
    each file, until KeyboardInterrupt. ``on_new`` gets the kinds of requests that are new, each time that a log waits.
    Raises LogError (not an audit log) and AgentIdentitiesError (not a time).
    """
    from agent_identities.audit.accounts import AgentAccounts
    from agent_identities.audit.sources import STDIN
    from agent_identities.chart.arguments import check_namespace

    check_namespace(namespace)
    if agents is not None and STDIN in map(str, logs) and STDIN in map(str, agents.files):
        raise AgentIdentitiesError("-f -: stdin is the audit log already. Name a values file: -f values.yaml")
    known = AgentAccounts.declared(agents.declaration) if agents else AgentAccounts.of_namespaces([namespace])
    from agent_identities.audit.tracer import Tracer

    tracer = Tracer(
        known, since=_time(since, "--since") if since else "", until=_time(until, "--until") if until else ""
    )
    if follow:
        _follow(logs, tracer, on_progress, on_new)
    else:
        _read(logs, tracer, on_progress, on_new)
    return tracer.result()


def rightsize(
    logs: "Sequence[str | Path]",
    agents: "Agents",
    *,
    only: Collection[str] = (),
    most_names: int = 10,
    include_denied: bool = False,
    include_idle: bool = False,
    since: str | None = None,
    until: str | None = None,
    on_progress: Progress = _silent,
) -> "Rightsizing":
    """Propose the smallest tiers that cover the requests of agents in audit logs.

    The proposal never grants more than the tiers, except with ``include_denied``, which also grants denied requests.
    Agents without a request keep their tiers, except with ``include_idle``. ``only`` limits the proposal to some agents
    or entries of the values. A rule has resource names if the agent used at most ``most_names`` objects. Raises the
    errors of `trace`, and AgentIdentitiesError if the logs have no request of an agent.
    """
    from agent_identities.audit.proposal import Rightsizing, change
    from agent_identities.audit.rightsize import Options
    from agent_identities.audit.rightsize import rightsize as propose

    traced = trace(logs, agents, since=since, until=until, on_progress=on_progress)
    if not traced.uses:
        raise AgentIdentitiesError(
            f"{', '.join(map(str, logs))}: no request of an agent in namespace {agents.declaration.namespace}. "
            "If the agents are in another namespace, set it with -n."
        )
    options = Options(
        most_names,
        include_denied=include_denied,
        include_idle=include_idle,
        only=frozenset(known_agents(only, traced)),
    )
    proposals = tuple(propose(traced, agents.declaration, options))
    return Rightsizing(proposals, change(proposals, agents.declaration, agents.values, agents.catalogue), traced)


def known_agents(names: Collection[str], traced: "Trace") -> Collection[str]:
    """Return ``names`` if each is an agent or an entry of the values. Raises AgentIdentitiesError otherwise."""
    entries = traced.agents.entries
    if entries is None:
        known = {use.agent.name for use in traced.uses}
    else:
        known = {account.name for account in entries} | set(entries.values())
    for name in names:
        if name not in known:
            shown = ", ".join(sorted(known)[:20]) or "none"
            raise AgentIdentitiesError(f"--agent {name}: no such agent. Known agents: {shown}.")
    return names


def _read(logs: "Sequence[str | Path]", tracer: "Tracer", on_progress: Progress, on_new: Follower | None) -> None:
    """Read all logs. A log without an audit event is skipped if another log has events, else an error."""
    from agent_identities.audit import sources

    failed: list[sources.NoEventError] = []
    for log in sources.files(map(str, logs)):
        try:
            for done in tracer.read(_name(log), _reported(sources.read(log), tracer, on_new)):
                on_progress(log, done)
        except sources.NoEventError as error:
            failed.append(error)
    for each in failed:
        if not tracer.has_events:
            raise each
        tracer.skip(each.name, each.reason)


def _follow(logs: "Sequence[str | Path]", tracer: "Tracer", on_progress: Progress, on_new: Follower | None) -> None:
    """Read what is appended to the logs, in turn, until KeyboardInterrupt or until each log has ended."""
    from agent_identities.audit import sources

    waiting: list[str] = []

    def pieces(log: str) -> "Iterator[sources.Piece]":
        for piece in sources.follow(log):
            if isinstance(piece, sources.Waiting):
                waiting.append(log)
            yield piece

    readers = {log: tracer.read(_name(log), pieces(log)) for log in map(str, logs)}
    try:
        while readers:
            waiting.clear()
            for log, reader in tuple(readers.items()):
                for done in reader:
                    on_progress(log, done)
                    if log in waiting:
                        break
                else:
                    del readers[log]
            _report(tracer, on_new)
            time.sleep(_SECONDS_BETWEEN_READS)
    except KeyboardInterrupt:
        return


def _reported(
    pieces: "Iterable[sources.Piece]", tracer: "Tracer", on_new: Follower | None
) -> "Iterator[sources.Piece]":
    """The pieces. Each time that there are no more for a while, the new kinds of requests are reported."""
    from agent_identities.audit import sources

    for piece in pieces:
        if isinstance(piece, sources.Waiting):
            _report(tracer, on_new)
        yield piece


def _report(tracer: "Tracer", on_new: Follower | None) -> None:
    if on_new is not None and (new := tracer.fresh()):
        on_new(new)


def _name(log: str) -> str:
    from agent_identities.audit import sources

    return "stdin" if log == sources.STDIN else log


def _time(text: str, option: str) -> str:
    """The time in the format of the log: UTC, with microseconds."""
    age = re.fullmatch(r"(\d{1,6})([mhd])", text)
    try:
        if age:
            now = datetime.datetime.now(datetime.UTC)
            time = now - datetime.timedelta(minutes=int(age[1]) * _MINUTES[age[2]])
        else:
            time = datetime.datetime.fromisoformat(text)
            time = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
        return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except (ValueError, OverflowError):
        raise AgentIdentitiesError(
            f"{option} {text}: not a time. Examples: 2026-11-24T03:46:08Z (UTC without an offset), 30m, 24h, 7d."
        ) from None
