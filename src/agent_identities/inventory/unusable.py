"""Rules of tiers that no request can use, with the nearest spelling that a request can use."""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent_identities.chart.names import PROXY_TIER
from agent_identities.declaration import EVERYWHERE, Declaration
from agent_identities.rbac import VERBS, PolicyRule, Request
from agent_identities.rbac.match import ALL
from agent_identities.rbac.served import Served, has_verb, is_known_verb, nearest_verb
from agent_identities.report.model import Finding, Location, Severity

UNUSABLE_RULE = "unusable-rule"

_VERSION = re.compile(r"^v\d+((alpha|beta)\d+)?\.")
_CLOSE_GROUP = 0.9  # two groups of different products are less similar


@dataclass(frozen=True, slots=True)
class Unusable:
    """Findings, and notes about resources that are not installed."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def unusable_rules(declaration: Declaration, served: Served) -> Unusable:
    """What the rules of the tiers mention, although no request can use it. Nothing if the resources are unknown."""
    if not served.known:
        return Unusable((), ())
    scopes: dict[str, set[str]] = {}
    for identity in declaration.identities:
        for grant in identity.grants:
            if not grant.impersonation and grant.existing is None:
                scopes.setdefault(grant.tier, set()).add(grant.namespace)
    findings: list[Finding] = []
    notes: list[str] = []
    for tier, namespaces in scopes.items():
        path = "proxy.rules" if tier == PROXY_TIER else f"tiers.{tier}.rules"
        for index, rule in enumerate(declaration.tiers[tier]):
            judge = _Rule(rule, f"{path}[{index}]", served, cluster_wide=EVERYWHERE in namespaces)
            findings += judge.findings()
            notes += judge.not_installed()
    return Unusable(tuple(findings), tuple(dict.fromkeys(notes)))


class _Rule:
    """A rule of a tier, compared with the resources that the API server serves."""

    def __init__(self, rule: PolicyRule, path: str, served: Served, *, cluster_wide: bool) -> None:
        self._rule = rule
        self._path = path
        self._served = served
        self._cluster_wide = cluster_wide
        self._groups = [group for group in rule.api_groups if group != ALL]
        self._items = [item for item in rule.resources if ALL not in item.split("/")]
        self._absent = [group for group in self._groups if group not in served.groups and not self._checked(group)]
        self._any_group = ALL in rule.api_groups

    def _checked(self, group: str) -> bool:
        """Whether components ask the authorizer for a resource of the rule in a group that is not served."""
        return any(self._served.find(group, item) for item in self._items)

    def findings(self) -> Iterator[Finding]:
        yield from self._wrong_groups()
        yield from self._wrong_resources()
        yield from self._wrong_verbs()
        yield from self._wrong_scope()
        yield from self._wrong_names()

    def not_installed(self) -> Iterator[str]:
        """Notes about groups of resources that are probably installed later."""
        for group in self._absent:
            if self._group_for(group) is None:
                yield f"{self._path}: API group {group} is not served by this cluster. Is its operator installed?"

    def _warning(self, field: str, problem: str, *remediation: str) -> Finding:
        path = f"{self._path}.{field}" if field else self._path
        return Finding(
            UNUSABLE_RULE, Severity.WARNING, f"{path}: {problem}.", Location(values=path), remediation=remediation
        )

    # ---- groups

    def _wrong_groups(self) -> Iterator[Finding]:
        for index, group in enumerate(self._rule.api_groups):
            right = self._group_for(group) if group in self._absent else None
            if right is not None:
                advice = f"Write {_quoted_group(right)}."
                yield self._warning(f"apiGroups[{index}]", f"no request has API group {group!r}", advice)

    def _group_for(self, group: str) -> str | None:
        """The group that was probably meant; None if the group is probably one that is installed later."""
        lower, _, version = group.lower().partition("/")
        if lower in ("core", "v1", "api"):
            return ""
        if lower in self._served.groups and (version or lower != group):
            return lower
        for served in sorted(self._served.groups):
            if served.split(".")[0] == lower:  # rbac, networking, storage
                return served
        unversioned, first = _VERSION.sub("", lower), "" if lower.startswith("core.") else lower.split(".")[0]
        for near in (unversioned, first):  # v1.apps, apps.k8s.io
            if near != lower and near in self._served.groups and any(self._served.find(near, e) for e in self._items):
                return near
        serving = [each for item in self._items for each in self._served.groups_of(item)]
        if "." not in lower and serving:  # only Kubernetes has groups without a dot
            return serving[0]
        close = difflib.get_close_matches(lower, sorted(self._served.groups), 1, _CLOSE_GROUP)
        return close[0] if close else None

    # ---- resources

    def _found(self, item: str) -> bool:
        """Whether a group of the rule has the resource, or its resources are unknown."""
        if self._any_group:
            return bool(self._served.groups_of(item)) or bool(self._served.find("", item)) or bool(self._served.unread)
        return any(group in self._served.unread or self._served.find(group, item) for group in self._groups)

    def _wrong_resources(self) -> Iterator[Finding]:
        present = [group for group in self._groups if group not in self._absent]
        if not present and not self._any_group:
            return
        for index, item in enumerate(self._rule.resources):
            if item not in self._items or self._found(item):
                continue
            where = ", ".join(group or '""' for group in present) or "any"
            problem = f"API group {where} has no resource {item!r}"
            yield self._warning(f"resources[{index}]", problem, self._resource_for(item, present))

    def _resource_for(self, item: str, present: Sequence[str]) -> str:
        groups = self._served.groups_of(item)
        if groups:
            return f"It is in API group {_quoted_group(groups[0])}: write a rule with that group in apiGroups."
        wanted = item.lower()
        for group in present or sorted(self._served.groups):
            right = self._spelled(wanted, group)
            if right:
                return f"Write {right}."
        for group in sorted(self._served.groups):
            right = self._spelled(wanted, group, close=False)
            if right:
                return f"Write {right}, with {_quoted_group(group)} in apiGroups."
        return "Remove it, or install what serves it."

    def _spelled(self, wanted: str, group: str, *, close: bool = True) -> str:
        """The resource of a group that a text probably means: its singular, kind, short name, or a misspelling."""
        items = self._served.items_of(group)
        resource, _, sub = wanted.partition("/")
        if not sub and wanted in items:
            return wanted
        for item in items:
            found = self._served.find(group, item)
            if found is not None and resource in (item, *found.spellings):
                if not sub:
                    return item
                subs = [each for each in items if each.startswith(f"{item}/")]
                for near in difflib.get_close_matches(f"{item}/{sub}", subs, 1):
                    return near
        alike = difflib.get_close_matches(wanted, items, 1, 0.75) if close else []
        return alike[0] if alike else ""

    # ---- verbs

    def _wrong_verbs(self) -> Iterator[Finding]:
        if self._rule.non_resource_urls:
            return
        resources = [
            found for group in self._groups for item in self._items if (found := self._served.find(group, item))
        ]
        judged = resources and len(self._items) == len(self._rule.resources) and not self._any_group
        judged = judged and not any(group in self._served.unread or group in self._absent for group in self._groups)
        for index, verb in enumerate(self._rule.verbs):
            if not is_known_verb(verb):
                right = nearest_verb(verb)
                advice = f"Write {right}." if right else f"The verbs of requests are {', '.join(VERBS)}."
                yield self._warning(f"verbs[{index}]", f"no request has the verb {verb!r}", advice)
            elif judged and not any(has_verb(found, verb) for found in resources):
                verbs = sorted({each for found in resources for each in found.verbs})
                names = ", ".join(dict.fromkeys(found.item for found in resources))
                advice = f"Remove it. Verbs of {names}: {', '.join(verbs)}." if verbs else "Remove it."
                yield self._warning(f"verbs[{index}]", f"no request for {names} has the verb {verb!r}", advice)

    # ---- scope

    def _wrong_scope(self) -> Iterator[Finding]:
        if self._cluster_wide:
            return
        unused: dict[str, list[str]] = {}
        for item in self._items:
            for verb in self._rule.verbs:
                sent = [self._sent(group, item, verb) for group in self._groups]
                possible = [each for each in sent if each is not None]
                if possible and not any(each.namespace for each in possible):
                    unused.setdefault(item, []).append(verb)
        by_verbs: dict[tuple[str, ...], list[str]] = {}
        for item, of_item in unused.items():
            by_verbs.setdefault(tuple(of_item), []).append(item)
        for verbs, items in by_verbs.items():
            is_are = "is a cluster-scoped resource" if len(items) == 1 else "are cluster-scoped resources"
            yield self._warning(
                f"resources[{self._rule.resources.index(items[0])}]",
                f"{', '.join(items)} {is_are}: a tier in a namespace allows no {', '.join(verbs)} of "
                f"{'it' if len(items) == 1 else 'them'}",
                f"Write the rule in a tier of its own, with scope: Cluster, or remove {', '.join(items)}.",
            )

    def _sent(self, group: str, item: str, verb: str) -> Request | None:
        resource, _, sub = item.partition("/")
        names = self._rule.resource_names
        return self._served.sent(Request(verb, group, resource, sub, names[0] if names else "", "any"))

    # ---- names

    def _wrong_names(self) -> Iterator[Finding]:
        rule = self._rule
        if not rule.resource_names or not any("/" not in item for item in rule.resources):
            return
        if any("/" in item for item in rule.resources):
            return  # requests to create a subresource have a name
        applied = {"patch", "update", ALL} & set(rule.verbs)  # a server-side apply creates an object by its name
        for verb in ("create", "deletecollection"):
            if verb in rule.verbs and not (verb == "create" and applied):
                yield self._warning(
                    f"verbs[{rule.verbs.index(verb)}]",
                    f"a {verb} request has no name, so a rule with resourceNames does not allow it",
                    f"Write {verb} in a rule without resourceNames, or remove it.",
                )


def _quoted_group(group: str) -> str:
    return group or '""'
