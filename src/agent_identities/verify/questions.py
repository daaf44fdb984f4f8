"""The questions to an API server about the identities of a declaration, and the expected answers."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import chain

from agent_identities.chart.names import AGENT_PLACEHOLDER
from agent_identities.declaration import EVERYWHERE, Declaration, Identity
from agent_identities.rbac import VERBS, PolicyRule, Request, requests_of, rule_allows
from agent_identities.rbac.default_grants import EVERY_SERVICE_ACCOUNT
from agent_identities.rbac.match import ALL
from agent_identities.rbac.served import UNKNOWN, Served

_WRITES = ("create", "update", "patch", "delete")
_URL_VERBS = ("get", "post", "put", "patch", "delete")
_SIBLINGS = 2


@dataclass(frozen=True, slots=True)
class DangerousRequest:
    """An entry of dangerous.json: a request without a namespace, its risk in the catalogue, and its scope."""

    request: Request
    risk: str
    cluster_scoped: bool

    def within(self, namespace: str) -> Request:
        """The request for a release in this namespace."""
        if self.cluster_scoped:
            return self.request
        name = namespace if self.request.resource == "namespaces" else ""
        return self.request._replace(namespace=namespace, name=name)


@cache
def dangerous_entries() -> tuple[DangerousRequest, ...]:
    """The entries of dangerous.json, in the order of the file."""
    text = files("agent_identities.verify").joinpath("dangerous.json").read_text(encoding="utf-8")
    return tuple(
        DangerousRequest(
            Request(entry["verb"], entry["apiGroup"], entry["resource"], entry.get("subresource", "")),
            entry["risk"],
            entry.get("scope") == "cluster",
        )
        for entry in json.loads(text)["requests"]
    )


def dangerous_requests(namespace: str) -> tuple[Request, ...]:
    """The requests of dangerous.json, for a release in this namespace."""
    return tuple(entry.within(namespace) for entry in dangerous_entries())


@dataclass(frozen=True, slots=True)
class Questions:
    """The requests to ask the API server about, for the identities of a declaration.

    Only requests that the API server serves, as it authorizes them: without a namespace for a cluster-scoped resource.
    ``mentioned``: every verb on every resource of every tier, in the namespaces where the tier is granted. If a rule
    has resourceNames: with each name, and without a name. For each resource of a tier also all write verbs.
    ``elsewhere``: the same permissions in a namespace where no tier is granted. If a rule has resourceNames: only with
    a name, because a user with the permission for all objects also has it for that object.
    ``dangerous``: the requests of dangerous.json, in the release's namespace.
    ``targets``: the resources and paths that tiers mention in the release's namespace or for the whole cluster, also
    those that no request can use.
    """

    mentioned: tuple[Request, ...]
    elsewhere: tuple[Request, ...]
    dangerous: tuple[Request, ...]
    targets: tuple[Request, ...] = ()
    served: Served = UNKNOWN

    def of(self, identity: Identity) -> tuple[Request, ...]:
        """All requests for this identity, also those of the rules for its own objects, without duplicates."""
        own = (each for grant in identity.grants for each in _asked(grant.rules, grant.namespace, self.served))
        return tuple(dict.fromkeys(chain(self.mentioned, own, self.elsewhere, self.dangerous)))


def questions(declaration: Declaration, served: Served = UNKNOWN) -> Questions:
    """The questions about the identities of a declaration. ``served``: the resources of the API server."""
    home = declaration.namespace
    granted = declaration.granted_namespaces
    rules_in = {namespace: _rules_granted(declaration, namespace) for namespace in granted}
    shared = [rule for rules in declaration.tiers.values() for rule in rules if not _of_each_agent(rule)]
    everywhere = rules_in.get(EVERYWHERE, ())
    rules_in[home] = tuple(dict.fromkeys((*shared, *rules_in[home], *everywhere)))
    mentioned = [each for namespace, rules in rules_in.items() for each in _asked(rules, namespace, served)]
    ungranted = declaration.ungranted_namespace
    elsewhere = [
        sent
        for each in _atoms(rules_in[home], ungranted)
        if (sent := served.sent(each)) is not None and sent.namespace == ungranted
    ]
    named = {each._replace(name="") for each in elsewhere if each.name}
    targets = (each._replace(verb="", name="", namespace="") for each in _atoms(rules_in[home], home))
    return Questions(
        tuple(dict.fromkeys(mentioned)),
        tuple(dict.fromkeys(each for each in elsewhere if each not in named)),
        dangerous_requests(home),
        tuple(dict.fromkeys(targets)),
        served,
    )


def _rules_granted(declaration: Declaration, namespace: str) -> tuple[PolicyRule, ...]:
    """The rules granted in a namespace. Of a tier with rules for each agent's own objects: only those of two agents.

    Every agent is asked about the objects of these two agents, and about its own objects (``Questions.of``). Otherwise
    the number of questions would grow with the square of the number of agents.
    """
    rules: dict[PolicyRule, None] = {}
    own: Counter[str] = Counter()
    for one in declaration.identities:
        for grant in one.grants:
            if grant.namespace != namespace or grant.impersonation:
                continue
            if any(_of_each_agent(rule) for rule in declaration.tiers[grant.tier]):
                own[grant.tier] += 1
                if own[grant.tier] > _SIBLINGS:
                    continue
            rules |= dict.fromkeys(grant.rules)
    return tuple(rules)


def _of_each_agent(rule: PolicyRule) -> bool:
    return any(AGENT_PLACEHOLDER in name for name in rule.resource_names)


def _asked(rules: Iterable[PolicyRule], namespace: str, served: Served) -> Iterator[Request]:
    for rule in rules:
        for atom in _atoms([rule], namespace):
            possible = [atom] if _can_have_name(atom, rule) or not served.known else []
            if atom.name:
                possible.append(atom._replace(name=""))
            if not atom.subresource and not atom.path:
                possible += (atom._replace(verb=verb, name="") for verb in _WRITES)
            yield from (sent for each in possible if (sent := served.sent(each)) is not None)


def _can_have_name(atom: Request, rule: PolicyRule) -> bool:
    """Whether a request with this verb has a name: a create request has one only in a server-side apply, or a PUT."""
    creates = atom.verb == "create" and bool(atom.name) and not atom.subresource
    return not creates or bool({"patch", "update", ALL} & set(rule.verbs))


def _atoms(rules: Iterable[PolicyRule], namespace: str) -> Iterator[Request]:
    """The single requests of the rules. The verb ``*`` is also asked verb by verb, to find smaller differences.

    URLs do not have a namespace: each path is in the result.
    """
    for rule in rules:
        every = _URL_VERBS if rule.non_resource_urls else VERBS
        verbs = chain.from_iterable((verb, *every) if verb == ALL else (verb,) for verb in rule.verbs)
        yield from requests_of(replace(rule, verbs=tuple(dict.fromkeys(verbs))), namespace)


def expected(identity: Identity, request: Request) -> bool:
    """Whether the values declare the request, or Kubernetes allows it to every ServiceAccount."""
    declared = identity.rules_in(EVERYWHERE)
    if request.namespace:
        declared += identity.rules_in(request.namespace)
    return any(rule_allows(rule, request) for rule in chain(declared, EVERY_SERVICE_ACCOUNT))
