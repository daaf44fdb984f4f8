"""SubjectAccessReviews: the decisions of an API server about requests, with its reasons.

The authorizer that decides requests also decides SubjectAccessReviews, and returns its reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_identities.kube.client import Api
from agent_identities.rbac import Request, User

_AUTHORIZATION = "/apis/authorization.k8s.io/v1"
REVIEWS = f"{_AUTHORIZATION}/subjectaccessreviews"
SELF_REVIEWS = f"{_AUTHORIZATION}/selfsubjectaccessreviews"


@dataclass(frozen=True, slots=True)
class ReviewStatus:
    """The status of a SubjectAccessReview. Texts are "" if the API server does not set them.

    ``evaluation_error``: an authorizer could not decide, so a denial is not reliable.
    """

    allowed: bool
    reason: str = ""
    evaluation_error: str = ""

    @classmethod
    def of(cls, review: Mapping[str, Any]) -> "ReviewStatus":
        """The status of a review from the API server; denied if the review has no status."""
        status = review.get("status") or {}
        return cls(
            bool(status.get("allowed")), str(status.get("reason") or ""), str(status.get("evaluationError") or "")
        )


def ask(api: Api, user: User, request: Request) -> ReviewStatus:
    """Whether the API server would allow a request of a user. Raises ApiError."""
    return ReviewStatus.of(api.post(REVIEWS, request.review(user), repeatable=True))


def ask_self(api: Api, request: Request) -> ReviewStatus:
    """Whether the API server would allow a request of the user of ``api``. Raises ApiError."""
    return ReviewStatus.of(api.post(SELF_REVIEWS, request.review(), repeatable=True))
