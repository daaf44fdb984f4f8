"""Every command that talks to a cluster, under every fault: no credential in any output, and the cluster is named.

The commands run in this process, so that the test reads their log lines at DEBUG. Ctrl-C is sent to real processes.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_identities import cli
from agent_identities.bundled import chart_path
from agent_identities.chart import values as values_files
from agent_identities.cluster.pki import Authority
from agent_identities.declaration import declare
from support import commands
from support.played import Handler, Played

SECRET = "s3cret-of-the-test-0123456789"
QUICKSTART = Path(__file__).parents[3] / "values" / "quickstart.yaml"

AGENTS = declare(values_files.load(chart_path(), [QUICKSTART]), namespace="agent-system")

COMMANDS = {
    "verify": ["verify", "-f", str(QUICKSTART)],
    "attack": ["attack", "-f", str(QUICKSTART), "--yes-attack"],
    "quarantine": ["quarantine", "triage-1"],
}
every_command = pytest.mark.parametrize("command", COMMANDS)

Start = Callable[..., Played]
Kubeconfig = Callable[..., Path]


class Output:
    """The output of a command on stdout and stderr, and its exit status."""

    def __init__(self, status: int, out: str, err: str, log: str) -> None:
        self.status, self.out, self.err, self.log = status, out, err, log

    @property
    def lines(self) -> list[str]:
        return self.err.strip().splitlines()


@pytest.fixture
def run(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Output]:
    """Run a command with a kubeconfig, and check that its output does not contain the secret."""

    def run_command(command: str, kubeconfig: Path, *more: str) -> Output:
        monkeypatch.setattr(sys, "argv", ["agent-identities", *COMMANDS[command], f"--kubeconfig={kubeconfig}", *more])
        status: object = 0
        caplog.clear()
        with caplog.at_level(logging.DEBUG):
            try:
                cli.main()
            except SystemExit as end:
                status = end.code
        out, err = capfd.readouterr()
        assert SECRET not in out + err + caplog.text
        assert "Traceback" not in err
        assert isinstance(status, int)
        return Output(status, out, err, caplog.text)

    return run_command


def echo(request: Handler) -> str:
    """All headers and bodies that the server received."""
    return " ".join(value for _, value in request.headers.items())


def broken_off(request: Handler) -> None:
    request.wfile.write(b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"kind": "' + echo(request).encode())


ANSWERS: dict[str, Callable[[Handler], Any]] = {
    "400": lambda request: (400, {"kind": "Status", "message": echo(request)}),
    "401": lambda request: (401, {"kind": "Status", "message": echo(request)}),
    "403": lambda request: (403, {"kind": "Status", "message": echo(request)}),
    "404": lambda request: (404, f"<html>{echo(request)}</html>"),
    "429": lambda request: (429, {"kind": "Status", "message": echo(request)}),
    "500": lambda request: (500, {"kind": "Status", "message": echo(request)}),
    "redirect": lambda request: (307, {"kind": "Status", "message": echo(request)}),
    "malformed": lambda request: (200, '{"items": [' + echo(request)),
    "no object": lambda request: (200, [echo(request)]),
    "no answer": lambda _request: None,
    "truncated": broken_off,
}


@every_command
@pytest.mark.parametrize("fault", ANSWERS)
def test_a_faulty_answer_is_an_error_without_credentials(
    command: str, fault: str, play: Start, kubeconfig: Kubeconfig, run: Callable[..., Output]
) -> None:
    server = play(respond=ANSWERS[fault])
    path = kubeconfig(server, user={"token": SECRET})
    done = run(command, path)
    assert done.status == 2
    assert server.requests[0][2] == f"Bearer {SECRET}"
    assert {path for _, path, _ in server.requests}.isdisjoint({"/elsewhere"})
    assert done.lines[0] == done.lines[-1] == f"cluster: {server.url}, context 'here' of {path}"
    assert sum(line.startswith("agent-identities: ") for line in done.lines) == 1


def test_quarantine_without_rights_names_the_rights_that_it_needs(
    play: Start, kubeconfig: Kubeconfig, run: Callable[..., Output]
) -> None:
    message = 'serviceaccounts "triage-1" is forbidden: User "me" cannot get resource "serviceaccounts" in API group ""'
    review = {"status": {"userInfo": {"username": "me"}}}
    server = play((200, {"gitVersion": "v1.36.4"}), (201, review), (403, {"kind": "Status", "message": message}))
    done = run("quarantine", kubeconfig(server, user={"token": SECRET}))
    (error,) = [line for line in done.lines if line.startswith("agent-identities: ")]
    assert done.status == 2
    assert f"403 {message}. Nothing was removed." in error
    assert "docs/responder.yaml" in error
    assert "--clusterrole=view" not in error


USERS: dict[str, dict[str, Any]] = {
    "token with a newline": {"token": f"{SECRET}\n"},
    "token with a newline inside": {"token": f"{SECRET}\n{SECRET}"},
    "token file with a newline inside": {"tokenFile": "token"},
    "not base64": {"client-certificate-data": SECRET, "client-key-data": SECRET},
    "plugin on stderr": {"exec": {"command": "/bin/sh", "args": ["-c", f"echo token={SECRET} >&2; exit 1"]}},
    "plugin garbage": {"exec": {"command": "/bin/echo", "args": [f'{{"status": {{"token": "{SECRET}"']}},
    "plugin another kind": {"exec": {"command": "/bin/echo", "args": [json.dumps({"status": {"token": SECRET}})]}},
    "plugin on both": {"exec": {"command": "/bin/sh", "args": ["-c", f"echo {SECRET}; echo no {SECRET} >&2; exit 1"]}},
    "plugin missing": {"exec": {"command": "/no/such", "args": [SECRET]}},
    "auth provider": {"auth-provider": {"name": "oidc", "config": {"id-token": SECRET, "refresh-token": SECRET}}},
    "password and token": {"username": "me", "password": SECRET, "token": SECRET},
}


@every_command
@pytest.mark.parametrize("fault", USERS)
def test_an_unusable_credential_is_an_error_without_credentials(
    command: str, fault: str, play: Start, kubeconfig: Kubeconfig, run: Callable[..., Output], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n{SECRET}\n")
    server = play((200, {}))
    user = USERS[fault]
    if "exec" in user:
        user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", **user["exec"]}}
    path = kubeconfig(server, user=user)
    done = run(command, path)
    assert done.status == 2
    assert server.requests == []
    (message,) = [line for line in done.lines if line.startswith("agent-identities: ")]
    assert f"{path}: user 'u'" in message or f"'here' of {path}" in message


@every_command
@pytest.mark.parametrize("cluster", [{"insecure-skip-tls-verify": True}, {"server": "http"}, {"certificate": "other"}])
def test_a_server_that_is_not_verified_gets_no_request(
    command: str,
    cluster: dict[str, Any],
    play: Start,
    kubeconfig: Kubeconfig,
    run: Callable[..., Output],
    tmp_path: Path,
) -> None:
    server = play((200, {}))
    if "server" in cluster:
        path = kubeconfig(server.url.replace("https", "http"), user={"token": SECRET})
    elif "certificate" in cluster:
        other = Authority.create(tmp_path, "other").files.certificate
        path = kubeconfig(server, user={"token": SECRET}, **{"certificate-authority": str(other)})
    else:
        path = kubeconfig(server, user={"token": SECRET}, **cluster)
    done = run(command, path)
    assert done.status == 2
    assert server.requests == []
    assert "TLS verification is disabled" in done.err or "certificate is not trusted" in done.err


@every_command
def test_a_server_that_does_not_listen_is_an_error(
    command: str, kubeconfig: Kubeconfig, run: Callable[..., Output]
) -> None:
    path = kubeconfig("https://127.0.0.1:1", user={"token": SECRET})
    done = run(command, path)
    assert done.status == 2
    assert "cannot be reached (Connection refused)" in done.err
    assert done.lines[0] == done.lines[-1]


@every_command
def test_ctrl_c_during_a_request_prints_one_line(
    command: str, play: Start, kubeconfig: Kubeconfig, tmp_path: Path
) -> None:
    """The requests of verify and attack hang in many threads; in quarantine, the first request hangs."""
    hangs = threading.Semaphore(0)
    accounts = [{"metadata": {"name": one.name}} for one in AGENTS.agents]

    def respond(request: Handler) -> tuple[int, object] | None:
        if request.path == "/version":
            return 200, {"gitVersion": "v1.36.4"}
        if request.path.endswith("selfsubjectreviews"):
            return 201, {"status": {"userInfo": {"username": "me"}}}
        if command != "quarantine" and request.command != "POST":
            return 200, {"items": accounts if "serviceaccounts" in request.path else []}
        hangs.release()
        request.server.released.wait(60)
        return None

    path = kubeconfig(play(respond=respond), user={"token": SECRET})
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "LANG": "C", "LC_ALL": "C"}
    (tmp_path / "tmp").mkdir()
    argv = commands.agent_identities(*COMMANDS[command], f"--kubeconfig={path}")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        for _ in range(1 if command == "quarantine" else 8):
            assert hangs.acquire(timeout=60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)  # a request would hang for 30 s
    assert process.returncode == 130
    assert SECRET not in out + err
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "agent-identities: interrupted"
    assert list((tmp_path / "tmp").iterdir()) == []


BAD_INPUT = {
    "directory": lambda path: path.mkdir(),
    "binary": lambda path: path.write_bytes(os.urandom(2000)),
    "accents": lambda path: path.write_text("current-context: é\n"),
}


@pytest.mark.parametrize("bad", BAD_INPUT)
def test_an_invalid_kubeconfig_is_an_error_under_lang_c(bad: str, tmp_path: Path) -> None:
    path = tmp_path / "ü" / "kubeconfig"
    path.parent.mkdir()
    BAD_INPUT[bad](path)
    environment = {**os.environ, "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    argv = commands.agent_identities("quarantine", "triage-1", f"--kubeconfig={path}")
    done = subprocess.run(argv, capture_output=True, env=environment, check=False, timeout=60)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"kubeconfig" in done.stderr


def test_an_unexpected_exception_shows_no_credential(play: Start, kubeconfig: Kubeconfig) -> None:
    """A list with items that are not objects raises an unexpected error: the traceback does not have the token."""
    path = kubeconfig(play((200, {"items": [5]})), user={"token": SECRET})
    argv = commands.agent_identities(*COMMANDS["quarantine"], f"--kubeconfig={path}")
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" in done.stderr
    assert SECRET not in done.stdout + done.stderr
