"""Attributes and counts the events of logs in one pass.

Memory grows with the number of agents and of kinds of requests, not with the length of the log. If a limit is reached,
the counts stay correct, and the report says which requests or credentials are not counted separately.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent_identities.audit.accounts import AgentAccounts
from agent_identities.audit.bounded import Recent
from agent_identities.audit.envelopes import Decoder, Unreadable
from agent_identities.audit.events import (
    AKS_ALL,
    AKS_WRITES,
    RECEIVED,
    STARTED,
    Event,
    refused_impersonation,
    unlogged_verbs,
)
from agent_identities.audit.problems import Problems
from agent_identities.audit.records import Record, Splitter
from agent_identities.audit.sources import Cut, NoEventError, Piece
from agent_identities.audit.trace import MORE, Credential, Issue, RequestOutcome, Trace, Use
from agent_identities.rbac import Request, ServiceAccount

# A file is not read further if it has no event in so many lines or bytes.
_LINES_WITHOUT_EVENT, _BYTES_WITHOUT_EVENT = 100_000, 64 * 1024 * 1024
_USERNAME = re.compile(rb"system:serviceaccount:([a-z0-9-]+):([a-z0-9.-]+)(?=[^a-z0-9.-])")
_ANY_USERNAME = re.compile(rb'username\W+[^"\\]+["\\]|principalEmail\W+[^"\\]+["\\]')
_MOST_TEXT = 4 * 1024 * 1024  # in which user names are looked for, in bytes
_REMEDIATION = (
    "Use the API server's audit log: the file of its flag --audit-log-path, or on EKS, AKS, GKE and OpenShift what the "
    "commands in docs/trace.md print."
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of memory use: kinds of requests in total and per agent, names in total and per kind, and so on.

    ``writes_of_aks``: the events of which it is known whether they are in both logs of AKS.
    """

    uses: int = 60_000
    uses_of_agent: int = 2_000
    names: int = 100_000
    names_of_use: int = 1_000
    credentials: int = 40_000
    requests_under_way: int = 20_000
    writes_of_aks: int = 200_000
    problems: int = 20
    namespaces: int = 100


_Key = tuple[str, ...]

_account = functools.lru_cache(maxsize=4096)(ServiceAccount.of_user)  # the same users send most requests


class _Log:
    """What is known of one log."""

    def __init__(self, name: str, most_problems: int) -> None:
        self.name = name
        self.splitter = Splitter(Decoder())
        self.events = self.size = 0
        self.problems, self.skipped = Problems(most_problems), Problems(most_problems)
        self.incomplete: list[str] = []
        self.first_problem = ""
        self.has_mark = False


