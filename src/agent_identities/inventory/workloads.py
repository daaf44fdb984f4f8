"""What creates the pods that run as agents: the Deployments of the release, other workloads, or nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agent_identities.chart.objects import Key
from agent_identities.declaration import Identity
from agent_identities.inventory.accounts import Manifest
from agent_identities.inventory.findings import NAMES, compact, kubectl
from agent_identities.inventory.objects import AgentObjects, account_of, controller_of

_HASH = "pod-template-hash"
_GROUPS = {
    "apps": ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"),
    "batch": ("Job", "CronJob"),
    "": ("Pod", "ReplicationController"),
}
_ROLLED_OUT = ("Deployment", "StatefulSet", "DaemonSet")
"""Kinds whose controllers replace the pods if the template changes."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The object at the end of a pod's owner references, often a Deployment; the pod itself without an owner."""

    key: Key
    of_release: bool = field(default=False, compare=False)

    @property
    def argument(self) -> str:
        """The kind as an argument of kubectl: ``deployment``, ``sandbox.agents.x-k8s.io``."""
        kind, group = self.key.kind, self.key.group
        return kind.lower() if kind in _GROUPS.get(group, ()) else f"{kind.lower()}.{group}".rstrip(".")

    @property
    def rolls_out(self) -> bool:
        """Whether a change of its pod template replaces the pods."""
        return self.key.kind in _ROLLED_OUT


@dataclass(frozen=True, slots=True)
class AgentPod:
    """A pod that runs as an identity, and what created it."""

    identity: Identity
    pod: Manifest
    workload: Workload

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the pod."""
        return self.pod["metadata"].get("labels") or {}


def agent_pods(found: AgentObjects) -> tuple[AgentPod, ...]:
    """The pods that run as identities of the declaration, also as quarantined ones."""
    identities = found.identities
    return tuple(
        AgentPod(one, pod, workload_of(found, pod))
        for pod in found.pods
        if (one := identities.get((pod["metadata"]["namespace"], account_of(pod)))) is not None
    )


def idle_workloads(found: AgentObjects, pods: Iterable[AgentPod]) -> tuple[tuple[Identity, Workload], ...]:
    """Workloads outside the release that run pods as an identity, and have none of these pods now.

    For example, a CronJob before its time, or a Deployment with ``replicas: 0``.
    """
    identities, running = found.identities, {each.workload.key for each in pods}
    return tuple(
        (identities[key.namespace, account_of(template)], Workload(key))
        for key, template in found.templates.items()
        if key not in running and not _is_declared(found, key)
    )


def workload_of(found: AgentObjects, pod: Manifest) -> Workload:
    """The owner of the pod's owner, the owner, or the pod. ``of_release``: a Deployment that the values declare."""
    namespace = pod["metadata"]["namespace"]
    controller = controller_of(pod)
    if controller is None:
        return Workload(Key("", "Pod", namespace, pod["metadata"]["name"]))
    owner = found.owners.get(controller["uid"])
    above = controller_of(owner) if owner is not None else None
    unread = (namespace, controller["kind"]) in found.unread
    if above is None and unread and (named := _deployment_by_name(pod, controller)):
        key = Key("apps", "Deployment", namespace, named)
        return Workload(key, of_release=_is_declared(found, key))
    last = above or controller
    key = Key(last["apiVersion"].rpartition("/")[0], last["kind"], namespace, last["name"])
    return Workload(key, of_release=above is not None and _is_declared(found, key, above["uid"]))


def _deployment_by_name(pod: Manifest, controller: Manifest) -> str:
    """The Deployment of a ReplicaSet, by the ReplicaSet's name; "" if it has another form."""
    ending = f"-{(pod['metadata'].get('labels') or {}).get(_HASH, '')}"
    name = str(controller["name"])
    return name.removesuffix(ending) if controller["kind"] == "ReplicaSet" and name.endswith(ending) else ""


def _is_declared(found: AgentObjects, key: Key, uid: str = "") -> bool:
    """Whether the values declare this Deployment, and it is the existing one of that uid ("": any)."""
    declared = found.declared.get((key.namespace, key.name))
    if key.kind != "Deployment" or key.group != "apps" or declared is None or declared.containers is None:
        return False
    if not uid or (key.namespace, "Deployment") in found.unread:
        return True
    deployment = found.deployments.get((key.namespace, key.name))
    return deployment is not None and deployment["metadata"]["uid"] == uid


def removals(workloads: Iterable[Workload]) -> tuple[str, ...]:
    """The remediations that delete workloads, with their pods: a command for each kind."""
    return tuple(
        f"To remove it: {kubectl(namespace, names, 'delete', argument, NAMES)}"
        for (namespace, argument), names in _by_kind(workloads).items()
    )


def fixes(workloads: Iterable[Workload], template: object) -> tuple[str, ...]:
    """The remediations that patch the pod templates of workloads. Workloads without a rollout are deleted instead."""
    every = list(dict.fromkeys(workloads))
    body = compact({"spec": {"template": template}})
    patched = _by_kind(each for each in every if each.rolls_out)
    return (
        *(
            f"To fix it: {kubectl(namespace, names, 'patch', argument, NAMES, '-p', body)}"
            for (namespace, argument), names in patched.items()
        ),
        *removals(each for each in every if not each.rolls_out),
    )


def _by_kind(workloads: Iterable[Workload]) -> dict[tuple[str, str], list[str]]:
    """The names of the workloads, by namespace and argument of kubectl."""
    found: dict[tuple[str, str], list[str]] = {}
    for each in dict.fromkeys(workloads):
        found.setdefault((each.key.namespace, each.argument), []).append(each.key.name)
    return found


def describe(pods: Iterable[AgentPod]) -> list[str]:
    """A line for each workload: ``Deployment ns/a: 2 pods (a-1, a-2) of triage``."""
    lines: dict[Workload, list[AgentPod]] = {}
    for each in pods:
        lines.setdefault(each.workload, []).append(each)
    return [_line(workload, group) for workload, group in lines.items()]


_MOST_PODS = 3


def _line(workload: Workload, group: list[AgentPod]) -> str:
    accounts = ", ".join(dict.fromkeys(each.identity.name for each in group))
    if workload.key.kind == "Pod":
        return f"{workload.key}: runs as {accounts}"
    names = [each.pod["metadata"]["name"] for each in group]
    shown = ", ".join(names[:_MOST_PODS]) + (", …" if len(names) > _MOST_PODS else "")
    pods = "1 pod" if len(names) == 1 else f"{len(names)} pods"
    return f"{workload.key}: {pods} ({shown}) of {accounts}"
