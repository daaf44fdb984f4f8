"""The proposals as values: a tier for each entry, to lay over the values that are there."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_identities.audit.rightsize import Proposal
from agent_identities.audit.trace import Problem
from agent_identities.chart import values as values_files
from agent_identities.declaration import EVERYWHERE, Declaration
from agent_identities.rbac import Catalogue, PolicyRule
from agent_identities.report.model import Report, Result

_LONGEST = 63
_WILDCARD = "wildcard"
_REFUSED = ("critical", "high")


@dataclass(frozen=True, slots=True)
class Change:
    """``values`` to lay over the others, after ``removals`` (paths of keys) are taken out of them.

    ``unheld`` are tiers that no agent holds any more.
    """

    values: Mapping[str, Any]
    removals: tuple[tuple[str, ...], ...]
    unheld: tuple[str, ...]

    def applied_to(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values with the change in them."""
        left: dict[str, Any] = dict(values)
        for path in self.removals:
            left = _without(left, path)
        return values_files.overlay(left, self.values)


@dataclass(frozen=True, slots=True)
class Rightsizing(Result):
    """The proposals, the change of the values that makes them true, and the lines of the log that could not be read."""

    proposals: tuple[Proposal, ...]
    change: Change
    problems: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is nothing to change."""
        return not self.change.values

    def report(self, *, listing: bool = False) -> Report:  # noqa: ARG002  # every proposal is listed already
        """The proposals in words and diffs."""
        from agent_identities.audit.rightsize_report import build

        return build(self)


def change(
    proposals: Sequence[Proposal], declaration: Declaration, values: Mapping[str, Any], catalogue: Catalogue
) -> Change:
    """The change of ``values`` (as values.load gives them) that makes the proposals true."""
    tiers: dict[str, Any] = {}
    agents: dict[str, Any] = {}
    proxy: dict[str, Any] = {}
    removals: list[tuple[str, ...]] = []
    held = _held(values)
    for proposal in (one for one in proposals if one.narrower):
        if proposal.identities[0] is declaration.proxy:
            rules = proposal.rules[declaration.namespace]
            accepted = _accepted(proposal, declaration, rules, declaration.namespace, catalogue)
            proxy = {"rules": _manifests(rules), **({"acceptRisks": accepted} if accepted else {})}
            gone = set(values["proxy"].get("acceptRisks") or ()) - set(accepted)
            removals += (("proxy", "acceptRisks", risk) for risk in sorted(gone))
            continue
        own = _Tiers(proposal, values, held)
        for where, rules in proposal.rules.items():
            own.grant(where, rules, _accepted(proposal, declaration, rules, where, catalogue))
        for grant in proposal.kept:
            own.keep(grant.tier, grant.namespace)
        tiers |= own.tiers
        removals += own.replaced
        agent: dict[str, Any] = {
            "tiers": [*own.in_namespace.pop(EVERYWHERE, ()), *own.in_namespace.pop(declaration.namespace, ())]
        }
        if own.in_namespace:
            agent["namespaces"] = own.in_namespace
        agents[proposal.entry] = agent
        before = values["agents"][proposal.entry].get("namespaces") or {}
        if before and not own.in_namespace:
            removals.append(("agents", proposal.entry, "namespaces"))
        else:
            gone = set(before) - set(own.in_namespace)
            removals += (("agents", proposal.entry, "namespaces", where) for where in sorted(gone))
    parts = {"proxy": proxy, "tiers": tiers, "agents": agents}
    changed = {key: part for key, part in parts.items() if part}
    after = _held(values_files.overlay(values, changed))
    unheld = tuple(sorted(tier for tier in held if tier in values["tiers"] and tier not in after))
    return Change(changed, tuple(removals), unheld)


class _Tiers:
    """The tiers of one entry; the same rules twice are one."""

    def __init__(self, proposal: Proposal, values: Mapping[str, Any], held: Mapping[str, frozenset[str]]) -> None:
        self._entry = proposal.entry
        self._values = values
        self._held = held
        self._names: dict[tuple[bool, tuple[PolicyRule, ...]], str] = {}
        self.tiers: dict[str, Any] = {}
        self.replaced: list[tuple[str, ...]] = []
        self.in_namespace: dict[str, list[str]] = {}

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
        tiers = self.in_namespace.setdefault(where, [])
        if tier not in tiers:
            tiers.append(tier)

    def _candidates(self) -> Iterator[str]:
        """TRIAGE-used, with what tells it from others; a long name is cut, and ends with a digest of it."""
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
        """Whether nobody else holds it: this entry's own from an earlier run is replaced."""
        taken = self._values["tiers"].get(name) is not None and self._held.get(name) != frozenset({self._entry})
        return not taken and name not in self.tiers


def _held(values: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Which entries hold each tier."""
    held: dict[str, frozenset[str]] = {}
    for entry, agent in values["agents"].items():
        if agent is not None:
            elsewhere = (tier for tiers in (agent.get("namespaces") or {}).values() for tier in tiers)
            for tier in (*agent.get("tiers", ()), *elsewhere):
                held[tier] = held.get(tier, frozenset()) | {entry}
    return held


def _accepted(
    proposal: Proposal, declaration: Declaration, rules: Sequence[PolicyRule], where: str, catalogue: Catalogue
) -> dict[str, str]:
    """The risks that the rules still have, of those that the entry's tiers accepted.

    What a wildcard hid stands as part of it. Where nothing was accepted nothing is: that is for a person to do.
    """
    tiers = dict.fromkeys(tier for one in proposal.identities for tier in one.tiers)
    before = {risk: why for tier in tiers for risk, why in declaration.accepted.get(tier, {}).items()}
    if not before:
        return {}
    categories = {risk.id: risk.category for risk in catalogue.risks}
    wide = next((risk for risk in before if categories.get(risk) == _WILDCARD), None)
    found = catalogue.findings(rules, cluster_wide=where == EVERYWHERE, namespace=where)
    met = {match.risk.id: match.risk for match in found}
    accepted = {risk: before[risk] for risk in met if risk in before}
    if wide is not None:
        hidden = (risk.id for risk in met.values() if risk.id not in before and risk.severity in _REFUSED)
        accepted |= dict.fromkeys(hidden, f"part of {wide}: {before[wide]}")
    return dict(sorted(accepted.items()))


def _manifests(rules: Iterable[PolicyRule]) -> list[dict[str, list[str]]]:
    return [rule.to_manifest() for rule in rules]


def _without(values: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    key, *rest = path
    if not rest:
        return {name: value for name, value in values.items() if name != key}
    below = values.get(key)
    return {**values, key: _without(below, rest)} if isinstance(below, Mapping) else dict(values)
