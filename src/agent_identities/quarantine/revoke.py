"""Taking an agent's rights, account and pods away on a live cluster, at once, and watching them end.

One failure does not stop the rest: what could not be done is told at the end. Doing it again does nothing more. Only
when the API server itself is gone it stops, and doing it again does the rest.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from agent_identities.chart.names import AGENT_LABEL, INSTANCE_LABEL
from agent_identities.kube.client import Answer, Api, ApiError
from agent_identities.kube.fanout import fan_out
from agent_identities.kube.reviews import ask
from agent_identities.kube.roles import RBAC, role_path
from agent_identities.quarantine.find import Found, stored_values, unfinished
from agent_identities.quarantine.plan import (
    Step,
    Target,
    account_steps,
    binding_steps,
    instances_of,
    rights,
    shared_rights,
    values_change,
    workload_steps,
)
from agent_identities.quarantine.watch import Watch
from agent_identities.rbac import PolicyRule, Request, User
from agent_identities.report.model import Report, Result

_TRIES = 5
_CONCURRENCY = 8
_LONGEST_WAIT_SECONDS = 30.0
_FIRST_ANSWER_SECONDS = 0.2  # what a watch may cost: nothing is removed before it has seen what is to end
_TOKEN_SECONDS = 600  # the least that the API server issues
_MOST_RIGHTS = 2_000
_CLOUD_ANNOTATIONS = ("eks.amazonaws.com/", "iam.gke.io/", "azure.workload.identity/")
_MERGE_PATCH = {"content-type": "application/merge-patch+json"}
_APPLY_PATCH = {"content-type": "application/apply-patch+yaml"}


@dataclass
class Revocation(Result):
    """What was done, what was not, and when it took effect.

    ``home`` is the namespace of the release. Times are seconds from the command on. ``last_allowed`` and
    ``last_authenticated`` are None where no such request was seen, or no end of them. ``left`` are failures: something
    remains.
    """

    target: Target
    release: str
    home: str = ""
    dry_run: bool = False
    steps: list[Step] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    done_after: dict[str, float] = field(default_factory=dict)
    last_allowed: float | None = None
    last_authenticated: float | None = None
    values_change: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing of the target is left."""
        return not self.left

    def report(self, *, listing: bool = False) -> Report:  # noqa: ARG002  # every step is listed already
        """The result in words and tables."""
        from agent_identities.quarantine.report import build

        return build(self)


def revoke(
    api: Api,
    found: Found,
    *,
    started: float,
    dry_run: bool = False,
    on_step: Callable[[str], None] = lambda _what: None,
) -> Revocation:
    """Take everything away, and come back when the API server neither allows nor authenticates the target any more.

    ``started`` is time.monotonic() when the command began. With ``dry_run`` nothing is written and nothing watched.
    """
    return _Run(api, found, started, dry_run, on_step).run()


class _GoneError(Exception):
    """The API server serves no more."""


