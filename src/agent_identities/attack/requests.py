"""What a stolen token is tried with: the moves of requests.json, and those that follow from values and catalogue.

Nothing is changed by any of them: see `about` in requests.json, whose rules the generated ones keep, too.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.resources import files
from typing import Any, Literal

from agent_identities.chart.names import binding_name
from agent_identities.declaration import EVERYWHERE, Declaration, Identity
from agent_identities.kube.reviews import SELF_REVIEWS
from agent_identities.rbac import VERBS, Catalogue, PolicyRule, Request
from agent_identities.rbac.match import ALL
from agent_identities.rbac.request_info import request_info

ABSENT = "agent-identities-absent"
"""The name that no object has."""

_ANYTHING = "anything"  # a resource, subresource or verb that only a wildcard reaches
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
_MERGE = "application/merge-patch+json"
_NOTHING = "labelSelector=agent-identities%2Fnothing%3Dnothing"
_DRY_RUN = "dryRun=All"
_NO_UID = "00000000-0000-0000-0000-000000000000"  # no object has it: even without a dry run nothing would be written
_DELETE = json.dumps(
    {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"], "preconditions": {"uid": _NO_UID}}
)
_NEW = {"bindings": json.dumps({"metadata": {"name": ABSENT}, "target": {"kind": "Node", "name": ABSENT}})}


class Token(StrEnum):
    """The token that a move is sent with."""

    OWN = "own"
    OTHER_AUDIENCE = "other-audience"
    DELETED_ACCOUNT = "deleted-account"


@dataclass(frozen=True, slots=True)
class Move:
    """One request.

    ``id`` tells what is tried, ``target`` against whom where there are several; ``body`` is the text that is sent, ""
    for none. ``asks`` is what a question to the API server asks about: some rights, like bind or escalate, are used by
    no request of their own. ``control``: see requests.json.
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
    token: Token = Token.OWN
    asks: Request | None = None

    @property
    def info(self) -> Request:
        """What the API server authorizes; for a question what it is about."""
        return self.asks or request_info(self.method, self.path)


@dataclass(frozen=True, slots=True)
class Place:
    """Whose moves: ``elsewhere`` is a namespace in which nobody holds anything."""

    declaration: Declaration
    identity: Identity
    elsewhere: str

    @property
    def names(self) -> dict[str, str]:
        """What the placeholders of requests.json stand for; {sibling} is the proxy unless it is the attacker."""
        siblings = [one for one in self.declaration.identities if one != self.identity]
        return {
            "namespace": self.identity.namespace,
            "account": self.identity.name,
            "binding": likely_binding(self.declaration, self.identity),
            "sibling": siblings[0].name if siblings else ABSENT,
            "elsewhere": self.elsewhere,
            "absent": ABSENT,
        }


def likely_binding(declaration: Declaration, identity: Identity) -> str:
    """A RoleBinding that the chart makes for it; a likely name where it makes none."""
    return binding_name(identity.name, declaration.role_name(identity), proxy=declaration.proxy.name)


# ---- the moves of the file


def entries() -> list[dict[str, Any]]:
    """The moves of requests.json as they stand there."""
    text = files("agent_identities.attack").joinpath("requests.json").read_text(encoding="utf-8")
    moves: list[dict[str, Any]] = json.loads(text)["moves"]
    return moves


def listed_moves(place: Place) -> Iterator[Move]:
    """The moves of the file, for one identity."""
    names = place.names
    for entry in entries():
        body = entry.get("body")
        headers = {key: _fill(value, names) for key, value in entry.get("headers", {}).items()}
        if "contentType" in entry:
            headers["content-type"] = entry["contentType"]
        yield Move(
            id=entry["id"],
            method=entry["method"],
            path=_fill(entry["path"], names),
            why=entry["why"],
            headers=headers,
            body="" if body is None else _fill(json.dumps(body), names),
            rule=entry.get("rule", ""),
            control=entry.get("control", ""),
            token=Token(entry.get("token", Token.OWN)),
        )


