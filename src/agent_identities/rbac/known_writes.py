"""The writes that the catalogue knows: those of its risks, and those that it lists as harmless."""

from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import chain
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

    __slots__ = ("_suffixes", "_verbs")

    def __init__(self, covered: Iterable[Covered]) -> None:
        self._verbs: dict[tuple[str, str], set[str]] = {}
        """The verbs of each (API group, resource), each of them possibly `*`."""
        self._suffixes: dict[str, set[str]] = {}
        """The verbs of each suffix of API groups."""
        for each in covered:
            verbs = {*each.verbs} or {ALL}
            if verbs & _DELETIONS:
                verbs |= _DELETIONS
            for suffix in each.api_group_suffixes:
                self._suffixes.setdefault(suffix, set()).update(verbs)
            for group in () if each.api_group_suffixes else each.api_groups or (ALL,):
                for resource in each.resources or (ALL,):
                    self._verbs.setdefault((group, resource), set()).update(verbs)

    def unknown(self, rule: PolicyRule, verbs: Set[str], asked: Sequence[str]) -> Iterator[str]:
        """The resources of the rule, as `resource.group`, for which a verb in `asked` is not known.

        `verbs`: those of the rule to consider. Wildcards in API groups and resources are risks of their own: they are
        not considered here.
        """
        considered = {verb for verb in asked if verb in verbs or ALL in verbs}
        for resource in rule.resources if considered else ():
            for group in rule.api_groups:
                if ALL in resource or group == ALL:
                    continue
                known = self._known(group, resource)
                # A subresource has one kind of write: all its verbs count as one.
                if not (considered <= known or ALL in known or (known and "/" in resource)):
                    yield f"{resource}.{group}" if group else resource

    def _known(self, group: str, resource: str) -> set[str]:
        """The verbs that the catalogue knows on a resource."""
        by_name = (self._verbs.get((each, item), ()) for each in (group, ALL) for item in _items(resource))
        by_suffix = (verbs for suffix, verbs in self._suffixes.items() if group.endswith(suffix))
        return set(chain(*by_name, *by_suffix))


def _items(resource: str) -> Iterator[str]:
    """The items of a pattern that cover a resource: `deployments/scale` is covered by `*/scale` and `deployments/*`."""
    yield resource
    yield ALL
    whole, _, subresource = resource.partition("/")
    if subresource:
        yield f"{ALL}/{subresource}"
        yield f"{whole}/{ALL}"
