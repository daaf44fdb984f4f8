"""Real tokens of identities, bound to pods; the objects that a run creates for them, and their deletion.

A TokenRequest can be bound to a pod that was never scheduled (pkg/registry/core/serviceaccount/storage/token.go). A pod
with a scheduling gate is therefore sufficient, and no container runs.
"""

import contextlib
import json
import shlex
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent_identities.attack.verdict import refusing_policy
from agent_identities.declaration import Identity
from agent_identities.kube.client import Answer, Api, ApiError
from agent_identities.kube.fanout import fan_out

ATTACK_LABEL = "agent-identities/attack"
"""The label of the pods and ServiceAccounts that a run creates; the value is the id of the run."""

OTHER_AUDIENCE = "https://agent-identities.invalid"

_SHORTEST_SECONDS, _LONGEST_SECONDS = 600, 3600
_CREATED, _BAD_REQUEST, _NOT_FOUND, _SERVER_ERROR = 201, 400, 404, 500
_SHOWN = 200


class TokenStatus(StrEnum):
    """Whether an identity has a token for the attack."""

    READY = "ready"
    TOKENLESS = "no token, as declared"
    ABSENT = "no ServiceAccount"
    REFUSED = "no token was issued"


@dataclass(frozen=True, slots=True)
class Holder:
    """An identity and the client with its token.

    ``api`` is None without a token; ``pod`` is "" if the token is not bound to a pod. ``note`` has the reason of both.
    ``other_audience`` is a client with a token for another audience; if it is None, ``other_audience_note`` has the
    reason.
    """

    identity: Identity
    token_status: TokenStatus
    api: Api | None = None
    pod: str = ""
    note: str = ""
    other_audience: Api | None = None
    other_audience_note: str = ""


@dataclass
class CreatedObjects:
    """The objects that a run creates on the cluster, and deletes at its end."""

    api: Api
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    _made: dict[str, str] = field(default_factory=dict)  # path -> how a user would delete it
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def make(self, collection: str, kind: str, body: dict[str, Any]) -> Answer:
        """Create an object; ``clear`` will delete it, even if the API server's answer is lost."""
        name, path = body["metadata"]["name"], f"{collection}/{body['metadata']['name']}"
        _, _, within = collection.partition("/namespaces/")
        where = ["-n", within.partition("/")[0]] if within else []
        with self._lock:
            self._made[path] = shlex.join(["kubectl", *where, "delete", kind, name])
        answer = self.api.raw("POST", collection, json.dumps(body))
        if _BAD_REQUEST <= answer.status < _SERVER_ERROR:  # with another status the object may exist
            with self._lock:
                self._made.pop(path, None)
        return answer

    def remove(self, path: str) -> bool:
        """Delete an object. Returns whether it is deleted or being deleted."""
        try:
            answer = self.api.raw("DELETE", f"{path}?gracePeriodSeconds=0", repeatable=True)
        except ApiError:
            return False
        if answer.status < 300 or answer.status == _NOT_FOUND:
            with self._lock:
                self._made.pop(path, None)
            return True
        return False

    def clear(self, concurrency: int) -> tuple[str, ...]:
        """Delete all objects. Returns the commands to delete the objects that are left."""
        fan_out(self.remove, list(self._made), concurrency=concurrency, abort=self.api.abort)
        return tuple(self._made.values())


def holders(api: Api, identities: Sequence[Identity], created: CreatedObjects, concurrency: int) -> list[Holder]:
    """A holder for each identity, in order. Raises ApiError if the ServiceAccounts cannot be listed."""
    namespaces = sorted({one.namespace for one in identities})
    accounts = {
        (namespace, item["metadata"]["name"])
        for namespace in namespaces
        for item in api.list_all(f"/api/v1/namespaces/{namespace}/serviceaccounts")
    }
    pods = {key: name for namespace in namespaces for key, name in _pods(api, namespace)}

    def hold(one: Identity) -> Holder:
        try:
            return _hold(api, one, created, pods, there=(one.namespace, one.name) in accounts)
        except ApiError as error:
            return Holder(one, TokenStatus.REFUSED, note=str(error))

    return fan_out(hold, identities, concurrency=concurrency, abort=api.abort)


