"""Read the objects of the target from the cluster: bindings, ServiceAccounts, workloads."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from agent_identities.chart.names import AGENT_LABEL, INSTANCE_LABEL
from agent_identities.kube.client import ApiError
from agent_identities.kube.roles import RBAC
from agent_identities.quarantine.plan import TargetAccounts
from agent_identities.quarantine.result import Failure, FailureKind
from agent_identities.quarantine.server import Server

Manifest = Mapping[str, Any]

_BINDINGS = ("RoleBinding", "ClusterRoleBinding")
_NAMED_ONE_BY_ONE = 20
"""Up to this number of agents, objects are selected by name: more names are a URL that proxies refuse."""


@dataclass(frozen=True, slots=True)
class Found:
    """The objects that could be read, and the failures to read others."""

    items: tuple[Manifest, ...]
    failures: tuple[Failure, ...] = ()


def labelled_bindings(server: Server, target: TargetAccounts, *, skip_unreadable: bool = False) -> Iterator[Manifest]:
    """The bindings with the label of the target: a small answer in a cluster of any size.

    ``skip_unreadable``: skip kinds that the caller cannot list. Raises ApiError otherwise, and ServerGoneError.
    """
    selector = _agents(target)
    for kind in _BINDINGS:
        try:
            yield from server.list(kind, f"{RBAC}/{kind.lower()}s?{selector}")
        except ApiError:
            if not skip_unreadable:
                raise


def every_binding(server: Server, target: TargetAccounts) -> Found:
    """All bindings of the cluster, because any namespace can have a binding of the target.

    If the caller cannot list them: the bindings in the target's namespace.
    """
    found: list[Manifest] = []
    failures: list[Failure] = []
    for kind in _BINDINGS:
        try:
            found += server.list(kind, f"{RBAC}/{kind.lower()}s")
        except ApiError as error:
            message = f"{kind}s of the whole cluster could not be searched: {error}"
            failures.append(Failure(FailureKind.NOT_SEARCHED, message))
            if kind == "RoleBinding":
                with contextlib.suppress(ApiError):
                    found += server.list(kind, f"{RBAC}/namespaces/{target.namespace}/rolebindings")
    return Found(tuple(found), tuple(failures))


def service_accounts(server: Server, target: TargetAccounts) -> Found:
    """The target's ServiceAccounts that exist."""
    collection = f"/api/v1/namespaces/{target.namespace}/serviceaccounts"
    if len(target.names) > _NAMED_ONE_BY_ONE:
        names = set(target.names)
        every = _searched(server, "ServiceAccount", [collection])
        return Found(tuple(each for each in every.items if each["metadata"]["name"] in names), every.failures)
    found: list[Manifest] = []
    failures: list[Failure] = []
    for name in target.names:
        try:
            account = server.get(f"{collection}/{name}")
        except ApiError as error:
            failures.append(Failure(FailureKind.NOT_SEARCHED, f"could not be read: {error}"))
        else:
            found += [{"kind": "ServiceAccount", **account}] if account is not None else []
    return Found(tuple(found), tuple(failures))


def missing_instances(
    server: Server, target: TargetAccounts, names: Iterable[str], entries: Iterable[str]
) -> tuple[str, ...]:
    """The instances without a ServiceAccount: they are already quarantined.

    Raises ApiError, ServerGoneError.
    """
    selector = urlencode({"labelSelector": f"{INSTANCE_LABEL} in ({','.join(entries)})"})
    path = f"/api/v1/namespaces/{target.namespace}/serviceaccounts?{selector}"
    existing = {item["metadata"]["name"] for item in server.list("ServiceAccount", path)}
    return tuple(name for name in names if name not in existing)


def deployments(server: Server, target: TargetAccounts) -> Found:
    """The Deployments with the label of the target."""
    path = f"/apis/apps/v1/namespaces/{target.namespace}/deployments?{_agents(target)}"
    return _searched(server, "Deployment", [path])


def pods(server: Server, target: TargetAccounts) -> Found:
    """The pods that run as the target."""
    collection = f"/api/v1/namespaces/{target.namespace}/pods"
    if len(target.names) > _NAMED_ONE_BY_ONE:
        names = set(target.names)
        every = _searched(server, "Pod", [collection])
        return Found(
            tuple(each for each in every.items if each["spec"].get("serviceAccountName") in names), every.failures
        )
    paths = [f"{collection}?fieldSelector=spec.serviceAccountName%3D{name}" for name in target.names]
    return _searched(server, "Pod", paths)


def labelled_pods(server: Server, target: TargetAccounts) -> list[dict[str, Any]]:
    """The pods with the label of the target, whatever they run as. Raises ApiError, ServerGoneError."""
    return server.list("Pod", f"/api/v1/namespaces/{target.namespace}/pods?{_agents(target)}")


def network_policies(server: Server, target: TargetAccounts) -> list[dict[str, Any]]:
    """The NetworkPolicies of the namespace. Raises ApiError, ServerGoneError."""
    return server.list("NetworkPolicy", f"/apis/networking.k8s.io/v1/namespaces/{target.namespace}/networkpolicies")


def cilium_policies(server: Server, target: TargetAccounts) -> list[dict[str, Any]]:
    """The policies of Cilium for the namespace, and those of the cluster. Raises ApiError, ServerGoneError."""
    if (
        server.get("/apis/cilium.io") is None
    ):  # asked first: a caller without rights gets a 403 also if it is not served
        return []
    paths = {
        "CiliumNetworkPolicy": f"namespaces/{target.namespace}/ciliumnetworkpolicies",
        "CiliumClusterwideNetworkPolicy": "ciliumclusterwidenetworkpolicies",
    }
    found: list[dict[str, Any]] = []
    for kind, path in paths.items():
        try:
            found += server.list(kind, f"/apis/cilium.io/v2/{path}")
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
    return found


def token_secrets(server: Server, target: TargetAccounts) -> list[dict[str, Any]]:
    """The Secrets of the namespace with a token of a ServiceAccount. Raises ApiError, ServerGoneError."""
    selector = "fieldSelector=type%3Dkubernetes.io/service-account-token"
    return server.list("Secret", f"/api/v1/namespaces/{target.namespace}/secrets?{selector}")


def _searched(server: Server, kind: str, paths: Iterable[str]) -> Found:
    found: list[Manifest] = []
    failures: list[Failure] = []
    for path in paths:
        try:
            found += server.list(kind, path)
        except ApiError as error:
            failures.append(Failure(FailureKind.NOT_SEARCHED, f"{kind}s could not be searched: {error}"))
    return Found(tuple(found), tuple(failures))


def _agents(target: TargetAccounts) -> str:
    if len(target.names) > _NAMED_ONE_BY_ONE:
        return urlencode({"labelSelector": AGENT_LABEL})
    return urlencode({"labelSelector": f"{AGENT_LABEL} in ({','.join(target.labels)})"})
