"""Which subjects that can become an agent are findings: by the values, the guards and the known components."""

from typing import Any

import pytest

import agent_identities as ai
from agent_identities.inventory.guards import closures
from agent_identities.inventory.surroundings import Surroundings, surroundings_of
from agent_identities.inventory.ways_in import Entrants, Verdict, entrants, known_subjects, text_of
from agent_identities.inventory.ways_report import counted, data, findings, table
from agent_identities.rbac import Binding, Policy, PolicyRule, Role, RoleRef, Subject
from agent_identities.rbac.selector import LabelSelector
from agent_identities.rbac.ways import WAYS

NAMESPACE = "agent-system"
EVE = Subject("User", "eve")
TWO: dict[str, Any] = {"agents": {"a": {}, "b": {}}}
TOKENS = PolicyRule(("create",), ("",), ("serviceaccounts/token",))
PODS = PolicyRule(("create",), ("",), ("pods",))
USE = PolicyRule(("use",), ("agent-identities",), (f"agents/{NAMESPACE}",), ("a",))

Json = dict[str, Any]
EVERYONE = "{'a':0,'b':0,'agent-proxy':0}"


def held(
    *rules: PolicyRule, subjects: tuple[Subject, ...] = (EVE,), name: str = "r", everywhere: bool = False
) -> Policy:
    if everywhere:
        role = Role("ClusterRole", name, "", rules)
        return Policy((role,), (Binding("ClusterRoleBinding", name, "", RoleRef("ClusterRole", name), subjects),))
    role = Role("Role", name, NAMESPACE, rules)
    return Policy((role,), (Binding("RoleBinding", name, NAMESPACE, RoleRef("Role", name), subjects),))


def both(*policies: Policy) -> Policy:
    return Policy(
        tuple(r for each in policies for r in each.roles), tuple(b for each in policies for b in each.bindings)
    )


def found(policy: Policy, values: Json = TWO, around: Surroundings = Surroundings()) -> Entrants:  # noqa: B008 # frozen
    return entrants(ai.load(overrides=values).declaration, policy, around)


def verdicts(found: Entrants) -> dict[str, set[Verdict]]:
    by_way: dict[str, set[Verdict]] = {}
    for each in (each for one in found.subjects for each in one.judged):
        by_way.setdefault(each.opening.way.id, set()).add(each.verdict)
    return by_way


def guard(end: str, rules: list[Json], accounts: str = EVERYONE, **spec: Any) -> list[Json]:
    """A policy as the chart renders it, with the parts that decide whether it is in force, and its binding."""
    meta = {"name": f"agents.{NAMESPACE}.{end}", "labels": {"app.kubernetes.io/name": "agent-identities"}}
    selector = {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}
    policy = {
        "kind": "ValidatingAdmissionPolicy",
        "metadata": meta,
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"namespaceSelector": selector, "resourceRules": rules},
            "variables": [{"name": "accounts0", "expression": accounts}],
            "validations": [{"expression": "false"}],
            **spec,
        },
    }
    return [
        policy,
        {"kind": "ValidatingAdmissionPolicyBinding", "metadata": meta, "spec": DENIES | {"policyName": meta["name"]}},
    ]


DENIES: Json = {"validationActions": ["Deny"]}
ON_TOKENS = [{"apiGroups": [""], "resources": ["serviceaccounts/token"], "operations": ["CREATE"]}]


def around(*manifests: Json) -> Surroundings:
    return surroundings_of(manifests, [NAMESPACE])


def test_a_guard_in_force_closes_its_way_and_no_other() -> None:
    made = found(held(TOKENS, PODS), around=around(*guard("tokens", ON_TOKENS)))
    assert verdicts(made) == {"tokens": {Verdict.REFUSED}, "pods": {Verdict.OPEN}}
    (finding,) = findings(made)
    assert "Guards in force refuse other ways: tokens." in finding.details


