"""All attack requests: those of requests.json, and those generated from the values and from the risk catalogue."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from agent_identities.attack.request import ABSENT, AttackRequest, TokenKind, request_using, single_rights
from agent_identities.declaration import EVERYWHERE, Declaration, Identity
from agent_identities.rbac import Catalogue, PolicyRule, Request
from agent_identities.rbac.match import ALL
from agent_identities.rbac.risks import CUSTOM


@dataclass(frozen=True, slots=True)
class UndeclaredRight:
    """A right that a binding gives the attacker, and that the values do not declare. Wildcards are not expanded."""

    right: Request
    binding: str


@dataclass(frozen=True, slots=True)
class Attacker:
    """The identity whose token is stolen.

    ``elsewhere`` is a namespace in which no identity has declared rights. ``undeclared`` are its undeclared rights.
    """

    declaration: Declaration
    identity: Identity
    elsewhere: str
    undeclared: tuple[UndeclaredRight, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """The placeholders of requests.json. {sibling} is the proxy, unless the proxy is the attacker."""
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
    """The name of a RoleBinding that the chart renders for an identity, or would render if it had a tier."""
    return declaration.binding_name(identity)


# ---- the requests of the file


@cache
def _file() -> dict[str, list[dict[str, Any]]]:
    text = files("agent_identities.attack").joinpath("requests.json").read_text(encoding="utf-8")
    content: dict[str, list[dict[str, Any]]] = json.loads(text)
    return content


def entries() -> list[dict[str, Any]]:
    """The entries of requests.json that each attacker sends once."""
    return _file()["requests"]


def sibling_entries() -> list[dict[str, Any]]:
    """The entries of requests.json that each attacker sends against each sibling."""
    return _file()["againstSibling"]


def listed_requests(attacker: Attacker) -> Iterator[AttackRequest]:
    """The requests of requests.json for one attacker."""
    names = attacker.names
    yield from (_filled(entry, names) for entry in entries())


def _filled(entry: Mapping[str, Any], names: Mapping[str, str], target: str = "") -> AttackRequest:
    body = entry.get("body")
    headers = {key: _fill(value, names) for key, value in entry.get("headers", {}).items()}
    if "contentType" in entry:
        headers["content-type"] = entry["contentType"]
    return AttackRequest(
        id=entry["id"],
        method=entry["method"],
        path=_fill(entry["path"], names),
        why=entry["why"],
        headers=headers,
        body="" if body is None else _fill(json.dumps(body), names),
        rule=entry.get("rule", ""),
        target=target,
        control=entry.get("control", ""),
        token=TokenKind(entry.get("token", TokenKind.OWN)),
    )


def _fill(text: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


# ---- the catalogue


def requests_of_catalogue(catalogue: Catalogue, namespace: str) -> Iterator[AttackRequest]:
    """A request for every right in a pattern or an example of the catalogue, in this namespace or cluster-wide.

    Of custom resources, only the examples: their patterns have hundreds of API groups.
    """
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
            if risk.category != CUSTOM and pattern.verbs and (pattern.resources or pattern.api_groups)
        ]
        for rule, namespaces in (*((rule, ()) for rule in risk.bad), *patterns):
            for scope in ("",) if risk.scope == "cluster" else (namespaces or (namespace,)):
                for right in single_rights(rule, scope):
                    used = right._replace(namespace=namespace) if _about_namespaces(right) else right
                    yield request_using(used, id=f"risk-{risk.id}", why=risk.why, rule=risk.id)


def _about_namespaces(right: Request) -> bool:
    return right.resource == "namespaces" and bool(right.name)


# ---- in other namespaces, and against other agents


def requests_elsewhere(attacker: Attacker) -> Iterator[AttackRequest]:
    """A request for every right of the attacker, in a namespace where it has no rights."""
    for grant in attacker.identity.grants:
        if grant.namespace == EVERYWHERE:
            continue
        for rule in grant.rules:
            for right in single_rights(rule, attacker.elsewhere):
                yield request_using(
                    right,
                    id="other-namespace",
                    why="uses its rights in a namespace where they are not granted",
                    target=right.namespace,
                )


def requests_of_undeclared(attacker: Attacker) -> Iterator[AttackRequest]:
    """A request for each right that the attacker has by an undeclared binding, wherever the binding gives it."""
    for each in attacker.undeclared:
        right = each.right
        paths = (right.path,) if right.path else ()
        names = (right.name,) if right.name else ()
        rule = PolicyRule((right.verb,), (right.api_group,), (right.item,) if not paths else (), names, paths)
        for single in single_rights(rule, right.namespace):
            yield request_using(
                single, id="undeclared-binding", why=f"uses a right of {each.binding}", target=single.namespace
            )


def requests_against_sibling(attacker: Attacker, sibling: Identity, pod: str) -> Iterator[AttackRequest]:
    """Requests for the token, identity, pods, objects and rights of a sibling. ``pod`` is a pod of it, "" for none."""
    declaration = attacker.declaration
    names = attacker.names | {
        "sibling": sibling.name,
        "siblingBinding": likely_binding(declaration, sibling),
        "siblingRole": declaration.role_name(sibling),
        "pod": pod or sibling.name,
    }
    yield from (_filled(entry, names, sibling.name) for entry in sibling_entries())
    for grant in sibling.grants:
        for rule in grant.rules:
            if rule.resource_names and not any(verb.startswith("impersonate") for verb in rule.verbs):
                for right in single_rights(rule, grant.namespace):
                    why = "uses a right of the sibling on an object of the sibling"
                    yield request_using(right, id="sibling-object", why=why, target=sibling.name)


def requests_through_proxy(attacker: Attacker, sibling: Identity) -> Iterator[AttackRequest]:
    """Requests of the proxy as a proxied agent: the listed requests, and the agent's rights in another namespace."""
    sent_as = {"Impersonate-User": sibling.user.name}
    as_sibling = replace(attacker, identity=sibling)
    for request in (*listed_requests(as_sibling), *requests_elsewhere(as_sibling)):
        own = request.token is TokenKind.OWN and not request.impersonates
        if own and not request.control and not request.asks:
            headers = {**request.headers, **sent_as}
            yield replace(request, id=f"through-proxy-{request.id}", headers=headers, target=sibling.name)


