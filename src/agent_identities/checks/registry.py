"""What a check is, and all of them: a module of this package with a CHECK is a check."""

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from agent_identities.chart.names import AGENT_LABEL, PROXY_TIER, TIER_LABEL, values_path
from agent_identities.chart.objects import KubeObject, Objects
from agent_identities.declaration import Declaration
from agent_identities.rbac import Authorizer, Catalogue, Policy, ServiceAccount
from agent_identities.report.model import Finding, Location, Rule, Severity


@dataclass(frozen=True)
class Install:
    """What is judged: objects, the values' promise they are held to, and the risk catalogue.

    ``release_bytes`` is the size of Helm's record of the release (``release_record``); 0 where there is no release.
    """

    objects: Objects
    declaration: Declaration
    catalogue: Catalogue
    release_bytes: int = 0

    def at(self, obj: KubeObject, field: str = "") -> Location:
        """Where a finding about an object of the install is; ``field`` is a path in the object."""
        return Location(obj.key, field, self._values_path(obj, field), obj.source)

    def _values_path(self, obj: KubeObject, field: str) -> str:
        """The entry of the values that the chart made the object from, "" where its labels name none."""
        if tier := obj.labels.get(TIER_LABEL):
            index = re.match(r"rules\[(\d+)\]", field)
            known = self.declaration.tiers.get(tier)
            rule = f".{index[0]}" if index and known is not None and int(index[1]) < len(known) else ""
            return f"{'' if tier == PROXY_TIER else 'tiers.'}{tier}{rule or ('.rules' if index else '')}"
        name = obj.labels.get(AGENT_LABEL)
        identity = self.declaration.find(obj.key.namespace, name) if name else None
        return "" if identity is None else values_path(identity.entry)

    @cached_property
    def policy(self) -> Policy:
        """The Roles and bindings among the objects."""
        return Policy.from_manifests(self.objects.manifests())

    @cached_property
    def authorizer(self) -> Authorizer:
        """Decides as an API server would that held these objects and no others."""
        return Authorizer(self.policy)


@dataclass(frozen=True, slots=True)
class Check(Rule):
    """A question about an install. ``run`` yields what breaks the promise of ``title``."""

    run: Callable[[Install], Iterator[Finding]]

    def finding(self, location: Location, what: str, *remediation: str, severity: Severity = Severity.ERROR) -> Finding:
        """A finding of this check; the location is the subject of the sentence, ``what`` the rest."""
        return Finding(self.id, severity, f"{location} {what}.", location, remediation=remediation)


def all_checks() -> tuple[Check, ...]:
    """Every check of this package, sorted by id."""
    names = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    modules = (importlib.import_module(f"{__package__}.{name}") for name in names)
    checks = (getattr(module, "CHECK", None) for module in modules)
    return tuple(sorted((check for check in checks if isinstance(check, Check)), key=lambda check: check.id))


def run(install: Install, checks: Iterable[Check] | None = None) -> tuple[Finding, ...]:
    """What the checks (all of them when None) find, errors first."""
    chosen = all_checks() if checks is None else checks
    findings = (finding for check in chosen for finding in check.run(install))
    return tuple(sorted(findings, key=lambda finding: (finding.severity, finding.rule, finding.message)))


def subjects(binding: KubeObject) -> Iterator[Mapping[str, Any]]:
    """The subjects of a binding."""
    yield from binding.body.get("subjects") or ()


def service_account(subject: Mapping[str, Any], binding: KubeObject) -> ServiceAccount | None:
    """The ServiceAccount that a subject means, in either spelling; None for other subjects.

    A User named system:serviceaccount:NAMESPACE:NAME is that ServiceAccount; a ServiceAccount without a namespace is in
    the binding's (pkg/registry/rbac/validation/rule.go).
    """
    if subject.get("kind") == "ServiceAccount":
        return ServiceAccount(subject.get("namespace") or binding.key.namespace, subject.get("name", ""))
    return ServiceAccount.of_user(str(subject.get("name", ""))) if subject.get("kind") == "User" else None