RBAC = "rbac.authorization.k8s.io"
ON_ROLES = [{"apiGroups": [RBAC], "resources": ["roles", "clusterroles"], "operations": ["CREATE", "UPDATE"]}]


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("existing", Verdict.REFUSED), (f"{NAMESPACE}:agents:own", Verdict.REFUSED), ("other", Verdict.OPEN)],
)
def test_the_guard_of_roles_closes_only_the_roles_that_it_knows(name: str, verdict: Verdict) -> None:
    agent = Subject("ServiceAccount", "a", NAMESPACE)
    changes = PolicyRule(("patch",), (RBAC,), ("clusterroles",), (name,))
    policy = both(
        held(TOKENS, subjects=(agent,), name=name, everywhere=True), held(changes, name="changes", everywhere=True)
    )
    values = {
        "tiers": {"t": {"existingRole": {"kind": "ClusterRole", "name": "existing"}}},
        "agents": {"a": {"tiers": ["t"]}},
    }
    made = found(policy, values, around(*guard("roles", ON_ROLES, matchConditions=[{"name": "role-of-agents"}])))
    (eve,) = (each for each in made.subjects if each.subject == EVE)
    assert {(each.opening.way.id, each.verdict) for each in eve.judged} == {("roles", verdict)}


def test_no_guard_closes_the_labels_of_an_aggregated_role() -> None:
    agent = Subject("ServiceAccount", "a", NAMESPACE)
    into = Role("ClusterRole", "existing", "", (), {}, (LabelSelector(),))
    binding = Binding("ClusterRoleBinding", "b", "", RoleRef("ClusterRole", "existing"), (agent,))
    creates = PolicyRule(("create",), (RBAC,), ("clusterroles",))
    policy = both(Policy((into,), (binding,)), held(creates, name="creates", everywhere=True))
    made = found(policy, around=around(*guard("roles", ON_ROLES)))
    assert verdicts(made) == {"aggregation": {Verdict.OPEN}}


def _changed(**fields: Any) -> list[Json]:
    policy, binding = guard("tokens", ON_TOKENS)
    return [policy, {**binding, "spec": {**binding["spec"], **fields}}]


@pytest.mark.parametrize(
    "manifests",
    [
        guard("tokens", ON_TOKENS)[:1],
        _changed(validationActions=["Warn"]),
        _changed(validationActions=["Audit"]),
        _changed(policyName="agents.other.tokens"),
        _changed(matchResources={"objectSelector": {"matchLabels": {"x": "y"}}}),
        _changed(paramRef={"name": "x"}),
        guard("tokens", [{**ON_TOKENS[0], "operations": ["UPDATE"]}]),
        guard("tokens", [{**ON_TOKENS[0], "resources": ["secrets"]}]),
        guard("tokens", [{**ON_TOKENS[0], "resourceNames": ["other"]}]),
        guard("tokens", ON_TOKENS, failurePolicy="Ignore"),
        guard("tokens", ON_TOKENS, validations=[]),
        guard("tokens", ON_TOKENS, matchConditions=[{"name": "not-eve", "expression": "false"}]),
    ],
    ids=[
        *("no binding", "Warn", "Audit", "binding of another policy", "limited binding", "parameters", "operation"),
        *("resource", "names", "failurePolicy", "no validation", "condition"),
    ],
)
def test_a_guard_that_is_not_in_force_closes_nothing(manifests: list[Json]) -> None:
    assert verdicts(found(held(TOKENS), around=around(*manifests))) == {"tokens": {Verdict.OPEN}}


def test_a_guard_closes_the_way_for_every_account_also_if_its_policy_names_some() -> None:
    made = found(held(TOKENS), around=around(*guard("tokens", ON_TOKENS, accounts="{'a':0}")))
    states = {each.verdict: each.accounts for each in made.subjects[0].judged}
    assert states == {Verdict.REFUSED: {"a", "b", "agent-proxy"}}


def test_a_right_that_exempts_from_a_guard_opens_the_way_for_its_accounts() -> None:
    made = found(held(TOKENS, USE), around=around(*guard("tokens", ON_TOKENS)))
    states = {each.verdict: each.accounts for each in made.subjects[0].judged}
    assert states == {Verdict.OPEN: {"a"}, Verdict.REFUSED: {"b", "agent-proxy"}}


def test_a_subject_that_can_delete_a_guard_is_stopped_by_none() -> None:
    delete = PolicyRule(("delete",), ("admissionregistration.k8s.io",), ("validatingadmissionpolicies",))
    policy = both(held(TOKENS), held(delete, name="deletes", everywhere=True))
    made = found(policy, around=around(*guard("tokens", ON_TOKENS)))
    assert verdicts(made) == {"tokens": {Verdict.OPEN}, "guards": {Verdict.OPEN}}
    assert verdicts(found(policy)) == {"tokens": {Verdict.OPEN}}  # without a guard, there is none to delete


