"""The type of a check, and the list of all checks: every module of this package with a CHECK."""

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from agent_identities.chart.names import AGENT_LABEL, PROXY_TIER, TIER_LABEL, agent_label, values_path
from agent_identities.chart.objects import KubeObject, Objects
from agent_identities.chart.values import IdleNull
from agent_identities.declaration import Declaration
from agent_identities.rbac import Authorizer, Catalogue, Policy, ServiceAccount
from agent_identities.report.model import Finding, Location, Rule, Severity


@dataclass(frozen=True)
class Install:
    """The input of checks: the rendered objects, the declaration of the values, and the risk catalogue.

    ``release_bytes`` is the size of Helm's record of the release (``release_record``); 0 without a release.
    ``idle_nulls`` are the entries of the values files with null that remove nothing.
    """

    objects: Objects
    declaration: Declaration
    catalogue: Catalogue
    release_bytes: int = 0
    idle_nulls: tuple[IdleNull, ...] = ()

    def at(self, obj: KubeObject, field: str = "") -> Location:
        """The location of a finding about an object of the install; ``field`` is a path in the object."""
        return Location(obj.key, field, self._values_path(obj, field), obj.source)

    def _values_path(self, obj: KubeObject, field: str) -> str:
        """The entry of the values from which the chart rendered the object, "" if its labels name no entry."""
        if tier := obj.labels.get(TIER_LABEL):
            index = re.match(r"rules\[(\d+)\]", field)
            known = self.declaration.tiers.get(tier)
            rule = f".{index[0]}" if index and known is not None and int(index[1]) < len(known) else ""
            return f"{'' if tier == PROXY_TIER else 'tiers.'}{tier}{rule or ('.rules' if index else '')}"
        name = obj.labels.get(AGENT_LABEL)
        entry = self._entries.get((obj.key.namespace, name)) if name else None
        return "" if entry is None else values_path(entry)

    @cached_property
    def _entries(self) -> Mapping[tuple[str, str], str]:
        """(namespace, value of AGENT_LABEL) -> the key of the agent in the values."""
        active = (self.declaration.proxy, *self.declaration.agents)
        return {(one.namespace, agent_label(one.name, one.entry)): one.entry for one in active}

    @cached_property
    def policy(self) -> Policy:
        """The Roles and bindings among the objects."""
        return Policy.from_manifests(self.objects.manifests())

    @cached_property
    def authorizer(self) -> Authorizer:
        """An authorizer that decides like an API server with exactly these objects."""
        return Authorizer(self.policy)


@dataclass(frozen=True, slots=True)
class Check(Rule):
    """A check of an install. ``run`` yields a finding for each object that breaks the rule in ``title``."""

    run: Callable[[Install], Iterator[Finding]]

    def finding(self, location: Location, what: str, *remediation: str, severity: Severity = Severity.ERROR) -> Finding:
        """A finding of this check. The location is the subject of the sentence, ``what`` is the predicate."""
        return Finding(self.id, severity, f"{location} {what}.", location, remediation=remediation)


def all_checks() -> tuple[Check, ...]:
    """Every check of this package, sorted by id."""
    names = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    modules = (importlib.import_module(f"{__package__}.{name}") for name in names)
    checks = (getattr(module, "CHECK", None) for module in modules)
    return tuple(sorted((check for check in checks if isinstance(check, Check)), key=lambda check: check.id))


def run(install: Install, checks: Iterable[Check] | None = None) -> tuple[Finding, ...]:
    """The findings of the checks (None: of all checks), errors first."""
    chosen = all_checks() if checks is None else checks
    findings = (finding for check in chosen for finding in check.run(install))
    return tuple(sorted(findings, key=lambda finding: (finding.severity, finding.rule, finding.message)))


def subjects(binding: KubeObject) -> Iterator[Mapping[str, Any]]:
    """The subjects of a binding."""
    yield from binding.body.get("subjects") or ()


def service_account(subject: Mapping[str, Any], binding: KubeObject) -> ServiceAccount | None:
    """The ServiceAccount of a subject of kind ServiceAccount or User; None for other subjects.

    A User named system:serviceaccount:NAMESPACE:NAME is that ServiceAccount. A ServiceAccount without a namespace is in
    the namespace of the binding (pkg/registry/rbac/validation/rule.go).
    """
    if subject.get("kind") == "ServiceAccount":
        return ServiceAccount(subject.get("namespace") or binding.key.namespace, subject.get("name", ""))
    return ServiceAccount.of_user(str(subject.get("name", ""))) if subject.get("kind") == "User" else None
