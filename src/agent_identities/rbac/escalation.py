"""Privilege escalation: a user can grant only rules that the user's own rules cover.

The semantics are those of k8s.io/component-helpers auth/rbac/validation (Covers). With it, the API server prevents
privilege escalation when a user writes a role or binding. The verbs `escalate` and `bind` on the role bypass this
check. The caller must check these verbs.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from agent_identities.rbac.match import ALL, url_covers
from agent_identities.rbac.model import PolicyRule
from agent_identities.rbac.request import Request


def covers(owner_rules: Sequence[PolicyRule], servant_rules: Iterable[PolicyRule]) -> tuple[PolicyRule, ...]:
    """The atoms of `servant_rules` that `owner_rules` do not cover. Empty if all atoms are covered.

    A single owner rule must cover an atom.
    """
    return tuple(
        atom
        for rule in servant_rules
        for atom in breakdown(rule)
        if not any(_rule_covers(owner, atom) for owner in owner_rules)
    )


def breakdown(rule: PolicyRule) -> Iterator[PolicyRule]:
    """The atoms of a rule: one verb on one resource with at most one name, or one verb on one URL."""
    names: list[tuple[str, ...]] = [(name,) for name in rule.resource_names] or [()]
    for group, resource, verb, name in product(rule.api_groups, rule.resources, rule.verbs, names):
        yield PolicyRule((verb,), (group,), (resource,), name)
    for url, verb in product(rule.non_resource_urls, rule.verbs):
        yield PolicyRule((verb,), non_resource_urls=(url,))


def requests_of(rule: PolicyRule, namespace: str = "") -> Iterator[Request]:
    """The requests that a rule in ``namespace`` allows, one for each atom. `*` is not expanded."""
    for group, item, verb, name in product(rule.api_groups, rule.resources, rule.verbs, rule.resource_names or ("",)):
        resource, _, subresource = item.partition("/")
        yield Request(verb, group, resource, subresource, name, namespace)
    for url, verb in product(rule.non_resource_urls, rule.verbs):
        yield Request(verb, path=url)


def _rule_covers(owner: PolicyRule, atom: PolicyRule) -> bool:
    return (
        _covers_all(owner.verbs, atom.verbs)
        and _covers_all(owner.api_groups, atom.api_groups)
        and all(_covers_resource(owner.resources, resource) for resource in atom.resources)
        and _covers_names(owner.resource_names, atom.resource_names)
        and all(any(url_covers(url, path) for url in owner.non_resource_urls) for path in atom.non_resource_urls)
    )


def _covers_all(owned: tuple[str, ...], asked: tuple[str, ...]) -> bool:
    return ALL in owned or all(item in owned for item in asked)


def _covers_resource(owned: tuple[str, ...], resource: str) -> bool:
    _, slash, subresource = resource.partition("/")
    return ALL in owned or resource in owned or (slash != "" and f"*/{subresource}" in owned)


def _covers_names(owned: tuple[str, ...], asked: tuple[str, ...]) -> bool:
    """A rule with resource names does not cover an atom without a name."""
    return not owned or (asked != () and all(name in owned for name in asked))
