"""The owner of a field of a live object by server-side apply, and the manifest that the owner applied.

Another client that writes the field takes it from its owner; the owner's next apply then fails with a conflict (Helm 4,
Argo CD and Flux use server-side apply). Therefore the change is applied as the owner: its manifest with the change.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Applied:
    """The field manager ``owner`` and its manifest: to apply it again changes nothing."""

    owner: str
    manifest: dict[str, Any]


def applied_with(obj: Manifest, field: str) -> Applied | None:
    """The manifest of the manager that owns this top-level field; None if no manager applied it.

    ``obj`` is the object from the API server, with managedFields; it must have ``kind``.
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
    """The part of a map in a set of fields. Lists are copied as a whole, because lists of RBAC objects are atomic."""
    found = {}
    for key, below in fields.items():
        name = key.removeprefix("f:")
        if key.startswith("f:") and name in value:
            item = value[name]
            whole = not isinstance(item, Mapping) or not any(each.startswith("f:") for each in below)
            found[name] = json.loads(json.dumps(item)) if whole else _owned(below, item)
    return found
