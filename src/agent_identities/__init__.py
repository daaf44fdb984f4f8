"""A least-privilege, short-lived Kubernetes identity for each AI agent, and proof of what each agent can do.

    import agent_identities as ai

    agents = ai.load("values.yaml", namespace="agent-system")
    ai.check(agents).raise_for_findings()
    with ai.cluster("embedded") as cluster:
        cluster.install(agents)
        result = ai.verify(agents, cluster)
        assert result.ok, result.to_markdown()

The names in ``__all__`` are the public API of the library. Every other name may change in any release.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# A job is a function here and a package of the same name. Python binds the name of the package at its first import,
# which is before the import of the function binds the name again.
from agent_identities.attack.job import attack, attack_as
from agent_identities.audit.job import rightsize, trace
from agent_identities.checks.job import check
from agent_identities.cluster import cluster
from agent_identities.errors import AgentIdentitiesError, ClusterError, ToolchainError
from agent_identities.quarantine.job import quarantine, quarantine_all
from agent_identities.verify.job import verify
from agent_identities.ways_in.job import ways_in

if TYPE_CHECKING:
    from agent_identities.agents import Agents, load
    from agent_identities.cluster.provide import Cluster
    from agent_identities.declaration import Declaration, Identity
    from agent_identities.report.model import Finding, FindingsError, Location, Report, Result, Severity

__version__ = "0.1.0"

__all__ = [
    "AgentIdentitiesError",
    "Agents",
    "Cluster",
    "ClusterError",
    "Declaration",
    "Finding",
    "FindingsError",
    "Identity",
    "Location",
    "Report",
    "Result",
    "Severity",
    "ToolchainError",
    "attack",
    "attack_as",
    "check",
    "cluster",
    "load",
    "quarantine",
    "quarantine_all",
    "rightsize",
    "trace",
    "verify",
    "ways_in",
]

_LAZY = {
    "Agents": "agents",
    "Cluster": "cluster.provide",
    "Declaration": "declaration",
    "Finding": "report.model",
    "FindingsError": "report.model",
    "Identity": "declaration",
    "Location": "report.model",
    "Report": "report.model",
    "Result": "report.model",
    "Severity": "report.model",
    "load": "agents",
}
"""The modules of the names that are imported on first use, because their import is slow."""


def __getattr__(name: str) -> Any:  # any of the names above
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
