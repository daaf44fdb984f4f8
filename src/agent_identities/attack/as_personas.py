"""Try every move as every persona, on a throw-away cluster, and judge what refused it."""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from http import HTTPStatus

from agent_identities.attack.ground import Attacking, Ground
from agent_identities.attack.moves import Move, Persona, moves
from agent_identities.attack.request import AttackRequest
from agent_identities.attack.tokens import CreatedObjects
from agent_identities.attack.verdict import impersonated, refused_by_rbac, refusing_policy
from agent_identities.declaration import Declaration
from agent_identities.kube.client import DEFAULT_CONCURRENCY, Answer, Api, ApiError
from agent_identities.kube.fanout import Progress, fan_out, no_progress
from agent_identities.rbac import ServiceAccount, User
from agent_identities.report.model import Report, Result

_IN_FORCE_SECONDS = 3.0  # the API server reads admission policies every second: a move that went through is sent again
_SHOWN = 200
_ESCALATION = "is attempting to grant RBAC permissions not currently held"


class Ending(StrEnum):
    """What a move came to; only THROUGH and NOT_SENT are findings."""

    RBAC = "refused by RBAC"
    GUARD = "refused by a guard"
    THROUGH = "went through"
    OPEN = "nothing stops it"
    DECLARED = "allowed as declared"
    NOT_TRIED = "not tried"
    NOT_SENT = "not sent"


@dataclass(frozen=True, slots=True)
class Try:
    """A move of a persona. ``how``: the guard or the server's message; ``guard`` is the name of the policy, or ""."""

    persona: str
    move: Move
    ending: Ending
    how: str
    guard: str = ""
    request: AttackRequest | None = None


@dataclass(frozen=True)
class PersonaAttack(Result):
    """All moves of the personas on one API server. ``leftovers``: commands that delete objects of the run."""

    server: str
    declaration: Declaration
    attacking: tuple[Attacking, ...]
    tries: tuple[Try, ...]
    leftovers: tuple[str, ...] = ()
    seconds: float = 0.0

    @cached_property
    def _counts(self) -> Counter[tuple[str, Ending]]:
        return Counter((each.persona, each.ending) for each in self.tries)

    def count(self, ending: Ending, persona: str = "") -> int:
        """The number of moves with this ending, of one persona or of all of them."""
        if persona:
            return self._counts[persona, ending]
        return sum(number for (_, ended), number in self._counts.items() if ended is ending)

    def of(self, ending: Ending) -> tuple[Try, ...]:
        """The moves with this ending."""
        return tuple(each for each in self.tries if each.ending is ending)

    @property
    def inconclusive(self) -> bool:
        """Whether the run proves nothing: no persona had a credential."""
        return not any(one.api for one in self.attacking)

    @property
    def ok(self) -> bool:
        """Whether RBAC or a guard refused every move that a guard can stop, and every move was sent."""
        return not (self.inconclusive or self.leftovers or self.of(Ending.THROUGH) or self.of(Ending.NOT_SENT))

    @property
    def complete(self) -> bool:
        """Whether every persona had a credential."""
        return all(one.api for one in self.attacking)

    def report(self, *, listing: bool = False) -> Report:
        """The run as a report; ``listing`` adds every move."""
        from agent_identities.attack.persona_report import build

        return build(self, listing=listing)


def attack_as(
    api: Api,
    declaration: Declaration,
    release: str,
    personas: Sequence[Persona],
    *,
    version: str,
    concurrency: int = DEFAULT_CONCURRENCY,
    on_progress: Progress = no_progress,
) -> PersonaAttack:
    """Create the personas, try every move as each of them, and delete what was created.

    ``version`` is the version of the API server. Raises ApiError, and AgentIdentitiesError if an object of the run is
    refused. Only for a throw-away cluster: the personas are real accounts with real rights.
    """
    started = time.monotonic()
    created = CreatedObjects(api)
    leftovers: tuple[str, ...] = ()
    try:
        attacking = Ground(api, declaration, release, created).attackers(personas)
        run = Run(api, version, concurrency, on_progress)
        tries = run.all_of(attacking)
        if through := [each for each in tries if each.ending is Ending.THROUGH]:
            time.sleep(max(0.0, started + _IN_FORCE_SECONDS - time.monotonic()))
            second = {(each.persona, each.move.id): each for each in run.again(attacking, through)}
            tries = [second.get((each.persona, each.move.id), each) for each in tries]
    finally:
        leftovers = created.clear(concurrency)
    return PersonaAttack(
        api.server, declaration, tuple(attacking), tuple(tries), leftovers, seconds=time.monotonic() - started
    )


