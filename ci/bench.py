"""Speed as ratios measured in one run, so that a noisy machine tells the truth: `make bench`.

Each row measures two things in turn, A B A B ..., and prints the median of the ratios of the pairs with their least and
greatest. A row over its target is marked and makes the exit status 1; tests never look at a clock.
"""

import argparse
import collections
import contextlib
import functools
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agent_identities.chart.helm import Helm, Release, Target
from agent_identities.chart.objects import Key, Objects, thaw
from agent_identities.chart.values import Values, load
from agent_identities.cluster.provide import Cluster, provide_cluster
from agent_identities.declaration import Declaration, declare
from agent_identities.kube.client import Api
from agent_identities.kube.reviews import ask
from agent_identities.rbac import Authorizer, Request, User
from agent_identities.toolchain import provide
from agent_identities.verify.run import verify
from differential.applied_policy import loaded, namespaces
from differential.compare import server_policy
from render_worker import RenderRequest, RenderWorker

REPOSITORY = Path(__file__).parents[1]
CHART = REPOSITORY / "charts" / "agent-identities"


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: the seconds of ``measured`` over those of ``against``, or the seconds alone where it is None."""

    what: str
    target: float
    unit: str
    measured: Callable[[], object]
    against: Callable[[], object] | None = None


def values_file(folder: Path, agents: int) -> Path:
    """Values of the seed's shape with so many agents."""
    path = folder / f"{agents}.json"
    path.write_text(json.dumps({"agents": {f"agent-{number}": {} for number in range(agents)}}))
    return path


def by_hand(folder: Path, agents: int, helm: Path) -> Path:
    """A chart without any thought in it that prints the same documents: one loop, no validation, no schema."""
    chart = folder / "by-hand"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: agent-identities, version: 0.1.0}")
    (chart / "values.yaml").write_text("agents: {}")
    (chart / "templates" / "all.yaml").write_text(BY_HAND)
    values = values_file(folder, agents)
    ours, theirs = (documents(helm, path, values) for path in (CHART, chart))
    if ours != theirs:
        sys.exit("ci/bench.py: the chart by hand no longer prints the same documents; mend BY_HAND")
    return chart


BY_HAND = """
{{- define "labels" -}}
app.kubernetes.io/name: agent-identities
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}
{{- define "binding" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}-binding
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "labels" .root | nindent 4 }}
    {{- if .agent }}
    agent-identities/agent: {{ .name | quote }}
    {{- end }}
    agent-identities/tier: proxy
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: agent-proxy-role
subjects:
  - kind: ServiceAccount
    name: {{ .name | quote }}
    namespace: {{ .root.Release.Namespace | quote }}
{{- end }}
{{- define "account" }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name | quote }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "labels" .root | nindent 4 }}
    {{- if .agent }}
    agent-identities/agent: {{ .name | quote }}
    {{- end }}
automountServiceAccountToken: false
{{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: agent-proxy-role
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "labels" . | nindent 4 }}
    agent-identities/tier: proxy
rules:
  - apiGroups: [""]
    resources: [pods, services, configmaps]
    verbs: [get, list, watch]
{{- include "account" (dict "name" "agent-proxy" "root" . "agent" false) }}
{{- include "binding" (dict "name" "agent-proxy" "root" . "agent" false) }}
{{- range $name, $agent := .Values.agents }}
{{- include "account" (dict "name" $name "root" $ "agent" true) }}
{{- include "binding" (dict "name" $name "root" $ "agent" true) }}
{{- end }}
"""


def documents(helm: Path, chart: Path, values: Path) -> dict[Key, Any]:
    """Key -> body of what a chart prints."""
    text = subprocess.run(template(helm, chart, values), check=True, capture_output=True, text=True).stdout
    return {key: thaw(obj.body) for key, obj in Objects.from_yaml(text).items()}


def template(helm: Path, chart: Path, values: Path) -> list[str]:
    """The command that renders."""
    return [str(helm), "template", "agents", str(chart), "--namespace=agent-system", f"--values={values}"]


def process(command: list[str]) -> Callable[[], object]:
    """Runs a command to its end."""
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def repeated(run: Callable[[], object], times: int) -> Callable[[], object]:
    """Runs something so often, one after the other."""
    return lambda: [run() for _ in range(times)]


def renders(worker: RenderWorker, chart: Path, values: Path, times: int) -> Callable[[], object]:
    """Asks for so many renders at once, and waits for all; their bytes are those of helm (tests/render)."""
    request = RenderRequest(4, chart, Values.read([values]), Target("agents"))
    return lambda: [answer.result().stdout() for answer in [worker.submit(request) for _ in range(times)]]


def decisions(stack: contextlib.ExitStack, helm: Path, values: Path) -> tuple[Callable[[], object], ...]:
    """The same questions about the same 1,000 agents: to the evaluator, and to an API server by one client.

    The server is there from the first question on, to the end of the stack.
    """

    @functools.cache
    def ready() -> tuple[Api, Authorizer, list[tuple[User, Request]]]:
        cluster = stack.enter_context(provide_cluster("embedded"))
        api = stack.enter_context(Api(cluster.access))
        stack.enter_context(namespaces(api, [NAMESPACE]))
        rbac = [body for key, body in documents(helm, CHART, values).items() if key.kind in ("Role", "RoleBinding")]
        stack.enter_context(loaded(api, rbac, canary_namespace=NAMESPACE))
        agents = [User.service_account(NAMESPACE, f"agent-{number}") for number in range(1000)]
        asked = itertools.product(agents, VERBS, ("", "apps"), RESOURCES, (("", "a"), ("", ""), ("log", "a")))
        requests = [(who, Request(verb, group, what, *rest, NAMESPACE)) for who, verb, group, what, rest in asked]
        return api, Authorizer(server_policy(api)), requests

    def offline() -> object:
        _, authorizer, requests = ready()
        return collections.deque(itertools.starmap(authorizer.decide, requests), maxlen=0)

    def online() -> object:
        api, _, requests = ready()
        return [ask(api, *asked) for asked in requests[::1000]]

    return offline, online


