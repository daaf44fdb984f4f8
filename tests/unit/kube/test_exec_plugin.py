"""Credential plugins, as client-go runs them. An error has their stderr, without credentials."""

import datetime
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_identities.cluster.pki import Authority
from agent_identities.kube.client import Api, ApiError
from agent_identities.kube.fanout import fan_out
from agent_identities.kube.kubeconfig import load
from support.played import Handler, Played

V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
SECRET = "s3cret-of-the-test"


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Write a plugin in Python; its entry in a kubeconfig. The program has `answer(status)` to print a credential."""

    def write(body: str, **fields: Any) -> dict[str, Any]:
        version = fields.get("apiVersion", V1)
        path = tmp_path / "plugin"
        head = (
            f"#!{sys.executable} -IS\nimport json, os, sys\n"
            f"def answer(**status): print(json.dumps({{'apiVersion': {version!r}, 'kind': 'ExecCredential', "
            "'status': status}))\n"
        )
        path.write_text(head + body)
        path.chmod(0o700)
        return {"exec": {"command": str(path), "apiVersion": version, "interactiveMode": "Never", **fields}}

    return write


Plugin = Callable[..., dict[str, Any]]
Start = Callable[..., Played]
Kubeconfig = Callable[..., Path]


def ask(path: Path) -> dict[str, Any]:
    return Api(load(path)).get("/version")


def problem(path: Path) -> str:
    """The error message; it contains no credential."""
    with pytest.raises(ApiError) as raised:
        ask(path)
    message = str(raised.value)
    assert SECRET not in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("version", [V1, V1BETA1])
def test_the_token_of_a_plugin_is_sent(play: Start, kubeconfig: Kubeconfig, plugin: Plugin, version: str) -> None:
    server = play((200, {}))
    ask(kubeconfig(server, user=plugin("answer(token='from-plugin')", apiVersion=version)))
    assert server.requests == [("GET", "/version", "Bearer from-plugin")]


def test_the_certificate_of_a_plugin_is_used(
    play: Start, kubeconfig: Kubeconfig, plugin: Plugin, authority: Authority
) -> None:
    pair = authority.issue("plugin", "plugin", client=True)
    status = {"clientCertificateData": pair.certificate.read_text(), "clientKeyData": pair.key.read_text()}
    server = play((200, {}))
    ask(kubeconfig(server, user=plugin(f"answer(**{status!r})")))
    assert (server.shown, server.requests[0][2]) == ([True], None)


def test_a_plugin_gets_arguments_variables_and_cluster_information(
    play: Start, kubeconfig: Kubeconfig, plugin: Plugin, tmp_path: Path
) -> None:
    body = f"""
