"""Default deny for each agent, and what opens it. (Whether traffic obeys is the network plugin's part.)"""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from agent_identities.chart.helm import HelmError, Renderer, Values
from agent_identities.chart.objects import Objects, thaw
from agent_identities.declaration import AGENT_LABEL
from support.mistakes import NETWORK, ON, SOURCES, WIDE_BLOCKS

METADATA = ip_address("169.254.169.254")


def render(renderer: Renderer, network: dict[str, Any] | None = None, **values: Any) -> Objects:
    return renderer.render(Values(overrides={"network": ON | (network or {}), **values})).objects


def policy(objects: Objects, name: str) -> dict[str, Any]:
    found = objects.find("NetworkPolicy", name)
    assert found is not None
    spec: dict[str, Any] = thaw(found.body["spec"])
    return spec


def blocks(spec: dict[str, Any]) -> dict[str, list[int]]:
    """Address block -> the ports that are open there."""
    return {
        peer["ipBlock"]["cidr"]: [port["port"] for port in rule["ports"]]
        for rule in spec.get("egress", ())
        for peer in rule["to"]
        if "ipBlock" in peer
    }


def selected(spec: dict[str, Any]) -> list[dict[str, str]]:
    """The labels of the pods that an agent may reach."""
    return [
        peer["podSelector"]["matchLabels"]
        for rule in spec.get("egress", ())
        for peer in rule["to"]
        if "podSelector" in peer
    ]


def test_nothing_is_made_where_it_is_off(renderer: Renderer) -> None:
    assert not renderer.render(Values(overrides={"agents": {"a": {}}})).objects.of_kind("NetworkPolicy")


def test_each_agent_and_the_proxy_have_one_policy_that_closes_both_ways(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {}, "t": {"instances": 2}, "p": {"access": "proxied"}})
    assert {found.name for found in objects.of_kind("NetworkPolicy")} == {"agent-proxy", "a", "t-1", "t-2", "p"}
    for found in objects.of_kind("NetworkPolicy"):
        spec = policy(objects, found.name)
        label = "agent-identities/proxy" if found.name == "agent-proxy" else AGENT_LABEL
        assert spec["podSelector"] == {"matchLabels": {label: found.name}}
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert "ingress" not in spec


def test_it_selects_the_pods_that_the_chart_makes(renderer: Renderer) -> None:
    workload = {"image": "x:1"}
    objects = render(renderer, agents={"a": {"workload": workload}}, proxy={"workload": workload})
    for deployment in objects.of_kind("Deployment"):
        labels = deployment.body["spec"]["template"]["metadata"]["labels"]
        selector = policy(objects, deployment.name)["podSelector"]["matchLabels"]
        assert selector.items() <= labels.items()


def test_names_are_answered_by_the_clusters_dns_and_by_the_nodes_cache(renderer: Renderer) -> None:
    dns = policy(render(renderer, agents={"a": {}}), "a")["egress"][0]
    pods, cache = dns["to"]
    assert pods["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kube-system"}
    assert pods["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}
    assert cache["ipBlock"]["cidr"] == "169.254.20.10/32"
    assert dns["ports"] == [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]


def test_the_api_server_is_reached_before_and_behind_its_service(renderer: Renderer) -> None:
    opened = blocks(policy(render(renderer, agents={"a": {}}), "a"))
    assert opened["10.96.0.1/32"] == opened["192.0.2.10/32"] == [443, 6443]


def test_an_agent_that_needs_no_api_server_does_not_reach_it(renderer: Renderer) -> None:
    agents = {"a": {"network": {"apiServer": False}}, "p": {"access": "proxied"}, "b": {}}
    objects = render(renderer, agents=agents)
    assert [("10.96.0.1/32" in blocks(policy(objects, name))) for name in agents] == [False, False, True]


def test_the_addresses_may_be_missing_where_nobody_needs_them(renderer: Renderer) -> None:
    closed = {"network": {"apiServer": False}}
    objects = render(renderer, {"apiServer": {"cidrs": []}}, agents={"a": closed}, proxy=closed)
    assert set(blocks(policy(objects, "a"))) == {"169.254.20.10/32"}


def test_a_destination_is_open_to_those_who_name_it(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {"network": {"egress": ["model-api", "memory"]}}, "b": {}})
    assert blocks(policy(objects, "a"))["203.0.113.0/24"] == [443]
    assert {"app": "redis"} in selected(policy(objects, "a"))
    assert "203.0.113.0/24" not in blocks(policy(objects, "b"))
    assert {"app": "redis"} not in selected(policy(objects, "b"))


