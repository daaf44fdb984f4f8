"""The pods of workloads: IDs, further containers, /tmp. support.invalid_pods has what the chart refuses."""

from typing import Any

import pytest

from agent_identities.chart.helm import HelmError, Renderer
from agent_identities.chart.objects import thaw
from agent_identities.chart.pods import pod_specs
from agent_identities.chart.values import Values
from support.invalid_pods import FREE, mounted

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
IMAGE = "registry.example/agent:1"
IDS = ("runAsUser", "runAsGroup", "fsGroup")
SIDE = {"name": "side", "image": "registry.example/side:1"}


def pod(renderer: Renderer, workload: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The pod of an agent with this workload."""
    agent = {"workload": {"image": IMAGE} | workload} | values.pop("agent", {})
    objects = renderer.render(Values(overrides={"agents": {"a": agent}, **values})).objects
    found: dict[str, dict[str, Any]] = {obj.name: thaw(spec) for obj, spec in pod_specs(objects)}
    return found["a"]


def ids(spec: dict[str, Any]) -> list[int | None]:
    """runAsUser, runAsGroup, fsGroup; None where the pod has none."""
    assert spec["securityContext"]["runAsNonRoot"] is True
    return [spec["securityContext"].get(field) for field in IDS]


def containers(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in (*spec["containers"], *spec.get("initContainers", ()))}


def mounts(container: dict[str, Any]) -> dict[str, str]:
    return {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", ())}


@pytest.mark.parametrize(
    ("workload", "defaults", "expected"),
    [
        ({}, {}, [65532, 65532, 65532]),
        ({"runAsUser": 7}, {}, [7, 7, 7]),
        ({"runAsUser": None}, {}, [None, None, None]),
        ({"runAsUser": "auto"}, {}, [None, None, None]),
        ({}, {"runAsUser": "auto"}, [None, None, None]),
        ({}, {"runAsUser": None}, [65532, 65532, 65532]),
        ({"runAsUser": 7}, {"runAsUser": "auto", "fsGroup": 8}, [7, 7, 7]),
        ({"runAsGroup": 7}, {"runAsUser": "auto", "fsGroup": 8}, [None, 7, 8]),
        ({"fsGroup": "auto"}, {}, [65532, 65532, None]),
        ({"fsGroup": None, "runAsGroup": None, "runAsUser": 7}, {}, [7, None, None]),
    ],
)
@pytest.mark.parametrize("engine", ["renderer", "renderer_3"])
def test_an_id_is_the_workloads_or_the_default_or_absent(
    request: pytest.FixtureRequest, engine: str, workload: Any, defaults: Any, expected: list[int | None]
) -> None:
    assert ids(pod(request.getfixturevalue(engine), workload, workloadDefaults=defaults)) == expected


def test_without_workload_defaults_as_in_the_values_of_an_older_release_the_ids_do_not_change(
    renderer: Renderer,
) -> None:
    spec = pod(renderer, {}, workloadDefaults=None)
    assert ids(spec) == [65532] * 3
    assert "/tmp" in mounts(spec["containers"][0])


@pytest.mark.parametrize("root", [0, "0", "root", 1.5])
def test_root_is_not_a_user_id(renderer: Renderer, root: Any) -> None:
    with pytest.raises(HelmError, match="/runAsUser"):
        pod(renderer, {"runAsUser": root})
    with pytest.raises(HelmError, match="/fsGroup"):
        pod(renderer, {}, workloadDefaults={"fsGroup": root})


def test_all_containers_have_the_same_security_context(renderer: Renderer) -> None:
    spec = pod(renderer, {"initContainers": [SIDE | {"name": "init"}], "extraContainers": [SIDE]})
    contexts = [one["securityContext"] for one in containers(spec).values()]
    assert contexts == [contexts[0]] * 3
    assert contexts[0]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("kind", ["initContainers", "extraContainers"])
@pytest.mark.parametrize("field", ["securityContext", "lifecycle", "volumeDevices", "stdin"])
def test_a_further_container_cannot_set_its_security_context(renderer: Renderer, kind: str, field: str) -> None:
    with pytest.raises(HelmError, match=rf"/agents/a/workload/{kind}/0.*'{field}'"):
        pod(renderer, {kind: [SIDE | {field: {}}]})


def test_containers_that_are_not_init_containers_have_no_restart_policy(renderer: Renderer) -> None:
    sidecar = pod(renderer, {"initContainers": [SIDE | {"restartPolicy": "Always"}]})["initContainers"][0]
    assert sidecar["restartPolicy"] == "Always"
    with pytest.raises(HelmError, match="restartPolicy"):
        pod(renderer, {"extraContainers": [SIDE | {"restartPolicy": "Always"}]})


@pytest.mark.parametrize("kind", ["initContainers", "extraContainers"])
def test_only_a_further_container_with_mount_token_has_the_tokens(renderer: Renderer, kind: str) -> None:
    both = [SIDE, SIDE | {"name": "trusted", "mountToken": True}]
    agent = {"tokens": {"vault": {"audience": "vault"}}}
    found = containers(pod(renderer, {kind: both}, agent=agent))
    assert {path for path, volume in mounts(found["agent"]).items() if volume.startswith("agent-token")} == {
        TOKEN_PATH,
        "/var/run/secrets/tokens",
    }
    assert mounts(found["side"]).keys() == {"/tmp"}
    assert mounts(found["trusted"]).keys() == mounts(found["agent"]).keys()


def test_each_container_has_its_own_tmp_with_a_size_limit(renderer: Renderer) -> None:
    spec = pod(renderer, {"initContainers": [SIDE | {"name": "init"}], "extraContainers": [SIDE], "tmp": "64Mi"})
    names = {name: mounts(one)["/tmp"] for name, one in containers(spec).items()}
    assert len(set(names.values())) == 3
    volumes = {volume["name"]: volume.get("emptyDir") for volume in spec["volumes"]}
    assert [volumes[name] for name in names.values()] == [{"sizeLimit": "64Mi"}] * 3


@pytest.mark.parametrize("path", ["/tmp", "/tmp/", "tmp", "//tmp/."])
def test_a_container_that_mounts_a_volume_at_tmp_keeps_its_mount(renderer: Renderer, path: str) -> None:
    mount = {"volumes": [{"name": "scratch", "emptyDir": {}}], "volumeMounts": [{"name": "scratch", "mountPath": path}]}
    spec = pod(renderer, mount | {"extraContainers": [SIDE]})
    assert mounts(containers(spec)["agent"]) == {TOKEN_PATH: "agent-token", path: "scratch"}
    assert [volume["name"] for volume in spec["volumes"]] == ["agent-token", "agent-tmp-side", "scratch"]


def test_tmp_can_be_omitted(renderer: Renderer) -> None:
    for spec in (pod(renderer, {"tmp": "none"}), pod(renderer, {}, workloadDefaults={"tmp": "none"})):
        assert mounts(spec["containers"][0]) == {TOKEN_PATH: "agent-token"}
        assert [volume["name"] for volume in spec["volumes"]] == ["agent-token"]


def test_no_pod_has_the_addresses_of_services_in_its_environment(renderer: Renderer) -> None:
    assert pod(renderer, {})["enableServiceLinks"] is False


@pytest.mark.parametrize("path", FREE)
def test_other_paths_are_allowed(renderer: Renderer, path: str) -> None:
    spec = pod(renderer, mounted(path)["agents"]["a"]["workload"])
    assert mounts(spec["containers"][0])[path] == "data"
