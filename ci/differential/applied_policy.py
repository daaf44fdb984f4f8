"""Roles and bindings put on a real API server for a while, and back when its authorizer enforces them."""

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

_PATIENCE_SECONDS = 30.0

Manifest = Mapping[str, Any]


class LoadedError(AgentIdentitiesError):
    """A policy that the server has, but does not enforce."""


@contextlib.contextmanager
def namespaces(api: Api, names: Sequence[str]) -> Iterator[None]:
    """Namespaces for the length of a block. Raises ApiError where one is there already."""
    made: list[str] = []
    try:
        for name in names:
            api.post("/api/v1/namespaces", {"metadata": {"name": name}})
            made.append(name)
        yield
    finally:
        for name in made:
            api.raw("DELETE", f"/api/v1/namespaces/{name}")


@contextlib.contextmanager
def loaded(api: Api, manifests: Iterable[Manifest], *, canary_namespace: str) -> Iterator[None]:
    """Roles and bindings on the server for the length of a block, which begins once its authorizer enforces them.

    Their namespaces must be there; ``canary_namespace`` is one more, or one of them.
    Raises ApiError for what the server refuses, LoadedError where it aggregates otherwise than the evaluator.
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
            raise LoadedError(next(filter(None, leftovers)))


def path_of(manifest: Manifest) -> str:
    """The path of a collection of RBAC objects: where one of this kind and namespace is created."""
    namespace = manifest["metadata"].get("namespace")
    where = f"/namespaces/{namespace}" if namespace else ""
    return f"{RBAC}{where}/{manifest['kind'].lower()}s"


def _remove(api: Api, manifest: Manifest) -> str:
    """Why the object is left over, "" where it is gone."""
    name = quote(manifest["metadata"]["name"], safe="")
    answer = api.raw("DELETE", f"{path_of(manifest)}/{name}", repeatable=True)
    if answer.status in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
        return ""
    return f"{api.server}: {manifest['kind']} {name} is left over: {answer.status} {answer.message}"


def wait_until_aggregated(api: Api, manifests: Sequence[Manifest]) -> None:
    """Until the controller has filled each aggregated role with what the evaluator makes of it."""
    waiting = [manifest["metadata"]["name"] for manifest in manifests if "aggregationRule" in manifest]
    if not waiting:
        return
    policy = Policy.from_manifests(manifests)  # their selectors ask for labels that nobody else's roles have
    ours = {role.name: set(role.rules) for role in policy.roles if role.kind == "ClusterRole"}
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for name in waiting:
        while (theirs := _rules(api.get(f"{RBAC}/clusterroles/{quote(name)}"))) != ours[name]:
            if time.monotonic() > deadline:
                raise LoadedError(
                    f"ClusterRole {name}: the evaluator aggregates {ours[name]}, the cluster {theirs}. "
                    "Is its controller manager running?"
                )
            time.sleep(0.05)


def _rules(role: Manifest) -> set[PolicyRule]:
    return {PolicyRule.from_manifest(rule) for rule in role.get("rules") or ()}


def _canaries(namespace: str) -> list[Manifest]:
    """A role and a binding of each kind, to be written after all others.

    The authorizer learns of the objects of one kind in the order in which they were written (they come by one watch).
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
    """Until the authorizer allows what the canaries grant, and so what was written before them."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    for binding in canaries[2:]:
        user = User(binding["subjects"][0]["name"])
        while not ask(api, user, Request("get", "canary", "canaries", namespace=namespace)).allowed:
            if time.monotonic() > deadline:
                raise LoadedError(
                    f"{api.server}: a {binding['kind']} written {_PATIENCE_SECONDS:.0f} s ago still grants nothing. "
                    "Does this server authorize by RBAC?"
                )
            time.sleep(0.01)
