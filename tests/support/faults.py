"""Faults at a known moment: writes that the API server holds half-way, by an admission webhook on this machine."""

import base64
import contextlib
import json
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pykube

from agent_identities.chart.helm import Release, Renderer, Target
from agent_identities.chart.objects import thaw
from agent_identities.chart.values import Values
from agent_identities.cluster.control_plane import ControlPlane
from agent_identities.cluster.pki import Authority
from support.installed import holds, installed
from support.server import Json, Server, eventually

_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
_HOLD_SECONDS = 30  # the longest that an API server waits for a webhook
_PROBE = "gate-probe"
_NOT_IN_LISTS = ("apiVersion", "kind")
BROKEN = "storage is out of order"


@dataclass
class Gate:
    """Lets the first `passing` requests through and holds all that follow, until it is opened.

    `passed` and `held` are "OPERATION resource name", in the order of arrival. Operations in `broken` fail with
    status 500.
    """

    passing: int
    broken: tuple[str, ...] = ()
    passed: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    in_force: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _open: threading.Event = field(default_factory=threading.Event)

    def until_held(self, running: Callable[[], bool], count: int = 1) -> None:
        """Wait until so many requests are held; fails when what should send them does not run any more."""
        self._until(lambda: len(self.held) >= count, running)

    def until_half_way(self, running: Callable[[], bool]) -> None:
        """Wait until half of those that pass have passed."""
        self._until(lambda: 2 * len(self.passed) >= self.passing, running)

    def _until(self, reached: Callable[[], bool], running: Callable[[], bool]) -> None:
        with self._changed:
            while not reached():
                assert running(), f"ended after {len(self.passed)} requests, the last {self.passed[-1:]}: none was held"
                self._changed.wait(0.05)

    def hold_no_more(self) -> None:
        """Let later requests through; the held requests stay held."""
        self.passing = 1_000_000

    def open(self) -> None:
        """Let everything through."""
        self.hold_no_more()
        self._open.set()

    def ask(self, request: Json) -> bool:
        """Wait until this request can continue; returns whether it succeeds."""
        if request["name"] == _PROBE:
            self.in_force.set()
            return True
        with self._changed:
            through = len(self.passed) < self.passing
            what = f"{request['operation']} {request['resource']['resource']} {request['name']}"
            (self.passed if through else self.held).append(what)
            self._changed.notify_all()
        if not through:
            self._open.wait(2 * _HOLD_SECONDS)
        return request["operation"] not in self.broken


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gate: ClassVar[Gate]

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["content-length"])))
        response = {"uid": review["request"]["uid"], "allowed": self.gate.ask(review["request"])}
        if not response["allowed"]:
            response["status"] = {"code": 500, "message": BROKEN}
        data = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}).encode()
        with contextlib.suppress(OSError):  # the API server is gone: that is what the tests are about
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # http.server names it
        pass


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A closed connection is the fault under test."""


@contextlib.contextmanager
def gate(
    server: Server,
    namespace: str,
    directory: Path,
    passing: int,
    *resources: str,
    broken: tuple[str, ...] = (),
    only: str = "true",
) -> Iterator[Gate]:
    """Holds writes of people to these resources of a namespace, after the first `passing`, for the length of a block.

    `resources` as a webhook rule has them, `only`: a CEL condition beside them. The API server must be on this machine.
    """
    made = Gate(passing, broken)
    name = f"gate-{uuid.uuid4().hex[:8]}.example.org"
    authority = Authority.create(directory, name)
    pair = authority.issue(f"{name}-server", "gate", server_names=("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    listener = _Listener(("127.0.0.1", 0), type("Handler", (_Handler,), {"gate": made}))
    listener.socket = context.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
    hook = {
        "name": name,
        "clientConfig": {
            "url": f"https://127.0.0.1:{listener.server_port}/",
            "caBundle": base64.b64encode(authority.files.certificate.read_bytes()).decode(),
        },
        "rules": [
            {
                "operations": ["CREATE", "UPDATE", "DELETE"],
                "apiGroups": ["*"],
                "apiVersions": ["*"],
                "resources": [*resources, "configmaps"],  # of ConfigMaps the probe alone
            }
        ],
        "matchConditions": [
            {
                "name": "only",
                "expression": f"request.resource.resource == 'configmaps' ? request.name == '{_PROBE}' : ({only})",
            },
            {"name": "people", "expression": "!request.userInfo.username.startsWith('system:')"},
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": _HOLD_SECONDS,
    }
    server.create(_WEBHOOKS, {"metadata": {"name": name}, "webhooks": [hook]})
    try:
        eventually(partial(_in_force, server, namespace, made))
        yield made
    finally:
        made.open()
        with contextlib.suppress(OSError):  # the API server may be gone for good, and what went wrong is to be seen
            server.delete(f"{_WEBHOOKS}/{name}")
        listener.shutdown()
        listener.server_close()


def _in_force(server: Server, namespace: str, made: Gate) -> bool:
    server.request("POST", f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All", {"metadata": {"name": _PROBE}})
    return made.in_force.is_set()


def server_of(plane: ControlPlane) -> Server:
    """A control plane's API server, asked by its administrator."""
    return Server(pykube.HTTPClient(pykube.KubeConfig.from_file(str(plane.kubeconfig))))


def differences(server: Server, release: Release, values: Values, kubernetes_version: str) -> list[str]:
    """How what is on the server differs from what a fresh install of these values gives; nothing in common is no way.

    `kubernetes_version` as the server says it: v1.36.4.
    """
    target = Target(release.name, release.namespace, kubernetes_version.removeprefix("v"))
    wanted = Renderer(release.helm, release.chart).render(values, target).objects
    live = installed(server, release)
    assert wanted
    return [
        *(f"missing: {key}" for key in wanted.keys() - live.keys()),
        *(f"too much: {key}" for key in live.keys() - wanted.keys()),
        *(f"different: {key}" for key in live.keys() & wanted.keys() if not _says(live[key], thaw(wanted[key].body))),
    ]


def _says(live: Json, wanted: Json) -> bool:
    """Whether an object on the server equals the rendered object, and grants no more."""
    exact = all(live.get(field) == wanted.get(field) for field in ("rules", "roleRef", "subjects"))
    return exact and holds(live, {field: value for field, value in wanted.items() if field not in _NOT_IN_LISTS})


def records(server: Server, release: Release) -> dict[int, str]:
    """The status of each revision in Helm's records: 1 -> pending-install."""
    secrets = server.items(f"/api/v1/namespaces/{release.namespace}/secrets?labelSelector=owner%3Dhelm")
    labels = [secret["metadata"]["labels"] for secret in secrets]
    return {int(each["version"]): each["status"] for each in labels if each["name"] == release.name}
