"""The NetworkPolicies that the chart renders. No traffic is tested, because the network plugin enforces policies."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from agent_identities.chart.helm import Renderer
from agent_identities.chart.names import AGENT_LABEL
from agent_identities.chart.objects import Objects, thaw
from agent_identities.chart.values import Values
from support.invalid_values import ON, SOURCES

METADATA = ip_address("169.254.169.254")


def render(renderer: Renderer, network: dict[str, Any] | None = None, **values: Any) -> Objects:
    return renderer.render(Values(overrides={"network": ON | (network or {}), **values})).objects


def policy(objects: Objects, name: str) -> dict[str, Any]:
    found = objects.find("NetworkPolicy", name)
    assert found is not None
    spec: dict[str, Any] = thaw(found.body["spec"])
    return spec


def blocks(spec: dict[str, Any]) -> dict[str, list[int]]:
    """Address block -> the allowed ports."""
    return {
        peer["ipBlock"]["cidr"]: [port["port"] for port in rule["ports"]]
        for rule in spec.get("egress", ())
        for peer in rule["to"]
        if "ipBlock" in peer
    }


def selected(spec: dict[str, Any]) -> list[dict[str, str]]:
    """The labels of the pods that an agent can reach."""
    return [
        peer["podSelector"]["matchLabels"]
        for rule in spec.get("egress", ())
        for peer in rule["to"]
        if "podSelector" in peer
    ]


def test_no_policy_is_rendered_if_network_is_disabled(renderer: Renderer) -> None:
    assert not renderer.render(Values(overrides={"agents": {"a": {}}})).objects.of_kind("NetworkPolicy")


def test_each_agent_and_the_proxy_have_one_policy_for_ingress_and_egress(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {}, "t": {"instances": 2}, "p": {"access": "proxied"}})
    assert {found.name for found in objects.of_kind("NetworkPolicy")} == {"agent-proxy", "a", "t-1", "t-2", "p"}
    for found in objects.of_kind("NetworkPolicy"):
        spec = policy(objects, found.name)
        label = "agent-identities/proxy" if found.name == "agent-proxy" else AGENT_LABEL
        assert spec["podSelector"] == {"matchLabels": {label: found.name}}
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert "ingress" not in spec


def test_a_policy_selects_the_pods_that_the_chart_creates(renderer: Renderer) -> None:
    workload = {"image": "x:1"}
    objects = render(renderer, agents={"a": {"workload": workload}}, proxy={"workload": workload})
    for deployment in objects.of_kind("Deployment"):
        labels = deployment.body["spec"]["template"]["metadata"]["labels"]
        selector = policy(objects, deployment.name)["podSelector"]["matchLabels"]
        assert selector.items() <= labels.items()


def test_cluster_dns_and_node_local_dns_are_allowed(renderer: Renderer) -> None:
    dns = policy(render(renderer, agents={"a": {}}), "a")["egress"][0]
    pods, cache = dns["to"]
    assert pods["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kube-system"}
    assert pods["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}
    assert cache["ipBlock"]["cidr"] == "169.254.20.10/32"
    assert dns["ports"] == [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]


def test_the_service_and_the_endpoints_of_the_api_server_are_allowed(renderer: Renderer) -> None:
    opened = blocks(policy(render(renderer, agents={"a": {}}), "a"))
    assert opened["10.96.0.1/32"] == opened["192.0.2.10/32"] == [443, 6443]


def test_an_agent_without_api_server_access_cannot_reach_it(renderer: Renderer) -> None:
    agents = {"a": {"network": {"apiServer": False}}, "p": {"access": "proxied"}, "b": {}}
    objects = render(renderer, agents=agents)
    assert [("10.96.0.1/32" in blocks(policy(objects, name))) for name in agents] == [False, False, True]


def test_api_server_addresses_are_optional_if_no_agent_needs_them(renderer: Renderer) -> None:
    closed = {"network": {"apiServer": False}}
    objects = render(renderer, {"apiServer": {"cidrs": []}}, agents={"a": closed}, proxy=closed)
    assert set(blocks(policy(objects, "a"))) == {"169.254.20.10/32"}


def test_a_destination_is_allowed_for_agents_that_list_it(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {"network": {"egress": ["model-api", "memory"]}}, "b": {}})
    assert blocks(policy(objects, "a"))["203.0.113.0/24"] == [443]
    assert {"app": "redis"} in selected(policy(objects, "a"))
    assert "203.0.113.0/24" not in blocks(policy(objects, "b"))
    assert {"app": "redis"} not in selected(policy(objects, "b"))


def test_default_destinations_apply_to_agents_without_their_own_egress(renderer: Renderer) -> None:
    agents = {"a": {}, "b": {"network": {"egress": []}}, "c": {"network": {"egress": ["memory"]}}}
    objects = render(renderer, {"egress": ["model-api"]}, agents=agents)
    assert ["203.0.113.0/24" in blocks(policy(objects, name)) for name in agents] == [True, False, False]


def test_a_source_is_allowed_for_agents_that_list_it(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {"network": {"ingress": ["gateway"]}}, "b": {}})
    assert policy(objects, "a")["ingress"] == [
        {"from": SOURCES["gateway"]["from"], "ports": [{"port": "http", "protocol": "TCP"}]}
    ]
    assert "ingress" not in policy(objects, "b")


def test_the_proxy_can_have_destinations_and_sources(renderer: Renderer) -> None:
    network = {"egress": ["model-api"], "ingress": ["gateway"]}
    spec = policy(render(renderer, agents={}, proxy={"network": network}), "agent-proxy")
    assert "203.0.113.0/24" in blocks(spec)
    assert len(spec["ingress"]) == 1


@pytest.mark.parametrize("enabled", [True, False])
def test_the_policy_of_an_agent_in_quarantine_allows_no_traffic(renderer: Renderer, enabled: bool) -> None:
    network = {"egress": ["model-api"], "ingress": ["gateway"]}
    agents = {"a": {"network": network, "instances": 2, "quarantined": [2]}}
    objects = render(renderer, {"enabled": enabled}, agents=agents)
    assert policy(objects, "a-2") == {
        "podSelector": {"matchLabels": {AGENT_LABEL: "a-2"}},
        "policyTypes": ["Ingress", "Egress"],
    }
    assert (objects.find("NetworkPolicy", "a-1") is not None) is enabled


def test_only_agents_that_list_the_metadata_server_can_reach_it(renderer: Renderer) -> None:
    named = {"ipBlock": {"cidr": "169.254.169.254/32"}}
    wide = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}
    destinations = {
        "metadata": {"to": [named], "ports": [{"port": 80}]},
        "internet": {"to": [wide], "ports": [{"port": 443}]},
    }
    agents = {
        "named": {"network": {"egress": ["metadata"]}},
        "gke": {"cloud": {"gcp": {}}},
        "wide": {"network": {"egress": ["internet"]}},
        "plain": {},
    }
    objects = render(renderer, {"destinations": destinations}, agents=agents)
    reached = {
        name
        for name in agents
        for rule in policy(objects, name)["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
        and METADATA in ip_network(peer["ipBlock"]["cidr"])
        and not any(METADATA in ip_network(cidr) for cidr in peer["ipBlock"].get("except", ()))
    }
    assert reached == {"named", "gke"}


def test_null_removes_a_destination_and_a_source(renderer: Renderer) -> None:
    objects = render(renderer, {"destinations": {"d": None}, "sources": {"s": None}}, agents={"a": {}})
    assert policy(objects, "a")


def test_adding_an_agent_does_not_change_the_policies_of_other_agents(renderer: Renderer) -> None:
    few, more = render(renderer, agents={"b": {}}), render(renderer, agents={"a": {}, "b": {}, "c": {}})
    assert all(more[key].body == few[key].body for key in few)
