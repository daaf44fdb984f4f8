"""The requests of every agent: the events of a log, attributed and counted in one pass.

Memory grows with the number of agents and of kinds of requests, not with the length of the log. If a limit is reached,
the counts stay correct, and the report says which requests or credentials are not counted separately.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from agent_identities.audit.accounts import AgentAccounts
from agent_identities.audit.bounded import Recent
from agent_identities.audit.events import (
    RECEIVED,
    STARTED,
    Event,
    NotAnEventError,
    parse,
    refused_impersonation,
)
from agent_identities.audit.lines import Line, LogError
from agent_identities.rbac import GrantedBy, Request, ServiceAccount, granted_by
from agent_identities.report.model import Report, Result

MORE = "(more)"
"""The resource of a Use that combines all further requests of an agent after a limit was reached."""

_LINES_WITHOUT_EVENT = 1_000  # a file whose first lines are not events is not read further
_TOKEN = "JTI="  # noqa: S105  # the prefix of the credential ids of tokens


class RequestOutcome(StrEnum):
    """The outcome of a request."""

    ALLOWED = "allowed"
    DENIED = "denied"
    """Denied by the authorizer: no binding allows the request."""
    REFUSED = "refused"
    """Allowed by a binding, then refused by an admission policy, a quota or a second authorization."""
    UNDECIDED = "undecided"
    """Answered before authorization, for example because of rate limiting, a timeout or a malformed URL."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of memory use: kinds of requests in total and per agent, names in total and per kind, and so on."""

    uses: int = 60_000
    uses_of_agent: int = 2_000
    names: int = 100_000
    names_of_use: int = 1_000
    credentials: int = 40_000
    requests_under_way: int = 20_000
    problems: int = 20
    namespaces: int = 100


@dataclass(slots=True)
class Use:
    """Requests of one agent that differ only in time, object and credential.

    ``request`` has no name and no path. ``names`` are the names of the objects, or the paths of non-resource requests,
    with "" for a request without a name. ``more_names``: there are further names. ``created`` are the objects that a
    patch or an update created, which also requires the verb ``create``. ``via`` is the user who impersonated the agent,
    such as the proxy, "" for the agent itself. ``constraint`` is the verb that allowed this impersonation (KEP-5284).
    ``acted_as`` is the user whom the agent impersonated, if that user is not an agent.
    """

    agent: ServiceAccount
    request: Request
    outcome: RequestOutcome
    reason: str
    via: str
    constraint: str
    acted_as: str
    count: int = 0
    first: str = ""
    last: str = ""
    names: set[str] = field(default_factory=set)
    more_names: bool = False
    created: set[str] = field(default_factory=set)

    @property
    def binding(self) -> GrantedBy | None:
        """The binding that allowed the requests. None if they were not allowed, or by another authorizer than RBAC."""
        return granted_by(self.reason)

    @property
    def target(self) -> str:
        """``deployments.apps/scale``, or ``URLs`` for non-resource requests."""
        return self.request.target or "URLs"


@dataclass(frozen=True, slots=True)
class Issue:
    """The request that issued a token: the account, the requester, and the time."""

    account: ServiceAccount
    by: str
    time: str


@dataclass(slots=True)
class Credential:
    """A credential that authenticated requests of an agent.

    ``id`` is ``JTI=...`` for a token, ``X509SHA256=...`` for a certificate, ``Secret NAME`` for a token of that Secret,
    "" if unknown. ``holder`` is the user of the credential: the agent, or the user who impersonated the agent.
    ``issue`` is None if it is not in the log. ``stale`` is the number of uses after the token should have been renewed.
    """

    id: str
    holder: str
    agent: ServiceAccount
    pod: str
    node: str
    count: int = 0
    first: str = ""
    last: str = ""
    stale: int = 0
    issue: Issue | None = None

    @property
    def is_token(self) -> bool:
        """Whether the credential is a token from the TokenRequest API. Only such a token has an issuing event."""
        return self.id.startswith(_TOKEN)


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that could not be read."""

    location: str
    reason: str


@dataclass(frozen=True, slots=True)
class Trace(Result):
    """The attributed requests of audit logs.

    ``unattributed`` are requests by ServiceAccounts in the agents' namespaces that are not agents, such as
    ``default``. ``others`` is the number of requests by all other users, and ``unauthenticated`` the number of requests
    with an invalid credential. ``incomplete`` are the locations of incomplete last lines. ``evicted`` is the number of
    credentials per agent that are not listed because of a limit. ``namespaces`` are the namespaces of other
    ServiceAccounts, as a hint if the log has no agent.
    """

    agents: AgentAccounts
    logs: tuple[str, ...]
    uses: tuple[Use, ...]
    unattributed: tuple[Use, ...]
    credentials: tuple[Credential, ...]
    lines: int
    events: int
    others: int
    unauthenticated: int
    first: str
    last: str
    problems: tuple[Problem, ...]
    unreadable: int
    incomplete: tuple[str, ...]
    evicted: Mapping[ServiceAccount, int]
    namespaces: tuple[str, ...]

    @property
    def attributed(self) -> int:
        """The number of requests by agents."""
        return sum(use.count for use in self.uses)

    @property
    def not_attributed(self) -> int:
        """The number of requests by ServiceAccounts in the agents' namespaces that are not agents."""
        return sum(use.count for use in self.unattributed)

    @property
    def ok(self) -> bool:
        """Whether there are requests by agents, every request is attributed, and every line was read."""
        return bool(self.uses) and not self.unattributed and not self.unreadable

    def report(self, *, listing: bool = False) -> Report:  # noqa: ARG002  # --output json has everything
        """The trace as text and tables."""
        from agent_identities.audit.trace_report import build

        return build(self)

    def only(self, names: Iterable[str]) -> "Trace":
        """The trace with only the requests and credentials of these agents or entries of the values."""
        selected = frozenset(names)

        def is_selected(agent: ServiceAccount) -> bool:
            return agent.name in selected or (self.agents.entries or {}).get(agent) in selected

        return replace(
            self,
            uses=tuple(use for use in self.uses if is_selected(use.agent)),
            credentials=tuple(credential for credential in self.credentials if is_selected(credential.agent)),
            evicted={agent: count for agent, count in self.evicted.items() if is_selected(agent)},
        )

    def of(self, agent: ServiceAccount) -> tuple[Use, ...]:
        """The requests of one agent."""
        return tuple(use for use in self.uses if use.agent == agent)


