"""What the checks found, as text and as JSON."""

import dataclasses
import json
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from agent_identities.checks import Finding, Install, Severity, all_checks


def print_text(install: Install, findings: Sequence[Finding], console: Console | None = None) -> None:
    """One line a check, with its findings below it, and a summary."""
    console = console or Console(highlight=False, soft_wrap=True)
    for check in all_checks():
        mine = [finding for finding in findings if finding.check == check.id]
        mark, style = _mark(mine)
        console.print(Text(f"{mark} {check.id:<18}", style=style), Text(check.title))
        for finding in mine:
            colour = "red" if finding.severity is Severity.ERROR else "yellow"
            what = Text(f"    {finding.place}: {finding.message}.", style=colour)
            console.print(what, Text(finding.cure, style="dim"))
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    warnings = len(findings) - errors
    agents = len(install.declaration.agents)
    console.print(
        f"\n{agents} agents, {len(install.objects)} objects, {len(all_checks())} checks: "
        f"{errors} error{'' if errors == 1 else 's'}, {warnings} warning{'' if warnings == 1 else 's'}."
    )


def print_json(install: Install, findings: Sequence[Finding]) -> None:
    """The same for machines: {"agents", "objects", "checks": [id], "findings": [{check, severity, place, ...}]}."""
    report = {
        "agents": len(install.declaration.agents),
        "objects": len(install.objects),
        "checks": [check.id for check in all_checks()],
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    print(json.dumps(report, indent=2))


def _mark(findings: Sequence[Finding]) -> tuple[str, str]:
    if any(finding.severity is Severity.ERROR for finding in findings):
        return "✗", "bold red"
    return ("!", "yellow") if findings else ("✓", "green")
