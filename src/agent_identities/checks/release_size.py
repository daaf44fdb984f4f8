"""The release fits into the Secret in which Helm stores it."""

from collections.abc import Iterator

from agent_identities.chart.release_record import LIMIT_BYTES
from agent_identities.checks.registry import Check, Install
from agent_identities.report.model import Finding, Location, Severity

_NEARLY = 0.8


def _run(install: Install) -> Iterator[Finding]:
    size = install.release_bytes
    if size <= LIMIT_BYTES * _NEARLY:
        return
    agents = len(install.declaration.agents)
    severity = Severity.ERROR if size > LIMIT_BYTES else Severity.WARNING
    message = (
        f"The release needs {size:,} bytes for {agents:,} agents ({size // max(agents, 1):,} each); "
        f"the Secret in which Helm stores it holds {LIMIT_BYTES:,}."
    )
    remediation = "Set bindings: perTier, split the agents into several releases, or use HELM_DRIVER=sql."
    yield Finding(CHECK.id, severity, message, Location(values="agents"), remediation=(remediation,))


CHECK = Check(
    id="release-size",
    title="the release fits into the Secret in which Helm stores it",
    why="Helm stores chart, values and manifest in one Secret. A release that does not fit cannot be installed or "
    "upgraded.",
    run=_run,
)
