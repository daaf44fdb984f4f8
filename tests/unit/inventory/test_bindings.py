from pathlib import Path
from typing import Any

import pytest

from agent_identities import bundled
from agent_identities.chart import values
from agent_identities.declaration import Declaration, declare
from agent_identities.inventory.binding_findings import binding_findings, foreign_subjects
from agent_identities.inventory.bindings import HeldRole, undeclared_roles
from agent_identities.inventory.confirm import Confirmed
from agent_identities.inventory.read import ClusterState
from agent_identities.rbac import Binding, Catalogue, Policy, PolicyRule, Role, RoleRef, Subject
from agent_identities.rbac.default_grants import PUBLIC_URLS, RESOURCES
from agent_identities.report.model import Finding, Severity

HOME = "agent-system"
READ_PODS = PolicyRule(("get", "list", "watch"), ("",), ("pods",))
CREATE_JOBS = PolicyRule(("create",), ("batch",), ("jobs",))
SECRETS = PolicyRule(("get",), ("",), ("secrets",))
EDIT = Role("ClusterRole", "edit", rules=(SECRETS, CREATE_JOBS))
VIEW = Role("ClusterRole", "view", rules=(READ_PODS,))
READER = Role("Role", "pod-reader-role", HOME, (READ_PODS,))
ALICE = Subject("User", "alice")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load(bundled.chart_path() / "files" / "risk-catalogue.json")


@pytest.fixture(scope="module")
def declaration() -> Declaration:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    agents: dict[str, Any] = {
        "triage": {"tiers": ["pod-reader"]},
        "other": {"tiers": [], "namespaces": {"team-x": ["pod-reader"]}},
        "suspect": {"tiers": ["pod-reader"], "quarantined": True},
    }
    given = {"proxy": {"name": "agent-proxy", "rules": []}, "tiers": {"pod-reader": {"rules": rules}}, "agents": agents}
    return declare(given, namespace=HOME)


def agent(name: str, namespace: str = HOME) -> Subject:
    return Subject("ServiceAccount", name, namespace)


def bound(name: str, namespace: str, role: Role | RoleRef, *subjects: Subject) -> Binding:
    ref = role if isinstance(role, RoleRef) else RoleRef(role.kind, role.name)
    return Binding("RoleBinding" if namespace else "ClusterRoleBinding", name, namespace, ref, subjects)


OWN = bound("triage:pod-reader-role", HOME, READER, agent("triage"))


@pytest.fixture
def look(declaration: Declaration, catalogue: Catalogue) -> Any:
    def undeclared(*bindings: Binding, roles: tuple[Role, ...] = (EDIT, VIEW, READER)) -> tuple[HeldRole, ...]:
        return undeclared_roles(ClusterState(Policy(roles, bindings)), declaration, catalogue)

    return undeclared


def findings(held: tuple[HeldRole, ...]) -> list[Finding]:
    return list(binding_findings(held, [Confirmed()] * len(held)))


@pytest.mark.parametrize(
    "subject",
    [
        agent("triage"),
        Subject("User", f"system:serviceaccount:{HOME}:triage"),
        Subject("Group", "system:serviceaccounts"),
        Subject("Group", f"system:serviceaccounts:{HOME}"),
        Subject("Group", "system:authenticated"),
    ],
    ids=lambda subject: f"{subject.kind}-{subject.name}",
)
@pytest.mark.parametrize("namespace", ["payments", ""])
def test_a_binding_that_reaches_an_agent_is_one_finding(look: Any, subject: Subject, namespace: str) -> None:
    (held,) = look(OWN, bound("left-over", namespace, EDIT, subject))
    assert "triage" in {one.name for one in held.identities}
    (found,) = findings((held,))
    assert found.severity is Severity.ERROR
    assert found.location.object == held.key
    assert any("secret-read (critical)" in line for line in found.details)
    assert found.remediation[0].startswith("To remove it: kubectl")


@pytest.mark.parametrize(
    "subject",
    [
        agent("triage", "other-namespace"),
        agent("triage", ""),
        Subject("Group", "system:serviceaccounts:other-namespace"),
        Subject("User", "triage"),
    ],
    ids=lambda subject: f"{subject.kind}-{subject.namespace}-{subject.name}",
)
def test_a_binding_of_another_subject_is_not_a_finding(look: Any, subject: Subject) -> None:
    assert look(OWN, bound("left-over", "payments", EDIT, subject)) == ()


def test_the_bindings_of_the_chart_are_not_findings(look: Any) -> None:
    elsewhere = Role("Role", f"{HOME}:agents:pod-reader-role", "team-x", (READ_PODS,))
    name = f"other:{HOME}:agents:pod-reader-role"
    per_tier = bound("pod-reader-role:c", HOME, READER, agent("triage"))
    roles = (EDIT, VIEW, READER, elsewhere)
    assert look(OWN, per_tier, bound(name, "team-x", elsewhere, agent("other")), roles=roles) == ()


