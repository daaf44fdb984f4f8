"""The writes that the catalogue knows: those of its risks, and those that it lists as harmless."""

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import NamedTuple

from agent_identities.rbac.match import ALL
from agent_identities.rbac.model import PolicyRule

_DELETIONS = frozenset({"delete", "deletecollection"})
"""The verbs that count as one: to delete every object of a resource is to delete each object."""


class Covered(NamedTuple):
    """Writes that the catalogue knows. An empty field is every API group, resource or verb."""

    api_groups: tuple[str, ...]
    api_group_suffixes: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]


class KnownWrites:
    """Answers which writes of a rule the catalogue does not know. Immutable."""

    __slots__ = ("_known", "_suffixes")

    def __init__(self, covered: Iterable[Covered]) -> None:
        self._known: set[tuple[str, str, str]] = set()
        """(verb, API group, resource), each of them possibly `*`."""
        self._suffixes: set[tuple[str, str]] = set()
        """(verb, suffix of an API group)."""
        for each in covered:
            verbs = {*each.verbs} or {ALL}  # a subresource has one kind of write: all its verbs count as one
            if verbs & _DELETIONS:
                verbs |= _DELETIONS
            for verb in verbs:
                self._suffixes.update((verb, suffix) for suffix in each.api_group_suffixes)
                if not each.api_group_suffixes:
                    self._known.update(
                        (ALL if "/" in resource else verb, group, resource)
                        for group in each.api_groups or (ALL,)
                        for resource in each.resources or (ALL,)
                    )

    def unknown(self, rule: PolicyRule, verbs: Set[str], asked: Sequence[str]) -> Iterator[str]:
        """The resources of the rule, as `resource.group`, for which a verb in `asked` is not known.

        `verbs`: those of the rule to consider. Wildcards in API groups and resources are risks of their own: they are
        not considered here.
        """
        considered = [verb for verb in asked if verb in verbs or ALL in verbs]
        for resource in rule.resources if considered else ():
            for group in rule.api_groups:
                if ALL in resource or group == ALL or all(self._knows(verb, group, resource) for verb in considered):
                    continue
                yield f"{resource}.{group}" if group else resource

    def _knows(self, verb: str, group: str, resource: str) -> bool:
        return any(
            (each, of_group, item) in self._known
            for each in (verb, ALL)
            for of_group in (group, ALL)
            for item in _items(resource)
        ) or any(verb == each and group.endswith(suffix) for each, suffix in self._suffixes)


def _items(resource: str) -> Iterator[str]:
    """The items of a pattern that cover a resource: `deployments/scale` is covered by `*/scale` and `deployments/*`."""
    yield resource
    yield ALL
    whole, _, subresource = resource.partition("/")
    if subresource:
        yield f"{ALL}/{subresource}"
        yield f"{whole}/{ALL}"
