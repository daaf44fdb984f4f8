"""What `agent-identities verify` finds on a real API server, when somebody has changed it by hand."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.chart import values
from agent_identities.chart.helm import Helm, Release, Values
from agent_identities.cluster.provide import Cluster
from agent_identities.declaration import Declaration, declare
from agent_identities.kube.client import Api
from agent_identities.verify.matrix import Cell, Matrix
from agent_identities.verify.run import verify
from support.server import RBAC, Json, Server, eventually

pytestmark = pytest.mark.cluster

QUICKSTART = Path(__file__).parents[2] / "values" / "quickstart.yaml"
DELETE_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]}
GET_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}


@pytest.fixture
def declaration(chart: Path, namespace: str, helm: Helm, release: Callable[[Helm], Release]) -> Declaration:
    """The quickstart, installed."""
    release(helm).install(Values((QUICKSTART,)))
    return declare(values.load(chart, [QUICKSTART]), namespace=namespace)


@pytest.fixture
def asking(control_plane: Cluster, declaration: Declaration) -> Callable[[], Matrix]:
    def ask() -> Matrix:
        with Api(control_plane.kubeconfig, control_plane.context) as api:
            return verify(api, declaration)

    return ask


def may(server: Server, user: str, rule: Json, namespace: str) -> bool:
    """Whether the API server, as far as it knows by now, allows a user what a rule says."""
    resource, _, subresource = rule["resources"][0].partition("/")
    attributes = {"namespace": namespace, "verb": rule["verbs"][0], "resource": resource, "subresource": subresource}
    attributes["name"] = rule.get("resourceNames", [""])[0]
    body = {"spec": {"user": user, "resourceAttributes": attributes}}
    answer = server.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    return bool(answer["status"]["allowed"])


def bind(server: Server, namespace: str, subject: Json, *, rule: Json) -> None:
    """A Role and a RoleBinding called oops; back when the authorizer knows them, which takes it some milliseconds."""
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


def found(cells: tuple[Cell, ...]) -> set[tuple[str, str, bool]]:
    return {(cell.identity.name, str(cell.permission), cell.allowed) for cell in cells}


def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """The command as a user types it."""
    command = [sys.executable, "-c", "from agent_identities.cli import main; main()", "verify", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "100", **env}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)


@pytest.fixture
def here(control_plane: Cluster, namespace: str) -> list[str | Path]:
    """The options that point the command at this cluster and namespace."""
    context = ["--context", control_plane.context] if control_plane.context else []
    return ["--kubeconfig", control_plane.kubeconfig, *context, "--namespace", namespace]


def test_a_fresh_install_of_the_quickstart_has_no_surprise(asking: Callable[[], Matrix]) -> None:
    matrix = asking()
    assert matrix.ok
    assert matrix.count(expected=True, allowed=True) > 100
    assert matrix.count(expected=False, allowed=False) > 800


def test_a_stray_binding_is_found_and_nothing_else(
    server: Server, namespace: str, asking: Callable[[], Matrix]
) -> None:
    bind(server, namespace, service_account(namespace, "researcher"), rule=DELETE_PODS)
    surprises = asking().surprises
    assert found(surprises) == {("researcher", "delete pods", True)}
    assert f'RoleBinding "oops/{namespace}"' in surprises[0].reason


def test_a_stray_binding_that_spells_the_agent_as_a_user_is_found(
    server: Server, namespace: str, asking: Callable[[], Matrix]
) -> None:
    user = {"kind": "User", "name": user_of(namespace, "researcher")}
    bind(server, namespace, user, rule=DELETE_PODS)
    assert found(asking().surprises) == {("researcher", "delete pods", True)}


def test_a_stray_binding_for_the_group_of_all_service_accounts_is_found_for_each_of_them(
    server: Server, namespace: str, declaration: Declaration, asking: Callable[[], Matrix]
) -> None:
    bind(server, namespace, {"kind": "Group", "name": f"system:serviceaccounts:{namespace}"}, rule=DELETE_PODS)
    assert found(asking().surprises) == {(one.name, "delete pods", True) for one in declaration.identities}


def test_a_right_to_one_object_by_name_is_found(server: Server, namespace: str, asking: Callable[[], Matrix]) -> None:
    notes = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["release-notes"], "verbs": ["patch"]}
    bind(server, namespace, service_account(namespace, "sandboxed"), rule=notes)
    assert found(asking().surprises) == {("sandboxed", "patch configmaps named release-notes", True)}


def test_a_leak_into_another_namespace_is_found(server: Server, namespace: str, asking: Callable[[], Matrix]) -> None:
    subject = service_account(namespace, "sandboxed")
    role_ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    path = f"{RBAC}/namespaces/default/rolebindings"
    server.create(path, {"metadata": {"name": namespace}, "roleRef": role_ref, "subjects": [subject]})
    try:
        eventually(lambda: may(server, user_of(namespace, "sandboxed"), GET_PODS, "default"))
        surprises = asking().surprises
    finally:
        server.delete(f"{path}/{namespace}")
    assert ("sandboxed", "list pods", True) in found(surprises)
    assert {cell.permission.namespace for cell in surprises} == {"default"}


def test_a_deleted_binding_is_declared_but_denied(server: Server, namespace: str, asking: Callable[[], Matrix]) -> None:
    server.delete(f"{RBAC}/namespaces/{namespace}/rolebindings/summarizer-binding")
    eventually(lambda: not may(server, user_of(namespace, "summarizer"), GET_PODS, namespace))
    matrix = asking()
    assert {(cell.identity.name, cell.expected, cell.allowed) for cell in matrix.surprises} == {
        ("summarizer", True, False)
    }
    assert {str(cell.permission) for cell in matrix.surprises} >= {"get pods", "list services", "watch configmaps"}


def test_a_role_that_was_widened_by_hand_is_found_for_every_agent_of_its_tier(
    server: Server, namespace: str, asking: Callable[[], Matrix]
) -> None:
    path = f"{RBAC}/namespaces/{namespace}/roles/pod-reader-role"
    role = server.get(path)
    added = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}
    status, answer = server.request("PUT", path, {**role, "rules": [*role["rules"], added]})
    assert status == 200, answer
    eventually(lambda: may(server, user_of(namespace, "triage-1"), added, namespace))
    names = ("log-analyst", "release-scribe", "triage-1", "triage-2", "triage-3")
    assert found(asking().surprises) == {(name, "create pods/exec", True) for name in names}


def test_an_agent_without_a_service_account_is_reported_and_not_asked_about(
    server: Server, namespace: str, asking: Callable[[], Matrix]
) -> None:
    server.delete(f"/api/v1/namespaces/{namespace}/serviceaccounts/sandboxed")
    matrix = asking()
    assert [one.name for one in matrix.absent] == ["sandboxed"]
    assert not matrix.ok
    assert "sandboxed" not in {cell.identity.name for cell in matrix.cells}


def test_a_service_account_that_only_looks_like_an_agent_is_noted(
    server: Server, namespace: str, asking: Callable[[], Matrix]
) -> None:
    metadata = {"name": "ghost", "labels": {"agent-identities/agent": "ghost"}}
    server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": metadata})
    matrix = asking()
    assert [one.name for one in matrix.undeclared] == ["ghost"]
    assert matrix.ok


@pytest.mark.usefixtures("declaration")
def test_the_command_exits_with_0_where_all_is_as_declared(here: list[str | Path]) -> None:
    done = run("-f", QUICKSTART, *here)
    assert done.returncode == 0, done.stderr
    assert "no surprise" in done.stdout


@pytest.mark.usefixtures("declaration")
def test_the_command_exits_with_1_and_names_the_stray_binding(
    server: Server, namespace: str, here: list[str | Path]
) -> None:
    bind(server, namespace, service_account(namespace, "researcher"), rule=DELETE_PODS)
    done = run("-f", QUICKSTART, *here)
    assert done.returncode == 1, done.stderr
    assert f"kubectl -n {namespace} delete rolebinding oops" in done.stdout


@pytest.mark.usefixtures("declaration")
def test_the_command_leaves_a_cluster_of_the_users_as_it_is(
    server: Server, namespace: str, here: list[str | Path]
) -> None:
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


def test_the_command_reports_every_agent_where_nothing_is_installed(here: list[str | Path]) -> None:
    done = run("-f", QUICKSTART, *here)
    assert done.returncode == 1, done.stderr
    assert "Is the release in another namespace?" in done.stdout


def test_the_command_exits_with_2_and_one_sentence_where_no_server_answers(
    control_plane: Cluster, tmp_path: Path
) -> None:
    content = control_plane.kubeconfig.read_text()
    server = next(line.split()[-1] for line in content.splitlines() if line.strip().startswith("server:"))
    dead = tmp_path / "kubeconfig"
    dead.write_text(content.replace(server, "https://127.0.0.1:1"))
    done = run("-f", QUICKSTART, "--kubeconfig", dead)
    assert done.returncode == 2
    assert "https://127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_exits_with_2_where_the_values_are_wrong(tmp_path: Path, here: list[str | Path]) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("agnts: {}")
    done = run("-f", wrong, *here)
    assert done.returncode == 2
    assert "Did you mean 'agents'?" in done.stderr


def test_a_cluster_is_never_made_beside_one_that_the_user_names(here: list[str | Path]) -> None:
    done = run("-f", QUICKSTART, "--cluster", "embedded", *here)
    assert done.returncode == 2
    assert "Leave --kubeconfig and --context out" in done.stderr