def test_a_changed_rule_of_the_chart_is_a_finding_about_the_role_and_not_about_its_binding(look: Any) -> None:
    held = look(OWN, roles=(Role("Role", READER.name, HOME, (READ_PODS, CREATE_JOBS)),))
    (found,) = findings(held)
    assert str(found.location) == f"Role {HOME}/pod-reader-role rules[1]"
    assert "--force-conflicts" in found.remediation[0]
    assert not any("delete" in line for line in found.remediation)


def test_a_changed_rule_is_one_finding_for_all_agents_of_the_tier(catalogue: Catalogue, chart: Path) -> None:
    many = declare(values.load(chart, overrides={"agents": {f"a{number}": {} for number in range(50)}}), namespace=HOME)
    role = Role("Role", "agent-proxy-role", HOME, (*many.proxy.grants[0].rules, CREATE_JOBS))
    bindings = (bound(f"{one.name}-binding", HOME, role, agent(one.name)) for one in many.agents)
    held = undeclared_roles(ClusterState(Policy((role,), tuple(bindings))), many, catalogue)
    (found,) = findings(held)
    assert "(50 ServiceAccounts)" in found.message


def test_a_binding_of_the_chart_with_another_agent_is_not_deleted(look: Any) -> None:
    (held,) = look(bound(OWN.name, HOME, READER, agent("triage"), agent("suspect")))
    (found,) = findings((held,))
    assert [one.name for one in held.identities] == ["suspect"]
    assert '"path":"/subjects/1"' in found.remediation[0]
    assert "--force-conflicts" in found.remediation[1]


def test_a_second_binding_of_declared_rights_is_a_warning(look: Any) -> None:
    (found,) = findings(look(OWN, bound("copy", HOME, READER, agent("triage"))))
    assert found.severity is Severity.WARNING
    assert found.remediation == (f"To remove it: kubectl -n {HOME} delete rolebinding copy",)


def test_a_binding_of_a_quarantined_agent_is_a_finding_without_advice_to_keep_it(look: Any) -> None:
    (found,) = findings(look(bound("suspect:pod-reader-role", HOME, READER, agent("suspect"))))
    assert found.severity is Severity.ERROR
    assert "(quarantined)" in found.message
    assert len(found.remediation) == 1


def test_a_binding_without_its_role_is_a_warning(look: Any) -> None:
    (found,) = findings(look(bound("left-over", "payments", RoleRef("Role", "gone"), agent("triage"))))
    assert found.rule == "dangling-binding"
    assert found.severity is Severity.WARNING


def test_a_role_that_could_not_be_read_is_not_absent(declaration: Declaration, catalogue: Catalogue) -> None:
    policy = Policy((), (bound("left-over", "payments", EDIT, agent("triage")),))
    held = undeclared_roles(ClusterState(policy, unread_roles=frozenset({"ClusterRole"})), declaration, catalogue)
    (found,) = findings(held)
    assert found.severity is Severity.ERROR
    assert "could not be read" in found.message


def test_rights_that_kubernetes_gives_to_every_service_account_are_not_a_finding(look: Any) -> None:
    discovery = Role("ClusterRole", "system:discovery", rules=(PUBLIC_URLS, *RESOURCES))
    binding = bound("system:discovery", "", discovery, Subject("Group", "system:authenticated"))
    assert look(binding, roles=(discovery,)) == ()
    changed = Role("ClusterRole", "system:discovery", rules=(PUBLIC_URLS, SECRETS), labels={"bootstrapping": "x"})
    assert len(look(binding, roles=(changed,))) == 1


def test_other_subjects_of_a_binding_can_keep_it(look: Any) -> None:
    (found,) = findings(look(bound("left-over", "payments", EDIT, ALICE, agent("triage"))))
    assert '"path":"/subjects/1"' in found.remediation[0]
    assert "also for User alice: kubectl -n payments delete rolebinding left-over" in found.remediation[1]


def test_the_same_binding_in_many_namespaces_is_one_finding(look: Any) -> None:
    (found,) = findings(look(*(bound("devs", f"team-{number}", EDIT, agent("triage")) for number in range(40))))
    assert "and 35 more" in found.message


