"""A workload on a real API server: `trace` attributes each request, and `rightsize` proposes tiers for it."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from agent_identities.audit.accounts import AgentAccounts
from agent_identities.audit.proposal import change
from agent_identities.audit.rightsize import rightsize
from agent_identities.audit.rightsize_report import snippet
from agent_identities.audit.sources import read
from agent_identities.audit.trace import RequestOutcome, Trace
from agent_identities.audit.tracer import Tracer
from agent_identities.chart import values as values_files
from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from agent_identities.declaration import declare
from agent_identities.rbac import Catalogue, PolicyRule
from support.server import Json, Server, eventually

VALUES: Json = {
    # every server supports legacy; a request that passes the impersonation check is refused as the agent's request
    "proxy": {"impersonation": "legacy"},
    "tiers": {
        "worker": {
            "rules": [
                {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list", "watch"]},
                {
                    "apiGroups": [""],
                    "resources": ["configmaps"],
                    "verbs": ["get", "list", "create", "update", "patch", "delete"],
                },
            ],
            "acceptRisks": {"configmap-write": "a test"},
        },
        "deployer": {
            "rules": [
                {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": ["get", "list", "watch"]},
            ]
        },
    },
    "agents": {
        "reader": {"tiers": ["worker"]},
        "writer": {"tiers": ["worker"]},
        "deployer": {"tiers": ["deployer"]},
        "triage": {"tiers": ["worker"], "instances": 2},
        "shopper": {"tiers": ["worker"], "access": "proxied"},
        "looker": {},
        "idle": {"tiers": ["worker"]},
    },
}
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Move:
    """A request of an agent in its namespace, and the expected status."""

    agent: str
    method: str
    path: str
    status: int
    body: Json = field(default_factory=dict)
    content: str = "application/json"
    through_the_proxy: bool = False
    api: str = "/api/v1"


def note(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


WORKLOAD = (
    Move("reader", "GET", "/pods", 200),
    Move("reader", "GET", "/pods?watch=1&timeoutSeconds=1", 200),
    Move("reader", "GET", "/configmaps/shared", 200),
    Move("reader", "GET", "/secrets", 403),
    Move("writer", "PATCH", "/configmaps/applied?fieldManager=writer", 201, note("applied"), APPLY),
    Move("writer", "DELETE", "/configmaps/applied", 200),
    Move("writer", "POST", "/configmaps", 201, note("made")),
    Move("writer", "DELETE", "/configmaps/made", 200),
    Move("deployer", "GET", "/deployments", 200, api="/apis/apps/v1"),
    Move("deployer", "GET", "/replicasets/absent", 404, api="/apis/apps/v1"),
    Move("triage-1", "GET", "/configmaps", 200),
    Move("triage-2", "GET", "/configmaps/shared", 200),
    Move("shopper", "GET", "/pods", 200, through_the_proxy=True),
    Move("shopper", "GET", "/secrets", 403, through_the_proxy=True),
    Move("looker", "GET", "/services", 200),
    Move("agent-proxy", "GET", "/configmaps", 200),
)


@dataclass
class TracedRun:
    """The release of VALUES and its agents' tokens, each bound to a pod of the agent."""

    server: Server
    namespace: str
    log: Path
    agents: AgentAccounts
    tokens: dict[str, Server]

    def make(self, move: Move) -> None:
        who = self.tokens["agent-proxy" if move.through_the_proxy else move.agent]
        headers = {"Content-Type": move.content}
        if move.through_the_proxy:
            headers["Impersonate-User"] = f"system:serviceaccount:{self.namespace}:{move.agent}"
        url = f"{who.client.url}{move.api}/namespaces/{self.namespace}{move.path}"
        body = json.dumps(move.body) if move.body else None
        answer = who.client.session.request(move.method, url, data=body, headers=headers, timeout=30)
        assert answer.status_code == move.status, (move, answer.text)

    def work(self) -> None:
        for move in WORKLOAD:
            self.make(move)

    def trace(self, least: int = 1) -> Trace:
        """The trace, when the log has at least this number of requests. A cluster may write the log with a delay."""

        def traced() -> Trace | None:
            tracer = Tracer(self.agents)
            for _ in tracer.read("audit.log", read(str(self.log))):
                pass
            trace = tracer.result()
            return trace if trace.attributed + trace.not_attributed >= least else None

        found = eventually(traced)
        assert found is not None
        return found

    def may(self, agent: str, atom: PolicyRule) -> bool:
        (verb,), (group,), (resource,) = atom.verbs, atom.api_groups, atom.resources
        name = atom.resource_names[0] if atom.resource_names else ""
        resource, _, subresource = resource.partition("/")
        attributes = {"namespace": self.namespace, "verb": verb, "group": group, "resource": resource}
        attributes |= {"subresource": subresource, "name": name}
        spec = {"user": f"system:serviceaccount:{self.namespace}:{agent}", "resourceAttributes": attributes}
        answer = self.server.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
        return bool(answer["status"]["allowed"])


