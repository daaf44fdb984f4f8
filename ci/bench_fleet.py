"""Measures a large fleet with each value of `bindings`: install, upgrade, quarantine, and one authorization.

For `bindings: perAgent` and `perTier`, it prints the seconds of each step for 100 and 1,000 agents. It also prints the
time of one authorization for 100, 1,000 and 10,000 agents, with the ratio to an empty namespace of the same server. For
each request in a namespace, the API server reads every RoleBinding of that namespace: the bindings of a fleet slow down
the requests of all users in the namespace.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from agent_identities.bundled import chart_path
from agent_identities.chart.helm import Helm, Release, Renderer, Target
from agent_identities.chart.objects import thaw
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster, provide_cluster
from agent_identities.kube.client import Api
from agent_identities.kube.reviews import ask
from agent_identities.rbac import Request, User
from agent_identities.toolchain import provide

KINDS = ("perAgent", "perTier")
PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
}


def values(bindings: str, agents: int, **last: Any) -> Values:
    """Values with this number of agents of the central tier. ``last`` are settings of the last agent."""
    fleet: dict[str, Mapping[str, Any]] = {f"agent-{number}": {} for number in range(agents)}
    fleet[f"agent-{agents - 1}"] = last
    return Values(overrides={"bindings": bindings, "agents": fleet})


def seconds(run: Callable[[], object]) -> float:
    """The duration of a call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def releases(cluster: Cluster, helm: Helm, sizes: tuple[int, ...]) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Install, upgrade and uninstall releases. Yields (bindings, agents, seconds of each step)."""
    for agents in sizes:
        for kind in KINDS:
            namespace = f"fleet-{kind.lower()}-{agents}"
            release = Release(helm, chart_path(), "agents", namespace, cluster.kubeconfig, cluster.context)
            steps = {
                "install": partial(release.install, values(kind, agents)),
                "upgrade of one": partial(release.upgrade, values(kind, agents, tiers=[])),
                "quarantine": partial(release.upgrade, values(kind, agents, quarantined=True)),
            }
            yield kind, agents, {step: seconds(run) for step, run in steps.items()}
            release.uninstall()


@contextmanager
def fleet(api: Api, renderer: Renderer, bindings: str, agents: int) -> Iterator[str]:
    """A namespace with the objects of the chart, created without Helm, which takes minutes for 10,000 agents."""
    namespace = f"authz-{bindings.lower()}-{agents}"
    api.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    objects = renderer.render(values(bindings, agents), Target(namespace=namespace)).objects.values()
    with ThreadPoolExecutor(8) as pool:
        for kind in PATHS:
            bodies = [thaw(obj.body) for obj in objects if obj.key.kind == kind]
            list(pool.map(partial(api.post, PATHS[kind].format(namespace)), bodies))
    yield namespace


def authorization(api: Api, namespace: str, rounds: int) -> float:
    """The median seconds of a denied SubjectAccessReview in this namespace, over a persistent connection."""
    user, request = User("nobody"), Request("get", resource="secrets", namespace=namespace)
    return statistics.median(seconds(lambda: ask(api, user, request)) for _ in range(rounds))


def main() -> int:
    """Measure and print. The exit status is 1 if one of the two targets of the design is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, nargs="*", default=[100, 1000], help="sizes of real releases")
    parser.add_argument("--authorizations", type=int, nargs="*", default=[100, 1000, 10000], help="sizes of fleets")
    options = parser.parse_args()
    tool = provide(["helm-4"])["helm-4"]
    helm = Helm(tool.path, tool.version)
    missed = 0
    with provide_cluster("embedded") as cluster, Api(cluster.access) as api:
        steps = Table("bindings", "agents", "install", "upgrade of one", "quarantine", box=None)
        durations: dict[tuple[str, int], dict[str, float]] = {}
        for kind, agents, by_step in releases(cluster, helm, tuple(options.releases)):
            durations[kind, agents] = by_step
            steps.add_row(kind, f"{agents:,}", *(f"{duration:.1f} s" for duration in by_step.values()))
        for agents in options.releases:
            ratio = {
                step: durations["perTier", agents][step] / durations["perAgent", agents][step]
                for step in durations["perTier", agents]
            }
            steps.add_row("perTier / perAgent", f"{agents:,}", *(f"{value:.2f} x" for value in ratio.values()))
            missed += agents >= 1000 and ratio["upgrade of one"] > 0.6
        authorizations = Table("bindings", "agents", "one denied authorization", "against an empty namespace", box=None)
        renderer = Renderer(helm, chart_path())
        for agents in options.authorizations:
            for kind in KINDS:
                with fleet(api, renderer, kind, agents) as namespace:
                    pairs = [(authorization(api, namespace, 50), authorization(api, "default", 50)) for _ in range(5)]
                median = statistics.median(pair[0] for pair in pairs)
                median_ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
                authorizations.add_row(kind, f"{agents:,}", f"{median * 1000:.2f} ms", f"{median_ratio:.2f} x")
                missed += kind == "perTier" and agents >= 10000 and median_ratio > 1.5
    console = Console(width=110)
    console.print(steps)
    console.print(authorizations)
    console.print(
        "targets: upgrade of one agent among 1,000, perTier / perAgent <= 0.6 x; 10,000 agents perTier <= 1.5 x"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
