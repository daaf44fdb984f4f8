"""What could not be read in logs: counted by reason, with the first location of each reason."""

from collections.abc import Iterable
from dataclasses import dataclass

OTHER = "cannot be read for further reasons"


@dataclass(frozen=True, slots=True)
class Problem:
    """Records that are not read for one reason. ``location`` is that of the first."""

    location: str
    reason: str
    count: int = 1

    def __str__(self) -> str:
        more = f", and {self.count - 1:,} more" if self.count > 1 else ""
        return f"{self.location} {self.reason}{more}"


class Problems:
    """Counts problems. After ``most`` different reasons, further reasons are counted together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: dict[str, Problem] = {}

    def add(self, location: str, reason: str) -> None:
        """Count a record that is not read."""
        self.add_all((Problem(location, reason),))

    def add_all(self, problems: Iterable[Problem]) -> None:
        """Count the problems of another log."""
        for problem in problems:
            reason = problem.reason if problem.reason in self._found or len(self._found) < self._most else OTHER
            first = self._found.get(reason, Problem(problem.location, reason, 0))
            self._found[reason] = Problem(first.location, reason, first.count + problem.count)

    @property
    def count(self) -> int:
        """The number of records that are not read."""
        return sum(problem.count for problem in self._found.values())

    def all(self) -> tuple[Problem, ...]:
        """The problems in the order of their first locations."""
        return tuple(self._found.values())