@pytest.fixture
def run(
    control_plane: Cluster,
    server: Server,
    chart: Path,
    namespace: str,
    helm: Helm,
    release: Callable[[Helm], Release],
) -> TracedRun:
    if control_plane.audit_log is None:
        pytest.skip("this cluster's audit log cannot be read from here")
    release(helm).install(Values(overrides=VALUES))
    server.create(f"/api/v1/namespaces/{namespace}/configmaps", note("shared"))
    declaration = declare(values_files.load(chart, overrides=VALUES), namespace=namespace)
    tokens = {
        one.name: server.with_token(_bound_token(server, namespace, one.name))
        for one in declaration.identities
        if one.access == "direct"
    }
    return TracedRun(server, namespace, control_plane.audit_log, AgentAccounts.declared(declaration), tokens)


def _bound_token(server: Server, namespace: str, account: str) -> str:
    spec = {"serviceAccountName": account, "containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]}
    pod = server.create(f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": f"{account}-pod"}, "spec": spec})
    reference = {"apiVersion": "v1", "kind": "Pod", "name": f"{account}-pod", "uid": pod["metadata"]["uid"]}
    return server.token(namespace, account, boundObjectRef=reference)


def test_every_request_is_attributed_to_the_agent_that_made_it(run: TracedRun) -> None:
    run.work()
    trace = run.trace(len(WORKLOAD))
    assert trace.ok
    counted = Counter({use.agent.name: 0 for use in trace.uses})
    for use in trace.uses:
        counted[use.agent.name] += use.count
    assert counted == Counter(move.agent for move in WORKLOAD)


def test_the_sender_and_the_binding_of_each_request_are_reported(run: TracedRun) -> None:
    run.work()
    trace = run.trace(len(WORKLOAD))
    proxy = f"system:serviceaccount:{run.namespace}:agent-proxy"
    assert {use.via for use in trace.uses if use.agent.name == "shopper"} == {proxy}
    assert {use.via for use in trace.uses if use.agent.name != "shopper"} == {""}
    bindings = {(use.agent.name, str(use.binding)) for use in trace.uses if use.outcome is RequestOutcome.ALLOWED}
    assert bindings == {
        (agent, f"RoleBinding {run.namespace}/{agent}{rest}")
        for agent, rest in {
            **dict.fromkeys(("reader", "writer", "triage-1", "triage-2", "shopper"), ":worker-role"),
            "deployer": ":deployer-role",
            "looker": "-binding",
            "agent-proxy": "-binding",
        }.items()
    }
    denied = {
        (use.agent.name, use.request.verb, use.request.resource)
        for use in trace.uses
        if use.outcome is RequestOutcome.DENIED
    }
    assert denied == {("reader", "list", "secrets"), ("shopper", "list", "secrets")}


def test_every_credential_is_joined_to_the_event_that_issued_it(run: TracedRun) -> None:
    run.work()
    for one in run.trace(len(WORKLOAD)).credentials:
        holder = one.holder.rpartition(":")[2]
        assert holder == ("agent-proxy" if one.agent.name == "shopper" else one.agent.name)
        assert one.issue is not None
        assert (one.issue.account.name, one.pod) == (holder, f"{holder}-pod")
        assert one.issue.time <= one.first


def test_a_request_of_the_default_account_is_not_attributed(run: TracedRun) -> None:
    run.make(WORKLOAD[0])
    assert run.trace().ok
    lost = run.server.with_token(run.server.token(run.namespace, "default"))
    assert lost.request("GET", f"/api/v1/namespaces/{run.namespace}/pods")[0] == 403
    trace = run.trace(2)
    assert [(use.agent.name, use.count) for use in trace.unattributed] == [("default", 1)]
    assert not trace.ok


def test_a_refused_impersonation_is_attributed_to_the_proxy(run: TracedRun) -> None:
    run.make(Move("reader", "GET", "/pods", 403, through_the_proxy=True))
    (use,) = run.trace().uses
    assert (use.agent.name, use.outcome, use.via) == ("agent-proxy", RequestOutcome.DENIED, "")
    assert use.request.verb.startswith(
        "impersonate"
    )  # a server with constrained impersonation can name either of its checks


def test_the_proposed_tiers_allow_exactly_the_recorded_workload(
    run: TracedRun, chart: Path, namespace: str, helm: Helm, release: Callable[[Helm], Release], tmp_path: Path
) -> None:
    run.work()
    values = values_files.load(chart, overrides=VALUES)
    declaration = declare(values, namespace=namespace)
    proposals = rightsize(run.trace(len(WORKLOAD)), declaration)
    catalogue = Catalogue.load(chart / "files" / "risk-catalogue.json")
    file = tmp_path / "rightsized.yaml"
    file.write_text(snippet(change(proposals, declaration, values, catalogue)))
    own = tmp_path / "values.yaml"
    own.write_text(yaml.safe_dump(VALUES))

    unused = {
        (one.name, atom)
        for proposal in proposals
        if not proposal.unchanged_reason
        for one in proposal.identities
        for atom in proposal.unused[namespace]
    }
    assert {agent for agent, _ in unused} == {
        *("reader", "writer", "deployer", "triage-1", "triage-2", "shopper", "looker", "agent-proxy")
    }
    assert all(run.may(agent, atom) for agent, atom in unused)
    release(helm).upgrade(Values.read([own, file]))
    eventually(lambda: not any(run.may(agent, atom) for agent, atom in unused))
    run.work()

    after = declare(values_files.load(chart, [own, file]), namespace=namespace)
    again = rightsize(run.trace(2 * len(WORKLOAD)), after)
    assert [one.entry for one in again if one.narrower] == []
    assert {one.entry for one in again if not one.unchanged_reason} == {*VALUES["agents"], "proxy"} - {"idle"}
    assert run.may("idle", PolicyRule(("delete",), ("",), ("configmaps",)))


def test_the_commands_print_the_same_results(run: TracedRun, tmp_path: Path) -> None:
    run.work()
    run.trace(len(WORKLOAD))
    own = tmp_path / "values.yaml"
    own.write_text(yaml.safe_dump(VALUES))

    def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-c", "from agent_identities.cli import main; main()", *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, check=False, env=os.environ, timeout=120)

    where = (run.log, "-f", own, "-n", run.namespace)
    done = command("trace", *where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(WORKLOAD)} requests of {len({move.agent for move in WORKLOAD})} agents" in done.stdout
    assert "100 % attributed" in done.stdout
    proposed = command("rightsize", *where, "-o", "snippet")
    assert proposed.returncode == 0, proposed.stderr
    assert set(yaml.safe_load(proposed.stdout)["agents"]) == {
        *("reader", "writer", "deployer", "triage", "shopper", "looker")
    }
