"""What an API server sees of a kubeconfig: tokens, impersonation, a pod's own token. kubectl shows it the same."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_identities.cluster.pki import Authority
from agent_identities.cluster.provide import Cluster
from agent_identities.errors import ClusterError
from agent_identities.kube.client import Api
from agent_identities.kube.kubeconfig import load
from agent_identities.toolchain import provide
from support import commands
from support.played import Played
from support.server import Json, Server

pytestmark = pytest.mark.cluster

QUICKSTART = str(Path(__file__).parents[2] / "values" / "quickstart.yaml")
ARGUMENTS = {
    "verify": ["verify", "-f", QUICKSTART],
    "attack": ["attack", "-f", QUICKSTART, "--yes-attack"],
    "quarantine": ["quarantine", "triage"],
}
every_command = pytest.mark.parametrize("command", ARGUMENTS)
LABEL = "agent-identities/agent"


@pytest.fixture
def user(cluster: Cluster, tmp_path: Path) -> Callable[..., Path]:
    """A kubeconfig of the cluster, with these fields added to its user, or in place of them."""

    def write(*, instead: bool = False, **fields: object) -> Path:
        content = yaml.safe_load(cluster.kubeconfig.read_text())
        (entry,) = content["users"]
        entry["user"] = fields if instead else entry["user"] | fields
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture
def agent(server: Server, namespace: str) -> str:
    """An agent's ServiceAccount in the namespace."""
    server.make_namespace(namespace)
    account = {"metadata": {"name": "triage", "labels": {LABEL: "triage"}}}
    server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
    return "triage"


def test_the_api_server_sees_the_user_that_is_impersonated(user: Callable[..., Path]) -> None:
    extra = {"example.org/team name": ["x", "y"]}
    fields = {"as": "jürgen", "as-uid": "1234", "as-groups": ["a", "b"], "as-user-extra": extra}
    with Api(load(user(**fields))) as api:
        review = api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, repeatable=True)
    info = review["status"]["userInfo"]
    assert (info["username"], info["uid"], info["extra"]) == ("jürgen", "1234", extra)
    assert {"a", "b"} <= set(info["groups"])


@every_command
def test_a_command_acts_with_the_rights_of_the_user_that_is_impersonated(
    command: str, user: Callable[..., Path], server: Server, namespace: str, agent: str
) -> None:
    """The rights underneath are the administrator's."""
    kubeconfig = user(**{"as": "nobody@example.test"})
    argv = [*ARGUMENTS[command], "--kubeconfig", str(kubeconfig), "--namespace", namespace]
    done = commands.run(commands.agent_identities(*argv))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "403 serviceaccounts" in done.stderr
    assert 'User "nobody@example.test" cannot' in done.stderr
    assert server.names(f"/api/v1/namespaces/{namespace}/serviceaccounts") >= {agent}


def test_a_user_that_may_not_impersonate_is_refused_as_that(
    user: Callable[..., Path], server: Server, namespace: str, agent: str
) -> None:
    kubeconfig = user(instead=True, token=server.token(namespace, agent), **{"as": "admin"})
    with pytest.raises(ClusterError, match=r"403 .*:triage\" cannot impersonate"):
        Api(load(kubeconfig)).version()


