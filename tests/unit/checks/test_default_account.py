from collections.abc import Callable

import pytest

from support.manifests import NAMESPACE, Manifest, binding, deployment, good_install, pod_spec, role, subject

Judge = Callable[[list[Manifest]], set[str]]


def test_a_pod_that_names_no_account_runs_as_default(judge: Judge) -> None:
    spec = pod_spec("worker")
    del spec["serviceAccountName"]
    assert "default-account" in judge([*good_install(), deployment("stray", spec)])


@pytest.mark.parametrize(
    "who",
    [
        subject("default"),
        {"kind": "ServiceAccount", "name": "default"},
        {"kind": "User", "name": f"system:serviceaccount:{NAMESPACE}:default"},
        {"kind": "Group", "name": "system:serviceaccounts"},
        {"kind": "Group", "name": f"system:serviceaccounts:{NAMESPACE}"},
        {"kind": "Group", "name": "system:authenticated"},
    ],
)
def test_a_binding_that_reaches_default_is_found_in_every_spelling(judge: Judge, who: Manifest) -> None:
    assert "default-account" in judge([*good_install(), binding("stray", who)])


def test_only_this_check_sees_a_role_without_rules_bound_to_the_group_of_all(judge: Judge) -> None:
    who = {"kind": "Group", "name": "system:authenticated"}
    assert judge([*good_install(), role("empty", []), binding("stray", who, role="empty")]) == {"default-account"}
