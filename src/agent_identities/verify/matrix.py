"""The access matrix: what an API server answers about every identity, beside what the values declare."""

from dataclasses import dataclass

from agent_identities.declaration import Declaration, Identity
from agent_identities.kube.accounts import UndeclaredAccount
from agent_identities.rbac import Request
from agent_identities.report.model import Report, Result
from agent_identities.verify.questions import Questions


@dataclass(frozen=True, slots=True)
class AccessCell:
    """One answer: what the values declare, what the API server says, and its reason, "" where it gives none."""

    identity: Identity
    request: Request
    expected: bool
    allowed: bool
    reason: str = ""

    @property
    def surprising(self) -> bool:
        """Whether the cluster differs from the values."""
        return self.expected != self.allowed


@dataclass(frozen=True, slots=True)
class Matrix(Result):
    """Every identity against every request that is asked about, on one API server.

    ``absent`` are declared identities without a ServiceAccount; nothing is asked about them. ``seconds``: time spent.
    """

    server: str
    declaration: Declaration
    questions: Questions
    cells: tuple[AccessCell, ...]
    absent: tuple[Identity, ...] = ()
    undeclared: tuple[UndeclaredAccount, ...] = ()
    seconds: float = 0.0

    def report(self, *, listing: bool = False) -> Report:
        """The matrix in words and tables; ``listing`` adds every answer."""
        from agent_identities.verify.report import build

        return build(self, listing=listing)

    @property
    def surprises(self) -> tuple[AccessCell, ...]:
        """The cells where the cluster differs from the values."""
        return tuple(cell for cell in self.cells if cell.surprising)

    @property
    def ok(self) -> bool:
        """Whether the cluster is as the values say."""
        return not self.absent and not self.undeclared and not any(cell.surprising for cell in self.cells)

    @property
    def requests(self) -> int:
        """How many different requests were asked about."""
        return len({cell.request for cell in self.cells})

    def count(self, *, expected: bool, allowed: bool) -> int:
        """How many cells expect the one and got the other."""
        return sum(cell.expected == expected and cell.allowed == allowed for cell in self.cells)
