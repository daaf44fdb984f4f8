"""Upgrades between some forms of a tier. `render/test_tier_forms.py` compares all forms without a server."""

from collections.abc import Callable

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from support.every_pair import every_pair
from support.server import RBAC, Json, Server
from support.tier_forms import form

MakeRelease = Callable[[Helm], Release]

FORMS: dict[str, Json] = {
    "rules": form("rules"),
    "Role": form("Role of the chart's name", "of others"),
    "ClusterRole, shared": form("ClusterRole of the chart's name", bindings="perTier"),
    "ClusterRole for the cluster": form("ClusterRole for the cluster"),
}


def test_a_tier_can_change_its_form(server: Server, release: MakeRelease, either_helm: Helm, namespace: str) -> None:
    ours = release(either_helm)
    steps = list(every_pair(list(FORMS)))
    ours.install(_in_one_namespace(FORMS[steps[0][0]]))
    for _, after in steps:
        ours.upgrade(_in_one_namespace(FORMS[after]), "--history-max=2")
        bound = server.items(f"{RBAC}/namespaces/{namespace}/rolebindings")
        wide = [
            item
            for item in server.items(f"{RBAC}/clusterrolebindings")
            if item["metadata"]["name"].startswith(f"{namespace}:")
        ]
        role = FORMS[after]["tiers"]["t"].get("existingRole", {"kind": "Role", "name": "t-role"})
        refs = {(item["roleRef"]["kind"], item["roleRef"]["name"]) for item in (*bound, *wide)}
        assert refs == {("Role", "agent-proxy-role"), (role["kind"], role["name"])}, after


def _in_one_namespace(values: Json) -> Values:
    """Without grants in other namespaces, which do not exist on the server."""
    agents = {
        name: {key: each for key, each in agent.items() if key != "namespaces"}
        for name, agent in values["agents"].items()
    }
    return Values(overrides={**values, "agents": agents})


def test_an_upgrade_keeps_the_number_of_pods_that_an_autoscaler_set(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str
) -> None:
    workload = {"image": "registry.example/agent:1"}
    ours = release(either_helm)
    ours.install(Values(overrides={"agents": {"worker": {"workload": workload}, "suspect": {}}}))
    deployment = f"/apis/apps/v1/namespaces/{namespace}/deployments/worker"
    assert server.get(deployment)["spec"]["replicas"] == 1
    server.patch(f"{deployment}/scale", {"spec": {"replicas": 5}})
    for values in (
        {"worker": {"workload": workload}, "suspect": {"quarantined": True}},
        {"worker": {"workload": {**workload, "replicas": None, "args": ["--verbose"]}}, "suspect": {"enabled": False}},
    ):
        ours.upgrade(Values(overrides={"agents": values}))
        assert server.get(deployment)["spec"]["replicas"] == 5
    names = {item["metadata"]["name"] for item in server.items(f"/api/v1/namespaces/{namespace}/serviceaccounts")}
    assert "suspect" not in names
