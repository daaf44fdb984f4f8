"""The proposals as values: a new tier for each entry, as an overlay of the current values."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_identities.audit.rightsize import Proposal
from agent_identities.audit.trace import Trace
from agent_identities.chart import values as values_files
from agent_identities.declaration import EVERYWHERE, Declaration
from agent_identities.rbac import Catalogue, PolicyRule
from agent_identities.report.model import Report, Result

_LONGEST = 63
_WILDCARD = "wildcard"
_REFUSED = ("critical", "high")


@dataclass(frozen=True, slots=True)
class Change:
    """An overlay ``values`` of the current values, from which the keys ``removals`` are removed first.

    ``unassigned`` are tiers that no agent has after the change.
    """

    values: Mapping[str, Any]
    removals: tuple[tuple[str, ...], ...]
    unassigned: tuple[str, ...]

    def applied_to(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values after the change."""
        remaining: dict[str, Any] = dict(values)
        for path in self.removals:
            remaining = _without(remaining, path)
        return values_files.overlay(remaining, self.values)


@dataclass(frozen=True, slots=True)
class Rightsizing(Result):
    """The proposals, the change of the values that applies them, and the trace that they are based on."""

    proposals: tuple[Proposal, ...]
    change: Change
    trace: Trace

    @property
    def ok(self) -> bool:
        """Whether the values need no change."""
        return not self.change.values

    def report(self, *, listing: bool = False) -> Report:  # noqa: ARG002  # every proposal is already listed
        """The proposals as text and diffs."""
        from agent_identities.audit.rightsize_report import build

        return build(self)


def change(
    proposals: Sequence[Proposal], declaration: Declaration, values: Mapping[str, Any], catalogue: Catalogue
) -> Change:
    """The change of ``values`` (from values.load) that applies the proposals."""
    tiers: dict[str, Any] = {}
    agents: dict[str, Any] = {}
    proxy: dict[str, Any] = {}
    removals: list[tuple[str, ...]] = []
    held = _held(values)
    for proposal in (each for each in proposals if each.narrower):
        if proposal.identities[0] is declaration.proxy:
            rules = proposal.rules[declaration.namespace]
            accepted = _accepted(proposal, declaration, rules, declaration.namespace, catalogue)
            proxy = {"rules": _manifests(rules), **({"acceptRisks": accepted} if accepted else {})}
            obsolete = set(values["proxy"].get("acceptRisks") or ()) - set(accepted)
            removals += (("proxy", "acceptRisks", risk) for risk in sorted(obsolete))
            continue
        entry_tiers = _EntryTiers(proposal, values, held)
        for where, rules in proposal.rules.items():
            entry_tiers.grant(where, rules, _accepted(proposal, declaration, rules, where, catalogue))
        for grant in proposal.kept:
            entry_tiers.keep(grant.tier, grant.namespace)
        tiers |= entry_tiers.tiers
        removals += entry_tiers.replaced
        by_namespace = entry_tiers.by_namespace
        agent: dict[str, Any] = {
            "tiers": [*by_namespace.pop(EVERYWHERE, ()), *by_namespace.pop(declaration.namespace, ())]
        }
        if by_namespace:
            agent["namespaces"] = by_namespace
        agents[proposal.entry] = agent
        before = values["agents"][proposal.entry].get("namespaces") or {}
        if before and not by_namespace:
            removals.append(("agents", proposal.entry, "namespaces"))
        else:
            obsolete = set(before) - set(by_namespace)
            removals += (("agents", proposal.entry, "namespaces", where) for where in sorted(obsolete))
    parts = {"proxy": proxy, "tiers": tiers, "agents": agents}
    changed = {key: part for key, part in parts.items() if part}
    after = _held(values_files.overlay(values, changed))
    unassigned = tuple(sorted(tier for tier in held if tier in values["tiers"] and tier not in after))
    return Change(changed, tuple(removals), unassigned)


