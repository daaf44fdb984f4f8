"""Risks of tiers: the templates and Python find the same risks, and the chart refuses risks that are not accepted."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_identities.chart.helm import Helm, HelmError, Renderer, Target
from agent_identities.chart.values import Values
from agent_identities.rbac import PolicyRule
from support.refusals import pasted, paths, problems
from support.risks import (
    CALLER,
    PLACES,
    RISKS,
    WRITES,
    Findings,
    Rules,
    asked_of_templates,
    expected,
    near,
)


class RiskTemplates:
    """Evaluates the chart's templates for many lists of rules in one Helm process."""

    def __init__(self, helm: Helm, chart: Path, folder: Path) -> None:
        shutil.copytree(chart / "files", folder / "files")
        (folder / "templates").mkdir()
        for path in (chart / "templates").glob("_*.tpl"):
            shutil.copy(path, folder / "templates")
        (folder / "Chart.yaml").write_text("{apiVersion: v2, name: agent-identities, version: 0.1.0}")
        (folder / "templates" / "findings.yaml").write_text(CALLER)
        self.helm, self.folder = helm, folder

    def findings(self, asked: Sequence[tuple[Rules, str | None]]) -> list[Findings]:
        """The risks and the indexes of their rules, for each list of rules in its namespace."""
        found = [answer["met"] for answer in self._ask(asked)]
        return [[(risk, number) for risk in RISKS for number in met.get(risk, ())] for met in found]

    def refused(self, asked: Sequence[tuple[Rules, str | None]]) -> list[set[str]]:
        """The risks for which the chart refuses a tier with these rules."""
        texts = [" ".join(text for _, text in answer["refused"]) for answer in self._ask(asked)]
        return [{risk for risk in RISKS if re.search(rf"(?<![\w-]){risk}: ", text)} for text in texts]

    def _ask(self, asked: Sequence[tuple[Rules, str | None]]) -> list[dict[str, Any]]:
        cases = asked_of_templates(asked)
        text = self.helm.template(self.folder, Values(overrides={"cases": cases}), Target())
        return [json.loads(line.removeprefix("  - ")) for line in text.splitlines() if line.startswith("  - ")]


@pytest.fixture(scope="session", params=["helm_4", "helm_3"])
def risk_templates(
    request: pytest.FixtureRequest, chart: Path, tmp_path_factory: pytest.TempPathFactory
) -> RiskTemplates:
    return RiskTemplates(request.getfixturevalue(request.param), chart, tmp_path_factory.mktemp("caller"))


def test_templates_and_python_find_the_same_risks_in_the_rules_of_the_catalogue_and_similar_rules(
    risk_templates: RiskTemplates,
) -> None:
    lists = [*WRITES, *(rules for risk in RISKS.values() for rules in near(risk.bad))]
    asked = [(rules, place) for rules in lists for place in PLACES]
    assert risk_templates.findings(asked) == [expected(rules, place) for rules, place in asked]
    assert {risk for rules, place in asked for risk, _ in expected(rules, place)} == RISKS.keys()


def choices(field: str, *more: str) -> st.SearchStrategy[tuple[str, ...]]:
    """One to three of the values that the rules and patterns of the catalogue contain in a field."""
    risks = RISKS.values()
    named = {item for risk in risks for rule in risk.bad for item in getattr(rule, field)}
    named |= {item for risk in risks for part in risk.parts for pattern in part for item in getattr(pattern, field)}
    return st.lists(st.sampled_from(sorted({*named, *more})), min_size=1, max_size=3).map(tuple)


