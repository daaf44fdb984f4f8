from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.chart.objects import Objects
from agent_identities.checks import registry as checks
from agent_identities.checks.wildcard import CHECK
from agent_identities.declaration import declare
from agent_identities.rbac import Catalogue
from agent_identities.report import Severity
from support.manifests import NAMESPACE, VALUES, Manifest, good_install, role

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


READ_ALL = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}


def severities(chart: Path, rule: Manifest, *, kind: str = "ClusterRole", **accepted: str) -> list[Severity]:
    """The severities of the findings in the role of a tier that accepts these risks."""
    body = role("t-role", [rule])
    body["kind"] = kind
    body["metadata"]["labels"] = {"agent-identities/tier": "t"}
    if kind == "ClusterRole":
        del body["metadata"]["namespace"]
    risks = {risk.replace("_", "-"): reason for risk, reason in accepted.items()}
    values = VALUES | {"tiers": {"t": {"scope": "Cluster", "rules": [rule], "acceptRisks": risks}}}
    install = checks.Install(
        objects=Objects.from_manifests([body]),
        declaration=declare(values, namespace=NAMESPACE),
        catalogue=Catalogue.load(chart / "files" / "risk-catalogue.json"),
    )
    return [finding.severity for finding in CHECK.run(install)]


def test_a_wildcard_whose_risks_the_tier_accepts_is_a_warning(chart: Path) -> None:
    accepted = {"wild_resource_read": "it answers questions", "wild_apigroup": "about all resources"}
    assert severities(chart, READ_ALL, **accepted) == [Severity.WARNING, Severity.WARNING]


def test_a_wildcard_with_a_risk_that_is_not_accepted_is_an_error(chart: Path) -> None:
    assert severities(chart, READ_ALL, wild_apigroup="why") == [Severity.WARNING, Severity.ERROR]
    verbs = {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}
    assert severities(chart, verbs, secret_read="why") == [Severity.ERROR]  # a reason
    assert severities(chart, verbs, wild_verb="why") == [Severity.WARNING]


def test_urls_that_every_user_can_read_are_no_finding(chart: Path) -> None:
    assert severities(chart, {"nonResourceURLs": ["/healthz/*", "/metrics"], "verbs": ["get"]}) == []
    assert severities(chart, {"nonResourceURLs": ["/debug/*"], "verbs": ["get"]}) == [Severity.ERROR]
    assert severities(chart, {"nonResourceURLs": ["*"], "verbs": ["get"]}, wild_nonresource="why") == [Severity.WARNING]
