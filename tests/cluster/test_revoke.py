"""`agent-identities quarantine` on a real API server: removed objects, times, and objects that stay."""

import base64
import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from agent_identities.kube.client import Api
from agent_identities.kube.reviews import ask
from agent_identities.rbac import Request, User
from support.namespaces import remove
from support.server import RBAC, Json, Server, eventually

DOCS = Path(__file__).parents[2] / "docs"
WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
WORKLOAD = {"image": "registry.example/agent:1"}
VALUES: Final[dict[str, Any]] = {
    "proxy": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    "tiers": {"notes": {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]}},
    "agents": {
        "triage": {"instances": 3, "tiers": ["notes", "proxy"], "workload": WORKLOAD},
        "solo": {"workload": WORKLOAD},
    },
}
Done = subprocess.CompletedProcess[str]


def run(*arguments: str | Path) -> Done:
    """Runs the command."""
    command = [sys.executable, "-c", "from agent_identities.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def bind(server: Server, namespace: str, name: str, *subjects: Json) -> Json:
    """A RoleBinding to the ClusterRole view, or a ClusterRoleBinding if the namespace is empty."""
    path = f"{RBAC}/namespaces/{namespace}/rolebindings" if namespace else f"{RBAC}/clusterrolebindings"
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    return server.create(path, {"metadata": {"name": name}, "roleRef": ref, "subjects": list(subjects)})


def account(namespace: str, name: str) -> Json:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def as_user(namespace: str, name: str) -> Json:
    return {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "User",
        "name": f"system:serviceaccount:{namespace}:{name}",
    }


def versions(server: Server, namespace: str, *, without: str = "") -> dict[tuple[str, str], tuple[str, str]]:
    """(kind, name) -> (uid, resourceVersion) of the objects of the release, without the objects of one agent."""
    rbac, core = f"{RBAC}/namespaces/{namespace}", f"/api/v1/namespaces/{namespace}"
    paths = (f"{core}/serviceaccounts", f"{rbac}/roles", f"{rbac}/rolebindings")
    return {
        (path, item["metadata"]["name"]): (item["metadata"]["uid"], item["metadata"]["resourceVersion"])
        for path in paths
        for item in server.items(path)
        if item["metadata"].get("labels", {}).get("agent-identities/agent", "-") != without
    }


def uids(server: Server, path: str) -> dict[str, str]:
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in server.items(path)}


def status_as(server: Server, token: str) -> int:
    return server.with_token(token).request("POST", WHO_AM_I, {})[0]


@dataclass(frozen=True)
class Scene:
    """A release with bindings outside it, before and after the quarantine of triage-2."""

    namespace: str
    elsewhere: str
    options: list[str | Path]
    done: Done
    token: str
    user: User
    held: tuple[Request, ...]
    siblings: dict[tuple[str, str], tuple[str, str]]
    shared: Json
    deployments: dict[str, str]
    pods: dict[str, str]


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[Api]:
    with Api(cluster.access) as api:
        yield api


@pytest.fixture(scope="module")
def options(cluster: Cluster) -> list[str | Path]:
    return ["--kubeconfig", cluster.kubeconfig, *(["--context", cluster.context] if cluster.context else [])]


@pytest.fixture(scope="module")
def place(server: Server, helm: Helm) -> Iterator[tuple[str, str]]:
    """Two namespaces, for each Helm."""
    run_id = uuid.uuid4().hex[:8]
    names = (f"test-{run_id}", f"else-{run_id}")
    server.make_namespace(names[1])
    yield names
    for name in names:
        remove(server, name)


