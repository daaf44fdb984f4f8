"""The result of a quarantine: what was removed, what could not be removed, and when the removal took effect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent_identities.chart.objects import Key
from agent_identities.quarantine.plan import Step, TargetAccounts
from agent_identities.report.model import Report, Result


class FailureKind(StrEnum):
    """The reason why something of the target may be left; the id of the finding."""

    NOT_REMOVED = "not-removed"
    """The API server did not remove an object."""
    NOT_SEARCHED = "not-searched"
    """Objects could not be read, so that some may be left."""
    NOT_VERIFIED = "not-verified"
    """The API server could not be asked whether anything is left."""
    STILL_VALID = "still-valid"
    """Requests of the target are still allowed or authenticated."""
    RESTORED = "restored"
    """A removed object exists again."""
    UPGRADE = "upgrade-running"
    """A Helm operation on the release is in progress, and may restore objects."""
    SERVER_GONE = "server-gone"
    """The API server does not serve any more."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why the target is not fully quarantined. ``object`` is the object concerned, None for none."""

    kind: FailureKind
    message: str
    object: Key | None = None

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Revocation(Result):
    """The steps that were done, the failures, and the times.

    ``home`` is the namespace of the release. Times are seconds since the start of the command. ``done_after`` has the
    times when "bindings", "account" and "pods" were removed. ``last_allowed`` and ``last_authenticated`` are None if no
    such request was observed, or if they did not end. ``values_change`` are the values that make the quarantine
    permanent.
    """

    target: TargetAccounts
    release: str
    home: str = ""
    dry_run: bool = False
    steps: tuple[Step, ...] = ()
    left: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    done_after: Mapping[str, float] = field(default_factory=dict)
    last_allowed: float | None = None
    last_authenticated: float | None = None
    values_change: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing of the target is left."""
        return not self.left

    def report(self, *, listing: bool = False) -> Report:  # noqa: ARG002  # every step is listed already
        """The result as a report."""
        from agent_identities.quarantine.report import build

        return build(self)
