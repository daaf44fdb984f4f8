"""docs/namespaces.md: ten releases in ten namespaces, from the list and the common values of the page."""

import re
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart import values as values_of
from agent_identities.chart import yaml
from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from agent_identities.declaration import declare
from agent_identities.kube.client import Api
from agent_identities.verify.run import verify
from support.guarded import pod
from support.installed import installed
from support.namespaces import remove
from support.server import RBAC, Json, Server, eventually

PAGE = Path(__file__).parents[2] / "docs" / "namespaces.md"
COUNT = 10


def written(name: str) -> Json:
    """The YAML that the page shows for a file."""
    block = re.search(rf"`{re.escape(name)}` has .*?```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert block, f"no block for {name}"
    found: Json = yaml.load(block[1], name=name)
    return found


@dataclass(frozen=True)
class Fleet:
    """One release for each namespace of a list."""

    server: Server
    cluster: Cluster
    chart: Path
    helm: Helm
    agents: dict[str, Json]

    @cached_property
    def releases(self) -> dict[str, Release]:
        return {
            name: Release(self.helm, self.chart, "agents", name, self.cluster.kubeconfig, self.cluster.context)
            for name in self.agents
        }

    def values(self, namespace: str, **changed: Json) -> Values:
        """The common values, and the agents of one namespace, with some of them changed."""
        agents = {name: agent | changed.get(name, {}) for name, agent in self.agents[namespace].items()}
        return Values(overrides=written("common.yaml") | {"agents": agents})

    def objects(self, namespace: str) -> dict[Any, tuple[str, str]]:
        """Each object of a release, with what changes at each write."""
        return {
            key: (item["metadata"]["uid"], item["metadata"]["resourceVersion"])
            for key, item in installed(self.server, self.releases[namespace]).items()
        }

    def create_pod(self, namespace: str, account: str | None) -> tuple[int, str]:
        """(status, message) of a pod in a dry run, as a user who may create pods but not use agents."""
        who = self.server.as_user(f"dev@{self.prefix}")
        status, answer = who.request("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", pod(account))
        return status, answer.get("message", "")

    def is_guarded(self, namespace: str) -> bool:
        """Whether the guard run-as of this namespace refuses a pod that runs as an agent."""
        return f"'agents.{namespace}.run-as'" in self.create_pod(namespace, "triage")[1]

    @property
    def prefix(self) -> str:
        return next(iter(self.agents)).rpartition("-")[0]


@pytest.fixture(params=["helm_4", "helm_3"])
def fleet(request: pytest.FixtureRequest, server: Server, cluster: Cluster, chart: Path) -> Iterator[Fleet]:
    """The two namespaces of the page's list, and as many copies of the first as make ten."""
    prefix = f"ns-{uuid.uuid4().hex[:6]}"
    names = [f"{prefix}-{number}" for number in range(COUNT)]
    first, second = written("agents.yaml").values()
    second["triage"]["namespaces"] = {names[0]: second["triage"]["namespaces"].pop("team-a")}
    agents = {name: second if number == 1 else first for number, name in enumerate(names)}
    helm: Helm = request.getfixturevalue(request.param)
    made = Fleet(server, cluster, chart, helm, agents)
    with ExitStack() as stack:
        for name in names:
            stack.callback(remove, server, name)
        for name, release in made.releases.items():
            release.install(made.values(name))
        yield made


def test_ten_releases_from_one_list_are_separate(fleet: Fleet) -> None:
    server, names = fleet.server, list(fleet.agents)
    keys = [set(fleet.objects(name)) for name in names]
    assert all(len(found) > 10 for found in keys)
    assert len(set().union(*keys)) == sum(map(len, keys)), "two releases own the same object"
    _assert_verified(fleet)
    _assert_no_rights_in_other_namespaces(fleet)
    _assert_guards_hold_in_their_namespace_only(fleet)

    suspect = names[3]
    before = {name: fleet.objects(name) for name in names}
    fleet.releases[suspect].upgrade(fleet.values(suspect, triage={"quarantined": True}))
    assert "triage" not in server.names(f"/api/v1/namespaces/{suspect}/serviceaccounts")
    for name in set(names) - {suspect}:
        assert fleet.objects(name) == before[name], f"{name} changed"
        assert "triage" in server.names(f"/api/v1/namespaces/{name}/serviceaccounts")

    fleet.releases[suspect].uninstall()
    assert fleet.objects(suspect) == {}
    for name in set(names) - {suspect}:
        assert fleet.objects(name) == before[name], f"{name} changed"


def _assert_verified(fleet: Fleet) -> None:
    with Api(fleet.cluster.access) as api:
        for name in fleet.agents:
            overrides = fleet.values(name).overrides
            declaration = declare(values_of.load(fleet.chart, overrides=overrides), namespace=name)
            found = verify(api, declaration)
            assert found.ok, (name, [str(each) for each in found.findings])


def _assert_no_rights_in_other_namespaces(fleet: Fleet) -> None:
    """Each agent may list pods at home; in another namespace only the agent of the page that the list allows."""
    names = list(fleet.agents)
    for home in names:
        user = fleet.server.as_account(home, "triage")
        found = [name for name in names if user.request("GET", f"/api/v1/namespaces/{name}/pods")[0] == 200]
        assert found == ([names[0], home] if home == names[1] else [home])
    proxy = fleet.server.as_account(names[0], "agent-proxy")
    for home in names:
        body = {
            "spec": {
                "user": f"system:serviceaccount:{names[0]}:agent-proxy",
                "resourceAttributes": {
                    "verb": "impersonate:serviceaccount",
                    "group": "authentication.k8s.io",
                    "resource": "serviceaccounts",
                    "namespace": home,
                    "name": "shopper",
                },
            }
        }
        review = fleet.server.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
        assert review["status"]["allowed"] is (home == names[0]), home
    assert proxy.request("GET", f"/api/v1/namespaces/{names[2]}/pods")[0] == 403


def _assert_guards_hold_in_their_namespace_only(fleet: Fleet) -> None:
    names = list(fleet.agents)
    other = f"{fleet.prefix}-other"
    fleet.server.make_namespace(other, test=other)
    try:
        rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}
        meta = {"name": fleet.prefix, "labels": {"test": names[0]}}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"dev@{fleet.prefix}"}
        ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": fleet.prefix}
        fleet.server.create(f"{RBAC}/clusterroles", {"metadata": meta, "rules": [rule]})
        fleet.server.create(f"{RBAC}/clusterrolebindings", {"metadata": meta, "roleRef": ref, "subjects": [subject]})
        eventually(lambda: fleet.create_pod(other, "default")[0] == 201)
        for name in names:
            eventually(partial(fleet.is_guarded, name))
            status, message = fleet.create_pod(name, None)
            assert status == 403
            policies = set(re.findall(r"agents\.([\w-]+)\.", message))
            assert policies == {name}, message
    finally:
        fleet.server.delete(f"/api/v1/namespaces/{other}")
