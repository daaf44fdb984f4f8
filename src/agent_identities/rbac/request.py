"""What the API server authorizes: who asks (User), and for what (Request). k8s.io/apiserver authorizer.Attributes."""

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
    """An authenticated user: its name and every group it is in."""

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
    """A ServiceAccount by namespace and name; as text ``namespace/name``."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def username(self) -> str:
        """The name of the user that its tokens authenticate as: ``system:serviceaccount:NAMESPACE:NAME``."""
        return f"{_SERVICE_ACCOUNT_PREFIX}{self.namespace}:{self.name}"

    @classmethod
    def of_user(cls, username: str) -> Self | None:
        """The ServiceAccount with this user name; None for any other user (SplitUsername of k8s.io/apiserver)."""
        if not username.startswith(_SERVICE_ACCOUNT_PREFIX):
            return None
        namespace, _, name = username[len(_SERVICE_ACCOUNT_PREFIX) :].partition(":")
        return cls(namespace, name) if namespace and name and ":" not in name else None


class Request(NamedTuple):
    """One API request, as RequestInfo reads it from the URL (``request_info``).

    `name` is empty for list, watch, create and deletecollection (list and watch carry one only with
    fieldSelector=metadata.name=...); `namespace` is empty for cluster-scoped resources and for requests across
    namespaces, but a request for the Namespace `x` itself carries namespace `x`. A request with a `path` is for a
    non-resource URL; its verb is the HTTP method in lower case. A named tuple, because thousands are made in each run;
    `_replace` makes a changed copy.
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
        """Resource, group and subresource, or the path: ``deployments.apps/scale``, ``/metrics``."""
        if self.path:
            return self.path
        group = f".{self.api_group}" if self.api_group and self.resource != "*" else ""
        return f"{self.resource}{group}" + (f"/{self.subresource}" if self.subresource else "")

    @property
    def action(self) -> str:
        """Verb and target as ``kubectl auth can-i`` takes them, for any name: ``patch deployments.apps/scale``."""
        return f"{self.verb} {self.target}"

    def __str__(self) -> str:
        """The action and the name; without the namespace."""
        return f"{self.action} named {self.name}" if self.name else self.action

    def review(self, user: User | None = None) -> dict[str, Any]:
        """The SubjectAccessReview that asks whether a user may do it; without one, the SelfSubjectAccessReview.

        A SubjectAccessReview takes the groups as they are given and adds none (k8s.io/kubernetes
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
