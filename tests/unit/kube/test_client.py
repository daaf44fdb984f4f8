"""What the client makes of servers in trouble; a server of ours plays them, since a real one cannot be asked to."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_identities.cluster.pki import Authority
from agent_identities.errors import ClusterError
from agent_identities.kube.client import Answer as Raw
from agent_identities.kube.client import Api, ApiError

FORBIDDEN = (
    'subjectaccessreviews.authorization.k8s.io is forbidden: User "{user}" cannot create resource '
    '"subjectaccessreviews" in API group "authorization.k8s.io" at the cluster scope'
)
Answer = tuple[int, Any] | None


class Played(ThreadingHTTPServer):
    """Gives its answers one after the other, the last one for ever; None breaks the connection off."""

    daemon_threads = True

    def __init__(self, answers: list[Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.requests: list[tuple[str, str, str | None]] = []
        self.shown: list[bool] = []  # whether there was a client certificate

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that refuse the certificate are meant to."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Played

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.requests.append((self.command, self.path, self.headers.get("authorization")))
        self.server.shown.append(bool(self.connection.getpeercert(binary_form=True)))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            self.close_connection = True
            return
        status, body = answer
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        if status == 429:
            self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer  # noqa: N815 # http.server names them

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # http.server names it
        pass


Start = Callable[..., Played]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("pki"), "ca")


@pytest.fixture
def play(authority: Authority) -> Iterator[Start]:
    started: list[Played] = []

    def start(*answers: Answer) -> Played:
        server = Played(list(answers))
        pair = authority.issue("server", "server", server_names=("127.0.0.1",))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        context.load_verify_locations(authority.files.certificate)
        context.verify_mode = ssl.CERT_OPTIONAL
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def kubeconfig(tmp_path: Path, authority: Authority) -> Callable[..., Path]:
    def write(server: Played | str, user: dict[str, Any] | None = None, **cluster: Any) -> Path:
        url = server if isinstance(server, str) else f"https://127.0.0.1:{server.server_port}"
        trusted = {"certificate-authority": str(authority.files.certificate)}
        content = {
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": url, **(cluster or trusted)}}],
            "users": [{"name": "u", "user": user or {"token": "secret-token"}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def failure(act: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as raised:
        act()
    assert isinstance(raised.value, ClusterError)
    assert "secret-token" not in str(raised.value)
    return raised.value


def test_an_answer_is_a_plain_dict(play: Start, kubeconfig: Callable[..., Path]) -> None:
    with Api(kubeconfig(play((200, {"kind": "Namespace"})))) as api:
        assert api.get("/api/v1/namespaces/x") == {"kind": "Namespace"}


def test_the_token_of_the_kubeconfig_is_sent(play: Start, kubeconfig: Callable[..., Path]) -> None:
    server = play((200, {}))
    Api(kubeconfig(server)).get("/version")
    assert server.requests == [("GET", "/version", "Bearer secret-token")]


def test_a_list_comes_whole_however_many_pages_it_has(play: Start, kubeconfig: Callable[..., Path]) -> None:
    pages = ({"items": [{"n": 1}], "metadata": {"continue": "a b"}}, {"items": [{"n": 2}], "metadata": {}})
    server = play(*((200, page) for page in pages))
    assert Api(kubeconfig(server)).list_all("/api/v1/pods?labelSelector=x") == [{"n": 1}, {"n": 2}]
    assert server.requests[1][1] == "/api/v1/pods?labelSelector=x&limit=500&continue=a+b"


def test_a_list_whose_pages_expired_is_read_again_at_once(play: Start, kubeconfig: Callable[..., Path]) -> None:
    first = {"items": [{"n": 1}], "metadata": {"continue": "old"}}
    whole = {"items": [{"n": 1}, {"n": 2}], "metadata": {}}
    server = play((200, first), (410, {"message": "The provided continue parameter is too old"}), (200, whole))
    assert Api(kubeconfig(server)).list_all("/api/v1/pods") == whole["items"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(play: Start, kubeconfig: Callable[..., Path], status: int) -> None:
    server = play((status, {"message": "later"}), (200, {"ok": True}))
    assert Api(kubeconfig(server)).post("/reviews", {}, repeatable=True) == {"ok": True}


def test_a_server_that_stays_busy_is_given_up_with_its_words(play: Start, kubeconfig: Callable[..., Path]) -> None:
    server = play((429, {"message": "too many requests"}))
    error = failure(lambda: Api(kubeconfig(server)).get("/version"))
    assert error.status == 429
    assert "too many requests" in str(error)
    assert 1 < len(server.requests) < 10


def test_a_request_that_may_have_been_carried_out_is_not_made_twice(
    play: Start, kubeconfig: Callable[..., Path]
) -> None:
    server = play((500, {"message": "timeout"}), (201, {}))
    assert failure(lambda: Api(kubeconfig(server)).post("/api/v1/namespaces", {})).status == 500
    assert len(server.requests) == 1


def test_expired_credentials_are_called_that(play: Start, kubeconfig: Callable[..., Path]) -> None:
    error = failure(lambda: Api(kubeconfig(play((401, {"message": "Unauthorized"})))).get("/version"))
    assert error.status == 401
    assert "have expired" in str(error)


@pytest.mark.parametrize(
    ("user", "subject"),
    [("jane", "--user=jane"), ("system:serviceaccount:ci:verifier", "--serviceaccount=ci:verifier")],
)
def test_who_may_not_create_reviews_is_told_the_binding_that_would_let_them(
    play: Start, kubeconfig: Callable[..., Path], user: str, subject: str
) -> None:
    server = play((403, {"message": FORBIDDEN.format(user=user)}))
    error = failure(lambda: Api(kubeconfig(server)).post("/reviews", {}, repeatable=True))
    assert f"--clusterrole=system:auth-delegator {subject}" in str(error)


@pytest.mark.parametrize(
    ("refused", "view_helps"),
    [
        ('list resource "pods"', True),
        ('list resource "secrets"', False),
        ('list resource "rolebindings"', False),
        ('delete resource "pods"', False),
    ],
)
def test_only_whom_clusterrole_view_would_help_is_told_of_it(
    play: Start, kubeconfig: Callable[..., Path], refused: str, view_helps: bool
) -> None:
    server = play(
        (403, {"message": f'x is forbidden: User "jane" cannot {refused} in API group "" at the cluster scope'})
    )
    assert ("view" in str(failure(lambda: Api(kubeconfig(server)).get("/x")))) == view_helps


def test_an_untrusted_certificate_is_refused(play: Start, kubeconfig: Callable[..., Path], tmp_path: Path) -> None:
    other = Authority.create(tmp_path, "other")
    server = play((200, {}))
    path = kubeconfig(server, **{"certificate-authority": str(other.files.certificate)})
    assert "certificate is not trusted" in str(failure(lambda: Api(path).get("/version")))
    assert server.requests == []


@pytest.mark.parametrize("cluster", [{"insecure-skip-tls-verify": True}, {"tls-server-name": "example.org"}])
def test_no_kubeconfig_can_switch_the_verification_off(
    play: Start, kubeconfig: Callable[..., Path], authority: Authority, cluster: dict[str, Any]
) -> None:
    server = play((200, {}))
    path = kubeconfig(server, **cluster, **{"certificate-authority": str(authority.files.certificate)})
    failure(lambda: Api(path).get("/version"))
    assert server.requests == []


def test_a_server_that_is_not_there_is_named(kubeconfig: Callable[..., Path]) -> None:
    error = failure(lambda: Api(kubeconfig("https://127.0.0.1:1")).get("/version"))
    assert "https://127.0.0.1:1: the API server cannot be reached (Connection refused)" in str(error)


def test_a_server_that_goes_away_is_told_from_one_that_never_was(play: Start, kubeconfig: Callable[..., Path]) -> None:
    api = Api(kubeconfig(play((200, {}), None)))
    api.get("/version")
    assert "stopped answering in the middle" in str(failure(lambda: api.get("/version")))


def test_an_answer_that_is_no_json_is_no_api_server(play: Start, kubeconfig: Callable[..., Path]) -> None:
    error = failure(lambda: Api(kubeconfig(play((200, "<html>Log in</html>")))).get("/version"))
    assert "no JSON object" in str(error)


def test_a_credential_plugin_is_run_for_its_token(play: Start, kubeconfig: Callable[..., Path], tmp_path: Path) -> None:
    server = play((200, {}))
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-plugin"},
    }
    plugin = {"apiVersion": credential["apiVersion"], "command": "/bin/echo", "args": [json.dumps(credential)]}
    Api(kubeconfig(server, user={"exec": plugin})).get("/version")
    assert server.requests == [("GET", "/version", "Bearer from-plugin")]


def test_a_credential_plugin_that_fails_is_named_before_anything_is_asked(
    play: Start, kubeconfig: Callable[..., Path]
) -> None:
    server = play((200, {}))
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/no/such/plugin"}
    assert "/no/such/plugin" in str(failure(lambda: Api(kubeconfig(server, user={"exec": plugin}))))
    assert server.requests == []


@pytest.mark.parametrize("content", ["a: [", "just words", ""])
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    assert str(path) in str(failure(lambda: Api(path)))


def test_a_raw_request_has_an_answer_whatever_its_status(play: Start, kubeconfig: Callable[..., Path]) -> None:
    refused = {"kind": "Status", "message": "not you"}
    api = Api(kubeconfig(play((403, refused), (404, "404 page not found"), (302, {}))))
    assert [api.raw("GET", "/x") for _ in range(3)] == [Raw(403, refused), Raw(404, {}), Raw(302, {})]


def test_the_message_of_an_answer_is_that_of_a_status_and_of_nothing_else() -> None:
    assert Raw(403, {"kind": "Status", "message": "not you"}).message == "not you"
    assert Raw(200, {"kind": "Secret", "message": "hunter2"}).message == ""


def test_a_raw_request_without_an_answer_fails(kubeconfig: Callable[..., Path]) -> None:
    assert failure(lambda: Api(kubeconfig("https://127.0.0.1:1")).raw("GET", "/x")).status == 0


def test_another_token_is_sent_alone_and_leaves_the_first_client_as_it_was(
    play: Start, kubeconfig: Callable[..., Path]
) -> None:
    server = play((200, {}))
    api = Api(kubeconfig(server))
    api.with_token("another-token").get("/other")
    api.get("/first")
    assert server.requests == [("GET", "/other", "Bearer another-token"), ("GET", "/first", "Bearer secret-token")]


def test_a_client_certificate_is_not_shown_beside_another_token(
    play: Start, kubeconfig: Callable[..., Path], authority: Authority
) -> None:
    """A server that sees one would take the request for its owner's (apiserver pkg/authentication/request/union)."""
    pair = authority.issue("admin", "admin", client=True)
    user = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
    server = play((200, {}))
    api = Api(kubeconfig(server, user=user))
    api.get("/")
    api.with_token("another-token").get("/")
    assert server.shown == [True, False]
