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


class OutlivingKind(StrEnum):
    """What outlives a quarantine; the id of the finding."""

    CONNECTION = "open-connections"
    """Watches and sessions that were opened before."""
    AUDIENCE = "other-audience"
    """Tokens for services that do not ask the API server."""
    CLOUD = "cloud-identity"
    """Credentials that a cloud has issued."""
    FINALIZER = "finalizer"
    """An object that is deleted and still exists."""
    ANNOTATION = "kept-by-annotation"
    """An object that Helm or a GitOps controller keeps, or creates again."""
    GROUP = "group-binding"
    """A binding to a group with the agent."""
    CONTROLLER = "foreign-controller"
    """A controller outside the release that ran pods as the agent."""
    POD = "labelled-pod"
    """A pod with the agent's label that runs as another ServiceAccount."""
    TRAFFIC = "open-traffic"
    """A NetworkPolicy outside the release that allows traffic of the agent's pods."""
    SECRET = "token-secret"  # noqa: S105  # not a password
    """A Secret with a token that never expires."""


@dataclass(frozen=True, slots=True)
class Outliving:
    """Something that the quarantine does not end: ``what`` it is, and the ``remediation``.

    ``object`` is the object concerned, None for none.
    """

    kind: OutlivingKind
    what: str
    remediation: str
    object: Key | None = None

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True)
class Revocation(Result):
    """The steps that were done, the failures, and the times.

    ``home`` is the namespace of the release. Times are seconds since the start of the command. ``done_after`` has the
    times when "bindings", "account" and "pods" were removed. ``last_allowed`` and ``last_authenticated`` are None if no
    such request was observed, or if they did not end. ``outlives`` does not make the quarantine incomplete: no second
    run ends it. ``values_change`` are the values that make the quarantine permanent, {} if ``already`` says where they
    are. ``every``: the target are all agents of the release. ``upgradable`` is false if Helm refuses an upgrade.
    ``not_created`` are the ServiceAccounts of the target that the chart does not create.
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
    outlives: tuple[Outliving, ...] = ()
    values_change: Mapping[str, Any] = field(default_factory=dict)
    already: str = ""
    every: bool = False
    upgradable: bool = True
    not_created: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing of the target is left."""
        return not self.left

    def report(self, *, listing: bool = False) -> Report:  # noqa: ARG002  # every step is listed already
        """The result as a report."""
        from agent_identities.quarantine.report import build

        return build(self)
