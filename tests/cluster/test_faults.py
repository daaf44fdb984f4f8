"""kill -9 of the API server or etcd during a command, then the same command: the result is as without a fault.

Each fault interrupts an install and an upgrade with each Helm, and a quarantine, all at once. PROVE_FAULTS=1 uses a
hundred agents, and runs every command with and without Helm's flags for failures.
"""

import contextlib
import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.objects import Key
from agent_identities.chart.values import Values
from agent_identities.cluster.control_plane import ControlPlane, ControlPlaneConfig
from agent_identities.toolchain import DEFAULT_KUBERNETES, provide
from support import commands
from support.commands import Done, ended, is_running, run, started
from support.faults import Gate, differences, gate, records, server_of
from support.installed import installed
from support.server import Json, Server
from support.two_states import (
    accounts,
    after,
    before,
    bindings_of,
    may_get,
    quarantined,
    writes_before_half_of_the_upgrade,
)

PROVE = bool(os.environ.get("PROVE_FAULTS"))
AGENTS = 99 if PROVE else 30  # divisible by three
RECOVERY = Path(__file__).parents[2] / "docs" / "recovery.md"
RBAC_OBJECTS = ("serviceaccounts", "roles", "rolebindings")


@dataclass
class Operation:
    """A command to interrupt, after `passing` writes to `resources`.

    `before`: the objects before the command, `struck`: the objects after the API server restarted.
    """

    what: str
    release: Release
    argv: list[str]
    wanted: Json
    passing: int
    resources: tuple[str, ...]
    before: dict[Key, Json]
    struck: dict[Key, Json] = field(default_factory=dict)
    records: dict[int, str] = field(default_factory=dict)
    done: Done = field(default_factory=lambda: Done([], 0))

    def again(self) -> Done:
        return run(self.argv)


@dataclass(frozen=True)
class Site:
    """Prepares operations on one control plane whose processes the tests kill."""

    plane: ControlPlane
    server: Server
    directory: Path
    chart: Path

    def helm(self, helm: Helm, verb: str, values: Json, name: str, *flags: str) -> Operation:
        """`helm install`, or `helm upgrade` of what is installed."""
        release, file = self.release(helm, name), self.file(name, values)
        if verb == "install":
            passing = 2 * AGENTS
        else:
            release.install(Values(overrides=before(AGENTS)))
            passing = writes_before_half_of_the_upgrade(AGENTS, helm.major)
        verb_and_flags = ("upgrade", file, "--install", *flags) if flags else (verb, file)
        argv = commands.helm(release, *verb_and_flags)
        return Operation(verb, release, argv, values, passing, RBAC_OBJECTS, installed(self.server, release))

    def quarantine(self, helm: Helm, name: str) -> Operation:
        """`agent-identities quarantine`: the bindings are removed, and the deletion of the ServiceAccount is held."""
        release = self.release(helm, name)
        release.install(Values(overrides=before(AGENTS)))
        where = ["--namespace", release.namespace, "--kubeconfig", str(self.plane.kubeconfig)]
        argv = commands.agent_identities("quarantine", "suspect", *where)
        wanted, there = quarantined(before(AGENTS)), installed(self.server, release)
        return Operation("quarantine", release, argv, wanted, 0, ("serviceaccounts",), there)

    def release(self, helm: Helm, name: str) -> Release:
        self.server.make_namespace(name)
        return Release(helm, self.chart, "agents", name, self.plane.kubeconfig)

    def file(self, name: str, values: Json) -> str:
        path = self.directory / f"{name}.yaml"
        path.write_text(json.dumps(values))
        return str(path)

    def strike(self, victim: str, operations: list[Operation]) -> None:
        """Kills the process after each operation made some of its writes. Returns when the control plane runs again."""
        with contextlib.ExitStack() as stack:
            gates = [stack.enter_context(self.gate(each)) for each in operations]
            running = []
            for each, held in zip(operations, gates, strict=True):
                running.append(stack.enter_context(started(each.argv)))
                if (
                    each.what == "upgrade"
                ):  # slow: held requests must not time out before the other operations reach their gates
                    held.until_half_way(partial(is_running, running[-1]))
            for held, process in zip(gates, running, strict=True):
                held.until_held(partial(is_running, process))
            self.plane.kill(victim)
            for held in gates:
                held.open()
            for each, process in zip(operations, running, strict=True):
                each.done = ended(process)
            self.plane.kill(
                "kube-apiserver"
            )  # as a kubelet would, because the API server retries etcd with increasing delays
            self.plane.restart()
            for each in operations:
                each.struck = installed(self.server, each.release)
                each.records = records(self.server, each.release)

    def gate(self, operation: Operation) -> contextlib.AbstractContextManager[Gate]:
        namespace, resources = operation.release.namespace, operation.resources
        return gate(self.server, namespace, self.directory, operation.passing, *resources)

    def differences(self, operation: Operation) -> list[str]:
        values = Values(overrides=operation.wanted)
        return differences(self.server, operation.release, values, self.plane.kubernetes_version)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, chart: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    config = ControlPlaneConfig(
        kubernetes=request.config.getoption("agent_identities_kubernetes") or DEFAULT_KUBERNETES,
        restartable=True,
        apiserver_args=("--request-timeout=5s",),  # the wait of a request without etcd; the default is one minute
    )
    directory = tmp_path_factory.mktemp("faults")
    with ControlPlane.start(directory / "plane", config) as plane:
        yield Site(plane, server_of(plane), directory, chart)


