"""Compares the offline evaluator with a real API server: every decision, and the binding in its reason.

The evaluator reads every role and binding of the server, so that it can find every binding that allows a request. The
comparison requires a server whose only authorizers are Node and RBAC.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from agent_identities.kube.client import DEFAULT_CONCURRENCY, Api
from agent_identities.kube.fanout import fan_out
from agent_identities.kube.reviews import ReviewStatus, ask
from agent_identities.kube.roles import RBAC
from agent_identities.rbac import Authorizer, Decision, Policy, Request, User
from agent_identities.rbac.reason import role_not_found

KINDS = ("ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding")

Asked = tuple[User, Request]
"""A user and its request."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A request for which the evaluator and the API server have different decisions or different reasons."""

    user: User
    request: Request
    expected: Decision
    answer: ReviewStatus

    @property
    def kind(self) -> tuple[bool, bool]:
        """The decisions of the evaluator and the API server. They are equal if only the reasons differ."""
        return self.expected.allowed, self.answer.allowed

    def __str__(self) -> str:
        expected = " or ".join(sorted(reasons(self.expected))) or "no reason"
        return (
            f"{self.user}, {self.request!r}: the evaluator decides {_word(self.expected.allowed)} ({expected}), "
            f"the API server {_word(self.answer.allowed)} ({self.answer.reason or 'no reason'})"
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """The number of compared decisions, the number that allow the request, and the differences."""

    decisions: int = 0
    allowed: int = 0
    differences: tuple[Difference, ...] = ()

    def __add__(self, other: "Comparison") -> "Comparison":
        return Comparison(
            self.decisions + other.decisions, self.allowed + other.allowed, self.differences + other.differences
        )

    def __str__(self) -> str:
        return f"decisions compared: {self.decisions:,} ({self.allowed:,} allow), differences: {len(self.differences)}"


def compare(api: Api, policy: Policy, asked: Iterable[Asked], *, concurrency: int = DEFAULT_CONCURRENCY) -> Comparison:
    """Decide each request with the evaluator and the API server. ``policy`` is the policy of the server.

    See `server_policy`. Raises ApiError if the API server does not answer a request.
    """
    authorizer = Authorizer(policy)
    questions = list(asked)
    answers = fan_out(lambda question: ask(api, *question), questions, concurrency=concurrency, abort=api.abort)
    results = [
        (*question, authorizer.decide(*question), answer) for question, answer in zip(questions, answers, strict=True)
    ]
    return Comparison(
        len(questions),
        sum(answer.allowed for answer in answers),
        tuple(Difference(*result) for result in results if not agree(result[2], result[3])),
    )


def agree(decision: Decision, answer: ReviewStatus) -> bool:
    """Whether the decisions and the reasons of both agree.

    If the API server allows a request, its reason has one of the bindings that allow it, in random order. The evaluator
    must have found this binding. If the API server denies, its reason has every missing role of the user's bindings.
    """
    if decision.allowed != answer.allowed:
        return False
    if decision.allowed:
        return answer.reason in (reasons(decision) or {""})
    missing = reasons(decision)
    shown = answer.reason.removeprefix("rbac: ").removeprefix("RBAC: ")  # lower case since Kubernetes 1.37
    if len(missing) > 1:
        shown = shown.removeprefix("[").removesuffix("]")
    # Names can contain any character: find each reason, and compare the length with that of all reasons.
    return all(each in shown for each in missing) and len(shown) == len(", ".join(missing))


def reasons(decision: Decision) -> frozenset[str]:
    """The reasons that the API server can give for this decision. Empty if it gives no reason."""
    if decision.allowed:
        return frozenset(grant.reason for grant in decision.by)
    return frozenset(role_not_found(binding.role_ref) for binding in decision.dangling)


def _word(allowed: bool) -> str:  # noqa: FBT001 # the only parameter
    return "allow" if allowed else "deny"


def server_policy(api: Api) -> Policy:
    """Every role and binding of the API server. Raises ApiError."""
    return Policy.from_manifests(
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, **item}
        for kind in KINDS
        for item in api.list_all(f"{RBAC}/{kind.lower()}s")
    )
