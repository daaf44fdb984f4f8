from collections.abc import Callable

import pytest

from support.manifests import NAMESPACE, Manifest, binding, good_install, role, subject

Judge = Callable[[list[Manifest]], set[str]]


RULE = {"apiGroups": [""], "resources": ["endpoints"], "verbs": ["get"]}


@pytest.mark.parametrize(
    "subject_", [subject("worker"), {"kind": "User", "name": f"system:serviceaccount:{NAMESPACE}:worker"}]
)
def test_only_this_check_finds_a_rule_outside_the_tiers(judge: Judge, subject_: Manifest) -> None:
    assert judge([*good_install(), role("extra", [RULE]), binding("stray", subject_, role="extra")]) == {"within-tiers"}


def test_an_additional_verb_in_the_central_role_is_found(judge: Judge) -> None:
    objects = good_install()
    objects[4]["rules"][0]["verbs"].append("deletecollection")
    assert judge(objects) == {"within-tiers"}


def test_a_tier_that_is_not_bound_is_found(judge: Judge) -> None:
    missing = [obj for obj in good_install() if obj["metadata"]["name"] != "worker-binding"]
    assert judge(missing) == {"within-tiers"}


def test_a_binding_of_an_agent_without_tiers_is_found(judge: Judge) -> None:
    assert judge([*good_install(), binding("idle-binding", subject("idle"))]) == {"within-tiers"}


def test_a_missing_resource_name_is_found(judge: Judge) -> None:
    named = [{**RULE, "resourceNames": ["one"]}, RULE]
    for rules in named:
        objects = [*good_install(), role("extra", [rules]), binding("stray", subject("idle"), role="extra")]
        assert judge(objects) == {"within-tiers"}
