"""`access: proxied`: the agent has no token, and the proxy can impersonate it for the verbs of its tiers only."""

from collections.abc import Callable
from typing import Any

import pytest

from agent_identities.chart.helm import Helm, HelmError, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support.server import Json, Server

MakeRelease = Callable[[Helm], Release]
PODS = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
CONFIGMAPS = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
TIERS = {"pods": {"rules": PODS}, "configmaps": {"rules": CONFIGMAPS}}
SHOPPER = {"access": "proxied", "tiers": ["pods"]}
SERVICES_ONLY = {"rules": [{"apiGroups": [""], "resources": ["services"], "verbs": ["list"]}]}


def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def configmaps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def install(release: Release, *, impersonation: str = "auto", **agents: Json) -> None:
    proxy = {**SERVICES_ONLY, "impersonation": impersonation}
    release.install(Values(overrides={"proxy": proxy, "tiers": TIERS, "agents": agents}))


class Proxy:
    """Requests with the proxy's token, as itself or impersonating an agent."""

    def __init__(self, server: Server, namespace: str) -> None:
        self.itself = server.with_token(server.token(namespace, "agent-proxy"))
        self.namespace = namespace

    def acting_as(self, agent: str) -> Server:
        return self.itself.as_account(self.namespace, agent)


@pytest.fixture(params=["constrained", "legacy"])
def impersonation(request: pytest.FixtureRequest, cluster: Cluster) -> str:
    mode: str = request.param
    minor = int(cluster.version.lstrip("v").split(".")[1])
    if minor < 36:
        return "legacy"
    return mode


def test_the_proxy_can_impersonate_the_agent_for_the_verbs_of_its_tiers(
    server: Server, release: MakeRelease, helm: Helm, namespace: str, impersonation: str
) -> None:
    install(release(helm), impersonation=impersonation, shopper=SHOPPER)
    proxy = Proxy(server, namespace)
    allowed, _ = proxy.acting_as("shopper").request("GET", pods(namespace))
    beyond, answer = proxy.acting_as("shopper").request("GET", configmaps(namespace))
    assert allowed == 200
    assert (beyond, answer["reason"]) == (403, "Forbidden")


def test_the_proxy_gains_no_rights_as_itself(
    server: Server, release: MakeRelease, helm: Helm, namespace: str, impersonation: str
) -> None:
    install(release(helm), impersonation=impersonation, shopper=SHOPPER)
    proxy = Proxy(server, namespace)
    assert proxy.itself.request("GET", f"/api/v1/namespaces/{namespace}/services")[0] == 200
    assert proxy.itself.request("GET", pods(namespace))[0] == 403


@pytest.mark.parametrize("other", ["direct", "default"])
def test_the_proxy_cannot_impersonate_other_accounts(
    server: Server, release: MakeRelease, helm: Helm, namespace: str, impersonation: str, other: str
) -> None:
    install(release(helm), impersonation=impersonation, shopper=SHOPPER, direct={"tiers": ["pods"]})
    proxy = Proxy(server, namespace)
    assert proxy.acting_as("shopper").request("GET", pods(namespace))[0] == 200
    assert proxy.acting_as(other).request("GET", pods(namespace))[0] == 403
    assert proxy.itself.as_user("admin", "system:masters").request("GET", pods(namespace))[0] == 403


def test_the_verbs_of_two_proxied_agents_are_separate(
    server: Server, release: MakeRelease, helm: Helm, namespace: str, impersonation: str
) -> None:
    other = {"access": "proxied", "tiers": ["configmaps"]}
    install(release(helm), impersonation=impersonation, shopper=SHOPPER, other=other)
    proxy = Proxy(server, namespace)
    asked = {
        (agent, path): proxy.acting_as(agent).request("GET", path)[0]
        for agent in ("shopper", "other")
        for path in (pods(namespace), configmaps(namespace))
    }
    assert asked == {
        ("shopper", pods(namespace)): 200,
        ("shopper", configmaps(namespace)): 403,
        ("other", pods(namespace)): 403,
        ("other", configmaps(namespace)): 200,
    }


def test_constrained_impersonation_does_not_include_undeclared_rights_of_the_agent(
    server: Server, release: MakeRelease, helm: Helm, namespace: str, impersonation: str
) -> None:
    """The legacy verb includes all rights of the agent, also the undeclared rights."""
    install(release(helm), impersonation=impersonation, shopper=SHOPPER)
    binding = {
        "metadata": {"name": "stray"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "shopper", "namespace": namespace}],
    }
    server.create(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", binding)
    proxy = Proxy(server, namespace)
    expected = {"constrained": 403, "legacy": 200}[impersonation]
    assert proxy.acting_as("shopper").request("GET", configmaps(namespace))[0] == expected


def test_in_other_namespaces_the_proxy_can_impersonate_the_agent_only_where_it_has_grants(
    server: Server, release: MakeRelease, helm: Helm, namespace: str, impersonation: str
) -> None:
    elsewhere = f"{namespace}-a"
    server.make_namespace(elsewhere)
    try:
        agent: dict[str, Any] = {"access": "proxied", "tiers": [], "namespaces": {elsewhere: ["pods"]}}
        install(release(helm), impersonation=impersonation, shopper=agent)
        proxy = Proxy(server, namespace)
        assert proxy.acting_as("shopper").request("GET", pods(elsewhere))[0] == 200
        assert proxy.acting_as("shopper").request("GET", pods(namespace))[0] == 403
    finally:
        server.delete(f"/api/v1/namespaces/{elsewhere}")


def test_a_proxied_agent_with_a_token_or_a_workload_is_refused(release: MakeRelease, either_helm: Helm) -> None:
    agent = {"access": "proxied", "token": {"expirationSeconds": 900}, "workload": {"image": "x:1"}}
    with pytest.raises(HelmError, match=r"2 problems[\s\S]*shopper\.token[\s\S]*shopper\.workload"):
        install(release(either_helm), shopper=agent)


def test_the_notes_warn_of_legacy_impersonation_if_the_server_supports_constrained(
    cluster: Cluster, release: MakeRelease, helm: Helm
) -> None:
    values = Values(overrides={"proxy": {"impersonation": "legacy"}, "agents": {"p": {"access": "proxied"}}})
    notes = release(helm).install(values)
    has_constrained = int(cluster.version.lstrip("v").split(".")[1]) >= 36
    assert ("WARNING: proxy.impersonation is legacy" in notes) == has_constrained


def test_the_notes_suggest_a_token_for_agents_that_hold_tokens_only(release: MakeRelease, helm: Helm) -> None:
    agents: dict[str, Any] = {"a": {"access": "proxied"}}
    assert "create token" not in release(helm).install(Values(overrides={"agents": agents}))
    notes = release(helm).upgrade(Values(overrides={"agents": {**agents, "b": {}}}))
    assert "create token b" in notes