def _pods(api: Api, namespace: str) -> Iterator[tuple[tuple[str, str], str]]:
    """A pod of each ServiceAccount that has pods; nothing if the caller cannot list pods."""
    with contextlib.suppress(ApiError):
        for item in api.list_all(f"/api/v1/namespaces/{namespace}/pods"):
            deleted = item["metadata"].get("deletionTimestamp")
            ended = (item.get("status") or {}).get("phase") in ("Succeeded", "Failed")
            if not deleted and not ended:
                yield (namespace, item["spec"].get("serviceAccountName", "default")), item["metadata"]["name"]


def _hold(
    api: Api, one: Identity, created: CreatedObjects, pods: Mapping[tuple[str, str], str], *, there: bool
) -> Holder:
    tokenless = one.quarantined or one.access == "proxied" or bool(one.token.audience)
    if not there:
        return Holder(
            one, TokenStatus.TOKENLESS if one.quarantined else TokenStatus.ABSENT, note="no such ServiceAccount"
        )
    pod, note = pods.get((one.namespace, one.name), ""), ""
    if not pod:
        pod, note = _make_pod(one, created)
    bound = {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": pod}} if pod else {}
    answer = _request_token(api, one.namespace, one.name, _seconds(one), bound)
    if answer.status != _CREATED:
        status = TokenStatus.TOKENLESS if tokenless and refusing_policy(answer.message) else TokenStatus.REFUSED
        return Holder(one, status, note=_words(answer))
    foreign = _request_token(api, one.namespace, one.name, _seconds(one), bound | {"audiences": [OTHER_AUDIENCE]})
    return Holder(
        one,
        TokenStatus.READY,
        api.with_token(answer.body["status"]["token"]),
        pod,
        note,
        api.with_token(foreign.body["status"]["token"]) if foreign.status == _CREATED else None,
        "" if foreign.status == _CREATED else _words(foreign),
    )


def _make_pod(one: Identity, created: CreatedObjects) -> tuple[str, str]:
    """Create a pod of the identity that never starts. Returns (its name, ""), or ("", the reason why it failed)."""
    name = f"{one.name}-attack-{created.run}"
    collection = f"/api/v1/namespaces/{one.namespace}/pods"
    body = {"metadata": {"name": name, "labels": {ATTACK_LABEL: created.run}}, "spec": never_starts(one.name)}
    answer = created.make(collection, "pod", body)
    return (name, "") if answer.status == _CREATED else ("", f"not bound to a pod: {_words(answer)}")


def never_starts(account: str) -> dict[str, Any]:
    """The spec of a pod of a ServiceAccount that is never scheduled, and that passes Pod Security restricted."""
    little = {"cpu": "1m", "memory": "1Mi", "ephemeral-storage": "1Mi"}
    container = {
        "name": "none",
        "image": "registry.k8s.io/pause:3.10.1",
        "resources": {"requests": little, "limits": little},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "schedulingGates": [{"name": ATTACK_LABEL}],  # it is never scheduled
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }


def _seconds(one: Identity) -> int:
    """The declared lifetime of the identity's tokens, at least the API server's minimum and at most an hour."""
    declared = one.token.expiration_seconds or _SHORTEST_SECONDS
    return min(max(declared, _SHORTEST_SECONDS), _LONGEST_SECONDS)


def _request_token(api: Api, namespace: str, account: str, seconds: int, spec: Mapping[str, Any]) -> Answer:
    body = {"spec": {"expirationSeconds": seconds, **spec}}
    return api.raw("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", json.dumps(body))


def deleted_account(api: Api, namespace: str, created: CreatedObjects) -> tuple[str, Api | None, str]:
    """The name of a deleted ServiceAccount, a client with its token or None, and the reason for None."""
    name = f"attack-{created.run}"
    collection = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    body = {"metadata": {"name": name, "labels": {ATTACK_LABEL: created.run}}, "automountServiceAccountToken": False}
    try:
        made = created.make(collection, "serviceaccount", body)
        if made.status != _CREATED:
            return name, None, _words(made)
        answer = _request_token(api, namespace, name, _SHORTEST_SECONDS, {})
        if answer.status != _CREATED:
            return name, None, _words(answer)
        if not created.remove(f"{collection}/{name}"):
            return name, None, "the ServiceAccount could not be deleted"
    except ApiError as error:
        return name, None, str(error)
    return name, api.with_token(answer.body["status"]["token"]), ""


def _words(answer: Answer) -> str:
    return refusing_policy(answer.message) or f"{answer.status} {answer.message[:_SHOWN]}".rstrip()
