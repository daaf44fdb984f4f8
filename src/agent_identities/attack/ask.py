"""Send single requests with an agent's own token, for the assertions of tests."""

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
from agent_identities.kube.client import Answer, Api
from agent_identities.kube.discovery import discover
from agent_identities.rbac import Request
from agent_identities.rbac.served import Served, has_verb

if TYPE_CHECKING:
    from agent_identities.agents import Agents
    from agent_identities.cluster.provide import Cluster
    from agent_identities.declaration import Identity

_SELF_REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@dataclass(frozen=True, slots=True)
class Answered:
    """Whether the API server answered as a test expects: true or false. The text has the request and the answer.

    ``decision`` is "allowed", "denied" (by the API server's RBAC: its 403 for this user and this request) or
    "inconclusive". ``how`` is the answer.
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
        """The answer without the user, which the text already contains: pytest shortens long texts."""
        return re.sub(r'\S+( "[^"]*")? is forbidden: User "[^"]*" ', "", self.how)[:120]


class LiveAgent:
    """An agent on a cluster. Its requests are sent with its own token.

    If the API server issues no token (a quarantined agent has no ServiceAccount, a guard refuses tokens of proxied
    agents), the caller impersonates the ServiceAccount's user. Requests that write are dry runs and change nothing.
    """

    def __init__(self, identity: "Identity", api: Api, holder: Holder, served: Served) -> None:
        self.identity = identity
        self._served = served
        self._admin = api
        self._api = holder.api or api
        self._headers = {} if holder.api is not None else {"Impersonate-User": identity.user.name}

    def __repr__(self) -> str:
        return f"<agent {self.identity.namespace}/{self.identity.name}>"

    def allowed(self, verb: str, resource: str, *, name: str = "", namespace: str | None = None) -> Answered:
        """Whether the API server allows a request.

        ``resource`` has the form of ``kubectl auth can-i``: ``pods``, ``deployments.apps``, ``pods/log``, or a path
        such as ``/metrics``. The default ``namespace`` is the agent's; "" is the whole cluster. Raises
        AgentIdentitiesError if the API server does not serve the resource or the verb: such a test proves nothing.
        """
        return self._ask("allowed", verb, resource, name, namespace)

    def denied(self, verb: str, resource: str, *, name: str = "", namespace: str | None = None) -> Answered:
        """Whether the API server's RBAC refuses a request: its own 403, for this user and this request.

        The positive control is a SelfSubjectReview with the same credential, which must return this agent's user.
        Arguments and errors are those of `allowed`.
        """
        return self._ask("denied", verb, resource, name, namespace)

    def _ask(self, expected: str, verb: str, resource: str, name: str, namespace: str | None) -> Answered:
        right = self._right(verb, resource, name, self.identity.namespace if namespace is None else namespace)
        where = f" in {right.namespace}" if right.namespace else ""
        text = f"{right}{where}"
        if self._control:
            return Answered(self.identity.name, text, expected, "inconclusive", self._control)
        sent = request_using(right, id="asserted", why="a test asserts the answer")
        answer = self._api.raw(sent.method, sent.path, sent.body or None, {**self._headers, **sent.headers})
        refused = refused_by_rbac(sent, self.identity.user, answer)
        decision = _decision(answer, refused=refused, asked=sent.asks is not None)
        how = f"{answer.status} {answer.message}".rstrip()
        return Answered(self.identity.name, text, expected, decision, how)

    @cached_property
    def _control(self) -> str:
        """Why the positive control failed; "" if the credential belongs to this agent."""
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
        wanted = f"{plural}/{subresource}" if subresource else plural
        found = self._served.find(group, wanted)
        if found is None:
            near = difflib.get_close_matches(wanted, self._served.items_of(group), 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            where = f"API group {group}" if group else "the core API group"
            raise AgentIdentitiesError(
                f"{resource!r}: the API server serves no such resource in {where}.{hint} "
                "Write the API group after a dot: deployments.apps"
            )
        if not has_verb(found, verb):
            verbs = ", ".join(sorted(found.verbs))
            raise AgentIdentitiesError(f"{verb!r}: not a verb of {resource}. Its verbs: {verbs}.")
        return Request(verb, group, plural, subresource, name, namespace if found.namespaced else "")


def _decision(answer: Answer, *, refused: bool, asked: bool) -> str:
    """The decision of RBAC, from an answer. ``asked``: it is the answer to a review, not to the request itself."""
    if refused:
        return "inconclusive" if asked else "denied"
    if asked and answer.status < HTTPStatus.BAD_REQUEST:
        return "allowed" if (answer.body.get("status") or {}).get("allowed") else "denied"
    # The refusal of a guard, another 403 and a 401 are not decisions of RBAC; nor is a server error.
    other = refusing_policy(answer.message) or answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    return "inconclusive" if other or is_unavailable(answer) else "allowed"


class LiveAgents:
    """The agents of a release on a cluster. One token is requested for each agent. A context manager.

    For an agent without a pod, a pod that never starts is created and the token is bound to it. The context manager
    deletes the pod at the end.
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
            raise AgentIdentitiesError(f"Objects of the tests are left on the cluster. Delete them: {'; '.join(left)}")

    @cached_property
    def _served(self) -> Served:
        found = discover(self._api)
        if not found.served.known:
            raise AgentIdentitiesError(f"Discovery of the API server failed: {'; '.join(found.unread.values())}")
        return found.served

    def __call__(self, name: str) -> LiveAgent:
        """The agent with this ServiceAccount. Raises AgentIdentitiesError if the values declare no such agent."""
        if name not in self._known:
            identity = self._agents[name]
            (holder,) = holders(self._api, [identity], self._created, 1)
            self._known[name] = LiveAgent(identity, self._api, holder, self._served)
        return self._known[name]
