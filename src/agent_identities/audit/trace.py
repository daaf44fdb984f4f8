"""The result of the trace job: the requests of every agent in the logs, attributed and counted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from agent_identities.audit.accounts import AgentAccounts
from agent_identities.audit.problems import Problem
from agent_identities.rbac import GrantedBy, Request, ServiceAccount, granted_by
from agent_identities.report.model import Report, Result

MORE = "(more)"
"""The resource of a Use that combines all further requests of an agent after a limit was reached."""

_TOKEN = "JTI="  # noqa: S105  # the prefix of the credential ids of tokens


class RequestOutcome(StrEnum):
    """The outcome of a request."""

    ALLOWED = "allowed"
    DENIED = "denied"
    """Denied by the authorizer: no binding allows the request."""
    REFUSED = "refused"
    """Allowed by a binding, then refused by an admission policy, a quota or a second authorization."""
    UNDECIDED = "undecided"
    """The log has no decision: answered before authorization (rate limiting, a malformed URL), or not in this log."""


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
class Trace(Result):
    """The attributed requests of audit logs.

    ``unattributed`` are requests by ServiceAccounts in the agents' namespaces that are not agents, such as
    ``default``. ``others`` is the number of requests by all other users, and ``unauthenticated`` the number of requests
    with an invalid credential. ``unreadable`` is the number of records that could not be read, and ``problems`` are
    their reasons. ``skipped`` are records that are not audit events. ``incomplete`` are the locations at which a log is
    cut. ``evicted`` is the number of credentials per agent that are not listed because of a limit. ``namespaces`` are
    the namespaces of other ServiceAccounts, as a hint if the log has no agent.

    What the log does not say: ``unanswered`` are requests without a response in the log. ``undecided`` are the agents
    that a record names that could not be read, with the location of the first such record, and ``undecided_for_all`` is
    the location of a part of an event that can be of any agent. ``unlogged`` are the verbs whose requests these logs
    leave out.
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
    skipped: tuple[Problem, ...]
    incomplete: tuple[str, ...]
    evicted: Mapping[ServiceAccount, int]
    namespaces: tuple[str, ...]
    unanswered: tuple[Use, ...] = ()
    undecided: Mapping[ServiceAccount, str] = field(default_factory=dict)
    undecided_for_all: str = ""
    unlogged: frozenset[str] = frozenset()

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
            unanswered=tuple(use for use in self.unanswered if is_selected(use.agent)),
            credentials=tuple(credential for credential in self.credentials if is_selected(credential.agent)),
            evicted={agent: count for agent, count in self.evicted.items() if is_selected(agent)},
        )

    def of(self, agent: ServiceAccount) -> tuple[Use, ...]:
        """The requests of one agent."""
        return tuple(use for use in self.uses if use.agent == agent)
