"""What a fleet costs: install, upgrade of one agent, quarantine, and every single authorization, per binding kind.

It prints, for `bindings: perAgent` and `perTier`, the seconds at 100 and 1,000 agents and the time of one authorization
at 100, 1,000 and 10,000, as ratios to an empty namespace of the same server. The API server looks at every RoleBinding
of a namespace on each request, whoever asks, so a fleet's bindings are paid for by everybody there.
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
    """So many agents of the central tier; ``last`` changes the last of them."""
    fleet: dict[str, Mapping[str, Any]] = {f"agent-{number}": {} for number in range(agents)}
    fleet[f"agent-{agents - 1}"] = last
    return Values(overrides={"bindings": bindings, "agents": fleet})


def seconds(run: Callable[[], object]) -> float:
    """How long a run takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def releases(cluster: Cluster, helm: Helm, sizes: tuple[int, ...]) -> Iterator[tuple[str, int, dict[str, float]]]:
    """(bindings, agents, seconds of each step) of real releases."""
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
    """A namespace with the chart's objects, written straight to the API server: Helm would take minutes for 10,000."""
    namespace = f"authz-{bindings.lower()}-{agents}"
    api.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    objects = renderer.render(values(bindings, agents), Target(namespace=namespace)).objects.values()
    with ThreadPoolExecutor(8) as pool:
        for kind in PATHS:
            mine = [thaw(obj.body) for obj in objects if obj.key.kind == kind]
            list(pool.map(partial(api.post, PATHS[kind].format(namespace)), mine))
    yield namespace


def authorization(api: Api, namespace: str, rounds: int) -> float:
    """Median seconds of one SubjectAccessReview that is denied, in this namespace, over one kept connection."""
    nobody, request = User("nobody"), Request("get", resource="secrets", namespace=namespace)
    return statistics.median(seconds(lambda: ask(api, nobody, request)) for _ in range(rounds))


def main() -> int:
    """Measures and prints; the exit status says whether the design's two targets are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, nargs="*", default=[100, 1000], help="sizes of real releases")
    parser.add_argument("--authorizations", type=int, nargs="*", default=[100, 1000, 10000], help="sizes of fleets")
    options = parser.parse_args()
    tool = provide(["helm-4"])["helm-4"]
    helm = Helm(tool.path, tool.version)
    missed = 0
    with provide_cluster("embedded") as cluster, Api(cluster.access) as api:
        steps = Table("bindings", "agents", "install", "upgrade of one", "quarantine", box=None)
        taken: dict[tuple[str, int], dict[str, float]] = {}
        for kind, agents, took in releases(cluster, helm, tuple(options.releases)):
            taken[kind, agents] = took
            steps.add_row(kind, f"{agents:,}", *(f"{second:.1f} s" for second in took.values()))
        for agents in options.releases:
            ratio = {
                step: taken["perTier", agents][step] / taken["perAgent", agents][step]
                for step in taken["perTier", agents]
            }
            steps.add_row("perTier / perAgent", f"{agents:,}", *(f"{value:.2f} x" for value in ratio.values()))
            missed += agents >= 1000 and ratio["upgrade of one"] > 0.6
        asked = Table("bindings", "agents", "one authorization, denied", "against an empty namespace", box=None)
        renderer = Renderer(helm, chart_path())
        for agents in options.authorizations:
            for kind in KINDS:
                with fleet(api, renderer, kind, agents) as namespace:
                    pairs = [(authorization(api, namespace, 50), authorization(api, "default", 50)) for _ in range(5)]
                there = statistics.median(pair[0] for pair in pairs)
                ratio_there = statistics.median(pair[0] / pair[1] for pair in pairs)
                asked.add_row(kind, f"{agents:,}", f"{there * 1000:.2f} ms", f"{ratio_there:.2f} x")
                missed += kind == "perTier" and agents >= 10000 and ratio_there > 1.5
    console = Console(width=110)
    console.print(steps)
    console.print(asked)
    console.print(
        "targets: upgrade of one agent among 1,000, perTier / perAgent <= 0.6 x; 10,000 agents perTier <= 1.5 x"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