@pytest.fixture(scope="module")
def scene(
    server: Server, api: Api, cluster: Cluster, chart: Path, helm: Helm, place: tuple[str, str], options: list[Any]
) -> Scene:
    namespace, elsewhere = place
    Release(helm, chart, "agents", namespace, cluster.kubeconfig, cluster.context).install(Values(overrides=VALUES))
    bind(server, elsewhere, "stray", as_user(namespace, "triage-2"))
    shared = bind(server, elsewhere, "shared", account(namespace, "solo"), account(namespace, "triage-2"))
    bind(server, "", f"stray-{namespace}", account(namespace, "triage-2"))
    user = User.service_account(namespace, "triage-2")
    held = (
        Request("get", resource="pods", name="a", namespace=namespace),
        Request("list", resource="configmaps", namespace=namespace),
        Request("list", resource="services", namespace=elsewhere),
        Request("list", resource="services", namespace="default"),
    )
    for request in held:
        eventually(lambda request=request: ask(api, user, request).allowed)  # type: ignore[misc] # bound now, not later
    pods = eventually(lambda: four(uids(server, f"/api/v1/namespaces/{namespace}/pods")))
    token = server.token(namespace, "triage-2")
    assert status_as(server, token) == 201
    before = Scene(
        namespace,
        elsewhere,
        [*options, "--namespace", namespace],
        Done([], 0),
        token,
        user,
        held,
        versions(server, namespace, without="triage-2"),
        shared,
        uids(server, f"/apis/apps/v1/namespaces/{namespace}/deployments"),
        pods,
    )
    done = run("quarantine", "triage-2", *before.options)
    return Scene(**{**vars(before), "done": done})


def four(found: dict[str, str]) -> dict[str, str]:
    """The pods, if all exist: three of triage, one of solo."""
    return found if len(found) == 4 else {}


def test_the_command_succeeds_and_prints_the_removed_objects_and_the_times(scene: Scene) -> None:
    assert scene.done.returncode == 0, scene.done.stdout + scene.done.stderr
    for what in (
        f"RoleBinding {scene.namespace}/triage-2:notes-role",
        f"RoleBinding {scene.elsewhere}/stray subject of kind User",
        f"RoleBinding {scene.elsewhere}/shared 1 of 2 subjects removed",
        f"ClusterRoleBinding stray-{scene.namespace}",
        f"ServiceAccount {scene.namespace}/triage-2",
        f"Deployment {scene.namespace}/triage-2",
        f"Pod {scene.namespace}/triage-2-",
        "last allowed request",
        "last authenticated request",
    ):
        assert what in " ".join(scene.done.stdout.split())
    assert "not observed" not in scene.done.stdout


def test_the_command_prints_the_values_that_make_the_quarantine_permanent(scene: Scene) -> None:
    snippet = scene.done.stdout.partition("restores the rights of triage-2:\n")[2].partition("Then upgrade")[0]
    assert yaml.safe_load(snippet) == {"agents": {"triage": {"quarantined": [2]}}}


def test_the_proxy_is_refused_as_the_proxy(scene: Scene) -> None:
    done = run("quarantine", "agent-proxy", *scene.options)
    assert done.returncode == 2
    assert (
        "agent-proxy: is the proxy, and quarantine removes agents only. Delete the proxy's RoleBindings" in done.stderr
    )


def test_no_former_right_of_the_agent_is_allowed_in_any_namespace(scene: Scene, api: Api) -> None:
    assert not [request for request in scene.held if ask(api, scene.user, request).allowed]


def test_the_agents_token_is_refused(scene: Scene, server: Server) -> None:
    eventually(lambda: status_as(server, scene.token) == 401, seconds=20)


def test_no_other_object_of_the_release_changed(scene: Scene, server: Server) -> None:
    assert versions(server, scene.namespace) == scene.siblings


def test_only_the_agents_subject_is_removed_from_a_shared_binding(scene: Scene, server: Server) -> None:
    now = server.get(f"{RBAC}/namespaces/{scene.elsewhere}/rolebindings/shared")
    assert now["metadata"]["uid"] == scene.shared["metadata"]["uid"]
    assert [subject["name"] for subject in now["subjects"]] == ["solo"]


def test_bindings_outside_the_release_are_removed(scene: Scene, server: Server) -> None:
    assert server.names(f"{RBAC}/namespaces/{scene.elsewhere}/rolebindings") == {"shared"}
    assert f"stray-{scene.namespace}" not in server.names(f"{RBAC}/clusterrolebindings")


