from collections.abc import Callable

import pytest

from support.manifests import NAMESPACE, Manifest, binding, deployment, good_install, pod_spec, role, subject

Judge = Callable[[list[Manifest]], set[str]]


def test_a_pod_without_service_account_name_is_found(judge: Judge) -> None:
    spec = pod_spec("worker")
    del spec["serviceAccountName"]
    assert "default-account" in judge([*good_install(), deployment("stray", spec)])


@pytest.mark.parametrize(
    "subject_",
    [
        subject("default"),
        {"kind": "ServiceAccount", "name": "default"},
        {"kind": "User", "name": f"system:serviceaccount:{NAMESPACE}:default"},
        {"kind": "Group", "name": "system:serviceaccounts"},
        {"kind": "Group", "name": f"system:serviceaccounts:{NAMESPACE}"},
        {"kind": "Group", "name": "system:authenticated"},
    ],
)
def test_a_binding_with_a_subject_that_matches_default_is_found(judge: Judge, subject_: Manifest) -> None:
    assert "default-account" in judge([*good_install(), binding("stray", subject_)])


def test_only_this_check_finds_a_role_without_rules_that_is_bound_to_the_group_of_all(judge: Judge) -> None:
    subject_ = {"kind": "Group", "name": "system:authenticated"}
    assert judge([*good_install(), role("empty", []), binding("stray", subject_, role="empty")]) == {"default-account"}