def _fill(text: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


# ---- from one right to the request that uses it


def try_right(right: Request, *, id: str, why: str, rule: str = "", target: str = "") -> Move:  # noqa: A002 # it fills Move.id
    """The request that a right would be used for, harmless; a question where no request uses just this right."""
    headers: dict[str, str] = {}
    info = right
    if right.verb in ("get", "update", "patch", "delete", "create") and not right.name and _needs_name(right):
        info = right._replace(name=ABSENT)
    if not _has_request(info):
        return _question(right, id=id, why=why, rule=rule, target=target)
    query, body = "", ""
    match info.verb:
        case "list" | "watch":
            asked = ["limit=1"] if info.verb == "list" else ["watch=1", "timeoutSeconds=1"]
            query = "&".join([*asked, *([f"fieldSelector=metadata.name%3D{info.name}"] if info.name else [])])
            info = info._replace(name="")
        case "create":
            query, body = _DRY_RUN, _NEW.get(info.resource, "{}")  # an object without a name is never made
        case "update":
            query, body = _DRY_RUN, json.dumps({"metadata": {"name": info.name, "uid": _NO_UID}})
        case "patch":
            query, body, headers = _DRY_RUN, json.dumps({"metadata": {"uid": _NO_UID}}), {"content-type": _MERGE}
        case "delete":
            query, body = _DRY_RUN, _DELETE
        case "deletecollection":
            query = f"{_DRY_RUN}&{_NOTHING}"
    path = f"{_path(info)}?{query}" if query else _path(info)
    return Move(id, _METHODS[info.verb], path, why, headers, body, rule, target)


def _needs_name(right: Request) -> bool:
    return right.verb != "create" or bool(right.subresource)


def _has_request(info: Request) -> bool:
    """Whether some method and path mean just this."""
    if info.verb not in _METHODS:
        return False
    if info.verb in _NAMELESS and info.subresource and info.verb != "create":
        return False  # nobody lists the subresource of an object without a name
    return not (info.name and not info.subresource and info.verb in ("create", "deletecollection"))


def _path(info: Request) -> str:
    if info.path:
        return info.path
    start = f"/apis/{info.api_group}/v1" if info.api_group else "/api/v1"
    # A Namespace's own path already says which namespace it is in.
    within = [] if info.resource == "namespaces" or not info.namespace else ["namespaces", info.namespace]
    return "/".join([start, *within, *filter(None, (info.resource, info.name, info.subresource))])


def _question(right: Request, *, id: str, why: str, rule: str, target: str) -> Move:  # noqa: A002 # it fills Move.id
    return Move(id, "POST", SELF_REVIEWS, why, {}, json.dumps(right.review()), rule, target, asks=right)


# ---- the catalogue: what every risk is about


def catalogue_moves(catalogue: Catalogue, namespace: str) -> Iterator[Move]:
    """Every right that a pattern or an example of the catalogue names, tried in this namespace or cluster-wide."""
    for risk in catalogue.risks:
        patterns = [
            (
                PolicyRule(
                    pattern.verbs,
                    pattern.api_groups or ("",),
                    pattern.resources or (ALL,),
                ),
                pattern.namespaces,
            )
            for part in risk.parts
            for pattern in part
            if pattern.verbs and (pattern.resources or pattern.api_groups)
        ]
        for rule, namespaces in (*((rule, ()) for rule in risk.bad), *patterns):
            for place in ("",) if risk.scope == "cluster" else (namespaces or (namespace,)):
                for right in _rights(rule, place):
                    at_home = right._replace(namespace=namespace) if _about_namespaces(right) else right
                    yield try_right(at_home, id=f"risk-{risk.id}", why=risk.why, rule=risk.id)


def _about_namespaces(right: Request) -> bool:
    return right.resource == "namespaces" and bool(right.name)


def _rights(rule: PolicyRule, namespace: str) -> Iterator[Request]:
    """Single rights of a rule; for a wildcard, something that only it reaches."""
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
                        name = namespace  # a Namespace is in itself
                    yield Request(verb, _ANY_GROUP if group == ALL else group, resource, subresource, name, namespace)


# ---- sideways: into other namespaces, and against the other agents


def outward_moves(place: Place) -> Iterator[Move]:
    """Everything that it holds, tried where it holds nothing."""
    for grant in place.identity.grants:
        if grant.namespace == EVERYWHERE:
            continue
        for rule in grant.rules:
            for right in _rights(rule, place.elsewhere):
                yield try_right(
                    right, id="other-namespace", why="uses its rights where they were not given", target=place.elsewhere
                )


def lateral_moves(place: Place, sibling: Identity, pod: str) -> Iterator[Move]:
    """Against one sibling: its token, identity, pods, objects, and rights. ``pod`` is one of its pods, "" for none."""
    namespace, name = sibling.namespace, sibling.name
    core, own = f"/api/v1/namespaces/{namespace}", place.identity.name
    account = f"{core}/serviceaccounts/{name}"
    in_pod = f"{core}/pods/{pod or name}"
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    subject = {"kind": "ServiceAccount", "name": own, "namespace": place.identity.namespace}
    role = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": place.declaration.role_name(sibling),
    }

    def move(
        kind: str, method: str, path: str, why: str, body: object = None, **headers: str
    ) -> Move:  # a header's "_" stands for "-"
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        text = "" if body is None else json.dumps(body)
        return Move(f"sibling-{kind}", method, path, why, sent, text, target=name)

    def write(kind: str, method: str, path: str, why: str, body: object = None, **headers: str) -> Move:
        return move(kind, method, f"{path}?{_DRY_RUN}", why, body, **headers)

    become = "becomes its sibling"
    yield write("token", "POST", f"{account}/token", become, {"spec": {"expirationSeconds": 600}})
    as_sibling = {"Impersonate_User": f"system:serviceaccount:{namespace}:{name}"}
    yield move("impersonate", "GET", f"{core}/pods?limit=1", become, **as_sibling)
    yield write("pod-as", "POST", f"{core}/pods", become, _pod_as(name))
    minted = {
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": ABSENT, "annotations": {"kubernetes.io/service-account.name": name}},
    }
    yield write("secret-mint", "POST", f"{core}/secrets", become, minted)
    yield move("account-read", "GET", account, "learns its cloud role")
    unmet = {"metadata": {"uid": _NO_UID}}
    yield write("account-write", "PATCH", account, "changes its cloud role", unmet, content_type=_MERGE)
    yield write("account-delete", "DELETE", account, "puts it out of action", json.loads(_DELETE))
    yield move("state-read", "GET", f"{core}/configmaps/{name}-state", "reads its state")
    yield write(
        "state-write",
        "PATCH",
        f"{core}/configmaps/{name}-state",
        "poisons its state",
        {"data": {}},
        content_type=_MERGE,
    )
    yield move("secret-read", "GET", f"{core}/secrets/{name}-state", "reads its credentials")
    yield move("pod-log", "GET", f"{in_pod}/log?tailLines=1", "reads its conversation")
    yield write("pod-patch", "PATCH", in_pod, "changes its pod", unmet, content_type=_MERGE)
    yield write("pod-delete", "DELETE", in_pod, "ends its pod", json.loads(_DELETE))
    yield write(
        "pod-debug",
        "PATCH",
        f"{in_pod}/ephemeralcontainers",
        "joins its pod, token and all",
        {"spec": {"ephemeralContainers": [{"name": "d", "image": "registry.example/taken-over"}]}},
        content_type="application/strategic-merge-patch+json",
    )
    yield move("pod-exec", "POST", f"{core}/pods/{ABSENT}/exec?command=id&stdout=true", "a shell in its pod")
    binding = {"metadata": {"name": ABSENT}, "roleRef": role, "subjects": [subject]}
    yield write("role-bind", "POST", f"{rbac}/rolebindings", "takes its rights", binding)
    joined = [{"op": "add", "path": "/subjects/-", "value": subject}]
    path = f"{rbac}/rolebindings/{likely_binding(place.declaration, sibling)}"
    yield write("binding-join", "PATCH", path, "takes its rights", joined, content_type="application/json-patch+json")
    yield from _own_objects(sibling)


