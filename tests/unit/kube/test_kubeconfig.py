"""Kubeconfigs as kubectl reads them; for each invalid kubeconfig, one sentence with its path."""

import base64
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_identities.errors import ClusterError
from agent_identities.kube.access import Access, KubeconfigError
from agent_identities.kube.kubeconfig import find, in_cluster, load

Json = dict[str, Any]
SECRET = "s3cret-of-the-test"


def config(name: str = "a", *, server: str = "https://a.example:6443", user: Any = None, **cluster: Any) -> Json:
    """A kubeconfig with one context, cluster and user of this name."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server, **cluster}}],
        "users": [{"name": name, "user": {"token": SECRET} if user is None else user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }


def write(path: Path, content: Json | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def loaded(tmp_path: Path, content: Json | str, context: str | None = None, **environment: str) -> Access:
    return load(write(tmp_path / "kubeconfig", content), context, environment=environment)


def problem(tmp_path: Path, content: Json | str, context: str | None = None) -> str:
    """The error message for a kubeconfig; it has the path, and no credential."""
    with pytest.raises(ClusterError) as raised:
        loaded(tmp_path, content, context)
    message = str(raised.value)
    assert str(tmp_path / "kubeconfig") in message
    assert SECRET not in message
    assert "\n" not in message
    return message


def shown(access: Access) -> str:
    """The Authorization header."""
    return access.credentials.get().authorization


# ---- choice and merge of files


def test_a_named_file_is_the_only_file(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1", config("one")), write(tmp_path / "2", config("two"))
    assert load(one, environment={"KUBECONFIG": str(two)}).place.context == "one"


def test_the_kubeconfig_variable_has_precedence_over_the_home_directory(tmp_path: Path) -> None:
    write(tmp_path / ".kube" / "config", config("home"))
    one = write(tmp_path / "1", config("one"))
    home = {"HOME": str(tmp_path)}
    assert load(environment={**home, "KUBECONFIG": str(one)}).place.context == "one"
    assert load(environment=home).place.context == "home"
    assert load(environment={**home, "KUBECONFIG": ""}).place.context == "home"


def test_files_are_merged_and_the_first_file_with_an_entry_wins(tmp_path: Path) -> None:
    first, second = config("shared", server="https://first.example"), config("shared", server="https://second.example")
    first["users"] = []
    first["current-context"] = ""
    second["contexts"] += [{"name": "more", "context": {"cluster": "shared", "user": "shared"}}]
    second["current-context"] = "more"
    paths = [write(tmp_path / "1", first), tmp_path / "missing", write(tmp_path / "2", second)]
    access = load(environment={"KUBECONFIG": os.pathsep.join(["", *map(str, paths)])})
    assert (access.place.context, access.server, shown(access)) == ("more", "https://first.example", f"Bearer {SECRET}")
    assert str(access.place) == f"context 'more' of {paths[2]}:{paths[0]}"


def test_a_context_of_a_later_file_can_be_selected(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, config(name, server=f"https://{name}.example")) for name in ("x", "y")]
    environment = {"KUBECONFIG": os.pathsep.join(map(str, paths))}
    assert load(environment=environment).server == "https://x.example"
    assert load(context="y", environment=environment).server == "https://y.example"


def test_paths_are_relative_to_their_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "sub" / "pki" / "ca.crt", "the ca")
    write(tmp_path / "sub" / "token", "from-file\n")
    write(tmp_path / "sub" / "config", config(user={"tokenFile": "token"}, **{"certificate-authority": "pki/ca.crt"}))
    monkeypatch.chdir(tmp_path)
    access = load(Path("sub/config"), environment={})
    assert (access.ca, shown(access)) == (b"the ca", "Bearer from-file")


def test_an_empty_kubeconfig_is_ignored(tmp_path: Path) -> None:
    for content in ("", "clusters: null\ncontexts: []\ncurrent-context: ''\n"):
        write(tmp_path / ".kube" / "config", content)
        assert find(environment={"HOME": str(tmp_path)}) is None


def test_without_a_kubeconfig_the_error_has_two_remediations(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError) as raised:
        load(environment={"HOME": str(tmp_path)})
    assert f"{tmp_path}/.kube/config: no such file" in str(raised.value)
    assert "--kubeconfig" in str(raised.value)
    assert "agent-identities up" in str(raised.value)


def test_a_kubeconfig_variable_without_a_file_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / ".kube" / "config", config("home"))
    with pytest.raises(KubeconfigError, match=r"KUBECONFIG=/no/such:/file: no such file"):
        find(environment={"HOME": str(tmp_path), "KUBECONFIG": "/no/such:/file"})


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match=f"{tmp_path}/nowhere: no such file"):
        load(tmp_path / "nowhere", environment={})


# ---- the credentials of a pod


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    write(tmp_path / "sa" / "token", "of-the-pod\n")
    write(tmp_path / "sa" / "ca.crt", "the ca")
    return tmp_path / "sa"


IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def test_a_pod_uses_its_service_account(pod: Path, tmp_path: Path) -> None:
    access = load(service_account=pod, environment={"HOME": str(tmp_path), **IN_CLUSTER})
    assert (access.server, access.ca, shown(access)) == ("https://10.96.0.1:443", b"the ca", "Bearer of-the-pod")
    assert str(access) == f"https://10.96.0.1:443, the ServiceAccount of this pod, {pod}"


def test_a_pod_can_have_an_ipv6_service_address(pod: Path) -> None:
    access = in_cluster(pod, {**IN_CLUSTER, "KUBERNETES_SERVICE_HOST": "fd00::1"})
    assert access is not None
    assert access.server == "https://[fd00::1]:443"


@pytest.mark.parametrize("missing", ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "token"])
def test_outside_of_a_pod_there_is_no_in_cluster_access(pod: Path, missing: str) -> None:
    if missing == "token":
        (pod / "token").unlink()
    assert in_cluster(pod, {key: value for key, value in IN_CLUSTER.items() if key != missing}) is None


def test_a_kubeconfig_has_precedence_over_the_credentials_of_the_pod(pod: Path, tmp_path: Path) -> None:
    write(tmp_path / ".kube" / "config", config("home"))
    access = load(service_account=pod, environment={"HOME": str(tmp_path), **IN_CLUSTER})
    assert access.place.context == "home"


def test_a_pod_without_a_certificate_authority_is_an_error(pod: Path) -> None:
    (pod / "ca.crt").unlink()
    with pytest.raises(KubeconfigError, match=r"ca\.crt: No such file.*kube-root-ca\.crt"):
        in_cluster(pod, IN_CLUSTER)


# ---- TLS is verified, or nothing is sent


@pytest.mark.parametrize("server", ["http://10.0.0.1:8080", "10.0.0.1:6443", "host:6443", "ftp://x", "https://"])
def test_an_address_that_is_not_https_is_refused(tmp_path: Path, server: str) -> None:
    message = problem(tmp_path, config(server=server))
    assert "cluster 'a': TLS verification is disabled" in message
    assert "https://HOST:PORT" in message


def test_insecure_skip_tls_verify_is_refused(tmp_path: Path) -> None:
    message = problem(
        tmp_path, changed("cluster", server="https://a.example:6443", **{"insecure-skip-tls-verify": True})
    )
    assert "TLS verification is disabled for a.example:6443 (insecure-skip-tls-verify is true)" in message
    assert "Set certificate-authority-data, and remove insecure-skip-tls-verify." in message


def test_credentials_in_the_address_are_refused_without_repeating_them(tmp_path: Path) -> None:
    assert "contains a user name" in problem(tmp_path, config(server=f"https://me:{SECRET}@a.example"))


# ---- invalid input


BAD_FILES = {
    "list": ("[1, 2]", "not a kubeconfig"),
    "words": ("just words", "not a kubeconfig"),
    "other kind": ("kind: Pod", "not a kubeconfig"),
    "not yaml": (f"a:\n  - token: *{SECRET}\n", "not YAML at line 2"),
    "unclosed": (f'users:\n- user: {{token: "{SECRET}\n', "not YAML"),
    "tag": (f"a: !{SECRET} x", "not YAML"),
    "binary": ("\x00\x01\x02", "not UTF-8 text"),
    "deep": ("[" * 5000, "not YAML at line 1"),
    "deep enough to overflow a stack": ("[" * 100_000, "not YAML at line 1"),
    "deep mapping": ("\n".join(" " * level + "a:" for level in range(500)), "not YAML at line 1"),
    "bomb": (
        "a0: &a0 {x: 1}\n" + "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)),
        "not YAML at line",
    ),
    "bad boolean": (f"a: !!bool {SECRET}", "not YAML"),
    "bad time": (f"a: !!timestamp {SECRET}", "not YAML"),
    "bad number": ("a: !!int ''", "not YAML"),
    "empty": ("", "has no contexts"),
    "clusters": ("current-context: a\nclusters: {}", "clusters is not a list"),
    "entry": (f"current-context: a\nusers: [{SECRET}]", "users[0] is not a map"),
    "current": ("current-context: 5", "current-context is not a string"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_the_error_for_an_invalid_kubeconfig_has_its_path(tmp_path: Path, name: str) -> None:
    content, said = BAD_FILES[name]
    assert said in problem(tmp_path, content)


def test_the_error_for_a_file_without_an_end_has_its_path() -> None:
    with pytest.raises(KubeconfigError, match="/dev/zero: File too large"):
        load(Path("/dev/zero"), environment={})


def test_a_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = yaml.safe_dump(config())
    with ThreadPoolExecutor(1) as pool:
        pool.submit(pipe.write_text, content)
        assert load(pipe, environment={}).server == "https://a.example:6443"


def test_the_error_for_a_directory_has_its_path(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").mkdir()
    with pytest.raises(KubeconfigError, match="kubeconfig: Is a directory"):
        load(tmp_path / "kubeconfig", environment={})


def changed(section: str, **fields: Any) -> Json:
    """The valid kubeconfig with other fields in its cluster, user or context."""
    content = config()
    (entry,) = content[f"{section}s"]
    entry[section] = fields
    return content


EXEC_EXTENSION = "client.authentication.k8s.io/exec"
V1BETA1 = {"command": "x", "apiVersion": "client.authentication.k8s.io/v1beta1"}
BAD_ENTRIES: dict[str, tuple[Json, str]] = {
    "no cluster": (changed("context", user="a"), "context 'a' has no cluster"),
    "no user": (changed("context", cluster="a"), "context 'a' has no user"),
    "unknown cluster": (
        changed("context", cluster="b", user="a"),
        "the cluster 'b', which does not exist. The clusters: a",
    ),
    "unknown user": (changed("context", cluster="a", user="b"), "the user 'b', which does not exist"),
    "no server": (changed("cluster"), "has no server"),
    "bad port": (changed("cluster", server="https://a:99999"), "is not a URL"),
    "ca of no possible name": (
        changed("cluster", server="https://a", **{"certificate-authority": "ca\0"}),
        "Invalid argument",
    ),
    "token file of no possible name": (changed("user", tokenFile="a\0"), "Invalid argument"),
    "no ca file": (
        changed("cluster", server="https://a", **{"certificate-authority": "ca.crt"}),
        "ca.crt: No such file",
    ),
    "ca twice": (
        changed("cluster", server="https://a", **{"certificate-authority": "ca", "certificate-authority-data": "eA=="}),
        "has both certificate-authority and certificate-authority-data",
    ),
    "ca not base64": (
        changed("cluster", server="https://a", **{"certificate-authority-data": SECRET}),
        "certificate-authority-data that is not base64",
    ),
    "proxy": (changed("cluster", server="https://a", **{"proxy-url": f"ftp://me:{SECRET}@p"}), "has a proxy-url"),
    "flag": (changed("cluster", server="https://a", **{"insecure-skip-tls-verify": "yes"}), "neither true nor false"),
    "token number": (changed("user", token=12345678), "has a token that is not a string"),
    "token newline": (changed("user", token=f"{SECRET}\n"), "user 'a': token: the token contains a line break"),
    "token blank": (changed("user", token=f"{SECRET} x"), "contains a blank"),
    "token not ASCII": (changed("user", token=f"{SECRET}é"), "contains a character that is not ASCII"),
    "token control": (changed("user", token=f"{SECRET}\x07"), "contains a control character"),
    "token file": (changed("user", tokenFile="nowhere"), "nowhere: No such file"),
    "token and password": (
        changed("user", token=SECRET, username="me", password=SECRET),
        "both a token and a user name",
    ),
    "certificate without key": (changed("user", **{"client-certificate-data": "eA=="}), "without a client-key"),
    "certificate file": (changed("user", **{"client-certificate": "c.crt", "client-key": "c.key"}), "c.crt: No such"),
    "key not base64": (changed("user", **{"client-key-data": SECRET}), "client-key-data that is not base64"),
    "groups without as": (changed("user", token=SECRET, **{"as-groups": ["x"]}), "without as"),
    "groups": (changed("user", token=SECRET, **{"as": "me", "as-groups": "x"}), "as-groups that is not a list"),
    "extra": (changed("user", token=SECRET, **{"as": "me", "as-user-extra": ["x"]}), "as-user-extra that is not a map"),
    "as newline": (changed("user", token=SECRET, **{"as": "a\nb"}), "with a control character"),
    "gcp": (changed("user", **{"auth-provider": {"name": "gcp", "config": {"access-token": SECRET}}}), "auth-provider"),
    "exec and provider": (
        changed("user", exec={"command": "x"}, **{"auth-provider": {"name": "oidc"}}),
        "both exec and",
    ),
    "exec command": (changed("user", exec={"apiVersion": "client.authentication.k8s.io/v1"}), "without a command"),
    "exec version": (
        changed("user", exec={"command": "x", "apiVersion": "client.authentication.k8s.io/v1alpha1"}),
        "whose apiVersion is not client.authentication.k8s.io/v1 or",
    ),
    "exec mode": (
        changed("user", exec={"command": "x", "apiVersion": "client.authentication.k8s.io/v1"}),
        "interactiveMode is not Never, IfAvailable or Always",
    ),
    "exec NUL in args": (changed("user", exec={**V1BETA1, "args": [f"{SECRET}\0"]}), "NUL character"),
    "exec NUL in env": (changed("user", exec={**V1BETA1, "env": [{"name": "A", "value": f"{SECRET}\0"}]}), "NUL"),
    "exec name in env": (changed("user", exec={**V1BETA1, "env": [{"name": "A=", "value": SECRET}]}), "contains '='"),
    "exec extension": (
        changed("cluster", server="https://a", extensions=[{"name": EXEC_EXTENSION, "extension": {"a": b"x"}}]),
        "cannot be written as JSON",
    ),
    "exec env": (
        changed("user", exec={"command": "x", "apiVersion": "client.authentication.k8s.io/v1beta1", "env": [SECRET]}),
        "env is not a list",
    ),
}


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_the_error_for_an_unusable_entry_has_its_file_and_name(tmp_path: Path, name: str) -> None:
    content, said = BAD_ENTRIES[name]
    assert said in problem(tmp_path, content)


@pytest.mark.parametrize("section", ["cluster", "user", "context"])
def test_a_name_that_is_defined_twice_is_an_error(tmp_path: Path, section: str) -> None:
    content = config()
    content[f"{section}s"] *= 2
    assert f"{section} 'a' is defined twice" in problem(tmp_path, content)


def test_the_error_for_an_unknown_context_lists_the_contexts(tmp_path: Path) -> None:
    assert "no context 'production'. Select another context with --context. Its contexts: a." in problem(
        tmp_path, config(), "production"
    )


def test_a_file_of_another_kind_has_no_contexts(tmp_path: Path) -> None:
    assert "has no contexts. `kubectl config view --flatten` prints a valid one." in problem(tmp_path, "agents: {}")


def test_the_error_without_a_current_context_lists_the_contexts(tmp_path: Path) -> None:
    assert "no current-context. Select a context with --context. Its contexts: a." in problem(
        tmp_path, {**config(), "current-context": None}
    )


# ---- the credentials of a user's entry


def test_a_token_in_the_form_of_a_date_is_a_string(tmp_path: Path) -> None:
    content = yaml.safe_dump(config()).replace(f"token: {SECRET}", "token: 2026-01-01")
    assert shown(loaded(tmp_path, content)) == "Bearer 2026-01-01"


def test_a_user_name_and_password_are_sent_as_kubectl_does(tmp_path: Path) -> None:
    access = loaded(tmp_path, config(user={"username": "jane", "password": "p:w"}))
    assert shown(access) == "Basic " + base64.b64encode(b"jane:p:w").decode()


def test_a_user_without_credentials_is_anonymous(tmp_path: Path) -> None:
    assert shown(loaded(tmp_path, config(user={}))) == ""


def test_a_token_has_precedence_over_a_plugin(tmp_path: Path) -> None:
    plugin = {"command": "/no/such", "apiVersion": "client.authentication.k8s.io/v1beta1"}
    assert shown(loaded(tmp_path, config(user={"token": SECRET, "exec": plugin}))) == f"Bearer {SECRET}"


def test_base64_data_can_have_line_breaks(tmp_path: Path) -> None:
    wrapped = base64.encodebytes(b"c" * 100).decode()
    assert (
        loaded(tmp_path, changed("cluster", server="https://a", **{"certificate-authority-data": wrapped})).ca
        == b"c" * 100
    )


def oidc(expires: float, *, provider: str = "oidc") -> Json:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return {"auth-provider": {"name": provider, "config": {"id-token": f"e30.{payload}.sig", "refresh-token": SECRET}}}


def test_a_valid_id_token_of_oidc_is_sent(tmp_path: Path) -> None:
    assert shown(loaded(tmp_path, config(user=oidc(time.time() + 600)))).startswith("Bearer e30.")


def test_the_error_for_an_expired_id_token_proposes_kubectl(tmp_path: Path) -> None:
    message = problem(tmp_path, config(user=oidc(time.time())))
    assert "has expired" in message
    assert "kubectl get --raw /version" in message


def test_the_proxy_of_the_cluster_has_precedence_over_the_environment(tmp_path: Path) -> None:
    environment = {"HTTPS_PROXY": "http://environment:3128"}
    assert loaded(tmp_path, config(), **environment).proxy == "http://environment:3128"
    assert (
        loaded(tmp_path, changed("cluster", server="https://a", **{"proxy-url": "http://own:1"}), **environment).proxy
        == "http://own:1"
    )
    assert loaded(tmp_path, config(server="https://127.0.0.1:6443"), **environment).proxy == ""


def test_the_repr_of_an_access_has_no_credentials(tmp_path: Path) -> None:
    content = config(user={"token": SECRET}, **{"proxy-url": f"http://me:{SECRET}@proxy:3128"})
    access = loaded(tmp_path, content)
    assert SECRET not in repr(access) + str(access) + repr(access.credentials)


def test_the_kubectl_command_in_a_message_selects_the_same_cluster(tmp_path: Path) -> None:
    path = write(tmp_path / "a b", config())
    assert load(path, environment={}).place.kubectl("auth", "whoami") == (
        f"kubectl '--kubeconfig={path}' --context=a auth whoami"
    )
    assert load(environment={"KUBECONFIG": str(path)}).place.kubectl("get") == "kubectl --context=a get"
