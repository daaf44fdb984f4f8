"""Grants in other namespaces, in the cluster and on an agent's own objects; existing roles and ServiceAccounts."""

from collections.abc import Callable, Iterator

import pytest

from agent_identities.chart.helm import Helm, HelmError, Release
from agent_identities.chart.values import Values
from support.server import RBAC, Json, Server

MakeRelease = Callable[[Helm], Release]
READ_PODS = {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]}
READ_NODES = {"scope": "Cluster", "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]}
OWN_STATE = {
    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["{agent}-state"], "verbs": ["get"]}]
}
BOTH_KINDS = pytest.mark.parametrize("bindings", ["perAgent", "perTier"])


@pytest.fixture
def elsewhere(server: Server, namespace: str) -> Iterator[str]:
    """The namespace of another team."""
    name = f"{namespace}-team"
    server.make_namespace(name)
    yield name
    server.delete(f"/api/v1/namespaces/{name}")


def install(release: Release, tiers: Json, agents: Json, bindings: str = "perAgent") -> None:
    release.install(Values(overrides={"tiers": tiers, "agents": agents, "bindings": bindings}))


def asks(server: Server, namespace: str, agent: str, path: str) -> int:
    """The HTTP status of a request with the agent's token."""
    return server.with_token(server.token(namespace, agent)).request("GET", path)[0]


@BOTH_KINDS
def test_a_grant_in_another_namespace_applies_only_there(
    server: Server, release: MakeRelease, helm: Helm, namespace: str, elsewhere: str, bindings: str
) -> None:
    agents = {"a": {"tiers": [], "namespaces": {elsewhere: ["reader"]}}, "b": {"tiers": []}}
    install(release(helm), {"reader": READ_PODS}, agents, bindings)
    pods = "/api/v1/namespaces/{}/pods"
    assert asks(server, namespace, "a", pods.format(elsewhere)) == 200
    assert asks(server, namespace, "a", pods.format(namespace)) == 403
    assert asks(server, namespace, "a", pods.format("default")) == 403
    assert asks(server, namespace, "b", pods.format(elsewhere)) == 403


@BOTH_KINDS
def test_a_tier_of_scope_cluster_grants_cluster_scoped_resources(
    server: Server, release: MakeRelease, helm: Helm, namespace: str, bindings: str
) -> None:
    agents = {"a": {"tiers": ["nodes"]}, "b": {"tiers": []}}
    install(release(helm), {"nodes": READ_NODES}, agents, bindings)
    assert asks(server, namespace, "a", "/api/v1/nodes") == 200
    assert asks(server, namespace, "b", "/api/v1/nodes") == 403
    release(helm).uninstall()
    left = server.names(f"{RBAC}/clusterroles") | server.names(f"{RBAC}/clusterrolebindings")
    assert [name for name in left if namespace in name] == []


def test_a_tier_of_scope_cluster_is_named_in_the_notes(release: MakeRelease, helm: Helm) -> None:
    values = {"tiers": {"nodes": READ_NODES}, "agents": {"a": {"tiers": ["nodes"]}}}
    assert "the tier nodes has scope Cluster" in release(helm).install(Values(overrides=values))


@BOTH_KINDS
def test_an_agent_can_access_its_own_object_and_not_a_siblings(
    server: Server, release: MakeRelease, helm: Helm, namespace: str, bindings: str
) -> None:
    install(release(helm), {"own": OWN_STATE}, {"t": {"instances": 2, "tiers": ["own"]}}, bindings)
    configmaps = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in ("t-1-state", "t-2-state"):
        server.create(configmaps, {"metadata": {"name": name}})
    assert asks(server, namespace, "t-1", f"{configmaps}/t-1-state") == 200
    assert asks(server, namespace, "t-1", f"{configmaps}/t-2-state") == 403
    assert asks(server, namespace, "t-2", f"{configmaps}/t-2-state") == 200


@BOTH_KINDS
def test_an_existing_role_is_bound_and_not_changed(
    server: Server, release: MakeRelease, helm: Helm, namespace: str, bindings: str
) -> None:
    tiers = {"viewer": {"existingRole": {"kind": "ClusterRole", "name": "view"}}}
    install(release(helm), tiers, {"a": {"tiers": ["viewer"]}}, bindings)
    assert asks(server, namespace, "a", f"/api/v1/namespaces/{namespace}/configmaps") == 200
    assert asks(server, namespace, "a", f"/api/v1/namespaces/{namespace}/secrets") == 403
    release(helm).uninstall()
    assert "view" in server.names(f"{RBAC}/clusterroles")


def test_an_existing_service_account_is_bound_and_not_changed(
    server: Server, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    server.make_namespace(namespace)
    account = server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "theirs"}})
    agent = {"serviceAccount": {"create": False, "name": "theirs"}, "tiers": ["reader"]}
    install(release(helm), {"reader": READ_PODS}, {"a": agent})
    assert asks(server, namespace, "theirs", f"/api/v1/namespaces/{namespace}/pods") == 200
    release(helm).uninstall()
    left = server.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/theirs")
    assert left["metadata"]["uid"] == account["metadata"]["uid"]


def test_all_objects_are_in_the_namespace_override(
    server: Server, release: MakeRelease, helm: Helm, namespace: str, elsewhere: str
) -> None:
    values = {"namespaceOverride": elsewhere, "imagePullSecrets": [{"name": "regcred"}], "agents": {"a": {}}}
    release(helm).install(Values(overrides=values))
    account = server.get(f"/api/v1/namespaces/{elsewhere}/serviceaccounts/a")
    assert account["imagePullSecrets"] == [{"name": "regcred"}]
    assert server.names(f"/api/v1/namespaces/{namespace}/serviceaccounts") == {"default"}
    assert asks(server, elsewhere, "a", f"/api/v1/namespaces/{elsewhere}/pods") == 200


@pytest.mark.parametrize(
    ("tiers", "agent", "message"),
    [
        ({"reader": READ_PODS}, {"namespaces": {"Team_A": ["reader"]}}, "Team_A"),
        ({"reader": READ_PODS}, {"namespaces": {"team-a": []}}, "minItems"),
        ({"nodes": READ_NODES}, {"namespaces": {"team-a": ["nodes"]}}, "has scope: Cluster"),
        ({"own": {**OWN_STATE, "scope": "Cluster"}}, {"tiers": ["own"]}, "has scope: Cluster and {agent}"),
    ],
)
def test_an_invalid_grant_is_refused_before_any_write(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str, tiers: Json, agent: Json, message: str
) -> None:
    with pytest.raises(HelmError) as error:
        install(release(either_helm), tiers, {"a": agent})
    assert message in str(error.value)
    assert namespace not in server.names("/api/v1/namespaces")