def test_an_existing_role_of_the_values_is_bound_as_declared(catalogue: Catalogue) -> None:
    tier = {"existingRole": {"kind": "ClusterRole", "name": "view"}}
    given = {
        "proxy": {"name": "agent-proxy", "rules": []},
        "tiers": {"reports": tier},
        "agents": {"triage": {"tiers": ["reports"], "namespaces": {"team-x": ["reports"]}}},
    }
    declared = declare(given, namespace=HOME).with_existing_roles(lambda _ref, _namespace: VIEW.rules)
    bindings = [
        bound("ClusterRole:triage:view", HOME, VIEW, agent("triage")),
        bound("ClusterRole:c:view", HOME, VIEW, agent("triage")),
        bound(f"{HOME}:agents:ClusterRole:triage:view", "team-x", VIEW, agent("triage")),
    ]
    foreign = bound("Role:triage:view", HOME, VIEW, agent("triage"))
    (held,) = undeclared_roles(ClusterState(Policy((VIEW,), (*bindings, foreign))), declared, catalogue)
    assert held.binding == foreign
    of_others = bound("view", HOME, VIEW, ALICE)  # a binding of another user, with the name of its role
    assert list(foreign_subjects([*bindings, of_others], declared)) == []


DISCOVERY = Role("ClusterRole", "system:discovery", rules=(PUBLIC_URLS, SECRETS))
EVERYONE = Subject("Group", "system:authenticated")


def test_rules_are_removed_from_a_role_of_kubernetes_and_its_binding_stays(look: Any) -> None:
    (held,) = look(bound("system:discovery", "", DISCOVERY, EVERYONE), roles=(DISCOVERY,))
    (found,) = findings((held,))
    assert found.remediation[0] == (
        "ClusterRole system:discovery belongs to Kubernetes, and was changed. To remove the rules: kubectl patch "
        "clusterrole system:discovery --type=json -p "
        """'[{"op":"test","path":"/rules/1/verbs","value":["get"]},{"op":"remove","path":"/rules/1"}]'"""
    )
    assert not any("delete" in line for line in found.remediation)


@pytest.mark.parametrize(
    ("role", "other"), [("cluster-admin", Subject("Group", "system:masters")), ("system:discovery", EVERYONE)]
)
def test_an_agent_is_removed_from_a_binding_of_kubernetes_and_the_binding_stays(
    look: Any, role: str, other: Subject
) -> None:
    rules = (PUBLIC_URLS,) if role == "system:discovery" else (SECRETS,)
    made = Role("ClusterRole", role, rules=rules)
    (held,) = look(bound(role, "", made, other, agent("triage")), roles=(made,))
    (found,) = findings((held,))
    assert f"kubectl patch clusterrolebinding {role} " in found.remediation[0]
    assert '"path":"/subjects/1"' in found.remediation[0]
    assert not any("delete" in line for line in found.remediation)


def test_a_binding_with_a_reserved_name_for_an_agent_alone_is_deleted(look: Any) -> None:
    made = Role("ClusterRole", "system:mine", rules=(SECRETS,))
    (held,) = look(bound("system:mine", "", made, agent("triage")), roles=(made,))
    (found,) = findings((held,))
    assert found.remediation[0] == "To remove it: kubectl delete clusterrolebinding system:mine"


@pytest.mark.parametrize(
    ("subject", "named"),
    [
        (ALICE, "User alice"),
        (Subject("Group", "developers"), "Group developers"),
        (agent("stranger"), f"ServiceAccount {HOME}/stranger"),
        (agent("triage", "elsewhere"), "ServiceAccount elsewhere/triage"),
    ],
    ids=str,
)
def test_another_subject_in_a_binding_of_the_release_is_a_finding(
    declaration: Declaration, subject: Subject, named: str
) -> None:
    (found,) = foreign_subjects([bound(OWN.name, HOME, READER, agent("triage"), subject)], declaration)
    assert named in found.message
    assert f"patch rolebinding {OWN.name}" in found.remediation[0]
    assert '"path":"/subjects/1"' in found.remediation[0]


def test_agents_and_other_releases_are_not_other_subjects(declaration: Declaration) -> None:
    elsewhere = Role("Role", f"{HOME}:agents:pod-reader-role", "team-x", (READ_PODS,))
    bindings = [
        OWN,
        bound(OWN.name, HOME, READER, agent("triage"), agent("suspect")),  # an undeclared binding of an agent
        bound(OWN.name, HOME, READER, agent("triage"), Subject("Group", "system:serviceaccounts")),
        bound(f"{HOME}:agents:pod-reader-role:c", "team-x", elsewhere, agent("other"), agent("of-another-release")),
        bound("theirs", HOME, READER, ALICE),
    ]
    assert list(foreign_subjects(bindings, declaration)) == []


def test_fifty_thousand_bindings_of_others_hide_no_binding_of_an_agent(look: Any) -> None:
    stranger = agent("triage", "elsewhere")
    others = [bound(f"b{n}", f"team-{n % 50}", VIEW, stranger) for n in range(50_000)]
    hidden = bound("hidden", "team-7", EDIT, agent("other"))
    (held,) = look(OWN, *others[:25_000], hidden, *others[25_000:])
    assert (held.binding, [one.name for one in held.identities]) == (hidden, ["other"])
