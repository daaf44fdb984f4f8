"""The API server accepts every NetworkPolicy and CiliumNetworkPolicy, and stores it as rendered.

No traffic is tested: a network plugin enforces policies, and no network plugin runs here.
"""

from collections.abc import Callable
from typing import Any

import pytest

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.names import AGENT_LABEL
from agent_identities.chart.values import Values
from support import cilium
from support.server import Json, Server, eventually

WORKLOAD = {"image": "registry.example/agent:1"}
NETWORK: Json = {
    "enabled": True,
    "apiServer": {"cidrs": ["10.96.0.1/32", "2001:db8::1/128"], "ports": [443, 6443]},
    "destinations": {
        "model-api": {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443}]},
        "internet": {
            "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}],
            "ports": [{"port": 8000, "endPort": 8010}],
        },
    },
    "sources": {"gateway": {"from": [{"podSelector": {"matchLabels": {"app": "g"}}}], "ports": [{"port": "http"}]}},
}
OPEN = {"network": {"egress": ["model-api", "internet"], "ingress": ["gateway"]}, "workload": WORKLOAD}

MakeRelease = Callable[[Helm], Release]


def policies(server: Server, namespace: str) -> dict[str, Json]:
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
    return {item["metadata"]["name"]: item for item in server.items(path)}


def values(network: bool, **agents: Any) -> Values:
    return Values(overrides={"network": NETWORK | {"enabled": network}, "agents": agents})


def closed(policy: Json) -> bool:
    """A policy for ingress and egress without rules: it denies all traffic."""
    spec = policy["spec"]
    return set(spec["policyTypes"]) == {"Ingress", "Egress"} and not spec.get("ingress") and not spec.get("egress")


def selected_pods(server: Server, namespace: str, policy: Json) -> set[str]:
    """The ServiceAccounts of the pods that the policy selects."""
    (label,) = (f"{key}%3D{value}" for key, value in policy["spec"]["podSelector"]["matchLabels"].items())
    pods = server.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector={label}")
    return {pod["spec"]["serviceAccountName"] for pod in pods}


def test_each_agents_policy_selects_only_its_pods(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str
) -> None:
    release(either_helm).install(values(True, a=OPEN, b={"workload": WORKLOAD}))
    made = policies(server, namespace)
    assert made.keys() == {"agent-proxy", "a", "b"}
    eventually(lambda: all(selected_pods(server, namespace, made[name]) for name in ("a", "b")))
    for name in ("a", "b"):
        assert selected_pods(server, namespace, made[name]) == {name}
    assert selected_pods(server, namespace, made["agent-proxy"]) == set()


