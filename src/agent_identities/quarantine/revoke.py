"""Remove an agent's rights, ServiceAccount and pods from a live cluster, and observe when the removal takes effect.

After a failure, the run continues: the result lists all failures. A second run changes nothing more. Only if the API
server does not serve any more, the run stops; a second run completes it.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from agent_identities.kube.client import Api, ApiError
from agent_identities.quarantine import read
from agent_identities.quarantine.apply import apply_steps
from agent_identities.quarantine.find import FoundAgent
from agent_identities.quarantine.lasting import lasting_change
from agent_identities.quarantine.observe import Rights, is_authenticated, request_token
from agent_identities.quarantine.plan import Step, account_steps, binding_steps, group_bindings, workload_steps
from agent_identities.quarantine.release import Stored, revisions, stored
from agent_identities.quarantine.remaining import Remaining, Seen, remaining
from agent_identities.quarantine.removed import record_removed, without_other_keys
from agent_identities.quarantine.result import Failure, FailureKind, Revocation
from agent_identities.quarantine.server import Server, ServerGoneError
from agent_identities.quarantine.watch import Watch

_LONGEST_WAIT_SECONDS = 30.0
_TERMINATING_SECONDS = 90.0
"""A ServiceAccount with finalizers: its tokens are valid for 60 s after its deletion, then 10 s in the cache.