class _EntryTiers:
    """The tiers of one entry. Equal rules have one tier."""

    def __init__(self, proposal: Proposal, values: Mapping[str, Any], held: Mapping[str, frozenset[str]]) -> None:
        self._entry = proposal.entry
        self._values = values
        self._held = held
        self._names: dict[tuple[bool, tuple[PolicyRule, ...]], str] = {}
        self.tiers: dict[str, Any] = {}
        self.replaced: list[tuple[str, ...]] = []
        self.by_namespace: dict[str, list[str]] = {}

    def grant(self, where: str, rules: tuple[PolicyRule, ...], accepted: Mapping[str, str]) -> None:
        key = where == EVERYWHERE, rules
        if key not in self._names:
            self._names[key] = name = next(name for name in self._candidates() if self._free(name))
            if self._values["tiers"].get(name) is not None:
                self.replaced.append(("tiers", name))
            self.tiers[name] = {
                **({"scope": "Cluster"} if where == EVERYWHERE else {}),
                "rules": _manifests(rules),
                **({"acceptRisks": dict(accepted)} if accepted else {}),
            }
        elif accepted:
            self.tiers[self._names[key]].setdefault("acceptRisks", {}).update(accepted)
        self.keep(self._names[key], where)

    def keep(self, tier: str, where: str) -> None:
        tiers = self.by_namespace.setdefault(where, [])
        if tier not in tiers:
            tiers.append(tier)

    def _candidates(self) -> Iterator[str]:
        """ENTRY-used, ENTRY-used-2, and so on. A long name is truncated and has a digest of the entry."""
        number = 1
        while True:
            ending = "-used" if number == 1 else f"-used-{number}"
            name = self._entry + ending
            if len(name) > _LONGEST:
                digest = hashlib.sha256(self._entry.encode()).hexdigest()[:8]
                name = f"{self._entry[: _LONGEST - len(ending) - 9]}-{digest}{ending}"
            yield name
            number += 1

    def _free(self, name: str) -> bool:
        """Whether no other entry has a tier of this name. The entry's own tier from an earlier run is replaced."""
        in_use = self._values["tiers"].get(name) is not None and self._held.get(name) != frozenset({self._entry})
        return not in_use and name not in self.tiers


def _held(values: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The entries that have each tier."""
    held: dict[str, frozenset[str]] = {}
    for entry, agent in values["agents"].items():
        if agent is not None:
            other_namespaces = (tier for tiers in (agent.get("namespaces") or {}).values() for tier in tiers)
            for tier in (*agent.get("tiers", ()), *other_namespaces):
                held[tier] = held.get(tier, frozenset()) | {entry}
    return held


def _accepted(
    proposal: Proposal, declaration: Declaration, rules: Sequence[PolicyRule], where: str, catalogue: Catalogue
) -> dict[str, str]:
    """The risks of the rules that the entry's current tiers accept.

    An accepted wildcard risk also accepts the risks that it includes. If the current tiers accept no risk, the new
    tier does not either: accepting a risk is a decision of the user.
    """
    tiers = dict.fromkeys(tier for identity in proposal.identities for tier in identity.tiers)
    before = {risk: why for tier in tiers for risk, why in declaration.accepted.get(tier, {}).items()}
    if not before:
        return {}
    categories = {risk.id: risk.category for risk in catalogue.risks}
    wildcard = next((risk for risk in before if categories.get(risk) == _WILDCARD), None)
    found = catalogue.findings(rules, cluster_wide=where == EVERYWHERE, namespace=where)
    present = {match.risk.id: match.risk for match in found}
    accepted = {risk: before[risk] for risk in present if risk in before}
    if wildcard is not None:
        included = (risk.id for risk in present.values() if risk.id not in before and risk.severity in _REFUSED)
        accepted |= dict.fromkeys(included, f"part of {wildcard}: {before[wildcard]}")
    return dict(sorted(accepted.items()))


def _manifests(rules: Iterable[PolicyRule]) -> list[dict[str, list[str]]]:
    return [rule.to_manifest() for rule in rules]


def _without(values: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    key, *rest = path
    if not rest:
        return {name: value for name, value in values.items() if name != key}
    below = values.get(key)
    return {**values, key: _without(below, rest)} if isinstance(below, Mapping) else dict(values)