rules = st.builds(
    PolicyRule,
    verbs=choices("verbs", "*", "impersonate:user-info", "impersonate-on:serviceaccount:get", "typo"),
    api_groups=choices("api_groups", "*"),
    resources=choices("resources", "*", "*/exec", "*/*", "pods/*", "userextras/scopes", "a/b/c", "pods/", "/exec"),
    resource_names=st.just(()) | st.lists(st.sampled_from(["", "own"]), max_size=2).map(tuple),
)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(asked=st.lists(st.tuples(st.lists(rules, max_size=3), st.sampled_from(PLACES)), min_size=60, max_size=80))
def test_templates_and_python_find_the_same_risks_in_generated_rules(
    risk_templates: RiskTemplates, asked: list[tuple[Rules, str | None]]
) -> None:
    assert risk_templates.findings(asked) == [expected(rules, place) for rules, place in asked]


READ_SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
WRITE_SERVICES = {"apiGroups": [""], "resources": ["services"], "verbs": ["update", "patch"]}
WRITE_CONFIG = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["own"], "verbs": ["update"]}
SYSTEM = "configmap-write-kube-system"


def refusal(renderer: Renderer, target: Target | None = None, **values: Any) -> str:
    with pytest.raises(HelmError) as error:
        renderer.render(Values(overrides=values), target)
    return str(error.value)


def renders(renderer: Renderer, values: dict[str, Any]) -> bool:
    try:
        return bool(renderer.render(Values(overrides=values)))
    except HelmError:
        return False


def test_only_critical_and_high_risks_are_refused(risk_templates: RiskTemplates) -> None:
    severe = {risk.id for risk in RISKS.values() if risk.severity in ("critical", "high")}
    asked = [(risk.bad, None) for risk in RISKS.values()]
    assert risk_templates.refused(asked) == [{risk for risk, _ in expected(*each)} & severe for each in asked]


def test_tiers_with_accepted_risks_are_rendered(renderer: Renderer) -> None:
    bad = [risk.bad for risk in RISKS.values()]
    tiers = {
        f"t{number}": {
            "scope": "Cluster",
            "rules": [rule.to_manifest() for rule in rules],
            "acceptRisks": {risk: "why" for risk, _ in expected(rules, None)},
        }
        for number, rules in enumerate(bad)
        if not any("" in rule.resource_names for rule in rules)
    }
    assert len(renderer.render(Values(overrides={"tiers": tiers})).objects.of_kind("ClusterRole")) == len(tiers) == 95


def test_urls_that_are_not_public_are_a_risk_only_with_a_wildcard(renderer: Renderer) -> None:
    def tier(*urls: str, **more: Any) -> dict[str, Any]:
        rule = {"nonResourceURLs": list(urls), "verbs": ["get"]}
        return {"tiers": {"t": {"scope": "Cluster", "rules": [rule]} | more}}

    assert renders(renderer, tier("/metrics", "/healthz/*"))
    assert paths(refusal(renderer, **tier("/metrics", "/debug/*"))) == ["tiers.t.rules[0]"]
    assert paths(refusal(renderer, **tier("*"))) == ["tiers.t.rules[0]"]
    assert renders(renderer, tier("/debug/*", acceptRisks={"wild-nonresource": "it profiles the API server"}))


@pytest.mark.parametrize(
    ("kind", "name", "risk"),
    [
        ("ClusterRole", "cluster-admin", "existing-role-cluster-admin"),
        ("ClusterRole", "admin", "existing-role-admin"),
        ("ClusterRole", "edit", "existing-role-edit"),
        ("ClusterRole", "system:node", "existing-role-system"),
        ("Role", "system:controller:bootstrap-signer", "existing-role-system"),
        ("ClusterRole", "team-admin", "existing-role-unknown"),
        ("Role", "edit", "existing-role-unknown"),
        ("Role", "view", "existing-role-unknown"),
    ],
)
@pytest.mark.parametrize("scope", ["Namespace", "Cluster"])
def test_an_existing_role_takes_a_reason(renderer: Renderer, kind: str, name: str, risk: str, scope: str) -> None:
    if (kind, scope) == ("Role", "Cluster"):
        return
    tier: dict[str, Any] = {"scope": scope, "existingRole": {"kind": kind, "name": name}}
    (problem,) = problems(refusal(renderer, tiers={"t": tier}))
    assert problem.path == "tiers.t.existingRole"
    assert risk in problem.text
    assert any(renders(renderer, given) for given in pasted(problem, {"tiers": {"t": tier}}))
    other = tier | {"acceptRisks": {"secret-read": "why"}}
    in_vain = "tiers.t.acceptRisks.secret-read" in paths(refusal(renderer, tiers={"t": other}))
    assert in_vain == (risk != "existing-role-unknown")


