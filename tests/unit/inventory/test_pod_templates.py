"""Fields of the pod template of a Deployment that differ from the values. tests/cluster has them on an API server."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart.objects import Key
from agent_identities.chart.values import Values
from agent_identities.declaration import declare
from agent_identities.declared_objects import declared_objects
from agent_identities.inventory.accounts import Accounts
from agent_identities.inventory.objects import AgentObjects
from agent_identities.inventory.pod_templates import changed_templates
from agent_identities.report.model import Finding
from support.live_pods import live_pod_spec

Json = dict[str, Any]
NAMESPACE = "agent-system"
BOT = Key("apps", "Deployment", NAMESPACE, "bot")


@pytest.fixture
def changed(chart: Path) -> Callable[..., list[Finding]]:
    """The findings for the live spec of a pod template, and for the objects that Deployments own."""

    def found(live: Json, workload: Json | None = None, *owned: Json, **spec: Any) -> list[Finding]:
        agents = {"bot": {"workload": {"image": "x:1", **(workload or {})}}}
        declaration = declare(Values(overrides={"agents": agents}).merged(chart), namespace=NAMESPACE)
        (one,) = (each for each in declaration.identities if each.name == "bot")
        owners = {each["metadata"]["uid"]: each for each in owned}
        declared = {(NAMESPACE, "bot"): declared_objects(declaration, one)}
        objects = AgentObjects(declaration, declared, Accounts({}), owners=owners)
        annotations = {"deployment.kubernetes.io/revision": "2"}
        metadata = {
            "name": "bot",
            "namespace": NAMESPACE,
            "uid": "uid-bot",
            "generation": 3,
            "annotations": annotations,
        }
        deployment = {
            "metadata": metadata,
            "spec": {"template": {"spec": live}, **spec},
            "status": {"observedGeneration": 3},
        }
        return list(changed_templates(objects, one, deployment))

    return found


def pod(**fields: Any) -> Json:
    return {**live_pod_spec("bot"), **fields}


def container(**fields: Any) -> Json:
    """The live spec with these fields of the agent's container."""
    live = live_pod_spec("bot")
    live["containers"][0] |= fields
    return live


def mounting(volume: Json, path: str = "/usr/lib/x") -> Json:
    live = live_pod_spec("bot")
    live["volumes"].append({"name": "v", **volume})
    live["containers"][0]["volumeMounts"].append({"name": "v", "mountPath": path})
    return live


def securing(**fields: Any) -> Json:
    live = live_pod_spec("bot")
    live["containers"][0]["securityContext"] |= fields
    return live


def test_a_deployment_as_the_api_server_returns_it_has_no_difference(changed: Callable[..., list[Finding]]) -> None:
    assert changed(live_pod_spec("bot")) == []


