"""The result of an attack."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from agent_identities.attack.request import AttackRequest
from agent_identities.attack.tokens import Holder, TokenStatus
from agent_identities.attack.verdict import Outcome, Verdict
from agent_identities.declaration import Declaration, Identity
from agent_identities.inventory import EMPTY, Inventory, UndeclaredAccount
from agent_identities.report.model import Report, Result


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request of one identity, its verdict, the HTTP status (0: no answer), and the reason why RBAC allowed it."""

    identity: Identity
    request: AttackRequest
    verdict: Verdict
    status: int = 0
    allowed_by: str = ""

    @property
    def outcome(self) -> Outcome:
        """The outcome of the request."""
        return self.verdict.outcome


@dataclass(frozen=True)
class Attack(Result):
    """A run on one API server.

    ``pairs``: the number of ordered pairs of siblings that were tried. ``possible_pairs``: all pairs whose attacker had
    a token. ``undeclared``: ServiceAccounts with the label of an agent that the values do not declare. ``leftovers``:
    commands that delete the objects that the run could not delete. ``inventory``: what the cluster has around the
    agents. ``seconds``: the duration.
    """

    server: str
    declaration: Declaration
    holders: tuple[Holder, ...]
    attempts: tuple[Attempt, ...]
    pairs: int
    possible_pairs: int
    leftovers: tuple[str, ...] = ()
    undeclared: tuple[UndeclaredAccount, ...] = ()
    inventory: Inventory = EMPTY
    seconds: float = 0.0

    @cached_property
    def _counts(self) -> Counter[tuple[str, str, Outcome]]:
        return Counter((each.identity.namespace, each.identity.name, each.outcome) for each in self.attempts)

    def count(self, outcome: Outcome, identity: Identity | None = None) -> int:
        """The number of requests with this outcome, of one identity or of all identities."""
        if identity is not None:
            return self._counts[identity.namespace, identity.name, outcome]
        return sum(number for (*_, ended), number in self._counts.items() if ended is outcome)

    def of(self, outcome: Outcome) -> tuple[Attempt, ...]:
        """The requests with this outcome."""
        return tuple(each for each in self.attempts if each.outcome is outcome)

    @cached_property
    def failed_controls(self) -> tuple[Attempt, ...]:
        """Positive controls that did not succeed: without them, refusals prove nothing."""
        good = (Outcome.EVERYONE, Outcome.UNEXPECTED)
        return tuple(each for each in self.attempts if each.request.control and each.outcome not in good)

    def report(self, *, listing: bool = False) -> Report:
        """The run as a report; ``listing`` adds every request."""
        from agent_identities.attack.report import build

        return build(self, listing=listing)

    @property
    def without_token(self) -> tuple[Holder, ...]:
        """Identities without a token that should have a token."""
        return tuple(one for one in self.holders if one.token_status in (TokenStatus.ABSENT, TokenStatus.REFUSED))

    @property
    def inconclusive(self) -> bool:
        """Whether the run proves nothing: a positive control failed, or no identity had a token."""
        return bool(self.failed_controls) or not any(one.token_status is TokenStatus.READY for one in self.holders)

    @property
    def ok(self) -> bool:
        """Whether all requests were sent, all undeclared ones were refused, and nothing is undeclared."""
        wrong = self.count(Outcome.UNEXPECTED) + self.count(Outcome.NOT_SENT) + self.inventory.errors
        return not (self.inconclusive or self.without_token or self.leftovers or self.undeclared or wrong)

    @property
    def complete(self) -> bool:
        """Whether everything could be read; if not, the findings say what was not looked at."""
        return not self.inventory.not_read
