"""What every agent did: the events of a log, attributed and counted as they pass by.

What is kept grows with the agents and with the kinds of requests that they make, never with the length of the log;
where a bound is met, the counts stay right and the report says what is no longer told apart.
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
"""Stands for the resource of all the requests of an agent that are no longer told apart."""

_FOREIGN_BEFORE_ANY_EVENT = 1_000
_TOKEN = "JTI="  # noqa: S105  # what ids of tokens begin with


class RequestOutcome(StrEnum):
    """What became of a request."""

    ALLOWED = "allowed"
    DENIED = "denied"
    """By the authorizer: no binding allows it."""
    REFUSED = "refused"
    """Allowed by a binding, then refused: by an admission policy, a quota, a second authorization."""
    UNDECIDED = "undecided"
    """Answered before authorization: too many requests, a timeout, a malformed URL."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept: kinds of requests in all and of one agent, names in all and of one kind, and so on."""

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
    """Requests of one agent that differ in time, object and credential only.

    ``request`` is without name and path. ``names`` are the objects, or the paths of non-resource requests, "" for none;
    ``more_names``: there were others.
    ``created`` are those that a patch or an update made, for which the API server asks for ``create``, too.
    ``via`` is who sent them where it was not the agent itself: the proxy's user name, or another's; ``constraint`` the
    verb that allowed that (KEP-5284). ``acted_as`` is the user whom the agent impersonated, if it is no agent.
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
        """The binding that allowed it; None where none did, or another authorizer than RBAC."""
        return granted_by(self.reason)

    @property
    def target(self) -> str:
        """``deployments.apps/scale``, or ``URLs`` for non-resource requests."""
        return self.request.target or "URLs"


@dataclass(frozen=True, slots=True)
class Issue:
    """The request that made a token: for whom, by whom, when."""

    account: ServiceAccount
    by: str
    time: str


@dataclass(slots=True)
class Credential:
    """What a request was authenticated with, and for which agent.

    ``id`` is ``JTI=...`` for a token, ``X509SHA256=...`` for a certificate, ``Secret NAME`` for a token of that Secret,
    "" for none known. ``holder`` is the user whose it is: the agent, or who acted as it. ``issue`` is None where the
    log does not have it. ``stale``: so many uses after the time at which it should have been renewed.
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
        """Whether it is a token that a request made; only those have an event to be joined to."""
        return self.id.startswith(_TOKEN)


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that could not be read."""

    place: str
    what: str


@dataclass(frozen=True, slots=True)
class Trace(Result):
    """A log, attributed.

    ``unattributed`` are requests by ``default`` of the agents' namespaces, or by ServiceAccounts there that the values
    do not declare; ``others`` counts those of everybody else, ``unauthenticated`` those whose credential was not
    accepted. ``unended`` are logs whose last line is still being written. ``forgotten`` counts credentials that are no
    longer told apart, by agent. ``namespaces`` are those of other ServiceAccounts, a hint where no agent was seen.
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
    unended: tuple[str, ...]
    forgotten: Mapping[ServiceAccount, int]
    namespaces: tuple[str, ...]

    @property
    def attributed(self) -> int:
        """How many requests are an agent's."""
        return sum(use.count for use in self.uses)

    @property
    def not_attributed(self) -> int:
        """How many are not, though they come from the agents' namespaces."""
        return sum(use.count for use in self.unattributed)

    @property
    def ok(self) -> bool:
        """Whether there are requests of agents, all of them theirs alone, and every line was read."""
        return bool(self.uses) and not self.unattributed and not self.unreadable

    def report(self, *, listing: bool = False) -> Report:  # noqa: ARG002  # --output json has everything
        """The trace in words and tables."""
        from agent_identities.audit.trace_report import build

        return build(self)

    def only(self, names: Iterable[str]) -> "Trace":
        """With the requests and credentials of these agents, or keys of the values, alone."""
        wanted = frozenset(names)

        def is_wanted(agent: ServiceAccount) -> bool:
            return agent.name in wanted or (self.agents.entries or {}).get(agent) in wanted

        return replace(
            self,
            uses=tuple(use for use in self.uses if is_wanted(use.agent)),
            credentials=tuple(one for one in self.credentials if is_wanted(one.agent)),
            forgotten={agent: count for agent, count in self.forgotten.items() if is_wanted(agent)},
        )

    def of(self, agent: ServiceAccount) -> tuple[Use, ...]:
        """The requests of one agent."""
        return tuple(use for use in self.uses if use.agent == agent)


_Key = tuple[str, ...]


