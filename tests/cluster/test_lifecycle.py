"""Install, upgrade, roll back, uninstall: on a real API server, by both Helms, with nothing left behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_identities.helm import Helm, Release, Renderer, Target, Values
from agent_identities.objects import thaw
from support.server import RBAC, Json, Server, eventually

pytestmark = pytest.mark.cluster

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = sorted((REPOSITORY / "values").glob("*.yaml"))
OURS = "labelSelector=app.kubernetes.io/name%3Dagent-identities"
READ_PODS = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
READ_SERVICES = [{"apiGroups": [""], "resources": ["services"], "verbs": ["get"]}]

MakeRelease = Callable[[Helm], Release]


def path_of(namespace: str, kind: str) -> str:
    group = {"ServiceAccount": "/api/v1", "Deployment": "/apis/apps/v1"}.get(kind, RBAC)
    return f"{group}/namespaces/{namespace}/{kind.lower()}s"


def state(server: Server, namespace: str) -> dict[tuple[str, str], Json]:
    """(kind, name) -> object, of all that the chart has made in a namespace."""
    return {
        (kind, item["metadata"]["name"]): item
        for kind in ("ServiceAccount", "Role", "RoleBinding", "Deployment")
        for item in server.items(f"{path_of(namespace, kind)}?{OURS}")
    }


def identity(obj: Json) -> tuple[str, str]:
    """Changes whenever somebody writes to the object, and when it is made anew."""
    return obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]


def values(**overrides: Any) -> Values:
    return Values(overrides=overrides)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_on_the_server_as_it_was_rendered(
    server: Server, release: MakeRelease, either_helm: Helm, chart: Path, namespace: str, file: Path
) -> None:
    release(either_helm).install(Values((file,)))
    rendered = Renderer(either_helm, chart).render(Values((file,)), Target(namespace=namespace)).objects
    found = state(server, namespace)
    assert set(found) == {(key.kind, key.name) for key in rendered}
    for key in rendered:
        live = found[key.kind, key.name]
        for field in ("rules", "roleRef", "subjects", "automountServiceAccountToken"):
            assert live.get(field) == thaw(rendered[key].body.get(field)), (key, field)


def test_an_upgrade_touches_only_the_agents_that_changed(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str
) -> None:
    tiers = {"reader": {"rules": READ_PODS}, "other": {"rules": READ_SERVICES}}
    ours = release(either_helm)
    ours.install(values(tiers=tiers, agents={"stays": {}, "moves": {"tiers": ["reader"]}, "goes": {}}))
    before = state(server, namespace)
    ours.upgrade(values(tiers=tiers, agents={"stays": {}, "moves": {"tiers": ["other"]}, "comes": {}}))
    after = state(server, namespace)

    untouched = {key for key in before.keys() & after.keys() if identity(before[key]) == identity(after[key])}
    assert before.keys() - after.keys() == {
        ("ServiceAccount", "goes"),
        ("RoleBinding", "goes-binding"),
        ("RoleBinding", "moves:reader-role"),
    }
    assert after.keys() - before.keys() == {
        ("ServiceAccount", "comes"),
        ("RoleBinding", "comes-binding"),
        ("RoleBinding", "moves:other-role"),
    }
    assert untouched == before.keys() & after.keys()


def test_a_rollback_gives_back_the_rights_of_before(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str
) -> None:
    ours = release(either_helm)
    ours.install(values(agents={"a": {}, "b": {}}))
    before = state(server, namespace)
    ours.upgrade(values(agents={"a": {"tiers": []}, "c": {}}))
    ours.rollback(1)
    after = state(server, namespace)
    assert after.keys() == before.keys()
    assert identity(after["ServiceAccount", "a"]) == identity(before["ServiceAccount", "a"])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"proxy": {"name": "agent-proxy"}}, {"proxy": {"name": "gateway"}}),
        ({"agents": {"a": {"token": {"mode": "automount"}}}}, {"agents": {"a": {}}}),
        ({"agents": {"a": {"instances": 1}}}, {"agents": {"a": {}}}),
        ({"agents": {"a": {"workload": {"image": "x:1"}}}}, {"agents": {"a": {"workload": {"image": "x:2"}}}}),
    ],
    ids=["rename the proxy", "automount to projected", "instances to one", "another image"],
)
def test_every_change_of_values_upgrades_and_rolls_back(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str, first: Json, second: Json
) -> None:
    agents: Json = {"agents": {"a": {}}}
    ours = release(either_helm)
    ours.install(values(**agents | first))
    before = state(server, namespace).keys()
    ours.upgrade(values(**agents | second))
    ours.rollback(1)
    assert state(server, namespace).keys() == before


def test_uninstall_leaves_nothing_behind(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str
) -> None:
    ours = release(either_helm)
    ours.install(Values((REPOSITORY / "values" / "quickstart.yaml",)))
    assert state(server, namespace)
    ours.uninstall()
    eventually(lambda: not state(server, namespace))
    assert server.names(f"/api/v1/namespaces/{namespace}/serviceaccounts") == {"default"}
    assert server.names(f"/api/v1/namespaces/{namespace}/secrets") == set()
    assert server.names(f"{RBAC}/namespaces/{namespace}/rolebindings") == set()
    everywhere = [f"{RBAC}/clusterroles", f"{RBAC}/clusterrolebindings"]
    assert [server.items(f"{path}?{OURS}") for path in everywhere] == [[], []]


def test_two_releases_in_two_namespaces_do_not_meet(
    server: Server, release: MakeRelease, helm: Helm, chart: Path, namespace: str
) -> None:
    ours = release(helm)
    other = Release(helm, chart, ours.name, f"{namespace}-b", ours.kubeconfig, ours.context)
    file = Values((REPOSITORY / "values" / "quickstart.yaml",))
    try:
        ours.install(file)
        other.install(file)
        other.uninstall()
        assert ("ServiceAccount", "triage-1") in state(server, namespace)
    finally:
        server.delete(f"/api/v1/namespaces/{other.namespace}")
