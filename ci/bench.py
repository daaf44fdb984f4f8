"""Measures speed as ratios within one run, so that the load of the machine has little effect: `make bench`.

Each row measures two commands in turn, A B A B ..., and prints the median, the minimum and the maximum of the ratios of
the pairs. A row over its target is marked, and the exit status is 1. Tests do not measure time.
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

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from agent_identities.audit.job import trace
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
from differential.applied_policy import applied, namespaces
from differential.compare import server_policy
from render_worker import RenderRequest, RenderWorker, as_json

REPOSITORY = Path(__file__).parents[1]
CHART = REPOSITORY / "charts" / "agent-identities"


@dataclass(frozen=True, slots=True)
class Row:
    """Unit "x": the seconds of ``measured`` divided by those of ``against``; "ms": their difference; "s": the first."""

    name: str
    target: float
    unit: str
    measured: Callable[[], object]
    against: Callable[[], object] | None = None


def values_file(folder: Path, agents: int) -> Path:
    """A values file with this number of agents and no settings."""
    path = folder / f"{agents}.json"
    path.write_text(json.dumps({"agents": {f"agent-{number}": {} for number in range(agents)}}))
    return path


def hand_written(folder: Path, agents: int, helm: Path) -> Path:
    """A minimal hand-written chart that renders the same documents: one loop, no validation, no schema."""
    chart = folder / "hand-written"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: agent-identities, version: 0.1.0}")
    (chart / "values.yaml").write_text("agents: {}")
    (chart / "templates" / "all.yaml").write_text(HAND_WRITTEN)
    values = values_file(folder, agents)
    expected, actual = (documents(helm, path, values) for path in (CHART, chart))
    if actual != expected:
        sys.exit("ci/bench.py: the hand-written chart does not render the same documents. Update HAND_WRITTEN")
    return chart


HAND_WRITTEN = """
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
    """The documents that a chart renders: key -> body."""
    text = subprocess.run(template(helm, chart, values), check=True, capture_output=True, text=True).stdout
    return {key: thaw(obj.body) for key, obj in Objects.from_yaml(text).items()}


def template(helm: Path, chart: Path, values: Path) -> list[str]:
    """The command `helm template`."""
    return [str(helm), "template", "agents", str(chart), "--namespace=agent-system", f"--values={values}"]


def process(command: list[str]) -> Callable[[], object]:
    """A function that runs a command and waits for its end."""
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def repeated(run: Callable[[], object], times: int) -> Callable[[], object]:
    """A function that runs `run` this number of times, sequentially."""
    return lambda: [run() for _ in range(times)]


def renders(worker: RenderWorker, chart: Path, values: Path, times: int) -> Callable[[], object]:
    """A function that renders this number of times concurrently. The output is that of helm (see tests/render)."""
    request = RenderRequest(4, chart, Values.read([values]), Target("agents"))
    return lambda: [answer.result().stdout() for answer in [worker.submit(request) for _ in range(times)]]