def test_the_role_view_takes_no_reason(renderer: Renderer) -> None:
    assert renders(renderer, {"tiers": {"t": {"existingRole": {"kind": "ClusterRole", "name": "view"}}}})


def test_the_rules_of_a_role_that_the_chart_cannot_read_may_be_accepted(renderer: Renderer) -> None:
    theirs = {"existingRole": {"name": "theirs"}, "acceptRisks": {"existing-role-unknown": "why", "secret-read": "why"}}
    view = {"existingRole": {"kind": "ClusterRole", "name": "view"}, "acceptRisks": {"secret-read": "why"}}
    assert renders(renderer, {"tiers": {"theirs": theirs, "view": view}})


def test_the_message_has_the_rule_the_severity_the_reason_and_the_remediation(renderer: Renderer) -> None:
    tier = {"rules": [WRITE_CONFIG, READ_SECRETS, WRITE_SERVICES]}
    found = problems(refusal(renderer, tiers={"t": tier}))
    assert [problem.path for problem in found] == ["tiers.t.rules[1]", "tiers.t.rules[2]"]
    for problem, risk in zip(found, ("secret-read", "service-write"), strict=True):
        names = (RISKS[risk].severity, risk, RISKS[risk].why)
        assert [name for name in names if name not in problem.text] == [], str(problem)
    taken = [given for given in pasted(found[-1], {"tiers": {"t": tier}}) if renders(renderer, given)]
    assert [list(given["tiers"]["t"]["acceptRisks"]) for given in taken] == [["secret-read", "service-write"]]


def test_the_message_names_the_resources_that_the_catalogue_does_not_know(renderer: Renderer) -> None:
    rules = [
        {"apiGroups": ["w.example.com", "g.example.com"], "resources": ["parts", "wholes"], "verbs": ["patch", "get"]},
        {"apiGroups": ["widgets.example.com"], "resources": ["gadgets/state"], "verbs": ["update"]},
    ]
    tier = {"rules": rules}
    (problem,) = problems(refusal(renderer, tiers={"t": tier}))
    assert problem.path == "tiers.t.rules[0] and rules[1]"
    pairs = [f"{kind}.{group}" for kind in rules[0]["resources"] for group in rules[0]["apiGroups"]]
    assert f": {', '.join([*pairs, 'gadgets/state.widgets.example.com'])}: " in problem.text
    (taken,) = [given for given in pasted(problem, {"tiers": {"t": tier}}) if renders(renderer, given)]
    assert list(taken["tiers"]["t"]["acceptRisks"]) == ["unknown-kind-write"]


def test_the_message_names_both_rules_of_a_risk(renderer: Renderer) -> None:
    rules = [WRITE_CONFIG, *(rule.to_manifest() for rule in RISKS["csr-sign"].bad)]
    found = problems(refusal(renderer, tiers={"t": {"scope": "Cluster", "rules": rules}}))
    assert ["csr-sign" in problem.text for problem in found if problem.path == "tiers.t.rules[1] and rules[2]"] == [
        True
    ]


def test_the_central_role_must_accept_its_risks(renderer: Renderer) -> None:
    assert paths(refusal(renderer, proxy={"rules": [READ_SECRETS]})) == ["proxy.rules[0]"]
    accepted = {"rules": [READ_SECRETS], "acceptRisks": {"secret-read": "why"}}
    assert renderer.render(Values(overrides={"proxy": accepted})).objects.of_kind("Role")


