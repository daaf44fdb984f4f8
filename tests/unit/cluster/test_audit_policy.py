"""The audit policy records every request of an agent and never records a body."""

import pytest
import yaml

from agent_identities.bundled import kind_path

CONTROL_PLANE = {
    "system:apiserver",
    "system:kube-controller-manager",
    "system:kube-scheduler",
    "system:kube-proxy",
    "system:nodes",
}


@pytest.fixture(scope="module")
def rules() -> list[dict[str, object]]:
    policy = yaml.safe_load((kind_path() / "audit-policy.yaml").read_text())
    rules: list[dict[str, object]] = policy["rules"]
    return rules


def test_bodies_are_never_recorded(rules: list[dict[str, object]]) -> None:
    assert {rule["level"] for rule in rules} == {"None", "Metadata"}


def test_the_last_rule_records_all_other_requests(rules: list[dict[str, object]]) -> None:
    assert rules[-1] == {"level": "Metadata"}


def test_only_control_plane_requests_and_health_checks_are_omitted(rules: list[dict[str, object]]) -> None:
    hidden = [rule for rule in rules if rule["level"] == "None"]
    assert hidden
    for rule in hidden:
        subjects = {*rule.get("users", ()), *rule.get("userGroups", ())}  # type: ignore[misc] # YAML has no types
        control_plane = bool(subjects) and subjects <= CONTROL_PLANE
        assert control_plane or rule["nonResourceURLs"] == ["/healthz*", "/livez*", "/readyz*"]
