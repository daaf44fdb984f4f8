import pytest

from agent_identities.chart.objects import Key, Objects, ObjectsError, thaw

ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: %s}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
"""


def test_objects_with_the_same_name_in_two_namespaces_are_different() -> None:
    objects = Objects.from_yaml(ROLE % "a" + "---" + ROLE % "b")
    assert {key.namespace for key in objects} == {"a", "b"}


def test_an_object_that_is_defined_twice_is_refused() -> None:
    with pytest.raises(ObjectsError, match="Role a/reader is defined twice"):
        Objects.from_yaml(ROLE % "a" + "---" + ROLE % "a")


def test_objects_cannot_be_changed() -> None:
    (role,) = Objects.from_yaml(ROLE % "a").values()
    with pytest.raises(TypeError):
        role.body["metadata"]["name"] = "other"
    assert isinstance(role.body["rules"], tuple)


def test_a_change_of_a_thawed_copy_does_not_change_the_object() -> None:
    (role,) = Objects.from_yaml(ROLE % "a").values()
    copy = thaw(role.body)
    copy["rules"].append({})
    assert len(role.body["rules"]) == 1


def test_an_object_has_its_source_template() -> None:
    text = "---\n# Source: agent-identities/templates/roles.yaml" + ROLE % "a"
    assert Objects.from_yaml(text)[Key("rbac.authorization.k8s.io", "Role", "a", "reader")].source == (
        "templates/roles.yaml"
    )


def test_a_name_that_yaml_reads_as_a_number_is_refused() -> None:
    with pytest.raises(ObjectsError, match=r"metadata\.name must be text; got 123"):
        Objects.from_yaml("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: 123}")


def test_a_list_is_replaced_by_its_items() -> None:
    item = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "x"}}
    objects = Objects.from_manifests([{"apiVersion": "v1", "kind": "List", "items": [item]}])
    assert [key.name for key in objects] == ["x"]