CELLS_TO_ONE = 50


def verification(stack: contextlib.ExitStack, helm: Helm, kubectl: Path) -> tuple[Callable[[], object], ...]:
    """What 100 agents may do: every cell of `verify`, and one `kubectl auth can-i` for every fiftieth of them.

    The server, with the release on it, is there from the first question on, to the end of the stack.
    """

    @functools.cache
    def ready() -> tuple[Cluster, Api, Declaration]:
        cluster = stack.enter_context(provide_cluster("embedded"))
        api = stack.enter_context(Api(cluster.access))
        fleet = Values(overrides={"agents": {f"agent-{number}": {} for number in range(100)}})
        Release(helm, CHART, "agents", NAMESPACE, cluster.kubeconfig, cluster.context).install(fleet)
        merged = load(CHART, overrides=fleet.overrides)
        return cluster, api, declare(merged, namespace=NAMESPACE, kube_version=cluster.version)

    @functools.cache
    def commands() -> list[list[str]]:
        cluster, api, declaration = ready()
        cells = verify(api, declaration).cells[::CELLS_TO_ONE]
        where = [f"--kubeconfig={cluster.kubeconfig}", f"--namespace={NAMESPACE}"]
        who = [f"--as=system:serviceaccount:{NAMESPACE}:{cell.identity.name}" for cell in cells]
        return [[str(kubectl), "auth", "can-i", "get", "pods", *where, one] for one in who]

    def every() -> object:
        _, api, declaration = ready()
        return verify(api, declaration)

    def one_by_one() -> object:
        return [subprocess.run(one, check=False, stdout=subprocess.DEVNULL) for one in commands()]

    return every, one_by_one


NAMESPACE = "agent-system"
VERBS = ("get", "list", "watch", "patch")
RESOURCES = ("pods", "services", "configmaps", "secrets", "deployments")


def rows(folder: Path) -> Iterator[Row]:
    """What is measured, in the order of the design's table."""
    tools = provide(["helm-4", "kubectl", "render-worker", "etcd", "kube-apiserver", "kube-controller-manager"])
    helm = tools["helm-4"].path
    thousand, four_thousand = values_file(folder, 1000), values_file(folder, 4000)
    ours = process(template(helm, CHART, thousand))
    plain = by_hand(folder, 1000, helm)
    hand = process(template(helm, plain, thousand))
    command = str(Path(sys.executable).with_name("agent-identities"))
    check = process([command, "check", f"--values={thousand}"])
    pytest = [sys.executable, "-m", "pytest", "-q", "-n2", "tests/unit", "tests/render"]
    yield Row("helm template, 1,000 agents, against a chart by hand", 1.5, "x", ours, hand)
    yield Row("4,000 agents against 1,000", 4.4, "x", process(template(helm, CHART, four_thousand)), ours)
    yield Row("agent-identities check against its helm template, 1,000 agents", 2.0, "x", check, ours)
    with RenderWorker(tools["render-worker"].path) as worker:
        # What a process costs before it renders is all that a worker saves: most of it for the seed's objects by hand.
        one = values_file(folder, 1)
        for chart, name, times in ((plain, "chart by hand", 50), (CHART, "chart", 8)):
            many = renders(worker, chart, one, 10 * times)
            ten = repeated(process(template(helm, chart, one)), 10)
            yield Row(f"worker's renders of the {name} against a process each ({times} to 1)", 1.0, "x", many, ten)
    with contextlib.ExitStack() as stack:
        here, there = decisions(stack, helm, thousand)
        cells, can_i = verification(stack, Helm(helm, tools["helm-4"].version), tools["kubectl"].path)
        yield Row(f"verify's cells against one kubectl auth can-i a cell ({CELLS_TO_ONE} to 1)", 1.0, "x", cells, can_i)
        yield Row("120,000 decisions offline against 120 by the API server (1,000 to 1)", 1.0, "x", here, there)
    yield Row("embedded control plane, nothing running to ready", 6.0, "s", control_plane)
    yield Row("offline tests: unit and render", 90.0, "s", process(pytest))


def control_plane() -> None:
    """From nothing running to ready, and down again."""
    with provide_cluster("embedded"):
        pass


def seconds(run: Callable[[], object]) -> float:
    """How long a run takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(row: Row, times: int) -> list[float]:
    """One figure a round: a ratio, or seconds where there is nothing to compare with."""
    if row.against is None:
        return [seconds(row.measured) for _ in range(times)]
    row.measured(), row.against()  # warm the file cache
    return [seconds(row.measured) / seconds(row.against) for _ in range(times)]


def main() -> int:
    """Measures, prints, and says by the exit status whether all targets are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each row (default: 7)")
    parser.add_argument("--only", default="", help="only the rows whose name holds this text")
    options = parser.parse_args()
    table = Table("what", "target", "median", "least", "greatest", box=None)
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(Path(folder)):
            if options.only not in row.what:
                continue
            figures = measure(row, 1 if row.target > 60 else options.rounds)
            median = statistics.median(figures)
            missed += median > row.target
            mark = "" if median <= row.target else "  over"
            shown = [f"{figure:.2f} {row.unit}" for figure in (median, min(figures), max(figures))]
            table.add_row(row.what, f"<= {row.target:g} {row.unit}", shown[0] + mark, *shown[1:])
    Console(width=110).print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
