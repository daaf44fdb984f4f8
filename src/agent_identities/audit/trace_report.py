"""What agents did, by the audit log."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent_identities.audit.trace import MORE, Credential, RequestOutcome, Trace, Use
from agent_identities.chart.objects import Key
from agent_identities.rbac import ServiceAccount
from agent_identities.report.model import Cell, Column, Finding, Location, Report, Severity, Style, Table, cell, many
from agent_identities.report.words import phrase

MOST_AGENTS = 30
"""More agents than this are counted in the text, not listed."""

_MOST_CREDENTIALS = 3
_MOST_PATHS = 3
_ITSELF = "itself"
_BASELINE = "what every ServiceAccount may"
_STYLES = {
    RequestOutcome.ALLOWED: Style.GOOD,
    RequestOutcome.DENIED: Style.NOTABLE,
    RequestOutcome.REFUSED: Style.NOTABLE,
    RequestOutcome.UNDECIDED: Style.MUTED,
}


@dataclass(frozen=True, slots=True)
class TraceRow:
    """Requests of one agent with one outcome, by one binding, sent by itself or by another."""

    agent: ServiceAccount
    sender: str
    did: str
    count: int
    outcome: RequestOutcome
    by: str


def rows(uses: Iterable[Use]) -> list[TraceRow]:
    """The requests, in the order of agents; for each first what it did itself."""
    alike: dict[tuple[ServiceAccount, str, RequestOutcome, str], list[Use]] = {}
    for use in uses:
        alike.setdefault((use.agent, sender(use), use.outcome, _by(use)), []).append(use)
    made = [
        TraceRow(agent, who, "; ".join(_did(each)), sum(use.count for use in each), outcome, by)
        for (agent, who, outcome, by), each in alike.items()
    ]
    order = list(RequestOutcome)
    return sorted(
        made, key=lambda row: (row.agent, row.sender != "itself", row.sender, order.index(row.outcome), row.by)
    )


def sender(use: Use) -> str:
    """``itself``, or who acted as it: ``through agent-proxy``."""
    if not use.via:
        return f"{_ITSELF}, as {use.acted_as}" if use.acted_as else _ITSELF
    account = ServiceAccount.of_user(use.via)
    name = use.via if account is None else account.name if account.namespace == use.agent.namespace else str(account)
    return f"through {name}"


def _by(use: Use) -> str:
    if use.outcome is RequestOutcome.DENIED:
        return "no binding"
    if use.outcome is RequestOutcome.UNDECIDED:
        return "not authorized: answered before"
    binding = use.binding
    if binding is None:
        return use.reason[:80] or "no RBAC binding"
    return f"({_BASELINE})" if binding.to_everyone else str(binding)


def _did(uses: Sequence[Use]) -> Iterator[str]:
    permissions = [use.request._replace(name=_only_name(use)) for use in uses if use.request.resource not in ("", MORE)]
    if permissions:
        yield phrase(list(dict.fromkeys(permissions)))
    paths = sorted({name for use in uses if not use.request.resource for name in use.names})
    if paths:
        more = f" and {len(paths) - _MOST_PATHS} more" if len(paths) > _MOST_PATHS else ""
        yield f"get {', '.join(paths[:_MOST_PATHS])}{more}"
    if any(use.request.resource == MORE for use in uses):
        yield "more kinds of requests than are told apart"


def _only_name(use: Use) -> str:
    return next(iter(use.names)) if len(use.names) == 1 and not use.more_names else ""


def build(trace: Trace) -> Report:
    """The trace as a report; tables show at most MOST_AGENTS agents.

    JSON has, beside the common keys, {"logs", "namespaces", "first", "last", "counts": {...}, "agents": [{agent,
    namespace, entry, requests, uses: [use], credentials: [credential]}], "unattributed": [use],
    "unreadable": [{place, what}], "unended": [place]}; a use is {verb, apiGroup, resource, subresource, inNamespace,
    names, moreNames, outcome, via, constraint, actedAs, binding, reason, count, first, last}; a credential {id, holder,
    pod, node, count, first, last, stale, issued: {by, at} or null}.
    """
    when = f", {trace.first} to {trace.last}" if trace.first else ""
    agents = list(dict.fromkeys(use.agent for use in trace.uses))
    shown = set(agents[:MOST_AGENTS])
    more = len(agents) - len(shown)
    did = _did_rows([row for row in rows(trace.uses) if row.agent in shown])
    used = _credential_rows([one for one in trace.credentials if one.agent in shown])
    return Report(
        command="trace",
        ok=trace.ok,
        summary=summary(trace),
        about=f"Namespace {', '.join(sorted(trace.agents.namespaces))}, by {', '.join(trace.logs)}{when}",
        tables=(
            _table("agent", "by", "did", "requests", "allowed by", rows=did),
            _table("agent", "credential", "bound to", "issued", "requests", rows=used),
        ),
        legend=f"and {more:,} more agents: --agent NAME, or --output json" if more else "",
        findings=tuple(findings(trace)),
        notes=tuple(notes(trace)),
        data=_data(trace),
    )


def findings(trace: Trace) -> Iterator[Finding]:
    """What prevents the whole log from being attributed, and what to do about it."""
    where = ", ".join(sorted(trace.agents.namespaces))
    if not trace.uses:
        seen = f" The log has ServiceAccounts of: {', '.join(trace.namespaces)}." if trace.namespaces else ""
        yield Finding(
            "no-request",
            Severity.ERROR,
            f"No request of an agent in {where}.{seen}",
            remediation=("Is the release in another namespace? Name it with -n.",),
        )
    pods: dict[ServiceAccount, set[str]] = {}
    for credential in trace.credentials:
        pods.setdefault(credential.agent, set()).update({credential.pod} - {""})
    for account in dict.fromkeys(use.agent for use in trace.unattributed):
        mine = [use for use in trace.unattributed if use.agent == account]
        did = "; ".join(f"{row.did} ({row.outcome})" for row in rows(mine))
        pod = ", ".join(sorted(pods.get(account, ()))[:_MOST_CREDENTIALS])
        yield Finding(
            "unattributed",
            Severity.ERROR,
            f"{many(sum(use.count for use in mine), 'request')} by ServiceAccount {account}"
            f"{f' (pod {pod})' if pod else ''}, which is not an agent of these values: {did}.",
            Location(Key("", "ServiceAccount", account.namespace, account.name)),
            remediation=(
                "Give the pod a serviceAccountName of its own."
                if account.name == "default"
                else "Declare it under `agents`, or name a further values file with -f.",
            ),
        )
    for problem in trace.problems:
        yield Finding("unreadable", Severity.ERROR, f"{problem.place} {problem.what}.", Location(source=problem.place))
    if trace.unreadable > len(trace.problems):
        more = many(trace.unreadable - len(trace.problems), "more line")
        yield Finding("unreadable", Severity.ERROR, f"{more} cannot be read.")


def notes(trace: Trace) -> Iterator[str]:
    """What is worth knowing, though nothing is wrong with the attribution."""
    for place in trace.unended:
        yield f"{place}: the last line is still being written (or was cut off); it is not counted."
    if trace.unauthenticated:
        yield f"{many(trace.unauthenticated, 'request')} with credentials that the server did not accept: nobody's."
    for credential in trace.credentials:
        if credential.id.startswith("Secret "):
            yield f"{credential.agent} used the token of {credential.id}, which never expires. Delete that Secret."
    for agent, count in trace.forgotten.items():
        yield f"{agent}: {many(count, 'older credential')} no longer told apart; its requests are counted."
    for agent in sorted(trace.agents.quarantined):
        allowed = [use for use in trace.of(agent) if use.outcome is RequestOutcome.ALLOWED]
        if allowed:
            last = max(use.last for use in allowed)
            yield f"{agent} is in quarantine by these values; its last allowed request was at {last}."


def summary(trace: Trace) -> str:
    """The counts in one line."""
    agents = len({use.agent for use in trace.uses})
    tokens = {one.id: one for one in trace.credentials if one.is_token and trace.agents.is_one(one.agent)}
    joined = sum(one.issue is not None for one in tokens.values())
    parts = [
        f"{many(trace.attributed, 'request')} of {many(agents, 'agent')}",
        f"{attributed_percent(trace)} attributed",
        *(f"{count:,} {outcome}" for outcome, count in _counts(trace) if count),
        f"{many(len(tokens), 'token')}, {joined:,} joined to the event that issued {'it' if joined == 1 else 'them'}",
        f"{many(trace.events, 'event')}",
    ]
    return " · ".join(parts)


def attributed_percent(trace: Trace) -> str:
    """How much of what came from the agents' namespaces is an agent's: 100 % only where it is all."""
    everything = trace.attributed + trace.not_attributed
    if not everything:
        return "nothing"
    share = 100 * trace.attributed / everything
    return "100 %" if not trace.not_attributed else f"{min(share, 99.99):.2f} %"


def _counts(trace: Trace) -> list[tuple[RequestOutcome, int]]:
    return [(each, sum(use.count for use in trace.uses if use.outcome is each)) for each in RequestOutcome]


# ---- tables


def _table(*columns: str, rows: Iterable[tuple[Cell, ...]]) -> Table:
    whole = ("agent", "credential", "requests")
    return Table(tuple(Column(name, right=name == "requests", whole=name in whole) for name in columns), tuple(rows))


def _did_rows(made: Sequence[TraceRow]) -> Iterator[tuple[Cell, ...]]:
    last = None
    for row in made:
        did = row.did if row.outcome is RequestOutcome.ALLOWED else f"{row.outcome}: {row.did}"
        agent = "" if row.agent == last else row.agent.name
        yield (
            cell(agent),
            cell(row.sender),
            cell(did, _STYLES[row.outcome]),
            cell(f"{row.count:,}"),
            cell(row.by, Style.MUTED),
        )
        last = row.agent


def _credential_rows(credentials: Sequence[Credential]) -> Iterator[tuple[Cell, ...]]:
    by_agent: dict[ServiceAccount, list[Credential]] = {}
    for one in credentials:
        by_agent.setdefault(one.agent, []).append(one)
    for agent, mine in by_agent.items():
        for number, one in enumerate(mine[-_MOST_CREDENTIALS:]):
            texts = ("" if number else agent.name, *_credential_texts(one), f"{one.count:,}")
            yield tuple(cell(text) for text in texts)
        if rest := mine[:-_MOST_CREDENTIALS]:
            joined = sum(one.issue is not None for one in rest)
            text = f"and {len(rest):,} before, {joined:,} of them issued in this log"
            yield tuple(cell(each) for each in ("", text, "", "", f"{sum(one.count for one in rest):,}"))


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
    account = ServiceAccount.of_user(username)
    return account.name if account else username


# ---- data


def _data(trace: Trace) -> dict[str, object]:
    uses: dict[ServiceAccount, list[Use]] = {}
    for use in trace.uses:
        uses.setdefault(use.agent, []).append(use)
    credentials: dict[ServiceAccount, list[Credential]] = {}
    for one in trace.credentials:
        credentials.setdefault(one.agent, []).append(one)
    return {
        "logs": list(trace.logs),
        "namespaces": sorted(trace.agents.namespaces),
        "first": trace.first,
        "last": trace.last,
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
    }


def _json_use(use: Use) -> dict[str, object]:
    return {
        "verb": use.request.verb,
        "apiGroup": use.request.api_group,
        "resource": use.request.resource,
        "subresource": use.request.subresource,
        "inNamespace": use.request.namespace,
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