def test_controllers_are_exempt_from_run_as_and_other_accounts_of_kube_system_are_not() -> None:
    on_pods = [{"apiGroups": [""], "resources": ["pods"], "operations": ["CREATE"]}]
    addon = Subject("ServiceAccount", "addon", "kube-system")
    guarded = around(*guard("run-as", on_pods))
    assert verdicts(found(held(PODS), around=guarded)) == {"pods": {Verdict.REFUSED}}
    assert verdicts(found(held(PODS, subjects=(addon,)), around=guarded)) == {"pods": {Verdict.REFUSED}}
    controller = Subject("User", "system:kube-controller-manager")
    assert verdicts(found(held(PODS, subjects=(controller,)), around=guarded)) != {"pods": {Verdict.REFUSED}}


@pytest.mark.parametrize(
    ("trusted", "subject"),
    [
        ({"kind": "User", "name": "eve"}, EVE),
        ({"kind": "Group", "name": "dev"}, Subject("Group", "dev")),
        ({"kind": "ServiceAccount", "name": "ci", "namespace": "x"}, Subject("User", "system:serviceaccount:x:ci")),
        ({"kind": "User", "name": "system:serviceaccount:x:ci"}, Subject("ServiceAccount", "ci", "x")),
    ],
)
def test_trusted_subjects_are_counted_and_are_no_findings(trusted: Json, subject: Subject) -> None:
    values = {**TWO, "trustedSubjects": [{**trusted, "reason": "debugs agents"}]}
    made = found(held(TOKENS, subjects=(subject,)), values)
    assert verdicts(made) == {"tokens": {Verdict.TRUSTED}}
    assert not list(findings(made))
    assert any("trusted by the values" in line for line in counted(made))
    assert list(findings(found(held(TOKENS, subjects=(subject,)))))  # positive control


def test_a_deployer_runs_pods_and_gets_tokens_of_its_agents_only() -> None:
    values = {**TWO, "guards": {"deployers": [{"kind": "User", "name": "eve", "agents": ["a"]}]}}
    states = {
        (each.opening.way.id, each.verdict): each.accounts for each in found(held(TOKENS), values).subjects[0].judged
    }
    assert states == {("tokens", Verdict.DECLARED): {"a"}, ("tokens", Verdict.OPEN): {"b", "agent-proxy"}}


def test_an_agent_with_an_accepted_tier_is_declared_for_its_siblings_and_is_no_way_into_itself() -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}]
    tier = {"rules": rules, "acceptRisks": {"pod-create": "it starts workers"}}
    values = {"tiers": {"starter": tier}, "agents": {"a": {"tiers": ["starter"]}, "b": {}}}
    agent = (Subject("ServiceAccount", "a", NAMESPACE),)
    (one,) = found(held(PODS, subjects=agent), values).subjects
    assert {each.verdict: each.accounts for each in one.judged} == {Verdict.DECLARED: {"b", "agent-proxy"}}
    assert verdicts(found(held(PODS, subjects=agent))) == {"pods": {Verdict.OPEN}}  # the values do not declare it


def test_a_controller_of_kubernetes_with_one_right_more_is_a_finding() -> None:
    controller = (Subject("ServiceAccount", "job-controller", "kube-system"),)
    made = found(held(PODS, subjects=controller))
    assert verdicts(made) == {"pods": {Verdict.KNOWN}}
    more = found(held(PODS, TOKENS, subjects=controller))
    assert verdicts(more) == {"pods": {Verdict.KNOWN}, "tokens": {Verdict.OPEN}}


def test_an_add_on_with_its_published_rights_is_counted_and_not_a_finding() -> None:
    writes = PolicyRule(("*",), ("",), ("configmaps", "secrets"))
    published = (PolicyRule(("*",), ("apps",), ("statefulsets",)), writes)
    operator = (Subject("ServiceAccount", "prometheus-operator", "monitoring"),)
    made = found(held(*published, subjects=operator, everywhere=True))
    assert {each for states in verdicts(made).values() for each in states} == {Verdict.KNOWN}
    assert "1 subject of prometheus-operator" in next(counted(made))
    namesake = (Subject("ServiceAccount", "prometheus-operator", "team-x"),)
    assert list(findings(found(held(*published, subjects=namesake, everywhere=True))))