info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])
json.dump([sys.argv[1:], os.environ['COLOUR'], info], open({str(tmp_path / "seen")!r}, 'w'))
answer(token='x')
"""
    fields = {"args": ["a", "b c"], "env": [{"name": "COLOUR", "value": "blue"}], "provideClusterInfo": True}
    server = play((200, {}))
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "us"}}
    ask(kubeconfig(server, user=plugin(body, **fields), extensions=[extension]))
    arguments, colour, info = json.loads((tmp_path / "seen").read_text())
    assert (arguments, colour) == (["a", "b c"], "blue")
    assert (info["apiVersion"], info["kind"], info["spec"]["interactive"]) == (V1, "ExecCredential", False)
    assert info["spec"]["cluster"]["server"] == server.url
    assert info["spec"]["cluster"]["config"] == {"audience": "us"}
    assert info["spec"]["cluster"]["certificate-authority-data"]


def test_without_provide_cluster_info_a_plugin_gets_no_cluster_information(
    play: Start, kubeconfig: Kubeconfig, plugin: Plugin, tmp_path: Path
) -> None:
    body = f"open({str(tmp_path / 'seen')!r}, 'w').write(os.environ['KUBERNETES_EXEC_INFO'])\nanswer(token='x')"
    ask(kubeconfig(play((200, {})), user=plugin(body)))
    assert json.loads((tmp_path / "seen").read_text())["spec"] == {"interactive": False}


def test_a_relative_command_is_relative_to_the_kubeconfig(
    play: Start, kubeconfig: Kubeconfig, plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    server = play((200, {}))
    ask(kubeconfig(server, user=plugin("answer(token='x')", command="./plugin")))
    assert server.requests[0][2] == "Bearer x"


def test_a_program_of_the_working_directory_is_never_run(
    kubeconfig: Kubeconfig, plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".")
    assert "not found on PATH" in problem(kubeconfig("https://127.0.0.1:1", user=plugin("", command="plugin")))


COUNT = "n = len(os.listdir({folder!r})); open({folder!r} + f'/{{n}}', 'w').close()\n"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def test_a_plugin_runs_once_for_all_requests(play: Start, kubeconfig: Kubeconfig, plugin: Plugin, runs: Path) -> None:
    user = plugin(COUNT.format(folder=str(runs)) + "answer(token='x')")
    access = load(kubeconfig(play((200, {})), user=user))
    for _ in range(2):
        with Api(access) as api:
            assert fan_out(api.get, ["/"] * 16, concurrency=8) == [{}] * 16
    assert len(list(runs.iterdir())) == 1


def test_a_plugin_runs_again_when_its_credential_expires(
    play: Start, kubeconfig: Kubeconfig, plugin: Plugin, runs: Path
) -> None:
    past = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    user = plugin(COUNT.format(folder=str(runs)) + f"answer(token=f'x{{n}}', expirationTimestamp={past!r})")
    server = play((200, {}))
    with Api(load(kubeconfig(server, user=user))) as api:
        api.get("/")
        api.get("/")
    assert [authorization for *_, authorization in server.requests] == ["Bearer x0", "Bearer x1"]


def test_a_plugin_runs_again_after_a_401(play: Start, kubeconfig: Kubeconfig, plugin: Plugin, runs: Path) -> None:
    def respond(request: Handler) -> tuple[int, object]:
        return (200, {}) if request.headers["authorization"] == "Bearer x1" else (401, {"kind": "Status"})

    user = plugin(COUNT.format(folder=str(runs)) + "answer(token=f'x{n}')")
    assert ask(kubeconfig(play(respond=respond), user=user)) == {}


def test_a_missing_plugin_is_reported_with_its_install_hint(kubeconfig: Kubeconfig, plugin: Plugin) -> None:
    user = plugin("", command="no-such-plugin", installHint="Install it:\n  brew install \x1b[1mno-such-plugin")
    message = problem(kubeconfig("https://127.0.0.1:1", user=user))
    assert "user 'u': credential plugin no-such-plugin: not found on PATH. Install it: brew install" in message
    assert "\x1b" not in message


FAILURES = {
    "exit": ("sys.exit('the session has ended')", "failed with exit code 1. Its stderr: the session has ended"),
    "silent": ("sys.exit(3)", "failed with exit code 3. Its stderr is empty."),
    "no JSON": ("print('token: ' + SECRET)", "printed output that is not JSON"),
    "deep JSON": ("print('[' * 200_000)", "printed output that is not JSON"),
    "half a character": ("answer(clientKeyData='\\ud800' + SECRET, clientCertificateData=SECRET)", "is not ASCII"),
    "half JSON": ('print(\'{"status": {"token": "\' + SECRET)', "printed output that is not JSON"),
    "no status": ("print(json.dumps({'token': SECRET}))", "printed no ExecCredential with a status"),
    "a list": ("print(json.dumps([SECRET]))", "printed no ExecCredential with a status"),
    "no kind": ("print(json.dumps({'status': {'token': SECRET}}))", f"output that is not an ExecCredential of {V1}"),
    "nothing": ("answer()", "printed neither a token nor a client certificate"),
    "no text": ("answer(token=[SECRET])", "printed a status.token that is not a string"),
    "half a pair": ("answer(clientKeyData=SECRET)", "printed a client certificate or its key, not both"),
    "no pair": ("answer(clientKeyData=SECRET, clientCertificateData='x')", "are not a pair in PEM"),
    "no time": ("answer(token=SECRET, expirationTimestamp=SECRET)", "expirationTimestamp that is not a time"),
    "newline": ("answer(token=SECRET + '\\n')", "the token contains a line break"),
    "on stderr": ("sys.exit('token=' + SECRET)", "Its stderr: token=[redacted]"),
    "as JSON": ("sys.exit(json.dumps({'status': {'token': SECRET}}))", "[redacted]"),
    "on both": ("print(SECRET); sys.exit('cannot use ' + SECRET)", "cannot use [redacted]"),
    "header": ("sys.exit('sent Authorization: Bearer ' + SECRET)", "Bearer [redacted]"),
    "variable": ("sys.exit('not accepted: ' + os.environ['API_TOKEN'])", "not accepted: [redacted]"),
    "argument": ("sys.exit('not accepted: ' + sys.argv[2])", "not accepted: [redacted]"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_the_error_of_a_plugin_has_no_credential(kubeconfig: Kubeconfig, plugin: Plugin, name: str) -> None:
    body, said = FAILURES[name]
    fields = {"env": [{"name": "API_TOKEN", "value": SECRET}], "args": ["--client-secret", SECRET]}
    user = plugin(f"SECRET = {SECRET!r}\n{body}", installHint="See example.org", **fields)
    message = problem(kubeconfig("https://127.0.0.1:1", user=user))
    assert said in message
    if name not in ("no pair", "newline"):
        assert "See example.org" in message


def test_the_error_of_a_plugin_has_no_log_lines_of_other_threads(
    play: Start, kubeconfig: Kubeconfig, plugin: Plugin
) -> None:
    path = kubeconfig(play((200, {})), user=plugin("answer(token='x')"))
    over = threading.Event()

    def log() -> None:
        while not over.wait(0.0005):
            logging.getLogger("another").error("another thread's trouble")

    thread = threading.Thread(target=log)
    thread.start()
    try:
        for _ in range(5):
            assert ask(path) == {}
    finally:
        over.set()
        thread.join()


def test_a_plugin_that_needs_a_terminal_does_not_run_without_a_terminal(
    kubeconfig: Kubeconfig, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(os.devnull).open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        user = plugin("answer(token='x')", interactiveMode="Always")
        assert "needs a terminal" in problem(kubeconfig("https://127.0.0.1:1", user=user))


def test_the_stderr_of_a_waiting_plugin_is_shown(
    play: Start, kubeconfig: Kubeconfig, plugin: Plugin, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    body = f"""
