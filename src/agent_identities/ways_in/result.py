"""The subjects of a dump that can become an agent, as a result of a job."""

from dataclasses import dataclass

from agent_identities.declaration import Declaration
from agent_identities.inventory import ways_report
from agent_identities.inventory.ways_in import Entrants
from agent_identities.report.model import Report, Result, many


@dataclass(frozen=True, slots=True)
class WaysIn(Result):
    """The subjects that can become an agent. ``bindings`` is the number of bindings in the dump."""

    declaration: Declaration
    entrants: Entrants
    bindings: int

    @property
    def ok(self) -> bool:
        """Whether no subject can become an agent, except those that the values declare or a guard refuses."""
        return not self.entrants.open

    def report(self, *, listing: bool = False) -> Report:
        """The result as a report; ``listing`` adds the subjects that are not findings."""
        found = len(self.entrants.open)
        summary = (
            many(len(self.declaration.agents), "agent") + f" and {self.declaration.proxy.name}",
            many(self.bindings, "binding"),
            f"{many(found, 'subject')} can become an agent" if found else "no other subject can become an agent",
        )
        return Report(
            command="ways-in",
            ok=self.ok,
            summary=" · ".join(summary),
            tables=(ways_report.table(self.entrants),) if listing else (),
            findings=tuple(ways_report.findings(self.entrants)),
            closing=tuple(ways_report.counted(self.entrants)),
            data=lambda: {"canBecome": ways_report.data(self.entrants)},
        )
