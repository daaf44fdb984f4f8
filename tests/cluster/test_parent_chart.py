"""The example parent chart on a real API server: its own pods run as agents."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_identities import quarantine, quarantine_all
from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support import parent_chart
from support.server import Json, Server, eventually

MakeParent = Callable[[Helm], Release]


@pytest.fixture
def parent(chart: Path, cluster: Cluster, namespace: str, tmp_path: Path) -> MakeParent:
    def make(helm: Helm) -> Release:
        folder = parent_chart.build(helm, chart, tmp_path)
        return Release(helm, folder, "parent", namespace, cluster.kubeconfig, cluster.context)

    return make


def values(**agents: Any) -> Values:
    return Values(overrides={"agent-identities": {"agents": agents}} if agents else {})


def pod_of(server: Server, namespace: str, agent: str) -> Json:
    path = f"/api/v1/namespaces/{namespace}/pods?labelSelector=agent-identities/agent%3D{agent}"
    return eventually(lambda: server.items(path))[0]


def lifetimes(pod: Json) -> dict[str, tuple[str, int]]:
    """Path in the pod -> (audience, seconds) of each requested token."""
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    return {
        f"{mounts[volume['name']]}/{token['path']}": (token.get("audience", ""), token["expirationSeconds"])
        for volume in pod["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        if (token := source.get("serviceAccountToken"))
    }


def test_the_parents_pods_run_as_agents_with_short_lived_tokens(
    server: Server, parent: MakeParent, either_helm: Helm, namespace: str
) -> None:
    parent(either_helm).install(values())
    for agent in ("triage-1", "triage-2"):
        pod = pod_of(server, namespace, agent)
        assert pod["spec"]["serviceAccountName"] == agent
        assert lifetimes(pod) == {
            "/var/run/secrets/kubernetes.io/serviceaccount/token": ("", 900),
            "/var/run/secrets/tokens/vault": ("vault.example", 600),
        }


def test_the_parents_cron_job_runs_as_its_agent(
    server: Server, parent: MakeParent, either_helm: Helm, namespace: str
) -> None:
    parent(either_helm).install(values())
    cron_job = server.get(f"/apis/batch/v1/namespaces/{namespace}/cronjobs/reporter")
    template = cron_job["spec"]["jobTemplate"]["spec"]
    server.create(f"/apis/batch/v1/namespaces/{namespace}/jobs", {"metadata": {"name": "now"}, "spec": template})
    pod = pod_of(server, namespace, "reporter")
    assert pod["spec"]["serviceAccountName"] == "reporter"
    assert lifetimes(pod) == {"/var/run/secrets/kubernetes.io/serviceaccount/token": ("", 3600)}


def test_an_extra_token_is_valid_only_for_its_audience(
    server: Server, parent: MakeParent, helm: Helm, namespace: str
) -> None:
    parent(helm).install(values())
    pod = pod_of(server, namespace, "triage-1")["metadata"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}
    token = server.token(namespace, "triage-1", audiences=["vault.example"], boundObjectRef=bound)
    review = {"spec": {"token": token, "audiences": ["vault.example"]}}
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
    status = server.create(reviews, review)["status"]
    assert status["authenticated"]
    assert status["user"]["username"] == f"system:serviceaccount:{namespace}:triage-1"
    assert server.with_token(token).request("GET", "/version")[0] == 401
    assert not server.create(reviews, {"spec": {"token": token}})["status"].get("authenticated")


def test_a_quarantine_removes_the_parents_pods_and_does_not_change_siblings(
    server: Server, parent: MakeParent, either_helm: Helm, namespace: str
) -> None:
    ours = parent(either_helm)
    ours.install(values())
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    before = {item["metadata"]["name"]: item["metadata"]["uid"] for item in server.items(path)}
    ours.upgrade(values(triage={"quarantined": [2]}))
    after = {item["metadata"]["name"]: item["metadata"]["uid"] for item in server.items(path)}
    assert after == {"triage-1": before["triage-1"]}
    assert server.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/triage-2")[0] == 404
    closed = server.get(f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/triage-2")["spec"]
    assert not closed.get("egress")
    assert not closed.get("ingress")


def test_the_quarantine_prints_the_values_of_the_parent_chart(
    cluster: Cluster, parent: MakeParent, either_helm: Helm, namespace: str
) -> None:
    parent(either_helm).install(values())
    done = quarantine("triage-2", cluster, namespace=namespace, dry_run=True)
    assert done.values_change == {"agent-identities": {"agents": {"triage": {"quarantined": [2]}}}}
    assert "--set 'agent-identities.agents.triage.quarantined={2}'" in done.to_text()
    every = quarantine_all(cluster, namespace=namespace, dry_run=True)
    assert every.values_change == {"agent-identities": {"quarantined": True}}