class _Run:
    def __init__(self, api: Api, found: Found, started: float, dry_run: bool, on_step: Callable[[str], None]) -> None:  # noqa: FBT001 # handed on by name
        self.api, self.target, self.started, self.on_step = api, found.target, started, on_step
        self.found = found
        self.result = Revocation(found.target, found.release, found.home, dry_run)
        self.rights: dict[tuple[User, Request], None] = {}
        self.probes: list[tuple[User, Request]] = []
        self._roles: dict[str, tuple[PolicyRule, ...]] = {}
        self._asking = threading.Lock()
        self._gone = ""

    def run(self) -> Revocation:
        try:
            if self.result.dry_run:
                self._remove_bindings(self._everywhere())
                self._remove_account()
                self._remove_workloads()
            else:
                self._run_watched()
        except _GoneError:
            self.result.left.append(
                f"what is not listed as removed: {self._gone} Once the API server serves again, the same command does "
                f"the rest; with --release {self.found.release} and your values (-f) where the account is gone already."
            )
        for account in self.found.accounts:
            self._note_cloud(account)
        try:
            self.result.values_change = self._values_change()
        except _GoneError:  # only now: what is known without a question
            self.result.values_change = self._values_change()
        return self.result

    def _failed(self, error: ApiError) -> None:
        """Raise _GoneError where a question failed because nobody serves any more: all others would wait as long."""
        if error.status != 0 and error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return
        with self._asking:
            if not self._gone and not self.api.serves():
                self._gone = str(error)
        if self._gone:
            raise _GoneError from error

    def _values_change(self) -> dict[str, Any]:
        """For the target, and for instances beside it that were taken out before and that the values do not know of."""
        entry, names, labels = self.found.entry, self.target.names, self.found.labels
        installed = None
        if not self._gone:
            installed = stored_values(self.api, self.found.home, self.found.release)  # now: may be a megabyte
        values = self.found.values or installed
        if values is None and entry:
            return {"agents": {entry: {"quarantined": True}}}
        entries = (entry,) if entry else values_change(values, labels, names)["agents"]
        beside = instances_of((values if entry else installed) or {}, entries)
        if beside and not entry:
            beside = self._without_account(beside, entries)
        change = values_change(values, labels, dict.fromkeys([*names, *beside]))
        if values is None and any(isinstance(one["quarantined"], list) for one in change["agents"].values()):
            self.result.notes.append(
                "The values of the release could not be read. If other instances are in quarantine already, add their "
                "numbers to the list below: a list in a values file replaces the one that is there."
            )
        return change

    def _without_account(self, beside: tuple[str, ...], entries: Iterable[str]) -> tuple[str, ...]:
        """Those of some instances whose account is gone: they were taken out before. None where nobody can tell."""
        selector = urlencode({"labelSelector": f"{INSTANCE_LABEL} in ({','.join(entries)})"})
        path = f"/api/v1/namespaces/{self.target.namespace}/serviceaccounts?{selector}"
        try:
            there = {item["metadata"]["name"] for item in self._listed("ServiceAccount", path)}
        except ApiError as error:
            self._failed(error)
            self.result.notes.append(f"Whether other instances were taken out before could not be seen: {error}")
            return ()
        return tuple(name for name in beside if name not in there)

    def _run_watched(self) -> None:
        self.on_step("removing bindings")
        tokens = self._tokens()
        authenticated = Watch(lambda: self._is_authenticated(tokens), started=self.started, pause=0.1)
        labelled = list(self._labelled())
        self._learn_rights(binding_steps(labelled, self.target))
        allowed = Watch(self._is_allowed, started=self.started, pause=0.01)
        for watch in (allowed, authenticated):
            watch.wait_for_first(_FIRST_ANSWER_SECONDS)
        self._remove_bindings(labelled)
        self._remove_bindings(self._everywhere())
        self._done("bindings")
        before = len(self.result.left)
        self.on_step("removing the account")
        self._remove_account()
        self._done("account")
        gone = len(self.result.left) == before
        self.on_step("removing what runs as it")
        self._remove_workloads()
        self._done("pods")
        self.on_step("waiting for the last request that is allowed")
        self._ended(allowed, "allowed", _LONGEST_WAIT_SECONDS if not before else 0)
        self.on_step("waiting for the last request that is authenticated (up to 10 s)")
        self._ended(authenticated, "authenticated", _LONGEST_WAIT_SECONDS if gone else 0)
        self.on_step("asking whether anything is left")
        self._look_for_an_upgrade()
        self._prove_it()

    def _done(self, what: str) -> None:
        if any(step.kind in _KINDS[what] for step in self.result.steps):
            self.result.done_after[what] = time.monotonic() - self.started

    # Bindings

    def _labelled(self, *, silent: bool = True) -> Iterator[Mapping[str, Any]]:
        """The bindings that the chart made for the target: a small answer, whatever the size of the cluster.

        Those that cannot be listed are passed over in silence, or raise ApiError.
        """
        names = ",".join(self.target.names)
        selector = urlencode({"labelSelector": f"{AGENT_LABEL} in ({names})"})
        for kind in ("RoleBinding", "ClusterRoleBinding"):
            yield from self._listed(kind, f"{RBAC}/{kind.lower()}s?{selector}", silent=silent)

    def _everywhere(self) -> list[Mapping[str, Any]]:
        """All bindings of the cluster: a stray one may be anywhere. Without the right to list all, those at home."""
        every: list[Mapping[str, Any]] = []
        for kind in ("RoleBinding", "ClusterRoleBinding"):
            try:
                every += self._listed(kind, f"{RBAC}/{kind.lower()}s")
            except ApiError as error:
                self._failed(error)
                self.result.left.append(f"{kind}s of the whole cluster could not be searched: {error}")
                if kind == "RoleBinding":
                    every += self._listed(kind, f"{RBAC}/namespaces/{self.target.namespace}/rolebindings", silent=True)
        shared = dict.fromkeys(shared_rights(every, self.target))
        self.result.notes += [
            f"{one} stays: siblings hold it, too. For the target it ends with its tokens." for one in shared
        ]
        return every

    def _listed(self, kind: str, path: str, *, silent: bool = False) -> list[dict[str, Any]]:
        try:
            return [{"kind": kind, **item} for item in self.api.list_all(path)]
        except ApiError as error:
            if silent:
                self._failed(error)
                return []
            raise

    def _remove_bindings(self, bindings: Iterable[Mapping[str, Any]]) -> None:
        known = {(step.kind, step.uid) for step in self.result.steps}
        steps = [step for step in binding_steps(bindings, self.target) if (step.kind, step.uid) not in known]
        if not self.result.dry_run:
            self._learn_rights(steps)
        self._apply(steps)

    def _learn_rights(self, steps: Iterable[Step]) -> None:
        """What a binding grants, to ask for it until it is denied: all of it in the end, one thing of it meanwhile."""
        for step in steps:
            granted = [each for each in rights(step, self._rules(step)) if each not in self.rights]
            self.rights |= dict.fromkeys(granted)
            self.probes += granted[:1]

    def _rules(self, step: Step) -> tuple[PolicyRule, ...]:
        ref = step.role
        if ref is None:
            return ()
        path = role_path(ref, step.namespace)
        if path not in self._roles:
            try:
                rules = self.api.get(path).get("rules") or ()
            except ApiError as error:  # dangling, or not ours to read: then there is nothing to ask
                self._failed(error)
                rules = ()
            self._roles[path] = tuple(PolicyRule.from_manifest(rule) for rule in rules)
        return self._roles[path]

    # Account and workloads

    def _remove_account(self) -> None:
        path = f"/api/v1/namespaces/{self.target.namespace}/serviceaccounts"
        accounts = [item for name in self.target.names if (item := self._get(f"{path}/{name}")) is not None]
        self._apply(list(account_steps(accounts, self.target)))
        for account in accounts:
            if account["metadata"].get("finalizers"):
                self.result.notes.append(
                    f"ServiceAccount {account['metadata']['name']} has finalizers: its tokens live until they are done."
                )

    def _remove_workloads(self) -> None:
        namespace = self.target.namespace
        names = ",".join(self.target.names)
        selector = urlencode({"labelSelector": f"{AGENT_LABEL} in ({names})"})
        paths = [
            f"/api/v1/namespaces/{namespace}/pods?fieldSelector=spec.serviceAccountName%3D{name}"
            for name in self.target.names
        ]
        deployments = self._tried("Deployments", f"/apis/apps/v1/namespaces/{namespace}/deployments?{selector}")
        pods = [pod for path in paths for pod in self._tried("Pods", path)]
        steps = list(workload_steps(deployments, pods, self.target))
        self._apply([step for step in steps if step.kind == "Deployment"])
        self._apply([step for step in steps if step.kind == "Pod"])

    def _tried(self, what: str, path: str) -> list[dict[str, Any]]:
        try:
            return self.api.list_all(path)
        except ApiError as error:
            self._failed(error)
            self.result.left.append(f"{what} could not be searched: {error}")
            return []

    def _get(self, path: str) -> dict[str, Any] | None:
        try:
            return self.api.get(path)
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                self._failed(error)
                self.result.left.append(f"could not be read: {error}")
            return None

    def _note_cloud(self, account: Mapping[str, Any]) -> None:
        annotations = account["metadata"].get("annotations") or {}
        if any(key.startswith(_CLOUD_ANNOTATIONS) for key in annotations):
            self.result.notes.append(
                f"ServiceAccount {account['metadata']['name']} also stands for an identity in the cloud: what it "
                "exchanged its tokens for there is not ended by this. Disable that identity there, too."
            )

    # Doing

    def _apply(self, steps: Sequence[Step]) -> None:
        if self.result.dry_run:
            self.result.steps += steps
            return
        for step, failure in zip(
            steps, fan_out(self._try, steps, concurrency=_CONCURRENCY, abort=self.api.abort), strict=True
        ):
            if failure:
                self.result.left.append(f"{step}: {failure}")
            else:
                self.result.steps.append(step)
        if self._gone:
            raise _GoneError

    def _try(self, step: Step) -> str:
        """Do one step; why it could not be done, "" if it is."""
        if self._gone:
            return "was not tried: the API server serves no more"
        with contextlib.suppress(_GoneError):
            return self._do(step)
        return "nobody answered, so whether it went is not known"

    def _do(self, step: Step) -> str:
        try:
            for _ in range(_TRIES):
                answer = _send(self.api, step)
                if answer.status != HTTPStatus.CONFLICT:
                    break
                again = self._planned_anew(step)
                if again is None:
                    return ""
                step = again
        except ApiError as error:
            self._failed(error)
            return str(error)
        if answer.status in (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND):
            return ""
        refused = f"{answer.status} {answer.message or _phrase(answer.status)}"
        self._failed(ApiError(f"{self.api.server}: {refused.rstrip('.')}.", status=answer.status))
        return refused

    def _planned_anew(self, step: Step) -> Step | None:
        """The step for what the object has become meanwhile, None where there is nothing left to do."""
        try:
            item = {"kind": step.kind, **self.api.get(f"{step.collection}/{quote(step.name, safe='')}")}
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        if step.role is None:
            return Step(step.kind, step.namespace, step.name, item["metadata"]["uid"])
        return next(binding_steps([item], self.target), None)

    # Watching

    def _tokens(self) -> dict[str, str]:
        """A token of each account that is there, to see when it is refused. It is never stored."""
        tokens: dict[str, str] = {}
        for account in self.found.accounts:
            name = account["metadata"]["name"]
            path = f"/api/v1/namespaces/{self.target.namespace}/serviceaccounts/{name}/token"
            try:
                tokens[name] = self.api.post(path, {"spec": {"expirationSeconds": _TOKEN_SECONDS}})["status"]["token"]
            except ApiError as error:
                self._failed(error)
                self.result.notes.append(f"The end of authentication could not be watched: {error}")
        return tokens

    def _is_authenticated(self, tokens: Mapping[str, str]) -> bool:
        for token in tokens.values():
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
            answer = self.api.post("/apis/authentication.k8s.io/v1/tokenreviews", review, repeatable=True)
            if (answer.get("status") or {}).get("authenticated"):
                return True
        return False

    def _is_allowed(self) -> bool:
        return any(ask(self.api, *asked).allowed for asked in list(self.probes))

    def _ended(self, watch: Watch, what: str, seconds: float) -> None:
        """Wait for the end that is to come; not at all, where something that stands against it was not removed."""
        watch.wait(seconds)
        setattr(self.result, f"last_{what}", watch.last if watch.over else None)
        if watch.error:
            self.result.notes.append(f"The last {what} request could not be watched to the end: {watch.error}")
        elif seconds and not watch.over:
            self.result.left.append(f"requests are still {what} after {seconds:.0f} s")

    def _look_for_an_upgrade(self) -> None:
        """One that is running writes on; what it has written before it ended, the proof after this finds."""
        release, namespace = self.found.release, self.found.home
        begun = ""
        try:
            begun = unfinished(self.api, namespace, release)
        except ApiError as error:
            self._failed(error)
            seen = f"whether Helm is at work on release {release}, and gives it all back, could not be seen: {error}"
            self._untold(error, seen)
        if begun:
            self.result.left.append(
                f"Helm is at work on release {release}, or was cut off ({begun}), and an upgrade that goes on gives "
                f"back what it has not come to yet. Once `helm status {release} -n {namespace}` says no more that it "
                "is pending, run the same command again."
            )

    def _untold(self, error: ApiError, what: str) -> None:
        """What could not be asked: a failure, but for who may not ask it, who is told."""
        if error.status == HTTPStatus.FORBIDDEN:
            self.result.notes.append(what[0].upper() + what[1:])
        else:
            self.result.left.append(what)

    def _prove_it(self) -> None:
        """Every single right once more, and whether somebody has put anything back."""
        try:
            asked = list(self.rights)[:_MOST_RIGHTS]
            answers = fan_out(lambda one: ask(self.api, *one), asked, concurrency=_CONCURRENCY, abort=self.api.abort)
        except ApiError as error:
            self._failed(error)
            self._untold(error, f"whether any right is left could not be asked: {error}")
            answers, asked = [], []
        for (user, request), answer in zip(asked, answers, strict=True):
            if answer.allowed:
                where = f" in {request.namespace}" if request.namespace else ""
                self.result.left.append(f"{user.name} may still {request}{where}: {answer.reason or 'no reason given'}")
        accounts = [f"/api/v1/namespaces/{self.target.namespace}/serviceaccounts/{name}" for name in self.target.names]
        removed = {step.uid for step in self.result.steps}
        bindings: list[Mapping[str, Any]] = []
        try:
            bindings += self._labelled(silent=False)
        except ApiError as error:
            self._failed(error)
            self._untold(error, f"whether a binding is there again could not be seen: {error}")
        back = [
            *(str(step) for step in account_steps(filter(None, map(self._get, accounts)), self.target)),
            *(str(step) for step in binding_steps(bindings, self.target) if step.uid not in removed),
        ]
        failed = " ".join(self.result.left)
        self.result.left += [
            f"{one} is there again: somebody makes it anew. Change the values where they are kept, then ask again."
            for one in back
            if one not in failed
        ]


_KINDS = {
    "bindings": ("RoleBinding", "ClusterRoleBinding"),
    "account": ("ServiceAccount",),
    "pods": ("Deployment", "Pod"),
}


def _phrase(status: int) -> str:
    """What HTTP calls a status."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


def _send(api: Api, step: Step) -> Answer:
    """One request, that counts only for the object as it was planned for."""
    path = f"{step.collection}/{quote(step.name, safe='')}"
    planned_for = {"uid": step.uid} | ({"resourceVersion": step.version} if step.version else {})
    if step.subjects is not None and step.applied is not None:
        manifest = step.applied.manifest
        whole = {**manifest, "metadata": {**manifest["metadata"], **planned_for}, "subjects": step.subjects}
        query = urlencode({"fieldManager": step.applied.owner, "force": "true"})
        return api.raw("PATCH", f"{path}?{query}", json.dumps(whole), _APPLY_PATCH)
    if step.subjects is not None:
        body = {"metadata": planned_for, "subjects": step.subjects}
        return api.raw("PATCH", path, json.dumps(body), _MERGE_PATCH)
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": planned_for}
    if step.kind == "Pod":
        options["gracePeriodSeconds"] = 0
    return api.raw("DELETE", path, json.dumps(options))
