"""What to ask an API server about the identities of a declaration, and which answer the declaration expects."""

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
from agent_identities.rbac.default_grants import RESOURCES
from agent_identities.rbac.match import ALL

_WRITES = ("create", "update", "patch", "delete")
_SIBLINGS = 2


@dataclass(frozen=True, slots=True)
class DangerousRequest:
    """An entry of dangerous.json: a request in no namespace yet, the risk of the catalogue, and whether it has none."""

    request: Request
    risk: str
    cluster_scoped: bool

    def within(self, namespace: str) -> Request:
        """The request to ask about, for a release in this namespace."""
        if self.cluster_scoped:
            return self.request
        name = namespace if self.request.resource == "namespaces" else ""
        return self.request._replace(namespace=namespace, name=name)


@cache
def dangerous_entries() -> tuple[DangerousRequest, ...]:
    """The entries of dangerous.json, in its order."""
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
    """What the identities of a declaration are asked.

    ``mentioned``: every verb on every resource of every tier, in the namespaces where a tier is granted; by name where
    a rule names objects, and then without a name, too; and all verbs that write, on each resource that a tier mentions.
    ``elsewhere``: what the tiers mention, in a namespace where nothing is granted; by name alone where a rule names
    objects, since whoever may do it to all of them may do it to that one.
    ``dangerous``: those of dangerous.json, in the release's namespace.
    """

    mentioned: tuple[Request, ...]
    elsewhere: tuple[Request, ...]
    dangerous: tuple[Request, ...]

    def of(self, identity: Identity) -> tuple[Request, ...]:
        """What this one is asked, each once: all of it, and what it holds by rules of its own."""
        own = (each for grant in identity.grants for each in _asked(grant.rules, grant.namespace))
        return tuple(dict.fromkeys(chain(self.mentioned, own, self.elsewhere, self.dangerous)))


def questions(declaration: Declaration) -> Questions:
    """What to ask about a declaration's identities."""
    home = declaration.namespace
    granted = declaration.granted_namespaces
    rules_in = {place: _rules_granted(declaration, place) for place in granted}
    shared = (rule for rules in declaration.tiers.values() for rule in rules if not _of_each_agent(rule))
    rules_in[home] = tuple(dict.fromkeys((*shared, *rules_in[home])))
    mentioned = [each for place, rules in rules_in.items() for each in _asked(rules, place)]
    elsewhere = tuple(_atoms(rules_in[home], declaration.ungranted_namespace))
    named = {each._replace(name="") for each in elsewhere if each.name}
    return Questions(
        tuple(dict.fromkeys(mentioned)),
        tuple(dict.fromkeys(each for each in elsewhere if each not in named)),
        dangerous_requests(home),
    )


def _rules_granted(declaration: Declaration, namespace: str) -> tuple[PolicyRule, ...]:
    """What is granted in a namespace; of a tier on each agent's own objects only the first two agents' rules.

    All are asked about those two, and each about its own (``Questions.of``): every agent about every other's objects
    would be a question for each pair of agents.
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


def _asked(rules: Iterable[PolicyRule], namespace: str) -> Iterator[Request]:
    for atom in _atoms(rules, namespace):
        yield atom
        if atom.name:
            yield atom._replace(name="")
        if not atom.subresource:
            yield from (atom._replace(verb=verb, name="") for verb in _WRITES)


def _atoms(rules: Iterable[PolicyRule], namespace: str) -> Iterator[Request]:
    """The single requests of the rules; the verb ``*`` also verb by verb, so that a smaller surprise shows, too."""
    for rule in rules:
        verbs = chain.from_iterable((verb, *VERBS) if verb == ALL else (verb,) for verb in rule.verbs)
        spelled = replace(rule, verbs=tuple(dict.fromkeys(verbs)), non_resource_urls=())
        yield from requests_of(spelled, namespace)


def expected(identity: Identity, request: Request) -> bool:
    """Whether the values declare it, or Kubernetes gives it to every ServiceAccount."""
    declared = identity.rules_in(EVERYWHERE)
    if request.namespace:
        declared += identity.rules_in(request.namespace)
    return any(rule_allows(rule, request) for rule in chain(declared, RESOURCES))
