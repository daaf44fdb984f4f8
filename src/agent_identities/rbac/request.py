"""The attributes that the API server authorizes: a User and a Request. k8s.io/apiserver authorizer.Attributes."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
"""The verbs of requests for resources (k8s.io/apiserver pkg/endpoints/request/requestinfo.go)."""

SERVICE_ACCOUNTS_GROUP = "system:serviceaccounts"
AUTHENTICATED_GROUP = "system:authenticated"
MASTERS_GROUP = "system:masters"

_SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user: its name and its groups."""

    name: str
    groups: tuple[str, ...] = ()

    @classmethod
    def service_account(cls, namespace: str, name: str) -> Self:
        """The user that a ServiceAccount's token authenticates as (k8s.io/apiserver authentication/serviceaccount)."""
        return cls(
            ServiceAccount(namespace, name).username,
            (SERVICE_ACCOUNTS_GROUP, f"{SERVICE_ACCOUNTS_GROUP}:{namespace}", AUTHENTICATED_GROUP),
        )


class ServiceAccount(NamedTuple):
    """A ServiceAccount by namespace and name. Its string is ``namespace/name``."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def username(self) -> str:
        """The user name of its tokens: ``system:serviceaccount:NAMESPACE:NAME``."""
        return f"{_SERVICE_ACCOUNT_PREFIX}{self.namespace}:{self.name}"

    @classmethod
    def of_user(cls, username: str) -> Self | None:
        """The ServiceAccount with this user name. None for any other user (SplitUsername of k8s.io/apiserver)."""
        if not username.startswith(_SERVICE_ACCOUNT_PREFIX):
            return None
        namespace, _, name = username[len(_SERVICE_ACCOUNT_PREFIX) :].partition(":")
        return cls(namespace, name) if namespace and name and ":" not in name else None


class Request(NamedTuple):
    """An API request, with the fields that RequestInfo reads from the URL (``request_info``).

    `name` is empty for list, watch, create and deletecollection, except for list and watch with
    fieldSelector=metadata.name=... . `namespace` is empty for cluster-scoped resources and for requests across
    namespaces. A request for the Namespace `x` has the namespace `x`. A request with a `path` is for a non-resource
    URL, and its verb is the HTTP method in lower case. The type is a named tuple because a run creates thousands.
    `_replace` returns a changed copy.
    """

    verb: str
    api_group: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = ""
    path: str = ""

    @property
    def target(self) -> str:
        """The resource, group and subresource, or the path: ``deployments.apps/scale``, ``/metrics``."""
        if self.path:
            return self.path
        group = f".{self.api_group}" if self.api_group and self.resource != "*" else ""
        return f"{self.resource}{group}" + (f"/{self.subresource}" if self.subresource else "")

    @property
    def item(self) -> str:
        """The resource as a rule names it: ``deployments/scale``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    @property
    def action(self) -> str:
        """The verb and target, without the name, for ``kubectl auth can-i``: ``patch deployments.apps/scale``."""
        return f"{self.verb} {self.target}"

    def __str__(self) -> str:
        """The action and the name, without the namespace."""
        return f"{self.action} named {self.name}" if self.name else self.action

    def review(self, user: User | None = None) -> dict[str, Any]:
        """The SubjectAccessReview of this request for a user. Without a user, the SelfSubjectAccessReview.

        The API server uses the groups in a SubjectAccessReview and adds no groups (k8s.io/kubernetes
        pkg/registry/authorization/util/helpers.go).
        """
        spec: dict[str, Any] = {} if user is None else {"user": user.name, "groups": list(user.groups)}
        if self.path:
            spec["nonResourceAttributes"] = {"verb": self.verb, "path": self.path}
        else:
            attributes = {
                "verb": self.verb,
                "group": self.api_group,
                "resource": self.resource,
                "subresource": self.subresource,
                "name": self.name,
                "namespace": self.namespace,
            }
            spec["resourceAttributes"] = {key: value for key, value in attributes.items() if value}
        kind = "SelfSubjectAccessReview" if user is None else "SubjectAccessReview"
        return {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
