"""Writes files/api-resources.json of the chart: the built-in resources of Kubernetes, as an API server lists them.

    .venv/bin/python ci/api_resources.py

Run it for a new minor version of Kubernetes. The chart refuses rules that no request can use, and looks them up here.
"""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from agent_identities.bundled import chart_path
from agent_identities.cluster.provide import provide_cluster
from agent_identities.toolchain import provide

Json = dict[str, Any]

ABOUT: Final = [
    "The built-in resources of Kubernetes {version}, written by ci/api_resources.py. Read by the chart's templates.",
    "groups: API group -> plural -> whether the resource is namespaced. A group that is not listed here is not judged.",
    "subresources: API group -> plural -> the subresources. homes: plural -> its API groups.",
    "spellings: singulars, kinds in lower case and short names -> plural. groupNames: what is written for a group.",
    "verbs: words that are not verbs of the API -> the verbs.",
]

RETIRED: Final = ("extensions",)
"""Groups that no supported Kubernetes serves."""

KUBELET: Final = ("checkpoint", "configz", "healthz", "log", "metrics", "pods", "spec", "stats", "statusz")
"""Subresources of nodes by which the kubelet authorizes requests. No API server lists them.
pkg/kubelet/server/auth.go."""

VIRTUAL: Final = {
    "": {"groups": False, "users": False},
    "authentication.k8s.io": {
        "groups": False,
        "nodes": False,
        "serviceaccounts": True,
        "uids": False,
        "userextras": False,
        "users": False,
    },
    "certificates.k8s.io": {"signers": False},
}
"""Resources that exist for authorization only: impersonation (KEP-5284) and signers."""

WELL_KNOWN: Final = {"metrics.k8s.io": {"nodes": False, "pods": True}}
"""Groups that most clusters serve by an aggregated API server (metrics-server), with their resources."""

VERBS: Final = {
    "add": ["create"],
    "all": ["get", "list", "watch", "create", "update", "patch", "delete"],
    "apply": ["get", "create", "patch"],
    "deletecollections": ["deletecollection"],
    "delete-collection": ["deletecollection"],
    "describe": ["get", "list"],
    "edit": ["get", "update", "patch"],
    "head": ["get"],
    "lists": ["list"],
    "modify": ["update", "patch"],
    "post": ["create"],
    "put": ["update"],
    "read": ["get", "list", "watch"],
    "readonly": ["get", "list", "watch"],
    "read-only": ["get", "list", "watch"],
    "remove": ["delete"],
    "replace": ["update"],
    "view": ["get", "list", "watch"],
    "watches": ["watch"],
    "write": ["create", "update", "patch", "delete"],
}
"""Words of other permission systems and of HTTP."""


def discovered() -> tuple[str, dict[str, list[Json]]]:
    """The version of an API server, and the resources of each group, of all served versions."""
    kubectl = provide(["kubectl"])["kubectl"].path
    with provide_cluster("embedded") as cluster:

        def get(path: str) -> Json:
            command = [str(kubectl), "--kubeconfig", str(cluster.kubeconfig), "get", "--raw", path]
            answer: Json = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            return answer

        found = {"": get("/api/v1")["resources"]}
        for group in get("/apis")["groups"]:
            versions = [get(f"/apis/{version['groupVersion']}")["resources"] for version in group["versions"]]
            found[group["name"]] = [resource for resources in versions for resource in resources]
        return cluster.version, found


def content(version: str, found: dict[str, list[Json]]) -> Json:
    """The content of the file."""
    groups: dict[str, dict[str, bool]] = {group: {} for group in (*found, *RETIRED)}
    subresources: dict[str, dict[str, list[str]]] = {}
    spellings: dict[str, str] = {}
    for group, resources in found.items():
        for resource in resources:
            plural, _, sub = resource["name"].partition("/")
            if sub:
                known = subresources.setdefault(group, {}).setdefault(plural, [])
                known += [sub] if sub not in known else []
                continue
            groups[group][plural] = resource["namespaced"]
            for spelling in (resource["singularName"], resource["kind"].lower(), *resource.get("shortNames", ())):
                spellings.setdefault(spelling, plural)
    for group, plurals in (*VIRTUAL.items(), *WELL_KNOWN.items()):
        groups[group] = groups.get(group, {}) | plurals
    subresources[""]["nodes"] = sorted({*subresources[""]["nodes"], *KUBELET})
    homes: dict[str, list[str]] = {}
    for group, plurals in groups.items():
        for plural in plurals:
            homes.setdefault(plural, []).append(group)
    names = {"core": "", "v1": ""} | {group.partition(".")[0]: group for group in sorted(groups) if "." in group}
    return {
        "about": [line.format(version=version) for line in ABOUT],
        "groups": {group: dict(sorted(plurals.items())) for group, plurals in sorted(groups.items())},
        "subresources": {g: {p: sorted(s) for p, s in sorted(of.items())} for g, of in sorted(subresources.items())},
        "homes": dict(sorted(homes.items())),
        "spellings": {name: plural for name, plural in sorted(spellings.items()) if name not in homes},
        "groupNames": dict(sorted(names.items())),
        "verbs": VERBS,
    }


def main() -> None:
    path = Path(chart_path() / "files" / "api-resources.json")
    path.write_text(_compact(content(*discovered())) + "\n", encoding="utf-8")


def _compact(made: Json) -> str:
    """JSON with a line for each entry of the second level."""
    sections = []
    for key, value in made.items():
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        lines = [
            f"{json.dumps(name)}: {json.dumps(each)}" if value is not made["about"] else json.dumps(each)
            for name, each in entries
        ]
        opening, closing = "[]" if key == "about" else "{}"
        sections.append(f"  {json.dumps(key)}: {opening}\n    " + ",\n    ".join(lines) + f"\n  {closing}")
    return "{\n" + ",\n".join(sections) + "\n}"


if __name__ == "__main__":
    main()
