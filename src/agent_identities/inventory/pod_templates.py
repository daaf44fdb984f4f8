"""Fields of the pod templates of the release that differ from the values: of its Deployments and their ReplicaSets."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agent_identities.chart.objects import Key
from agent_identities.declaration import Identity
from agent_identities.inventory.accounts import Manifest
from agent_identities.inventory.findings import INSTALL_AGAIN, NAMES, finding, kubectl
from agent_identities.inventory.objects import AgentObjects, controller_of
from agent_identities.inventory.pod_fields import Difference, differences
from agent_identities.inventory.workloads import Workload, fixes, removals
from agent_identities.report.model import Finding, many

_MOST_FIELDS = 10
_REVISION = "deployment.kubernetes.io/revision"
_CONTAINERS = ("containers", "initContainers")
_UNIONS = ("livenessProbe", "readinessProbe", "startupProbe", "volumes")
"""Fields of which exactly one of several types is set: a patch cannot remove a type without the declared one."""

_WEBHOOK = "If an admission webhook of the cluster sets these fields, set them in `workload`, too."


def changed_templates(found: AgentObjects, one: Identity, deployment: Manifest) -> Iterator[Finding]:
    """The fields of the Deployment and of its current ReplicaSet that differ from the values, as paths.

    The ServiceAccount of the Deployment, its undeclared containers, and its images and commands have findings of their
    own (`pods`).
    """
    declared = found.of(one)
    if declared.pod_spec is None:
        return
    key = Key("apps", "Deployment", one.namespace, one.name)
    changed = differences(deployment["spec"]["template"]["spec"], declared.pod_spec)
    fields = [each for each in changed if not _has_its_own_finding(each, declared.containers or {})]
    if fields:
        remediation = (*_restored(Workload(key), fields), INSTALL_AGAIN, _WEBHOOK)
        yield _finding(key, one, fields, remediation)
    for replica_set in _current(found, deployment):
        created = differences(replica_set["spec"]["template"]["spec"], declared.pod_spec)
        others = [each for each in created if each not in changed]
        if others:
            of = Key("apps", "ReplicaSet", one.namespace, replica_set["metadata"]["name"])
            yield _finding(of, one, others, (*_resumed(key, deployment), *removals([Workload(of)])))


def _finding(key: Key, one: Identity, fields: Sequence[Difference], remediation: Sequence[str]) -> Finding:
    paths = list(dict.fromkeys(each.path for each in fields))
    more = f" and {len(paths) - _MOST_FIELDS} more" if len(paths) > _MOST_FIELDS else ""
    return finding(
        "changed-deployment",
        f"{key} has a pod template that differs from the values in {many(len(paths), 'field')}: "
        f"{', '.join(paths[:_MOST_FIELDS])}{more}.",
        [key],
        [one],
        field=".".join(("spec.template.spec", *(paths if len(paths) == 1 else ()))),
        remediation=remediation,
    )


def _has_its_own_finding(difference: Difference, declared: Iterable[str]) -> bool:
    match difference.steps:
        case ("serviceAccountName",):
            return True
        case (str(kind), (_, name), *rest) if kind in _CONTAINERS:
            return name not in declared or rest in (["image"], ["command"], ["args"])
    return False


def _current(found: AgentObjects, deployment: Manifest) -> Iterator[Manifest]:
    """The ReplicaSet that creates the pods of a Deployment; none before its controller has seen the template."""
    metadata, status = deployment["metadata"], deployment.get("status") or {}
    revision = (metadata.get("annotations") or {}).get(_REVISION)
    if revision is None or status.get("observedGeneration", 0) < metadata.get("generation", 0):
        return
    for owned in found.owners.values():
        controller = controller_of(owned)
        if controller is not None and controller["kind"] == "Deployment" and controller["uid"] == metadata["uid"]:
            of = (owned["metadata"].get("annotations") or {}).get(_REVISION)
            if of == revision and owned["spec"].get("replicas") != 0:
                yield owned


def _resumed(key: Key, deployment: Manifest) -> tuple[str, ...]:
    """A paused Deployment does not replace its ReplicaSet."""
    if not deployment["spec"].get("paused"):
        return ()
    return (f"To fix it: {kubectl(key.namespace, [key.name], 'rollout', 'resume', 'deployment', NAMES)}",)


def _restored(workload: Workload, fields: Sequence[Difference]) -> tuple[str, ...]:
    """The remediation that takes away what was added: an upgrade only restores what the chart renders."""
    added = [each for each in fields if each.added]
    if not added:
        return ()
    if any(_in_union(each) for each in added):
        return removals([workload])
    return fixes([workload], {"spec": _without([each.steps for each in added])})


def _in_union(difference: Difference) -> bool:
    steps = [step for step in difference.steps if isinstance(step, str)]
    return any(step in _UNIONS for step in steps[:-1])


def _without(added: Sequence[tuple[Any, ...]]) -> Any:
    """The strategic merge patch that removes these fields."""
    below: dict[Any, list[tuple[Any, ...]]] = {}
    for steps in added:
        below.setdefault(steps[0], []).append(steps[1:])
    return {
        field: None if () in rest else _elements(rest) if isinstance(rest[0][0], tuple) else _without(rest)
        for field, rest in below.items()
    }


def _elements(added: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    below: dict[tuple[str, Any], list[tuple[Any, ...]]] = {}
    for steps in added:
        below.setdefault(steps[0], []).append(steps[1:])
    return [
        {key: name, **({"$patch": "delete"} if () in rest else _without(rest))} for (key, name), rest in below.items()
    ]
