"""Apply the steps of a quarantine. Each step applies only to the version of the object for which it was planned."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from agent_identities.kube.client import Answer, Api, ApiError
from agent_identities.kube.fanout import fan_out
from agent_identities.quarantine.plan import Step, TargetAccounts, binding_steps
from agent_identities.quarantine.result import Failure, FailureKind
from agent_identities.quarantine.server import Server, ServerGoneError

CONCURRENCY = 8

_TRIES = 5
_NOT_HELD = "is attempting to grant RBAC permissions not currently held"
_MERGE_PATCH = {"content-type": "application/merge-patch+json"}
_APPLY_PATCH = {"content-type": "application/apply-patch+yaml"}


@dataclass(frozen=True, slots=True)
class Applied:
    """The steps that are done, and the failures of the others."""

    steps: tuple[Step, ...]
    failures: tuple[Failure, ...]


def apply_steps(server: Server, steps: Sequence[Step], target: TargetAccounts) -> Applied:
    """Apply all steps concurrently. If the API server stops serving, the failures say so; see ``server.gone``."""
    problems = fan_out(lambda step: _try(server, step, target), steps, concurrency=CONCURRENCY, abort=server.api.abort)
    results = list(zip(steps, problems, strict=True))
    return Applied(
        tuple(step for step, problem in results if not problem),
        tuple(Failure(FailureKind.NOT_REMOVED, f"{step}: {problem}", step.key) for step, problem in results if problem),
    )


def _try(server: Server, step: Step, target: TargetAccounts) -> str:
    """Apply one step. Returns the reason why it failed, "" if it is done."""
    if server.gone:
        return "was not tried: the API server does not serve any more"
    with contextlib.suppress(ServerGoneError):
        return _do(server, step, target)
    return "the API server did not answer, so the object may or may not be removed"


def _do(server: Server, step: Step, target: TargetAccounts) -> str:
    try:
        with server.asking():
            for _ in range(_TRIES):
                answer = _send(server.api, step)
                if answer.status == HTTPStatus.OK and step.subjects == ():  # then it can wait for its finalizers
                    answer = _send(server.api, replace(step, subjects=None, version="", applied=None))
                if answer.status != HTTPStatus.CONFLICT:
                    break
                again = _planned_again(server, step, target)
                if again is None:
                    return ""
                step = again
    except ApiError as error:
        return str(error)
    if answer.status in (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND):
        return ""
    refused = f"{answer.status} {answer.message or _phrase(answer.status)}"
    before, not_held, _ = refused.partition(_NOT_HELD)
    if not_held:  # a list of all rules of the role follows
        refused = f"{before}{not_held}. To remove one of several subjects, you need the verb bind on the role"
    server.check(ApiError(f"{server.api.server}: {refused.rstrip('.')}.", status=answer.status))
    return refused


def _planned_again(server: Server, step: Step, target: TargetAccounts) -> Step | None:
    """The step for the current version of the object, None if there is nothing left to do. Raises ApiError."""
    found = server.get(f"{step.collection}/{quote(step.name, safe='')}")
    if found is None:
        return None
    item = {"kind": step.kind, **found}
    if step.role is None:
        return replace(step, uid=item["metadata"]["uid"])
    return next(binding_steps([item], target), None)


def _phrase(status: int) -> str:
    """The reason phrase of an HTTP status."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


def _send(api: Api, step: Step) -> Answer:
    """Send the request of a step, with the UID and the resourceVersion for which it was planned as preconditions."""
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