def test_a_token_file_that_ends_in_a_newline_is_accepted(
    user: Callable[..., Path], cluster: Cluster, namespace: str, agent: str, tmp_path: Path
) -> None:
    kubectl = str(provide(["kubectl"])["kubectl"].path)
    where = ["--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]
    made = subprocess.run([kubectl, *where, "create", "token", agent], capture_output=True, text=True, check=True)
    (tmp_path / "token").write_text(f"{made.stdout.strip()}\n")
    with Api(load(user(instead=True, tokenFile="token"))) as api:
        assert api.whoami() == f"system:serviceaccount:{namespace}:{agent}"


@every_command
def test_a_token_that_is_not_valid_is_one_sentence_without_it(
    command: str, user: Callable[..., Path], server: Server, namespace: str, agent: str
) -> None:
    token = server.token(namespace, agent)
    wrong = token[:-20] + token[-20:][::-1]
    argv = [*ARGUMENTS[command], "--kubeconfig", str(user(instead=True, token=wrong)), "--namespace", namespace]
    done = commands.run(commands.agent_identities(*argv))
    assert done.returncode == 2
    assert "401 Unauthorized" in done.stderr
    assert wrong not in done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[0] == lines[-1]
    assert lines[0].startswith("cluster: https://127.0.0.1:")


@pytest.fixture
def pod(cluster: Cluster, server: Server, namespace: str, agent: str, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The folder and the variables that a pod of the agent finds, with a real token."""
    content = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text(server.token(namespace, agent))
    (folder / "ca.crt").write_bytes(base64.b64decode(content["certificate-authority-data"]))
    host, _, port = content["server"].removeprefix("https://").rpartition(":")
    home = {"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"]}
    return folder, {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port, **home}


def test_a_pod_is_known_by_its_own_token(pod: tuple[Path, dict[str, str]], namespace: str, agent: str) -> None:
    folder, environment = pod
    with Api(load(service_account=folder, environment=environment)) as api:
        assert api.whoami() == f"system:serviceaccount:{namespace}:{agent}"
        assert api.server == f"https://127.0.0.1:{environment['KUBERNETES_SERVICE_PORT']}"


def test_a_pods_token_that_was_rotated_is_read_again(
    pod: tuple[Path, dict[str, str]], server: Server, namespace: str, agent: str
) -> None:
    folder, environment = pod
    valid = (folder / "token").read_text()
    (folder / "token").write_text(valid[:-20] + valid[-20:][::-1])
    access = load(service_account=folder, environment=environment)
    access.credentials.get()
    (folder / "token").write_text(valid)
    with Api(access) as api:
        assert api.whoami() == f"system:serviceaccount:{namespace}:{agent}"


# ---- the same kubeconfig, asked by kubectl and by this package: the server sees the same headers


TELLS = """
import hashlib, json, os
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
told = json.dumps(info["spec"], sort_keys=True).encode()
print(json.dumps(info | {"status": {"token": os.environ["PART"] + hashlib.sha256(told).hexdigest()}}))
"""
PLUGIN = {
    "exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "interactiveMode": "Never",
        "command": sys.executable,
        "args": [
            "-c",
            TELLS,
        ],
        "env": [{"name": "PART", "value": "x"}],
        "provideClusterInfo": True,
    }
}
USERS: dict[str, Json] = {
    "token": {"token": "abc"},
    "token file": {"tokenFile": "token"},
    "token file beside a token": {"tokenFile": "token", "token": "abc"},
    "missing token file beside a token": {"tokenFile": "nowhere", "token": "abc"},
    "password": {"username": "jane", "password": "p:ü"},
    "impersonation": {
        "token": "abc",
        "as": "jürgen",
        "as-uid": "1234",
        "as-groups": ["a", "b,c"],
        "as-user-extra": {"example.org/Team name%": ["x", "y z"], "ü": ["ü"]},
    },
    "plugin": PLUGIN,
    "plugin beside a token": {"token": "abc", **PLUGIN},
    "token with a newline": {"token": "abc\n"},
    "token with a newline inside": {"token": "a\nb"},
    "token and password": {"token": "abc", "username": "jane", "password": "x"},
    "groups without a user": {"token": "abc", "as-groups": ["a"]},
    "plugin that fails": {"exec": {**PLUGIN["exec"], "args": ["-c", "raise SystemExit(1)"]}},
    "plugin of another version": {"exec": {**PLUGIN["exec"], "apiVersion": "client.authentication.k8s.io/v1alpha1"}},
    "plugin without a mode": {"exec": {**PLUGIN["exec"], "interactiveMode": ""}},
}
REFUSED = {name for name in USERS if "newline" in name or "and" in name.split() or name.startswith("plugin ")} - {
    "plugin beside a token"
} | {"groups without a user"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("pki"), "ca")


@pytest.fixture
def played(authority: Authority) -> Iterator[Played]:
    server = Played([(200, {})]).start(authority)
    yield server
    server.stop()


def shown(server: Played) -> list[tuple[str, str]]:
    """The headers of the last request that say who asks."""
    if not server.headers:
        return []
    names = ("authorization", "impersonate-")
    return sorted((name.lower(), value) for name, value in server.headers[-1] if name.lower().startswith(names))


def kubectl_get(environment: dict[str, str], *options: str) -> int:
    argv = [str(provide(["kubectl"])["kubectl"].path), *options, "get", "--raw", "/version"]
    given = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
    done = subprocess.run(argv, env=given, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    return done.returncode


def asks(act: Callable[[], object]) -> bool:
    try:
        act()
    except ClusterError:
        return False
    return True


def config(server: Played, authority: Authority, user: Json, name: str = "a") -> dict[str, Any]:
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "us"}}
    cluster = {
        "server": server.url,
        "certificate-authority": str(authority.files.certificate),
        "extensions": [extension],
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }


@pytest.mark.parametrize("name", USERS)
def test_kubectl_shows_the_server_the_same(name: str, played: Played, authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config(played, authority, USERS[name])))
    (tmp_path / "token").write_text("from-file\n")
    kubectl = kubectl_get({}, f"--kubeconfig={path}")
    theirs, count = shown(played), len(played.requests)
    ours = asks(lambda: Api(load(path)).get("/version"))
    assert (kubectl == 0) is ours is (name not in REFUSED)
    if name in REFUSED:
        assert played.requests == []
    else:
        assert shown(played) == theirs
        assert len(played.requests) == count + 1


def test_kubectl_merges_several_files_alike(played: Played, authority: Authority, tmp_path: Path) -> None:
    first = config(played, authority, {"token": "first"}, "shared") | {"current-context": ""}
    second = config(played, authority, {"token": "second"}, "shared")
    second["users"] += [{"name": "more", "user": {"tokenFile": "token"}}]
    second["contexts"] += [{"name": "more", "context": {"cluster": "shared", "user": "more"}}]
    second["current-context"] = "more"
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, content in zip(folders, (first, second), strict=True):
        folder.mkdir()
        (folder / "config").write_text(json.dumps(content))
        (folder / "token").write_text(f"of-{folder.name}\n")
    variable = os.pathsep.join(["", str(folders[0] / "config"), str(tmp_path / "no"), str(folders[1] / "config")])
    for context, token in ((None, "of-two"), ("shared", "first"), ("more", "of-two")):
        assert kubectl_get({"KUBECONFIG": variable}, *([f"--context={context}"] if context else [])) == 0
        assert shown(played) == [("authorization", f"Bearer {token}")]
        Api(load(context=context, environment={"KUBECONFIG": variable})).get("/version")
        assert shown(played) == [("authorization", f"Bearer {token}")]
