"""The report of quarantine: removed objects, times, what is left, and the values that make the quarantine permanent."""

import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import yaml

from agent_identities.quarantine.result import Revocation
from agent_identities.report.model import Block, Column, Finding, Location, Report, Severity, Style, Table, cell

_SHOWN = ("kind", "namespace", "name", "note")
_MOST_NAMES = 10
_MOST_PAIRS = 6


def build(result: Revocation) -> Report:
    """The result as a report.

    JSON has, in addition to the common keys, {"namespace", "serviceAccounts": [name], "dryRun", "removed": [{kind,
    namespace, name, note}], "left": [text], "outlives": [{kind, what, remediation}], "seconds": {"bindings", "account",
    "pods", "lastAllowed", "lastAuthenticated"}, "values", "upgrade": {helm4, helm3}}. A time is null if it was not
    observed.
    """
    return Report(
        command="quarantine",
        ok=result.ok,
        summary=_summary(result),
        tables=tuple(_tables(result)),
        findings=tuple(_findings(result)),
        notes=result.notes,
        blocks=tuple(_blocks(result)),
        closing=tuple(_closing(result)),
        data=partial(_data, result),
    )


def _findings(result: Revocation) -> Iterator[Finding]:
    for failure in result.left:
        yield Finding(failure.kind, Severity.ERROR, f"Left: {failure}", Location(failure.object))
    for each in result.outlives:
        yield Finding(
            each.kind, Severity.WARNING, f"Left: {each}.", Location(each.object), remediation=(each.remediation,)
        )


def _summary(result: Revocation) -> str:
    names = _names(result)
    if result.left:
        return f"{names}: not fully quarantined. Fix the cause above, then run the same command again."
    if result.dry_run:
        return f"{names}: nothing was changed (--dry-run)."
    count = len(result.outlives)
    see = f" See above how to end what goes on ({count} warning{'s' if count > 1 else ''})." if count else ""
    if not result.steps:
        return f"{names}: already quarantined. The cluster has no binding, ServiceAccount or pod of this agent.{see}"
    return f"{names}: quarantined.{see}"


def _names(result: Revocation) -> str:
    """The agents; of many, their number."""
    names = result.target.names
    return ", ".join(names) if len(names) <= _MOST_NAMES else f"{len(names):,} agents"


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
    if not result.values_change:
        return []
    flat = not any(isinstance(value, Mapping) for value in result.values_change.values())
    text = yaml.safe_dump(dict(result.values_change), default_flow_style=False if flat else None)
    values = Block("yaml", text, f"Add this to the values. Without it, {_restored(result)}:")
    if not result.upgradable:
        return [values]
    four, three = upgrade_commands(result)
    title = "Then upgrade the release. CHART is its chart" + (
        ", quarantine.yaml the values above:" if "-f" in four else ":"
    )
    lines = f"{shlex.join(four)}    # Helm 4\n{shlex.join(three)}    # Helm 3"
    return [values, Block("sh", lines, title)]


def _restored(result: Revocation) -> str:
    """What an upgrade without the values restores: never a ServiceAccount that the chart does not create."""
    if not result.upgradable:
        return f"the next helm install creates {_names(result)} again"
    if set(result.not_created) >= set(result.target.names):
        return f"the next helm upgrade restores the bindings of {_names(result)}"
    return f"the next helm upgrade restores the rights of {_names(result)}"


def _closing(result: Revocation) -> list[str]:
    closing = [result.already] if result.already else []
    if result.not_created:
        names = ", ".join(result.not_created)
        closing.append(
            f"The chart does not create the ServiceAccount {names} (serviceAccount: {{create: false}}): no upgrade "
            "restores it. Create it again when you end the quarantine, not before."
        )
    if result.every:
        closing.append(
            "The proxy is not an agent and keeps its own rights. It cannot act as an agent that has no rights."
        )
    return closing


def upgrade_commands(result: Revocation) -> tuple[list[str], list[str]]:
    """The upgrade that makes the quarantine permanent, for Helm 4 and for Helm 3.

    CHART is a placeholder, because only the user knows it. ``--reset-then-reuse-values`` also works with a newer chart,
    whose values have new keys. Helm 4 refuses an upgrade if another client changed a field of any object of the
    release, such as a scaled Deployment, unless it may take the field over; this requires server-side apply, which is
    not the default for a release that Helm 3 created.
    """
    command = ["helm", "upgrade", result.release, "CHART", "-n", result.home or result.target.namespace]
    command.append("--reset-then-reuse-values")
    pairs = list(_pairs(result.values_change))
    given = [word for pair in pairs for word in ("--set", pair)]
    if len(pairs) > _MOST_PAIRS:
        given = ["-f", "quarantine.yaml"]
    return [*command, "--server-side=true", "--force-conflicts", *given], [*command, *given]


def _pairs(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The values as arguments of --set. A dot or a comma in a key is escaped."""
    for key, value in values.items():
        where = path + re.sub(r"([.,=\[\]{}\\])", r"\\\1", key)
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{where}.")
        elif isinstance(value, list):
            yield f"{where}={{{','.join(map(str, value))}}}"
        else:
            yield f"{where}={str(value).lower() if isinstance(value, bool) else value}"


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
        "outlives": [
            {"kind": str(each.kind), "what": each.what, "remediation": each.remediation} for each in result.outlives
        ],
        "values": result.values_change,
        "upgrade": dict(zip(("helm4", "helm3"), map(shlex.join, upgrade_commands(result)), strict=True))
        if result.values_change and result.upgradable
        else None,
    }