k8s.io/kubernetes pkg/serviceaccount/claims.go.
"""
_FIRST_ANSWER_SECONDS = 0.2  # the longest wait for the first observation, before anything is removed
_MOST_TOKENS = 16
"""Tokens to observe; of many agents, those whose ServiceAccounts are removed last."""
_KINDS = {
    "bindings": ("RoleBinding", "ClusterRoleBinding"),
    "account": ("ServiceAccount",),
    "pods": ("Deployment", "Pod"),
}


def revoke(
    api: Api,
    found: FoundAgent,
    *,
    started: float,
    dry_run: bool = False,
    on_step: Callable[[str], None] = lambda _what: None,
) -> Revocation:
    """Remove all objects, and return when the API server neither allows nor authenticates the target any more.

    ``started`` is time.monotonic() at the start of the command. With ``dry_run`` nothing is written or observed.
    """
    return _Run(Server(api), found, started, on_step, dry_run=dry_run).run()


class _Run:
    """The steps of one quarantine in their order, and their results."""

    def __init__(
        self, server: Server, found: FoundAgent, started: float, on_step: Callable[[str], None], *, dry_run: bool
    ) -> None:
        self._server, self._found, self._target = server, found, found.target
        self._started, self._on_step, self._dry_run = started, on_step, dry_run
        self._rights = Rights(server)
        self._seen = Seen()
        self._steps: list[Step] = []
        self._left: list[Failure] = []
        self._notes: list[str] = []
        self._done_after: dict[str, float] = {}
        self._last: dict[str, float | None] = {}

    def run(self) -> Revocation:
        try:
            if self._dry_run:
                self._remove_bindings(self._every_binding())
                self._remove_account()
                self._remove_workloads()
            else:
                self._run_watched()
        except ServerGoneError:
            self._fail(
                FailureKind.SERVER_GONE,
                f"all objects that are not listed as removed: {self._server.gone} When the API server serves again, "
                f"run the same command; if the ServiceAccount is already removed, add --release {self._found.release} "
                "and your values (-f).",
            )
        try:
            return self._result()
        except ServerGoneError:  # now without requests
            return self._result()

    def _result(self) -> Revocation:
        kept = self._kept()
        values = self._found.values if self._found.values is not None else kept.values if kept is not None else None
        change = lasting_change(self._server, self._found, kept, self._unrecorded(values, kept))
        left = self._remaining(values)
        return Revocation(
            target=self._target,
            release=self._found.release,
            home=self._found.home,
            dry_run=self._dry_run,
            steps=tuple(self._steps),
            left=tuple(self._left),
            notes=(*self._notes, *left.notes, *change.notes),
            done_after=self._done_after,
            last_allowed=self._last.get("allowed"),
            last_authenticated=self._last.get("authenticated"),
            outlives=left.outlives,
            values_change=change.values,
            already=change.already,
            every=self._found.every,
            upgradable=change.upgradable,
            not_created=change.not_created,
        )

    def _kept(self) -> Stored | None:
        """The values in Helm's records; read at the end, because they can be a megabyte."""
        if self._found.stored is not None or self._server.gone:
            return self._found.stored
        with self._server.asking():
            return stored(self._server.api, self._found.home, self._found.release)

    def _unrecorded(self, values: read.Manifest | None, kept: Stored | None) -> tuple[str, ...]:
        """The agents that the chart does not know any more; records the others for the chart."""
        if self._server.gone or self._dry_run or self._found.every or (kept is not None and not kept.reused):
            return ()
        installed = kept.values if kept is not None and kept.values is not None else values
        names = without_other_keys(installed, self._found)
        problem = record_removed(self._server, self._found, names) if names else ""
        if not problem:
            return ()
        self._notes.append(
            f"Could not record for the chart that {', '.join(names)} was an agent: {problem}. The chart refuses "
            "`quarantined: true` without another key in the entry."
        )
        return names if values is not None else ()

    def _remaining(self, values: read.Manifest | None) -> Remaining:
        if self._server.gone:
            return Remaining((), ())
        self._seen.rights = self._rights.known
        return remaining(self._server, self._found, self._seen, self._steps, values)

    def _run_watched(self) -> None:
        self._on_step("removing bindings")
        tokens = self._tokens()
        with Watch(
            lambda: is_authenticated(self._server.api, tokens), started=self._started, pause=0.1
        ) as authenticated:
            labelled = list(read.labelled_bindings(self._server, self._target, skip_unreadable=True))
            self._rights.learn(binding_steps(labelled, self._target))
            with Watch(self._rights.is_allowed, started=self._started, pause=0.01) as allowed:
                for watch in (allowed, authenticated):
                    watch.wait_for_first(_FIRST_ANSWER_SECONDS)
                self._remove_all(labelled, allowed, authenticated)
        self._on_step("checking whether anything is left")
        self._check_for_an_upgrade()
        self._check_rights()
        self._check_for_restored_objects()

    def _remove_all(self, labelled: list[read.Manifest], allowed: Watch, authenticated: Watch) -> None:
        """Remove bindings, the account and the pods; then wait until no request is allowed or authenticated."""
        self._remove_bindings(labelled)
        self._remove_bindings(self._every_binding())
        self._done("bindings")
        before = len(self._left)
        self._on_step("removing the account")
        self._remove_account()
        self._done("account")
        gone = len(self._left) == before
        self._on_step("removing the Deployment and the pods")
        self._remove_workloads()
        self._done("pods")
        self._on_step("waiting for the last request that is allowed")
        self._wait_for_the_end(allowed, "allowed", _LONGEST_WAIT_SECONDS if not before else 0)
        self._on_step("waiting for the last request that is authenticated (up to 10 s)")
        held = any(step.finalizers for step in self._steps if step.kind == "ServiceAccount")
        longest = _TERMINATING_SECONDS if held else _LONGEST_WAIT_SECONDS
        self._wait_for_the_end(authenticated, "authenticated", longest if gone else 0)

    # Results

    def _fail(self, kind: FailureKind, message: str) -> None:
        self._left.append(Failure(kind, message))

    def _not_verified(self, error: ApiError, message: str) -> None:
        """A check that failed: a note if the caller does not have the right, otherwise a failure."""
        if error.status == HTTPStatus.FORBIDDEN:
            self._notes.append(message[0].upper() + message[1:])
        else:
            self._fail(FailureKind.NOT_VERIFIED, message)

    def _items(self, found: read.Found) -> tuple[read.Manifest, ...]:
        self._left += found.failures
        return found.items

    def _done(self, what: str) -> None:
        if any(step.kind in _KINDS[what] for step in self._steps):
            self._done_after[what] = time.monotonic() - self._started

    # Removing

    def _apply(self, steps: list[Step]) -> None:
        if self._dry_run:
            self._steps += steps
            return
        applied = apply_steps(self._server, steps, self._target)
        self._steps += applied.steps
        self._left += applied.failures
        if self._server.gone:
            raise ServerGoneError

    def _every_binding(self) -> tuple[read.Manifest, ...]:
        bindings = self._items(read.every_binding(self._server, self._target))
        self._seen.groups += group_bindings(bindings, self._target)
        return bindings

    def _remove_bindings(self, bindings: Iterable[read.Manifest]) -> None:
        bindings = tuple(bindings)
        known = {(step.kind, step.uid) for step in self._steps}
        steps = [step for step in binding_steps(bindings, self._target) if (step.kind, step.uid) not in known]
        planned = {step.uid for step in steps}
        self._seen.bindings += [each for each in bindings if each["metadata"]["uid"] in planned]
        if not self._dry_run:
            self._rights.learn(steps)
        self._apply(steps)

    def _remove_account(self) -> None:
        accounts = self._items(read.service_accounts(self._server, self._target))
        self._apply(list(account_steps(accounts, self._target)))
        self._seen.accounts = accounts

    def _remove_workloads(self) -> None:
        deployments = self._items(read.deployments(self._server, self._target))
        pods = self._items(read.pods(self._server, self._target))
        self._seen.deployments, self._seen.pods = deployments, pods
        steps = list(workload_steps(deployments, pods, self._target))
        self._apply([step for step in steps if step.kind == "Deployment"])
        self._apply([step for step in steps if step.kind == "Pod"])

    # Observing

    def _tokens(self) -> list[str]:
        """A token of each account that exists; of many accounts, of the last ones."""
        tokens: list[str] = []
        for account in self._found.accounts[-_MOST_TOKENS:]:
            try:
                name = account["metadata"]["name"]
                tokens.append(request_token(self._server, self._target.namespace, name))
            except ApiError as error:
                self._notes.append(f"The end of authentication was not observed: {error}")
        return tokens

    def _wait_for_the_end(self, watch: Watch, what: str, seconds: float) -> None:
        """Wait until the requests end; ``seconds`` is 0 if an object that allows them was not removed."""
        watch.wait(seconds)
        self._last[what] = watch.last if watch.over else None
        if watch.error:
            self._notes.append(f"The last {what} request was not observed: {watch.error}")
        elif seconds and not watch.over:
            self._fail(FailureKind.STILL_VALID, f"requests are still {what} after {seconds:.0f} s")

    def _check_for_an_upgrade(self) -> None:
        """Check for a running upgrade. `_check_for_restored_objects` finds the objects of an upgrade that ended."""
        release, namespace = self._found.release, self._found.home
        try:
            with self._server.asking():
                every = revisions(self._server.api, namespace, release)
        except ApiError as error:
            message = f"could not read whether a Helm operation on release {release} is in progress: {error}"
            self._not_verified(error, message)
            return
        newest = max(every, key=lambda each: each.number, default=None)
        if newest is not None and newest.is_pending:
            self._fail(
                FailureKind.UPGRADE,
                f"a Helm operation on release {release} is in progress or was interrupted ({newest.status}). A running "
                "upgrade restores the objects that it has not processed yet. When "
                f"`helm status {release} -n {namespace}` does not print a pending status any more, run the same "
                "command again.",
            )

    def _check_rights(self) -> None:
        """Review every right once more."""
        try:
            still = self._rights.still_allowed()
        except ApiError as error:
            self._not_verified(error, f"could not check whether rights are left: {error}")
            return
        for user, request, answer in still:
            where = f" in {request.namespace}" if request.namespace else ""
            reason = answer.reason or "no reason given"
            self._fail(FailureKind.STILL_VALID, f"{user.name} may still {request}{where}: {reason}")

    def _check_for_restored_objects(self) -> None:
        """Check whether a removed object exists again."""
        accounts = self._items(read.service_accounts(self._server, self._target))
        bindings: list[Mapping[str, Any]] = []
        try:
            bindings += read.labelled_bindings(self._server, self._target)
        except ApiError as error:
            self._not_verified(error, f"could not read whether a binding exists again: {error}")
        removed = {step.uid for step in self._steps}
        restored = [
            *account_steps(accounts, self._target),
            *(step for step in binding_steps(bindings, self._target) if step.uid not in removed),
        ]
        not_removed = {failure.object for failure in self._left}
        self._left += [
            Failure(
                FailureKind.RESTORED,
                f"{step} exists again: another client creates it. Change the values at their source, then run the same "
                "command again.",
                step.key,
            )
            for step in restored
            if step.key not in not_removed
        ]
