"""The trace report: the requests of agents in an audit log."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from agent_identities.audit.problems import Problem
from agent_identities.audit.trace import MORE, Credential, RequestOutcome, Trace, Use
from agent_identities.chart.objects import Key
from agent_identities.rbac import ServiceAccount
from agent_identities.report.model import Cell, Column, Finding, Location, Report, Severity, Style, Table, cell, many
from agent_identities.report.words import phrase

MOST_AGENTS = 30
"""The largest number of agents in the tables."""

_MOST_CREDENTIALS = 3
_MOST_PATHS = 3
_ITSELF = "itself"
_BASELINE = "granted to every ServiceAccount"
_STYLES = {
    RequestOutcome.ALLOWED: Style.GOOD,
    RequestOutcome.DENIED: Style.NOTABLE,
    RequestOutcome.REFUSED: Style.NOTABLE,
    RequestOutcome.UNDECIDED: Style.MUTED,
}


@dataclass(frozen=True, slots=True)
class TraceRow:
    """Requests of one agent with the same outcome, binding and sender."""

    agent: ServiceAccount
    sender: str
    requests: str
    count: int
    outcome: RequestOutcome
    by: str


def rows(uses: Iterable[Use]) -> list[TraceRow]:
    """The requests by agent. For each agent, the requests that it sent itself come first."""
    groups: dict[tuple[ServiceAccount, str, RequestOutcome, str], list[Use]] = {}
    for use in uses:
        groups.setdefault((use.agent, sender(use), use.outcome, _by(use)), []).append(use)
    unsorted = [
        TraceRow(agent, sent_by, "; ".join(_request_phrases(group)), sum(use.count for use in group), outcome, by)
        for (agent, sent_by, outcome, by), group in groups.items()
    ]
    order = list(RequestOutcome)
    return sorted(
        unsorted, key=lambda row: (row.agent, row.sender != _ITSELF, row.sender, order.index(row.outcome), row.by)
    )


def line(use: Use) -> str:
    """A kind of requests in one line, for a log that grows."""
    (row,) = rows([use])
    return f"{use.first[:19]}Z {use.agent} {row.sender}: {row.requests}: {row.outcome} ({row.by})"


def sender(use: Use) -> str:
    """``itself``, or the user who impersonated the agent: ``through agent-proxy``."""
    if not use.via:
        return f"{_ITSELF}, as {use.acted_as}" if use.acted_as else _ITSELF
    account = ServiceAccount.of_user(use.via)
    name = use.via if account is None else account.name if account.namespace == use.agent.namespace else str(account)
    return f"through {name}"


def _by(use: Use) -> str:
    if use.outcome is RequestOutcome.DENIED:
        return "no binding"
    if use.outcome is RequestOutcome.UNDECIDED:
        return "no decision in the log"
    binding = use.binding
    if binding is None:
        return use.reason[:80] or "the log does not say"
    return f"({_BASELINE})" if binding.to_everyone else str(binding)


def _request_phrases(uses: Sequence[Use]) -> Iterator[str]:
    permissions = [use.request._replace(name=_only_name(use)) for use in uses if use.request.resource not in ("", MORE)]
    if permissions:
        yield phrase(list(dict.fromkeys(permissions)))
    paths = sorted({name for use in uses if not use.request.resource for name in use.names})
    if paths:
        more = f" and {len(paths) - _MOST_PATHS} more" if len(paths) > _MOST_PATHS else ""
        yield f"get {', '.join(paths[:_MOST_PATHS])}{more}"
    if any(use.request.resource == MORE for use in uses):
        yield "further kinds of requests, not counted separately"


def _only_name(use: Use) -> str:
    return next(iter(use.names)) if len(use.names) == 1 and not use.more_names else ""


def build(trace: Trace) -> Report:
    """The trace as a report; tables show at most MOST_AGENTS agents.

    In addition to the common keys, the JSON report has {"logs", "namespaces", "first", "last", "counts": {...},
    "agents": [{agent, namespace, entry, requests, uses: [use], credentials: [credential], evictedCredentials}],
    "unattributed": [use], "unreadable": [{location, reason, count}], "skipped": [{location, reason, count}],
    "incomplete": [location], "unanswered": [use], "unlogged": [verb]}. A use is {verb, apiGroup,
    resource, subresource, inNamespace, names, moreNames, outcome, via, constraint, actedAs, binding, reason, count,
    first, last}. A credential is {id, holder, pod, node, count, first, last, stale, issued: {by, at} or null}.
    """
    when = f", {trace.first} to {trace.last}" if trace.first else ""
    agents = list(dict.fromkeys(use.agent for use in trace.uses))
    shown = set(agents[:MOST_AGENTS])
    more = len(agents) - len(shown)
    requests = _request_rows([row for row in rows(trace.uses) if row.agent in shown])
    credentials = _credential_rows([credential for credential in trace.credentials if credential.agent in shown])
    return Report(
        command="trace",
        ok=trace.ok,
        summary=summary(trace),
        about=f"Namespace {', '.join(sorted(trace.agents.namespaces))}, from {', '.join(trace.logs)}{when}",
        tables=(
            _table("agent", "sent by", "requests", "count", "allowed by", rows=requests),
            _table("agent", "credential", "bound to", "issued", "count", rows=credentials),
        ),
        legend=f"and {more:,} more agents: --agent NAME, or --output json" if more else "",
        findings=tuple(findings(trace)),
        notes=tuple(notes(trace)),
        data=partial(_data, trace),
    )


def findings(trace: Trace) -> Iterator[Finding]:
    """Why requests of the log are not attributed, with remediations."""
    where = ", ".join(sorted(trace.agents.namespaces))
    if not trace.uses:
        seen = f" The log has ServiceAccounts of: {', '.join(trace.namespaces)}." if trace.namespaces else ""
        yield Finding(
            "no-request",
            Severity.ERROR,
            f"No request of an agent in {where}.{seen}",
            remediation=("If the agents are in another namespace, set it with -n.",),
        )
    pods: dict[ServiceAccount, set[str]] = {}
    for credential in trace.credentials:
        pods.setdefault(credential.agent, set()).update({credential.pod} - {""})
    for account in dict.fromkeys(use.agent for use in trace.unattributed):
        uses = [use for use in trace.unattributed if use.agent == account]
        requests = "; ".join(f"{row.requests} ({row.outcome})" for row in rows(uses))
        pod = ", ".join(sorted(pods.get(account, ()))[:_MOST_CREDENTIALS])
        yield Finding(
            "unattributed",
            Severity.ERROR,
            f"{many(sum(use.count for use in uses), 'request')} by ServiceAccount {account}"
            f"{f' (pod {pod})' if pod else ''}, which is not an agent of these values: {requests}.",
            Location(Key("", "ServiceAccount", account.namespace, account.name)),
            remediation=(
                "Set serviceAccountName in the pod to an agent of its own."
                if account.name == "default"
                else "Declare the ServiceAccount under `agents`, or add the values file that declares it with -f.",
            ),
        )
    for problem in trace.problems:
        yield Finding("unreadable", Severity.ERROR, f"{problem}.", Location(source=problem.location))


def notes(trace: Trace) -> Iterator[str]:
    """Further information that is not an error."""
    for location in trace.incomplete:
        yield f"{location}: the log is cut here. What is cut is not counted."
    for problem in trace.skipped:
        yield f"{problem}: skipped."
    if trace.unlogged:
        yield f"{_unlogged(trace)} Requests with these verbs are not in this report."
    for agent in dict.fromkeys(use.agent for use in trace.unanswered):
        count = sum(use.count for use in trace.unanswered if use.agent == agent)
        yield f"{agent}: {many(count, 'request')} without a response in the log, not counted."
    if trace.unauthenticated:
        yield f"{many(trace.unauthenticated, 'request')} with invalid credentials, which cannot be attributed."
    for credential in trace.credentials:
        if credential.id.startswith("Secret "):
            yield f"{credential.agent} used the token of {credential.id}, which never expires. Delete that Secret."
    for agent, count in trace.evicted.items():
        yield f"{agent}: {many(count, 'older credential')} not listed. All requests are counted."
    for agent in sorted(trace.agents.quarantined):
        allowed = [use for use in trace.of(agent) if use.outcome is RequestOutcome.ALLOWED]
        if allowed:
            last = max(use.last for use in allowed)
            yield f"{agent} is quarantined in these values. Its last allowed request was at {last}."


def _unlogged(trace: Trace) -> str:
    return f"The logs do not contain requests with the verbs {', '.join(sorted(trace.unlogged))} (see docs/trace.md)."


def summary(trace: Trace) -> str:
    """The counts in one line."""
    agents = len({use.agent for use in trace.uses})
    tokens = {each.id: each for each in trace.credentials if each.is_token and trace.agents.is_agent(each.agent)}
    joined = sum(token.issue is not None for token in tokens.values())
    parts = [
        f"{many(trace.attributed, 'request')} of {many(agents, 'agent')}",
        f"{attributed_percent(trace)} attributed",
        *(f"{count:,} {outcome}" for outcome, count in _counts(trace) if count),
        f"{many(len(tokens), 'token')}, {joined:,} with the issuing event in the log",
        f"{many(trace.events, 'event')}",
    ]
    return " · ".join(parts)


def attributed_percent(trace: Trace) -> str:
    """The share of the requests from the agents' namespaces that are attributed. 100 % only if all are attributed."""
    total = trace.attributed + trace.not_attributed
    if not total:
        return "none"
    share = 100 * trace.attributed / total
    return "100 %" if not trace.not_attributed else f"{min(share, 99.99):.2f} %"


