"""What the owner of a field applied, read back from managedFields."""

from typing import Any

from agent_identities.kube.field_owner import applied_with

Json = dict[str, Any]


def binding(*managed: Json) -> Json:
    """A RoleBinding with a label and a subject that others added."""
    return {
        "kind": "RoleBinding",
        "metadata": {
            "name": "b",
            "namespace": "agents",
            "uid": "1",
            "labels": {"ours": "1", "theirs": "2"},
            "annotations": {"theirs": "3"},
            "managedFields": list(managed),
        },
        "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "agents"}],
    }


def entry(operation: str = "Apply", **changes: Any) -> Json:
    fields: Json = {"f:metadata": {"f:labels": {"f:ours": {}}}, "f:roleRef": {}, "f:subjects": {}}
    entry = {"manager": "helm", "operation": operation, "apiVersion": "rbac.authorization.k8s.io/v1"}
    return {**entry, "fieldsType": "FieldsV1", "fieldsV1": fields, **changes}


def test_it_is_all_that_the_owner_applied_and_nothing_of_others() -> None:
    found = applied_with(binding(entry()), "subjects")
    assert found is not None
    assert found.owner == "helm"
    assert found.manifest == {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "b", "namespace": "agents", "labels": {"ours": "1"}},
        "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "agents"}],
    }


def test_a_field_that_nobody_applied_has_no_owner() -> None:
    """Helm 3 and kubectl edit update; a status is another's."""
    of_labels: Json = {"f:metadata": {"f:labels": {"f:theirs": {}}}}
    assert applied_with(binding(), "subjects") is None
    assert applied_with(binding(entry("Update")), "subjects") is None
    assert applied_with(binding(entry(fieldsV1=of_labels)), "subjects") is None
    assert applied_with(binding(entry(subresource="status")), "subjects") is None


def test_the_right_one_of_several_is_found() -> None:
    other = entry(manager="labeller", fieldsV1={"f:metadata": {"f:labels": {"f:theirs": {}}}})
    found = applied_with(binding(other, entry(manager="argocd-controller")), "subjects")
    assert found is not None
    assert found.owner == "argocd-controller"
    assert found.manifest["metadata"]["labels"] == {"ours": "1"}
