"""The release fits into the Secret in which Helm keeps it."""

from collections.abc import Iterator

from agent_identities.chart.release_record import LIMIT_BYTES
from agent_identities.checks import Check, Finding, Install, Severity

_NEARLY = 0.8


def _run(install: Install) -> Iterator[Finding]:
    size = install.release_bytes
    if size <= LIMIT_BYTES * _NEARLY:
        return
    agents = len(install.declaration.agents)
    severity = Severity.ERROR if size > LIMIT_BYTES else Severity.WARNING
    message = (
        f"takes {size:,} bytes for {agents:,} agents ({size // max(agents, 1):,} each), "
        f"and a Secret holds {LIMIT_BYTES:,}"
    )
    cure = "Write bindings: perTier, split the agents over several releases, or use Helm's database: HELM_DRIVER=sql."
    yield Finding(CHECK.id, severity, "Secret of the release", message, cure)


CHECK = Check(
    id="release-size",
    title="the release fits into the Secret in which Helm keeps it",
    why="Helm stores chart, values and manifest in one Secret; what does not fit cannot be installed or upgraded.",
    run=_run,
)