def test_the_agents_pods_stay_deleted_and_its_siblings_keep_running(scene: Scene, server: Server) -> None:
    left = {name: uid for name, uid in scene.pods.items() if not name.startswith("triage-2-")}
    assert len(left) == len(scene.pods) - 1
    assert uids(server, f"/api/v1/namespaces/{scene.namespace}/pods") == left
    deployments = uids(server, f"/apis/apps/v1/namespaces/{scene.namespace}/deployments")
    assert deployments == {name: uid for name, uid in scene.deployments.items() if name != "triage-2"}


def test_a_second_run_changes_nothing(scene: Scene, server: Server) -> None:
    before = versions(server, scene.namespace)
    again = run("quarantine", "triage-2", *scene.options)
    assert again.returncode == 0, again.stderr
    assert "already quarantined" in again.stdout
    assert "quarantined: [2]" in again.stdout
    assert versions(server, scene.namespace) == before


def test_the_printed_values_keep_instances_that_are_already_quarantined(scene: Scene) -> None:
    done = run("quarantine", "triage-1", "--dry-run", "--output", "json", *scene.options)
    assert json.loads(done.stdout)["values"] == {"agents": {"triage": {"quarantined": [1, 2]}}}
    assert [each["name"] for each in json.loads(done.stdout)["removed"] if each["kind"] == "Deployment"] == ["triage-1"]


def test_the_name_of_an_entry_selects_all_of_its_instances(scene: Scene) -> None:
    done = run("quarantine", "triage", "--dry-run", "--output", "json", *scene.options)
    assert {each["name"] for each in json.loads(done.stdout)["removed"]} >= {"triage-1", "triage-3"}
    assert json.loads(done.stdout)["values"] == {"agents": {"triage": {"quarantined": True}}}


def test_values_files_can_differ_from_the_installed_release(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump({"agents": {"triage": {"instances": 5, "tiers": []}}}))
    done = run("quarantine", "triage-3", "--dry-run", "--output", "json", "--values", path, *scene.options)
    assert json.loads(done.stdout)["values"] == {"agents": {"triage": {"quarantined": [2, 3]}}}


def test_a_dry_run_changes_nothing(scene: Scene, server: Server) -> None:
    before = versions(server, scene.namespace)
    done = run("quarantine", "solo", "--dry-run", *scene.options)
    assert done.returncode == 0, done.stderr
    assert f"ServiceAccount {scene.namespace}/solo" in done.stdout
    assert versions(server, scene.namespace) == before


@pytest.mark.parametrize("name", ["traige-1", "default", "agent-proxy", "No/Name"])
def test_a_name_that_is_not_an_agent_is_refused_and_nothing_changes(scene: Scene, server: Server, name: str) -> None:
    before = versions(server, scene.namespace)
    done = run("quarantine", name, *scene.options)
    assert done.returncode == 2, done.stdout
    assert name in done.stderr
    assert "Traceback" not in done.stderr
    if name == "traige-1":
        assert "Did you mean triage-1" in done.stderr
    assert versions(server, scene.namespace) == before