_Key = tuple[str, ...]


class Tracer:
    """Reads lines and counts the requests of agents."""

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
        self._kinds: dict[tuple[ServiceAccount, RequestOutcome], int] = {}
        self._names = 0
        self._credentials: Recent[tuple[ServiceAccount, str], Credential] = Recent(limits.credentials, self._evict)
        self._evicted: dict[ServiceAccount, int] = {}
        self._issues: Recent[str, Issue] = Recent(limits.credentials)
        self._under_way: Recent[str, bool] = Recent(limits.requests_under_way)
        self._logs: list[str] = []
        self._lines = self._events = self._others = self._unauthenticated = self._unreadable = 0
        self._first, self._last = "", ""
        self._problems: list[Problem] = []
        self._incomplete: list[str] = []
        self._namespaces: set[str] = set()

    def read(self, name: str, lines: Iterable[Line]) -> Iterator[int]:
        """Read all lines of a log. Yields the number of lines at intervals.

        Raises LogError if the log has no audit event.
        """
        self._logs.append(name)
        count, events, first_problem = 0, self._events, ""
        for line in lines:
            count += 1
            if not line.text and not line.problem and line.ended:
                continue
            if problem := line.problem or self._add_line(line.text):
                first_problem = first_problem or f"line {line.number} {problem}"
                self._add_problem(f"{name}:{line.number}", problem, ended=line.ended)
            if count >= _LINES_WITHOUT_EVENT and events == self._events:
                break
            if count % 10_000 == 0:
                yield self._lines + count
        self._lines += count
        if events == self._events:
            raise LogError(_not_an_audit_log(name, count, first_problem))
        yield self._lines

    def _add_line(self, text: bytes) -> str:
        """Add the events of a line. Returns the problem if the line is not an event, else ""."""
        try:
            for event in parse(text):
                self._events += 1
                self.add(event)
        except NotAnEventError as problem:
            return str(problem)
        return ""

    def _add_problem(self, location: str, problem: str, *, ended: bool) -> None:
        if not ended:
            self._incomplete.append(location)
            return
        self._unreadable += 1
        if len(self._problems) < self._limits.problems:
            self._problems.append(Problem(location, problem))

    def add(self, event: Event) -> None:
        """Add an event. A request has up to three events, and is counted at the first event with a response."""
        if event.stage == RECEIVED:
            return
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

    def _add_issue(self, event: Event) -> None:
        account = ServiceAccount(event.request.namespace, event.request.name)
        if account.namespace in self._agents.namespaces:
            self._issues.put(event.issued, Issue(account, event.acted_as or event.caller, event.time))

    def _attribute(self, event: Event) -> None:
        impersonated = ServiceAccount.of_user(event.acted_as) if event.acted_as else None
        subject = caller = ServiceAccount.of_user(event.caller)
        via = acted_as = ""
        if impersonated is not None and impersonated.namespace in self._agents.namespaces:
            subject, via = impersonated, event.caller
        else:
            acted_as = event.acted_as
        if subject is None or subject.namespace not in self._agents.namespaces:
            if event.code == 401 and not event.caller:
                self._unauthenticated += 1
            else:
                self._others += 1
                if caller is not None and len(self._namespaces) < self._limits.namespaces:
                    self._namespaces.add(caller.namespace)
            return
        self._count(subject, via, acted_as, refused_impersonation(event) or event)
        self._add_credential(subject, event)

    def _count(self, agent: ServiceAccount, via: str, acted_as: str, event: Event) -> None:
        outcome, request = _outcome(event), event.request
        uses = self._uses if self._agents.is_agent(agent) else self._unattributed
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
        if event.code == 201 and event.request.verb in ("patch", "update") and not event.request.subresource:
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
        credentials = self._credentials.values()
        for credential in credentials:  # in the log, the issuing event can come after the first use of the token
            credential.issue = credential.issue or self._issues.get(credential.id)
        return Trace(
            agents=self._agents,
            logs=tuple(self._logs),
            uses=tuple(sorted(self._uses.values(), key=_order)),
            unattributed=tuple(sorted(self._unattributed.values(), key=_order)),
            credentials=tuple(sorted(credentials, key=lambda each: (each.agent, each.first, each.id))),
            lines=self._lines,
            events=self._events,
            others=self._others,
            unauthenticated=self._unauthenticated,
            first=self._first,
            last=self._last,
            problems=tuple(self._problems),
            unreadable=self._unreadable,
            incomplete=tuple(self._incomplete),
            evicted=dict(self._evicted),
            namespaces=tuple(sorted(self._namespaces)),
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


def _not_an_audit_log(name: str, lines: int, problem: str) -> str:
    remediation = "Use the file of the API server's flag --audit-log-path."
    if not lines:
        return f"{name}: is empty, and so has no request to attribute. {remediation}"
    reason = problem or "all lines are empty"
    return f"{name}: is not an audit log: none of its first {lines:,} lines is an audit event: {reason}. {remediation}"
