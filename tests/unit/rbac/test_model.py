from collections.abc import Mapping
from typing import Any

import pytest

from agent_identities.rbac import Policy, PolicyError, PolicyRule

RBAC = "rbac.authorization.k8s.io/v1"
READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
READ_JOBS = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]}


def cluster_role(name: str, *rules: Mapping[str, Any], labels: Any = None, select: Any = None) -> dict[str, Any]:
    role: dict[str, Any] = {
        "apiVersion": RBAC,
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": labels},
        "rules": list(rules),
    }
    return role | ({"aggregationRule": {"clusterRoleSelectors": select}} if select else {})


def rules_of(name: str, *manifests: Mapping[str, Any]) -> list[dict[str, list[str]]]:
    (role,) = (role for role in Policy.from_manifests(manifests).roles if role.name == name)
    return [rule.to_manifest() for rule in role.rules]


def test_a_rule_is_equal_after_a_round_trip_through_a_manifest() -> None:
    manifest = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a", ""], "verbs": ["get", "patch"]}
    assert PolicyRule.from_manifest(manifest).to_manifest() == manifest


def test_other_kinds_and_other_groups_are_ignored() -> None:
    other_group = {"apiVersion": "iam.example.org/v1", "kind": "Role", "metadata": {"name": "r"}}
    assert Policy.from_manifests([{"apiVersion": "v1", "kind": "ConfigMap"}, other_group]) == Policy()


def test_a_role_without_a_namespace_gets_the_namespace_of_the_release() -> None:
    role = {"apiVersion": RBAC, "kind": "Role", "metadata": {"name": "r"}}
    assert Policy.from_manifests([role], namespace="agents").roles[0].namespace == "agents"


@pytest.mark.parametrize(
    "selector",
    [
        {"matchLabels": {"tier": "agents"}},
        {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["agents", "x"]}]},
        {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]},
        {"matchExpressions": [{"key": "tier", "operator": "Exists"}]},
        {"matchExpressions": [{"key": "absent", "operator": "DoesNotExist"}]},
        {"matchExpressions": [{"key": "absent", "operator": "NotIn", "values": ["x"]}]},
        {},
    ],
)
def test_an_aggregated_role_has_the_rules_of_the_roles_that_it_selects(selector: dict[str, Any]) -> None:
    part = cluster_role("part", READ_PODS, labels={"tier": "agents"})
    assert rules_of("whole", cluster_role("whole", select=[selector]), part) == [READ_PODS]


@pytest.mark.parametrize(
    "selector",
    [
        {"matchLabels": {"tier": "agents", "absent": "x"}},
        {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["x"]}]},
        {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["agents"]}]},
        {"matchExpressions": [{"key": "absent", "operator": "Exists"}]},
        {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]},
        {"matchLabels": {"tier": "agents"}, "matchExpressions": [{"key": "absent", "operator": "Exists"}]},
    ],
)
def test_an_aggregated_role_does_not_have_the_rules_of_other_roles(selector: dict[str, Any]) -> None:
    part = cluster_role("part", READ_PODS, labels={"tier": "agents"})
    assert rules_of("whole", cluster_role("whole", select=[selector]), part) == []


def test_the_rules_in_the_manifest_of_an_aggregated_role_are_replaced() -> None:
    part = cluster_role("part", READ_PODS, labels={"tier": "agents"})
    whole = cluster_role("whole", READ_JOBS, select=[{"matchLabels": {"tier": "agents"}}], labels={"tier": "agents"})
    assert rules_of("whole", part, whole) == [READ_PODS]


def test_an_aggregated_role_can_select_an_aggregated_role() -> None:
    part = cluster_role("part", READ_PODS, labels={"to": "edit"})
    edit = cluster_role("edit", labels={"to": "admin"}, select=[{"matchLabels": {"to": "edit"}}])
    admin = cluster_role("admin", select=[{"matchLabels": {"to": "admin"}}])
    assert rules_of("admin", admin, edit, part) == [READ_PODS]


def test_roles_that_select_each_other_have_the_same_rules() -> None:
    left = cluster_role("left", READ_JOBS, labels={"to": "right"}, select=[{"matchLabels": {"to": "left"}}])
    right = cluster_role("right", READ_JOBS, labels={"to": "left"}, select=[{"matchLabels": {"to": "right"}}])
    part = cluster_role("part", READ_PODS, labels={"to": "left"})
    assert rules_of("left", left, right, part) == rules_of("right", left, right, part) == [READ_PODS]


def test_aggregated_rules_are_in_the_order_of_selectors_then_names_without_duplicates() -> None:
    first = cluster_role("b", READ_JOBS, labels={"x": "1"})
    second = cluster_role("a", READ_PODS, READ_JOBS, labels={"x": "2"})
    selectors = [{"matchLabels": {"x": "1"}}, {"matchLabels": {"x": "2"}}]
    assert rules_of("whole", cluster_role("whole", select=selectors), second, first) == [READ_JOBS, READ_PODS]


def test_aggregated_rules_are_in_the_order_of_role_names_even_if_a_selected_role_is_aggregated() -> None:
    whole = cluster_role("a", labels={"x": "1"}, select=[{"matchLabels": {"x": "1"}}])
    late = cluster_role("b", labels={"x": "1"}, select=[{"matchLabels": {"x": "2"}}])
    jobs, pods = cluster_role("c", READ_JOBS, labels={"x": "1"}), cluster_role("d", READ_PODS, labels={"x": "2"})
    assert rules_of("a", whole, late, jobs, pods) == [READ_PODS, READ_JOBS]


def test_a_role_in_a_namespace_is_not_aggregated() -> None:
    role = cluster_role("r", READ_PODS, labels={"x": "1"}) | {"kind": "Role"}
    role["metadata"]["namespace"] = "agents"
    assert rules_of("whole", cluster_role("whole", select=[{"matchLabels": {"x": "1"}}]), role) == []


@pytest.mark.parametrize(
    ("change", "location"),
    [
        ({"rules": [{"verbs": "get"}]}, "ClusterRole r: rules[0].verbs"),
        ({"rules": [{"verbs": [1]}]}, "ClusterRole r: rules[0].verbs"),
        ({"rules": "all"}, "ClusterRole r: rules"),
        ({"metadata": {}}, "metadata.name"),
        ({"metadata": None}, "metadata"),
        ({"kind": "Role"}, "Role r"),
        ({"aggregationRule": {}}, "aggregationRule"),
        (
            {"aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Like"}]}]}},
            "Like",
        ),
        (
            {"aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}},
            "In",
        ),
        ({"kind": "ClusterRoleBinding"}, "roleRef"),
        (
            {"kind": "ClusterRoleBinding", "roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{}]},
            "subjects[0].kind",
        ),
    ],
)
def test_an_error_has_the_location(change: dict[str, Any], location: str) -> None:
    with pytest.raises(PolicyError) as error:
        Policy.from_manifests([cluster_role("r") | change])
    assert location in str(error.value)


def test_two_roles_with_the_same_name_are_an_error() -> None:
    with pytest.raises(PolicyError, match="ClusterRole r: defined 2 times"):
        Policy.from_manifests([cluster_role("r"), cluster_role("r", READ_PODS)])
