"""Credential plugins of a kubeconfig: a program prints an ExecCredential with a credential and its expiry.

Source: k8s.io/client-go/plugin/pkg/client/auth/exec/exec.go; the API group is client.authentication.k8s.io.
"""

import base64
import contextlib
import datetime
import itertools
import json
import os
import re
import selectors
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

from agent_identities.kube.credentials import Credential, CredentialError, KeyPair
from agent_identities.kube.redact import printable, redact_output

API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
MODES = ("Never", "IfAvailable", "Always")

_QUIET_SECONDS = 1.0  # a plugin that runs longer may wait for its user, so its stderr is shown
_SECRET_NAME = re.compile("(?i)token|secret|passw|credential|key|authorization")
_SHOWN = 2_000  # characters of the plugin's stderr in an error


@dataclass(frozen=True, slots=True)
class ExecConfig:
    """``users[].user.exec`` of a kubeconfig. ``cluster`` is the cluster information for the plugin, or None."""

    command: str
    api_version: str
    interactive_mode: Literal["Never", "IfAvailable", "Always"]
    arguments: tuple[str, ...] = field(default=(), repr=False)
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    install_hint: str = ""
    cluster: Mapping[str, Any] | None = None


class ExecPlugin:
    """The credential of a plugin, which runs at the first request, when the credential has expired, and after a 401."""

    def __init__(self, config: ExecConfig, where: str) -> None:
        self._config, self._where = config, f"{where}: credential plugin {config.command}"
        self._lock = threading.Lock()  # a plugin may prompt its user, so only one runs at a time
        self._credential: Credential | None = None
        self._expires: datetime.datetime | None = None

    def get(self) -> Credential:
        """The credential; runs the plugin if there is none. Raises CredentialError with the plugin's stderr."""
        with self._lock:
            expired = self._expires is not None and datetime.datetime.now(datetime.UTC) > self._expires
            if self._credential is None or expired:
                self._run()
            assert self._credential is not None
            return self._credential

    def renew(self, refused: Credential) -> bool:
        """Run the plugin again. Returns whether there is a new credential."""
        with self._lock:
            if self._credential == refused:
                self._run()
            return self._credential != refused

    def _run(self) -> None:
        interactive = self._interactive()
        output = _run(self._argv(), self._config, self._environment(interactive), interactive=interactive)
        if output.status:
            self._fail(f"failed with exit code {output.status}", output)
        try:
            answer = json.loads(output.stdout)
        except (ValueError, RecursionError):
            self._fail("printed output that is not JSON", output)
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict):
            self._fail("printed no ExecCredential with a status", output)
        if answer.get("apiVersion") != self._config.api_version or answer.get("kind") != "ExecCredential":
            self._fail(f"printed output that is not an ExecCredential of {self._config.api_version}", output)
        self._credential, self._expires = self._parse(status, output)

    def _parse(self, status: Mapping[str, Any], output: "_Output") -> tuple[Credential, datetime.datetime | None]:
        texts = {}
        for name in ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp"):
            texts[name] = status.get(name) or ""
            if not isinstance(texts[name], str):
                self._fail(f"printed a status.{name} that is not a string", output)
            if not texts[name].isascii():
                self._fail(f"printed a status.{name} with a character that is not ASCII", output)
        token, certificate, key, expires = texts.values()
        if not token and not certificate and not key:
            self._fail("printed neither a token nor a client certificate", output)
        if bool(certificate) != bool(key):
            self._fail("printed a client certificate or its key, not both", output)
        pair = KeyPair(certificate.encode(), key.encode()) if key else None
        try:
            until = datetime.datetime.fromisoformat(expires) if expires else None
        except ValueError:
            self._fail("printed a status.expirationTimestamp that is not a time", output)
        if until is not None and until.tzinfo is None:
            until = until.replace(tzinfo=datetime.UTC)
        return Credential.bearer(token, self._where, pair) if token else Credential(pair=pair), until

    def _interactive(self) -> bool:
        terminal = sys.stdin is not None and sys.stdin.isatty()
        if self._config.interactive_mode == "Always" and not terminal:
            raise CredentialError(
                f"{self._where}: needs a terminal (interactiveMode: Always), and standard input is not one. "
                "Run the command in a terminal, or use credentials that do not need a terminal."
            )
        return terminal and self._config.interactive_mode != "Never"

    def _argv(self) -> list[str]:
        command = self._config.command
        found = shutil.which(command)
        if found is None or not os.path.isabs(found):  # noqa: PTH117 # as in Go: no program of the working directory
            why = "no such program" if os.sep in command else "not found on PATH"
            hint = printable(self._config.install_hint) or "Install it, or correct the command in the kubeconfig."
            raise CredentialError(f"{self._where}: {why}. {hint}")
        return [found, *self._config.arguments]

    def _environment(self, interactive: bool) -> dict[str, str]:  # noqa: FBT001 # it is the plugin's only input
        spec: dict[str, Any] = {"interactive": interactive}
        if self._config.cluster is not None:
            spec["cluster"] = self._config.cluster
        info = {"kind": "ExecCredential", "apiVersion": self._config.api_version, "spec": spec}
        return {**os.environ, **dict(self._config.environment), "KUBERNETES_EXEC_INFO": json.dumps(info)}

    def _fail(self, what: str, output: "_Output") -> NoReturn:
        stderr = output.words()[-_SHOWN:]
        raise CredentialError(
            f"{self._where} {what}. {f'Its stderr: {stderr}' if stderr else 'Its stderr is empty.'}"
            f"{f' ({hint})' if (hint := printable(self._config.install_hint)) else ''}"
        )


