from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart.objects import Objects
from agent_identities.checks import registry as checks
from agent_identities.checks.risk import CHECK
from agent_identities.declaration import declare
from agent_identities.rbac import Catalogue
from agent_identities.report import Severity
from support.manifests import NAMESPACE, RULES, VALUES, Manifest, good_install, role

Judge = Callable[[list[Manifest]], set[str]]
READ_SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
WRITE_SERVICES = {"apiGroups": [""], "resources": ["services"], "verbs": ["patch"]}


@pytest.mark.parametrize(
    ("resource", "verb"),
    [
        ("secrets", "get"),
        ("pods/exec", "create"),
        ("serviceaccounts/token", "create"),
        ("serviceaccounts", "impersonate"),
    ],
)
def test_only_this_check_finds_a_critical_rule_in_an_unbound_role(judge: Judge, resource: str, verb: str) -> None:
    rule = {"apiGroups": [""], "resources": [resource], "verbs": [verb]}
    assert judge([*good_install(), role("unbound", [rule])]) == {"risk"}


def found(chart: Path, rules: list[Manifest], *, tier: str = "t", **values: Any) -> list[tuple[Severity, str]]:
    """The findings of the check for one Role of a tier, with these values."""
    body = role(f"{tier}-role", rules)
    body["metadata"]["labels"] = {"agent-identities/tier": tier}
    install = checks.Install(
        objects=Objects.from_manifests([body]),
        declaration=declare(VALUES | values, namespace=NAMESPACE),
        catalogue=Catalogue.load(chart / "files" / "risk-catalogue.json"),
    )
    return [(finding.severity, finding.message) for finding in CHECK.run(install)]


def test_a_high_risk_is_a_warning(chart: Path) -> None:
    ((severity, message),) = found(chart, [WRITE_SERVICES])
    assert severity is Severity.WARNING
    assert "has the high risk service-write" in message
    assert "accepted" not in message


@pytest.mark.parametrize("rule", [READ_SECRETS, WRITE_SERVICES])
def test_an_accepted_risk_is_a_warning_with_its_reason(chart: Path, rule: Manifest) -> None:
    risks = {"secret-read": "it rotates them", "service-write": "it steers the mesh"}
    ((severity, message),) = found(chart, [rule], tiers={"t": {"rules": [rule], "acceptRisks": risks}})
    assert severity is Severity.WARNING
    assert message.endswith(("(accepted: it rotates them).", "(accepted: it steers the mesh)."))


def test_the_central_role_has_its_own_accepted_risks(chart: Path) -> None:
    proxy = {"name": "agent-proxy", "rules": [READ_SECRETS], "acceptRisks": {"secret-read": "why"}}
    assert [severity for severity, _ in found(chart, [READ_SECRETS], tier="proxy", proxy=proxy)] == [Severity.WARNING]


def test_an_accepted_risk_does_not_apply_to_other_risks_or_other_tiers(chart: Path) -> None:
    tiers = {
        "t": {"rules": [READ_SECRETS], "acceptRisks": {"pod-exec": "why"}},
        "u": {"rules": [READ_SECRETS], "acceptRisks": {"secret-read": "why"}},
    }
    assert [severity for severity, _ in found(chart, [READ_SECRETS], tiers=tiers)] == [Severity.ERROR]


IMPERSONATE = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]}


@pytest.mark.parametrize(
    ("names", "severity"),
    [
        ({"resourceNames": ["shopper"]}, Severity.WARNING),
        ({"resourceNames": ["shopper", "worker"]}, Severity.ERROR),
        ({}, Severity.ERROR),
    ],
)
def test_only_proxied_agents_may_be_impersonated(chart: Path, names: Manifest, severity: Severity) -> None:
    proxy = {"name": "agent-proxy", "rules": RULES, "impersonation": "legacy"}
    agents = {"shopper": {"access": "proxied"}, "worker": {}}
    findings = found(chart, [IMPERSONATE | names], tier="none", proxy=proxy, agents=agents)
    assert [found_severity for found_severity, message in findings if "impersonate-sa" in message] == [severity]


@pytest.mark.parametrize(
    ("role_name", "accepted", "severity", "words"),
    [
        ("cluster-admin", {}, Severity.ERROR, "critical risk existing-role-cluster-admin"),
        ("cluster-admin", {"existing-role-cluster-admin": "it operates"}, Severity.WARNING, "(accepted: it operates)"),
        ("team-admin", {}, Severity.ERROR, "high risk existing-role-unknown"),
        ("team-admin", {"existing-role-unknown": "they own it"}, Severity.WARNING, "(accepted: they own it)"),
    ],
)
def test_existing_roles_are_judged_by_their_names(
    chart: Path, role_name: str, accepted: Manifest, severity: Severity, words: str
) -> None:
    tiers = {"theirs": {"existingRole": {"kind": "ClusterRole", "name": role_name}, "acceptRisks": accepted}}
    agents = {"a": {"tiers": ["theirs"]}, "b": {"tiers": ["theirs"]}}
    findings = found(chart, RULES, tier="none", tiers=tiers, agents=agents)
    ((given, message),) = [each for each in findings if "existingRole" in each[1]]
    assert given is severity
    assert words in message
    assert message.startswith("tiers.theirs.existingRole")


def test_the_role_view_is_no_risk(chart: Path) -> None:
    tiers = {"theirs": {"existingRole": {"kind": "ClusterRole", "name": "view"}}}
    assert found(chart, RULES, tier="none", tiers=tiers, agents={"a": {"tiers": ["theirs"]}}) == []


def test_a_write_of_an_unknown_kind_is_a_warning(chart: Path) -> None:
    rule = {"apiGroups": ["widgets.example.com"], "resources": ["widgets"], "verbs": ["patch"]}
    ((severity, message),) = found(chart, [rule])
    assert severity is Severity.WARNING
    assert "has the high risk unknown-kind-write: widgets.widgets.example.com: " in message
