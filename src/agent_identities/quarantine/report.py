"""The report of quarantine: removed objects, times, what is left, and the values that make the quarantine permanent."""

import dataclasses
import shlex
from functools import partial

import yaml

from agent_identities.quarantine.result import Revocation
from agent_identities.report.model import Block, Column, Finding, Location, Report, Severity, Style, Table, cell

_SHOWN = ("kind", "namespace", "name", "note")


def build(result: Revocation) -> Report:
    """The result as a report.

    JSON has, in addition to the common keys, {"namespace", "serviceAccounts": [name], "dryRun", "removed": [{kind,
    namespace, name, note}], "left": [text], "seconds": {"bindings", "account", "pods", "lastAllowed",
    "lastAuthenticated"}, "values"}. A time is null if it was not observed.
    """
    return Report(
        command="quarantine",
        ok=result.ok,
        summary=_summary(result),
        tables=tuple(_tables(result)),
        findings=tuple(
            Finding(each.kind, Severity.ERROR, f"Left: {each}", Location(each.object)) for each in result.left
        ),
        notes=result.notes,
        blocks=tuple(_blocks(result)),
        closing=tuple(_closing(result)),
        data=partial(_data, result),
    )


def _summary(result: Revocation) -> str:
    names = ", ".join(result.target.names)
    if result.left:
        return f"{names}: not fully quarantined. Fix the cause above, then run the same command again."
    if result.dry_run:
        return f"{names}: nothing was changed (--dry-run)."
    if not result.steps:
        return f"{names}: already quarantined. The cluster has no binding, ServiceAccount or pod of this agent."
    return f"{names}: quarantined."


def _tables(result: Revocation) -> list[Table]:
    if not result.steps:
        return []
    title = "would be removed" if result.dry_run else "removed"
    if any(step.note for step in result.steps):
        rows = tuple((cell(str(step)), cell(step.note, Style.MUTED)) for step in result.steps)
        removed = Table((Column(title, whole=True), Column("note")), rows)
    else:
        removed = Table((Column(title, whole=True),), tuple((cell(str(step)),) for step in result.steps))
    return [removed] if result.dry_run else [removed, _times(result)]


def _times(result: Revocation) -> Table:
    times = (
        ("bindings removed", result.done_after.get("bindings")),
        ("last allowed request", result.last_allowed),
        ("ServiceAccount removed", result.done_after.get("account")),
        ("last authenticated request", result.last_authenticated),
        ("pods removed", result.done_after.get("pods")),
    )
    rows = tuple(
        (cell(what), cell("not observed" if seconds is None else f"{seconds:.2f}"))
        for what, seconds in times
        if seconds is not None or what.startswith("last")
    )
    return Table((Column("from the command to"), Column("seconds", right=True)), rows)


def _blocks(result: Revocation) -> list[Block]:
    if not result.values_change["agents"]:
        return []
    names = ", ".join(result.target.names)
    title = f"Add this to the values. Without it, the next helm upgrade restores the rights of {names}:"
    return [Block("yaml", yaml.safe_dump(dict(result.values_change), default_flow_style=None), title)]


def _closing(result: Revocation) -> list[str]:
    if not result.values_change["agents"]:
        return ["The values of the release already have the quarantine."]
    return [f"With these values in quarantine.yaml, for example: {upgrade_command(result)}"]


def upgrade_command(result: Revocation) -> str:
    """The upgrade that makes the quarantine permanent; CHART is a placeholder, because only the user knows it."""
    command = [
        "helm",
        "upgrade",
        result.release,
        "CHART",
        "-n",
        result.home or result.target.namespace,
        "--reuse-values",
    ]
    return shlex.join([*command, "-f", "quarantine.yaml"])


def _data(result: Revocation) -> dict[str, object]:
    return {
        "namespace": result.target.namespace,
        "serviceAccounts": list(result.target.names),
        "dryRun": result.dry_run,
        "removed": [
            {key: value for key, value in dataclasses.asdict(step).items() if key in _SHOWN} for step in result.steps
        ],
        "left": [str(failure) for failure in result.left],
        "seconds": {
            **{what: result.done_after.get(what) for what in ("bindings", "account", "pods")},
            "lastAllowed": result.last_allowed,
            "lastAuthenticated": result.last_authenticated,
        },
        "values": result.values_change,
    }
