"""What the API server authorizes: who asks, and for what (k8s.io/apiserver authorizer.Attributes)."""

from dataclasses import dataclass
from typing import Self

SERVICE_ACCOUNT_USER = "system:serviceaccount"
SERVICE_ACCOUNTS_GROUP = "system:serviceaccounts"
AUTHENTICATED_GROUP = "system:authenticated"
MASTERS_GROUP = "system:masters"


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user: its name and every group it is in."""

    name: str
    groups: tuple[str, ...] = ()

    @classmethod
    def service_account(cls, namespace: str, name: str) -> Self:
        """The user that a ServiceAccount's token authenticates as (k8s.io/apiserver authentication/serviceaccount)."""
        return cls(
            f"{SERVICE_ACCOUNT_USER}:{namespace}:{name}",
            (SERVICE_ACCOUNTS_GROUP, f"{SERVICE_ACCOUNTS_GROUP}:{namespace}", AUTHENTICATED_GROUP),
        )


@dataclass(frozen=True, slots=True)
class Request:
    """One API request, as RequestInfo reads it from the URL.

    `name` is empty for list, watch, create and deletecollection (list and watch carry one only with
    fieldSelector=metadata.name=...); `namespace` is empty for cluster-scoped resources and for requests across
    namespaces, but a request for the Namespace `x` itself carries namespace `x`. A request with a `path` is for a
    non-resource URL; its verb is the HTTP method in lower case.
    """

    user: User
    verb: str
    api_group: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = ""
    path: str = ""

    @property
    def is_resource_request(self) -> bool:
        """Whether it is for a resource, not for a URL."""
        return self.path == ""