def proxy_moves(place: Place, sibling: Identity) -> Iterator[Move]:
    """What the proxy tries as an agent that it acts for: the listed moves, and that one's rights where it has none."""
    sent_as = {"Impersonate-User": f"system:serviceaccount:{sibling.namespace}:{sibling.name}"}
    theirs = replace(place, identity=sibling)
    for move in (*listed_moves(theirs), *outward_moves(theirs)):
        if not move.control and not move.asks and move.token is Token.OWN and not _acts(move):
            headers = {**move.headers, **sent_as}
            yield replace(move, id=f"through-proxy-{move.id}", headers=headers, target=sibling.name)


def _own_objects(sibling: Identity) -> Iterator[Move]:
    """What the sibling may do to objects that are known by name."""
    for grant in sibling.grants:
        for rule in grant.rules:
            if rule.resource_names and not any(verb.startswith("impersonate") for verb in rule.verbs):
                for right in _rights(rule, grant.namespace):
                    why = "does to its sibling's objects what only that one may"
                    yield try_right(right, id="sibling-object", why=why, target=sibling.name)


def _pod_as(account: str) -> dict[str, Any]:
    container = {"name": "c", "image": "registry.k8s.io/pause:3.10.1"}
    return {"metadata": {"name": ABSENT}, "spec": {"serviceAccountName": account, "containers": [container]}}


