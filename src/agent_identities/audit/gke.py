"""GKE: the audit event in an entry of Cloud Logging.

An entry has neither groups nor the credential, the pod, the HTTP status and the raw verb: see docs/trace.md. Fields:
https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog and
https://cloud.google.com/kubernetes-engine/docs/how-to/audit-logging
"""

from collections.abc import Mapping
from typing import Any

from agent_identities.audit.events import GKE_READS, GKE_WRITES, STARTED, Event, NotAnEventError, time_of
from agent_identities.rbac import VERBS, Request
from agent_identities.rbac.request_info import request_info

_READS = frozenset({"get", "list", "watch"})  # only Data Access logs have them, and they can be off
_CODES = {5: 404, 6: 409, 7: 403, 16: 401}
"""The HTTP status of a google.rpc.Code. A code of 0 can be the status 200 or 201."""


def is_entry(entry: Mapping[str, Any]) -> bool:
    """Whether a JSON object is an entry of the audit log of a GKE cluster."""
    payload = entry.get("protoPayload")
    if not isinstance(payload, Mapping):
        return False
    return payload.get("serviceName") == "k8s.io" or str(payload.get("methodName", "")).startswith("io.k8s.")


def event(entry: Mapping[str, Any]) -> Event:
    """The event of an entry. Raises NotAnEventError if the entry does not say who did what."""
    payload = entry["protoPayload"]
    who, status = _object(payload, "authenticationInfo"), _object(payload, "status")
    labels, operation = _object(entry, "labels"), _object(entry, "operation")
    permissions = payload.get("authorizationInfo")
    granted = permissions[0] if isinstance(permissions, list) and permissions else {}
    caller, code = who.get("principalEmail") or who.get("principalSubject"), status.get("code", 0)
    if not isinstance(caller, str) or not isinstance(granted, Mapping) or not isinstance(code, int):
        raise NotAnEventError("is a GKE entry without a caller")
    decision = labels.get("authorization.k8s.io/decision")
    if not isinstance(decision, str):
        decision = "allow" if granted.get("granted") is True else "forbid" if granted and code == 7 else ""
    request = _request(payload, granted)
    under_way = operation.get("first") is True and operation.get("last") is not True
    return Event(
        id=str(operation.get("id") or entry.get("insertId") or ""),
        stage=STARTED if under_way else "ResponseComplete",
        time=time_of(entry.get("timestamp")),
        caller=caller,
        acted_as=str(who.get("authoritySelector") or ""),
        constraint="",
        request=request,
        code=_CODES.get(code, 0),
        message=str(status.get("message", "")),
        decision=decision,
        reason=str(labels.get("authorization.k8s.io/reason", "")),
        credential="",
        pod="",
        node="",
        secret="",
        issued="",
        stale=False,
        log=GKE_READS if request.verb in _READS else GKE_WRITES,
    )


def _object(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key)
    return value if isinstance(value, Mapping) else {}


def _request(payload: Mapping[str, Any], granted: Mapping[str, Any]) -> Request:
    """The method ``io.k8s.core.v1.pods.exec.create`` of ``core/v1/namespaces/team/pods/web/exec``."""
    method = str(payload.get("methodName") or granted.get("permission") or "")
    name = str(payload.get("resourceName") or granted.get("resource") or "")
    *kind, verb = method.split(".")
    path = f"/api/{name.removeprefix('core/')}" if name.startswith("core/") else f"/apis/{name}"
    try:
        request = request_info("GET", path)._replace(verb=verb)
    except ValueError:
        request = Request(verb, path=path)
    if verb not in VERBS or request.path or kind[-1:] != [request.subresource or request.resource]:
        raise NotAnEventError("is a GKE entry without a verb and a resource")
    return request
