from collections.abc import Callable
from typing import Any

import pytest

from support.manifests import Manifest, deployment, good_install, pod_spec

Judge = Callable[[list[Manifest]], set[str]]
SIDE = {"name": "side", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}


def judged(judge: Judge, **fields: Any) -> set[str]:
    """The findings for the pod of the agent with some fields of its spec changed."""
    *others, _ = good_install()
    return judge([*others, deployment("worker", pod_spec("worker") | fields)])


def with_context(**fields: Any) -> list[Manifest]:
    return [SIDE | {"securityContext": SIDE["securityContext"] | fields}]  # type: ignore[operator]  # a mapping


@pytest.mark.parametrize(
    "fields",
    [
        {"hostNetwork": True},
        {"hostPID": True},
        {"hostIPC": True},
        {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
        {"volumes": [{"name": "d", "emptyDir": {}}, {"name": "v", "nfs": {"server": "x", "path": "/"}}]},
        {"securityContext": {}},
        {"securityContext": {"runAsNonRoot": True}},
        {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "Unconfined"}}},
        {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
        {"securityContext": {"runAsNonRoot": True, "runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}}},
        {"containers": [{"name": "agent"}]},
    ],
)
def test_a_pod_beyond_restricted_is_found(judge: Judge, fields: Manifest) -> None:
    assert judged(judge) == set()
    assert "pod-security" in judged(judge, **fields)


@pytest.mark.parametrize("kind", ["initContainers", "containers", "ephemeralContainers"])
@pytest.mark.parametrize(
    "context",
    [
        {"privileged": True},
        {"allowPrivilegeEscalation": True},
        {"allowPrivilegeEscalation": None},
        {"capabilities": {}},
        {"capabilities": {"drop": ["NET_RAW"]}},
        {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "SYS_ADMIN"]}},
        {"runAsNonRoot": False},
        {"runAsUser": 0},
        {"procMount": "Unmasked"},
        {"seccompProfile": {"type": "Unconfined"}},
    ],
)
def test_a_container_beyond_restricted_is_found(judge: Judge, kind: str, context: Manifest) -> None:
    assert judged(judge, **{kind: with_context()}) == set()
    assert judged(judge, **{kind: with_context(**context)}) == {"pod-security"}


@pytest.mark.parametrize(
    "context",
    [
        {"runAsUser": 1000, "runAsNonRoot": None, "seccompProfile": {"type": "Localhost", "localhostProfile": "x"}},
        {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, "procMount": "Default"},
    ],
)
def test_what_restricted_allows_is_not_found(judge: Judge, context: Manifest) -> None:
    assert judged(judge, containers=with_context(**context)) == set()


def test_a_port_of_the_node_and_a_probe_of_another_host_are_found(judge: Judge) -> None:
    port = [{"containerPort": 80}, {"containerPort": 81, "hostPort": 81}]
    assert judged(judge, containers=[SIDE | {"ports": port}]) == {"pod-security"}
    for action in ("httpGet", "tcpSocket"):
        probe = {"livenessProbe": {action: {"host": "192.0.2.1", "port": 80}}}
        assert judged(judge, containers=[SIDE | probe]) == {"pod-security"}
    fine = {"livenessProbe": {"httpGet": {"port": 80}}, "ports": port[:1]}
    assert judged(judge, containers=[SIDE | fine]) == set()