# ---- all of them

ALL_PAIRS_UP_TO = 30
"""Up to so many identities each attacks each of the others."""

SIBLINGS = 5
"""Beyond, each attacks so many of its neighbours in the list, and all are attacked by as many."""


def siblings_of(identity: Identity, everyone: Sequence[Identity]) -> tuple[Identity, ...]:
    """Whom it attacks."""
    at = everyone.index(identity)
    following = (*everyone[at + 1 :], *everyone[:at])
    return following if len(everyone) <= ALL_PAIRS_UP_TO else following[:SIBLINGS]


def moves_of(place: Place, catalogue: Catalogue, pods: Mapping[str, str]) -> tuple[Move, ...]:
    """All moves of one identity, each once. ``pods`` are those of the siblings, by ServiceAccount."""
    siblings = siblings_of(place.identity, place.declaration.identities)
    proxied = [one for one in siblings if one.access == "proxied" and place.identity == place.declaration.proxy]
    moves = [
        *listed_moves(place),
        *outward_moves(place),
        *(move for sibling in siblings for move in lateral_moves(place, sibling, pods.get(sibling.name, ""))),
        *(move for sibling in proxied for move in proxy_moves(place, sibling)),
        *catalogue_moves(catalogue, place.identity.namespace),
    ]
    return tuple(_distinct(moves))


def _distinct(moves: Iterable[Move]) -> Iterator[Move]:
    """Generated moves only where none before has been authorized by the same."""
    seen: set[tuple[object, ...]] = set()
    for move in moves:
        key = (move.info, move.asks is None, move.token, tuple(sorted(move.headers.items())) if _acts(move) else ())
        generated = move.id.startswith(("risk-", "other-namespace", "sibling-object"))
        if not (generated and key in seen):
            seen.add(key)
            yield move


def _acts(move: Move) -> bool:
    """Whether it is sent as somebody else."""
    return any(name.lower().startswith("impersonate-") for name in move.headers)
