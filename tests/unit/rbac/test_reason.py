from agent_identities.rbac import granted_by


def test_the_reason_of_a_role_binding_is_parsed() -> None:
    found = granted_by(
        'RBAC: allowed by RoleBinding "triage-1:reader/team" of ClusterRole "view" to ServiceAccount "triage-1/team"'
    )
    assert found is not None
    assert (found.namespace, found.name, found.role_kind, found.role) == (
        "team",
        "triage-1:reader",
        "ClusterRole",
        "view",
    )
    assert (str(found), found.to_everyone) == ("RoleBinding team/triage-1:reader", False)


def test_the_reason_of_a_cluster_role_binding_is_parsed() -> None:
    found = granted_by(
        'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" '
        'to Group "system:authenticated"'
    )
    assert found is not None
    assert (found.namespace, found.name, found.to_everyone) == ("", "system:discovery", True)


def test_a_user_defined_binding_of_a_group_is_not_granted_to_everyone_by_kubernetes() -> None:
    found = granted_by(
        'RBAC: allowed by ClusterRoleBinding "mistake" of ClusterRole "admin" to Group "system:authenticated"'
    )
    assert found is not None
    assert not found.to_everyone


def test_the_reason_of_another_authorizer_has_no_binding() -> None:
    assert granted_by("allowed by a webhook") is None
