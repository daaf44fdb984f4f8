"""A change of the form of a tier never changes the role of a binding: the API server refuses such an upgrade."""

import agent_identities as ai
from agent_identities.chart.helm import Renderer, Target
from agent_identities.chart.objects import Key, thaw
from agent_identities.chart.values import Values
from agent_identities.inventory.release_objects import ReleaseObjects
from agent_identities.rbac import Binding
from support.tier_forms import forms


def test_the_name_of_a_binding_determines_its_role_in_every_form_of_a_tier(renderer: Renderer) -> None:
    roles: dict[Key, dict[str, str]] = {}
    first: dict[Key, str] = {}
    for name, values in forms().items():
        for obj in renderer.render(Values(overrides=values)).objects.of_kind("RoleBinding", "ClusterRoleBinding"):
            role = thaw(obj.body["roleRef"])
            assert roles.setdefault(obj.key, role) == role, f"{obj.key}: {first[obj.key]} and {name}"
            first.setdefault(obj.key, name)
    assert len({(role["kind"], role["name"]) for role in roles.values()}) > 10


def test_the_names_of_the_bindings_of_the_seed_do_not_change(renderer: Renderer) -> None:
    objects = renderer.render(Values(overrides={"agents": {"agent-worker-1": {}}})).objects
    assert {obj.name: obj.body["roleRef"]["name"] for obj in objects.of_kind("RoleBinding")} == {
        "agent-proxy-binding": "agent-proxy-role",
        "agent-worker-1-binding": "agent-proxy-role",
    }


def test_every_binding_of_every_form_is_a_binding_of_the_release(renderer: Renderer) -> None:
    for name, values in forms().items():
        release = ReleaseObjects(ai.load(overrides=values).declaration)
        rendered = renderer.render(Values(overrides=values)).objects
        for binding in rendered.of_kind("RoleBinding", "ClusterRoleBinding"):
            read = Binding.from_manifest(
                "RoleBinding" if binding.key.kind == "RoleBinding" else "ClusterRoleBinding", thaw(binding.body)
            )
            assert release.makes_binding(read), f"{name}: {binding.key}"


def test_no_binding_of_a_release_in_another_namespace_is_a_binding_of_the_release(renderer: Renderer) -> None:
    """The other release has the same name, agents and tiers. The agents of the first hold tiers in its namespace."""
    checked = 0
    for name, values in forms().items():
        declaration = ai.load(overrides=values).declaration
        agents = {"a": {key: value for key, value in values["agents"]["a"].items() if key != "namespaces"}}
        rendered = renderer.render(Values(overrides=values | {"agents": agents}), Target(namespace="team-a")).objects
        for binding in rendered.of_kind("RoleBinding"):
            read = Binding.from_manifest("RoleBinding", thaw(binding.body))
            assert not ReleaseObjects(declaration).makes_binding(read), f"{name}: {binding.key}"
            checked += len(declaration.agents[0].grants) > 2
    assert checked > 50