def test_everybodys_destinations_are_those_of_who_lists_none(renderer: Renderer) -> None:
    agents = {"a": {}, "b": {"network": {"egress": []}}, "c": {"network": {"egress": ["memory"]}}}
    objects = render(renderer, {"egress": ["model-api"]}, agents=agents)
    assert ["203.0.113.0/24" in blocks(policy(objects, name)) for name in agents] == [True, False, False]


def test_a_source_reaches_those_who_name_it(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {"network": {"ingress": ["gateway"]}}, "b": {}})
    assert policy(objects, "a")["ingress"] == [
        {"from": SOURCES["gateway"]["from"], "ports": [{"port": "http", "protocol": "TCP"}]}
    ]
    assert "ingress" not in policy(objects, "b")


def test_the_proxy_is_opened_like_an_agent(renderer: Renderer) -> None:
    network = {"egress": ["model-api"], "ingress": ["gateway"]}
    spec = policy(render(renderer, agents={}, proxy={"network": network}), "agent-proxy")
    assert "203.0.113.0/24" in blocks(spec)
    assert len(spec["ingress"]) == 1


@pytest.mark.parametrize("enabled", [True, False])
def test_a_quarantined_agent_has_no_traffic_at_all(renderer: Renderer, enabled: bool) -> None:
    network = {"egress": ["model-api"], "ingress": ["gateway"]}
    agents = {"a": {"network": network, "instances": 2, "quarantined": [2]}}
    objects = render(renderer, {"enabled": enabled}, agents=agents)
    assert policy(objects, "a-2") == {
        "podSelector": {"matchLabels": {AGENT_LABEL: "a-2"}},
        "policyTypes": ["Ingress", "Egress"],
    }
    assert (objects.find("NetworkPolicy", "a-1") is not None) is enabled


def test_the_clouds_metadata_is_closed_to_all_but_those_who_name_it(renderer: Renderer) -> None:
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


@pytest.mark.parametrize(
    ("cidr", "refused"),
    WIDE_BLOCKS,
)
def test_no_wide_block_opens_the_clouds_metadata(
    renderer: Renderer, renderer_3: Renderer, cidr: str, refused: bool
) -> None:
    destinations = {"d": {"to": [{"ipBlock": {"cidr": cidr}}], "ports": [{"port": 80}]}}
    for engine in (renderer, renderer_3):
        if refused:
            with pytest.raises(HelmError, match=r"network\.destinations\.d\.to\[0\]\.ipBlock: .*except: \["):
                render(engine, {"destinations": destinations}, agents={"a": {"network": {"egress": ["d"]}}})
        else:
            objects = render(engine, {"destinations": destinations}, agents={"a": {"network": {"egress": ["d"]}}})
            assert cidr in blocks(policy(objects, "a"))


@pytest.mark.parametrize(
    ("except_", "refused"),
    [(["169.254.169.254/32"], False), (["10.0.0.0/8", "169.254.0.0/16"], False), (["10.0.0.0/8"], True)],
)
def test_an_exception_closes_it_again(renderer: Renderer, except_: list[str], refused: bool) -> None:
    to = [{"ipBlock": {"cidr": "0.0.0.0/0", "except": except_}}]
    network = {"destinations": {"d": {"to": to, "ports": [{"port": 443}]}}}
    if refused:
        with pytest.raises(HelmError, match=r"0\.0\.0\.0/0 includes 169\.254\.169\.254"):
            render(renderer, network, agents={})
    else:
        render(renderer, network, agents={})


@pytest.mark.parametrize(("network", "values", "parts"), NETWORK, ids=[parts[0] for _, _, parts in NETWORK])
@pytest.mark.parametrize("engine", ["renderer", "renderer_3"])
def test_a_mistake_is_refused_with_its_place_and_its_cure(
    request: pytest.FixtureRequest, engine: str, network: dict[str, Any], values: dict[str, Any], parts: tuple[str, ...]
) -> None:
    renderer: Renderer = request.getfixturevalue(engine)
    with pytest.raises(HelmError) as error:
        render(renderer, network, **values)
    missing = [part for part in parts if part not in str(error.value)]
    assert not missing, str(error.value)


def test_null_removes_a_destination_and_a_source(renderer: Renderer) -> None:
    objects = render(renderer, {"destinations": {"d": None}, "sources": {"s": None}}, agents={"a": {}})
    assert policy(objects, "a")


def test_another_agent_leaves_the_policies_of_the_others_as_they_are(renderer: Renderer) -> None:
    few, more = render(renderer, agents={"b": {}}), render(renderer, agents={"a": {}, "b": {}, "c": {}})
    assert all(more[key].body == few[key].body for key in few)
