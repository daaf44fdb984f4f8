"""A cluster that the user names either answers, or one message says what stands in the way and what to do."""

import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from agent_identities.cluster.admin_kubeconfig import CONTEXT, write_kubeconfig
from agent_identities.cluster.pki import Pki, write_pki
from agent_identities.cluster.ports import free_ports
from agent_identities.cluster.provide import provide_cluster
from agent_identities.errors import ClusterError
from agent_identities.kube.reach import reach


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return write_pki(tmp_path_factory.mktemp("ours") / "pki", "10.96.0.1")


class Answers(http.server.BaseHTTPRequestHandler):
    """What an API server says to the two questions, or one status for both."""

    status: ClassVar[int] = 200

    def _answer(self, status: int, body: object) -> None:
        self.send_response(status if self.status == 200 else self.status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_GET(self) -> None:
        names = ("major", "minor", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform")
        self._answer(200, {**dict.fromkeys(names, "1"), "gitVersion": "v1.36.4"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201, {"kind": "SelfSubjectReview", "status": {"userInfo": {"username": "admin"}}})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        pass


@pytest.fixture
def serve(pki: Pki, tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Start a server that always answers with this status; the kubeconfig for it."""
    servers = []

    def start(status: int) -> Path:
        server = http.server.HTTPServer(("127.0.0.1", 0), type("Handler", (Answers,), {"status": status}))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pki.apiserver.certificate, pki.apiserver.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        servers.append(server)
        return kubeconfig(tmp_path, pki, server.server_port)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def kubeconfig(directory: Path, pki: Pki, port: int) -> Path:
    return write_kubeconfig(
        directory / "config",
        server=f"https://127.0.0.1:{port}",
        ca=pki.ca.certificate,
        client=pki.admin,
        user="admin",
    )


def problem(file: Path, context: str | None = None) -> str:
    with pytest.raises(ClusterError) as refused:
        reach(file, context)
    return str(refused.value)


def test_a_server_that_answers_is_reached_and_gives_its_version(serve: Callable[[int], Path]) -> None:
    assert reach(serve(200)) == "v1.36.4"


def test_a_named_kubeconfig_is_used_whatever_else_was_asked_for(serve: Callable[[int], Path]) -> None:
    file = serve(200)
    with provide_cluster("embedded", kubeconfig=file, context=CONTEXT) as cluster:
        assert (cluster.kubeconfig, cluster.context, cluster.version) == (file, CONTEXT, "v1.36.4")


def test_a_missing_file_is_named_and_another_way_shown(tmp_path: Path) -> None:
    message = problem(tmp_path / "nowhere")
    assert f"{tmp_path / 'nowhere'}: no such file" in message
    assert "agent-identities up" in message


def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[1, 2]")
    assert f"{tmp_path / 'config'}: not a kubeconfig" in problem(tmp_path / "config")


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a: [")
    assert f"{tmp_path / 'config'}: not YAML" in problem(tmp_path / "config")


def test_an_unknown_context_is_answered_with_those_there_are(tmp_path: Path, pki: Pki) -> None:
    message = problem(kubeconfig(tmp_path, pki, 1), "production")
    assert "no context 'production'" in message
    assert f"It has: {CONTEXT}" in message


def test_a_context_whose_cluster_is_not_there_is_named(tmp_path: Path, pki: Pki) -> None:
    file = kubeconfig(tmp_path, pki, 1)
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "clusters": []}))
    assert f"{file}, context {CONTEXT}: cannot be used" in problem(file)


def test_a_server_that_does_not_run_is_named_with_its_address(tmp_path: Path, pki: Pki) -> None:
    (port,) = free_ports(1)
    message = problem(kubeconfig(tmp_path, pki, port))
    assert f"no answer from https://127.0.0.1:{port}" in message
    assert "Connection refused" in message


def test_a_certificate_of_an_unknown_authority_is_said_to_be_the_reason(
    serve: Callable[[int], Path], tmp_path: Path, pki: Pki
) -> None:
    port = int(yaml.safe_load(serve(200).read_text())["clusters"][0]["cluster"]["server"].rpartition(":")[2])
    stranger = write_pki(tmp_path / "pki", "10.96.0.1")
    message = problem(kubeconfig(tmp_path, stranger, port))
    assert "is not trusted" in message
    assert "certificate-authority-data" in message


@pytest.mark.parametrize(
    ("status", "said"), [(401, "does not accept the credentials"), (403, "refuses"), (503, "answered 503")]
)
def test_a_refusal_is_said_in_words(serve: Callable[[int], Path], status: int, said: str) -> None:
    assert said in problem(serve(status))


def test_several_files_in_kubeconfig_are_a_question_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "one:two")
    with pytest.raises(ClusterError, match="kubectl config view --flatten"), provide_cluster("kubeconfig"):
        pass
