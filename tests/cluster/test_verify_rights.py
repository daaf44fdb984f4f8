"""`agent-identities verify` finds what an agent can do anywhere, and nothing that no request can use."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_identities.attack.run import attack
from agent_identities.chart import values
from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.control_plane import ControlPlane, ControlPlaneConfig
from agent_identities.cluster.provide import Cluster
from agent_identities.declaration import Declaration, declare
from agent_identities.inventory.ways_report import CAN_BECOME
from agent_identities.kube.client import Api
from agent_identities.kube.discovery import discover
from agent_identities.kube.kubeconfig import load
from agent_identities.rbac import Catalogue, Request
from agent_identities.report.model import Finding, Severity
from agent_identities.toolchain import DEFAULT_KUBERNETES
from agent_identities.verify.matrix import Matrix
from agent_identities.verify.rows import Part, table
from agent_identities.verify.run import verify
from support.server import RBAC, Json, Server, eventually

EDIT = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
PROXY_ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "agent-proxy-role"}
Ask = Callable[..., Matrix]


NOT_BUILT_IN = "example.com"
"""A group of CRDs: the chart does not compare rules with such a group with the built-in resources."""


@pytest.fixture
def elsewhere(server: Server, namespace: str) -> Iterator[str]:
    """A second namespace, which no value names."""
    name = f"{namespace}-elsewhere"
    server.make_namespace(name)
    yield name
    server.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def install(
    control_plane: Cluster, chart: Path, namespace: str, helm: Helm, release: Callable[[Helm], Release]
) -> Callable[[Json], Declaration]:
    def run(given: Json) -> Declaration:
        release(helm).install(Values(overrides=given))
        merged = values.load(chart, overrides=given)
        return declare(merged, namespace=namespace, kube_version=control_plane.version)

    return run


@pytest.fixture
def ask(control_plane: Cluster) -> Ask:
    def run(declaration: Declaration, api: Api | None = None) -> Matrix:
        if api is not None:
            return verify(api, declaration)
        with Api(control_plane.access) as admin:
            return verify(admin, declaration)

    return run


def account(namespace: str, name: str = "triage") -> Json:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def user(namespace: str, name: str = "triage") -> Json:
    return {"kind": "User", "name": f"system:serviceaccount:{namespace}:{name}"}


def group(namespace: str, _name: str = "") -> Json:
    return {"kind": "Group", "name": f"system:serviceaccounts:{namespace}"}


def bind(server: Server, namespace: str, name: str, *subjects: Json, role: Json = EDIT) -> None:
    """A RoleBinding in a namespace; a ClusterRoleBinding without one."""
    where = f"/namespaces/{namespace}/rolebindings" if namespace else "/clusterrolebindings"
    server.create(f"{RBAC}{where}", {"metadata": {"name": name}, "roleRef": role, "subjects": list(subjects)})


def may(server: Server, namespace: str, within: str, verb: str, resource: str) -> bool:
    attributes = {"namespace": within, "verb": verb, "resource": resource}
    body = {"spec": {"user": user(namespace)["name"], "resourceAttributes": attributes}}
    return bool(server.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", body)["status"]["allowed"])


def of(matrix: Matrix, rule: str) -> list[Finding]:
    return [each for each in matrix.findings if each.rule == rule]


def field(matrix: Matrix, column: str, agent: str = "triage") -> tuple[Part, ...]:
    """The first line of a field of the table."""
    made = table(matrix)
    (row,) = (row for row in made.rows if row.identities[0].name == agent)
    return row.fields[made.columns.index(column)][0]


@pytest.mark.parametrize("spelled", [account, user, group], ids=lambda each: each.__name__)
def test_a_binding_in_a_namespace_that_no_value_names_is_one_finding(
    server: Server, namespace: str, elsewhere: str, install: Any, ask: Ask, spelled: Callable[..., Json]
) -> None:
    declaration = install({"agents": {"triage": {}, "sibling": {}}})
    clean = ask(declaration)
    assert clean.ok, clean.to_text()
    bind(server, elsewhere, "left-over", spelled(namespace))
    matrix = ask(declaration)
    assert not matrix.ok
    (found,) = of(matrix, "undeclared-binding")
    assert str(found.location) == f"RoleBinding {elsewhere}/left-over"
    assert found.remediation[0] == f"To remove it: kubectl -n {elsewhere} delete rolebinding left-over"
    assert any("secret-read (critical)" in line for line in found.details)
    assert any(f'"left-over/{elsewhere}"' in line for line in found.details)


def test_a_cluster_role_binding_of_a_quarantined_agent_is_found(
    server: Server, namespace: str, install: Any, ask: Ask
) -> None:
    declaration = install({"agents": {"triage": {"quarantined": True}, "sibling": {}}})
    bind(server, "", f"{namespace}-boss", user(namespace))
    (found,) = of(ask(declaration), "undeclared-binding")
    assert str(found.location) == f"ClusterRoleBinding {namespace}-boss"
    assert "(quarantined)" in found.message


def test_a_binding_of_a_namesake_in_another_namespace_is_not_a_finding(
    server: Server, elsewhere: str, install: Any, ask: Ask
) -> None:
    declaration = install({"agents": {"triage": {}}})
    bind(server, elsewhere, "namesake", account(elsewhere))
    assert ask(declaration).findings == ()


def test_the_rights_of_a_changed_role_are_findings_about_its_rules(
    server: Server, namespace: str, install: Any, ask: Ask
) -> None:
    declaration = install({"agents": {"triage": {}, "sibling": {}}})
    path = f"{RBAC}/namespaces/{namespace}/roles/agent-proxy-role"
    added = [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["patch"]},
    ]
    role = server.get(path)
    status, answer = server.request("PUT", path, {**role, "rules": [*role["rules"], *added]})
    assert status == 200, answer
    eventually(lambda: not ask(declaration).ok)
    found = of(ask(declaration), "undeclared-rule")
    assert [each.location.field for each in found] == ["rules[1]", "rules[2]"]
    assert all("(3 ServiceAccounts)" in each.message for each in found)
    assert "workload-write (critical)" in str(found[0].details)
    assert not any("delete" in line for each in found for line in each.remediation)
    assert {each.rule for each in ask(declaration).findings} == {"undeclared-rule", CAN_BECOME}


def test_the_advice_for_a_changed_role_works_when_it_is_typed(
    server: Server, namespace: str, install: Any, ask: Ask, helm_4: Helm, release: Callable[[Helm], Release]
) -> None:
    given: Json = {"agents": {"triage": {}}}
    declaration = install(given)
    path = f"{RBAC}/namespaces/{namespace}/roles/agent-proxy-role"
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    status, answer = server.patch(path, {"rules": [rule]})
    assert status == 200, answer
    (found,) = of(ask(declaration), "undeclared-rule")
    assert "with Helm 4 also --server-side=true --force-conflicts" in found.remediation[0]
    release(helm_4).upgrade(Values(overrides=given), "--server-side=true", "--force-conflicts")
    assert eventually(lambda: ask(declaration).ok)


def test_a_binding_without_its_role_is_a_warning_until_the_role_exists(
    server: Server, namespace: str, elsewhere: str, install: Any, ask: Ask
) -> None:
    declaration = install({"agents": {"triage": {}}})
    bind(server, elsewhere, "waiting", account(namespace), role={**PROXY_ROLE, "name": "later"})
    matrix = ask(declaration)
    assert matrix.ok
    assert [each.rule for each in matrix.findings] == ["dangling-binding"]
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    server.create(f"{RBAC}/namespaces/{elsewhere}/roles", {"metadata": {"name": "later"}, "rules": [rule]})
    assert [each.rule for each in ask(declaration).findings] == ["undeclared-binding"]


def test_a_caller_that_may_not_list_bindings_learns_what_was_not_read(
    server: Server, namespace: str, elsewhere: str, control_plane: Cluster, install: Any, ask: Ask
) -> None:
    declaration = install({"agents": {"triage": {}}})
    bind(server, elsewhere, "left-over", account(namespace))
    server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "auditor"}})
    auditor = account(namespace, "auditor")
    bind(server, "", f"{namespace}-reviews", auditor, role={**EDIT, "name": "system:auth-delegator"})
    bind(server, namespace, "reads", auditor, role={**EDIT, "name": "admin"})
    token = server.token(namespace, "auditor")
    with Api(control_plane.access) as admin:
        limited = admin.with_token(token)
        eventually(lambda: limited.raw("GET", f"{RBAC}/namespaces/{namespace}/roles").status == 200)
        matrix = ask(declaration, limited)
    assert not matrix.complete
    missing = [each.what for each in matrix.inventory.not_read]
    assert f"RoleBindings outside namespaces {namespace}" in missing
    assert "ClusterRoleBindings" in missing
    assert "no differences in what was read" in matrix.report().summary or not matrix.ok


def test_permissions_that_no_request_uses_are_warnings_and_not_in_the_table(install: Any, ask: Ask) -> None:
    rules = [
        {"apiGroups": ["", NOT_BUILT_IN], "resources": ["nodes", "pods"], "verbs": ["get", "list"]},
        {"apiGroups": ["storage.k8s.io", NOT_BUILT_IN], "resources": ["storageclasses"], "verbs": ["get"]},
    ]
    declaration = install({"tiers": {"ops": {"rules": rules}}, "agents": {"triage": {"tiers": ["ops"]}}})
    matrix = ask(declaration)
    assert matrix.ok
    warned = of(matrix, "unusable-rule")
    assert [each.location.values for each in warned] == [
        "tiers.ops.rules[0].resources[0]",
        "tiers.ops.rules[1].resources[0]",
    ]
    assert not any(cell.allowed for cell in matrix.cells if cell.request.resource in ("nodes", "storageclasses"))
    assert {cell.request.namespace for cell in matrix.cells if cell.request.resource == "nodes"} == {""}


def test_cluster_scoped_resources_of_a_tier_for_the_cluster_are_in_the_table(install: Any, ask: Ask) -> None:
    rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]}]
    tiers = {"ops": {"rules": rules, "scope": "Cluster"}}
    matrix = ask(install({"tiers": tiers, "agents": {"triage": {"tiers": ["ops"]}}}))
    assert matrix.findings == ()
    allowed = {str(cell.request) for cell in matrix.cells if cell.identity.name == "triage" and cell.allowed}
    assert {"get nodes", "list nodes"} <= allowed
    assert [part.text for part in field(matrix, "nodes")] == ["get", "list"]


def test_the_rules_of_an_existing_role_are_judged_as_they_are_on_the_cluster(
    server: Server, namespace: str, install: Any, ask: Ask
) -> None:
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    server.make_namespace(namespace)
    server.create(f"{RBAC}/namespaces/{namespace}/roles", {"metadata": {"name": "theirs"}, "rules": [secrets]})
    tiers = {
        "theirs": {"existingRole": {"name": "theirs"}, "acceptRisks": {"existing-role-unknown": "a test"}},
        "view": {"existingRole": {"kind": "ClusterRole", "name": "view"}},
    }
    matrix = ask(install({"tiers": tiers, "agents": {"triage": {"tiers": ["theirs", "view"]}}}))
    (found,) = of(matrix, "existing-role")
    assert found.severity is Severity.ERROR
    assert found.location.values == "tiers.theirs.existingRole"
    assert "secret-read (critical" in found.details[0]
    assert [part.text for part in field(matrix, "secrets")] == ["get"]


def test_an_existing_role_that_does_not_exist_is_a_finding(install: Any, ask: Ask) -> None:
    tier = {"existingRole": {"name": "gone"}, "acceptRisks": {"existing-role-unknown": "a test"}}
    matrix = ask(install({"tiers": {"t": tier}, "agents": {"triage": {"tiers": ["t"]}}}))
    (found,) = of(matrix, "existing-role")
    assert not matrix.ok
    assert "Role gone does not exist" in found.message


def test_declared_grants_in_other_namespaces_are_named_and_not_counted(elsewhere: str, install: Any, ask: Ask) -> None:
    matrix = ask(install({"agents": {"triage": {"namespaces": {elsewhere: ["proxy"]}}}}))
    assert matrix.findings == ()
    (triage,) = (row for row in table(matrix).rows if row.identities[0].name == "triage")
    counted, named = (line[0].text for line in triage.elsewhere)
    assert counted.startswith("0/")
    assert named == f"{elsewhere}: read pods, services, configmaps"


def test_an_attack_uses_the_rights_of_an_undeclared_binding_where_they_are(
    server: Server, namespace: str, elsewhere: str, control_plane: Cluster, chart: Path, install: Any
) -> None:
    declaration = install({"agents": {"triage": {}}})
    bind(server, elsewhere, "left-over", account(namespace))
    eventually(lambda: may(server, namespace, elsewhere, "get", "secrets"))
    with Api(control_plane.access) as api:
        catalogue = Catalogue.load(chart / "files" / "risk-catalogue.json")
        result = attack(api, declaration, catalogue, only=["triage"])
    used = [each for each in result.attempts if each.request.id == "undeclared-binding"]
    assert Request("list", "", "secrets", namespace=elsewhere) in {each.request.needs for each in used}
    assert {str(each.outcome) for each in used} == {"unexpected"}


# ---- discovery


def test_both_forms_of_discovery_have_the_same_resources(control_plane: Cluster) -> None:
    with Api(control_plane.access) as api:
        new = discover(api)
        old = discover(_OldForm(api))  # type: ignore[arg-type] # it has what discover calls
    assert new.served.known
    assert old.served.known
    for group in new.served.groups:
        assert set(new.served.items_of(group)) == set(old.served.items_of(group))
        for item in new.served.items_of(group):
            assert new.served.find(group, item) == old.served.find(group, item)


class _OldForm:
    """An API server without aggregated discovery: it ignores the Accept header."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def raw(self, method: str, path: str, **_: Any) -> Any:
        return self._api.raw(method, path, repeatable=True)

    def abort(self) -> None:
        self._api.abort()


