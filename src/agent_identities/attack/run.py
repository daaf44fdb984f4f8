"""A red team: with each identity's own token, every move that the thief of that token would make.

What the values declare may succeed; all else must be refused, and the report says by whom. See verdict.py for what
counts, moves.py for what is tried, holders.py for where the tokens come from.
"""

import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from http import HTTPStatus

from agent_identities.attack import requests
from agent_identities.attack.requests import Move, Place
from agent_identities.attack.tokens import Hideout, Holder, Standing, dead_account, holders
from agent_identities.attack.verdict import Outcome, Verdict, guard, judge, rights_needed, troubled
from agent_identities.declaration import Declaration, Identity, TokenSettings
from agent_identities.errors import AgentIdentitiesError
from agent_identities.kube.client import DEFAULT_CONCURRENCY, Api, ApiError
from agent_identities.kube.fanout import Progress, fan_out, no_progress
from agent_identities.kube.reviews import ask_self
from agent_identities.kube.roles import role_rules
from agent_identities.rbac import Catalogue, Request
from agent_identities.report.model import Report, Result

_PATIENCE_SECONDS = 15.0  # a deleted account's token dies as soon as every API server has seen the deletion
_PAUSE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Attempt:
    """One move of one identity, the HTTP status (0: no answer), how it ended, and who stopped or allowed it."""

    identity: Identity
    move: Move
    verdict: Verdict
    status: int = 0
    allowed_by: str = ""

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        return self.verdict.outcome


@dataclass(frozen=True)
class Attack(Result):
    """A whole run on one API server.

    ``pairs``: how many ordered pairs of siblings were played out, of ``possible_pairs`` whose attacker had a token.
    ``leftovers``: the commands that remove what the run could not remove itself. ``seconds``: time spent.
    """

    server: str
    declaration: Declaration
    holders: tuple[Holder, ...]
    attempts: tuple[Attempt, ...]
    pairs: int
    possible_pairs: int
    leftovers: tuple[str, ...] = ()
    seconds: float = 0.0

    @cached_property
    def _counts(self) -> Counter[tuple[str, str, Outcome]]:
        return Counter((each.identity.namespace, each.identity.name, each.outcome) for each in self.attempts)

    def count(self, outcome: Outcome, identity: Identity | None = None) -> int:
        """How many moves ended so, of one identity or of all."""
        if identity is not None:
            return self._counts[identity.namespace, identity.name, outcome]
        return sum(number for (*_, ended), number in self._counts.items() if ended is outcome)

    def of(self, outcome: Outcome) -> tuple[Attempt, ...]:
        """The moves that ended so."""
        return tuple(each for each in self.attempts if each.outcome is outcome)

    @cached_property
    def failed_controls(self) -> tuple[Attempt, ...]:
        """Positive controls that did not succeed: the refusals beside them prove nothing."""
        good = (Outcome.EVERYONE, Outcome.UNEXPECTED)
        return tuple(each for each in self.attempts if each.move.control and each.outcome not in good)

    def report(self, *, listing: bool = False) -> Report:
        """The run in words and tables; ``listing`` adds every request."""
        from agent_identities.attack.report import build

        return build(self, listing=listing)

    @property
    def unarmed(self) -> tuple[Holder, ...]:
        """Identities that could not be attacked from, though they should have been."""
        return tuple(one for one in self.holders if one.standing in (Standing.ABSENT, Standing.REFUSED))

    @property
    def void(self) -> bool:
        """Whether the run proves nothing: a positive control failed, or there was no token at all."""
        return bool(self.failed_controls) or not any(one.standing is Standing.READY for one in self.holders)

    @property
    def ok(self) -> bool:
        """Whether everything was tried, and all that was not declared was stopped."""
        wrong = self.count(Outcome.UNEXPECTED) + self.count(Outcome.NOT_SENT)
        return not (self.void or self.unarmed or self.leftovers or wrong)


def attack(
    api: Api,
    declaration: Declaration,
    catalogue: Catalogue,
    *,
    only: Collection[str] = (),
    concurrency: int = DEFAULT_CONCURRENCY,
    on_progress: Progress = no_progress,
) -> Attack:
    """Try every move with the token of every identity (``only``: of these ServiceAccounts), and judge each answer.

    Nothing that exists is changed. Made and removed again: a pod that never starts for each identity without a pod, and
    a ServiceAccount without rights. Raises ApiError where the cluster cannot be read, AgentIdentitiesError for a name
    in ``only`` that the values do not declare.
    """
    started = time.monotonic()
    declaration = declaration.with_existing_roles(partial(role_rules, api))
    chosen = _chosen(declaration, only)
    hideout = Hideout(api)
    leftovers: tuple[str, ...] = ()
    try:
        armed = holders(api, chosen, hideout, concurrency)
        run = _Run(api, declaration, catalogue, armed, concurrency, on_progress)
        attempts = run.play()
        attempts += _with_a_dead_account(api, declaration, hideout, run)
    finally:
        leftovers = hideout.clear(concurrency)
    return Attack(
        server=api.server,
        declaration=declaration,
        holders=tuple(armed),
        attempts=tuple(attempts),
        pairs=sum(len(requests.siblings_of(one.identity, declaration.identities)) for one in run.ready),
        possible_pairs=len(run.ready) * (len(declaration.identities) - 1),
        leftovers=leftovers,
        seconds=time.monotonic() - started,
    )