def test_what_pods_read_is_taken_from_the_values_and_from_the_cluster() -> None:
    def patch(name: str, resource: str = "configmaps") -> Policy:
        return held(PolicyRule(("patch",), ("",), (resource,), (name,)))

    workload = {
        "image": "x",
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "key"}}]}}],
    }
    values = {"agents": {"a": {"workload": workload}, "b": {}}}
    spec = {"serviceAccountName": "b", "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "live"}}}]}]}
    pod = {"kind": "Pod", "metadata": {"name": "p", "namespace": NAMESPACE}, "spec": spec}
    for name, resource, way, accounts in (
        ("settings", "configmaps", "configuration", frozenset({"a"})),
        ("key", "secrets", "configuration", frozenset({"a"})),
        ("live", "secrets", "configuration", frozenset({"b"})),
        ("kube-root-ca.crt", "configmaps", "trust-anchor", frozenset({"a", "b", "agent-proxy"})),
    ):
        ((judged,),) = (one.judged for one in found(patch(name, resource), values, around(pod)).subjects)
        assert (judged.opening.way.id, judged.accounts) == (way, accounts)
    assert not found(patch("unrelated"), values, around(pod)).subjects


def test_a_secret_with_a_token_is_a_way_for_its_readers() -> None:
    read = held(PolicyRule(("get",), ("",), ("secrets",), ("old-token", "other")))
    meta = {"name": "old-token", "namespace": NAMESPACE, "annotations": {"kubernetes.io/service-account.name": "a"}}
    secret = {"kind": "Secret", "type": "kubernetes.io/service-account-token", "metadata": meta}
    (one,) = found(read, around=around(secret)).subjects
    assert [(each.opening.way.id, each.accounts) for each in one.judged] == [("token-secrets", frozenset({"a"}))]
    assert not found(read).subjects
    (finding,) = findings(found(read, around=around(secret)))
    assert not any("guards" in line for line in finding.remediation)  # admission does not see reads
    (both,) = findings(found(held(PolicyRule(("get", "create"), ("",), ("secrets",))), around=around(secret)))
    assert any("by guards (records, tokenSecrets)" in line for line in both.remediation)


def test_the_record_of_the_release_is_in_the_namespace_of_the_release() -> None:
    values = {**TWO, "namespaceOverride": "agents-b"}
    write = held(PolicyRule(("create",), ("",), ("secrets",)))
    assert set(verdicts(found(write, values))) == {"helm-record"}
    update = held(PolicyRule(("update",), ("",), ("secrets",), ("sh.helm.release.v1.agents.v1",)))
    assert set(verdicts(found(update))) == {"helm-record"}
    assert not found(held(PolicyRule(("update",), ("",), ("secrets",), ("unrelated",)))).subjects


def test_the_remediation_removes_only_the_subject_from_a_binding_with_others() -> None:
    (finding,) = findings(found(held(TOKENS, subjects=(Subject("User", "x"), EVE)), {**TWO, "trustedSubjects": X}))
    assert finding.remediation[0].startswith(
        "To remove it: kubectl -n agent-system patch rolebinding r --type=json -p "
    )
    assert '{"op": "remove", "path": "/subjects/1"}' in finding.remediation[0]
    (alone,) = findings(found(held(TOKENS)))
    assert alone.remediation[0] == "To remove it: kubectl -n agent-system delete rolebinding r"
    assert alone.remediation[-1] == "To keep it: trustedSubjects: [{kind: User, name: eve, reason: why}]"


def own_binding(agent: str, *subjects: Subject, role: str = "agent-proxy-role") -> Binding:
    everyone = (Subject("ServiceAccount", agent, NAMESPACE), *subjects)
    return Binding("RoleBinding", f"{agent}-binding", NAMESPACE, RoleRef("Role", role), everyone)


def test_agents_with_one_changed_role_share_a_finding_that_keeps_their_bindings() -> None:
    changed = Role("Role", "agent-proxy-role", NAMESPACE, (PODS,))
    policy = Policy((changed,), tuple(own_binding(f"worker-{number}") for number in range(1, 10)))
    (finding,) = findings(found(policy, WORKERS))
    assert finding.message == (
        "worker-1 … worker-9 (9 ServiceAccounts) can become every agent of agent-system (10 ServiceAccounts): run "
        "pods as it."
    )
    assert "and 6 more" in finding.details[0]
    assert "Role agent-proxy-role" in finding.remediation[0]
    assert "--force-conflicts" in finding.remediation[0]
    assert not any("kubectl" in line or "trustedSubjects" in line for line in finding.remediation)


def test_an_agent_with_a_binding_of_its_own_can_become_every_other_agent() -> None:
    (finding,) = findings(found(held(PODS, subjects=(Subject("ServiceAccount", "worker-1", NAMESPACE),)), WORKERS))
    assert "can become every other agent of agent-system (9 ServiceAccounts): run pods as it." in finding.message
    assert finding.remediation[0] == "To remove it: kubectl -n agent-system delete rolebinding r"


def test_another_subject_is_removed_from_a_binding_of_the_release_and_the_binding_stays() -> None:
    changed = Role("Role", "agent-proxy-role", NAMESPACE, (PODS,))
    replaced = own_binding("a")
    for binding in (own_binding("a", EVE), Binding("RoleBinding", "a-binding", NAMESPACE, replaced.role_ref, (EVE,))):
        made = [each for each in findings(found(Policy((changed,), (binding,)))) if "eve" in each.message]
        (finding,) = made
        assert "patch rolebinding a-binding" in finding.remediation[0]
        assert not any("delete" in line for line in finding.remediation)


def test_the_binding_of_a_component_of_kubernetes_stays() -> None:
    name = "system:kube-scheduler"
    role = Role("ClusterRole", name, "", (TOKENS,))
    scheduler = Subject("User", name)
    binding = Binding("ClusterRoleBinding", name, "", RoleRef("ClusterRole", name), (scheduler,))
    (finding,) = findings(found(Policy((role,), (binding,))))
    assert finding.remediation[0] == f"To remove it: kubectl edit clusterrole {name}"
    joined = Binding("ClusterRoleBinding", name, "", RoleRef("ClusterRole", name), (scheduler, EVE))
    added = [each for each in findings(found(Policy((role,), (joined,)))) if "eve" in each.message]
    assert "patch clusterrolebinding system:kube-scheduler" in added[0].remediation[0]


def test_the_request_of_a_constrained_impersonation_is_named_as_it_is_written_in_a_role() -> None:
    first = PolicyRule(("impersonate:serviceaccount",), ("authentication.k8s.io",), ("serviceaccounts",))
    act = PolicyRule(("impersonate-on:serviceaccount:list",), ("",), ("pods",))
    (finding,) = findings(found(held(first, act, everywhere=True)))
    assert "and impersonate-on:serviceaccount:list pods in all namespaces, by" in finding.details[0]


WORKERS = {"agents": {"worker": {"instances": 9}}}
X = [{"kind": "User", "name": "x", "reason": "known"}]


def test_edit_and_admin_are_named_as_roles_that_impersonate() -> None:
    rule = PolicyRule(("impersonate",), ("",), ("serviceaccounts",))
    edit = Policy(
        (Role("ClusterRole", "edit", "", (rule,)),),
        (Binding("RoleBinding", "devs", NAMESPACE, RoleRef("ClusterRole", "edit"), (EVE,)),),
    )
    (finding,) = findings(found(edit))
    assert any("The built-in ClusterRole edit includes impersonate" in line for line in finding.details)
    assert any("No guard can close impersonation" in line for line in finding.details)


def test_a_thousand_agents_of_one_namespace_are_one_finding_for_each_subject() -> None:
    values = {"agents": {"worker": {"instances": 1000}}}
    made = found(held(TOKENS, subjects=(EVE, Subject("Group", "dev"))), values)
    assert [each.message.split(":")[0] for each in findings(made)] == [
        f"{who} can become every agent of agent-system (1,001 ServiceAccounts)" for who in ("Group dev", "User eve")
    ]


def test_the_table_and_the_data_have_every_subject() -> None:
    everything = held(
        PolicyRule(("*",), ("*",), ("*",)), subjects=(Subject("Group", "ops"),), name="all", everywhere=True
    )
    made = found(both(held(TOKENS), everything))
    assert {(each["subject"]["name"], each["way"], each["state"]) for each in data(made)} == {
        ("eve", "tokens", "open"),
        ("ops", "everything", "administrator"),
    }
    assert len(table(made).rows) == 2
    assert next(counted(made)) == "Cluster administrators, who can become every agent: Group ops."


def test_a_guard_that_is_not_in_force_is_installed_again_and_not_turned_on() -> None:
    (finding,) = findings(found(held(TOKENS), around=around(*guard("tokens", ON_TOKENS)[:1])))
    assert any("guards that are not in force (tokens)" in line for line in finding.remediation)
    assert not any("guards: {enabled: true}" in line for line in finding.remediation)


def test_known_subjects_and_guards_name_ways_that_exist() -> None:
    ids = {way.id for way in WAYS} | {"helm-record"}
    assert all(ways <= ids for _, ways in known_subjects().values())
    assert all(closure.ways <= ids for closure in closures())
    assert text_of(Subject("ServiceAccount", "job-controller", "kube-system")) in known_subjects()
