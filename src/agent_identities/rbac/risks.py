"""Risks and their patterns, and whether a rule of a subject matches a pattern."""

from dataclasses import dataclass
from typing import Literal

from agent_identities.rbac.known_writes import KnownWrites
from agent_identities.rbac.match import ALL, url_covers
from agent_identities.rbac.model import PolicyRule

RiskSeverity = Literal["critical", "high", "medium", "low"]
SEVERITIES: tuple[RiskSeverity, ...] = ("critical", "high", "medium", "low")

Scope = Literal["any", "cluster"]
SCOPES: tuple[Scope, ...] = ("any", "cluster")

WILDCARD = "wildcard"
"""The category of risks of wildcards in a rule, independent of the resources that the rule matches."""

CUSTOM = "custom"
"""The category of risks of custom and aggregated resources, most of which a cluster does not serve."""

WILDCARD_FIELDS = frozenset({"apiGroups", "resources", "subresources", "verbs", "nonResourceURLs"})


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The verbs that Kubernetes defines, and the URLs that every user can read."""

    api_verbs: frozenset[str]
    special_verbs: frozenset[str]
    special_prefixes: tuple[str, ...]
    non_resource_verbs: frozenset[str]
    public_urls: tuple[str, ...]

    def knows(self, verb: str, rule: PolicyRule) -> bool:
        """Whether `verb` is defined for `rule`. The verbs of URLs are HTTP methods."""
        if verb == ALL:
            return True
        if rule.non_resource_urls:
            return verb in self.non_resource_verbs
        return verb in self.api_verbs or verb in self.special_verbs or verb.startswith(self.special_prefixes)


@dataclass(frozen=True, slots=True)
class Reach:
    """A rule of a subject, prepared for matching, with the scope of its grant, and the writes that are known."""

    rule: PolicyRule
    known: KnownWrites
    verbs: frozenset[str]
    wildcards: frozenset[str]
    unknown_verb: bool
    cluster_wide: bool
    namespace: str


def reach_of(
    rule: PolicyRule, vocabulary: Vocabulary, known: KnownWrites, *, cluster_wide: bool, namespace: str
) -> Reach:
    """Prepare a rule for matching."""
    return Reach(
        rule=rule,
        known=known,
        verbs=frozenset(rule.verbs),
        wildcards=_wildcards(rule, vocabulary),
        unknown_verb=not all(vocabulary.knows(verb, rule) for verb in rule.verbs),
        cluster_wide=cluster_wide,
        namespace=namespace,
    )


def counted_verbs(rule: PolicyRule, vocabulary: Vocabulary) -> frozenset[str]:
    """The verbs of a rule for patterns outside the category wildcard.

    If the resources contain `*`, the wildcard risks already include the API verbs. They do not include verbs such as
    impersonate, bind or approve, which are defined for certain resources only.
    """
    verbs = frozenset(rule.verbs)
    return verbs - vocabulary.api_verbs - {ALL} if ALL in rule.resources else verbs


@dataclass(frozen=True, slots=True)
class Pattern:
    """The conditions for a rule. An empty field is not a condition.

    `named`: the rule has resourceNames, or has none. `whole_resource`: the rule matches a resource that is not a
    subresource. `namespaces`: the rule is granted in one of these namespaces, or cluster-wide. `unknown_kind`: the
    catalogue does not know one of the writes of the rule. The other fields are those of the catalogue.
    """

    api_groups: tuple[str, ...] = ()
    api_group_suffixes: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    verb_prefixes: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    wildcards: frozenset[str] = frozenset()
    namespaces: tuple[str, ...] = ()
    named: bool | None = None
    whole_resource: bool = False
    unknown_verb: bool = False
    unknown_kind: bool = False

    def matches(self, reach: Reach, verbs: frozenset[str]) -> bool:
        """Whether the rule meets every condition. `verbs` are the verbs of the rule to consider."""
        rule = reach.rule
        return (
            self.wildcards <= reach.wildcards
            and (not self.api_groups or self._has_group(rule.api_groups))
            and (not self.api_group_suffixes or any(each.endswith(self.api_group_suffixes) for each in rule.api_groups))
            and (not self.resources or _reaches_resource(rule.resources, self.resources))
            and (not self.verbs or _meets(verbs, self.verbs))
            and (not self.verb_prefixes or any(verb.startswith(self.verb_prefixes) for verb in verbs))
            and (not self.resource_names or any(name in rule.resource_names for name in self.resource_names))
            and (self.named is None or self.named == bool(rule.resource_names))
            and (not self.whole_resource or any("/" not in resource for resource in rule.resources))
            and (not self.unknown_verb or reach.unknown_verb)
            and (not self.namespaces or reach.cluster_wide or reach.namespace in self.namespaces)
            and (not self.unknown_kind or any(reach.known.unknown(rule, verbs, self.verbs)))
        )

    def _has_group(self, granted: tuple[str, ...]) -> bool:
        """A wildcard of API groups has a risk of its own: without resources, it matches no pattern."""
        return _meets(granted, self.api_groups) if self.resources else any(one in self.api_groups for one in granted)


@dataclass(frozen=True, slots=True)
class Risk:
    """An entry of the catalogue.

    A subject has the risk if, for each part in `parts`, one of its rules matches a pattern of the part. `scope` is
    cluster if the rule is effective only with a ClusterRoleBinding. `bad` is a minimal list of rules with this risk.
    """

    id: str
    severity: RiskSeverity
    category: str
    scope: Scope
    title: str
    why: str
    parts: tuple[tuple[Pattern, ...], ...]
    bad: tuple[PolicyRule, ...]


def resource_item_reached(granted: str, item: str) -> bool:
    """Whether a resource of a rule matches an item of a pattern.

    In the rule, `*/exec` is exec of any resource, as in RBAC. In the item, `*/scale` is scale of any resource, and
    `userextras/*` is any subresource of userextras.
    """
    if granted in (item, ALL):
        return True
    granted_resource, _, granted_sub = granted.partition("/")
    resource, _, sub = item.partition("/")
    if not (granted_sub and sub):
        return False
    return (resource == ALL or granted_resource in (ALL, resource)) and sub in (ALL, granted_sub)


def _reaches_resource(granted: tuple[str, ...], items: tuple[str, ...]) -> bool:
    return any(resource_item_reached(resource, item) for resource in granted for item in items)


def _meets(granted: tuple[str, ...] | frozenset[str], items: tuple[str, ...]) -> bool:
    return ALL in granted or any(item in granted for item in items)


def _wildcards(rule: PolicyRule, vocabulary: Vocabulary) -> frozenset[str]:
    found = {
        "verbs": ALL in rule.verbs,
        "apiGroups": ALL in rule.api_groups,
        "resources": ALL in rule.resources,
        "subresources": any(resource.startswith("*/") for resource in rule.resources),
        "nonResourceURLs": any(
            url.endswith(ALL) and not any(url_covers(public, url) for public in vocabulary.public_urls)
            for url in rule.non_resource_urls
        ),
    }
    return frozenset(name for name, holds in found.items() if holds)
