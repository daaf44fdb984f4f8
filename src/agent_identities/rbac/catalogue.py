"""The risk catalogue: the rules that an agent must not have unless the values accept their risk.

The catalogue is a file of the chart (files/risk-catalogue.json). The templates and this module read it. Its field
`about` describes the fields of a pattern.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from agent_identities.errors import AgentIdentitiesError
from agent_identities.rbac.known_writes import Covered, KnownWrites
from agent_identities.rbac.match import ALL, url_covers
from agent_identities.rbac.model import PolicyError, PolicyRule, RoleRef
from agent_identities.rbac.risks import (
    SCOPES,
    SEVERITIES,
    WILDCARD,
    WILDCARD_FIELDS,
    Pattern,
    Reach,
    Risk,
    RiskSeverity,
    Vocabulary,
    counted_verbs,
    reach_of,
)

_Choice = TypeVar("_Choice", bound=str)

_CATALOGUE_FIELDS = frozenset({"about", "verbs", "publicURLs", "existingRoles", "harmlessRoles", "harmless", "risks"})
_RULE_FIELDS = frozenset({"apiGroups", "resources", "resourceNames", "nonResourceURLs"})
_PATTERN_FIELDS = frozenset(
    {
        "apiGroups",
        "apiGroupSuffixes",
        "resources",
        "verbs",
        "verbPrefixes",
        "resourceNames",
        "wildcards",
        "namespaces",
        "named",
        "subresources",
        "unknownVerb",
        "unknownKind",
    }
)


class CatalogueError(AgentIdentitiesError):
    """The file is not a valid risk catalogue."""


@dataclass(frozen=True, slots=True)
class Match:
    """A risk, and a rule of the subject that contributes to it. `rule_index` is its index in the given rules."""

    risk: Risk
    rule_index: int
    rule: PolicyRule


@dataclass(frozen=True, slots=True)
class ExistingRoleRisk:
    """A role outside the values, which a tier refers to only if it accepts the risk.

    A name that ends in `*` stands for every name with this prefix; the name `*` for every role that the catalogue does
    not know.
    """

    id: str
    severity: RiskSeverity
    kinds: frozenset[str]
    names: tuple[str, ...]
    title: str
    why: str

    @property
    def known(self) -> bool:
        """Whether the catalogue knows what the roles grant, so that accepting this risk accepts all their rules."""
        return ALL not in self.names

    def matches(self, role: RoleRef) -> bool:
        """Whether the role is one of these roles."""
        return role.kind in self.kinds and any(url_covers(name, role.name) for name in self.names)


class _Part(NamedTuple):
    risk: int
    part: int
    pattern: Pattern


class Catalogue:
    """The risks, indexed for queries. Immutable. Create it with `load` or `from_manifest`."""

    __slots__ = (
        "_by_resource",
        "_harmless_roles",
        "_known",
        "_subresources",
        "_unbound",
        "_vocabulary",
        "existing_roles",
        "risks",
    )

    def __init__(
        self,
        risks: Sequence[Risk],
        vocabulary: Vocabulary,
        existing_roles: Sequence[ExistingRoleRisk] = (),
        harmless_roles: Set[tuple[str, str]] = frozenset(),
        harmless: Sequence[Covered] = (),
    ) -> None:
        """`harmless_roles`: (kind, name) of the roles without a risk. `harmless`: writes without a risk."""
        self.risks: tuple[Risk, ...] = tuple(risks)
        self.existing_roles: tuple[ExistingRoleRisk, ...] = tuple(existing_roles)
        self._harmless_roles = frozenset(harmless_roles)
        self._known = KnownWrites((*harmless, *_covered(self.risks)))
        self._vocabulary = vocabulary
        # Patterns by resource, so that a rule is compared only with patterns that can match it.
        self._unbound: list[_Part] = []
        self._subresources: list[_Part] = []
        self._by_resource: dict[str, list[_Part]] = {}
        for index, risk in enumerate(self.risks):
            for number, patterns in enumerate(risk.parts):
                for pattern in patterns:
                    self._index(_Part(index, number, pattern))

    def _index(self, part: _Part) -> None:
        if not part.pattern.resources:
            self._unbound.append(part)
        if any("/" in item for item in part.pattern.resources):
            self._subresources.append(part)
        for item in part.pattern.resources:
            if "/" not in item:
                self._by_resource.setdefault(item, []).append(part)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the catalogue from its JSON file. Raises CatalogueError, with the entry, for an invalid catalogue."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CatalogueError(
                f"{path}: cannot read the risk catalogue: {error}. Install the chart again."
            ) from error
        try:
            return cls.from_manifest(content)
        except CatalogueError as error:
            raise CatalogueError(f"{path}: {error}. Correct the entry, or install the chart again.") from error

    @classmethod
    def from_manifest(cls, content: object) -> Self:
        """Create the catalogue from parsed JSON. Raises CatalogueError, with the entry, for an invalid catalogue."""
        top = _fields(content, "catalogue", _CATALOGUE_FIELDS)
        verbs = _fields(top["verbs"], "verbs", {"api", "special", "specialPrefixes", "nonResource"})
        vocabulary = Vocabulary(
            api_verbs=frozenset(_strings(verbs["api"], "verbs.api")),
            special_verbs=frozenset(_strings(verbs["special"], "verbs.special")),
            special_prefixes=_strings(verbs["specialPrefixes"], "verbs.specialPrefixes"),
            non_resource_verbs=frozenset(_strings(verbs["nonResource"], "verbs.nonResource")),
            public_urls=_strings(top["publicURLs"], "publicURLs"),
        )
        risks = [_risk(item, f"risks[{index}]") for index, item in enumerate(_list(top["risks"], "risks"))]
        roles = [
            _existing_role(item, f"existingRoles[{index}]")
            for index, item in enumerate(_list(top["existingRoles"], "existingRoles"))
        ]
        seen: set[str] = set()
        for name in (*(risk.id for risk in risks), *(role.id for role in roles)):
            if name in seen:
                raise CatalogueError(f"risk {name} is defined twice")
            seen.add(name)
        harmless_roles = {
            _harmless_role(item, f"harmlessRoles[{index}]")
            for index, item in enumerate(_list(top["harmlessRoles"], "harmlessRoles"))
        }
        harmless = [
            _harmless(item, f"harmless[{index}]") for index, item in enumerate(_list(top["harmless"], "harmless"))
        ]
        return cls(risks, vocabulary, roles, harmless_roles, harmless)

    def of_existing_role(self, role: RoleRef) -> ExistingRoleRisk | None:
        """The risk of a role outside the values; None if the catalogue knows the role as harmless."""
        if (role.kind, role.name) in self._harmless_roles:
            return None
        return next((risk for risk in self.existing_roles if risk.matches(role)), None)

    def unknown_resources(self, match: Match) -> tuple[str, ...]:
        """The resources that the catalogue does not know, if this is the risk of a match; as `widgets.example.com`."""
        patterns = [pattern for part in match.risk.parts for pattern in part if pattern.unknown_kind]
        verbs = counted_verbs(match.rule, self._vocabulary)
        return tuple(name for pattern in patterns for name in self._known.unknown(match.rule, verbs, pattern.verbs))

    def findings(self, rules: Sequence[PolicyRule], *, cluster_wide: bool, namespace: str) -> tuple[Match, ...]:
        """The risks of the rules of one subject in one scope, in the order of the catalogue.

        `rules` must be all rules of the subject in the scope, because some risks need two rules. `cluster_wide`: a
        ClusterRoleBinding grants the rules. Otherwise, `namespace` is the namespace of the RoleBinding.
        """
        met: dict[tuple[int, int], set[int]] = {}
        for index, rule in enumerate(rules):
            for risk, part in self._parts_met(rule, cluster_wide=cluster_wide, namespace=namespace):
                met.setdefault((risk, part), set()).add(index)
        return tuple(
            Match(risk, index, rules[index])
            for number, risk in enumerate(self.risks)
            if all((number, part) in met for part in range(len(risk.parts)))
            for index in sorted(set().union(*(met[number, part] for part in range(len(risk.parts)))))
        )

    def _parts_met(self, rule: PolicyRule, *, cluster_wide: bool, namespace: str) -> Iterator[tuple[int, int]]:
        reach = reach_of(rule, self._vocabulary, self._known, cluster_wide=cluster_wide, namespace=namespace)
        counted = counted_verbs(rule, self._vocabulary)
        for number, part, pattern in self._candidates(reach):
            risk = self.risks[number]
            if risk.scope == "cluster" and not cluster_wide:
                continue
            if pattern.matches(reach, reach.verbs if risk.category == WILDCARD else counted):
                yield number, part

    def _candidates(self, reach: Reach) -> Iterator[_Part]:
        resources = reach.rule.resources
        if ALL in resources:
            return chain(self._unbound, self._subresources, *self._by_resource.values())
        subresources = self._subresources if any("/" in resource for resource in resources) else ()
        return chain(self._unbound, subresources, *(self._by_resource.get(resource, ()) for resource in resources))


def _risk(item: object, location: str) -> Risk:
    if isinstance(item, Mapping) and isinstance(item.get("id"), str):
        location = f"risk {item['id']}"
    known = {"id", "severity", "category", "scope", "title", "why", "bad"}
    mode = "all" if isinstance(item, Mapping) and "all" in item else "any"
    fields = _fields(item, location, known | {mode})
    patterns = [
        _pattern(pattern, f"{location}: {mode}[{index}]", wildcard=fields["category"] == WILDCARD)
        for index, pattern in enumerate(_list(fields[mode], f"{location}: {mode}"))
    ]
    return Risk(
        id=_text(fields["id"], f"{location}: id"),
        severity=_one_of(fields["severity"], SEVERITIES, f"{location}: severity"),
        category=_text(fields["category"], f"{location}: category"),
        scope=_one_of(fields["scope"], SCOPES, f"{location}: scope"),
        title=_text(fields["title"], f"{location}: title"),
        why=_text(fields["why"], f"{location}: why"),
        parts=tuple((pattern,) for pattern in patterns) if mode == "all" else (tuple(patterns),),
        bad=tuple(
            _rule(rule, f"{location}: bad[{index}]") for index, rule in enumerate(_list(fields["bad"], location))
        ),
    )


def _existing_role(item: object, location: str) -> ExistingRoleRisk:
    fields = _fields(item, location, {"id", "severity", "kinds", "names", "title", "why"})
    return ExistingRoleRisk(
        id=_text(fields["id"], f"{location}: id"),
        severity=_one_of(fields["severity"], SEVERITIES, f"{location}: severity"),
        kinds=frozenset(_strings(fields["kinds"], f"{location}: kinds")),
        names=_strings(fields["names"], f"{location}: names"),
        title=_text(fields["title"], f"{location}: title"),
        why=_text(fields["why"], f"{location}: why"),
    )


def _covered(risks: Iterable[Risk]) -> Iterator[Covered]:
    """The writes that the risks of single resources and API groups cover."""
    for risk in risks:
        if risk.category == WILDCARD:
            continue
        for pattern in chain.from_iterable(risk.parts):
            if not pattern.verb_prefixes and (pattern.api_groups or pattern.api_group_suffixes or pattern.resources):
                yield Covered(pattern.api_groups, pattern.api_group_suffixes, pattern.resources, pattern.verbs)


def _harmless(item: object, location: str) -> Covered:
    fields = _fields(item, location, {"why"}, optional={"apiGroups", "resources", "verbs"})
    _text(fields["why"], f"{location}: why")
    if not fields.keys() & {"apiGroups", "resources"}:
        raise CatalogueError(f"{location}: without apiGroups and resources, every write would be harmless")
    groups, resources, verbs = (
        _strings(fields[key], f"{location}: {key}") if key in fields else ()
        for key in ("apiGroups", "resources", "verbs")
    )
    return Covered(groups, (), resources, verbs)


def _harmless_role(item: object, location: str) -> tuple[str, str]:
    fields = _fields(item, location, {"kind", "name", "why"})
    _text(fields["why"], f"{location}: why")
    return _text(fields["kind"], f"{location}: kind"), _text(fields["name"], f"{location}: name")


def _rule(item: object, location: str) -> PolicyRule:
    try:
        return PolicyRule.from_manifest(_fields(item, location, {"verbs"}, optional=_RULE_FIELDS), location)
    except PolicyError as error:
        raise CatalogueError(str(error)) from error


def _pattern(item: object, location: str, *, wildcard: bool) -> Pattern:
    fields = _fields(item, location, set(), optional=_PATTERN_FIELDS)
    if not fields:
        raise CatalogueError(f"{location}: an empty pattern would match every rule")
    if not wildcard and not fields.keys() & {"verbs", "verbPrefixes"}:
        raise CatalogueError(f"{location}: a pattern outside the category {WILDCARD} needs verbs or verbPrefixes")

    def strings(key: str) -> tuple[str, ...]:
        return _strings(fields[key], f"{location}: {key}") if key in fields else ()

    def flag(key: str, meaning: set[bool]) -> bool | None:
        if key in fields and not (isinstance(fields[key], bool) and fields[key] in meaning):
            raise CatalogueError(f"{location}: {key}: expected {' or '.join(map(str, meaning))}, found {fields[key]!r}")
        return fields.get(key)

    wildcards = frozenset(strings("wildcards"))
    if unknown := wildcards - WILDCARD_FIELDS:
        raise CatalogueError(
            f"{location}: wildcards: unknown {_listed(unknown)}. Valid values are {_listed(WILDCARD_FIELDS)}"
        )
    return Pattern(
        api_groups=strings("apiGroups"),
        api_group_suffixes=strings("apiGroupSuffixes"),
        resources=strings("resources"),
        verbs=strings("verbs"),
        verb_prefixes=strings("verbPrefixes"),
        resource_names=strings("resourceNames"),
        wildcards=wildcards,
        namespaces=strings("namespaces"),
        named=flag("named", {True, False}),
        whole_resource=flag("subresources", {False}) is False,
        unknown_verb=flag("unknownVerb", {True}) is True,
        unknown_kind=flag("unknownKind", {True}) is True,
    )


def _fields(item: object, location: str, required: Set[str], *, optional: Set[str] = frozenset()) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        raise CatalogueError(f"{location}: expected an object, found {item!r}")
    if missing := required - item.keys():
        raise CatalogueError(f"{location}: missing {_listed(missing)}")
    if unknown := item.keys() - required - optional:
        raise CatalogueError(f"{location}: unknown {_listed(unknown)}. Valid fields are {_listed(required | optional)}")
    return item


def _list(item: object, location: str) -> Sequence[Any]:
    if not isinstance(item, list) or not item:
        raise CatalogueError(f"{location}: expected a non-empty list, found {item!r}")
    return item


def _strings(item: object, location: str) -> tuple[str, ...]:
    return tuple(_text(value, location, empty=True) for value in _list(item, location))


def _text(item: object, location: str, *, empty: bool = False) -> str:
    if not isinstance(item, str) or not (item or empty):
        raise CatalogueError(f"{location}: expected a string, found {item!r}")
    return item


def _one_of(item: object, choices: tuple[_Choice, ...], location: str) -> _Choice:
    for choice in choices:
        if item == choice:
            return choice
    raise CatalogueError(f"{location}: expected one of {_listed(choices)}, found {item!r}")


def _listed(names: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, names)))