class Tracer:
    """Reads logs and counts the requests of agents."""

    def __init__(
        self, agents: AgentAccounts, *, since: str = "", until: str = "", limits: Limits | None = None
    ) -> None:
        """``since`` (inclusive) and ``until`` (exclusive) have the format of the log: 2026-11-24T03:46:08.738864Z."""
        self._agents = agents
        self._since = since
        self._until = until or "~"
        self._limits = limits = limits or Limits()
        self._uses: dict[_Key, Use] = {}
        self._unattributed: dict[_Key, Use] = {}
        self._unanswered: dict[_Key, Use] = {}
        self._fresh: list[Use] = []
        self._kinds: dict[tuple[ServiceAccount, RequestOutcome], int] = {}
        self._names = 0
        self._credentials: Recent[tuple[ServiceAccount, str], Credential] = Recent(limits.credentials, self._evict)
        self._evicted: dict[ServiceAccount, int] = {}
        self._issues: Recent[str, Issue] = Recent(limits.credentials)
        self._received: Recent[str, Event] = Recent(limits.requests_under_way, self._add_unanswered)
        self._under_way: Recent[str, bool] = Recent(limits.requests_under_way)
        self._writes_of_aks: Recent[tuple[str, str], str] = Recent(limits.writes_of_aks)
        self._logs: list[_Log] = []
        self._others = self._unauthenticated = 0
        self._first, self._last = "", ""
        self._skipped = Problems(limits.problems)
        self._namespaces: set[str] = set()
        self._undecided: dict[ServiceAccount, str] = {}
        self._undecided_for_all = ""
        self._kinds_of_logs: set[str] = set()

    def read(self, name: str, pieces: Iterable[Piece]) -> Iterator[int]:
        """Read a log. Yields the number of lines of all logs after each piece, also while the log is waiting.

        Several logs can be read in turn. Raises NoEventError if the log has no audit event.
        """
        log = _Log(name, self._limits.problems)
        self._logs.append(log)
        for piece in pieces:
            if isinstance(piece, Cut):
                self._add_cut(log, piece)
                break
            if isinstance(piece, bytes):
                log.size += len(piece)
                for record in log.splitter.feed(piece):
                    self._add_record(log, record)
            yield self.lines
            if not log.events and (log.size >= _BYTES_WITHOUT_EVENT or log.splitter.lines >= _LINES_WITHOUT_EVENT):
                break
        for record in log.splitter.close():
            self._add_record(log, record)
        if not log.events:
            self._logs.remove(log)
            raise NoEventError(name, _not_an_audit_log(log), _REMEDIATION)
        yield self.lines

    @property
    def lines(self) -> int:
        """The number of lines so far."""
        return sum(log.splitter.lines for log in self._logs)

    @property
    def has_events(self) -> bool:
        """Whether there was an audit event in a log."""
        return any(log.events for log in self._logs)

    def skip(self, name: str, reason: str) -> None:
        """Report a log that is not an audit log."""
        self._skipped.add(name, reason)

    def _add_record(self, log: "_Log", record: Record) -> None:
        contents = record.contents
        for event in contents.events:
            log.events += 1
            self.add(event)
        if not contents.unreadable and not contents.other:
            return
        location = f"{log.name}:{record.line}"
        for each in contents.unreadable:
            self._add_unreadable(log, location, each, ended=record.ended)
        if contents.other:
            log.skipped.add(location, contents.other)
            log.first_problem = log.first_problem or f"line {record.line} {contents.other}"

    def _add_cut(self, log: "_Log", cut: Cut) -> None:
        line = log.splitter.lines + 1
        log.first_problem = log.first_problem or f"line {line} {cut.reason}"
        if cut.ended:
            log.problems.add(f"{log.name}:{line}", cut.reason)
        else:
            log.incomplete.append(f"{log.name}:{line} ({cut.reason})")

    def _add_unreadable(self, log: "_Log", location: str, unreadable: Unreadable, *, ended: bool) -> None:
        if not log.first_problem or (unreadable.text and not log.has_mark):  # the first part of an audit event
            log.first_problem = f"line {location.rpartition(':')[2]} {unreadable.reason}"
            log.has_mark = bool(unreadable.text)
        if ended:
            log.problems.add(location, unreadable.reason)
        elif not log.incomplete:
            log.incomplete.append(location)
        text = unreadable.text[:_MOST_TEXT]
        found = {ServiceAccount(each[1].decode(), each[2].decode()) for each in _USERNAME.finditer(text)}
        for account in found:
            if account.namespace in self._agents.namespaces and len(self._undecided) < self._limits.credentials:
                self._undecided.setdefault(account, location)
        if text and ended and not found and not _ANY_USERNAME.search(text):
            self._undecided_for_all = self._undecided_for_all or location

    def fresh(self) -> list[Use]:
        """The kinds of requests that are new since the last call."""
        found, self._fresh = self._fresh, []
        return found

    def add(self, event: Event) -> None:
        """Add an event. A request has up to three events, and is counted at the first event with a response."""
        if event.log:
            self._kinds_of_logs.add(event.log)
            if self._is_copy(event):
                return
        if event.stage == RECEIVED:
            if self._since <= event.time < self._until and self._is_from_agent(event):
                self._received.put(event.id, event)
            return
        self._received.pop(event.id)
        if event.issued and event.request.subresource == "token":
            self._add_issue(event)
        if not self._since <= event.time < self._until:
            return
        if event.stage == STARTED:
            self._under_way.put(event.id, value=True)
        elif self._under_way.pop(event.id):
            return
        if not self._first or event.time < self._first:
            self._first = event.time
        self._last = max(self._last, event.time)
        self._attribute(event)

    def _is_copy(self, event: Event) -> bool:
        """Whether the other log of AKS had the event: kube-audit has everything that kube-audit-admin has."""
        if event.log not in (AKS_ALL, AKS_WRITES) or event.request.verb in ("get", "list"):
            return False
        key = event.id, event.stage
        found = self._writes_of_aks.get(key)
        self._writes_of_aks.put(key, event.log)
        return found not in (None, event.log)

    def _is_from_agent(self, event: Event) -> bool:
        accounts = (_account(user) for user in (event.acted_as, event.caller))
        return any(account is not None and account.namespace in self._agents.namespaces for account in accounts)

    def _add_unanswered(self, event: Event) -> None:
        subject, via, acted_as = self._subject(event)
        if subject is not None:
            self._count_in(self._unanswered, subject, via, acted_as, event)

    def _add_issue(self, event: Event) -> None:
        account = ServiceAccount(event.request.namespace, event.request.name)
        if account.namespace in self._agents.namespaces:
            self._issues.put(event.issued, Issue(account, event.acted_as or event.caller, event.time))

    def _subject(self, event: Event) -> tuple[ServiceAccount | None, str, str]:
        """The account in the agents' namespaces, the user who impersonated it, and the user whom it impersonated."""
        impersonated = _account(event.acted_as) if event.acted_as else None
        if impersonated is not None and impersonated.namespace in self._agents.namespaces:
            return impersonated, event.caller, ""
        caller = _account(event.caller)
        return (caller if caller and caller.namespace in self._agents.namespaces else None), "", event.acted_as

    def _attribute(self, event: Event) -> None:
        subject, via, acted_as = self._subject(event)
        if subject is None:
            self._add_other(event)
            return
        event = refused_impersonation(event) or event
        is_agent = self._agents.is_agent(subject)
        self._count_in(self._uses if is_agent else self._unattributed, subject, via, acted_as, event)
        self._add_credential(subject, event)

    def _add_other(self, event: Event) -> None:
        if event.code == 401 and not event.caller:
            self._unauthenticated += 1
            return
        self._others += 1
        if len(self._namespaces) < self._limits.namespaces and (caller := _account(event.caller)):
            self._namespaces.add(caller.namespace)

    def _count_in(self, uses: dict[_Key, Use], agent: ServiceAccount, via: str, acted_as: str, event: Event) -> None:
        outcome, request = _outcome(event), event.request
        verb, group, resource, subresource, _, namespace, _ = request
        kind = (verb, group, resource, subresource, namespace)
        key: _Key = (*agent, *kind, outcome, event.reason, via, event.constraint, acted_as)
        use = uses.get(key)
        if use is None:
            kinds = self._kinds.get((agent, outcome), 0)
            if kinds >= self._limits.uses_of_agent or len(uses) >= self._limits.uses:
                key = (*agent, outcome)
                use = uses.get(key) or Use(agent, Request("*", resource=MORE), outcome, "", "", "", "")
            else:
                use = Use(
                    agent,
                    Request(verb, group, resource, subresource, namespace=namespace),
                    *(outcome, event.reason, via, event.constraint, acted_as),
                )
                self._fresh.append(use)
            self._kinds[agent, outcome] = kinds + 1
            uses[key] = use
        use.count += 1
        if not use.first or event.time < use.first:
            use.first = event.time
        use.last = max(use.last, event.time)
        self._add_name(use, event)

    def _add_name(self, use: Use, event: Event) -> None:
        name = event.request.path or event.request.name
        if name not in use.names:
            if len(use.names) < self._limits.names_of_use and self._names < self._limits.names:
                use.names.add(name)
                self._names += 1
            else:
                use.more_names = True
                return
        created = event.code in (201, 0)  # 0: the log does not say
        if created and event.request.verb in ("patch", "update") and not event.request.subresource:
            use.created.add(name)

    def _add_credential(self, agent: ServiceAccount, event: Event) -> None:
        id_ = event.credential or (f"Secret {event.secret}" if event.secret else "")
        credential = self._credentials.get((agent, id_ or event.caller))
        if credential is None:
            credential = Credential(id_, event.caller, agent, event.pod, event.node, first=event.time)
            self._credentials.put((agent, id_ or event.caller), credential)
        if credential.issue is None:
            credential.issue = self._issues.get(id_)
        credential.count += 1
        credential.first = min(credential.first, event.time)
        credential.last = max(credential.last, event.time)
        credential.stale += event.stale

    def _evict(self, credential: Credential) -> None:
        self._evicted[credential.agent] = self._evicted.get(credential.agent, 0) + 1

    def result(self) -> Trace:
        """The trace of all events so far."""
        for event in self._received.values():
            self._add_unanswered(event)
            self._received.pop(event.id)
        problems, skipped = Problems(self._limits.problems), Problems(self._limits.problems)
        for log in self._logs:
            problems.add_all(log.problems.all())
            skipped.add_all(log.skipped.all())
        skipped.add_all(self._skipped.all())
        credentials = self._credentials.values()
        for credential in credentials:  # in the log, the issuing event can come after the first use of the token
            credential.issue = credential.issue or self._issues.get(credential.id)
        return Trace(
            agents=self._agents,
            logs=tuple(log.name for log in self._logs),
            uses=tuple(sorted(self._uses.values(), key=_order)),
            unattributed=tuple(sorted(self._unattributed.values(), key=_order)),
            credentials=tuple(sorted(credentials, key=lambda each: (each.agent, each.first, each.id))),
            lines=self.lines,
            events=sum(log.events for log in self._logs),
            others=self._others,
            unauthenticated=self._unauthenticated,
            first=self._first,
            last=self._last,
            problems=problems.all(),
            unreadable=problems.count,
            skipped=skipped.all(),
            incomplete=tuple(location for log in self._logs for location in log.incomplete),
            evicted=dict(self._evicted),
            namespaces=tuple(sorted(self._namespaces)),
            unanswered=tuple(sorted(self._unanswered.values(), key=_order)),
            undecided=dict(self._undecided),
            undecided_for_all=self._undecided_for_all,
            unlogged=unlogged_verbs(frozenset(self._kinds_of_logs)),
        )


def _outcome(event: Event) -> RequestOutcome:
    if event.decision == "allow":
        return RequestOutcome.REFUSED if event.code == 403 else RequestOutcome.ALLOWED
    if event.decision == "forbid" or event.code == 403:
        return RequestOutcome.DENIED
    return RequestOutcome.UNDECIDED


def _order(use: Use) -> tuple[str, ...]:
    request = use.request
    kind = (request.namespace, request.api_group, request.resource, request.subresource, request.verb)
    return (*use.agent, *kind, use.outcome, use.reason)


def _not_an_audit_log(log: _Log) -> str:
    if not log.size:
        return "is empty, and so has no request to attribute"
    reason = log.first_problem or "all lines are empty"
    return f"is not an audit log: none of its first {log.splitter.lines:,} lines is an audit event: {reason}"
