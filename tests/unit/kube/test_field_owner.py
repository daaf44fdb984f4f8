"""The manifest that the owner of a field applied, from managedFields."""

from typing import Any

from agent_identities.kube.field_owner import applied_with

Json = dict[str, Any]


def binding(*managed: Json) -> Json:
    """A RoleBinding with a label and a subject of other managers."""
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


def test_the_manifest_has_exactly_the_fields_of_the_owner() -> None:
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


def test_a_field_that_was_not_applied_has_no_owner() -> None:
    """Helm 3 and kubectl edit use Update; the status belongs to another manager."""
    of_labels: Json = {"f:metadata": {"f:labels": {"f:theirs": {}}}}
    assert applied_with(binding(), "subjects") is None
    assert applied_with(binding(entry("Update")), "subjects") is None
    assert applied_with(binding(entry(fieldsV1=of_labels)), "subjects") is None
    assert applied_with(binding(entry(subresource="status")), "subjects") is None


def test_the_owner_is_found_among_several_managers() -> None:
    other = entry(manager="labeller", fieldsV1={"f:metadata": {"f:labels": {"f:theirs": {}}}})
    found = applied_with(binding(other, entry(manager="argocd-controller")), "subjects")
    assert found is not None
    assert found.owner == "argocd-controller"
    assert found.manifest["metadata"]["labels"] == {"ours": "1"}