def cluster_info(
    server: str, *, ca: bytes | None, tls_server_name: str, proxy: str, disable_compression: bool, config: object
) -> dict[str, Any]:
    """``spec.cluster`` of an ExecCredential, for plugins with provideClusterInfo."""
    info = {
        "server": server,
        "tls-server-name": tls_server_name,
        "certificate-authority-data": base64.b64encode(ca).decode() if ca else "",
        "proxy-url": proxy,
        "disable-compression": disable_compression,
        "config": config,
    }
    return {key: value for key, value in info.items() if key == "config" or value}


@dataclass(frozen=True, slots=True)
class _Output:
    status: int
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def words(self) -> str:
        """The plugin's stderr on one line, without credentials."""
        return printable(redact_output(self.stderr, self.secrets, self.stdout))


def _run(argv: list[str], config: ExecConfig, environment: Mapping[str, str], *, interactive: bool) -> _Output:
    """Run a plugin until it ends. The plugin does not outlive this function."""
    secrets = tuple(_secrets(argv[1:], environment))
    try:
        process = subprocess.Popen(
            [config.command, *argv[1:]],
            executable=argv[0],
            env=dict(environment),
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        return _Output(126, "", error.strerror or "cannot be run", ())
    with _ended(process):
        stdout, stderr = _read(process, secrets)
        return _Output(process.wait(), stdout, stderr, secrets)


def _secrets(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[str]:
    """The values of variables and options with the name of a secret."""
    yield from (value for name, value in environment.items() if _SECRET_NAME.search(name))
    for argument, following in itertools.pairwise([*arguments, ""]):
        name, equals, value = argument.partition("=")
        if name.startswith("-") and _SECRET_NAME.search(name):
            yield value if equals else following


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill the process if the block raises an exception."""
    with process:
        try:
            yield
        except BaseException:
            process.kill()
            raise


def _read(process: subprocess.Popen[bytes], secrets: Sequence[str]) -> tuple[str, str]:
    """The stdout and stderr of the process. After the first second, its stderr is also shown to the user."""
    assert process.stdout is not None
    assert process.stderr is not None
    stdout, stderr = bytearray(), bytearray()
    shown, started = 0, time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, stdout)
        selector.register(process.stderr, selectors.EVENT_READ, stderr)
        while selector.get_map():
            ready = selector.select(_QUIET_SECONDS)
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                key.data.extend(data)
                if not data:
                    selector.unregister(key.fileobj)
            if time.monotonic() - started >= _QUIET_SECONDS:
                until = stderr.rfind(b"\n") + 1 if ready else len(stderr)  # a prompt does not end with a newline
                text = stderr[shown:until].decode(errors="replace")
                sys.stderr.write(redact_output(text, secrets, stdout.decode(errors="replace")))
                sys.stderr.flush()
                shown = max(shown, until)
    return stdout.decode(errors="replace"), stderr.decode(errors="replace")
