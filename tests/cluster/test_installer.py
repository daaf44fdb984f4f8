"""The Role of docs/installer.yaml, in the agents' namespace, is sufficient to install the chart."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.chart import yaml
from agent_identities.chart.helm import Helm, HelmError, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support.server import RBAC, Json, Server

REPOSITORY = Path(__file__).parents[2]
MakeRelease = Callable[[Helm], Release]
WORKLOAD = {"image": "registry.example/agent:1"}
AGENTS: Json = {
    "a": {"workload": WORKLOAD},
    "p": {"access": "proxied"},
    "q": {"quarantined": True},
    "own": {"tiers": ["own"]},
}
OWN = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["{agent}-state"], "verbs": ["get"]}


def values(**overrides: object) -> Values:
    return Values(overrides={"tiers": {"own": {"rules": [OWN]}}, "agents": AGENTS, **overrides})


@pytest.fixture
def installer(server: Server, cluster: Cluster, namespace: str, tmp_path: Path) -> Path:
    """The kubeconfig of a user with the Role of docs/installer.yaml in one namespace and no other rights."""
    role = yaml.load((REPOSITORY / "docs" / "installer.yaml").read_text(), name="installer.yaml")
    name = role["metadata"]["name"]
    server.make_namespace(namespace)
    server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "installer"}})
    server.create(f"{RBAC}/namespaces/{namespace}/roles", role)
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "installer", "namespace": namespace}],
    }
    server.create(f"{RBAC}/namespaces/{namespace}/rolebindings", binding)
    config = yaml.load(cluster.kubeconfig.read_text(), name="kubeconfig")
    user = {"token": server.token(namespace, "installer")}
    config["users"] = [{"name": entry["name"], "user": user} for entry in config["users"]]
    path = tmp_path / "installer.kubeconfig"
    path.write_text(json.dumps(config))
    return path


def test_the_installer_role_can_install_upgrade_roll_back_and_uninstall(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str, installer: Path
) -> None:
    admin = release(either_helm)
    ours = Release(either_helm, admin.chart, admin.name, namespace, installer)
    ours.install(values(), create_namespace=False)
    ours.upgrade(values(bindings="perTier"))
    ours.rollback(1)
    ours.uninstall()
    assert server.names(f"/api/v1/namespaces/{namespace}/serviceaccounts") == {"default", "installer"}


def test_the_role_in_both_namespaces_installs_a_release_of_another_namespace(
    server: Server, release: MakeRelease, helm: Helm, namespace: str, installer: Path
) -> None:
    agents = f"{namespace}-agents"
    server.make_namespace(agents)
    try:
        roles = f"{RBAC}/namespaces/{namespace}"
        for kind in ("roles", "rolebindings"):
            made = server.get(f"{roles}/{kind}/agent-identities-installer")
            made["metadata"] = {"name": made["metadata"]["name"]}
            server.create(f"{RBAC}/namespaces/{agents}/{kind}", made)
        ours = Release(helm, release(helm).chart, "agents", namespace, installer)
        ours.install(values(namespaceOverride=agents), create_namespace=False)
        ours.upgrade(values(namespaceOverride=agents, bindings="perTier"))
        ours.uninstall()
        assert server.names(f"/api/v1/namespaces/{agents}/serviceaccounts") == {"default"}
    finally:
        server.delete(f"/api/v1/namespaces/{agents}")


@pytest.mark.parametrize("missing", ["escalate", "bind"])
def test_without_escalate_or_bind_the_api_server_refuses(
    server: Server, release: MakeRelease, helm: Helm, namespace: str, installer: Path, missing: str
) -> None:
    role = server.get(f"{RBAC}/namespaces/{namespace}/roles/agent-identities-installer")
    for rule in role["rules"]:
        rule["verbs"] = [verb for verb in rule["verbs"] if verb != missing]
    role["rules"] = [rule for rule in role["rules"] if rule["verbs"]]
    status, _ = server.request("PUT", f"{RBAC}/namespaces/{namespace}/roles/agent-identities-installer", role)
    assert status == 200
    ours = Release(helm, release(helm).chart, "agents", namespace, installer)
    with pytest.raises(HelmError, match="attempting to grant RBAC permissions not currently held"):
        ours.install(values(), create_namespace=False)


@pytest.mark.parametrize(
    "more",
    [
        {"guards": {"enabled": True}},
        {"priorityAndFairness": {"enabled": True}},
        {"tiers": {"nodes": {"scope": "Cluster", "rules": [{**OWN, "resourceNames": ["one"]}]}}, "agents": {}},
    ],
    ids=["guards", "fair share", "scope Cluster"],
)
def test_cluster_scoped_features_require_more_rights(
    release: MakeRelease, helm: Helm, namespace: str, installer: Path, more: Json
) -> None:
    ours = Release(helm, release(helm).chart, "agents", namespace, installer)
    with pytest.raises(HelmError, match="is forbidden"):
        ours.install(values(**more), create_namespace=False)
