"""`agent-identities verify` on a real API server finds changes made outside the release."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.chart import values
from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from agent_identities.declaration import Declaration, declare
from agent_identities.kube.client import Api
from agent_identities.verify.matrix import AccessCell, Matrix
from agent_identities.verify.run import verify
from support.server import RBAC, Json, Server, eventually

QUICKSTART = Path(__file__).parents[2] / "values" / "quickstart.yaml"
DELETE_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]}
GET_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}


@pytest.fixture
def declaration(chart: Path, namespace: str, helm: Helm, release: Callable[[Helm], Release]) -> Declaration:
    """Installs values/quickstart.yaml."""
    release(helm).install(Values.read([QUICKSTART]))
    return declare(values.load(chart, [QUICKSTART]), namespace=namespace)


@pytest.fixture
def asking(control_plane: Cluster, declaration: Declaration) -> Callable[[], Matrix]:
    def ask() -> Matrix:
        with Api(control_plane.access) as api:
            return verify(api, declaration)

    return ask


def may(server: Server, user: str, rule: Json, namespace: str) -> bool:
    """Whether the API server currently allows a user the request of a rule."""
    resource, _, subresource = rule["resources"][0].partition("/")
    attributes = {"namespace": namespace, "verb": rule["verbs"][0], "resource": resource, "subresource": subresource}
    attributes["name"] = rule.get("resourceNames", [""])[0]
    body = {"spec": {"user": user, "resourceAttributes": attributes}}
    answer = server.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    return bool(answer["status"]["allowed"])


def bind(server: Server, namespace: str, subject: Json, *, rule: Json) -> None:
    """Creates the Role and the RoleBinding `oops`, and waits until the authorizer enforces them."""
    where = f"{RBAC}/namespaces/{namespace}"
    role_ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "oops"}
    subjects = [subject, {"kind": "User", "name": "marker"}]
    server.create(f"{where}/roles", {"metadata": {"name": "oops"}, "rules": [rule]})
    server.create(f"{where}/rolebindings", {"metadata": {"name": "oops"}, "roleRef": role_ref, "subjects": subjects})
    eventually(lambda: may(server, "marker", rule, namespace))


def user_of(namespace: str, name: str) -> str:
    return f"system:serviceaccount:{namespace}:{name}"


def service_account(namespace: str, name: str) -> Json:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def found(cells: tuple[AccessCell, ...]) -> set[tuple[str, str, bool]]:
    return {(cell.identity.name, str(cell.request), cell.allowed) for cell in cells}


def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the command."""
    command = [sys.executable, "-c", "from agent_identities.cli import main; main()", "verify", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "100", **env}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)


@pytest.fixture
def here(control_plane: Cluster, namespace: str) -> list[str | Path]:
    """The options that select this cluster and namespace."""
    context = ["--context", control_plane.context] if control_plane.context else []
    return ["--kubeconfig", control_plane.kubeconfig, *context, "--namespace", namespace]


def test_a_new_install_of_the_quickstart_has_no_differences(asking: Callable[[], Matrix]) -> None:
    matrix = asking()
    assert matrix.ok, [each.message for each in matrix.findings]
    allowed, denied = (matrix.count(expected=one, allowed=one) for one in (True, False))
    assert 0 < allowed < allowed + denied == len(matrix.cells)


def test_an_undeclared_binding_is_the_only_difference(
    server: Server, namespace: str, asking: Callable[[], Matrix]
) -> None:
    bind(server, namespace, service_account(namespace, "researcher"), rule=DELETE_PODS)
    differences = asking().differences
    assert found(differences) == {("researcher", "delete pods", True)}
    assert f'RoleBinding "oops/{namespace}"' in differences[0].reason


def test_an_undeclared_binding_for_the_agents_user_name_is_found(
    server: Server, namespace: str, asking: Callable[[], Matrix]
) -> None:
    user = {"kind": "User", "name": user_of(namespace, "researcher")}
    bind(server, namespace, user, rule=DELETE_PODS)
    assert found(asking().differences) == {("researcher", "delete pods", True)}


def test_an_undeclared_binding_for_the_group_of_all_service_accounts_is_found_for_each_agent(
    server: Server, namespace: str, declaration: Declaration, asking: Callable[[], Matrix]
) -> None:
    bind(server, namespace, {"kind": "Group", "name": f"system:serviceaccounts:{namespace}"}, rule=DELETE_PODS)
    assert found(asking().differences) == {(one.name, "delete pods", True) for one in declaration.identities}


def test_an_undeclared_right_on_one_named_object_is_found(
    server: Server, namespace: str, asking: Callable[[], Matrix]
) -> None:
    notes = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["release-notes"], "verbs": ["patch"]}
    bind(server, namespace, service_account(namespace, "sandboxed"), rule=notes)
    assert found(asking().differences) == {("sandboxed", "patch configmaps named release-notes", True)}


def test_an_undeclared_right_in_another_namespace_is_found(
    server: Server, namespace: str, asking: Callable[[], Matrix]
) -> None:
    subject = service_account(namespace, "sandboxed")
    role_ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    path = f"{RBAC}/namespaces/default/rolebindings"
    server.create(path, {"metadata": {"name": namespace}, "roleRef": role_ref, "subjects": [subject]})
    try:
        eventually(lambda: may(server, user_of(namespace, "sandboxed"), GET_PODS, "default"))
        differences = asking().differences
    finally:
        server.delete(f"{path}/{namespace}")
    assert ("sandboxed", "list pods", True) in found(differences)
    assert {cell.request.namespace for cell in differences} == {"default"}