AGENT = "containers[agent]"
RUN: Json = {"exec": {"command": ["sh", "-c", "id"]}}
MOUNT = f"{AGENT}.volumeMounts[/usr/lib/x]"
ADDED: list[tuple[Json, set[str]]] = [
    (container(lifecycle={"postStart": RUN}), {f"{AGENT}.lifecycle.postStart"}),
    (container(lifecycle={"preStop": RUN}), {f"{AGENT}.lifecycle.preStop"}),
    (container(env=[{"name": "LD_PRELOAD", "value": "/tmp/x.so"}]), {f"{AGENT}.env[LD_PRELOAD]"}),
    (container(env=[{"name": "HTTPS_PROXY", "value": "http://x"}]), {f"{AGENT}.env[HTTPS_PROXY]"}),
    (container(env=[{"name": "PYTHONPATH", "value": "/x"}]), {f"{AGENT}.env[PYTHONPATH]"}),
    (container(livenessProbe={**RUN, "periodSeconds": 10}), {f"{AGENT}.livenessProbe"}),
    (container(readinessProbe=RUN), {f"{AGENT}.readinessProbe"}),
    (container(startupProbe=RUN), {f"{AGENT}.startupProbe"}),
    (container(envFrom=[{"configMapRef": {"name": "x"}}]), {f"{AGENT}.envFrom"}),
    (container(envFrom=[{"secretRef": {"name": "x"}}]), {f"{AGENT}.envFrom"}),
    (container(workingDir="/x"), {f"{AGENT}.workingDir"}),
    (container(stdin=True, tty=True), {f"{AGENT}.stdin", f"{AGENT}.tty"}),
    (container(imagePullPolicy="Never"), {f"{AGENT}.imagePullPolicy"}),
    (container(terminationMessagePath="/x"), {f"{AGENT}.terminationMessagePath"}),
    (securing(privileged=True), {f"{AGENT}.securityContext.privileged"}),
    (securing(runAsUser=0), {f"{AGENT}.securityContext.runAsUser"}),
    (pod(hostAliases=[{"ip": "192.0.2.1", "hostnames": ["api"]}]), {"hostAliases[192.0.2.1]"}),
    (pod(hostNetwork=True, hostPID=True), {"hostNetwork", "hostPID"}),
    (pod(hostname="x", subdomain="y"), {"hostname", "subdomain"}),
    (pod(dnsPolicy="Default"), {"dnsPolicy"}),
    (pod(dnsConfig={"nameservers": ["192.0.2.1"]}), {"dnsConfig.nameservers"}),
    (pod(dnsConfig={"searches": ["evil.example"]}), {"dnsConfig.searches"}),
    (pod(imagePullSecrets=[{"name": "theirs"}]), {"imagePullSecrets[theirs]"}),
    (pod(shareProcessNamespace=True), {"shareProcessNamespace"}),
    (pod(schedulerName="theirs"), {"schedulerName"}),
    (pod(nodeName="node-1"), {"nodeName"}),
    (pod(nodeSelector={"a": "b"}), {"nodeSelector"}),
    (pod(tolerations=[{"operator": "Exists"}]), {"tolerations"}),
    (mounting({"configMap": {"name": "x", "defaultMode": 420}}), {"volumes[v]", MOUNT}),
    (mounting({"secret": {"secretName": "x"}}), {"volumes[v]", MOUNT}),
    (mounting({"emptyDir": {}}), {"volumes[v]", MOUNT}),
]


@pytest.mark.parametrize(("live", "paths"), ADDED, ids=[" ".join(sorted(paths)) for _, paths in ADDED])
def test_an_added_field_is_named_with_the_command_that_removes_it(
    changed: Callable[..., list[Finding]], live: Json, paths: set[str]
) -> None:
    (finding,) = changed(live)
    assert (finding.rule, finding.location.object) == ("changed-deployment", BOT)
    assert set(finding.message.partition(": ")[2].removesuffix(".").split(", ")) == paths
    assert finding.remediation[0].startswith(f"To fix it: kubectl -n {NAMESPACE} patch deployment bot -p ")


def test_a_finding_has_no_values_of_fields(changed: Callable[..., list[Finding]]) -> None:
    live = container(env=[{"name": "KEY", "value": "hunter2"}, {"name": "SET", "value": "hunter3"}])
    (finding,) = changed(live, {"env": [{"name": "SET", "value": "hunter4"}]})
    assert "env[SET].value" in finding.message
    assert "hunter" not in str(finding)


def without(field: str) -> Json:
    live = live_pod_spec("bot")
    del live[field]
    return live


@pytest.mark.parametrize(
    ("live", "path"),
    [
        (without("securityContext"), "securityContext"),
        (without("automountServiceAccountToken"), "automountServiceAccountToken"),
        (pod(enableServiceLinks=True), "enableServiceLinks"),
        (container(securityContext={}), f"{AGENT}.securityContext"),
        (securing(readOnlyRootFilesystem=False), f"{AGENT}.securityContext.readOnlyRootFilesystem"),
        (securing(allowPrivilegeEscalation=None), f"{AGENT}.securityContext.allowPrivilegeEscalation"),
        (container(volumeMounts=live_pod_spec("bot")["containers"][0]["volumeMounts"][:1]), "volumeMounts[/tmp]"),
    ],
)
def test_a_removed_or_changed_field_is_named(changed: Callable[..., list[Finding]], live: Json, path: str) -> None:
    (finding,) = changed(live)
    assert path in finding.message


