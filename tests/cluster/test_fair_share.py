"""priorityAndFairness on the API server. Two headers of each response name the FlowSchema and the priority level."""

from collections.abc import Callable, Iterator

import pytest

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from support.server import Json, Server, eventually

FLOWCONTROL = "/apis/flowcontrol.apiserver.k8s.io/v1"
SHARE = {"enabled": True, "nominalConcurrencyShares": 7, "queuing": {"queues": 16, "handSize": 4}}

MakeRelease = Callable[[Helm], Release]


@pytest.fixture
def installed(release: MakeRelease, either_helm: Helm) -> Iterator[Release]:
    """A release with priorityAndFairness, uninstalled after the test, because its objects are cluster-scoped."""
    ours = release(either_helm)
    ours.install(Values(overrides={"agents": {"a": {}, "b": {}}, "priorityAndFairness": SHARE}))
    yield ours
    ours.uninstall()


def ours(server: Server, installed: Release, resource: str) -> Json:
    return server.get(f"{FLOWCONTROL}/{resource}/agent-identities.{installed.namespace}.{installed.name}")


def classified(server: Server, path: str) -> tuple[str, str]:
    """The UIDs of the FlowSchema and the priority level of one request, for any status."""
    answer = server.client.session.get(server.client.url + path, headers=server.headers, timeout=30)
    return (
        answer.headers.get("X-Kubernetes-PF-FlowSchema-UID", ""),
        answer.headers.get("X-Kubernetes-PF-PriorityLevel-UID", ""),
    )


def uids(server: Server, installed: Release) -> tuple[str, str]:
    schema = ours(server, installed, "flowschemas")["metadata"]["uid"]
    return schema, ours(server, installed, "prioritylevelconfigurations")["metadata"]["uid"]


def test_requests_of_agents_use_the_priority_level_of_the_release(
    server: Server, installed: Release, namespace: str
) -> None:
    mine = uids(server, installed)
    agent = server.with_token(server.token(namespace, "a"))
    pods = f"/api/v1/namespaces/{namespace}/pods"
    eventually(lambda: classified(agent, pods) == mine)
    sibling = server.with_token(server.token(namespace, "b"))
    for asker in (agent, sibling, server.as_account(namespace, "a")):
        for path in (pods, "/api/v1/nodes", "/version", "/api/v1/namespaces/default/secrets"):
            assert classified(asker, path) == mine, path


def test_requests_of_other_users_do_not_use_the_priority_level_of_the_release(
    server: Server, installed: Release, namespace: str
) -> None:
    mine = uids(server, installed)
    eventually(lambda: classified(server.as_account(namespace, "a"), "/api/v1/nodes") == mine)
    for asker in (server, server.as_account("default", "default"), server.as_user("jane", "system:authenticated")):
        found = classified(asker, f"/api/v1/namespaces/{namespace}/pods")
        assert all(found)
        assert not set(found) & set(mine)


def test_the_priority_level_has_the_declared_limits(server: Server, installed: Release) -> None:
    limited = ours(server, installed, "prioritylevelconfigurations")["spec"]["limited"]
    assert limited["nominalConcurrencyShares"] == 7
    queuing = limited["limitResponse"]["queuing"]
    assert (queuing["queues"], queuing["handSize"], queuing["queueLengthLimit"]) == (16, 4, 50)
    schema = ours(server, installed, "flowschemas")
    assert schema["spec"]["distinguisherMethod"] == {"type": "ByUser"}


def test_the_flow_schema_refers_to_its_priority_level(server: Server, installed: Release) -> None:
    def dangling() -> list[str]:
        conditions = ours(server, installed, "flowschemas").get("status", {}).get("conditions", [])
        return [condition["status"] for condition in conditions if condition["type"] == "Dangling"]

    assert eventually(dangling) == ["False"]


def test_the_api_server_accepts_the_largest_queues_of_the_schema(
    server: Server, release: MakeRelease, helm: Helm
) -> None:
    queuing = {"queues": 1024, "handSize": 6, "queueLengthLimit": 10000}
    wide = {"enabled": True, "nominalConcurrencyShares": 10000, "borrowingLimitPercent": 10000, "queuing": queuing}
    it = release(helm)
    it.install(Values(overrides={"priorityAndFairness": wide | {"matchingPrecedence": 8999}}))
    assert ours(server, it, "prioritylevelconfigurations")["spec"]["limited"]["limitResponse"]["queuing"] == queuing
    it.uninstall()
