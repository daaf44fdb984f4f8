from collections.abc import Callable

import pytest

from support.manifests import Manifest, good_install, role

Judge = Callable[[list[Manifest]], set[str]]


@pytest.mark.parametrize(
    ("resource", "verb"),
    [
        ("secrets", "get"),
        ("pods/exec", "create"),
        ("serviceaccounts/token", "create"),
        ("serviceaccounts", "impersonate"),
    ],
)
def test_only_this_check_sees_a_critical_rule_that_nobody_is_bound_to(judge: Judge, resource: str, verb: str) -> None:
    rule = {"apiGroups": [""], "resources": [resource], "verbs": [verb]}
    assert judge([*good_install(), role("unbound", [rule])]) == {"risk"}
