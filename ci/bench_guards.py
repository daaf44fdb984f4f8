"""Measures what the guards cost: writes on an API server with the guards, and on one without, in turn.

For 12 and for 5,000 agents, it prints the milliseconds that a write takes with all guards, and how many more these are
than without: the median, and the 99th percentile. Each write is a dry run, so it changes nothing.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from agent_identities.bundled import chart_path
from agent_identities.chart.helm import Helm, Renderer, Target
from agent_identities.chart.objects import thaw
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import provide_cluster
from agent_identities.kube.client import Api
from agent_identities.toolchain import provide

NAMESPACE: Final = "agent-system"
_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
_COLLECTIONS: Final = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
}
_AGENT: Final = "agent-0"
_SECURE: Final = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [{"name": "a", "image": "registry.example/a:1"}],
}
_ROLE: Final = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
_USER: Final = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "someone"}


def _named(name: str, **body: Any) -> str:
    return json.dumps({"metadata": {"name": name}, **body})


WRITES: Final = {
    "a pod of an agent": (
        f"/api/v1/namespaces/{NAMESPACE}/pods",
        _named("p", spec=_SECURE | {"serviceAccountName": _AGENT}),
    ),
    "a ConfigMap beside the agents": (f"/api/v1/namespaces/{NAMESPACE}/configmaps", _named("c", data={"a": "b"})),
    "a binding beside the agents": (
        f"{_RBAC}/namespaces/{NAMESPACE}/rolebindings",
        _named("b", roleRef=_ROLE, subjects=[_USER]),
    ),
    "a binding elsewhere": (f"{_RBAC}/namespaces/default/rolebindings", _named("b", roleRef=_ROLE, subjects=[_USER])),
    "a pod elsewhere": (
        "/api/v1/namespaces/default/pods",
        _named("p", spec=_SECURE | {"serviceAccountName": "default"}),
    ),
}
"""A write -> its collection and body. The guards judge those in the agents' namespace and all bindings."""

TARGETS: Final = {"a pod of an agent": 2.0, "a binding elsewhere": 0.2}
"""A write -> the most milliseconds by which all guards together may raise its median."""


@contextmanager
def server(renderer: Renderer, agents: int) -> Iterator[Api]:
    """An API server with the guards of this number of agents, or without guards for 0."""
    with provide_cluster("embedded") as cluster, Api(cluster.access) as api:
        api.post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        api.post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": _AGENT}})
        _until_ready(api)
        if agents:
            values = Values(
                overrides={"agents": {f"agent-{number}": {} for number in range(agents)}, "guards": {"enabled": True}}
            )
            target = Target(namespace=NAMESPACE, kube_version=cluster.version.lstrip("v"))
            for key, obj in renderer.render(values, target).objects.items():
                if key.kind in _COLLECTIONS:
                    api.post(f"{_ADMISSION}/{_COLLECTIONS[key.kind]}", thaw(obj.body))
            _until_in_force(api)
        yield api


def _until_ready(api: Api) -> None:
    paths = [f"/api/v1/namespaces/{namespace}/serviceaccounts/default" for namespace in ("default", NAMESPACE)]
    while any(api.raw("GET", path).status != 200 for path in paths):
        time.sleep(0.1)


def _until_in_force(api: Api) -> None:
    """Wait until the guard of the account `default` refuses a pod."""
    body = _named("p", spec=_SECURE)
    while api.raw("POST", f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All", body).status == 201:
        time.sleep(0.1)
    time.sleep(2)  # the other guards are compiled at the same time


def seconds(api: Api, path: str, body: str) -> float:
    """The duration of a write as a dry run. Raises RuntimeError if the API server refuses it."""
    start = time.perf_counter()
    answer = api.raw("POST", f"{path}?dryRun=All", body)
    duration = time.perf_counter() - start
    if answer.status != 201:
        raise RuntimeError(f"{path}: {answer.status} {answer.message}")
    return duration


def milliseconds(figures: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile of these seconds, in milliseconds."""
    return 1000 * statistics.median(figures), 1000 * statistics.quantiles(figures, n=100)[98]


def main() -> int:
    """Measure and print. The exit status is 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--agents", type=int, nargs="*", default=[12, 5000], help="numbers of agents (default: 12 5000)"
    )
    parser.add_argument("--rounds", type=int, default=500, help="writes of each kind (default: 500)")
    options = parser.parse_args()
    tool = provide(["helm-4"])["helm-4"]
    renderer = Renderer(Helm(tool.path, tool.version), chart_path())
    table = Table("agents", "write", "p50", "p99", "more, p50", "more, p99", "target", box=None)
    missed = 0
    for agents in options.agents:
        with ExitStack() as stack:
            guarded, free = (stack.enter_context(server(renderer, number)) for number in (agents, 0))
            for name, write in WRITES.items():
                pairs = [(seconds(guarded, *write), seconds(free, *write)) for _ in range(options.rounds)]
                (p50, p99), (free_50, free_99) = (milliseconds(side) for side in zip(*pairs, strict=True))
                target = TARGETS.get(name)
                over = target is not None and p50 - free_50 > target
                missed += over
                more = [f"{p50 - free_50:+.2f} ms" + ("  over" if over else ""), f"{p99 - free_99:+.2f} ms"]
                table.add_row(
                    f"{agents:,}", name, f"{p50:.2f} ms", f"{p99:.2f} ms", *more, f"<= {target:g} ms" if target else ""
                )
    Console(width=120).print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
