"""The offline evaluator compared with a real API server: every decision, and the binding that the reason names.

The comparison is total: it takes every role and binding that the server has, so that whatever allows is one of ours to
name. It holds for servers whose only authorizers are Node and RBAC.
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
"""Who asks, and for what."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A request that the evaluator and the API server decide differently, or for another reason."""

    user: User
    request: Request
    expected: Decision
    answer: ReviewStatus

    @property
    def kind(self) -> tuple[bool, bool]:
        """What the evaluator and the API server decide; alike where only the reasons differ."""
        return self.expected.allowed, self.answer.allowed

    def __str__(self) -> str:
        ours = " or ".join(sorted(reasons(self.expected))) or "no reason"
        return (
            f"{self.user}, {self.request!r}: the evaluator says {_word(self.expected.allowed)} ({ours}), "
            f"the API server {_word(self.answer.allowed)} ({self.answer.reason or 'no reason'})"
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many decisions were compared, how many of them allow, and where the two differ."""

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
    """Decide each request here and there. ``policy`` is all that the server has: see `server_policy`.

    Raises ApiError when a request gets no answer.
    """
    authorizer = Authorizer(policy)
    each = list(asked)
    answers = fan_out(lambda one: ask(api, *one), each, concurrency=concurrency, abort=api.abort)
    decided = [(*one, authorizer.decide(*one), answer) for one, answer in zip(each, answers, strict=True)]
    return Comparison(
        len(each),
        sum(answer.allowed for answer in answers),
        tuple(Difference(*one) for one in decided if not agree(one[2], one[3])),
    )


def agree(decision: Decision, answer: ReviewStatus) -> bool:
    """Whether both decide alike, and for a reason that both know.

    The server names the first binding that allows, in random order: it must be one of ours. Where it denies, it names
    every role that bindings of the user refer to in vain.
    """
    if decision.allowed != answer.allowed:
        return False
    if decision.allowed:
        return answer.reason in (reasons(decision) or {""})
    missing = reasons(decision)
    shown = answer.reason.removeprefix("rbac: ").removeprefix("RBAC: ")  # the former since Kubernetes 1.37
    if len(missing) > 1:
        shown = shown.removeprefix("[").removesuffix("]")
    # Names may hold anything: look for each, and let nothing be left over but what stands between them.
    return all(each in shown for each in missing) and len(shown) == len(", ".join(missing))


def reasons(decision: Decision) -> frozenset[str]:
    """The reasons that the API server may give for this decision; none, where it gives none."""
    if decision.allowed:
        return frozenset(grant.reason for grant in decision.by)
    return frozenset(role_not_found(binding.role_ref) for binding in decision.dangling)


def _word(allowed: bool) -> str:  # noqa: FBT001 # it is the only thing this is about
    return "allow" if allowed else "deny"


def server_policy(api: Api) -> Policy:
    """Every role and binding that the API server has. Raises ApiError."""
    return Policy.from_manifests(
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, **item}
        for kind in KINDS
        for item in api.list_all(f"{RBAC}/{kind.lower()}s")
    )
