"""The spec of the pods that the chart creates for a `workload`, as the values declare it (templates/_pod.tpl)."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from agent_identities.declaration import DEFAULT_EXPIRATION_SECONDS, TokenSettings

Json = dict[str, Any]
Values = Mapping[str, Any]

_POD_FIELDS = (
    "affinity",
    "nodeSelector",
    "priorityClassName",
    "runtimeClassName",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
)
_CONTAINER_FIELDS = (
    "args",
    "command",
    "env",
    "envFrom",
    "imagePullPolicy",
    "livenessProbe",
    "ports",
    "readinessProbe",
    "resources",
    "restartPolicy",
    "startupProbe",
)
"""Fields of a workload and of its further containers that the chart copies."""


def containers(workload: Values) -> Iterator[tuple[str, Values]]:
    """The containers and init containers of the Deployment, by name; the first is the workload itself."""
    yield "agent", workload
    for key in ("initContainers", "extraContainers"):
        yield from ((each["name"], each) for each in workload.get(key) or ())


def pod_spec(account: str, workload: Values, defaults: Values, token: TokenSettings, tokens: Values) -> Json:
    """The spec of the pod template of the Deployment.

    ``defaults`` are workloadDefaults; ``tokens`` the additional tokens of the agent, by name. The spec has no defaults
    of the API server, and can have empty fields.
    """
    tokens = {name: each for name, each in sorted(tokens.items()) if isinstance(each, Mapping)}
    mounts, volumes = _token_mounts(token, tokens), list(_token_volumes(token, tokens))
    size = workload.get("tmp") or defaults.get("tmp") or "none"
    lists: dict[str, list[Json]] = {"initContainers": [], "containers": []}
    for kind, name, each in _by_list(workload):
        own = mounts if each is workload or each.get("mountToken") is True else []
        tmp = _tmp_volume(size, "agent-tmp" if each is workload else f"agent-tmp-{name}", each)
        lists[kind].append(_container(name, each, [*own, *tmp]))
        volumes += [{"name": mount["name"], "emptyDir": {"sizeLimit": size}} for mount in tmp]
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": token.mode == "automount",
        "enableServiceLinks": False,
        "securityContext": _security_context(defaults, workload),
        **_copied(workload, _POD_FIELDS),
        **lists,
        "volumes": [*volumes, *(workload.get("volumes") or ())],
    }


def _by_list(workload: Values) -> Iterator[tuple[str, str, Values]]:
    init = {each["name"] for each in workload.get("initContainers") or ()}
    for name, each in containers(workload):
        yield "initContainers" if name in init else "containers", name, each


def _copied(values: Values, fields: tuple[str, ...]) -> Json:
    return {key: values[key] for key in fields if key in values}


def _container(name: str, each: Values, mounts: list[Json]) -> Json:
    return {
        "name": name,
        "image": each["image"],
        **_copied(each, _CONTAINER_FIELDS),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [*mounts, *(each.get("volumeMounts") or ())],
    }


def _security_context(defaults: Values, workload: Values) -> Json:
    found: Json = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if "runAsUser" in workload:
        defaults = {"runAsUser": workload["runAsUser"]}
    for field in ("runAsUser", "runAsGroup", "fsGroup"):
        number = workload.get(field, defaults.get(field, defaults.get("runAsUser")))
        if number is not None and not isinstance(number, str):
            found[field] = int(number)
    return found


def _tmp_volume(size: str, name: str, each: Values) -> list[Json]:
    """The mount at /tmp; none if the container mounts another volume there."""
    mounted = {_real_path(str(mount["mountPath"])) for mount in each.get("volumeMounts") or ()}
    return [] if size == "none" or "/tmp" in mounted else [{"name": name, "mountPath": "/tmp"}]  # noqa: S108


def _real_path(path: str) -> str:
    clean = posixpath.normpath(f"/{path}")
    return re.sub(r"^/run(?=/|$)", "/var/run", re.sub("^//", "/", clean))


def _token_mounts(token: TokenSettings, tokens: Values) -> list[Json]:
    found: list[Json] = []
    if token.mode == "projected":
        path = "/var/run/secrets/kubernetes.io/serviceaccount"
        found.append({"name": "agent-token", "mountPath": path, "readOnly": True})
    if tokens:
        found.append({"name": "agent-tokens", "mountPath": "/var/run/secrets/tokens", "readOnly": True})
    return found


def _token_volumes(token: TokenSettings, tokens: Values) -> Iterator[Json]:
    if token.mode == "projected":
        own = {"path": "token", "expirationSeconds": token.expiration_seconds, "audience": token.audience}
        namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
        sources: list[Json] = [
            {"serviceAccountToken": own},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ]
        yield {"name": "agent-token", "projected": {"sources": sources}}
    if tokens:
        yield {"name": "agent-tokens", "projected": {"sources": [_source(*each) for each in tokens.items()]}}


def _source(name: str, token: Values) -> Json:
    return {
        "serviceAccountToken": {
            "path": token.get("path") or name,
            "expirationSeconds": int(token.get("expirationSeconds") or DEFAULT_EXPIRATION_SECONDS),
            "audience": token["audience"],
        }
    }
