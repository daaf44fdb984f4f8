"""No ServiceAccount, role or binding has an annotation or label by which a deployment tool keeps or re-creates it."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from agent_identities.bundled import chart_path
from agent_identities.checks.registry import Check, Install
from agent_identities.report.model import Finding

_KINDS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


@functools.cache
def _known() -> Mapping[str, Any]:
    """files/lifecycle-metadata.json of the chart: by the prefix of a key, what a tool does with the object."""
    path = chart_path() / "files" / "lifecycle-metadata.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))["prefixes"])


def lifecycle_effect(key: str, value: str) -> str | None:
    """What a deployment tool does with an object that has this annotation or label; None if nothing is known."""
    prefix, _, name = key.partition("/")
    for entry in _known().get(prefix, ()):
        if re.search(entry["names"], name) and re.search(entry.get("values", ""), value):
            return str(entry["why"])
    return None


def _run(install: Install) -> Iterator[Finding]:
    for obj in install.objects.of_kind(*_KINDS):
        for field in ("annotations", "labels"):
            for key, value in (obj.body["metadata"].get(field) or {}).items():
                if effect := lifecycle_effect(key, str(value)):
                    location = install.at(obj, f"metadata.{field}[{key!r}]")
                    yield CHECK.finding(location, f"is {value!r}: {effect}", "Remove it.")


CHECK = Check(
    id="removable",
    title="a quarantine can remove each account, role and binding: no deployment tool keeps or re-creates it",
    why="Annotations such as helm.sh/resource-policy: keep leave the ServiceAccount of a quarantined agent, and its "
    "tokens, in the cluster. A hook gives the ServiceAccount a new UID at each upgrade, which ends its tokens.",
    run=_run,
)
