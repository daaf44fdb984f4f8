"""The risk catalogue on a real API server: writes that become other rights, and the writes that the server serves."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.rbac import Catalogue, PolicyRule
from support.server import Json, Server, eventually

IMAGE = "registry.k8s.io/pause:3.10.1"
STOLEN = "registry.k8s.io/stolen:1"
VICTIM = "payments"
MakeRelease = Callable[[Helm], Release]


@pytest.fixture(scope="module")
def catalogue(chart: Path) -> Catalogue:
    return Catalogue.load(chart / "files" / "risk-catalogue.json")


class Attacker:
    """An agent of a release with one tier, asked with a token of its own. Its namespace has the account of a victim."""

    def __init__(self, server: Server, namespace: str) -> None:
        self.admin = server
        self.namespace = namespace
        self.agent = server.with_token(server.token(namespace, "bot"))
        server.create(self.path("serviceaccounts"), {"metadata": {"name": VICTIM}})

    def path(self, resource: str, name: str = "", group: str = "/api/v1") -> str:
        return f"{group}/namespaces/{self.namespace}/{resource}" + (f"/{name}" if name else "")

    def images_of_the_victim(self) -> set[str]:
        """The images of the pods that run with the account of the victim."""
        return {
            pod["spec"]["containers"][0]["image"]
            for pod in self.admin.items(self.path("pods"))
            if pod["spec"].get("serviceAccountName") == VICTIM
        }

    def may_not_create_pods(self) -> bool:
        return self.agent.request("POST", self.path("pods"), {"metadata": {"name": "x"}})[0] == 403


@pytest.fixture
def attacker(
    server: Server, release: MakeRelease, helm: Helm, namespace: str
) -> Iterator[Callable[[list[Json], dict[str, str]], Attacker]]:
    """Installs an agent with these rules and accepted risks."""
    made: list[Release] = []

    def install(rules: list[Json], risks: dict[str, str]) -> Attacker:
        values: dict[str, Any] = {
            "tiers": {"t": {"rules": rules, "acceptRisks": risks}},
            "agents": {"bot": {"tiers": ["t"]}},
        }
        made.append(release(helm))
        made[0].install(Values(overrides=values))
        return Attacker(server, namespace)

    yield install
    for each in made:
        each.uninstall()


def template(image: str = IMAGE) -> Json:
    containers = [{"name": "c", "image": image}]
    return {"metadata": {"labels": {"app": "db"}}, "spec": {"serviceAccountName": VICTIM, "containers": containers}}


def test_a_controller_revision_becomes_a_pod_with_the_account_of_a_stateful_set(
    attacker: Callable[[list[Json], dict[str, str]], Attacker],
) -> None:
    """The StatefulSet controller creates the pods below the partition from a revision, not from the StatefulSet."""
    revise = {"apiGroups": ["apps"], "resources": ["controllerrevisions"], "verbs": ["get", "list", "create", "delete"]}
    restart = {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]}
    one = attacker([revise, restart], {"workload-template-write": "a test"})
    apps = "/apis/apps/v1"
    spec = {
        "serviceName": "db",
        "replicas": 1,
        "selector": {"matchLabels": {"app": "db"}},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
        "template": template(),
    }
    made = one.admin.create(one.path("statefulsets", group=apps), {"metadata": {"name": "db"}, "spec": spec})
    eventually(one.images_of_the_victim)
    one.admin.patch(one.path("statefulsets", "db", apps), {"spec": {"template": template(f"{IMAGE}-next")}})
    revisions = one.path("controllerrevisions", group=apps)
    eventually(lambda: len(one.agent.items(revisions)) == 2)
    (first,) = [each for each in one.agent.items(revisions) if each["revision"] == 1]

    assert one.may_not_create_pods()
    one.agent.delete(f"{revisions}/{first['metadata']['name']}")
    first["data"]["spec"]["template"]["spec"]["containers"][0]["image"] = STOLEN
    kept = {key: first["metadata"][key] for key in ("name", "labels")}
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": made["metadata"]["uid"]}
    first["metadata"] = {**kept, "ownerReferences": [{**owner, "controller": True}]}
    one.agent.create(revisions, first)
    one.agent.delete(one.path("pods", "db-0") + "?gracePeriodSeconds=0")
    eventually(lambda: one.images_of_the_victim() == {STOLEN})


def test_a_job_becomes_a_pod_with_another_account(
    attacker: Callable[[list[Json], dict[str, str]], Attacker],
) -> None:
    create = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}
    one = attacker([create], {"workload-write": "a test"})
    assert one.may_not_create_pods()
    pod = template(STOLEN)
    pod["spec"]["restartPolicy"] = "Never"
    job = {"metadata": {"name": "mine"}, "spec": {"template": {"spec": pod["spec"]}}}
    one.agent.create(one.path("jobs", group="/apis/batch/v1"), job)
    eventually(lambda: one.images_of_the_victim() == {STOLEN})


def test_a_write_of_any_config_map_replaces_the_trust_anchor_of_the_pods(
    attacker: Callable[[list[Json], dict[str, str]], Attacker],
) -> None:
    every = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}
    one = attacker([every], {"configmap-write": "a test"})
    anchor = one.path("configmaps", "kube-root-ca.crt")
    eventually(lambda: one.admin.request("GET", anchor)[0] == 200)
    assert one.agent.patch(anchor, {"data": {"ca.crt": "of the attacker"}, "immutable": True})[0] == 200
    assert one.admin.get(anchor)["data"]["ca.crt"] == "of the attacker"


def test_the_catalogue_knows_every_write_that_the_api_server_serves(server: Server, catalogue: Catalogue) -> None:
    groups: dict[str, str] = {"": "/api/v1"} | {
        group["name"]: f"/apis/{group['preferredVersion']['groupVersion']}" for group in server.get("/apis")["groups"]
    }
    built_in = {name: path for name, path in groups.items() if not name or name.endswith(".k8s.io") or "." not in name}
    writes = [
        PolicyRule((verb,), (name,), (resource["name"],))
        for name, path in built_in.items()
        for resource in server.get(path)["resources"]
        for verb in resource["verbs"]
        if verb not in ("get", "list", "watch")
    ]
    assert len(writes) > 200
    unknown = [
        write
        for write in writes
        for match in catalogue.findings([write], cluster_wide=True, namespace="")
        if match.risk.id == "unknown-kind-write"
    ]
    assert unknown == []
