"""One request at a time, sent with an agent's own token: what a test asserts of an agent."""

import difflib
import re
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agent_identities.attack.request import request_using
from agent_identities.attack.tokens import CreatedObjects, Holder, holders
from agent_identities.attack.verdict import is_unavailable, refused_by_rbac, refusing_policy
from agent_identities.errors import AgentIdentitiesError
from agent_identities.kube.client import Answer, Api, ApiError
from agent_identities.rbac import Request

if TYPE_CHECKING:
    from agent_identities.agents import Agents
    from agent_identities.cluster.provide import Cluster
    from agent_identities.declaration import Identity

_SELF_REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

ASKED_VERBS = frozenset({"approve", "attest", "bind", "escalate", "impersonate", "sign", "use"})
"""Verbs that Kubernetes asks its authorizer about beside a request: no request uses them alone."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Whether the API server answered as a test expects. True where it did; the text says what was sent and answered.

    ``decision`` is "allowed", "denied" (by the API server's RBAC, in its own words for this request) or "inconclusive";
    ``how`` is the answer.
    """

    agent: str
    request: str
    expected: str
    decision: str
    how: str

    def __bool__(self) -> bool:
        return self.expected == self.decision

    def __repr__(self) -> str:
        return f"<{self.agent}: {self.request}: {self.decision}, expected {self.expected}. The answer: {self._short}>"

    @property
    def _short(self) -> str:
        """The answer without the user, whom the text names already: pytest shortens long texts."""
        return re.sub(r'\S+( "[^"]*")? is forbidden: User "[^"]*" ', "", self.how)[:120]


class LiveAgent:
    """An agent on a cluster, whose requests are sent with its own token.

    Where no token can be issued (a quarantined agent has no ServiceAccount, a guard refuses tokens of proxied agents),
    the caller impersonates the ServiceAccount's user. Requests that write are dry runs, and change nothing.
    """

    def __init__(self, identity: "Identity", api: Api, holder: Holder) -> None:
        self.identity = identity
        self._admin = api
        self._api = holder.api or api
        self._headers = {} if holder.api is not None else {"Impersonate-User": identity.user.name}

    def __repr__(self) -> str:
        return f"<agent {self.identity.namespace}/{self.identity.name}>"

    def allowed(self, verb: str, resource: str, *, name: str = "", namespace: str | None = None) -> Answered:
        """Whether the API server allows a request.

        ``resource`` is as in ``kubectl auth can-i``: ``pods``, ``deployments.apps``, ``pods/log``, or a path such as
        ``/metrics``. ``namespace`` is the agent's own unless given; "" is the whole cluster. Raises
        AgentIdentitiesError where the API server does not serve that resource or verb: such a test proves nothing.
        """
        return self._ask("allowed", verb, resource, name, namespace)

    def denied(self, verb: str, resource: str, *, name: str = "", namespace: str | None = None) -> Answered:
        """Whether the API server's RBAC refuses a request: its own 403, for this user and this request.

        The positive control is the same credential's SelfSubjectReview, which must name this agent. Arguments and
        errors are those of `allowed`.
        """
        return self._ask("denied", verb, resource, name, namespace)

    def _ask(self, expected: str, verb: str, resource: str, name: str, namespace: str | None) -> Answered:
        right = self._right(verb, resource, name, self.identity.namespace if namespace is None else namespace)
        where = f" in {right.namespace}" if right.namespace else ""
        text = f"{right}{where}"
        if self._control:
            return Answered(self.identity.name, text, expected, "inconclusive", self._control)
        sent = request_using(right, id="asserted", why="a test asserts it")
        answer = self._api.raw(sent.method, sent.path, sent.body or None, {**self._headers, **sent.headers})
        refused = refused_by_rbac(sent, self.identity.user, answer)
        decision = _decision(answer, refused=refused, asked=sent.asks is not None)
        how = f"{answer.status} {answer.message}".rstrip()
        return Answered(self.identity.name, text, expected, decision, how)

    @cached_property
    def _control(self) -> str:
        """Why the credential proves nothing; "" where it is this agent's."""
        answer = self._api.raw("POST", _SELF_REVIEW, "{}", self._headers)
        user = ((answer.body.get("status") or {}).get("userInfo") or {}).get("username")
        if user == self.identity.user.name:
            return ""
        problem = answer.message or f"the credential belongs to {user}"
        return f"the positive control failed: {answer.status} {problem}"

    def _right(self, verb: str, resource: str, name: str, namespace: str) -> Request:
        if resource.startswith("/"):
            return Request(verb, "", "", path=resource)
        target, _, subresource = resource.partition("/")
        plural, _, group = target.partition(".")
        served = self._served(group)
        wanted = f"{plural}/{subresource}" if subresource else plural
        if wanted not in served:
            near = difflib.get_close_matches(wanted, served, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            where = f"API group {group}" if group else "the core API group"
            raise AgentIdentitiesError(
                f"{resource!r}: the API server serves no such resource in {where}.{hint} "
                "Name the group after a dot: deployments.apps"
            )
        verbs, namespaced = served[wanted]
        if verb not in verbs and verb not in ASKED_VERBS:
            raise AgentIdentitiesError(f"{verb!r}: not a verb of {resource}. Its verbs: {', '.join(sorted(verbs))}.")
        return Request(verb, group, plural, subresource, name, namespace if namespaced else "")

    def _served(self, group: str) -> dict[str, tuple[frozenset[str], bool]]:
        """Verbs, and whether it is in a namespace, by resource and subresource of a group."""
        served: dict[str, tuple[frozenset[str], bool]] = {}
        for version in self._versions(group):
            for each in self._admin.get(version).get("resources") or ():
                verbs, namespaced = served.get(each["name"], (frozenset(), False))
                served[each["name"]] = (verbs | frozenset(each.get("verbs") or ()), namespaced or each["namespaced"])
        return served

    def _versions(self, group: str) -> list[str]:
        if not group:
            return ["/api/v1"]
        try:
            return [f"/apis/{each['groupVersion']}" for each in self._admin.get(f"/apis/{group}")["versions"]]
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return []
            raise


def _decision(answer: Answer, *, refused: bool, asked: bool) -> str:
    """What the answer says about RBAC; ``asked``: it is the answer to a review, not to the request itself."""
    if refused:
        return "inconclusive" if asked else "denied"
    if asked and answer.status < HTTPStatus.BAD_REQUEST:
        return "allowed" if (answer.body.get("status") or {}).get("allowed") else "denied"
    # The refusal of a guard, another 403, and a 401 are not answers of RBAC; a server in trouble gives none.
    other = refusing_policy(answer.message) or answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    return "inconclusive" if other or is_unavailable(answer) else "allowed"


class LiveAgents:
    """The agents of a release on a cluster, each with a token that is requested once. A context manager.

    Where an agent has no pod, one that never starts is created for its token to be bound to, and removed at the end.
    """

    def __init__(self, agents: "Agents", cluster: "Cluster") -> None:
        self._agents = agents
        self._api = Api(cluster.access)
        self._created = CreatedObjects(self._api)
        self._known: dict[str, LiveAgent] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self._created.clear(4)
        self._api.close()
        if left and error is None:
            raise AgentIdentitiesError(f"Could not be removed from the cluster: {'; '.join(left)}")

    def __call__(self, name: str) -> LiveAgent:
        """The agent with this ServiceAccount. Raises AgentIdentitiesError where the values declare no such agent."""
        if name not in self._known:
            identity = self._agents[name]
            (holder,) = holders(self._api, [identity], self._created, 1)
            self._known[name] = LiveAgent(identity, self._api, holder)
        return self._known[name]
