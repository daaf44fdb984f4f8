"""The audit policy hides no agent's request and never writes a body."""

import pytest
import yaml

from agent_identities.bundled import kind_path

NOBODYS_AGENTS = {
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


def test_no_body_is_ever_written(rules: list[dict[str, object]]) -> None:
    assert {rule["level"] for rule in rules} == {"None", "Metadata"}


def test_whatever_no_other_rule_takes_is_written(rules: list[dict[str, object]]) -> None:
    assert rules[-1] == {"level": "Metadata"}


def test_only_the_control_plane_s_own_requests_and_health_checks_are_left_out(rules: list[dict[str, object]]) -> None:
    hidden = [rule for rule in rules if rule["level"] == "None"]
    assert hidden
    for rule in hidden:
        who = {*rule.get("users", ()), *rule.get("userGroups", ())}  # type: ignore[misc] # YAML has no types
        assert (who and who <= NOBODYS_AGENTS) or rule["nonResourceURLs"] == ["/healthz*", "/livez*", "/readyz*"]
