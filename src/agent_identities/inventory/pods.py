"""Pods that run as agents and do not belong to the release, and Deployments of the release that were changed.

The chart creates the pods of an agent only if the values declare its `workload`. Otherwise other users run the agent's
pods on purpose, in their own workloads: these pods are counted, and are not findings.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent_identities.chart.names import AGENT_LABEL, PROXY_LABEL
from agent_identities.chart.objects import Key
from agent_identities.declaration import Identity
from agent_identities.declared_objects import DeclaredObjects, Program, program
from agent_identities.inventory.accounts import Manifest
from agent_identities.inventory.findings import INSTALL_AGAIN, NAMES, compact, finding, kubectl
from agent_identities.inventory.objects import AgentObjects, account_of
from agent_identities.inventory.pod_templates import changed_templates
from agent_identities.inventory.workloads import (
    AgentPod,
    Workload,
    describe,
    fixes,
    idle_workloads,
    removals,
    workload_of,
)
from agent_identities.report.model import Finding, Severity, many
from agent_identities.report.words import label

_MOST_LINES = 10


def pod_findings(found: AgentObjects, pods: Sequence[AgentPod]) -> Iterator[Finding]:
    """Pods of quarantined agents, pods outside the release, changed Deployments and pods, and wrong labels."""
    yield from _quarantined([each for each in pods if each.identity.quarantined])
    active = [each for each in pods if not each.identity.quarantined]
    with_workload = [each for each in active if found.of(each.identity).containers is not None]
    yield from _undeclared([each for each in with_workload if not _of_its_deployment(each)])
    yield from _idle(found, idle_workloads(found, pods))
    for one in found.declaration.identities:
        deployment = found.deployments.get((one.namespace, one.name))
        if deployment is not None and found.of(one).containers is not None:
            yield from _changed_deployment(found, one, deployment)
    yield from _changed_images(found, [each for each in with_workload if _of_its_deployment(each)])
    yield from _debugged(with_workload)
    yield from _labels_of_others(found)
    yield from _lost_labels(found, active)


def other_workloads(found: AgentObjects, pods: Sequence[AgentPod]) -> tuple[str, ...]:
    """A sentence about the pods of agents whose workloads other users run; none without such pods."""
    others = [each for each in pods if not each.identity.quarantined and found.of(each.identity).containers is None]
    if not others:
        return ()
    names = list(dict.fromkeys(each.identity.name for each in others))
    lines = describe(others)
    more = f"; and {len(lines) - _MOST_LINES} more workloads" if len(lines) > _MOST_LINES else ""
    run = "runs" if len(others) == 1 else "run"
    who = f"{many(len(others), 'pod')} of workloads outside the release {run} as {label(names)}"
    return (f"{who}, whose values declare no workload: {'; '.join(lines[:_MOST_LINES])}{more}.",)


def _of_its_deployment(each: AgentPod) -> bool:
    return each.workload.of_release and each.workload.key.name == each.identity.name


def _keys(pods: Sequence[AgentPod]) -> list[Key]:
    return list(dict.fromkeys(each.workload.key for each in pods))


def _details(pods: Sequence[AgentPod]) -> tuple[str, ...]:
    lines = describe(pods)
    more = (f"and {len(lines) - _MOST_LINES} more workloads",) if len(lines) > _MOST_LINES else ()
    return (*lines[:_MOST_LINES], *more)


def _quarantined(pods: Sequence[AgentPod]) -> Iterator[Finding]:
    if not pods:
        return
    names = list(dict.fromkeys(each.identity.name for each in pods))
    yield finding(
        "quarantined-pod",
        f"{_number(pods)} as {label(names)}, but the values quarantine {'it' if len(names) == 1 else 'them'}: a "
        "quarantined agent has no pods.",
        _keys(pods),
        [each.identity for each in pods],
        details=_details(pods),
        remediation=removals(each.workload for each in pods),
    )


def _undeclared(pods: Sequence[AgentPod]) -> Iterator[Finding]:
    if not pods:
        return
    names = list(dict.fromkeys(each.identity.name for each in pods))
    yield finding(
        "undeclared-pod",
        f"{_number(pods)} as {label(names)}, but {'does' if len(pods) == 1 else 'do'} not belong to the Deployment of "
        "the release, which the values declare (workload).",
        _keys(pods),
        [each.identity for each in pods],
        details=_details(pods),
        remediation=(
            *removals(each.workload for each in pods),
            "To keep it: run it as an agent of its own, or remove `workload` of the agent from the values.",
        ),
    )


def _idle(found: AgentObjects, idle: Iterable[tuple[Identity, Workload]]) -> Iterator[Finding]:
    """Workloads that can create pods as an agent, and have none now: an error if the agent has a Deployment.

    For a quarantined agent, a warning: they create no pods without its ServiceAccount.
    """
    alike: dict[bool, list[tuple[Identity, Workload]]] = {}
    for one, workload in idle:
        if one.quarantined or found.of(one).containers is not None:
            alike.setdefault(one.quarantined, []).append((one, workload))
    for quarantined, group in alike.items():
        identities = list(dict.fromkeys(one for one, _ in group))
        workloads = [workload for _, workload in group]
        why = (
            "which the values quarantine: it creates such pods as soon as the ServiceAccount exists"
            if quarantined
            else "whose pods belong to the Deployment of the release, as the values declare (workload)"
        )
        lines = [f"{workload.key}: its pod template runs as {one.name}" for one, workload in group]
        more = (f"and {len(lines) - _MOST_LINES} more workloads",) if len(lines) > _MOST_LINES else ()
        yield finding(
            "undeclared-workload",
            f"{many(len(group), 'workload')} without pods can create pods as "
            f"{label([one.name for one in identities])}, {why}.",
            [workload.key for workload in workloads],
            identities,
            details=(*lines[:_MOST_LINES], *more),
            remediation=removals(workloads),
            severity=Severity.WARNING if quarantined else Severity.ERROR,
        )


def _number(pods: Sequence[AgentPod]) -> str:
    return f"{many(len(pods), 'pod')} run{'s' if len(pods) == 1 else ''}"


def _changed_deployment(found: AgentObjects, one: Identity, deployment: Manifest) -> Iterator[Finding]:
    declared = found.of(one).containers or {}
    key = Key("apps", "Deployment", one.namespace, one.name)
    template = deployment["spec"]["template"]["spec"]
    account = template.get("serviceAccountName") or "default"
    if account != one.name:
        body = {"spec": {"serviceAccountName": one.name, "serviceAccount": one.name}}
        yield finding(
            "changed-deployment",
            f"{key} runs as ServiceAccount {account}, but the values declare {one.name}.",
            [key],
            [one],
            field="spec.template.spec.serviceAccountName",
            remediation=(*fixes([Workload(key)], body), INSTALL_AGAIN),
        )
    yield from _changed_programs(found.of(one), key, one, template)
    images = _images(template)
    for name, image in images.items():
        if name not in declared:
            yield finding(
                "changed-deployment",
                f"{key} has the container {name} (image {image}), but the values do not declare it: its code runs as "
                f"{one.name}.",
                [key],
                [one],
                field=f"spec.template.spec.containers[{name}]",
                remediation=(*_without(key, template, name), INSTALL_AGAIN),
            )
        elif not _same_image(image, declared[name]):
            command = kubectl(
                key.namespace, [key.name], "set", "image", "deployment", NAMES, f"{name}={declared[name]}"
            )
            yield finding(
                "changed-deployment",
                f"{key} runs the image {image} in the container {name}, but the values declare {declared[name]}.",
                [key],
                [one],
                field=f"spec.template.spec.containers[{name}].image",
                remediation=(f"To fix it: {command}", INSTALL_AGAIN),
            )
    yield from changed_templates(found, one, deployment)


def _changed_programs(
    declared: DeclaredObjects, key: Key, one: Identity, template: Mapping[str, Any]
) -> Iterator[Finding]:
    """Containers of the values that the Deployment starts with another command or other arguments."""
    for kind in ("initContainers", "containers"):
        for each in template.get(kind) or ():
            name = each["name"]
            wanted = declared.programs.get(name, ((), ()))
            if name not in (declared.containers or {}) or program(each) == wanted:
                continue
            body = {"name": name, "command": list(wanted[0]) or None, "args": list(wanted[1]) or None}
            yield finding(
                "changed-deployment",
                f"{key} starts the container {name} with {_started(program(each))}, but the values declare "
                f"{_started(wanted)}.",
                [key],
                [one],
                field=f"spec.template.spec.{kind}[{name}].command",
                remediation=(*fixes([Workload(key)], {"spec": {kind: [body]}}), INSTALL_AGAIN),
            )


def _started(program: Program) -> str:
    command, args = program
    if not (command or args):
        return "the command of its image"
    parts = (f"command {compact(command)}" if command else "", f"args {compact(args)}" if args else "")
    return " and ".join(part for part in parts if part)


def _without(key: Key, template: Mapping[str, object], name: str) -> tuple[str, ...]:
    """The remediation that removes a container from a Deployment."""
    lists = [kind for kind in ("containers", "initContainers") if name in _images({kind: template.get(kind)})]
    body = {"spec": {kind: [{"$patch": "delete", "name": name}] for kind in lists}}
    return fixes([Workload(key)], body)


def _images(spec: Mapping[str, object]) -> dict[str, str]:
    """The image of each container and init container, by name."""
    lists = (spec.get(kind) for kind in ("initContainers", "containers"))
    return {each["name"]: each.get("image", "") for found in lists if isinstance(found, list) for each in found}


def _same_image(live: str, declared: str) -> bool:
    """Whether the images are the same; admission webhooks add the digest."""
    return live == declared or live.startswith(f"{declared}@")


def _changed_images(found: AgentObjects, pods: Sequence[AgentPod]) -> Iterator[Finding]:
    """Pods of the release that have neither the image of the values nor that of their Deployment."""
    alike: dict[tuple[str, str, str], list[AgentPod]] = {}
    for each in pods:
        key = each.identity.namespace, each.identity.name
        declared, deployment = found.of(each.identity).containers or {}, found.deployments.get(key)
        template = _images(deployment["spec"]["template"]["spec"]) if deployment else {}
        for name, image in _images(each.pod["spec"]).items():
            wanted = [of[name] for of in (declared, template) if name in of]
            if wanted and not any(_same_image(image, one) for one in wanted):
                alike.setdefault((name, image, wanted[0]), []).append(each)
    for (name, image, wanted_image), group in alike.items():
        changed = [Workload(Key("", "Pod", each.identity.namespace, each.pod["metadata"]["name"])) for each in group]
        one = len(group) == 1
        yield finding(
            "changed-pod",
            f"{many(len(group), 'pod')} of {label(list(dict.fromkeys(each.identity.name for each in group)))} "
            f"{'runs' if one else 'run'} the image {image} in the container {name}, but the values declare "
            f"{wanted_image}.",
            [each.key for each in changed],
            [each.identity for each in group],
            details=_details(group),
            remediation=(
                *removals(changed),
                "During a rollout, and with an admission webhook that changes images, this is expected.",
            ),
            severity=Severity.WARNING,
        )


def _debugged(pods: Sequence[AgentPod]) -> Iterator[Finding]:
    """Pods with ephemeral containers: a pod keeps them until it is deleted, also if they ended."""
    found = [each for each in pods if each.pod["spec"].get("ephemeralContainers")]
    if not found:
        return
    names = list(dict.fromkeys(each.identity.name for each in found))
    changed = [Workload(Key("", "Pod", each.identity.namespace, each.pod["metadata"]["name"])) for each in found]
    lines = [
        f"{workload.key}: {container['name']} (image {container.get('image', '')})"
        for workload, each in zip(changed, found, strict=True)
        for container in each.pod["spec"]["ephemeralContainers"]
    ]
    one = len(found) == 1
    yield finding(
        "ephemeral-container",
        f"{many(len(found), 'pod')} of {label(names)} {'has' if one else 'have'} ephemeral containers (kubectl debug), "
        f"but the values do not declare them: their code runs as {'the agent' if len(names) == 1 else 'the agents'}.",
        [each.key for each in changed],
        [each.identity for each in found],
        field="spec.ephemeralContainers",
        details=lines[:_MOST_LINES],
        remediation=removals(changed),
    )


def _labels_of_others(found: AgentObjects) -> Iterator[Finding]:
    """Pods with the label of an agent that they do not run as."""
    identities = found.identities
    alike: dict[str, list[tuple[Identity, Manifest, Workload]]] = {}
    for pod in found.pods:
        namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels") or {}
        for key in (AGENT_LABEL, PROXY_LABEL):
            one = identities.get((namespace, labels.get(key, "")))
            if one is None or key not in found.of(one).labels or account_of(pod) == one.name:
                continue
            alike.setdefault(key, []).append((one, pod, workload_of(found, pod)))
    for key, group in alike.items():
        lines = [f"{workload.key}: label {key}: {one.name}, runs as {account_of(pod)}" for one, pod, workload in group]
        yield finding(
            "agent-label",
            f"{many(len(group), 'pod')} {'has' if len(group) == 1 else 'have'} the label {key} of an agent, but "
            f"{'runs' if len(group) == 1 else 'run'} as another ServiceAccount: NetworkPolicies and Services take "
            f"{'it' if len(group) == 1 else 'them'} for the agent.",
            [workload.key for _, _, workload in group],
            [one for one, _, _ in group],
            field=f"metadata.labels[{key}]",
            details=tuple(dict.fromkeys(lines))[:_MOST_LINES],
            remediation=removals(each for _, _, each in group),
        )


def _lost_labels(found: AgentObjects, pods: Sequence[AgentPod]) -> Iterator[Finding]:
    """Pods of agents that the NetworkPolicy of the agent does not select."""
    alike: dict[tuple[str, str], list[AgentPod]] = {}
    for each in pods:
        declared = found.of(each.identity)
        key = next(iter(declared.labels))
        if declared.policy is not None and each.labels.get(key) != each.identity.name:
            alike.setdefault((key, each.identity.name), []).append(each)
    for (key, name), group in alike.items():
        rolling = [each.workload for each in group if each.workload.rolls_out]
        actions = list(fixes(rolling, {"metadata": {"labels": {key: name}}}))
        alone = [each.pod["metadata"]["name"] for each in group if not each.workload.rolls_out]
        if alone:
            labelled = ("label", "--overwrite", "pod", NAMES, f"{key}={name}")
            actions.append(f"To fix it: {kubectl(group[0].identity.namespace, alone, *labelled)}")
        yield finding(
            "agent-label",
            f"{_number(group)} as {name} without the label {key}: {name}: the NetworkPolicy of the agent does not "
            f"select {'it' if len(group) == 1 else 'them'}.",
            _keys(group),
            [each.identity for each in group],
            field=f"metadata.labels[{key}]",
            details=_details(group),
            remediation=actions,
        )
