"""AKS: the audit event in a row of the tables AKSAudit and AKSAuditAdmin, and the category of a diagnostic record.

https://learn.microsoft.com/azure/azure-monitor/reference/tables/aksaudit (ArcK8sAudit has the same columns) and
https://learn.microsoft.com/azure/aks/monitor-aks
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from agent_identities.audit.events import AKS_ALL, AKS_WRITES, API_VERSION, Event, NotAnEventError, from_object, time_of
from agent_identities.rbac.request_info import request_info

_COLUMNS = {
    "AuditId": "auditID",
    "Stage": "stage",
    "RequestUri": "requestURI",
    "Verb": "verb",
    "User": "user",
    "ImpersonatedUser": "impersonatedUser",
    "ObjectRef": "objectRef",
    "ResponseStatus": "responseStatus",
    "Annotations": "annotations",
}
_LOGS = {"kube-audit": AKS_ALL, "kube-audit-admin": AKS_WRITES}


def is_row(row: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a row of an audit table."""
    return isinstance(row.get("AuditId"), str) and isinstance(row.get("Stage"), str)


def event(row: Mapping[str, Any]) -> Event:
    """The event of a row. `az monitor log-analytics query` writes objects as JSON strings. Raises NotAnEventError."""
    content = {key: _value(row.get(column)) for column, key in _COLUMNS.items()}
    content["requestReceivedTimestamp"] = time_of(row.get("RequestReceivedTime"))
    found = from_object({"kind": "Event", "apiVersion": API_VERSION, **content})
    if found is None:
        raise NotAnEventError("is a row of an audit table with missing fields")
    if found.request.path:  # the column ObjectRef is empty for a list
        try:
            request = request_info("GET", str(content["requestURI"]))
        except ValueError:
            raise NotAnEventError("is a row of an audit table without a resource") from None
        if request.resource:
            found = found._replace(request=request._replace(verb=found.request.verb))
    return found._replace(log=AKS_WRITES if str(row.get("Type", "")).endswith("Admin") else AKS_ALL)


def _value(value: Any) -> Any:
    if isinstance(value, str) and value[:1] == "{":
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value or None


def log_of(record: Mapping[str, Any]) -> str:
    """The log that a diagnostic record, or a row of AzureDiagnostics, belongs to."""
    category = record.get("category") or record.get("Category")
    return _LOGS.get(category, "") if isinstance(category, str) else ""