def test_the_rights_of_a_deleted_binding_are_reported_as_declared_but_denied(
    server: Server, namespace: str, asking: Callable[[], Matrix]
) -> None:
    server.delete(f"{RBAC}/namespaces/{namespace}/rolebindings/summarizer-binding")
    eventually(lambda: not may(server, user_of(namespace, "summarizer"), GET_PODS, namespace))
    matrix = asking()
    assert {(cell.identity.name, cell.expected, cell.allowed) for cell in matrix.differences} == {
        ("summarizer", True, False)
    }
    assert {str(cell.request) for cell in matrix.differences} >= {"get pods", "list services", "watch configmaps"}


def test_rules_added_to_a_role_are_found_for_every_agent_of_the_tier(
    server: Server, namespace: str, asking: Callable[[], Matrix]
) -> None:
    path = f"{RBAC}/namespaces/{namespace}/roles/pod-reader-role"
    role = server.get(path)
    added = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}
    status, answer = server.request("PUT", path, {**role, "rules": [*role["rules"], added]})
    assert status == 200, answer
    eventually(lambda: may(server, user_of(namespace, "triage-1"), added, namespace))
    names = ("log-analyst", "release-scribe", "triage-1", "triage-2", "triage-3")
    assert found(asking().differences) == {(name, "create pods/exec", True) for name in names}


def test_progress_ends_at_the_number_of_answers_if_some_are_asked_for_again(
    server: Server, namespace: str, control_plane: Cluster, declaration: Declaration
) -> None:
    server.delete(f"{RBAC}/namespaces/{namespace}/rolebindings/summarizer-binding")
    eventually(lambda: not may(server, user_of(namespace, "summarizer"), GET_PODS, namespace))
    seen: list[tuple[int, int]] = []
    with Api(control_plane.access) as api:
        matrix = verify(api, declaration, on_progress=lambda done, total: seen.append((done, total)))
    assert matrix.differences
    assert seen[-1] == (len(matrix.cells), len(matrix.cells))


def test_an_agent_without_a_service_account_is_reported_and_not_reviewed(
    server: Server, namespace: str, asking: Callable[[], Matrix]
) -> None:
    server.delete(f"/api/v1/namespaces/{namespace}/serviceaccounts/sandboxed")
    matrix = asking()
    assert [one.name for one in matrix.absent] == ["sandboxed"]
    assert not matrix.ok
    assert "sandboxed" not in {cell.identity.name for cell in matrix.cells}


def test_an_undeclared_service_account_with_the_agent_label_is_reported(
    server: Server, namespace: str, asking: Callable[[], Matrix]
) -> None:
    metadata = {"name": "ghost", "labels": {"agent-identities/agent": "ghost"}}
    server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": metadata})
    matrix = asking()
    assert [one.name for one in matrix.undeclared] == ["ghost"]
    assert not matrix.ok
    (finding,) = matrix.findings
    assert finding.remediation[0] == f"To remove it: kubectl -n {namespace} delete serviceaccount ghost"


@pytest.mark.usefixtures("declaration")
def test_the_command_exits_with_0_if_all_answers_are_as_declared(here: list[str | Path]) -> None:
    done = run("-f", QUICKSTART, *here)
    assert done.returncode == 0, done.stderr
    assert "no differences" in done.stdout


@pytest.mark.usefixtures("declaration")
def test_the_command_exits_with_1_and_names_the_undeclared_binding(
    server: Server, namespace: str, here: list[str | Path]
) -> None:
    bind(server, namespace, service_account(namespace, "researcher"), rule=DELETE_PODS)
    done = run("-f", QUICKSTART, *here)
    assert done.returncode == 1, done.stderr
    assert f"kubectl -n {namespace} delete rolebinding oops" in done.stdout


@pytest.mark.usefixtures("declaration")
def test_the_command_does_not_change_a_users_cluster(server: Server, namespace: str, here: list[str | Path]) -> None:
    def versions() -> dict[str, str]:
        paths = (f"{RBAC}/namespaces/{namespace}/rolebindings", f"/api/v1/namespaces/{namespace}/secrets")
        return {
            item["metadata"]["uid"]: item["metadata"]["resourceVersion"]
            for path in paths
            for item in server.items(path)
        }

    before = versions()
    run("-f", QUICKSTART, *here)
    assert versions() == before


def test_the_command_reports_every_agent_if_the_release_is_not_installed(here: list[str | Path]) -> None:
    done = run("-f", QUICKSTART, *here)
    assert done.returncode == 1, done.stderr
    assert "Is the release in another namespace?" in done.stdout


def test_the_command_exits_with_2_and_one_sentence_if_no_server_answers(control_plane: Cluster, tmp_path: Path) -> None:
    content = control_plane.kubeconfig.read_text()
    server = next(line.split()[-1] for line in content.splitlines() if line.strip().startswith("server:"))
    dead = tmp_path / "kubeconfig"
    dead.write_text(content.replace(server, "https://127.0.0.1:1"))
    done = run("-f", QUICKSTART, "--kubeconfig", dead)
    assert done.returncode == 2
    assert "https://127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_exits_with_2_if_the_values_are_invalid(tmp_path: Path, here: list[str | Path]) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("agnts: {}")
    done = run("-f", wrong, *here)
    assert done.returncode == 2
    assert "Did you mean 'agents'?" in done.stderr


def test_no_cluster_is_created_if_the_user_selects_one(here: list[str | Path]) -> None:
    done = run("-f", QUICKSTART, "--cluster", "embedded", *here)
    assert done.returncode == 2
    assert "Omit --kubeconfig and --context" in done.stderr
