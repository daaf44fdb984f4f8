"""SubjectAccessReviews: what an API server would authorize, in its own words.

A SubjectAccessReview is decided by the very authorizer that decides requests, and carries its reason.
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
    """The status of a SubjectAccessReview; texts are "" where the API server gives none.

    ``evaluation_error``: an authorizer could not decide, so that a denial is not to be relied on.
    """

    allowed: bool
    reason: str = ""
    evaluation_error: str = ""

    @classmethod
    def of(cls, review: Mapping[str, Any]) -> "ReviewStatus":
        """The status of a review as the API server returns it; denied where it has none."""
        status = review.get("status") or {}
        return cls(
            bool(status.get("allowed")), str(status.get("reason") or ""), str(status.get("evaluationError") or "")
        )


def ask(api: Api, user: User, request: Request) -> ReviewStatus:
    """Whether the API server would allow a request of a user. Raises ApiError."""
    return ReviewStatus.of(api.post(REVIEWS, request.review(user), repeatable=True))


def ask_self(api: Api, request: Request) -> ReviewStatus:
    """Whether the API server would allow a request of whoever ``api`` authenticates as. Raises ApiError."""
    return ReviewStatus.of(api.post(SELF_REVIEWS, request.review(), repeatable=True))