class Run:
    """The requests of all personas. ``version`` is the version of the API server."""

    def __init__(
        self,
        api: Api,
        version: str,
        concurrency: int = DEFAULT_CONCURRENCY,
        on_progress: Progress = no_progress,
    ) -> None:
        self._api = api
        self._version = _minor(version)
        self._concurrency = concurrency
        self._on_progress = on_progress

    def all_of(self, attacking: Sequence[Attacking]) -> list[Try]:
        """Every move of every persona."""
        absent = self._unserved()
        jobs = [(one, move) for one in attacking for move in moves()]
        return self._each(jobs, absent, self._on_progress)

    def again(self, attacking: Sequence[Attacking], tries: Sequence[Try]) -> list[Try]:
        """These moves, sent once more."""
        by_name = {one.persona.name: one for one in attacking}
        return self._each([(by_name[each.persona], each.move) for each in tries], frozenset(), no_progress)

    def _each(
        self, jobs: Sequence[tuple[Attacking, Move]], absent: Collection[str], on_progress: Progress
    ) -> list[Try]:
        return fan_out(
            lambda job: self._try(*job, absent),
            jobs,
            concurrency=self._concurrency,
            abort=self._api.abort,
            on_progress=on_progress,
        )

    def _try(self, one: Attacking, move: Move, absent: Collection[str]) -> Try:
        name = one.persona.name
        if one.api is None:
            return Try(name, move, Ending.NOT_TRIED, one.note)
        if why := self._not_for_this_release(one, move, absent):
            return Try(name, move, Ending.NOT_TRIED, why)
        request = move.request(one.names)
        try:
            answer = one.api.raw(request.method, request.path, request.body or None, request.headers, repeatable=True)
        except ApiError as error:
            return Try(name, move, Ending.NOT_SENT, str(error), request=request)
        ending, how, guard = judge(move, request, one.user, answer)
        if ending is Ending.OPEN and one.persona.token:  # a right of the agent, which `attack` compares with the values
            ending = Ending.DECLARED
        return Try(name, move, ending, how, guard, request)

    def _not_for_this_release(self, one: Attacking, move: Move, absent: Collection[str]) -> str:
        missing = sorted(move.placeholders() - one.names.keys())
        if missing:
            return one.missing[missing[0]]
        since = move.entry.get("since", "")
        if since and self._version < _minor(since):
            return f"Kubernetes {since} and newer only"
        group = move.entry.get("group", "")
        return f"the cluster does not serve {group}" if group in absent else ""

    def _unserved(self) -> frozenset[str]:
        """The API groups and versions of moves that the cluster does not serve."""
        groups = {group for move in moves() if (group := move.entry.get("group", ""))}
        return frozenset(group for group in groups if self._api.raw("GET", f"/apis/{group}").status != HTTPStatus.OK)


def judge(move: Move, request: AttackRequest, user: User, answer: Answer) -> tuple[Ending, str, str]:
    """What the API server's answer to a move means: the ending, the reason, and the name of the guard or "".

    A refusal counts only if it is the authorizer's 403, or if it names an admission policy.
    """
    if named := refusing_policy(answer.message):
        return Ending.GUARD, named, named.split(":")[0].split()[-1]
    how = f"{answer.status} {answer.message[:_SHOWN]}".rstrip()
    if _by_rbac(request, user, answer):
        return Ending.RBAC, how, ""
    refused = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
    if answer.status < HTTPStatus.MULTIPLE_CHOICES or (move.connect and answer.status not in refused):
        return (Ending.OPEN if move.nothing else Ending.THROUGH), how, ""
    return Ending.NOT_SENT, how, ""


def _by_rbac(request: AttackRequest, user: User, answer: Answer) -> bool:
    """Whether RBAC refused the user, the impersonated user, or to grant what the user does not hold."""
    if refused_by_rbac(request, user, answer):
        return True
    if answer.status != HTTPStatus.FORBIDDEN:
        return False
    acting = ServiceAccount.of_user(impersonated(request.headers))
    as_another = acting is not None and f'User "system:serviceaccount:{acting.namespace}:{acting.name}" cannot ' in (
        answer.message
    )
    return as_another or _ESCALATION in answer.message


def _minor(version: str) -> tuple[int, int]:
    major, minor, *_ = version.lstrip("v").split(".")
    return int(major), int("".join(char for char in minor if char.isdigit()))


def by_guard(tries: Sequence[Try]) -> Mapping[str, int]:
    """How many moves each guard refused, by the name of its policy."""
    return Counter(each.guard for each in tries if each.ending is Ending.GUARD)


def ways_through(tries: Sequence[Try], ending: Ending) -> Iterator[tuple[Move, list[Try]]]:
    """The moves with this ending, each with the tries of the personas."""
    found: dict[str, list[Try]] = {}
    for each in tries:
        if each.ending is ending:
            found.setdefault(each.move.id, []).append(each)
    for same in found.values():
        yield same[0].move, same
