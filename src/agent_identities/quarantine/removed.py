"""Record a removed agent in the namespace, so that the chart accepts `quarantined: true` for it.

The chart refuses an upgrade that quarantines an unknown agent, such as a misspelled name. It knows an agent by other
keys in its entry, by its ServiceAccount, or by its NetworkPolicy (templates/_quarantine.tpl). An entry `suspect: {}`
has none of these after the command. Then an annotation of the proxy's RoleBinding has the name: the object exists in
every release, and the change requires no right that the command does not have.
"""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from agent_identities.chart.names import (
    AGENT_LABEL,
    CHART_LABEL,
    CHART_NAME,
    INSTANCE_LABEL,
    PROXY_TIER,
    RELEASE_LABEL,
    REMOVED_ANNOTATION,
    TIER_LABEL,
)
from agent_identities.kube.client import ApiError
from agent_identities.kube.roles import RBAC
from agent_identities.quarantine.find import FoundAgent
from agent_identities.quarantine.server import Server

_MERGE_PATCH = {"content-type": "application/merge-patch+json"}
_TRIES = 5


def without_other_keys(values: Mapping[str, Any] | None, found: FoundAgent) -> tuple[str, ...]:
    """The agents of the target whose entry has no key but `quarantined`, or is unknown: the chart cannot know them."""
    if values is None:
        return tuple(name for name in found.target.names if INSTANCE_LABEL not in found.labels.get(name, {}))
    agents = values.get("agents") or {}
    return tuple(
        name
        for name in found.target.names
        if name in agents
        and not any(
            item is not None for key, item in (agents[name] or {}).items() if key not in ("quarantined", "enabled")
        )
    )


def record_removed(server: Server, found: FoundAgent, names: Iterable[str]) -> str:
    """Add the names to the annotation. Returns the reason why that failed, "" if it is done. Raises ServerGoneError."""
    try:
        for _ in range(_TRIES):
            binding = _proxy_binding(server, found)
            if binding is None:
                return f"release {found.release} has no RoleBinding of the proxy in namespace {found.target.namespace}"
            metadata = binding["metadata"]
            before = {
                name for name in (metadata.get("annotations") or {}).get(REMOVED_ANNOTATION, "").split(",") if name
            }
            every = before.union(names)
            if every == before:
                return ""
            change = {
                "resourceVersion": metadata["resourceVersion"],
                "annotations": {REMOVED_ANNOTATION: ",".join(sorted(every))},
            }
            path = f"{RBAC}/namespaces/{found.target.namespace}/rolebindings/{quote(metadata['name'], safe='')}"
            with server.asking():
                answer = server.api.raw("PATCH", path, json.dumps({"metadata": change}), _MERGE_PATCH)
            if answer.status == HTTPStatus.OK:
                return ""
            if answer.status != HTTPStatus.CONFLICT:
                return f"{answer.status} {answer.message}".rstrip(".")
    except ApiError as error:
        return str(error).rstrip(".")
    return "the RoleBinding of the proxy changes at the same time"


def _proxy_binding(server: Server, found: FoundAgent) -> Mapping[str, Any] | None:
    """The RoleBinding of the proxy alone. Raises ApiError, ServerGoneError."""
    labels = {CHART_LABEL: CHART_NAME, RELEASE_LABEL: found.release, TIER_LABEL: PROXY_TIER}
    selector = ",".join([*(f"{key}={value}" for key, value in labels.items()), f"!{AGENT_LABEL}"])
    path = f"{RBAC}/namespaces/{found.target.namespace}/rolebindings?{urlencode({'labelSelector': selector})}"
    for binding in server.list("RoleBinding", path):
        subjects = binding.get("subjects") or ()
        if [f"{subject['name']}-binding" for subject in subjects] == [binding["metadata"]["name"]]:
            return binding
    return None