NAMES = ("upgrade-4", "upgrade-3", "install-4", "install-3", "quarantine")
FAULTS = [("kube-apiserver", False), ("etcd", True), *([("kube-apiserver", True), ("etcd", False)] if PROVE else [])]


def fault_id(fault: tuple[str, bool]) -> str:
    return f"{fault[0]}-{'with-flags' if fault[1] else 'plain'}"


@dataclass(frozen=True)
class Struck:
    """The interrupted operations, by name, and the second run of the quarantine."""

    operations: dict[str, Operation]
    quarantine_again: subprocess.Popen[str]


@pytest.fixture(scope="module", params=FAULTS, ids=fault_id)
def struck(site: Site, helm_3: Helm, helm_4: Helm, request: pytest.FixtureRequest) -> Iterator[Struck]:
    """All operations that were running when the API server or etcd was killed."""
    victim, with_flags = request.param
    flag = {3: "--atomic", 4: "--rollback-on-failure"}
    suffix = fault_id(request.param)

    def ready(name: str) -> Operation:
        verb, _, major = name.partition("-")
        helm = helm_3 if major == "3" else helm_4
        if verb == "quarantine":
            return site.quarantine(helm, f"{name}-{suffix}")
        values = before(AGENTS) if verb == "install" else after(AGENTS)
        return site.helm(helm, verb, values, f"{name}-{suffix}", *([flag[helm.major]] if with_flags else []))

    with ThreadPoolExecutor(2) as pool:
        operations = dict(zip(NAMES, pool.map(ready, NAMES), strict=True))
    site.strike(victim, list(operations.values()))
    with started(operations["quarantine"].argv) as again:  # it waits until caches expire, during the other tests
        yield Struck(operations, again)


every_operation = pytest.mark.parametrize("name", NAMES)
every_helm_operation = pytest.mark.parametrize("name", [name for name in NAMES if name != "quarantine"])


@every_operation
def test_the_fault_interrupts_each_command_after_some_of_its_writes(site: Site, struck: Struck, name: str) -> None:
    operation = struck.operations[name]
    was, there = accounts(operation.before), accounts(operation.struck)
    agents = {f"agent-{number:03}" for number in range(AGENTS)}
    if name == "quarantine":
        assert bindings_of(operation.before, "suspect")
        assert not bindings_of(operation.struck, "suspect")
        assert there["suspect"] == was["suspect"]
        return
    assert operation.struck.keys() != operation.before.keys()
    if name.startswith("install"):
        assert not was
        assert agents <= there.keys()
        assert any(not bindings_of(operation.struck, agent) for agent in agents)
    else:
        assert there.keys() - was.keys()  # some of the new agents exist
        assert agents <= there.keys()  # the agents to delete still exist
        assert bindings_of(operation.struck, "suspect")


