"""What agents did by the audit log, as text, as JSON and as Markdown."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from agent_identities.audit.accounts import Account, account_of
from agent_identities.audit.trace import MORE, Credential, Outcome, Trace, Use
from agent_identities.verify.access import Permission
from agent_identities.verify.surprises import phrase

MOST_AGENTS = 30
"""More agents than this are counted in the text, not listed."""

_MOST_CREDENTIALS = 3
_MOST_PATHS = 3
_WIDTH_OF_FILES = 120
_ASCII = str.maketrans({"·": ".", "…": "~", "✗": "x"})
_ITSELF = "itself"
_BASELINE = "what every ServiceAccount may"
_STYLES = {Outcome.ALLOWED: "green", Outcome.DENIED: "red", Outcome.REFUSED: "yellow", Outcome.UNDECIDED: "dim"}


@dataclass(frozen=True, slots=True)
class Row:
    """Requests of one agent with one outcome, by one binding, sent by itself or by another."""

    agent: Account
    sender: str
    did: str
    count: int
    outcome: Outcome
    by: str


def rows(uses: Iterable[Use]) -> list[Row]:
    """The requests, in the order of agents; for each first what it did itself."""
    alike: dict[tuple[Account, str, Outcome, str], list[Use]] = {}
    for use in uses:
        alike.setdefault((use.agent, sender(use), use.outcome, _by(use)), []).append(use)
    made = [
        Row(agent, who, "; ".join(_did(each)), sum(use.count for use in each), outcome, by)
        for (agent, who, outcome, by), each in alike.items()
    ]
    order = list(Outcome)
    return sorted(
        made, key=lambda row: (row.agent, row.sender != "itself", row.sender, order.index(row.outcome), row.by)
    )


def sender(use: Use) -> str:
    """``itself``, or who acted as it: ``through agent-proxy``."""
    if not use.via:
        return f"{_ITSELF}, as {use.acted_as}" if use.acted_as else _ITSELF
    account = account_of(use.via)
    name = use.via if account is None else account.name if account.namespace == use.agent.namespace else str(account)
    return f"through {name}"


def _by(use: Use) -> str:
    if use.outcome is Outcome.DENIED:
        return "no binding"
    if use.outcome is Outcome.UNDECIDED:
        return "not authorized: answered before"
    binding = use.binding
    if binding is None:
        return use.reason[:80] or "no RBAC binding"
    return f"({_BASELINE})" if binding.to_everyone else str(binding)


def _did(uses: Sequence[Use]) -> Iterator[str]:
    permissions = [
        Permission(use.verb, use.api_group, use.resource, use.subresource, _only_name(use), use.namespace)
        for use in uses
        if use.resource not in ("", MORE)
    ]
    if permissions:
        yield phrase(list(dict.fromkeys(permissions)))
    paths = sorted({name for use in uses if not use.resource for name in use.names})
    if paths:
        more = f" and {len(paths) - _MOST_PATHS} more" if len(paths) > _MOST_PATHS else ""
        yield f"get {', '.join(paths[:_MOST_PATHS])}{more}"
    if any(use.resource == MORE for use in uses):
        yield "more kinds of requests than are told apart"


def _only_name(use: Use) -> str:
    return next(iter(use.names)) if len(use.names) == 1 and not use.more_names else ""


def sentences(trace: Trace) -> Iterator[str]:
    """What keeps the log from being attributed wholly, and what to do about it."""
    where = ", ".join(sorted(trace.agents.namespaces))
    if not trace.uses:
        seen = f" The log has ServiceAccounts of: {', '.join(trace.namespaces)}." if trace.namespaces else ""
        yield f"No request of an agent in {where}.{seen} Is the release in another namespace? Name it with -n."
    pods: dict[Account, set[str]] = {}
    for credential in trace.credentials:
        pods.setdefault(credential.agent, set()).update({credential.pod} - {""})
    for account in dict.fromkeys(use.agent for use in trace.unattributed):
        mine = [use for use in trace.unattributed if use.agent == account]
        did = "; ".join(f"{row.did} ({row.outcome})" for row in rows(mine))
        pod = ", ".join(sorted(pods.get(account, ()))[:_MOST_CREDENTIALS])
        yield (
            f"{_many(sum(use.count for use in mine), 'request')} by ServiceAccount {account}"
            f"{f' (pod {pod})' if pod else ''}, which is no agent of these values: {did}. "
            + (
                "Give the pod a serviceAccountName of its own."
                if account.name == "default"
                else "Declare it, or -f more."
            )
        )
    for problem in trace.problems:
        yield f"{problem.place} {problem.what}."
    if trace.unreadable > len(trace.problems):
        yield f"{_many(trace.unreadable - len(trace.problems), 'more line')} that cannot be read."


def notes(trace: Trace) -> Iterator[str]:
    """What is worth knowing, though nothing is wrong with the attribution."""
    for place in trace.unended:
        yield f"{place}: the last line is still being written (or was cut off); it is not counted."
    if trace.unauthenticated:
        yield f"{_many(trace.unauthenticated, 'request')} with credentials that the server did not accept: nobody's."
    for credential in trace.credentials:
        if credential.id.startswith("Secret "):
            yield f"{credential.agent} used the token of {credential.id}, which never expires. Delete that Secret."
    for agent, count in trace.forgotten.items():
        yield f"{agent}: {_many(count, 'older credential')} no longer told apart; its requests are counted."
    for agent in sorted(trace.agents.quarantined):
        allowed = [use for use in trace.of(agent) if use.outcome is Outcome.ALLOWED]
        if allowed:
            last = max(use.last for use in allowed)
            yield f"{agent} is in quarantine by these values; its last allowed request was at {last}."


def summary(trace: Trace) -> str:
    """The counts in one line."""
    agents = len({use.agent for use in trace.uses})
    tokens = {one.id: one for one in trace.credentials if one.is_token and trace.agents.is_one(one.agent)}
    joined = sum(one.issue is not None for one in tokens.values())
    parts = [
        f"{_many(trace.attributed, 'request')} of {_many(agents, 'agent')}",
        f"{attributed_percent(trace)} attributed",
        *(f"{count:,} {outcome}" for outcome, count in _counts(trace) if count),
        f"{_many(len(tokens), 'token')}, {joined:,} joined to the event that issued {'it' if joined == 1 else 'them'}",
        f"{_many(trace.events, 'event')}",
    ]
    return " · ".join(parts)


def attributed_percent(trace: Trace) -> str:
    """How much of what came from the agents' namespaces is an agent's: 100 % only where it is all."""
    everything = trace.attributed + trace.not_attributed
    if not everything:
        return "nothing"
    share = 100 * trace.attributed / everything
    return "100 %" if not trace.not_attributed else f"{min(share, 99.99):.2f} %"


def _counts(trace: Trace) -> list[tuple[Outcome, int]]:
    return [(each, sum(use.count for use in trace.uses if use.outcome is each)) for each in Outcome]


# ---- text


def print_text(trace: Trace, console: Console | None = None) -> None:
    """A table of what was done, one of the credentials, every problem in a sentence, and a summary."""
    console = console or _console()
    if console.encoding.startswith("utf"):
        _print(trace, console)
        return
    with console.capture() as captured:
        _print(trace, console)
    console.file.write(captured.get().translate(_ASCII))


def _print(trace: Trace, console: Console) -> None:
    when = f", {trace.first} to {trace.last}" if trace.first else ""
    where = ", ".join(sorted(trace.agents.namespaces))
    console.print(Text(f"Namespace {where}, by {', '.join(trace.logs)}{when}", style="dim"), soft_wrap=True)
    agents = list(dict.fromkeys(use.agent for use in trace.uses))
    shown = set(agents[:MOST_AGENTS])
    if shown:
        console.print()
        console.print(_did_grid([row for row in rows(trace.uses) if row.agent in shown]))
        console.print()
        console.print(_credential_grid([one for one in trace.credentials if one.agent in shown]))
        console.print()
    if len(agents) > len(shown):
        console.print(f"and {len(agents) - len(shown):,} more agents: --agent NAME, or --output json", style="dim")
    for sentence in sentences(trace):
        console.print(Text(f"✗ {sentence}", style="bold red"), soft_wrap=True)
    for note in notes(trace):
        console.print(Text(f"! {note}", style="yellow"), soft_wrap=True)
    console.print(Text(summary(trace), style="bold green" if trace.complete else "bold red"), soft_wrap=True)


def _grid(*columns: str) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        whole = column in ("agent", "credential", "requests")
        grid.add_column(column, justify="right" if column == "requests" else "left", overflow="fold", no_wrap=whole)
    return grid


def _did_grid(made: Sequence[Row]) -> Grid:
    grid = _grid("agent", "by", "did", "requests", "allowed by")
    last = None
    for row in made:
        style = _STYLES[row.outcome]
        did = row.did if row.outcome is Outcome.ALLOWED else f"{row.outcome}: {row.did}"
        agent = "" if row.agent == last else row.agent.name
        grid.add_row(agent, row.sender, Text(did, style=style), f"{row.count:,}", Text(row.by, style="dim"))
        last = row.agent
    return grid


def _credential_grid(credentials: Sequence[Credential]) -> Grid:
    grid = _grid("agent", "credential", "bound to", "issued", "requests")
    by_agent: dict[Account, list[Credential]] = {}
    for one in credentials:
        by_agent.setdefault(one.agent, []).append(one)
    for agent, mine in by_agent.items():
        for number, one in enumerate(mine[-_MOST_CREDENTIALS:]):
            grid.add_row("" if number else agent.name, *_credential_texts(one), f"{one.count:,}")
        if rest := mine[:-_MOST_CREDENTIALS]:
            joined = sum(one.issue is not None for one in rest)
            text = f"and {len(rest):,} before, {joined:,} of them issued in this log"
            grid.add_row("", text, "", "", f"{sum(one.count for one in rest):,}")
    return grid


def _credential_texts(one: Credential) -> tuple[str, str, str]:
    of = "" if one.holder == one.agent.username else f"\nof {_short(one.holder)}"
    stale = f"\n{one.stale:,} times past its renewal" if one.stale else ""
    bound = f"pod {one.pod}" if one.pod else "" if not one.is_token else "no pod"
    if one.issue is not None:
        issued = f"{one.issue.time[:19]}Z by {_short(one.issue.by)}"
    else:
        issued = "not in this log" if one.is_token else ""
    return f"{one.id or 'unknown'}{of}{stale}", bound, issued


def _short(username: str) -> str:
    account = account_of(username)
    return account.name if account else username


# ---- JSON and Markdown


def to_json(trace: Trace) -> str:
    """Everything, for machines.

    {"logs", "namespaces", "first", "last", "complete", "counts": {...}, "agents": [{agent, namespace, entry, requests,
    uses: [use], credentials: [credential]}], "unattributed": [use], "unreadable": [{place, what}], "unended": [place],
    "notes": [text]}; a use is {verb, apiGroup, resource, subresource, inNamespace, names, moreNames, outcome, via,
    constraint, actedAs, binding, reason, count, first, last}; a credential {id, holder, pod, node, count, first, last,
    stale, issued: {by, at} or null}.
    """
    uses: dict[Account, list[Use]] = {}
    for use in trace.uses:
        uses.setdefault(use.agent, []).append(use)
    credentials: dict[Account, list[Credential]] = {}
    for one in trace.credentials:
        credentials.setdefault(one.agent, []).append(one)
    report = {
        "logs": list(trace.logs),
        "namespaces": sorted(trace.agents.namespaces),
        "first": trace.first,
        "last": trace.last,
        "complete": trace.complete,
        "counts": {
            "lines": trace.lines,
            "events": trace.events,
            "attributed": trace.attributed,
            "notAttributed": trace.not_attributed,
            "others": trace.others,
            "unauthenticated": trace.unauthenticated,
            "unreadable": trace.unreadable,
            **{outcome.value: count for outcome, count in _counts(trace)},
        },
        "agents": [
            {
                "agent": agent.name,
                "namespace": agent.namespace,
                "entry": (trace.agents.entries or {}).get(agent, agent.name),
                "requests": sum(use.count for use in mine),
                "uses": [_json_use(use) for use in mine],
                "credentials": [_json_credential(one) for one in credentials.get(agent, ())],
                "forgottenCredentials": trace.forgotten.get(agent, 0),
            }
            for agent, mine in uses.items()
        ],
        "unattributed": [
            {"serviceAccount": use.agent.name, "namespace": use.agent.namespace, **_json_use(use)}
            for use in trace.unattributed
        ],
        "unreadable": [{"place": each.place, "what": each.what} for each in trace.problems],
        "unended": list(trace.unended),
        "notes": list(notes(trace)),
    }
    return json.dumps(report, indent=2)


def _json_use(use: Use) -> dict[str, object]:
    return {
        "verb": use.verb,
        "apiGroup": use.api_group,
        "resource": use.resource,
        "subresource": use.subresource,
        "inNamespace": use.namespace,
        "names": sorted(use.names - {""}),
        "moreNames": use.more_names,
        "outcome": use.outcome.value,
        "via": use.via,
        "constraint": use.constraint,
        "actedAs": use.acted_as,
        "binding": str(use.binding) if use.binding else "",
        "reason": use.reason,
        "count": use.count,
        "first": use.first,
        "last": use.last,
    }


def _json_credential(one: Credential) -> dict[str, object]:
    return {
        "id": one.id,
        "holder": one.holder,
        "pod": one.pod,
        "node": one.node,
        "count": one.count,
        "first": one.first,
        "last": one.last,
        "stale": one.stale,
        "issued": {"by": one.issue.by, "at": one.issue.time} if one.issue else None,
    }


def to_markdown(trace: Trace) -> str:
    """The same as the text, for a pull request or a CI summary."""
    did = [(row.agent.name, row.sender, row.did, row.outcome, f"{row.count:,}", row.by) for row in rows(trace.uses)]
    used = [
        (one.agent.name, *(text.replace("\n", ", ") for text in _credential_texts(one)), f"{one.count:,}")
        for one in trace.credentials
    ]
    blocks = []
    if did:
        blocks.append(markdown_table(("agent", "by", "did", "outcome", "requests", "allowed by"), did))
        blocks.append(markdown_table(("agent", "credential", "bound to", "issued", "requests"), used))
    blocks += [f"- ❌ **{escape(sentence)}**" for sentence in sentences(trace)]
    blocks += [f"- ⚠️ {escape(note)}" for note in notes(trace)]
    blocks.append(f"**{escape(summary(trace))}**")
    return "\n\n".join(blocks) + "\n"


def markdown_table(header: Sequence[str], made: Iterable[Sequence[str]]) -> str:
    """A table; the fields are escaped."""
    lines = [header, ["---"] * len(header), *([escape(field) for field in row] for row in made)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([*|_<>`\[\]])", r"\\\1", text)


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        return Console(highlight=False, width=_WIDTH_OF_FILES)
    return console