@contextlib.contextmanager
def operator(
    server: Server, scene: Scene, tmp_path: Path, cluster: Cluster, *rules: Json
) -> Iterator[list[str | Path]]:
    """The options of a command for a user with these rules and the right to read the relevant objects."""
    name = f"operator-{scene.namespace}-{uuid.uuid4().hex[:8]}"  # with the namespace, which removes it
    reading = [
        {"apiGroups": ["rbac.authorization.k8s.io", "", "apps"], "resources": ["*"], "verbs": ["get", "list"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
    ]
    server.create(f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": [*reading, *rules]})
    server.create(f"/api/v1/namespaces/{scene.elsewhere}/serviceaccounts", {"metadata": {"name": name}})
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subjects = [account(scene.elsewhere, name)]
    server.create(f"{RBAC}/clusterrolebindings", {"metadata": {"name": name}, "roleRef": ref, "subjects": subjects})
    token = server.token(scene.elsewhere, name)
    lists = f"{RBAC}/clusterrolebindings"
    try:
        eventually(lambda: server.with_token(token).request("GET", lists)[0] == 200)
        yield [*with_token(cluster, token, tmp_path), "--namespace", scene.namespace]
    finally:  # such a user can become the agents of later tests
        server.delete(f"{RBAC}/clusterrolebindings/{name}")
        server.delete(f"{RBAC}/clusterroles/{name}")


def with_token(cluster: Cluster, token: str, folder: Path) -> list[str | Path]:
    """The options of a command for the user of a token."""
    content = yaml.safe_load(cluster.kubeconfig.read_text())
    current = cluster.context or content["current-context"]
    context = next(each["context"] for each in content["contexts"] if each["name"] == current)
    content["users"] = [{"name": context["user"], "user": {"token": token}}]
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return ["--kubeconfig", path, "--context", current]


def test_without_delete_rights_each_refusal_is_reported_and_nothing_is_removed(
    scene: Scene, server: Server, tmp_path: Path, cluster: Cluster
) -> None:
    before = versions(server, scene.namespace)
    with operator(server, scene, tmp_path, cluster) as options:
        done = run("quarantine", "solo", *options)
    assert done.returncode == 1
    assert 'cannot delete resource "rolebindings"' in done.stdout
    assert 'cannot delete resource "serviceaccounts"' in done.stdout
    assert "may still get pods" in done.stdout
    assert versions(server, scene.namespace) == before


def test_permitted_removals_are_done_and_remaining_objects_are_reported(
    scene: Scene, server: Server, tmp_path: Path, cluster: Cluster
) -> None:
    rbac = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["rolebindings"], "verbs": ["delete"]}
    with operator(server, scene, tmp_path, cluster, rbac) as options:
        done = run("quarantine", "triage-3", *options)
    assert done.returncode == 1
    assert f"RoleBinding {scene.namespace}/triage-3:notes-role" in done.stdout
    assert f"Left: ServiceAccount {scene.namespace}/triage-3: 403" in done.stdout
    assert "triage-3:notes-role" not in server.names(f"{RBAC}/namespaces/{scene.namespace}/rolebindings")
    rest = run("quarantine", "triage-3", *scene.options)  # a user with the rights runs the command again
    assert rest.returncode == 0, rest.stdout
    assert "triage-3" not in server.names(f"/api/v1/namespaces/{scene.namespace}/serviceaccounts")


@pytest.mark.parametrize("missing", ["", "bind"])
def test_the_rights_of_docs_responder_yaml_are_sufficient(
    server: Server,
    release: Callable[[Helm], Release],
    helm: Helm,
    namespace: str,
    cluster: Cluster,
    tmp_path: Path,
    missing: str,
) -> None:
    """Without the verb bind, a binding with another subject is left, and the message names the verb."""
    release(helm).install(Values(overrides={"agents": {"a": {"workload": WORKLOAD}, "b": {}}}))
    bind(server, namespace, "shared", account(namespace, "a"), account(namespace, "b"))
    server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "responder"}})
    subjects, name = [account(namespace, "responder")], f"responder-{namespace}"
    where = {"ClusterRole": "cluster", "Role": f"namespaces/{namespace}/"}
    for role in yaml.safe_load_all((DOCS / "responder.yaml").read_text()):
        rules = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb != missing]} for rule in role["rules"]]
        ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": name}
        path = f"{RBAC}/{where[role['kind']]}role"
        server.create(f"{path}s", {"metadata": {"name": name}, "rules": rules})
        server.create(f"{path}bindings", {"metadata": {"name": name}, "roleRef": ref, "subjects": subjects})
    try:
        user = with_token(cluster, server.token(namespace, "responder"), tmp_path)
        done = run("quarantine", "a", "--namespace", namespace, *user)
    finally:
        server.delete(f"{RBAC}/clusterrolebindings/{name}")
        server.delete(f"{RBAC}/clusterroles/{name}")
    left = [line for line in done.stdout.splitlines() if line.startswith("✗ Left:")]
    if missing:
        assert done.returncode == 1
        assert left[0].endswith("To remove one of several subjects, you need the verb bind on the role")
    else:
        assert (done.returncode, left) == (0, []), done.stdout
        assert "not observed" not in done.stdout
        assert "Could not" not in done.stdout