@every_operation
def test_an_interrupted_command_fails_and_reports_the_fault(struck: Struck, name: str) -> None:
    operation = struck.operations[name]
    done = operation.done
    assert "Traceback" not in done.stderr
    assert "panic" not in done.stderr
    if name == "quarantine":
        assert done.returncode == 1, done.stdout + done.stderr
        assert "ServiceAccount" in done.stdout
        assert "may or may not be removed" in done.stdout
        (rest,) = [line for line in done.stdout.splitlines() if "not listed as removed" in line]
        assert "run the same command" in rest
    else:
        assert done.returncode == 1, done.stdout + done.stderr
        assert operation.records[max(operation.records)] == f"pending-{name.partition('-')[0]}"


def documented(namespace: str) -> list[str]:
    """The command of docs/recovery.md, for another namespace."""
    (line,) = re.findall(r"^kubectl delete secret .*$", RECOVERY.read_text(), re.MULTILINE)
    words = shlex.split(line)
    words[words.index("-n") + 1] = namespace
    return words


IN_PROGRESS = "another operation (install/upgrade/rollback) is in progress"
REFUSED = {
    "install-4": "cannot reuse a name that is still in use",
    "install-3": "cannot re-use a name that is still in use",
}


@every_helm_operation
def test_the_same_helm_command_completes_after_the_pending_record_is_deleted(
    site: Site, struck: Struck, name: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("struck", name)
    operation = struck.operations[name]
    refused = operation.again()
    assert refused.returncode == 1
    assert (IN_PROGRESS if "upgrade" in operation.argv else REFUSED[name]) in refused.stderr
    kubectl = documented(operation.release.namespace)
    kubectl[0] = str(provide(["kubectl"])["kubectl"].path)
    taken = run([*kubectl, "--kubeconfig", str(site.plane.kubeconfig)])
    assert len(taken.stdout.splitlines()) == 1, taken.stdout + taken.stderr
    done = operation.again()
    assert done.returncode == 0, done.stderr
    assert site.differences(operation) == []
    assert_identities_kept(operation, accounts(installed(site.server, operation.release)))
    assert sorted(set(records(site.server, operation.release).values())) in (["deployed"], ["deployed", "superseded"])
    namespace, installs = operation.release.namespace, operation.what == "install"
    assert may_get(site.server, namespace, "sibling", "pods" if installs else "configmaps")
    assert may_get(site.server, namespace, "suspect", "services") == installs  # quarantined by the upgrade


def assert_identities_kept(operation: Operation, now: dict[str, str]) -> None:
    """ServiceAccounts that existed before or after the fault, and still exist, have the same UID."""
    for then in (accounts(operation.before), accounts(operation.struck)):
        assert {name: uid for name, uid in then.items() if name in now and now[name] != uid} == {}
    assert accounts(operation.struck).keys() & now.keys()


def test_the_same_quarantine_command_completes_the_quarantine(
    site: Site, struck: Struck, record_property: Callable[[str, object], None]
) -> None:
    record_property("struck", "quarantine")
    operation = struck.operations["quarantine"]
    done = ended(struck.quarantine_again)
    assert done.returncode == 0, done.stdout + done.stderr
    left = installed(site.server, operation.release)
    namespace = operation.release.namespace
    assert "suspect" not in accounts(left)
    assert not bindings_of(left, "suspect")
    assert not may_get(site.server, namespace, "suspect", "pods")
    assert not may_get(site.server, namespace, "suspect", "services")
    assert may_get(site.server, namespace, "sibling", "pods")
    siblings = {key: obj["metadata"]["uid"] for key, obj in operation.before.items() if key.name.startswith("agent-")}
    assert siblings
    assert {key: left[key]["metadata"]["uid"] for key in siblings} == siblings
    operation.release.upgrade(Values(overrides=operation.wanted))
    assert site.differences(operation) == []
