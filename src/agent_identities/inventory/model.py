"""The result of a look at a cluster: findings, and what could not be read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_identities.rbac.served import UNKNOWN, Served
from agent_identities.report.model import Finding, Severity

if TYPE_CHECKING:
    from agent_identities.inventory.bindings import HeldRole
    from agent_identities.inventory.ways_in import Entrants

NOT_READ = "not-read"
"""The rule of the warnings about objects that could not be read."""


@dataclass(frozen=True, slots=True)
class NotRead:
    """Objects that the API server did not let the caller read.

    ``what`` names them, as the beginning of a sentence: "RoleBindings outside namespaces agent-system, team-x".
    ``consequence`` is what therefore was not looked for. ``why`` is the API server's answer.
    """

    what: str
    consequence: str
    why: str

    @property
    def finding(self) -> Finding:
        """A warning: with ``--strict``, the command exits with 1."""
        return Finding(
            NOT_READ,
            Severity.WARNING,
            f"{self.what}: not read. Not looked for: {self.consequence}.",
            details=(f"API server: {self.why}",),
        )


@dataclass(frozen=True, slots=True)
class Inventory:
    """``found`` are the findings; an error is something that the values do not declare.

    ``notes`` are sentences for the notes of a report, ``workloads`` those about pods that other users run as agents on
    purpose. ``undeclared_roles`` are the roles that agents hold and the values do not declare. ``served`` are the
    resources of the API server. ``entrants`` are the subjects that can become an agent, also those without a finding.
    """

    found: tuple[Finding, ...] = ()
    not_read: tuple[NotRead, ...] = ()
    notes: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    undeclared_roles: "tuple[HeldRole, ...]" = ()
    served: Served = UNKNOWN
    entrants: "Entrants | None" = None

    @property
    def errors(self) -> int:
        """The number of errors in ``found``."""
        return sum(each.severity is Severity.ERROR for each in self.found)

    @property
    def warnings(self) -> int:
        """The number of warnings in ``found``."""
        return len(self.found) - self.errors

    def findings(self) -> Iterator[Finding]:
        """The errors, the warnings, then what was not read."""
        yield from sorted(self.found, key=lambda each: each.severity is not Severity.ERROR)
        yield from (each.finding for each in self.not_read)


EMPTY = Inventory()
"""Nothing was found, and everything was read."""
