"""The ServiceAccounts, Roles, bindings and Deployments that the chart renders for agents."""

from typing import Any

from agent_identities.chart.helm import Renderer
from agent_identities.chart.objects import KubeObject, Objects
from agent_identities.chart.pods import pod_specs
from agent_identities.chart.values import Values

RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def render(renderer: Renderer, **values: Any) -> Objects:
    return renderer.render(Values(overrides=values)).objects


def accounts(objects: Objects) -> set[str]:
    return {obj.name for obj in objects.of_kind("ServiceAccount")} - {"agent-proxy"}


def roles_of(objects: Objects, account: str) -> set[str]:
    return {
        binding.body["roleRef"]["name"]
        for binding in objects.of_kind("RoleBinding")
        if binding.body["subjects"][0]["name"] == account
    }


def workload(objects: Objects) -> KubeObject:
    (deployment,) = objects.of_kind("Deployment")
    return deployment


def test_an_agent_without_tiers_has_the_central_role(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {}})
    assert roles_of(objects, "a") == {"agent-proxy-role"}


def test_an_agent_with_tiers_has_only_these_tiers(renderer: Renderer) -> None:
    objects = render(renderer, tiers={"t": {"rules": RULES}, "u": {"rules": RULES}}, agents={"a": {"tiers": ["t"]}})
    assert roles_of(objects, "a") == {"t-role"}


def test_an_agent_with_an_empty_list_of_tiers_has_no_role(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {"tiers": []}})
    assert accounts(objects) == {"a"}
    assert roles_of(objects, "a") == set()


def test_each_instance_has_its_own_service_account(renderer: Renderer) -> None:
    objects = render(renderer, agents={"triage": {"instances": 3}})
    assert accounts(objects) == {"triage-1", "triage-2", "triage-3"}
    assert all(roles_of(objects, name) == {"agent-proxy-role"} for name in accounts(objects))


def test_null_removes_an_agent_and_a_tier(renderer: Renderer) -> None:
    objects = render(renderer, tiers={"t": None}, agents={"a": {}, "b": None})
    assert accounts(objects) == {"a"}
    assert {role.name for role in objects.of_kind("Role")} == {"agent-proxy-role"}


def test_adding_instances_does_not_change_existing_objects(renderer: Renderer) -> None:
    few = render(renderer, agents={"triage": {"instances": 2}, "z": {}})
    more = render(renderer, agents={"triage": {"instances": 4}, "z": {}})
    assert all(more[key].body == few[key].body for key in few)


def test_the_order_of_agents_does_not_matter(renderer: Renderer) -> None:
    one = render(renderer, agents={"a": {}, "b": {"tiers": []}})
    other = render(renderer, agents={"b": {"tiers": []}, "a": {}})
    assert {key: obj.body for key, obj in one.items()} == {key: obj.body for key, obj in other.items()}


def test_binding_names_of_agents_and_tiers_never_collide(renderer: Renderer) -> None:
    objects = render(
        renderer,
        tiers={"b": {"rules": RULES}, "b-binding": {"rules": RULES}},
        agents={"a": {"tiers": ["b", "b-binding", "proxy"]}, "a-b": {}, "a-b-role": {}},
    )
    assert len(objects.of_kind("RoleBinding")) == 6


def test_names_that_yaml_parses_as_other_types_stay_strings(renderer: Renderer, renderer_3: Renderer) -> None:
    odd = ["y", "n", "on", "off", "yes", "no", "1e3", "0o7", "0x1f", "1-2", "2026-01-01"]
    values = {"tiers": {name: {"rules": RULES} for name in odd}, "agents": {name: {"tiers": [name]} for name in odd}}
    for engine in (renderer, renderer_3):
        objects = render(engine, **values)
        assert accounts(objects) == set(odd)
        assert all(roles_of(objects, name) == {f"{name}-role"} for name in odd)


def test_labels_and_annotations_are_on_the_service_account(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {"labels": {"team": "sre"}, "annotations": {"owner": "x"}}})
    account = objects.find("ServiceAccount", "a")
    assert account is not None
    assert account.labels["team"] == "sre"
    assert account.annotations == {"owner": "x"}


def test_every_object_is_in_the_release_namespace(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {"workload": {"image": "x:1"}}})
    assert {key.namespace for key in objects} == {"agent-system"}


def test_a_workload_mounts_a_short_lived_token_at_the_standard_path(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {"token": {"expirationSeconds": 900}, "workload": {"image": "x:1"}}})
    pod = workload(objects).body["spec"]["template"]["spec"]
    volume, *others = pod["volumes"]
    assert [one for one in others if "projected" in one] == []
    token, ca, namespace = volume["projected"]["sources"]
    assert pod["serviceAccountName"] == "a"
    assert pod["automountServiceAccountToken"] is False
    assert token["serviceAccountToken"] == {"path": "token", "expirationSeconds": 900}
    assert ca["configMap"]["name"] == "kube-root-ca.crt"
    assert namespace["downwardAPI"]["items"][0]["path"] == "namespace"
    mount = pod["containers"][0]["volumeMounts"][0]
    assert (mount["name"], mount["mountPath"], mount["readOnly"]) == (volume["name"], TOKEN_PATH, True)


def test_a_token_can_have_an_audience(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {"token": {"audience": "vault"}, "workload": {"image": "x:1"}}})
    pod = workload(objects).body["spec"]["template"]["spec"]
    assert pod["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "vault"


def test_a_workload_has_its_own_volumes_next_to_the_token(renderer: Renderer) -> None:
    own = {"volumes": [{"name": "tmp", "emptyDir": {}}], "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}
    objects = render(renderer, agents={"a": {"workload": {"image": "x:1", **own}}})
    pod = workload(objects).body["spec"]["template"]["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["agent-token", "tmp"]
    assert [mount["name"] for mount in pod["containers"][0]["volumeMounts"]] == ["agent-token", "tmp"]


def test_zero_replicas_are_rendered_as_zero(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {"workload": {"image": "x:1", "replicas": 0}}})
    assert workload(objects).body["spec"]["replicas"] == 0


def test_each_instance_with_a_workload_runs_as_its_own_service_account(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {"instances": 2, "workload": {"image": "x:1"}}})
    assert {obj.name: spec["serviceAccountName"] for obj, spec in pod_specs(objects)} == {"a-1": "a-1", "a-2": "a-2"}


def test_the_role_and_bindings_of_a_renamed_proxy_have_its_name(renderer: Renderer) -> None:
    objects = render(renderer, proxy={"name": "gateway"}, agents={"a": {}})
    assert roles_of(objects, "a") == {"gateway-role"}
    assert objects.find("RoleBinding", "a:gateway-role") is not None


def test_one_value_quarantines_all_agents_and_the_guards_name_it(renderer: Renderer) -> None:
    agents = {"a": {"quarantined": False}, "t": {"instances": 2}}
    objects = render(renderer, quarantined=True, agents=agents, guards={"enabled": True})
    assert accounts(objects) == set()
    assert {policy.name for policy in objects.of_kind("NetworkPolicy")} == {"a", "t-1", "t-2"}
    messages = [
        rule["messageExpression"]
        for policy in objects.of_kind("ValidatingAdmissionPolicy")
        if ".quarantine" in policy.name
        for rule in policy.body["spec"]["validations"]
    ]
    assert len(messages) == 3
    assert all("To end the quarantine: quarantined: false" in message for message in messages)
