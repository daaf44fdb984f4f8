from collections.abc import Callable

import pytest

from support.manifests import Manifest, good_install, role

Judge = Callable[[list[Manifest]], set[str]]


@pytest.mark.parametrize(
    "rule",
    [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["*"], "verbs": ["get"]},
        {"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["*/status"], "verbs": ["get"]},
    ],
)
def test_a_wildcard_in_any_field_of_a_rule_is_found(judge: Judge, rule: Manifest) -> None:
    assert "wildcard" in judge([*good_install(), role("unbound", [rule])])


def test_only_this_check_finds_a_wildcard_group_with_a_harmless_resource(judge: Judge) -> None:
    rule = {"apiGroups": ["*"], "resources": ["widgets"], "verbs": ["get"]}
    assert judge([*good_install(), role("unbound", [rule])]) == {"wildcard"}
