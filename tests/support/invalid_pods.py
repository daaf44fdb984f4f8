"""Workloads that the chart refuses, because their pods would leave Pod Security "restricted" or get another token.

Kinds of volumes and fields: k8s.io/pod-security-admission, policy/.
"""

from collections.abc import Iterator
from typing import Any, Final

from support.invalid_values import IMAGE, Invalid, Json, agent, pasted, told

DATA: Final[Json] = {"volumes": [{"name": "data", "emptyDir": {}}]}
SIDE: Final[Json] = {"name": "side", "image": "x"}
KINDS: Final = ("initContainers", "extraContainers")

TOKEN_PATHS: Final = (
    "/var/run/secrets/kubernetes.io/serviceaccount",
    "/var/run/secrets/kubernetes.io/serviceaccount/",
    "/var/run/secrets/kubernetes.io/serviceaccount/token",
    "/run/secrets/kubernetes.io/serviceaccount",
    "run/secrets/kubernetes.io/serviceaccount",
    "//var//run/./secrets/kubernetes.io",
    "/var/run/secrets",
    "/var/run",
    "/run",
    "/run/",
    "/var",
    "/",
    ".",
    "/var/run/secrets/tokens",
    "/run/secrets/tokens/vault",
    "/var/run/secrets/eks.amazonaws.com/serviceaccount",
    "/var/run/secrets/pods.eks.amazonaws.com",
    "/var/run/secrets/azure/tokens",
    "/var/run/secrets/dapr.io/sentrytoken",
)
"""Spellings of the directories of tokens, of their parents, and of paths below them."""

UP: Final = ("/data/../var/run/secrets/tokens", "../run", "/var/run/..")

FREE: Final = ("/data", "/tmp/cache", "/run/secrets/openai", "/var/run/agent", "/runner", "/var/run/secrets/tokens2")
"""Their neighbours, which are allowed."""

HOST_VOLUMES: Final[dict[str, Json]] = {
    "hostPath": {"path": "/"},
    "nfs": {"server": "x", "path": "/"},
    "gitRepo": {"repository": "x"},
    "flexVolume": {"driver": "x"},
    "awsElasticBlockStore": {"volumeID": "x"},
    "hostpath": {"path": "/"},
}


def running(**workload: Any) -> Json:
    return agent(workload=IMAGE | workload)


def mounted(path: str) -> Json:
    return running(**DATA, volumeMounts=[{"name": "data", "mountPath": path}])


def invalid_pods() -> Iterator[Invalid]:
    """All of them; each has the values of a reader of the message, or its YAML."""
    workload = "agents.a.workload"
    for kind, source in HOST_VOLUMES.items():
        volume = {"name": "data", kind: source}
        yield told(running(volumes=[volume]), f"{workload}.volumes[0].{kind}", "emptyDir", fixed=running(**DATA))
    two = {"name": "data", "emptyDir": {}, "configMap": {"name": "x"}}
    yield told(running(volumes=[two]), f"{workload}.volumes[0]", "configMap", "emptyDir", fixed=running(**DATA))
    for name in ("agent-tmp", "agent-tmp-side", "agent-token", "agent-tokens"):
        ours: Json = {"name": name, "emptyDir": {}}
        yield told(running(volumes=[ours]), f"{workload}.volumes[0].name", f'"{name}"', fixed=running(**DATA))
        mount = {"name": name, "mountPath": "/x"}
        yield told(running(volumeMounts=[mount]), f"{workload}.volumeMounts[0].name", f'"{name}"', fixed=running())
    token = {"serviceAccountToken": {"path": "t", "audience": "x", "expirationSeconds": 86400}}
    sources = [{"configMap": {"name": "x"}}, token]
    yield told(
        running(volumes=[{"name": "data", "projected": {"sources": sources}}]),
        f"{workload}.volumes[0].projected.sources[1].serviceAccountToken",
        "tokens",
        fixed=running(volumes=[{"name": "data", "projected": {"sources": sources[:1]}}]),
    )
    for path in (*TOKEN_PATHS, *UP):
        yield pasted(mounted(path), f"{workload}.volumeMounts[0].mountPath", f'"{path}"')
    unconfined = {"container.apparmor.security.beta.kubernetes.io/agent": "unconfined"}
    yield pasted(running(podAnnotations=unconfined), f"{workload}.podAnnotations", '"unconfined"')
    for field, value in (("hostPort", 80), ("hostIP", "192.0.2.1")):
        ports = [{"containerPort": 80}, {"containerPort": 81, field: value}]
        fixed = running(ports=[{"containerPort": 80}, {"containerPort": 81}])
        yield told(running(ports=ports), f"{workload}.ports[1].{field}", "Service", fixed=fixed)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        for action in ("httpGet", "tcpSocket"):
            given = running(**{probe: {action: {"host": "192.0.2.1", "port": 80}}})
            path = f"{workload}.{probe}.{action}.host"
            yield told(given, path, "kubelet", fixed=running(**{probe: {action: {"port": 80}}}))
    yield from _further_containers(workload)


def _further_containers(workload: str) -> Iterator[Invalid]:
    for kind in KINDS:
        place = f"{workload}.{kind}[0]"
        bad: Json = {**DATA, kind: [SIDE | {"volumeMounts": [{"name": "data", "mountPath": "/run/secrets/tokens"}]}]}
        yield pasted(running(**bad), f"{place}.volumeMounts[0].mountPath", '"/run/secrets/tokens"')
        port = SIDE | {"ports": [{"containerPort": 80, "hostPort": 80}]}
        yield told(running(**{kind: [port]}), f"{place}.ports[0].hostPort", "Service", fixed=running(**{kind: [SIDE]}))
        same = SIDE | {"name": "agent"}
        yield told(running(**{kind: [same]}), f"{place}.name", '"agent"', workload, fixed=running(**{kind: [SIDE]}))
        twice = [SIDE, SIDE]
        yield told(running(**{kind: twice}), f"{workload}.{kind}[1].name", '"side"', fixed=running(**{kind: [SIDE]}))
        automount = {"token": {"mode": "automount"}}
        given = agent(workload=IMAGE | {kind: [SIDE]}, **automount)
        yield pasted(given, place, "automount", "mountToken")
    both = {kind: [SIDE] for kind in KINDS}
    one = running(initContainers=[SIDE])
    yield told(running(**both), f"{workload}.extraContainers[0].name", '"side"', "initContainers[0]", fixed=one)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        once = SIDE | {probe: {"exec": {"command": ["x"]}}}
        yield pasted(running(initContainers=[once]), f"{workload}.initContainers[0].{probe}", "restartPolicy")