def test_an_aggregated_api_that_does_not_answer_is_named_and_the_rest_is_judged(
    request: pytest.FixtureRequest, chart: Path, helm: Helm, tmp_path: Path
) -> None:
    # On a control plane of its own: clients of other tests would fail at discovery.
    group = "absent.example.com"
    spec: Json = {"group": group, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100}
    spec |= {"service": {"name": "absent", "namespace": "default"}, "insecureSkipTLSVerify": True}
    widgets = {"rules": [{"apiGroups": [group], "resources": ["widgets"], "verbs": ["get"]}]}
    wrong = {"rules": [{"apiGroups": ["", NOT_BUILT_IN], "resources": ["pod"], "verbs": ["get"]}]}
    given = {"tiers": {"a": widgets, "b": wrong}, "agents": {"triage": {"tiers": ["a", "b"]}}}
    config = ControlPlaneConfig(
        kubernetes=request.config.getoption("agent_identities_kubernetes") or DEFAULT_KUBERNETES
    )
    with ControlPlane.start(tmp_path / "plane", config) as plane, Api(load(plane.kubeconfig)) as api:
        Release(helm, chart, "agents", "agent-system", plane.kubeconfig, None).install(Values(overrides=given))
        service = {"metadata": {"name": f"v1.{group}"}, "spec": spec}
        api.post("/apis/apiregistration.k8s.io/v1/apiservices", service)
        eventually(lambda: discover(api).unread)
        merged = values.load(chart, overrides=given)
        matrix = verify(api, declare(merged, namespace="agent-system"))
    assert [each.what for each in matrix.inventory.not_read] == [f"The resources of API group {group}"]
    assert matrix.ok
    assert not matrix.complete
    assert [each.location.values for each in of(matrix, "unusable-rule")] == ["tiers.b.rules[0].resources[0]"]