class Tracer:
    """Takes lines, keeps counts."""

    def __init__(
        self, agents: AgentAccounts, *, since: str = "", until: str = "", limits: Limits | None = None
    ) -> None:
        """``since`` (with it) and ``until`` (without it) are times as in the log: 2026-11-24T03:46:08.738864Z."""
        self._agents = agents
        self._since = since
        self._until = until or "~"
        self._limits = limits = limits or Limits()
        self._uses: dict[_Key, Use] = {}
        self._unattributed: dict[_Key, Use] = {}
        self._kinds: dict[tuple[ServiceAccount, RequestOutcome], int] = {}
        self._names = 0
        self._credentials: Recent[tuple[ServiceAccount, str], Credential] = Recent(limits.credentials, self._forget)
        self._forgotten: dict[ServiceAccount, int] = {}
        self._issues: Recent[str, Issue] = Recent(limits.credentials)
        self._under_way: Recent[str, bool] = Recent(limits.requests_under_way)
        self._logs: list[str] = []
        self._lines = self._events = self._others = self._unauthenticated = self._unreadable = 0
        self._first, self._last = "", ""
        self._problems: list[Problem] = []
        self._unended: list[str] = []
        self._namespaces: set[str] = set()

    def read(self, name: str, lines: Iterable[Line]) -> Iterator[int]:
        """Takes all lines of a log, and yields how many there were, every now and then.

        Raises LogError where there is no event among them.
        """
        self._logs.append(name)
        seen, events, first_problem = 0, self._events, ""
        for line in lines:
            seen += 1
            if not line.text and not line.problem and line.ended:
                continue
            if problem := line.problem or self._take(line.text):
                first_problem = first_problem or f"line {line.number} {problem}"
                self._unread(f"{name}:{line.number}", problem, ended=line.ended)
            if seen >= _FOREIGN_BEFORE_ANY_EVENT and events == self._events:
                break
            if seen % 10_000 == 0:
                yield self._lines + seen
        self._lines += seen
        if events == self._events:
            raise LogError(_no_audit_log(name, seen, first_problem))
        yield self._lines

    def _take(self, text: bytes) -> str:
        """Takes a line; why not, where it is no event."""
        try:
            for event in parse(text):
                self._events += 1
                self.add(event)
        except NotAnEventError as problem:
            return str(problem)
        return ""

    def _unread(self, place: str, problem: str, *, ended: bool) -> None:
        if not ended:
            self._unended.append(place)
            return
        self._unreadable += 1
        if len(self._problems) < self._limits.problems:
            self._problems.append(Problem(place, problem))

    def add(self, event: Event) -> None:
        """Takes one event. A request has up to three; it counts at the first that has an answer."""
        if event.stage == RECEIVED:
            return
        if event.issued and event.request.subresource == "token":
            self._issued(event)
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

    def _issued(self, event: Event) -> None:
        account = ServiceAccount(event.request.namespace, event.request.name)
        if account.namespace in self._agents.namespaces:
            self._issues.put(event.issued, Issue(account, event.acted_as or event.caller, event.time))

    def _attribute(self, event: Event) -> None:
        acted = ServiceAccount.of_user(event.acted_as) if event.acted_as else None
        subject = caller = ServiceAccount.of_user(event.caller)
        via = acted_as = ""
        if acted is not None and acted.namespace in self._agents.namespaces:
            subject, via = acted, event.caller
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
        self._used(subject, event)

    def _count(self, agent: ServiceAccount, via: str, acted_as: str, event: Event) -> None:
        outcome, request = _outcome(event), event.request
        uses = self._uses if self._agents.is_one(agent) else self._unattributed
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
        self._named(use, event)

    def _named(self, use: Use, event: Event) -> None:
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

    def _used(self, agent: ServiceAccount, event: Event) -> None:
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

    def _forget(self, credential: Credential) -> None:
        self._forgotten[credential.agent] = self._forgotten.get(credential.agent, 0) + 1

    def result(self) -> Trace:
        """All that was taken."""
        credentials = self._credentials.values()
        for credential in credentials:  # the event that issued a token may stand below its first use
            credential.issue = credential.issue or self._issues.get(credential.id)
        return Trace(
            agents=self._agents,
            logs=tuple(self._logs),
            uses=tuple(sorted(self._uses.values(), key=_order)),
            unattributed=tuple(sorted(self._unattributed.values(), key=_order)),
            credentials=tuple(sorted(credentials, key=lambda one: (one.agent, one.first, one.id))),
            lines=self._lines,
            events=self._events,
            others=self._others,
            unauthenticated=self._unauthenticated,
            first=self._first,
            last=self._last,
            problems=tuple(self._problems),
            unreadable=self._unreadable,
            unended=tuple(self._unended),
            forgotten=dict(self._forgotten),
            namespaces=tuple(sorted(self._namespaces)),
        )


def _outcome(event: Event) -> RequestOutcome:
    if event.decision == "allow":
        return RequestOutcome.REFUSED if event.code == 403 else RequestOutcome.ALLOWED
    if event.decision == "forbid" or event.code == 403:
        return RequestOutcome.DENIED
    return RequestOutcome.UNDECIDED


def _order(use: Use) -> tuple[str, ...]:
    made = use.request
    kind = (made.namespace, made.api_group, made.resource, made.subresource, made.verb)
    return (*use.agent, *kind, use.outcome, use.reason)


def _no_audit_log(name: str, lines: int, problem: str) -> str:
    cure = "Name the file that the API server's --audit-log-path names."
    if not lines:
        return f"{name}: is empty: it has no request to attribute. {cure}"
    why = problem or "all are empty"
    return f"{name}: is no audit log: none of its first {lines:,} lines is an audit event; {why}. {cure}"
