"""Applies roles and bindings to a real API server for a block, and waits until its authorizer enforces them."""

import contextlib
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from agent_identities.errors import AgentIdentitiesError
from agent_identities.kube.client import Api
from agent_identities.kube.fanout import fan_out
from agent_identities.kube.reviews import ask
from agent_identities.kube.roles import RBAC
from agent_identities.rbac import Binding, Policy, PolicyRule, Request, Role, RoleRef, Subject, User

_TIMEOUT_SECONDS = 30.0

Manifest = Mapping[str, Any]


class NotEnforcedError(AgentIdentitiesError):
    """The API server does not enforce the policy, or the policy could not be removed."""


@contextlib.contextmanager
def namespaces(api: Api, names: Sequence[str]) -> Iterator[None]:
    """Create namespaces for the duration of a block. Raises ApiError if a namespace exists."""
    created: list[str] = []
    try:
        for name in names:
            api.post("/api/v1/namespaces", {"metadata": {"name": name}})
            created.append(name)
        yield
    finally:
        for name in created:
            api.raw("DELETE", f"/api/v1/namespaces/{name}")


@contextlib.contextmanager
def applied(api: Api, manifests: Iterable[Manifest], *, canary_namespace: str) -> Iterator[None]:
    """Apply roles and bindings for the duration of a block, which starts when the authorizer enforces them.

    Their namespaces and ``canary_namespace`` must exist. Raises ApiError if the API server rejects an object, and
    NotEnforcedError if it computes other aggregated rules than the evaluator or does not enforce the policy.
    """
    wanted = tuple(manifests)
    canaries = _canaries(canary_namespace)
    try:
        fan_out(lambda manifest: api.post(path_of(manifest), manifest), wanted, abort=api.abort)
        wait_until_aggregated(api, wanted)
        for manifest in canaries:
            api.post(path_of(manifest), manifest)
        wait_until_enforced(api, canaries, canary_namespace)
        yield
    finally:
        leftovers = fan_out(lambda manifest: _remove(api, manifest), (*wanted, *canaries))
        if any(leftovers):
            raise NotEnforcedError(next(filter(None, leftovers)))


def path_of(manifest: Manifest) -> str:
    """The path of the collection of RBAC objects of this kind and namespace."""
    namespace = manifest["metadata"].get("namespace")
    where = f"/namespaces/{namespace}" if namespace else ""
    return f"{RBAC}{where}/{manifest['kind'].lower()}s"


def _remove(api: Api, manifest: Manifest) -> str:
    """Delete an object. Returns the problem if it could not be deleted, else ""."""
    name = quote(manifest["metadata"]["name"], safe="")
    answer = api.raw("DELETE", f"{path_of(manifest)}/{name}", repeatable=True)
    if answer.status in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
        return ""
    return f"{api.server}: {manifest['kind']} {name} could not be deleted: {answer.status} {answer.message}"


def wait_until_aggregated(api: Api, manifests: Sequence[Manifest]) -> None:
    """Wait until the controller has set the rules of each aggregated role to those that the evaluator computes."""
    aggregated = [manifest["metadata"]["name"] for manifest in manifests if "aggregationRule" in manifest]
    if not aggregated:
        return
    policy = Policy.from_manifests(manifests)  # their selectors match labels that no other role on the server has
    expected = {role.name: set(role.rules) for role in policy.roles if role.kind == "ClusterRole"}
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    for name in aggregated:
        while (actual := _rules(api.get(f"{RBAC}/clusterroles/{quote(name)}"))) != expected[name]:
            if time.monotonic() > deadline:
                raise NotEnforcedError(
                    f"ClusterRole {name}: the evaluator aggregates {expected[name]}, the cluster {actual}. "
                    "Check that its controller manager is running."
                )
            time.sleep(0.05)


def _rules(role: Manifest) -> set[PolicyRule]:
    return {PolicyRule.from_manifest(rule) for rule in role.get("rules") or ()}


def _canaries(namespace: str) -> list[Manifest]:
    """A role and a binding of each kind, to be created after all others.

    The authorizer gets the objects of each kind in the order of their creation, because it gets them from one watch.
    """
    name = f"canary-{uuid.uuid4().hex}"
    rules = (PolicyRule(("get",), ("canary",), ("canaries",)),)
    return [
        Role("ClusterRole", name, "", rules).to_manifest(),
        Role("Role", name, namespace, rules).to_manifest(),
        Binding(
            "ClusterRoleBinding", name, "", RoleRef("ClusterRole", name), (Subject("User", f"{name}-c"),)
        ).to_manifest(),
        Binding("RoleBinding", name, namespace, RoleRef("Role", name), (Subject("User", f"{name}-r"),)).to_manifest(),
    ]


def wait_until_enforced(api: Api, canaries: Sequence[Manifest], namespace: str) -> None:
    """Wait until the authorizer enforces the canaries, and so the objects that were created before them."""
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    for binding in canaries[2:]:
        user = User(binding["subjects"][0]["name"])
        while not ask(api, user, Request("get", "canary", "canaries", namespace=namespace)).allowed:
            if time.monotonic() > deadline:
                raise NotEnforcedError(
                    f"{api.server}: a {binding['kind']} created {_TIMEOUT_SECONDS:.0f} s ago is not enforced. "
                    "Check that the server has the authorization mode RBAC."
                )
            time.sleep(0.01)