def test_a_token_for_another_audience_is_refused(server: Server, namespace: str) -> None:
    server.make_namespace(namespace)
    server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "a"}})
    assert status_as(server, server.token(namespace, "a")) == 201
    assert status_as(server, server.token(namespace, "a", audiences=["https://elsewhere.example"])) == 401


def test_a_token_past_its_expiry_is_refused(server: Server, namespace: str, cluster: Cluster) -> None:
    """A token is valid for ten minutes at least. The test changes its claims and signs them with the server's key."""
    key = cluster.kubeconfig.parent / "pki" / "service-account.key"
    if not key.is_file():
        pytest.skip("the key that signs this cluster's tokens is not on this machine, and none expires within minutes")
    server.make_namespace(namespace)
    server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "a"}})
    token = server.token(namespace, "a")
    sign = signer(key)
    assert status_as(server, sign(token, 0)) == 201
    assert status_as(server, sign(token, 3600)) == 401


def signer(key_file: Path) -> Callable[[str, int], str]:
    """A function that makes a token older, by a number of seconds."""
    key = load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)

    def older(token: str, seconds: int) -> str:
        header, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        claims |= {name: claims[name] - seconds for name in ("iat", "nbf", "exp")}
        signed = f"{header}.{encoded(json.dumps(claims).encode())}"
        r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(SHA256())))
        return f"{signed}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    return older


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# ---- a release in one namespace with agents in another namespace


@dataclass(frozen=True)
class Apart:
    """The release `fleet` and the namespace of its agents."""

    home: str
    agents: str

    @property
    def records(self) -> str:
        return f"/api/v1/namespaces/{self.home}/secrets"


@pytest.fixture
def apart(server: Server, cluster: Cluster, chart: Path, helm: Helm, namespace: str) -> Iterator[Apart]:
    made = Apart(namespace, f"agents-{namespace}")
    server.make_namespace(made.agents)
    values = Values(overrides={**VALUES, "namespaceOverride": made.agents})
    Release(helm, chart, "fleet", namespace, cluster.kubeconfig, cluster.context).install(values)
    yield made
    server.delete(f"/api/v1/namespaces/{made.agents}")


def record(version: str, status: str) -> Json:
    """A record of Helm. Only the labels matter, because quarantine reads only the labels."""
    labels = {"owner": "helm", "name": "fleet", "version": version, "status": status}
    return {"metadata": {"name": f"record-{version or 'none'}", "labels": labels}, "type": "helm.sh/release.v1"}


def test_a_running_upgrade_is_found_in_the_namespace_of_the_release(
    server: Server, apart: Apart, options: list[str | Path]
) -> None:
    server.create(apart.records, record("2", "pending-upgrade"))
    done = run("quarantine", "solo", "--namespace", apart.agents, *options)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "a Helm operation on release fleet is in progress" in done.stdout
    assert f"helm status fleet -n {apart.home}" in done.stdout
    assert f"helm upgrade fleet CHART -n {apart.home} --reset-then-reuse-values" in done.stdout
    assert not server.items(f"{RBAC}/namespaces/{apart.agents}/rolebindings?labelSelector=agent-identities/agent=solo")


def test_a_secret_that_is_not_a_helm_record_is_ignored(server: Server, apart: Apart, options: list[str | Path]) -> None:
    server.create(apart.records, record("x", "pending-upgrade"))
    server.create(apart.records, record("", "pending-upgrade"))
    done = run("quarantine", "solo", "--namespace", apart.agents, *options)
    assert done.returncode == 0, done.stdout + done.stderr
