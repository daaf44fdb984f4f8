"""Two commands on one release, an interrupted Helm, failing deletions: the result is never a mixture of two states."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.control_plane import ControlPlane, ControlPlaneConfig
from agent_identities.toolchain import DEFAULT_KUBERNETES
from support import commands
from support.commands import Done, ended, is_running, run, started
from support.faults import BROKEN, Gate, differences, gate, records, server_of
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

AGENTS = 12  # divisible by three
IN_PROGRESS = "another operation (install/upgrade/rollback) is in progress"
OBJECTS = ("serviceaccounts", "roles", "rolebindings")


@dataclass(frozen=True)
class ReleasedNamespace:
    """A namespace of a local control plane, with a release of the values `before`."""

    plane: ControlPlane
    server: Server
    directory: Path
    chart: Path
    namespace: str

    def release(self, helm: Helm) -> Release:
        return Release(helm, self.chart, "agents", self.namespace, self.plane.kubeconfig)

    def upgrade(self, helm: Helm, values: Json, *flags: str) -> list[str]:
        """The command line of an upgrade to the values."""
        path = self.directory / f"{self.namespace}-{len(list(self.directory.iterdir()))}.json"
        path.write_text(json.dumps(values))
        return commands.helm(self.release(helm), "upgrade", str(path), *flags)

    def gate(self, passing: int, *resources: str, **more: Any) -> AbstractContextManager[Gate]:
        return gate(self.server, self.namespace, self.directory, passing, *(resources or OBJECTS), **more)

    def differences(self, helm: Helm, values: Json) -> list[str]:
        """The differences from a fresh install of the values."""
        wanted = Values(overrides=values)
        return differences(self.server, self.release(helm), wanted, self.plane.kubernetes_version)

    def quarantine(self, agent: str) -> Done:
        where = ["--namespace", self.namespace, "--kubeconfig", str(self.plane.kubeconfig)]
        return run(commands.agent_identities("quarantine", agent, *where))

    def verify(self, values: Json) -> Done:
        path = self.directory / f"{self.namespace}-values.json"
        path.write_text(json.dumps(values))
        where = ["--namespace", self.namespace, "--kubeconfig", str(self.plane.kubeconfig)]
        return run(commands.agent_identities("verify", "--values", str(path), *where))

    def may_get(self, agent: str, resource: str) -> bool:
        return may_get(self.server, self.namespace, agent, resource)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """A local control plane, for every --cluster, because a webhook of the tests holds its requests."""
    config = ControlPlaneConfig(
        kubernetes=request.config.getoption("agent_identities_kubernetes") or DEFAULT_KUBERNETES
    )
    with ControlPlane.start(tmp_path_factory.mktemp("two") / "plane", config) as plane:
        yield plane


@pytest.fixture
def released(plane: ControlPlane, chart: Path, helm_4: Helm, tmp_path: Path, namespace: str) -> ReleasedNamespace:
    made = ReleasedNamespace(plane, server_of(plane), tmp_path, chart, namespace)
    made.release(helm_4).install(Values(overrides=before(AGENTS)))
    return made


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    return f"test-{abs(hash(request.node.name)):x}"[:30]


def other() -> Json:
    """A third set of values. No agent has the same rights as in `before` and `after`."""
    rule = {"apiGroups": [""], "resources": ["endpoints"], "verbs": ["get"]}
    return {"tiers": {"other": {"rules": [rule]}}, "agents": {f"agent-{n:03}": {"tiers": ["other"]} for n in range(8)}}


Helms = Callable[[str], Helm]


@pytest.fixture(scope="session")
def helms(helm_3: Helm, helm_4: Helm) -> Helms:
    return {"3": helm_3, "4": helm_4}.__getitem__


both_ways = pytest.mark.parametrize(("first", "second"), ["44", "33", "34", "43"])


@both_ways
def test_an_upgrade_during_another_upgrade_is_refused_and_changes_nothing(
    released: ReleasedNamespace, helms: Helms, first: str, second: str
) -> None:
    passing = writes_before_half_of_the_upgrade(AGENTS, helms(first).major)
    with released.gate(passing) as held, started(released.upgrade(helms(first), after(AGENTS))) as process:
        held.until_held(partial(is_running, process))
        refused = run(released.upgrade(helms(second), other()))
        held.open()
        won = ended(process)
    assert won.returncode == 0, won.stderr
    assert refused.returncode == 1
    assert IN_PROGRESS in refused.stderr
    assert released.differences(helms(first), after(AGENTS)) == []
    assert records(released.server, released.release(helms(first))) == {1: "superseded", 2: "deployed"}


@both_ways
def test_of_two_upgrades_that_start_at_the_same_time_one_succeeds_and_the_other_fails(
    released: ReleasedNamespace, helms: Helms, first: str, second: str
) -> None:
    wishes = [(helms(first), after(AGENTS)), (helms(second), other())]
    with released.gate(0, "secrets") as held, ExitStack() as stack:
        running = [stack.enter_context(started(released.upgrade(helm, values))) for helm, values in wishes]
        held.until_held(lambda: any(map(is_running, running)), 2)  # both are about to write the record of revision 2
        held.open()
        done = [ended(process) for process in running]
    assert sorted(each.returncode for each in done) == [0, 1]
    (lost,) = [each for each in done if each.returncode]
    assert "release: already exists" in lost.stderr
    (winner,) = [wish for wish, each in zip(wishes, done, strict=True) if not each.returncode]
    assert released.differences(*winner) == []
    assert records(released.server, released.release(winner[0])) == {1: "superseded", 2: "deployed"}


@pytest.mark.parametrize("major", "43")
def test_a_quarantine_during_an_upgrade_warns_and_the_same_command_completes_it_later(
    released: ReleasedNamespace, helms: Helms, major: str
) -> None:
    """The upgrade has not processed the agent yet, and recreates its missing objects."""
    values = after(AGENTS)
    values["agents"]["suspect"] = {
        "tiers": ["reader"]
    }  # the upgrade deletes another binding and creates this binding again
    with released.gate(1) as held, started(released.upgrade(helms(major), values)) as process:
        held.until_held(partial(is_running, process))
        held.hold_no_more()
        done = released.quarantine("suspect")
        assert not released.may_get("suspect", "pods")
        held.open()
        assert ended(process).returncode == 0
    assert done.returncode == 1, done.stdout + done.stderr
    assert "a Helm operation on release agents is in progress" in done.stdout
    assert "quarantined: true" in done.stdout  # the values that make the quarantine permanent
    assert released.may_get("suspect", "configmaps")  # the upgrade restored the right, as the warning said
    again = released.quarantine("suspect")
    assert again.returncode == 0, again.stdout + again.stderr
    assert not released.may_get("suspect", "configmaps")
    assert released.may_get("sibling", "configmaps")
    assert run(released.upgrade(helms(major), quarantined(values))).returncode == 0
    assert released.differences(helms(major), quarantined(values)) == []


@pytest.mark.parametrize("major", "43")
def test_a_quarantine_persists_if_the_running_upgrade_also_quarantines_the_agent(
    released: ReleasedNamespace, helms: Helms, major: str
) -> None:
    with released.gate(1) as held, started(released.upgrade(helms(major), after(AGENTS))) as process:
        held.until_held(partial(is_running, process))
        held.hold_no_more()
        assert released.quarantine("suspect").returncode == 1
        held.open()
        assert ended(process).returncode == 0
    assert released.differences(helms(major), after(AGENTS)) == []
    assert not released.may_get("suspect", "services")
    assert released.may_get("sibling", "configmaps")


# ---- an interrupted Helm


@pytest.fixture
def cut_off(released: ReleasedNamespace, helms: Helms, request: pytest.FixtureRequest) -> Helm:
    """Helm, killed during an upgrade to `after`, as in a cancelled pipeline."""
    helm = helms(request.param)
    passing = writes_before_half_of_the_upgrade(AGENTS, helm.major)
    with released.gate(passing) as held, started(released.upgrade(helm, after(AGENTS))) as process:
        held.until_held(partial(is_running, process))
        process.kill()
        process.wait()
    assert records(released.server, released.release(helm)) == {1: "deployed", 2: "pending-upgrade"}
    assert released.differences(helm, before(AGENTS))
    assert released.differences(helm, after(AGENTS))
    return helm


each_cut_off = pytest.mark.parametrize("cut_off", "43", indirect=True)


@each_cut_off
def test_a_rollback_to_the_deployed_revision_and_the_same_upgrade_complete_the_upgrade(
    released: ReleasedNamespace, cut_off: Helm
) -> None:
    was = accounts(installed(released.server, released.release(cut_off)))
    upgrade = released.upgrade(cut_off, after(AGENTS))
    assert IN_PROGRESS in run(upgrade).stderr
    released.release(cut_off).rollback(1)
    assert released.differences(cut_off, before(AGENTS)) == []
    assert released.may_get("suspect", "services")  # see the warning in docs/recovery.md
    assert run(upgrade).returncode == 0
    assert released.differences(cut_off, after(AGENTS)) == []
    assert not released.may_get("suspect", "services")
    assert released.may_get("sibling", "configmaps")
    now = accounts(installed(released.server, released.release(cut_off)))
    assert {name: uid for name, uid in was.items() if name in now and name in before(AGENTS)["agents"]} == {
        name: uid for name, uid in now.items() if name in was and name in before(AGENTS)["agents"]
    }


@each_cut_off
def test_a_rollback_to_the_pending_revision_leaves_undeclared_rights(
    released: ReleasedNamespace, cut_off: Helm
) -> None:
    """See the warning in docs/recovery.md."""
    released.release(cut_off).rollback(2)
    assert run(released.upgrade(cut_off, after(AGENTS))).returncode == 0
    assert [one for one in released.differences(cut_off, after(AGENTS)) if not one.startswith("too much")] == []
    assert released.may_get("suspect", "services")
    assert released.verify(after(AGENTS)).returncode == 1


# ---- failing deletions


def test_with_helm_4_the_same_upgrade_removes_objects_after_failed_deletions(
    released: ReleasedNamespace, helm_4: Helm
) -> None:
    upgrade = released.upgrade(helm_4, after(AGENTS))
    with released.gate(1_000_000, broken=("DELETE",)):
        failed = run(upgrade)
    assert failed.returncode == 1
    assert BROKEN in failed.stderr
    assert released.may_get("suspect", "services")
    assert records(released.server, released.release(helm_4)) == {1: "deployed", 2: "failed"}
    assert run(upgrade).returncode == 0
    assert released.differences(helm_4, after(AGENTS)) == []


def test_with_helm_3_verify_finds_objects_after_failed_deletions_and_a_rollback_restores_the_record(
    released: ReleasedNamespace, helm_3: Helm
) -> None:
    upgrade = released.upgrade(helm_3, after(AGENTS))
    with released.gate(1_000_000, broken=("DELETE",)):
        assert run(upgrade).returncode == 0  # Helm 3 ignores the failed deletions
    assert run(upgrade).returncode == 0
    left = installed(released.server, released.release(helm_3))
    assert "agent-000" in accounts(left)
    assert bindings_of(left, "agent-000")
    assert released.may_get("suspect", "services")
    found = released.verify(after(AGENTS))
    assert found.returncode == 1
    assert "agent-000" in found.stdout
    released.release(helm_3).rollback(1)
    assert run(upgrade).returncode == 0
    assert released.differences(helm_3, after(AGENTS)) == []
    assert released.verify(after(AGENTS)).returncode == 0
