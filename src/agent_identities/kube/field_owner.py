"""Who owns a field of a live object by server-side apply, and what that owner applied.

Who else writes such a field takes it away from its owner, whose next apply then fails with a conflict (Helm 4, Argo CD
and Flux apply so). Instead the change is applied in the owner's name: all that it applied before, with the change.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Applied:
    """The field manager ``owner`` and its manifest, as it could be applied again without changing anything."""

    owner: str
    manifest: dict[str, Any]


def applied_with(obj: Manifest, field: str) -> Applied | None:
    """What the manager applied that owns this top-level field; None where nobody applied it.

    ``obj`` as the API server answers, with managedFields; ``kind`` must be in it.
    """
    for entry in obj["metadata"].get("managedFields") or ():
        fields = entry.get("fieldsV1") or {}
        if entry.get("operation") == "Apply" and f"f:{field}" in fields and not entry.get("subresource"):
            identity = {"apiVersion": entry["apiVersion"], "kind": obj["kind"], "metadata": {}}
            own = identity | _owned(fields, obj)
            names = {key: obj["metadata"][key] for key in ("name", "namespace") if key in obj["metadata"]}
            own["metadata"] = {**own["metadata"], **names}
            return Applied(entry["manager"], own)
    return None


def _owned(fields: Manifest, value: Manifest) -> dict[str, Any]:
    """The part of a map that a set of fields is about; lists are taken whole, as those of RBAC objects are."""
    found = {}
    for key, below in fields.items():
        name = key.removeprefix("f:")
        if key.startswith("f:") and name in value:
            item = value[name]
            whole = not isinstance(item, Mapping) or not any(each.startswith("f:") for each in below)
            found[name] = json.loads(json.dumps(item)) if whole else _owned(below, item)
    return found
