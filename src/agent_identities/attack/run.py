"""Send, with each identity's own token, every request that an attacker with that token would try.

Requests that the values declare may succeed; all others must be refused. See requests.py for the requests, tokens.py
for the tokens, verdict.py for the verdicts.
"""

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from http import HTTPStatus
from itertools import islice

from agent_identities.attack.request import AttackRequest, TokenKind
from agent_identities.attack.requests import Attacker, UndeclaredRight, attack_requests, listed_requests, siblings_of
from agent_identities.attack.result import Attack, Attempt
from agent_identities.attack.tokens import CreatedObjects, Holder, TokenStatus, deleted_account, holders
from agent_identities.attack.verdict import POLICY, Outcome, Verdict, is_unavailable, judge, rights_needed
from agent_identities.declaration import Declaration, Identity, TokenSettings
from agent_identities.errors import AgentIdentitiesError
from agent_identities.inventory import EMPTY, Inventory, look, read_accounts
from agent_identities.kube.client import DEFAULT_CONCURRENCY, Api, ApiError
from agent_identities.kube.fanout import Progress, fan_out, no_progress
from agent_identities.kube.reviews import ReviewStatus, ask_self
from agent_identities.rbac import Catalogue, Request

_DELETION_SECONDS = 15.0  # API servers refuse the token of a deleted ServiceAccount once they observe the deletion
_PAUSE_SECONDS = 0.25
_MOST_UNDECLARED = 30  # requests for each undeclared binding