@contextlib.contextmanager
def floors(worker: Path, chart: Path, values: Path) -> Iterator[Callable[[str, int], Callable[[], object]]]:
    """Renders by Helm's own code in one process (see floor.go), by the name of the floor and the number of renders."""
    request = as_json(RenderRequest(4, chart, Values.read([values]), Target("agents")))
    with subprocess.Popen([worker, "floor"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        lines, answers = process.stdin, process.stdout
        assert lines is not None
        assert answers is not None

        def run(name: str, times: int) -> None:
            lines.write(json.dumps({"floor": name, "renders": times, "request": request}) + "\n")
            lines.flush()
            if answers.readline() != "done\n":
                raise RuntimeError(f"{worker} floor: failed, see above")

        yield lambda name, times: functools.partial(run, name, times)
        lines.close()


def decisions(stack: contextlib.ExitStack, helm: Path, values: Path) -> tuple[Callable[[], object], ...]:
    """Decisions about the same 1,000 agents: by the evaluator, and by an API server with one client.

    The server starts with the first call and runs until the stack is closed.
    """

    @functools.cache
    def ready() -> tuple[Api, Authorizer, list[tuple[User, Request]]]:
        cluster = stack.enter_context(provide_cluster("embedded"))
        api = stack.enter_context(Api(cluster.access))
        stack.enter_context(namespaces(api, [NAMESPACE]))
        rbac = [body for key, body in documents(helm, CHART, values).items() if key.kind in ("Role", "RoleBinding")]
        stack.enter_context(applied(api, rbac, canary_namespace=NAMESPACE))
        agents = [User.service_account(NAMESPACE, f"agent-{number}") for number in range(1000)]
        questions = itertools.product(agents, VERBS, ("", "apps"), RESOURCES, (("", "a"), ("", ""), ("log", "a")))
        requests = [
            (user, Request(verb, group, resource, *rest, NAMESPACE)) for user, verb, group, resource, rest in questions
        ]
        return api, Authorizer(server_policy(api)), requests

    def offline() -> object:
        _, authorizer, requests = ready()
        return collections.deque(itertools.starmap(authorizer.decide, requests), maxlen=0)

    def online() -> object:
        api, _, requests = ready()
        return [ask(api, *question) for question in requests[::1000]]

    return offline, online


CELLS_PER_COMMAND = 50


def verification(stack: contextlib.ExitStack, helm: Helm, kubectl: Path) -> tuple[Callable[[], object], ...]:
    """The access of 100 agents: every cell of `verify`, and one `kubectl auth can-i` for every fiftieth cell.

    The server, with the release, starts with the first call and runs until the stack is closed.
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
        cells = verify(api, declaration).cells[::CELLS_PER_COMMAND]
        options = [f"--kubeconfig={cluster.kubeconfig}", f"--namespace={NAMESPACE}"]
        users = [f"--as=system:serviceaccount:{NAMESPACE}:{cell.identity.name}" for cell in cells]
        return [[str(kubectl), "auth", "can-i", "get", "pods", *options, user] for user in users]

    def all_cells() -> object:
        _, api, declaration = ready()
        return verify(api, declaration)

    def with_kubectl() -> object:
        return [subprocess.run(command, check=False, stdout=subprocess.DEVNULL) for command in commands()]

    return all_cells, with_kubectl


NAMESPACE = "agent-system"
VERBS = ("get", "list", "watch", "patch")
RESOURCES = ("pods", "services", "configmaps", "secrets", "deployments")


def rows(folder: Path) -> Iterator[Row]:
    """The comparisons, in the order of the table in the design."""
    tools = provide(["helm-4", "kubectl", "render-worker", "etcd", "kube-apiserver", "kube-controller-manager"])
    helm = tools["helm-4"].path
    thousand, four_thousand = values_file(folder, 1000), values_file(folder, 4000)
    chart_template = process(template(helm, CHART, thousand))
    minimal_chart = hand_written(folder, 1000, helm)
    minimal_template = process(template(helm, minimal_chart, thousand))
    command = str(Path(sys.executable).with_name("agent-identities"))
    check = process([command, "check", f"--values={thousand}"])
    pytest = [sys.executable, "-m", "pytest", "-q", "-n2", "tests/unit", "tests/render"]
    yield Row("helm template, 1,000 agents, against a hand-written chart", 1.5, "x", chart_template, minimal_template)
    yield Row("4,000 agents against 1,000", 4.4, "x", process(template(helm, CHART, four_thousand)), chart_template)
    yield Row("agent-identities check against its helm template, 1,000 agents", 2.0, "x", check, chart_template)
    nothing = process([sys.executable, "-c", "pass"])
    yield Row("agent-identities --help, more than python -c pass", 150, "ms", process([command, "--help"]), nothing)
    with RenderWorker(tools["render-worker"].path) as worker:
        # A worker saves the startup of the process. The saving is largest for the hand-written chart.
        one_agent = values_file(folder, 1)
        for chart, name, times in ((minimal_chart, "hand-written chart", 50), (CHART, "chart", 8)):
            many = renders(worker, chart, one_agent, 10 * times)
            ten = repeated(process(template(helm, chart, one_agent)), 10)
            yield Row(
                f"worker's renders of the {name} against one process per render ({times} to 1)", 1.0, "x", many, ten
            )
        with floors(worker.path, CHART, one_agent) as floor:
            many = renders(worker, CHART, one_agent, 200)
            yield Row("worker against Helm's engine in one process", 1.2, "x", many, floor("engine", 200))
            yield Row("worker against that with templates parsed once", 1.2, "x", many, floor("execution", 200))
    with contextlib.ExitStack() as stack:
        offline, online = decisions(stack, helm, thousand)
        cells, can_i = verification(stack, Helm(helm, tools["helm-4"].version), tools["kubectl"].path)
        name = f"verify's cells against one kubectl auth can-i per cell ({CELLS_PER_COMMAND} to 1)"
        yield Row(name, 1.0, "x", cells, can_i)
        yield Row("120,000 decisions offline against 120 by the API server (1,000 to 1)", 1.0, "x", offline, online)
    yield from audit_logs(folder)
    yield Row("embedded control plane: start until ready, and stop", 6.0, "s", control_plane)
    yield Row("offline tests: unit and render", 90.0, "s", process(pytest))


def audit_logs(folder: Path) -> Iterator[Row]:
    """`trace` of the same events in several forms, against json.loads of their lines."""
    lines = (REPOSITORY / "tests" / "unit" / "audit" / "excerpt.jsonl").read_bytes().splitlines() * 1_000
    events = [json.loads(line) for line in lines]
    forms = {
        "JSON lines": (b"\n".join(lines) + b"\n", 2.2),
        "zstd": (zstd.compress(b"\n".join(lines) + b"\n"), 2.5),
        "indented JSON in an array": (json.dumps(events, indent=2).encode(), 14.0),
        "CloudWatch": (json.dumps({"events": [{"message": line.decode()} for line in lines]}, indent=4).encode(), 9.0),
    }
    for name, (log, target) in forms.items():
        path = folder / "audit.log"
        path.write_bytes(log)
        yield Row(
            f"trace of a log ({name}) against json.loads of its lines",
            target,
            "x",
            functools.partial(trace, [path], namespace="team"),
            lambda: [json.loads(line) for line in lines],
        )


def control_plane() -> None:
    """Start an embedded control plane and stop it."""
    with provide_cluster("embedded"):
        pass


def seconds(run: Callable[[], object]) -> float:
    """The duration of a call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(row: Row, times: int) -> list[float]:
    """One figure per round, in the unit of the row."""
    if row.against is None:
        return [seconds(row.measured) for _ in range(times)]
    row.measured(), row.against()  # warm the file cache
    if row.unit == "ms":
        return [1000 * (seconds(row.measured) - seconds(row.against)) for _ in range(times)]
    return [seconds(row.measured) / seconds(row.against) for _ in range(times)]


def main() -> int:
    """Measure and print. The exit status is 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each row (default: 7)")
    parser.add_argument("--only", default="", help="only the rows whose name contains this text")
    options = parser.parse_args()
    table = Table("comparison", "target", "median", "minimum", "maximum", box=None)
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(Path(folder)):
            if options.only not in row.name:
                continue
            figures = measure(row, 1 if row.unit == "s" and row.target > 60 else options.rounds)
            median = statistics.median(figures)
            missed += median > row.target
            mark = "" if median <= row.target else "  over"
            shown = [f"{figure:.2f} {row.unit}" for figure in (median, min(figures), max(figures))]
            table.add_row(row.name, f"<= {row.target:g} {row.unit}", shown[0] + mark, *shown[1:])
    Console(width=110).print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
