"""What `agent-identities quarantine` did, as text and as JSON."""

import dataclasses
import json
import shlex

import yaml
from rich.console import Console
from rich.text import Text

from agent_identities.quarantine.revoke import Revocation


def print_text(result: Revocation, console: Console | None = None) -> None:
    """What went, when that took effect, what is left, and the values that keep it so."""
    console = console or Console(highlight=False, soft_wrap=True)
    names = ", ".join(result.target.names)
    if result.steps:
        console.print(Text("Would be removed" if result.dry_run else "Removed", style="bold"))
        for step in result.steps:
            console.print(Text(f"  {step}") + Text(f" ({step.note})" if step.note else "", style="dim"))
    elif not result.left:
        console.print(Text(f"{names}: already quarantined; no binding, account or pod of it is on the cluster."))
    if not result.dry_run and result.steps:
        _print_times(result, console)
    for note in result.notes:
        console.print(Text(f"! {note}", style="yellow"))
    for failure in result.left:
        console.print(Text(f"✗ Left: {failure}", style="bold red"))
    console.print()
    if not result.values_change["agents"]:
        console.print(Text("The values of the release keep it so."))
        return
    console.print(Text(f"Until the values say so, the next helm upgrade gives {names} all of it back:", style="bold"))
    console.print(Text(_indented(yaml.safe_dump(result.values_change, default_flow_style=None))))
    console.print(Text(f"Saved as quarantine.yaml, for example: {upgrade_command(result)}", style="dim"))


def _print_times(result: Revocation, console: Console) -> None:
    console.print()
    console.print(Text("Seconds from the command to", style="bold"))
    rows = (
        ("bindings removed", result.done_after.get("bindings")),
        ("last allowed request", result.last_allowed),
        ("account removed", result.done_after.get("account")),
        ("last authenticated request", result.last_authenticated),
        ("pods removed", result.done_after.get("pods")),
    )
    for what, seconds in rows:
        if seconds is not None or what.startswith("last"):
            console.print(f"  {what:<28}{'not seen' if seconds is None else f'{seconds:.2f}'}")


def upgrade_command(result: Revocation) -> str:
    """The upgrade that makes it last, but for the chart, which only the user knows."""
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


def to_json(result: Revocation) -> str:
    """The same for machines.

    {"namespace", "serviceAccounts": [name], "dryRun", "removed": [{kind, namespace, name, note}], "left": [text],
    "notes": [text], "seconds": {"bindings", "account", "pods", "lastAllowed", "lastAuthenticated"}, "values"}; a time
    is null where nothing was seen.
    """
    report = {
        "namespace": result.target.namespace,
        "serviceAccounts": list(result.target.names),
        "dryRun": result.dry_run,
        "removed": [
            {key: value for key, value in dataclasses.asdict(step).items() if key in _SHOWN} for step in result.steps
        ],
        "left": result.left,
        "notes": result.notes,
        "seconds": {
            **{what: result.done_after.get(what) for what in ("bindings", "account", "pods")},
            "lastAllowed": result.last_allowed,
            "lastAuthenticated": result.last_authenticated,
        },
        "values": result.values_change,
    }
    return json.dumps(report, indent=2)


_SHOWN = ("kind", "namespace", "name", "note")


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines()).rstrip("\n")