def _chosen(declaration: Declaration, only: Collection[str]) -> list[Identity]:
    known = {one.name: one for one in declaration.identities}
    if unknown := sorted(set(only) - known.keys()):
        raise AgentIdentitiesError(
            f"--agent {unknown[0]}: the values declare no such ServiceAccount. They declare: {', '.join(sorted(known))}"
        )
    return [one for one in declaration.identities if not only or one.name in only]


class _Run:
    """The moves of all holders, many in flight."""

    def __init__(
        self,
        api: Api,
        declaration: Declaration,
        catalogue: Catalogue,
        armed: Sequence[Holder],
        concurrency: int,
        on_progress: Progress,
    ) -> None:
        self._api = api
        self._declaration = declaration
        self._concurrency = concurrency
        self._on_progress = on_progress
        self.ready = [one for one in armed if one.standing is Standing.READY]
        self._pods = {one.identity.name: one.pod for one in self.ready if one.pod}
        elsewhere = declaration.ungranted_namespace
        self._places = [Place(declaration, one.identity, elsewhere) for one in self.ready]
        self._catalogue = catalogue
        self._lost = threading.Lock()
        self._gone = ""

    def play(self) -> list[Attempt]:
        """Positive controls first: where one fails, the rest would prove nothing, and is not sent."""
        jobs = [
            (holder, move)
            for holder, place in zip(self.ready, self._places, strict=True)
            for move in requests.moves_of(place, self._catalogue, self._pods)
            if move.token is not requests.Token.DELETED_ACCOUNT
        ]
        controls = [job for job in jobs if job[1].control]
        others = [job for job in jobs if not job[1].control]
        total = len(jobs)
        attempts = self._all(controls, 0, total)
        if any(each.outcome is Outcome.NOT_SENT for each in attempts):
            return attempts
        return attempts + self._all(others, len(controls), total)

    def _all(self, jobs: Sequence[tuple[Holder, Move]], before: int, total: int) -> list[Attempt]:
        return fan_out(
            lambda job: self._play(*job),
            jobs,
            concurrency=self._concurrency,
            abort=self._api.abort,
            on_progress=lambda done, _: self._on_progress(before + done, total),
        )

    def _play(self, holder: Holder, move: Move) -> Attempt:
        one, api = holder.identity, holder.api
        if move.token is requests.Token.OTHER_AUDIENCE:
            api = holder.foreign
            if api is None:
                named = guard(holder.foreign_note) or holder.foreign_note
                stopped = named.startswith("ValidatingAdmissionPolicy ")
                return Attempt(one, move, Verdict(Outcome.GUARD if stopped else Outcome.NOT_SENT, named))
        if self._gone or api is None:
            return Attempt(one, move, Verdict(Outcome.NOT_SENT, self._gone or holder.note))
        return self.send(one, api, move)

    def send(self, one: Identity, api: Api, move: Move) -> Attempt:
        """One move; an unexpected success is asked about at once, with the token that had it."""
        try:
            answer = api.raw(move.method, move.path, move.body or None, move.headers, repeatable=True)
        except ApiError as error:
            self._look_for_the_server(str(error))
            return Attempt(one, move, Verdict(Outcome.NOT_SENT, str(error)))
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._look_for_the_server(f"{self._api.server}: {answer.status} {answer.message}".rstrip())
        attempt = Attempt(one, move, judge(move, one, answer, self._declaration), answer.status)
        if move.token is not requests.Token.OWN or move.control:
            return attempt
        if troubled(answer):  # a proxy passes on the trouble of what it leads to: the authorizer may have said yes
            allowed, reason = _asked(api, move)
            if allowed:
                verdict = judge(move, one, answer, self._declaration, authorized=True)
                return replace(attempt, verdict=verdict, allowed_by=reason)
        elif attempt.outcome is Outcome.UNEXPECTED:
            return replace(attempt, allowed_by=_asked(api, move)[1])
        return attempt

    def _look_for_the_server(self, why: str) -> None:
        """Once it serves no more, nothing more is sent; what was not sent says so."""
        with self._lost:
            if not self._gone and not self._api.serves():
                self._gone = why


def _asked(api: Api, move: Move) -> tuple[bool, str]:
    """Whether the API server allows what a move needs, and the first reason that it gives, in its own words."""
    reason = ""
    for rights in rights_needed(move):
        answers = [_may(api, right) for right in rights]
        reason = reason or next((why for allowed, why in answers if allowed), "")
        if all(allowed for allowed, _ in answers):
            return True, reason
    return False, reason


def _may(api: Api, right: Request) -> tuple[bool, str]:
    try:
        status = ask_self(api, right)
    except ApiError:
        return False, ""
    return status.allowed, status.reason


def _with_a_dead_account(api: Api, declaration: Declaration, hideout: Hideout, run: _Run) -> list[Attempt]:
    """The token of a deleted ServiceAccount, until it is refused."""
    if not run.ready:
        return []
    name, dead, note = dead_account(api, declaration.namespace, hideout)
    nobody = Identity(name, declaration.namespace, "(a deleted ServiceAccount)", (), TokenSettings("none"))
    place = Place(declaration, nobody, declaration.ungranted_namespace)
    tried = [move for move in requests.listed_moves(place) if move.token is requests.Token.DELETED_ACCOUNT]
    if dead is None:
        return [Attempt(nobody, move, Verdict(Outcome.NOT_SENT, note)) for move in tried]
    attempts = []
    for move in tried:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (attempt := run.send(nobody, dead, move)).outcome is Outcome.UNEXPECTED and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
        attempts.append(attempt)
    return attempts