def test_a_changed_volume_is_fixed_by_a_new_deployment(changed: Callable[..., list[Finding]]) -> None:
    live = live_pod_spec("bot")
    live["volumes"][1] = {"name": "agent-tmp", "configMap": {"name": "x"}}
    (finding,) = changed(live)
    assert {"volumes[agent-tmp].configMap", "volumes[agent-tmp].emptyDir"} <= set(
        finding.message[:-1].split(": ")[1].split(", ")
    )
    assert finding.remediation[0] == f"To remove it: kubectl -n {NAMESPACE} delete deployment bot"


@pytest.mark.parametrize(
    ("workload", "live"),
    [
        ({"env": [{"name": "A", "value": ""}]}, container(env=[{"name": "A"}])),
        ({"resources": {"limits": {"cpu": 0.5}}}, container(resources={"limits": {"cpu": "500m"}})),
        (
            {"livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 0}},
            container(
                livenessProbe={
                    "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
                    "timeoutSeconds": 1,
                    "periodSeconds": 10,
                    "successThreshold": 1,
                    "failureThreshold": 3,
                }
            ),
        ),
        ({"ports": [{"containerPort": 80}]}, container(ports=[{"containerPort": 80, "protocol": "TCP"}])),
        (
            {
                "volumes": [{"name": "v", "image": {"reference": "m:1"}}],
                "volumeMounts": [{"name": "v", "mountPath": "/m"}],
            },
            mounting({"image": {"reference": "m:1", "pullPolicy": "IfNotPresent"}}, "/m"),
        ),
        ({}, container(image=f"x:1@sha256:{'0' * 64}")),
        ({}, container(imagePullPolicy="Always")),
        (
            {"runAsUser": "auto"},
            pod(securityContext={"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}),
        ),
    ],
)
def test_defaults_and_other_forms_of_the_same_value_are_no_difference(
    changed: Callable[..., list[Finding]], workload: Json, live: Json
) -> None:
    assert changed(live, workload) == []
    assert changed(live_pod_spec("bot"), workload) != [] or workload == {}


def replica_set(revision: str, replicas: int, live: Json) -> Json:
    controller = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "bot", "uid": "uid-bot", "controller": True}
    annotations = {"deployment.kubernetes.io/revision": revision}
    metadata = {"name": "bot-abc", "namespace": NAMESPACE, "uid": "uid-rs", "annotations": annotations}
    return {
        "metadata": {**metadata, "ownerReferences": [controller]},
        "spec": {"replicas": replicas, "template": {"spec": live}},
    }


EVIL = container(lifecycle={"postStart": RUN})


def test_a_changed_replica_set_of_a_paused_deployment_is_found(changed: Callable[..., list[Finding]]) -> None:
    (finding,) = changed(live_pod_spec("bot"), {}, replica_set("2", 1, EVIL), paused=True)
    assert finding.location.object == Key("apps", "ReplicaSet", NAMESPACE, "bot-abc")
    assert finding.remediation == (
        f"To fix it: kubectl -n {NAMESPACE} rollout resume deployment bot",
        f"To remove it: kubectl -n {NAMESPACE} delete replicaset bot-abc",
    )


@pytest.mark.parametrize(("revision", "replicas"), [("1", 1), ("2", 0)])
def test_earlier_and_empty_replica_sets_may_differ(
    changed: Callable[..., list[Finding]], revision: str, replicas: int
) -> None:
    assert changed(live_pod_spec("bot"), {}, replica_set(revision, replicas, EVIL)) == []


def test_the_replica_set_of_a_changed_deployment_is_no_second_finding(changed: Callable[..., list[Finding]]) -> None:
    (finding,) = changed(EVIL, {}, replica_set("2", 1, copy.deepcopy(EVIL)))
    assert finding.location.object == BOT