def test_the_api_server_stores_every_rule_as_rendered(
    server: Server, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    release(helm).install(values(True, a=OPEN, b={}))
    spec = policies(server, namespace)["a"]["spec"]
    dns, api_server, model, internet = spec["egress"]
    assert {port["protocol"] for port in dns["ports"]} == {"UDP", "TCP"}
    assert [peer["ipBlock"]["cidr"] for peer in api_server["to"]] == ["10.96.0.1/32", "2001:db8::1/128"]
    assert model["ports"] == [{"port": 443, "protocol": "TCP"}]
    assert internet["to"] == NETWORK["destinations"]["internet"]["to"]
    assert internet["ports"] == [{"port": 8000, "endPort": 8010, "protocol": "TCP"}]
    assert [rule["ports"] for rule in spec["ingress"]] == [[{"port": "http", "protocol": "TCP"}]]
    plain = policies(server, namespace)["b"]["spec"]
    assert plain["egress"] == [dns, api_server]
    assert "ingress" not in plain


@pytest.mark.parametrize("network", [True, False])
def test_a_quarantine_denies_all_traffic_and_its_end_restores_the_policy(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str, network: bool
) -> None:
    ours = release(either_helm)
    ours.install(values(network, suspect=OPEN, sibling=OPEN))
    before = policies(server, namespace)
    assert ("suspect" in before) is network

    ours.upgrade(values(network, suspect=OPEN | {"quarantined": True}, sibling=OPEN))
    during = policies(server, namespace)
    assert closed(during["suspect"])
    assert during["suspect"]["spec"]["podSelector"]["matchLabels"] == {AGENT_LABEL: "suspect"}
    for name in before.keys() - {"suspect"}:
        assert during[name]["metadata"]["resourceVersion"] == before[name]["metadata"]["resourceVersion"], name

    ours.upgrade(values(network, suspect=OPEN, sibling=OPEN))
    after = policies(server, namespace)
    assert after.keys() == before.keys()
    assert {name: found["spec"] for name, found in after.items()} == {name: p["spec"] for name, p in before.items()}
    if network:  # the same object, so the agent always had a policy
        assert after["suspect"]["metadata"]["uid"] == during["suspect"]["metadata"]["uid"]
        assert before["suspect"]["metadata"]["uid"] == during["suspect"]["metadata"]["uid"]


NAMED: Json = NETWORK | {
    "provider": "cilium",
    "apiServer": {"cidrs": []},
    "destinations": NETWORK["destinations"]
    | {
        "vendor": {
            "to": [{"fqdn": "api.example.com"}, {"fqdn": "*.models.example.com"}, {"podSelector": {}}],
            "ports": [{"port": 443}, {"port": 8000, "endPort": 8010, "protocol": "UDP"}],
        }
    },
}


def of_cilium(server: Server, namespace: str) -> dict[str, Json]:
    path = f"/apis/cilium.io/v2/namespaces/{namespace}/ciliumnetworkpolicies"
    return {item["metadata"]["name"]: item["spec"] for item in server.items(path)}


def test_host_names_become_policies_of_cilium_and_a_quarantine_removes_them(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str
) -> None:
    cilium.define(server)
    agents: Json = {
        "a": {"network": {"egress": ["vendor"]}},
        "plain": {"network": {"egress": ["model-api"]}},
        "offline": {"network": {"egress": [], "apiServer": False}},
    }
    ours = release(either_helm)
    ours.install(Values(overrides={"network": NAMED, "agents": agents}))
    found = of_cilium(server, namespace)
    assert found.keys() == {"agent-proxy", "a", "plain"}
    *dns, vendor, api_server = found["a"]["egress"]
    assert found["a"]["endpointSelector"] == {"matchLabels": {AGENT_LABEL: "a"}}
    assert [rule["toPorts"][0]["rules"]["dns"] for rule in dns] == [[{"matchPattern": "*"}]] * 2
    assert vendor["toFQDNs"] == [{"matchName": "api.example.com"}, {"matchPattern": "*.models.example.com"}]
    assert vendor["toPorts"][0]["ports"] == [
        {"port": "443", "protocol": "TCP"},
        {"port": "8000", "endPort": 8010, "protocol": "UDP"},
    ]
    assert [rule["toEntities"] for rule in (api_server, *found["plain"]["egress"])] == [["kube-apiserver"]] * 2
    rules = policies(server, namespace)["a"]["spec"]["egress"]
    assert [rule["to"] for rule in rules] == [[{"podSelector": {}}]], "DNS and names only by way of Cilium's proxy"

    agents["a"] |= {"quarantined": True}
    ours.upgrade(Values(overrides={"network": NAMED, "agents": agents}))
    assert of_cilium(server, namespace).keys() == {"agent-proxy", "plain"}
    assert closed(policies(server, namespace)["a"])


def test_a_wrong_field_is_refused_by_the_definition(server: Server, namespace: str) -> None:
    cilium.define(server)
    server.make_namespace(namespace)
    path = f"/apis/cilium.io/v2/namespaces/{namespace}/ciliumnetworkpolicies?dryRun=All&fieldValidation=Strict"
    body: Json = {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "a"}}
    good = {"endpointSelector": {}, "egress": [{"toFQDNs": [{"matchName": "api.example.com"}]}]}
    server.create(path, body | {"spec": good})
    wrong: list[list[Json]] = [[{"matchName": "https://x"}], [{"name": "x"}], [{}]]
    for bad in wrong:
        assert server.request("POST", path, body | {"spec": {"egress": [{"toFQDNs": bad}]}})[0] in (400, 422)
