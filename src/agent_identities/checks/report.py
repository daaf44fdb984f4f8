"""The result of the checks, and its report."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent_identities.checks.registry import Install, all_checks
from agent_identities.report.model import Finding, Report, Result, Severity, many


@dataclass(frozen=True, slots=True)
class CheckResult(Result):
    """An install and the findings of the checks, errors first."""

    install: Install
    found: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no check found an error."""
        return not _errors(self.found)

    def report(self, *, listing: bool = False) -> Report:  # noqa: ARG002  # every finding is listed already
        """A rule for each check. JSON has, in addition, "agents" and "objects" (numbers) and "checks" (ids)."""
        agents, objects, checks = len(self.install.declaration.agents), len(self.install.objects), all_checks()
        errors = _errors(self.found)
        counts = (many(agents, "agent"), many(objects, "object"), many(len(checks), "check"))
        return Report(
            command="check",
            ok=self.ok,
            summary=f"{', '.join(counts)}: {many(errors, 'error')}, {many(len(self.found) - errors, 'warning')}.",
            rules=checks,
            findings=self.found,
            data=lambda: {"agents": agents, "objects": objects, "checks": [check.id for check in checks]},
        )


def _errors(findings: Sequence[Finding]) -> int:
    return sum(finding.severity is Severity.ERROR for finding in findings)