def _counts(trace: Trace) -> list[tuple[RequestOutcome, int]]:
    return [(each, sum(use.count for use in trace.uses if use.outcome is each)) for each in RequestOutcome]


# ---- tables


def _table(*columns: str, rows: Iterable[tuple[Cell, ...]]) -> Table:
    whole = ("agent", "credential", "count")
    return Table(tuple(Column(name, right=name == "count", whole=name in whole) for name in columns), tuple(rows))


def _request_rows(all_rows: Sequence[TraceRow]) -> Iterator[tuple[Cell, ...]]:
    last = None
    for row in all_rows:
        requests = row.requests if row.outcome is RequestOutcome.ALLOWED else f"{row.outcome}: {row.requests}"
        agent = "" if row.agent == last else row.agent.name
        yield (
            cell(agent),
            cell(row.sender),
            cell(requests, _STYLES[row.outcome]),
            cell(f"{row.count:,}"),
            cell(row.by, Style.MUTED),
        )
        last = row.agent


def _credential_rows(credentials: Sequence[Credential]) -> Iterator[tuple[Cell, ...]]:
    by_agent: dict[ServiceAccount, list[Credential]] = {}
    for credential in credentials:
        by_agent.setdefault(credential.agent, []).append(credential)
    for agent, of_agent in by_agent.items():
        for number, credential in enumerate(of_agent[-_MOST_CREDENTIALS:]):
            texts = ("" if number else agent.name, *_credential_texts(credential), f"{credential.count:,}")
            yield tuple(cell(text) for text in texts)
        if rest := of_agent[:-_MOST_CREDENTIALS]:
            issued = sum(credential.issue is not None for credential in rest)
            text = f"and {len(rest):,} earlier credentials, {issued:,} of them issued in this log"
            count = sum(credential.count for credential in rest)
            yield tuple(cell(each) for each in ("", text, "", "", f"{count:,}"))