import time
print('open https://example.org/device and type ABCD; token=' + {SECRET!r}, file=sys.stderr, flush=True)
while not os.path.exists({str(go)!r}): time.sleep(0.01)
answer(token={SECRET!r})
"""
    asked = threading.Thread(target=ask, args=(kubeconfig(play((200, {})), user=plugin(body)),))
    asked.start()
    said = ""
    deadline = time.monotonic() + 30
    while "type ABCD" not in said and time.monotonic() < deadline:
        said += capsys.readouterr().err
        time.sleep(0.05)
    go.touch()
    asked.join()
    assert "open https://example.org/device and type ABCD" in said
    assert SECRET not in said + capsys.readouterr().err


def test_a_plugin_ends_with_the_command(
    kubeconfig: Kubeconfig, plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    body = f"""
import time
open({str(pid)!r}, 'w').write(str(os.getpid()))
print('x', file=sys.stderr, flush=True)
time.sleep(600)
"""
    api = Api(load(kubeconfig("https://127.0.0.1:1", user=plugin(body))))

    def interrupt(_text: str) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.stderr, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        api.get("/")
    monkeypatch.undo()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_program_that_cannot_run_is_one_sentence(kubeconfig: Kubeconfig, plugin: Plugin, tmp_path: Path) -> None:
    user = plugin("")
    (tmp_path / "plugin").write_text("not a program")
    message = problem(kubeconfig("https://127.0.0.1:1", user=user))
    assert "Exec format error" in message
