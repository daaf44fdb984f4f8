"""The differences between a cluster and the values, as findings with the API server's reason and remediations."""

from collections.abc import Callable, Iterator, Sequence

from agent_identities.chart.names import values_path
from agent_identities.chart.objects import Key
from agent_identities.declaration import Identity
from agent_identities.inventory.release_objects import ReleaseObjects
from agent_identities.rbac import GrantedBy, granted_by
from agent_identities.report.model import Finding, Location, Severity
from agent_identities.report.undeclared import undeclared_account
from agent_identities.report.words import AFTER_QUARANTINE, label, phrase, remediation
from agent_identities.verify.matrix import AccessCell, Matrix

UNDECLARED_RIGHT = "undeclared-right"
MISSING_RIGHT = "missing-right"
ABSENT_ACCOUNT = "absent-account"


def differences(matrix: Matrix) -> Iterator[Finding]:
    """Findings: absent ServiceAccounts, answers that differ (grouped by the server's reason), undeclared agents."""
    yield from _absences(matrix)
    made = ReleaseObjects(matrix.declaration).makes_granting
    by_cause: dict[tuple[bool, object], list[AccessCell]] = {}
    for cell in matrix.unexplained:
        by_cause.setdefault((cell.allowed, _role_of_release(cell, made) or _cause(cell)), []).append(cell)
    for (allowed, cause), cells in by_cause.items():
        names = list(dict.fromkeys(cell.identity.name for cell in cells))
        permissions = list(dict.fromkeys(cell.request for cell in cells))
        verb, declared = ("may", "the values do not declare it") if allowed else ("may not", "the values declare it")
        if len(cells) < len(names) * len(permissions):
            declared += " for each of them" if allowed else " for some of them"
        reason = cause if isinstance(cause, str) and len(names) > 1 else cells[0].reason
        yield Finding(
            UNDECLARED_RIGHT if allowed else MISSING_RIGHT,
            Severity.ERROR,
            f"{label(names, 'ServiceAccounts')} {verb} {phrase(permissions)}, but {declared}.",
            _location([cell.identity for cell in cells]),
            details=(f"API server: {reason or 'no reason given: no binding allows it'}",),
            remediation=remediation(reason, allowed=allowed, of_release=made),
        )
    for one in matrix.undeclared:
        key = Key("", "ServiceAccount", one.namespace, one.name)
        yield undeclared_account(key, one.release, "verify sent no reviews for it")
    yield from matrix.inventory.findings()


def _role_of_release(cell: AccessCell, made: Callable[[GrantedBy], bool]) -> tuple[str, str, str] | None:
    """The role, if the chart makes the binding of the reason: the bindings of one changed role share a finding."""
    binding = granted_by(cell.reason) if cell.allowed else None
    return (binding.namespace, binding.role_kind, binding.role) if binding is not None and made(binding) else None


def _cause(cell: AccessCell) -> str:
    """The reason without the name of the ServiceAccount: the subjects of one binding share a finding."""
    return cell.reason.replace(f'"{cell.identity.name}/{cell.identity.namespace}"', "of this name")


def _absences(matrix: Matrix) -> Iterator[Finding]:
    if not matrix.absent:
        return
    namespace = matrix.declaration.namespace
    to_do: tuple[str, ...] = (
        "Install these values (helm upgrade --install), or remove the agent from the values. verify sent no reviews.",
        AFTER_QUARANTINE,
    )
    if len(matrix.absent) == len(matrix.declaration.identities):
        to_do = ("No declared ServiceAccount exists. Is the release in another namespace? Set the namespace with -n.",)
    names = label([one.name for one in matrix.absent], "ServiceAccounts")
    yield Finding(
        ABSENT_ACCOUNT,
        Severity.ERROR,
        f"{names}: no such ServiceAccount in namespace {namespace}, but the values declare it.",
        _location(matrix.absent),
        remediation=to_do,
    )


def _location(identities: Sequence[Identity]) -> Location:
    """The ServiceAccount of a finding, and its entry of the values; only the entry for several ServiceAccounts."""
    entries = list(dict.fromkeys(one.entry for one in identities))
    values = values_path(entries[0]) if len(entries) == 1 else ""
    accounts = list(dict.fromkeys(Key("", "ServiceAccount", one.namespace, one.name) for one in identities))
    return Location(accounts[0] if len(accounts) == 1 else None, values=values)
