"""Namespaces of tests, and the removal of everything that a release in one makes in the whole cluster."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from support.server import RBAC, Server

ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
_FLOW: Final = "/apis/flowcontrol.apiserver.k8s.io/v1"
_CLUSTER_SCOPED: Final = (
    f"{ADMISSION}/validatingadmissionpolicybindings",
    f"{ADMISSION}/mutatingadmissionpolicybindings",
    f"{ADMISSION}/validatingadmissionpolicies",
    f"{ADMISSION}/mutatingadmissionpolicies",
    f"{RBAC}/clusterrolebindings",
    f"{RBAC}/clusterroles",
    f"{_FLOW}/flowschemas",
    f"{_FLOW}/prioritylevelconfigurations",
)
"""What the chart and the tests create outside of namespaces; guards first, because they apply to the whole cluster."""


@contextmanager
def own_namespace(server: Server) -> Iterator[str]:
    """The name of a namespace that does not exist yet. It leaves the cluster, with its guards, whatever fails."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    try:
        yield name
    finally:
        remove(server, name)


def remove(server: Server, namespace: str) -> None:
    """Deletes the cluster-scoped objects whose name or label has the namespace, and the namespace."""
    with ExitStack() as steps:  # runs all of them, the last first, also if one fails
        steps.callback(server.delete, f"/api/v1/namespaces/{namespace}")
        for collection in reversed(_CLUSTER_SCOPED):
            steps.callback(_remove_from, server, collection, namespace)


def _remove_from(server: Server, collection: str, namespace: str) -> None:
    status, answer = server.request("GET", collection)
    if status == 404:  # this version does not serve it
        return
    assert status == 200, answer
    for item in answer["items"]:
        meta = item["metadata"]
        if namespace in meta["name"] or meta.get("labels", {}).get("test") == namespace:
            server.delete(f"{collection}/{meta['name']}")
