"""Which objects make pods, and with which spec."""

from collections.abc import Iterator, Mapping
from typing import Any

from agent_identities.chart.objects import KubeObject, Objects

_POD_SPEC_PATHS: Mapping[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    **dict.fromkeys(
        ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController"),
        ("spec", "template", "spec"),
    ),
}
"""Where each workload kind of Kubernetes keeps the spec of its pods."""


def pod_specs(objects: Objects) -> Iterator[tuple[KubeObject, Mapping[str, Any]]]:
    """Every object that makes pods, with the spec of its pods."""
    for obj in objects.of_kind(*_POD_SPEC_PATHS):
        spec: Any = obj.body
        for part in _POD_SPEC_PATHS[obj.key.kind]:
            spec = spec.get(part) or {}
        yield obj, spec


def configuration(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The ConfigMaps and Secrets that the spec of a pod mounts or takes variables from, as (kind, name)."""
    for volume in spec.get("volumes") or ():
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            if config_map := source.get("configMap"):
                yield "ConfigMap", config_map.get("name") or ""
            if secret := source.get("secret"):
                yield "Secret", secret.get("secretName") or secret.get("name") or ""
    for container in (each for key in _CONTAINERS for each in spec.get(key) or ()):
        for source in container.get("envFrom") or ():
            yield from _referred(source, "configMapRef", "secretRef")
        for variable in container.get("env") or ():
            yield from _referred(variable.get("valueFrom") or {}, "configMapKeyRef", "secretKeyRef")


_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def _referred(source: Mapping[str, Any], config_map: str, secret: str) -> Iterator[tuple[str, str]]:
    for kind, key in (("ConfigMap", config_map), ("Secret", secret)):
        if name := (source.get(key) or {}).get("name"):
            yield kind, name
