"""Each null in the values removes an entry of an earlier file."""

from collections.abc import Iterator

from agent_identities.checks.registry import Check, Install
from agent_identities.report.model import Finding, Location, Severity


def _run(install: Install) -> Iterator[Finding]:
    for idle in install.idle_nulls:
        name = idle.path.rpartition(".")[2]
        message = (
            f"{idle.place}: {idle.path} is empty (null), and there is no earlier entry to remove: it declares nothing."
        )
        remediation = f"To declare the entry, write: {name}: {idle.example}. Otherwise, remove the line."
        yield Finding(CHECK.id, Severity.WARNING, message, Location(values=idle.path), remediation=(remediation,))


CHECK = Check(
    id="null-entry",
    title="each null in the values removes an entry",
    why="A key without a value (triage:) is null. It removes an agent of an earlier values file, and declares none.",
    run=_run,
)
