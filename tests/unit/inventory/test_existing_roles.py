"""Existing roles of tiers: the risks of their rules, and the ClusterRoles that an aggregated one takes them from."""

from pathlib import Path

import pytest

import agent_identities as ai
from agent_identities.inventory.existing_roles import existing_role_findings
from agent_identities.rbac import Catalogue, PolicyRule, Role
from agent_identities.rbac.selector import LabelRequirement, LabelSelector
from agent_identities.report.model import Finding

SECRETS = PolicyRule(("get",), ("",), ("secrets",))
PODS = PolicyRule(("get",), ("",), ("pods",))
INTO = {"into": "reader"}
VALUES = {
    "tiers": {"t": {"scope": "Cluster", "existingRole": {"kind": "ClusterRole", "name": "reader"}}},
    "agents": {"a": {"tiers": ["t"]}},
}


@pytest.fixture
def catalogue(chart: Path) -> Catalogue:
    return Catalogue.load(chart / "files" / "risk-catalogue.json")


def findings(catalogue: Catalogue, *roles: Role) -> list[Finding]:
    rules = {role.name: role.rules for role in roles}
    declaration = ai.load(overrides=VALUES).declaration.with_existing_roles(lambda ref, _namespace: rules[ref.name])
    return list(existing_role_findings(declaration, catalogue, frozenset(), roles))


def test_the_risks_of_an_aggregated_role_name_the_cluster_roles_that_they_come_from(catalogue: Catalogue) -> None:
    selector = LabelSelector((LabelRequirement("into", "In", ("reader",)),))
    whole = Role("ClusterRole", "reader", "", (PODS, SECRETS), {}, (selector,))
    parts = (
        Role("ClusterRole", "harmless", "", (PODS,), INTO),
        Role("ClusterRole", "added", "", (SECRETS,), INTO),
        Role("ClusterRole", "unrelated", "", (SECRETS,), {"into": "other"}),
    )
    (finding,) = findings(catalogue, whole, *parts)
    assert [line for line in finding.details if line.startswith("secret-read") and line.endswith("ClusterRole added")]
    assert any("kubectl get clusterrole added --show-labels" in line for line in finding.remediation)
    assert not any("harmless" in line or "unrelated" in line for line in (*finding.details, *finding.remediation))


def test_a_role_with_rules_of_its_own_names_no_other_role(catalogue: Catalogue) -> None:
    (finding,) = findings(catalogue, Role("ClusterRole", "reader", "", (SECRETS,)))
    assert not any("ClusterRole" in line for line in finding.details)
