"""The access matrix: the answers of an API server about every identity, and what the values declare."""

from dataclasses import dataclass

from agent_identities.declaration import Declaration, Identity
from agent_identities.inventory import EMPTY, Inventory, UndeclaredAccount
from agent_identities.rbac import Request, granted_by
from agent_identities.report.model import Report, Result
from agent_identities.verify.questions import Questions


@dataclass(frozen=True, slots=True)
class AccessCell:
    """One answer: whether the values declare the request, whether the API server allows it, and the server's reason.

    ``reason`` is "" if the API server gives no reason.
    """

    identity: Identity
    request: Request
    expected: bool
    allowed: bool
    reason: str = ""

    @property
    def differs(self) -> bool:
        """Whether the answer differs from the values."""
        return self.expected != self.allowed


@dataclass(frozen=True, slots=True)
class Matrix(Result):
    """The answers of one API server for every identity and every request.

    ``absent`` are declared identities without a ServiceAccount; they have no cells. ``inventory`` is what the cluster
    has around the agents. ``seconds`` is the duration.
    """

    server: str
    declaration: Declaration
    questions: Questions
    cells: tuple[AccessCell, ...]
    absent: tuple[Identity, ...] = ()
    undeclared: tuple[UndeclaredAccount, ...] = ()
    inventory: Inventory = EMPTY
    seconds: float = 0.0

    def report(self, *, listing: bool = False) -> Report:
        """The matrix as a report; ``listing`` adds every answer."""
        from agent_identities.verify.report import build

        return build(self, listing=listing)

    @property
    def differences(self) -> tuple[AccessCell, ...]:
        """The cells whose answer differs from the values."""
        return tuple(cell for cell in self.cells if cell.differs)

    @property
    def unexplained(self) -> tuple[AccessCell, ...]:
        """The differences that no finding of the inventory explains with an undeclared binding or rule."""
        reported = {
            (each.binding.kind, each.binding.namespace, each.binding.name)
            for each in self.inventory.undeclared_roles
            if each.beyond
        }

        def explained(cell: AccessCell) -> bool:
            by = granted_by(cell.reason) if cell.allowed else None
            return by is not None and (by.kind, by.namespace, by.name) in reported

        return tuple(cell for cell in self.differences if not explained(cell))

    @property
    def ok(self) -> bool:
        """Whether the cluster is as the values declare."""
        return not (self.absent or self.undeclared or self.inventory.errors or any(cell.differs for cell in self.cells))

    @property
    def complete(self) -> bool:
        """Whether everything could be read; if not, the findings say what was not looked at."""
        return not self.inventory.not_read

    @property
    def requests(self) -> int:
        """The number of different requests."""
        return len({cell.request for cell in self.cells})

    def count(self, *, expected: bool, allowed: bool) -> int:
        """The number of cells with this expectation and this answer."""
        return sum(cell.expected == expected and cell.allowed == allowed for cell in self.cells)
