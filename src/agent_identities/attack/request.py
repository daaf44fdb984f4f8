"""A request of an attack, and the request that uses a given right.

No request changes an object: see `about` in requests.json.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from agent_identities.kube.reviews import SELF_REVIEWS
from agent_identities.rbac import VERBS, PolicyRule, Request
from agent_identities.rbac.match import ALL
from agent_identities.rbac.request_info import request_info

ABSENT = "agent-identities-absent"
"""A name that no object has."""

_ANYTHING = "anything"  # a resource, subresource or verb that only a wildcard matches
_ANY_GROUP = "anything.example"
_METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
_NAMELESS = frozenset({"list", "watch", "create", "deletecollection"})
_NOTHING = "labelSelector=agent-identities%2Fnothing%3Dnothing"
_DRY_RUN = "dryRun=All"
_NO_UID = "00000000-0000-0000-0000-000000000000"  # no object has this UID: nothing is written even without a dry run
_DELETE = json.dumps(
    {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"], "preconditions": {"uid": _NO_UID}}
)
_NEW = {"bindings": json.dumps({"metadata": {"name": ABSENT}, "target": {"kind": "Node", "name": ABSENT}})}


class TokenKind(StrEnum):
    """The token that a request is sent with."""

    OWN = "own"
    OTHER_AUDIENCE = "other-audience"
    DELETED_ACCOUNT = "deleted-account"


@dataclass(frozen=True, slots=True)
class AttackRequest:
    """A request that an attacker with a stolen token would try.

    ``id`` is the name of the request; ``target`` is the sibling or the namespace that is attacked, "" for none.
    ``body`` is a text, "" for no body. ``asks`` is the request in a SelfSubjectAccessReview: no single request uses
    rights such as bind or escalate. ``control``: see requests.json.
    """

    id: str
    method: str
    path: str
    why: str
    headers: Mapping[str, str]
    body: str = ""
    rule: str = ""
    target: str = ""
    control: Literal["", "rules", "identity"] = ""
    token: TokenKind = TokenKind.OWN
    asks: Request | None = None

    @property
    def needs(self) -> Request:
        """The right that the API server authorizes; for a review, the right in the review."""
        return self.asks or request_info(self.method, self.path)

    @property
    def impersonates(self) -> bool:
        """Whether the request has impersonation headers."""
        return any(name.lower().startswith("impersonate-") for name in self.headers)


def request_using(right: Request, *, id: str, why: str, rule: str = "", target: str = "") -> AttackRequest:  # noqa: A002 # it fills AttackRequest.id
    """A harmless request that uses a right; a SelfSubjectAccessReview if no request uses exactly this right."""
    headers: dict[str, str] = {}
    needed = right
    if right.verb in ("get", "update", "patch", "delete", "create") and not right.name and _needs_name(right):
        needed = right._replace(name=ABSENT)
    if not _has_request(needed):
        body = json.dumps(right.review())
        return AttackRequest(id, "POST", SELF_REVIEWS, why, {}, body, rule, target, asks=right)
    query, body = "", ""
    match needed.verb:
        case "list" | "watch":
            asked = ["limit=1"] if needed.verb == "list" else ["watch=1", "timeoutSeconds=1"]
            query = "&".join([*asked, *([f"fieldSelector=metadata.name%3D{needed.name}"] if needed.name else [])])
            needed = needed._replace(name="")
        case "create":
            query, body = _DRY_RUN, _NEW.get(needed.resource, "{}")  # an object without a name is never created
        case "update":
            query, body = _DRY_RUN, json.dumps({"metadata": {"name": needed.name, "uid": _NO_UID}})
        case "patch":
            query, body = _DRY_RUN, json.dumps({"metadata": {"uid": _NO_UID}})
            headers = {"content-type": "application/merge-patch+json"}
        case "delete":
            query, body = _DRY_RUN, _DELETE
        case "deletecollection":
            query = f"{_DRY_RUN}&{_NOTHING}"
    path = f"{_path(needed)}?{query}" if query else _path(needed)
    return AttackRequest(id, _METHODS[needed.verb], path, why, headers, body, rule, target)


def _needs_name(right: Request) -> bool:
    return right.verb != "create" or bool(right.subresource)


def _has_request(needed: Request) -> bool:
    """Whether a method and a path exist that need exactly this right."""
    if needed.verb not in _METHODS:
        return False
    if needed.verb in _NAMELESS and needed.subresource and needed.verb != "create":
        return False  # no request lists a subresource without the name of its object
    return not (needed.name and not needed.subresource and needed.verb in ("create", "deletecollection"))


def _path(needed: Request) -> str:
    if needed.path:
        return needed.path
    start = f"/apis/{needed.api_group}/v1" if needed.api_group else "/api/v1"
    # The path of a Namespace already contains the namespace.
    within = [] if needed.resource == "namespaces" or not needed.namespace else ["namespaces", needed.namespace]
    return "/".join([start, *within, *filter(None, (needed.resource, needed.name, needed.subresource))])


def single_rights(rule: PolicyRule, namespace: str) -> Iterator[Request]:
    """The single rights of a rule in a namespace; for a wildcard, a right that only the wildcard grants."""
    verbs = [each for verb in rule.verbs for each in ((*VERBS, _ANYTHING) if verb == ALL else (verb,))]
    for verb in dict.fromkeys(verbs):
        for url in rule.non_resource_urls:
            yield Request(verb, path=f"/{_ANYTHING}" if url == ALL else url.replace(ALL, _ANYTHING))
        for group in rule.api_groups:
            for item in rule.resources:
                resource, _, subresource = item.partition("/")
                resource = resource.replace(ALL, _ANYTHING)
                subresource = subresource.replace(ALL, _ANYTHING)
                for name in rule.resource_names or ("",):
                    if resource == "namespaces" and (subresource or verb not in _NAMELESS):
                        name = namespace  # the namespace of a request for a Namespace is the Namespace itself
                    yield Request(verb, _ANY_GROUP if group == ALL else group, resource, subresource, name, namespace)
