"""`agent-identities attack` with the chart's guards: a guard refuses the requests that RBAC allows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_identities.attack.result import Attack
from agent_identities.attack.run import attack
from agent_identities.attack.tokens import TokenStatus
from agent_identities.attack.verdict import Outcome
from agent_identities.chart import values
from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from agent_identities.declaration import Declaration, declare
from agent_identities.kube.client import Api
from agent_identities.kube.kubeconfig import load
from agent_identities.rbac import Catalogue
from support.guarded import Guarded, pod
from support.server import Json, Server, eventually

MakeRelease = Callable[[Helm], Release]
GIVEN: Json = {"guards": {"enabled": True}, "agents": {"attacker": {}, "victim": {}, "bystander": {}}}
CREATE_PODS: Json = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}


@pytest.fixture
def guarded(server: Server, release: MakeRelease, helm: Helm, namespace: str) -> Guarded:
    """All guards, in force."""
    release(helm).install(Values(overrides=GIVEN))
    made = Guarded(server, namespace, f"agents.{namespace}.default-account")
    path = made.path("pods")
    eventually(lambda: made.refuses(server.request("POST", path, pod(None))))
    return made


@pytest.fixture
def declaration(chart: Path, cluster: Cluster, namespace: str) -> Declaration:
    return declare(values.load(chart, overrides=GIVEN), namespace=namespace, kube_version=cluster.version)


def attacked(
    kubeconfig: Path, context: str | None, chart: Path, declaration: Declaration, only: tuple[str, ...]
) -> Attack:
    catalogue = Catalogue.load(chart / "files" / "risk-catalogue.json")
    with Api(load(kubeconfig, context)) as api:
        return attack(api, declaration, catalogue, only=only)


def test_an_agent_that_can_create_pods_cannot_run_them_as_another_agent(
    guarded: Guarded, cluster: Cluster, chart: Path, declaration: Declaration
) -> None:
    """The run finds the right to create pods. The guard run-as refuses pods that run as a sibling or as the proxy."""
    guarded.account("attacker", CREATE_PODS)
    attacker = guarded.server.with_token(guarded.server.token(guarded.namespace, "attacker"))
    eventually(lambda: "run-as" in attacker.request("POST", guarded.path("pods"), pod("victim"))[1].get("message", ""))
    found = attacked(cluster.kubeconfig, cluster.context, chart, declaration, ("attacker",))
    stopped = {(each.request.id, each.verdict.how.split(": ")[0]) for each in found.of(Outcome.GUARD)}
    assert ("sibling-pod-as", f"ValidatingAdmissionPolicy agents.{guarded.namespace}.run-as") in stopped
    assert not any(each.request.id in ("sibling-pod-as", "pod-as-sibling") for each in found.of(Outcome.UNEXPECTED))
    assert {each.request.needs.action for each in found.of(Outcome.GUARD)} == {"create pods"}


def test_token_requests_that_the_tokens_guard_refuses_are_reported(
    guarded: Guarded, cluster: Cluster, chart: Path, declaration: Declaration, tmp_path: Path
) -> None:
    """A user who can create tokens, but not the agents' tokens: the run reports the reason and proves nothing."""
    guarded.server.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": guarded.namespace}})
    guarded.account(guarded.namespace, namespace="default")
    try:
        kubeconfig = as_account(cluster, guarded.server.token("default", guarded.namespace), tmp_path)
        found = attacked(kubeconfig, None, chart, declaration, ("attacker", "victim"))
    finally:
        guarded.server.delete(f"/api/v1/namespaces/default/serviceaccounts/{guarded.namespace}")
    assert [one.token_status for one in found.holders] == [TokenStatus.REFUSED] * 2
    assert all(f"ValidatingAdmissionPolicy agents.{guarded.namespace}.tokens" in one.note for one in found.holders)
    assert found.inconclusive
    assert not found.ok
    assert f"agents.{guarded.namespace}.tokens" in found.to_markdown()


def as_account(cluster: Cluster, token: str, folder: Path) -> Path:
    """The cluster's kubeconfig, with this token instead of the administrator's credentials."""
    content: dict[str, Any] = yaml.safe_load(cluster.kubeconfig.read_text())
    current = cluster.context or content["current-context"]
    context = next(each["context"] for each in content["contexts"] if each["name"] == current)
    content["users"] = [{"name": context["user"], "user": {"token": token}}]
    content["current-context"] = current
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path