# ---- all of them

ALL_PAIRS_UP_TO = 30
"""Up to this number of identities, each identity attacks each other identity."""

SIBLINGS = 5
"""With more identities, each attacks this number of siblings: the next identities in the list."""


def siblings_of(identity: Identity, identities: Sequence[Identity]) -> tuple[Identity, ...]:
    """The identities that an identity attacks."""
    at = identities.index(identity)
    following = (*identities[at + 1 :], *identities[:at])
    return following if len(identities) <= ALL_PAIRS_UP_TO else following[:SIBLINGS]


def attack_requests(attacker: Attacker, catalogue: Catalogue, pods: Mapping[str, str]) -> tuple[AttackRequest, ...]:
    """All requests of one attacker, without duplicates. ``pods``: a pod of each sibling, by ServiceAccount."""
    siblings = siblings_of(attacker.identity, attacker.declaration.identities)
    is_proxy = attacker.identity == attacker.declaration.proxy
    proxied = [one for one in siblings if one.access == "proxied" and is_proxy]
    every = [
        *listed_requests(attacker),
        *requests_elsewhere(attacker),
        *(each for one in siblings for each in requests_against_sibling(attacker, one, pods.get(one.name, ""))),
        *(each for one in proxied for each in requests_through_proxy(attacker, one)),
        *requests_of_undeclared(attacker),
        *requests_of_catalogue(catalogue, attacker.identity.namespace),
    ]
    return tuple(_distinct(every))


def _distinct(requests: Iterable[AttackRequest]) -> Iterator[AttackRequest]:
    """The requests without each generated request that needs the right of an earlier request."""
    seen: set[tuple[object, ...]] = set()
    for request in requests:
        sent_as = tuple(sorted(request.headers.items())) if request.impersonates else ()
        key = (request.needs, request.asks is None, request.token, sent_as)
        generated = request.id.startswith(("risk-", "other-namespace", "sibling-object", "undeclared-binding"))
        if not (generated and key in seen):
            seen.add(key)
            yield request
