"""Checks on what the chart renders. One file a question; a module of this package with a CHECK is a check."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from agent_identities.chart.objects import KubeObject, Objects
from agent_identities.declaration import Declaration
from agent_identities.rbac import Authorizer, Catalogue, Policy


class Severity(StrEnum):
    """An error breaks the promise of the product; a warning is what the values ask for and one should know."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has against one object: ``place`` names it, ``cure`` says what to change."""

    check: str
    severity: Severity
    place: str
    message: str
    cure: str


@dataclass(frozen=True)
class Install:
    """What is judged: objects, the values' promise they are held to, and the risk catalogue.

    ``release_bytes`` is the size of Helm's record of the release (``release_record``); 0 where there is no release.
    """

    objects: Objects
    declaration: Declaration
    catalogue: Catalogue
    release_bytes: int = 0

    @cached_property
    def policy(self) -> Policy:
        """The Roles and bindings among the objects."""
        return Policy.from_manifests(self.objects.manifests())

    @cached_property
    def authorizer(self) -> Authorizer:
        """Decides as an API server would that held these objects and no others."""
        return Authorizer(self.policy)


@dataclass(frozen=True, slots=True)
class Check:
    """A question about an install: ``title`` is the promise, ``why`` what breaks without it, ``id`` its name."""

    id: str
    title: str
    why: str
    run: Callable[[Install], Iterator[Finding]]


def all_checks() -> tuple[Check, ...]:
    """Every check of this package, sorted by id."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    modules = (importlib.import_module(f"{__name__}.{name}") for name in names)
    checks = (getattr(module, "CHECK", None) for module in modules)
    return tuple(sorted((check for check in checks if isinstance(check, Check)), key=lambda check: check.id))


def run(install: Install, checks: Iterable[Check] | None = None) -> tuple[Finding, ...]:
    """What the checks (all of them when None) find, errors first."""
    findings = (finding for check in checks or all_checks() for finding in check.run(install))
    return tuple(sorted(findings, key=lambda finding: (finding.severity, finding.check, finding.place)))


def subjects(binding: KubeObject) -> Iterator[Mapping[str, Any]]:
    """The subjects of a binding."""
    yield from binding.body.get("subjects") or ()


def service_account(subject: Mapping[str, Any], binding: KubeObject) -> tuple[str, str] | None:
    """(namespace, name) of the ServiceAccount that a subject means, in either spelling; None for other subjects.

    A User named system:serviceaccount:NAMESPACE:NAME is that ServiceAccount; a ServiceAccount without a namespace is in
    the binding's (pkg/registry/rbac/validation/rule.go).
    """
    if subject.get("kind") == "ServiceAccount":
        return subject.get("namespace") or binding.key.namespace, subject.get("name", "")
    if subject.get("kind") == "User" and str(subject.get("name", "")).startswith("system:serviceaccount:"):
        _, _, namespace, name = (*str(subject["name"]).split(":", 3), "", "")[:4]
        return namespace, name
    return None
