"""Install, upgrade, roll back and uninstall on a real API server, with both Helms."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart import values as values_files
from agent_identities.chart.helm import Helm, Release, Renderer, Target
from agent_identities.chart.objects import Key, thaw
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support.installed import holds, installed
from support.server import RBAC, Json, Server, eventually

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = sorted((REPOSITORY / "values").glob("*.yaml"))
NOT_IN_LISTS = ("apiVersion", "kind")
READ_PODS = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
READ_SERVICES = [{"apiGroups": [""], "resources": ["services"], "verbs": ["get"]}]

MakeRelease = Callable[[Helm], Release]


def elsewhere(chart: Path, file: Path) -> set[str]:
    """The namespaces of a values file, without the namespace of the release."""
    agents = values_files.load(chart, [file])["agents"].values()
    return {namespace for agent in agents if agent for namespace in agent.get("namespaces", ())}


@pytest.fixture(scope="module")
def teams(server: Server, chart: Path) -> Iterator[set[str]]:
    """The namespaces in which the examples grant rights. They exist before the release."""
    missing = set().union(*(elsewhere(chart, file) for file in EXAMPLES)) - server.names("/api/v1/namespaces")
    for name in missing:
        server.make_namespace(name)
    yield missing
    for name in missing:
        server.delete(f"/api/v1/namespaces/{name}")


def key(kind: str, namespace: str, name: str) -> Key:
    return Key("" if kind == "ServiceAccount" else "rbac.authorization.k8s.io", kind, namespace, name)


def identity(obj: Json) -> tuple[str, str]:
    """A value that changes with each write to the object and when the object is recreated."""
    return obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]


def values(**overrides: Any) -> Values:
    return Values(overrides=overrides)


@pytest.mark.usefixtures("teams")
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_installed_as_rendered_and_uninstalled_completely(
    server: Server,
    cluster: Cluster,
    release: MakeRelease,
    either_helm: Helm,
    chart: Path,
    namespace: str,
    file: Path,
) -> None:
    ours = release(either_helm)
    ours.install(Values.read([file]))
    target = Target(ours.name, namespace, cluster.version)
    rendered = Renderer(either_helm, chart).render(Values.read([file]), target).objects
    found = installed(server, ours)
    assert set(found) == set(rendered)
    for key in rendered:
        live = found[key]
        wanted = {field: value for field, value in thaw(rendered[key].body).items() if field not in NOT_IN_LISTS}
        for field in ("rules", "roleRef", "subjects", "automountServiceAccountToken", "imagePullSecrets"):
            assert live.get(field) == wanted.get(field), (key, field)
        assert holds(live, wanted), key
    ours.uninstall()
    eventually(lambda: not installed(server, ours))


def test_an_upgrade_changes_only_the_objects_of_changed_agents(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str
) -> None:
    tiers = {"reader": {"rules": READ_PODS}, "other": {"rules": READ_SERVICES}}
    ours = release(either_helm)
    ours.install(values(tiers=tiers, agents={"stays": {}, "moves": {"tiers": ["reader"]}, "goes": {}}))
    before = installed(server, ours)
    ours.upgrade(values(tiers=tiers, agents={"stays": {}, "moves": {"tiers": ["other"]}, "comes": {}}))
    after = installed(server, ours)

    untouched = {key for key in before.keys() & after.keys() if identity(before[key]) == identity(after[key])}
    assert before.keys() - after.keys() == {
        key("ServiceAccount", namespace, "goes"),
        key("RoleBinding", namespace, "goes-binding"),
        key("RoleBinding", namespace, "moves:reader-role"),
    }
    assert after.keys() - before.keys() == {
        key("ServiceAccount", namespace, "comes"),
        key("RoleBinding", namespace, "comes-binding"),
        key("RoleBinding", namespace, "moves:other-role"),
    }
    assert untouched == before.keys() & after.keys()


def test_a_rollback_restores_the_previous_rights(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str
) -> None:
    ours = release(either_helm)
    ours.install(values(agents={"a": {}, "b": {}}))
    before = installed(server, ours)
    ours.upgrade(values(agents={"a": {"tiers": []}, "c": {}}))
    ours.rollback(1)
    after = installed(server, ours)
    assert after.keys() == before.keys()
    a = key("ServiceAccount", namespace, "a")
    assert identity(after[a]) == identity(before[a])


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
def test_every_change_of_values_can_be_upgraded_and_rolled_back(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str, first: Json, second: Json
) -> None:
    agents: Json = {"agents": {"a": {}}}
    ours = release(either_helm)
    ours.install(values(**agents | first))
    before = installed(server, ours).keys()
    ours.upgrade(values(**agents | second))
    ours.rollback(1)
    assert installed(server, ours).keys() == before


@pytest.mark.usefixtures("teams")
@pytest.mark.parametrize("example", ["quickstart", "multi-namespace", "production", "quarantine"])
def test_uninstall_deletes_all_objects(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str, example: str
) -> None:
    ours = release(either_helm)
    ours.install(Values.read([REPOSITORY / "values" / f"{example}.yaml"]))
    assert installed(server, ours)
    ours.uninstall()
    eventually(lambda: not installed(server, ours))
    assert server.names(f"/api/v1/namespaces/{namespace}/serviceaccounts") == {"default"}
    assert server.names(f"/api/v1/namespaces/{namespace}/secrets") == set()
    assert server.names(f"{RBAC}/namespaces/{namespace}/rolebindings") == set()


def test_two_releases_in_two_namespaces_are_independent(
    server: Server, release: MakeRelease, helm: Helm, chart: Path, namespace: str
) -> None:
    ours = release(helm)
    other = Release(helm, chart, ours.name, f"{namespace}-b", ours.kubeconfig, ours.context)
    file = Values.read([REPOSITORY / "values" / "quickstart.yaml"])
    try:
        ours.install(file)
        other.install(file)
        other.uninstall()
        assert key("ServiceAccount", namespace, "triage-1") in installed(server, ours)
    finally:
        server.delete(f"/api/v1/namespaces/{other.namespace}")