def _credential_texts(credential: Credential) -> tuple[str, str, str]:
    of = "" if credential.holder == credential.agent.username else f"\nof {_short(credential.holder)}"
    stale = f"\n{credential.stale:,} uses after the renewal time" if credential.stale else ""
    bound = f"pod {credential.pod}" if credential.pod else "no pod" if credential.is_token else ""
    if credential.issue is not None:
        issued = f"{credential.issue.time[:19]}Z by {_short(credential.issue.by)}"
    else:
        issued = "not in this log" if credential.is_token else ""
    return f"{credential.id or 'unknown'}{of}{stale}", bound, issued


def _short(username: str) -> str:
    account = ServiceAccount.of_user(username)
    return account.name if account else username


# ---- data


def _data(trace: Trace) -> dict[str, object]:
    uses: dict[ServiceAccount, list[Use]] = {}
    for use in trace.uses:
        uses.setdefault(use.agent, []).append(use)
    credentials: dict[ServiceAccount, list[Credential]] = {}
    for credential in trace.credentials:
        credentials.setdefault(credential.agent, []).append(credential)
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
                "requests": sum(use.count for use in agent_uses),
                "uses": [_json_use(use) for use in agent_uses],
                "credentials": [_json_credential(credential) for credential in credentials.get(agent, ())],
                "evictedCredentials": trace.evicted.get(agent, 0),
            }
            for agent, agent_uses in uses.items()
        ],
        "unattributed": [
            {"serviceAccount": use.agent.name, "namespace": use.agent.namespace, **_json_use(use)}
            for use in trace.unattributed
        ],
        "unreadable": [_json_problem(problem) for problem in trace.problems],
        "skipped": [_json_problem(problem) for problem in trace.skipped],
        "incomplete": list(trace.incomplete),
        "unanswered": [
            {"agent": use.agent.name, "namespace": use.agent.namespace, **_json_use(use)} for use in trace.unanswered
        ],
        "unlogged": sorted(trace.unlogged),
    }


def _json_problem(problem: Problem) -> dict[str, object]:
    return {"location": problem.location, "reason": problem.reason, "count": problem.count}


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


def _json_credential(credential: Credential) -> dict[str, object]:
    issue = credential.issue
    return {
        "id": credential.id,
        "holder": credential.holder,
        "pod": credential.pod,
        "node": credential.node,
        "count": credential.count,
        "first": credential.first,
        "last": credential.last,
        "stale": credential.stale,
        "issued": {"by": issue.by, "at": issue.time} if issue else None,
    }
