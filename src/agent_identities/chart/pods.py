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
