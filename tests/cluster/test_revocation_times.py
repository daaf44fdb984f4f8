"""The last allowed and the last authenticated request after each way to remove an agent.

The tests assert that requests end, and record how long it took. `make prove` prints the times for a thousand agents.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from agent_identities.kube.client import Api
from agent_identities.quarantine.watch import Watch
from support.server import RBAC, Json, Server, eventually

AGENTS = int(os.environ.get("PROVE_AGENTS", "20"))
SECONDS = 30.0
WORKLOAD = {"image": "registry.example/agent:1"}
RecordProperty = Callable[[str, object], None]


def fleet(**changed: Json) -> Values:
    """A fleet with shared bindings (perTier). The tests remove the agents with a workload."""
    victims = {name: {"workload": WORKLOAD} for name in ("by-command", "by-upgrade", "account", "pod")}
    agents: dict[str, Any] = {f"agent-{number}": {} for number in range(AGENTS)} | victims | {"binding": {}}
    return Values(overrides={"bindings": "perTier", "agents": agents | changed})


@dataclass(frozen=True)
class Fleet:
    """The installed release and its server."""

    server: Server
    api: Api
    ours: Release

    @property
    def namespace(self) -> str:
        return self.ours.namespace

    def token(self, name: str) -> str:
        """A token of an agent, bound to a pod of the agent: its workload's pod or a pod created here."""
        pods = f"/api/v1/namespaces/{self.namespace}/pods"
        if name == "binding":
            spec = {"serviceAccountName": name, "containers": [{"name": "c", **WORKLOAD}]}
            self.server.create(
                pods, {"metadata": {"name": name, "labels": {"agent-identities/agent": name}}, "spec": spec}
            )
        selected = f"{pods}?labelSelector=agent-identities/agent%3D{name}"
        meta = eventually(lambda: self.server.items(selected), seconds=60)[0]["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        return self.server.token(self.namespace, name, boundObjectRef=bound)

    def pod_of(self, name: str) -> str:
        pods = f"/api/v1/namespaces/{self.namespace}/pods"
        found = self.server.items(f"{pods}?labelSelector=agent-identities/agent%3D{name}")
        return f"{pods}/{found[0]['metadata']['name']}"


class Ending:
    """Watches the agent's own requests in the background, from before the removal."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        client = fleet.api.with_token(fleet.token(name))
        path = f"/api/v1/namespaces/{fleet.namespace}/services"

        def status() -> int:
            return client.raw("GET", path).status

        eventually(lambda: status() == 200)
        self.started = time.monotonic()
        self.allowed = Watch(lambda: status() == 200, started=self.started, pause=0.01).start()
        self.authenticated = Watch(lambda: status() != 401, started=self.started, pause=0.05).start()

    def wait(self, *, authenticated: bool = True) -> dict[str, float | None]:
        """Seconds to the last request of each kind; None if requests still succeed."""
        self.allowed.wait(SECONDS)
        self.authenticated.wait(SECONDS if authenticated else 1)
        watches = {"allowed": self.allowed, "authenticated": self.authenticated}
        return {name: watch.last if watch.over else None for name, watch in watches.items()}


@pytest.fixture(scope="module")
def fleet_of_agents(
    server: Server, cluster: Cluster, chart: Path, helm: Helm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    namespace = f"test-fleet-{time.monotonic_ns() % 10**8}"
    ours = Release(helm, chart, "agents", namespace, cluster.kubeconfig, cluster.context)
    ours.install(fleet())
    with Api(cluster.access) as api:
        yield Fleet(server, api, ours)
    server.delete(f"/api/v1/namespaces/{namespace}")


def written(record: RecordProperty, way: str, ended: dict[str, float | None]) -> None:
    for what, seconds in ended.items():
        record(f"{way}: last {what}", "goes on" if seconds is None else f"{seconds:.2f} s")


def test_the_quarantine_command_ends_allowed_and_authenticated_requests(
    fleet_of_agents: Fleet, record_property: RecordProperty
) -> None:
    """Compares the times that the command prints with the agent's own requests."""
    seen = Ending(fleet_of_agents, "by-command")
    ours = fleet_of_agents.ours
    options = ["--kubeconfig", str(ours.kubeconfig), "--namespace", ours.namespace, "--output", "json"]
    options += ["--context", ours.context] if ours.context else []
    command = [sys.executable, "-m", "agent_identities", "quarantine", "by-command", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    reported = json.loads(done.stdout)
    ended = seen.wait()
    written(record_property, "quarantine by command", ended)
    assert None not in ended.values()
    assert reported["left"] == []
    assert reported["seconds"]["lastAuthenticated"] is not None


def test_a_quarantine_by_upgrade_ends_allowed_and_authenticated_requests(
    fleet_of_agents: Fleet, record_property: RecordProperty
) -> None:
    seen = Ending(fleet_of_agents, "by-upgrade")
    fleet_of_agents.ours.upgrade(fleet(**{"by-upgrade": {"workload": WORKLOAD, "quarantined": True}}))
    ended = seen.wait()
    written(record_property, "quarantine by upgrade", ended)
    assert None not in ended.values()


def test_deleting_the_service_account_ends_allowed_and_authenticated_requests(
    fleet_of_agents: Fleet, record_property: RecordProperty
) -> None:
    seen = Ending(fleet_of_agents, "account")
    fleet_of_agents.server.delete(f"/api/v1/namespaces/{fleet_of_agents.namespace}/serviceaccounts/account")
    ended = seen.wait()
    written(record_property, "ServiceAccount deleted", ended)
    assert None not in ended.values()


def test_deleting_the_pod_ends_allowed_and_authenticated_requests(
    fleet_of_agents: Fleet, record_property: RecordProperty
) -> None:
    """The token is bound to the pod and ends with it, although the ServiceAccount and its rights stay."""
    seen = Ending(fleet_of_agents, "pod")
    fleet_of_agents.server.delete(f"{fleet_of_agents.pod_of('pod')}?gracePeriodSeconds=0")
    ended = seen.wait()
    written(record_property, "pod deleted", ended)
    assert None not in ended.values()


def test_removing_the_binding_ends_allowed_requests_and_the_token_stays_valid(
    fleet_of_agents: Fleet, record_property: RecordProperty
) -> None:
    """With bindings: perTier, the subject is removed from the shared binding."""
    seen = Ending(fleet_of_agents, "binding")
    namespace = fleet_of_agents.namespace
    bindings = f"{RBAC}/namespaces/{namespace}/rolebindings"
    held = [
        item
        for item in fleet_of_agents.server.items(bindings)
        if any(subject["name"] == "binding" for subject in item["subjects"])
    ]
    assert len(held) == 1
    rest = [subject for subject in held[0]["subjects"] if subject["name"] != "binding"]
    assert (AGENTS < 100) or rest, "nobody shares it"
    path = f"{bindings}/{held[0]['metadata']['name']}"
    status, answer = fleet_of_agents.server.request("PUT", path, held[0] | {"subjects": rest})
    assert status == 200, answer
    ended = seen.wait(authenticated=False)
    written(record_property, "binding removed", ended)
    assert ended["allowed"] is not None
    assert ended["authenticated"] is None
