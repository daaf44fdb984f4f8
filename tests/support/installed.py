"""All that a release has on a server: every kind that the server lists, in every namespace and outside of them."""

from functools import cache
from typing import Any

from agent_identities.chart.helm import Release
from agent_identities.chart.objects import Key
from support.server import Json, Server

OURS = "labelSelector=app.kubernetes.io/name%3Dagent-identities"


def installed(server: Server, release: Release) -> dict[Key, Json]:
    """The chart's objects that carry Helm's mark of this release."""
    mark = {"meta.helm.sh/release-name": release.name, "meta.helm.sh/release-namespace": release.namespace}
    return {
        Key(group, kind, item["metadata"].get("namespace", ""), item["metadata"]["name"]): item
        for group, kind, path in _listable(server)
        for item in server.items(f"{path}?{OURS}")
        if mark.items() <= item["metadata"].get("annotations", {}).items()
    }


@cache
def _listable(server: Server) -> tuple[tuple[str, str, str], ...]:
    """(group, kind, path) of every resource that can be listed."""
    groups = {"": "/api/v1"} | {
        group["name"]: f"/apis/{group['preferredVersion']['groupVersion']}" for group in server.get("/apis")["groups"]
    }
    return tuple(
        (group, resource["kind"], f"{path}/{resource['name']}")
        for group, path in groups.items()
        for resource in server.get(path)["resources"]
        if "list" in resource["verbs"] and "/" not in resource["name"]
    )


def holds(live: Any, rendered: Any) -> bool:
    """Whether an object on the server has the rendered fields; it can have the server's defaults, too."""
    if isinstance(rendered, dict) and isinstance(live, dict):
        return all(key in live and holds(live[key], value) for key, value in rendered.items())
    if isinstance(rendered, list) and isinstance(live, list):
        return len(live) == len(rendered) and all(holds(*pair) for pair in zip(live, rendered, strict=True))
    return bool(live == rendered)
