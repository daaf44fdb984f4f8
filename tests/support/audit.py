"""Audit events made by hand, and their trace."""

import itertools
import json
from collections.abc import Iterable
from typing import Any

from agent_identities.audit.accounts import AgentAccounts
from agent_identities.audit.trace import Trace
from agent_identities.audit.tracer import Limits, Tracer

Json = dict[str, Any]
_numbers = itertools.count()


def username(name: str, namespace: str = "team") -> str:
    return f"system:serviceaccount:{namespace}:{name}"


def event(caller: str, verb: str = "list", resource: str = "pods", name: str = "", **changes: Any) -> Json:
    """What a request of a ServiceAccount of the namespace team leaves in the log, allowed by a binding of its own."""
    number = next(_numbers)
    resource, _, subresource = resource.partition("/")
    made: Json = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "auditID": f"id-{number}",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/team/pods?limit=500",
        "verb": verb,
        "user": {
            "username": username(caller),
            "extra": {"authentication.kubernetes.io/credential-id": [f"JTI={caller}"]},
        },
        "objectRef": {"resource": resource, "namespace": "team", "name": name, "subresource": subresource},
        "responseStatus": {"code": 200},
        "requestReceivedTimestamp": f"2026-11-24T03:46:{number % 60:02}.000000Z",
        "annotations": {
            "authorization.k8s.io/decision": "allow",
            "authorization.k8s.io/reason": f'RBAC: allowed by RoleBinding "{caller}-binding/team" of Role "r" '
            f'to ServiceAccount "{caller}/team"',
        },
    }
    return {**made, **changes}


def denied(made: Json) -> Json:
    annotations = {"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""}
    return {**made, "annotations": annotations, "responseStatus": {"code": 403}}


def issue(account: str, by: str = "admin", id_: str = "") -> Json:
    made = event("x", "create", "serviceaccounts/token", account, user={"username": by})
    annotations = {"authentication.kubernetes.io/issued-credential-id": id_ or f"JTI={account}"}
    return {**made, "annotations": {**made["annotations"], **annotations}}


def traced(
    events: Iterable[Json],
    agents: AgentAccounts | None = None,
    limits: Limits | None = None,
    *,
    since: str = "",
    until: str = "",
) -> Trace:
    """The trace of events; without agents, every ServiceAccount of the namespace team is one."""
    tracer = Tracer(agents or AgentAccounts.of_namespaces(["team"]), since=since, until=until, limits=limits)
    made = (json.dumps(each).encode() + b"\n" for each in events)
    for _ in tracer.read("audit.log", made):
        pass
    return tracer.result()