def attack(
    api: Api,
    declaration: Declaration,
    catalogue: Catalogue,
    *,
    only: Collection[str] = (),
    concurrency: int = DEFAULT_CONCURRENCY,
    on_progress: Progress = no_progress,
) -> Attack:
    """Send every request with the token of every identity (``only``: of these ServiceAccounts), and judge each answer.

    No existing object is changed. The run creates, and deletes afterwards: a pod that never starts for each identity
    without a pod, and a ServiceAccount without rights. Raises ApiError if the cluster cannot be read,
    AgentIdentitiesError for a name in ``only`` that the values do not declare.
    """
    started = time.monotonic()
    accounts = read_accounts(api, declaration)
    declaration, inventory = look(api, declaration, catalogue, accounts, becoming=False, concurrency=concurrency)
    chosen = _chosen(declaration, only)
    undeclared = () if only else accounts.undeclared(declaration)
    created = CreatedObjects(api)
    leftovers: tuple[str, ...] = ()
    try:
        tokens = holders(api, chosen, created, concurrency)
        run = _Run(api, declaration, catalogue, inventory, tokens, concurrency, on_progress)
        attempts = run.send_all()
        attempts += _with_deleted_account(api, declaration, created, run)
    finally:
        leftovers = created.clear(concurrency)
    return Attack(
        server=api.server,
        declaration=declaration,
        holders=tuple(tokens),
        attempts=tuple(attempts),
        pairs=sum(len(siblings_of(one.identity, declaration.identities)) for one in run.ready),
        possible_pairs=len(run.ready) * (len(declaration.identities) - 1),
        leftovers=leftovers,
        undeclared=undeclared,
        inventory=EMPTY if only else inventory,
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
    """The requests of all attackers."""

    def __init__(
        self,
        api: Api,
        declaration: Declaration,
        catalogue: Catalogue,
        inventory: Inventory,
        tokens: Sequence[Holder],
        concurrency: int,
        on_progress: Progress,
    ) -> None:
        self._api = api
        self._declaration = declaration
        self._concurrency = concurrency
        self._on_progress = on_progress
        self.ready = [one for one in tokens if one.token_status is TokenStatus.READY]
        self._pods = {one.identity.name: one.pod for one in self.ready if one.pod}
        elsewhere = declaration.ungranted_namespace
        self._attackers = [
            Attacker(declaration, one.identity, elsewhere, tuple(_undeclared(inventory, one.identity, elsewhere)))
            for one in self.ready
        ]
        self._catalogue = catalogue
        self._checking = threading.Lock()
        self._gone = ""

    def send_all(self) -> list[Attempt]:
        """Send the positive controls, then all other requests. If a control fails, the others are not sent."""
        jobs = [
            (holder, request)
            for holder, attacker in zip(self.ready, self._attackers, strict=True)
            for request in attack_requests(attacker, self._catalogue, self._pods)
            if request.token is not TokenKind.DELETED_ACCOUNT
        ]
        controls = [job for job in jobs if job[1].control]
        others = [job for job in jobs if not job[1].control]
        attempts = self._send_each(controls, 0, len(jobs))
        if any(each.outcome is Outcome.NOT_SENT for each in attempts):
            return attempts
        return attempts + self._send_each(others, len(controls), len(jobs))

    def _send_each(self, jobs: Sequence[tuple[Holder, AttackRequest]], before: int, total: int) -> list[Attempt]:
        return fan_out(
            lambda job: self._send_as(*job),
            jobs,
            concurrency=self._concurrency,
            abort=self._api.abort,
            on_progress=lambda done, _: self._on_progress(before + done, total),
        )

    def _send_as(self, holder: Holder, request: AttackRequest) -> Attempt:
        one, api = holder.identity, holder.api
        if request.token is TokenKind.OTHER_AUDIENCE:
            api = holder.other_audience
            if api is None:
                note = holder.other_audience_note
                outcome = Outcome.GUARD if note.startswith(POLICY) else Outcome.NOT_SENT
                return Attempt(one, request, Verdict(outcome, note))
        if self._gone or api is None:
            return Attempt(one, request, Verdict(Outcome.NOT_SENT, self._gone or holder.note))
        return self.send(one, api, request)

    def send(self, one: Identity, api: Api, request: AttackRequest) -> Attempt:
        """Send one request. If it succeeds unexpectedly, ask the API server for the reason, with the same token."""
        try:
            answer = api.raw(request.method, request.path, request.body or None, request.headers, repeatable=True)
        except ApiError as error:
            self._check_server(str(error))
            return Attempt(one, request, Verdict(Outcome.NOT_SENT, str(error)))
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._check_server(f"{self._api.server}: {answer.status} {answer.message}".rstrip())
        attempt = Attempt(one, request, judge(request, one, answer, self._declaration), answer.status)
        if request.token is not TokenKind.OWN or request.control:
            return attempt
        if is_unavailable(answer):  # the authorizer may have allowed a request to a proxied backend that is down
            allowed, reason = _review(api, request)
            if allowed:
                verdict = judge(request, one, answer, self._declaration, authorized=True)
                return replace(attempt, verdict=verdict, allowed_by=reason)
        elif attempt.outcome is Outcome.UNEXPECTED:
            return replace(attempt, allowed_by=_review(api, request)[1])
        return attempt

    def _check_server(self, why: str) -> None:
        """If the API server does not serve any more, send no more requests; their verdict has the reason."""
        with self._checking:
            if not self._gone and not self._api.serves():
                self._gone = why


def _undeclared(inventory: Inventory, identity: Identity, elsewhere: str) -> Iterator[UndeclaredRight]:
    """What undeclared bindings give an identity, the riskiest rights of each binding first.

    Rights for the whole cluster are used in namespace ``elsewhere``.
    """
    for held in inventory.undeclared_roles:
        if identity not in held.identities:
            continue
        served = inventory.served
        for request in islice((sent for each in held.requests() if (sent := served.sent(each))), _MOST_UNDECLARED):
            found = served.find(request.api_group, request.item)
            anywhere = not request.namespace and found is not None and found.namespaced
            right = request._replace(namespace=elsewhere) if anywhere else request
            yield UndeclaredRight(right, str(held.key))


def _review(api: Api, request: AttackRequest) -> tuple[bool, str]:
    """Whether the API server allows the rights that a request needs, and the first reason that it gives."""
    reason = ""
    for rights in rights_needed(request):
        answers = [_ask(api, right) for right in rights]
        reason = reason or next((each.reason for each in answers if each.allowed), "")
        if all(each.allowed for each in answers):
            return True, reason
    return False, reason


def _ask(api: Api, right: Request) -> ReviewStatus:
    try:
        return ask_self(api, right)
    except ApiError:
        return ReviewStatus(allowed=False)


def _with_deleted_account(api: Api, declaration: Declaration, created: CreatedObjects, run: _Run) -> list[Attempt]:
    """Send requests with the token of a deleted ServiceAccount until the API server refuses it."""
    if not run.ready:
        return []
    name, token, note = deleted_account(api, declaration.namespace, created)
    identity = Identity(name, declaration.namespace, "(a deleted ServiceAccount)", (), TokenSettings("none"))
    attacker = Attacker(declaration, identity, declaration.ungranted_namespace)
    tried = [each for each in listed_requests(attacker) if each.token is TokenKind.DELETED_ACCOUNT]
    if token is None:
        return [Attempt(identity, request, Verdict(Outcome.NOT_SENT, note)) for request in tried]
    attempts = []
    for request in tried:
        deadline = time.monotonic() + _DELETION_SECONDS
        attempt = run.send(identity, token, request)
        while attempt.outcome is Outcome.UNEXPECTED and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
            attempt = run.send(identity, token, request)
        attempts.append(attempt)
    return attempts
