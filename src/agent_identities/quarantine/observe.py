"""Observe whether the API server still allows the target's requests and authenticates its tokens."""

from collections.abc import Iterable, Mapping
from typing import Any

from agent_identities.kube.client import Api, ApiError
from agent_identities.kube.fanout import fan_out
from agent_identities.kube.reviews import ReviewStatus, ask
from agent_identities.kube.roles import role_path, role_rules
from agent_identities.quarantine.apply import CONCURRENCY
from agent_identities.quarantine.plan import Step, rights
from agent_identities.quarantine.server import Server
from agent_identities.rbac import PolicyRule, Request, User

_TOKEN_SECONDS = 600  # the minimum of the API server
_MOST_RIGHTS = 2_000


class Rights:
    """The rights that the bindings of the target grant, to review until they are denied.

    While the bindings are removed, one right of each binding is reviewed; at the end, all rights.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._granted: dict[tuple[User, Request], None] = {}
        self._samples: list[tuple[User, Request]] = []
        self._pending: list[tuple[User, Request]] = []
        self._rules: dict[str, tuple[PolicyRule, ...]] = {}
        self._unknown = False

    def learn(self, steps: Iterable[Step]) -> None:
        """Add the rights that bindings grant. Raises ServerGoneError."""
        for step in steps:
            granted = [each for each in rights(step, self._rules_of(step)) if each not in self._granted]
            self._granted |= dict.fromkeys(granted)
            self._samples += granted[:1]
            self._pending += granted[:1]

    def _rules_of(self, step: Step) -> tuple[PolicyRule, ...]:
        if step.role is None:
            return ()
        path = role_path(step.role, step.namespace)
        if path not in self._rules:
            try:
                with self._server.asking():
                    self._rules[path] = role_rules(self._server.api, step.role, step.namespace)
            except ApiError:  # the caller cannot read the role, so there is nothing to review
                self._rules[path] = ()
                self._unknown = True
        return self._rules[path]

    @property
    def known(self) -> tuple[Request, ...] | None:
        """The requests that the bindings allow; None without a binding, or with a role that could not be read."""
        return None if self._unknown or not self._rules else tuple(request for _, request in self._granted)

    def is_allowed(self) -> bool:
        """Whether the API server allows one of the samples. Raises ApiError.

        A denied sample is not reviewed again. The last one is reviewed first, because its binding is removed last.
        """
        while self._pending:
            sample = self._pending[-1]
            if ask(self._server.api, *sample).allowed:
                return True
            self._pending.remove(sample)
        return False

    def still_allowed(self) -> list[tuple[User, Request, ReviewStatus]]:
        """Every right that the API server still allows; of very many, one of each binding.

        Raises ApiError, ServerGoneError.
        """
        asked = list(self._granted) if len(self._granted) <= _MOST_RIGHTS else list(self._samples)
        with self._server.asking():
            answers = fan_out(
                lambda one: ask(self._server.api, *one), asked, concurrency=CONCURRENCY, abort=self._server.api.abort
            )
        return [(*one, answer) for one, answer in zip(asked, answers, strict=True) if answer.allowed]


def request_token(server: Server, namespace: str, account: str) -> str:
    """A token of the target, to observe when the API server refuses it. The token is not stored.

    Raises ApiError, ServerGoneError.
    """
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    with server.asking():
        answer = server.api.post(path, {"spec": {"expirationSeconds": _TOKEN_SECONDS}})
    return str(answer["status"]["token"])


def is_authenticated(api: Api, tokens: Iterable[str]) -> bool:
    """Whether the API server accepts one of the tokens. Raises ApiError."""
    return any(_status_of(api, token).get("authenticated") for token in tokens)


def _status_of(api: Api, token: str) -> Mapping[str, Any]:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    status: Mapping[str, Any] = (
        api.post("/apis/authentication.k8s.io/v1/tokenreviews", review, repeatable=True).get("status") or {}
    )
    return status
