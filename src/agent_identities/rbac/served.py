"""The resources that an API server serves, and the request that really uses a permission.

RBAC accepts any text as a group, resource or verb. A permission is usable only if a request has the same group,
resource, scope and verb (k8s.io/apiserver pkg/endpoints/request/requestinfo.go), or if a component of Kubernetes asks
the authorizer for it, as for the verbs `bind` and `impersonate`.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from agent_identities.rbac.match import ALL
from agent_identities.rbac.model import API_GROUP
from agent_identities.rbac.request import VERBS, Request

_AUTHENTICATION = "authentication.k8s.io"
_CERTIFICATES = "certificates.k8s.io"

_CHECKED_VERBS = {
    "approve": ("signers",),
    "attest": ("signers",),
    "bind": ("clusterroles", "roles"),
    "escalate": ("clusterroles", "roles"),
    "impersonate": ("groups", "serviceaccounts", "uids", "userextras", "users"),
    "sign": ("signers",),
    "use": (),
}
"""Verbs that components ask the authorizer for, in addition to the verb of a request, and for which resources."""

_ACTING = ("impersonate-on:serviceaccount:", "impersonate-on:user-info:")
"""Prefixes of the verbs of KEP-5284 for the requests of an impersonating user."""

_KUBELET = frozenset({"checkpoint", "configz", "healthz", "log", "metrics", "pods", "runningpods", "spec", "stats"})
"""Subresources of nodes that only the kubelet asks the authorizer for (pkg/kubelet/server/auth.go)."""

_CLOSE_VERB = 0.75
"""The least similarity of a misspelling: `select` is not a misspelling of `delete`."""

_WORDS = {
    "read": "get, list, watch",
    "view": "get, list, watch",
    "write": "create, update, patch, delete",
    "edit": "update, patch",
    "modify": "update, patch",
    "put": "update",
    "post": "create",
    "add": "create",
    "remove": "delete",
    "all": ALL,
}
"""Words that are written for the verbs of Kubernetes."""


@dataclass(frozen=True, slots=True)
class ServedResource:
    """A resource or subresource (``pods/log``), with its verbs. ``spellings``: its singular, kind and short names."""

    api_group: str
    item: str
    namespaced: bool
    verbs: frozenset[str] = frozenset()
    spellings: frozenset[str] = frozenset()


class Served:
    """The resources of an API server.

    ``unread`` are the groups whose resources could not be read. If ``known`` is false, nothing could be read, and every
    permission counts as usable.
    """

    def __init__(
        self, resources: Iterable[ServedResource] = (), *, unread: Iterable[str] = (), known: bool = True
    ) -> None:
        self.known = known
        self.unread = frozenset(unread)
        self._resources: dict[tuple[str, str], ServedResource] = {}
        self._groups_of: dict[str, list[str]] = {}
        for each in resources:
            key = each.api_group, each.item
            if (same := self._resources.get(key)) is not None:  # another version of the group
                each = ServedResource(*key, same.namespaced, same.verbs | each.verbs, same.spellings | each.spellings)
            else:
                self._groups_of.setdefault(each.item, []).append(each.api_group)
            self._resources[key] = each
        self.groups = frozenset(group for group, _ in self._resources) | self.unread

    def find(self, group: str, item: str) -> ServedResource | None:
        """The resource of a rule, also one that is never served, but that the authorizer is asked for."""
        return self._resources.get((group, item)) or _checked(group, item) or self._finalizers(group, item)

    def _finalizers(self, group: str, item: str) -> ServedResource | None:
        # Admission asks for it when an ownerReference blocks the deletion of its owner
        # (plugin/pkg/admission/gc/gc_admission.go).
        resource, _, sub = item.partition("/")
        owner = self._resources.get((group, resource)) if sub == "finalizers" else None
        return ServedResource(group, item, owner.namespaced, frozenset({"update"})) if owner else None

    def groups_of(self, item: str) -> tuple[str, ...]:
        """The groups that serve a resource of this name."""
        return tuple(self._groups_of.get(item, ()))

    def items_of(self, group: str) -> tuple[str, ...]:
        """The resources and subresources of a group."""
        return tuple(item for each, item in self._resources if each == group)

    def sent(self, request: Request) -> Request | None:
        """The request that uses a permission, as the API server authorizes it. None if no request uses it.

        A request for a cluster-scoped resource has no namespace. Only a request for a Namespace by name is within that
        namespace. Wildcards are unchanged.
        """
        if not self.known or request.path or request.api_group in self.unread:
            return request
        for prefix in _ACTING:
            if request.verb.startswith(prefix):
                sent = self.sent(request._replace(verb=request.verb.removeprefix(prefix)))
                return sent and sent._replace(verb=request.verb)
        item = request.item
        if ALL in (request.resource, request.subresource):
            return request
        if request.api_group == ALL:
            groups = (*self.groups_of(item), *(group for group in ("", _AUTHENTICATION) if _checked(group, item)))
            possible = (self.sent(request._replace(api_group=group)) for group in groups)
            sent = next((each for each in possible if each is not None), None)
            return request if self.unread and sent is None else sent and sent._replace(api_group=ALL)
        found = self.find(request.api_group, item)
        if found is None or not has_verb(found, request.verb):
            return None
        if request.verb == "deletecollection" and request.name:  # such a request never has a name
            return None
        if found.namespaced or not request.namespace or not _at_cluster_scope(request):
            return request
        if item.split("/")[0] != "namespaces" or request.verb in ("list", "watch", "create", "deletecollection"):
            return request._replace(namespace="")
        inside = request.name in ("", request.namespace)
        return request._replace(name=request.namespace) if inside else request._replace(namespace=request.name)


def has_verb(found: ServedResource, verb: str) -> bool:
    """Whether a request for a resource can have a verb, or a component asks the authorizer for the verb."""
    if verb in VERBS:
        return verb in found.verbs
    resources = _CHECKED_VERBS.get(verb, ())
    return is_known_verb(verb) and (not resources or found.item.partition("/")[0] in resources)


def is_known_verb(verb: str) -> bool:
    """Whether a verb is one of requests, one that Kubernetes checks, or one of an own form, as in ``team:review``.

    Other authorizers can define verbs. A verb of letters only that Kubernetes does not know is probably a mistake.
    """
    return verb in (ALL, *VERBS) or verb in _CHECKED_VERBS or ":" in verb or ("-" in verb and verb.islower())


def nearest_verb(verb: str) -> str:
    """The verbs that were probably meant, or ""."""
    lower = verb.lower()
    if lower in (*VERBS, *_CHECKED_VERBS):
        return lower
    if lower in _WORDS:
        return _WORDS[lower]
    return next(iter(difflib.get_close_matches(lower, (*VERBS, *_CHECKED_VERBS), 1, _CLOSE_VERB)), "")


def _checked(group: str, item: str) -> ServedResource | None:
    """A resource that no API server serves, but that components ask the authorizer for."""
    resource, _, sub = item.partition("/")
    if group == "" and (item in ("users", "groups") or (resource == "nodes" and sub in _KUBELET)):
        return ServedResource(group, item, namespaced=False, verbs=frozenset({"get", "create"} if sub else ()))
    if group == _AUTHENTICATION and (item in ("uids", "users", "groups", "nodes") or resource == "userextras"):
        return ServedResource(group, item, namespaced=False)
    if group == _AUTHENTICATION and item == "serviceaccounts":
        return ServedResource(group, item, namespaced=True)
    if group == _CERTIFICATES and item == "signers":
        return ServedResource(group, item, namespaced=False)
    if group == "policy" and item == "podsecuritypolicies":
        return ServedResource(group, item, namespaced=False)
    return None


def _at_cluster_scope(request: Request) -> bool:
    """Whether the authorizer is asked without a namespace about a cluster-scoped resource.

    The verb `bind` is asked for in the namespace of the RoleBinding (pkg/registry/rbac/escalation_check.go), and `use`
    in the namespace of the pod.
    """
    return not (request.verb == "use" or (request.verb == "bind" and request.api_group == API_GROUP))


UNKNOWN = Served(known=False)
"""Nothing is known: every permission counts as usable."""