def test_rules_with_the_agents_name_are_evaluated_as_rules_for_one_object(renderer: Renderer) -> None:
    own: dict[str, Any] = {"rules": [WRITE_CONFIG | {"resourceNames": ["{agent}-state"]}]}
    values: dict[str, Any] = {"tiers": {"own": own}, "agents": {"a": {"tiers": ["own"]}}}
    assert renderer.render(Values(overrides=values)).objects.find("Role", "a:own-role")
    own["rules"][0]["resources"] = ["secrets"]
    (problem,) = problems(refusal(renderer, **values))
    assert problem.path == "tiers.own.rules[0]"
    assert "secret-write" in problem.text


def granted_in(namespace: str, **agent: Any) -> dict[str, Any]:
    return {
        "tiers": {"t": {"rules": [WRITE_CONFIG]}},
        "agents": {"a": {"tiers": [], "namespaces": {namespace: ["t"]}, **agent}},
    }


def test_risks_of_a_tier_are_evaluated_in_every_namespace_where_it_is_granted(renderer: Renderer) -> None:
    assert renderer.render(Values(overrides=granted_in("team-a"))).objects.of_kind("Role")
    (problem,) = problems(refusal(renderer, **granted_in("kube-system")))
    assert problem.path == "tiers.t.rules[0]"
    assert SYSTEM in problem.text


def test_risks_of_a_tier_are_evaluated_in_the_agents_namespace(renderer: Renderer) -> None:
    values: dict[str, Any] = {"tiers": {"t": {"rules": [WRITE_CONFIG]}}}
    assert SYSTEM in refusal(renderer, Target(namespace="kube-system"), **values)
    assert SYSTEM in refusal(renderer, **values, namespaceOverride="kube-system")


@pytest.mark.parametrize("change", [{"quarantined": True}, {"namespaces": {"team-a": ["t"]}}])
def test_an_accepted_risk_stays_valid_if_the_agent_leaves_the_namespace(
    renderer: Renderer, change: dict[str, Any]
) -> None:
    values = granted_in("kube-system", **change)
    values["tiers"]["t"]["acceptRisks"] = {SYSTEM: "it keeps its own settings there"}
    assert renderer.render(Values(overrides=values)).objects.of_kind("Role")


def test_the_role_has_an_annotation_with_its_accepted_risks(renderer: Renderer) -> None:
    risks = {"service-write": "it steers the mesh: on purpose", "secret-read": "it rotates them"}
    tiers = {"t": {"rules": [WRITE_SERVICES, READ_SECRETS], "acceptRisks": risks}, "plain": {"rules": [WRITE_CONFIG]}}
    objects = renderer.render(Values(overrides={"tiers": tiers})).objects
    role, plain = objects.find("Role", "t-role"), objects.find("Role", "plain-role")
    assert role
    assert plain
    assert role.annotations == {
        "agent-identities/accepted-risks": "secret-read: it rotates them\nservice-write: it steers the mesh: on purpose"
    }
    assert not plain.annotations


@pytest.mark.parametrize(
    ("tier", "met"),
    [
        ({"acceptRisks": {"secrets-read": "why"}}, "secret-read"),
        ({"acceptRisks": {"secret-read": "why", "pod-exec": "why"}}, "secret-read"),
        (
            {"rules": [], "existingRole": {"name": "theirs"}, "acceptRisks": {"secrets-read": "why"}},
            "existing-role-unknown",
        ),
    ],
)
def test_accepting_a_risk_that_the_rules_do_not_match_is_refused(
    renderer: Renderer, tier: dict[str, Any], met: str
) -> None:
    whole = {key: value for key, value in ({"rules": [READ_SECRETS]} | tier).items() if value}
    found = problems(refusal(renderer, tiers={"t": whole}))
    last = next(one for one in found if one.path == f"tiers.t.acceptRisks.{list(tier['acceptRisks'])[-1]}")
    assert f" {met}." in last.text
