"""The client with failing servers. The servers are fake, because a real API server does not fail on request."""

import base64
import contextlib
import gzip
import http.client
import json
import logging
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from agent_identities.cluster.pki import Authority
from agent_identities.kube import transport
from agent_identities.kube.client import Answer as Raw
from agent_identities.kube.client import Api, ApiError
from agent_identities.kube.kubeconfig import load
from support.played import Handler, Played, Respond

Start = Callable[..., Played]
FORBIDDEN = (
    'subjectaccessreviews.authorization.k8s.io is forbidden: User "{user}" cannot create resource '
    '"subjectaccessreviews" in API group "authorization.k8s.io" at the cluster scope'
)


def connect(kubeconfig: Path) -> Api:
    return Api(load(kubeconfig))


def failure(act: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as raised:
        act()
    assert "secret-token" not in str(raised.value)
    return raised.value


def test_an_answer_is_a_plain_dict(play: Start, kubeconfig: Callable[..., Path]) -> None:
    with connect(kubeconfig(play((200, {"kind": "Namespace"})))) as api:
        assert api.get("/api/v1/namespaces/x") == {"kind": "Namespace"}


def test_the_token_of_the_kubeconfig_is_sent(play: Start, kubeconfig: Callable[..., Path]) -> None:
    server = play((200, {}))
    connect(kubeconfig(server)).get("/version")
    assert server.requests == [("GET", "/version", "Bearer secret-token")]


def test_a_list_has_the_items_of_all_pages(play: Start, kubeconfig: Callable[..., Path]) -> None:
    pages = ({"items": [{"n": 1}], "metadata": {"continue": "a b"}}, {"items": [{"n": 2}], "metadata": {}})
    server = play(*((200, page) for page in pages))
    assert connect(kubeconfig(server)).list_all("/api/v1/pods?labelSelector=x") == [{"n": 1}, {"n": 2}]
    assert server.requests[1][1] == "/api/v1/pods?labelSelector=x&limit=500&continue=a+b"


def test_a_list_with_an_expired_continue_token_is_read_again(play: Start, kubeconfig: Callable[..., Path]) -> None:
    first = {"items": [{"n": 1}], "metadata": {"continue": "old"}}
    whole = {"items": [{"n": 1}, {"n": 2}], "metadata": {}}
    server = play((200, first), (410, {"message": "The provided continue parameter is too old"}), (200, whole))
    assert connect(kubeconfig(server)).list_all("/api/v1/pods") == whole["items"]


@pytest.mark.parametrize("page", [{"items": [5]}, {"items": {"a": {}}}, {"items": [], "metadata": []}])
def test_an_answer_that_is_no_list_of_objects_is_an_error(
    play: Start, kubeconfig: Callable[..., Path], page: dict[str, object]
) -> None:
    api = connect(kubeconfig(play((200, page))))
    assert "/api/v1/pods: the answer is not a list of objects" in str(failure(lambda: api.list_all("/api/v1/pods")))


def test_a_list_whose_pages_do_not_end_is_an_error(play: Start, kubeconfig: Callable[..., Path]) -> None:
    page = {"items": [{"n": 1}], "metadata": {"continue": "same"}}
    api = connect(kubeconfig(play((200, page), (200, page), (200, page))))
    assert "the same page again" in str(failure(lambda: api.list_all("/api/v1/pods")))


@pytest.mark.parametrize("status", [429, 503])
def test_a_request_to_a_busy_server_is_sent_again(play: Start, kubeconfig: Callable[..., Path], status: int) -> None:
    server = play((status, {"message": "later"}), (200, {"ok": True}))
    assert connect(kubeconfig(server)).post("/reviews", {}, repeatable=True) == {"ok": True}


def test_the_error_about_a_busy_server_has_its_message(play: Start, kubeconfig: Callable[..., Path]) -> None:
    server = play((429, {"message": "too many requests"}))
    error = failure(lambda: connect(kubeconfig(server)).get("/version"))
    assert error.status == 429
    assert "too many requests" in str(error)
    assert 1 < len(server.requests) < 10


def test_a_request_that_is_not_idempotent_is_not_sent_again(play: Start, kubeconfig: Callable[..., Path]) -> None:
    server = play((500, {"message": "timeout"}), (201, {}))
    assert failure(lambda: connect(kubeconfig(server)).post("/api/v1/namespaces", {})).status == 500
    assert len(server.requests) == 1


def test_expired_credentials_are_reported(play: Start, kubeconfig: Callable[..., Path]) -> None:
    error = failure(lambda: connect(kubeconfig(play((401, {"message": "Unauthorized"})))).get("/version"))
    assert error.status == 401
    assert "have expired" in str(error)


@pytest.mark.parametrize(
    ("user", "subject"),
    [("jane", "--user=jane"), ("system:serviceaccount:ci:verifier", "--serviceaccount=ci:verifier")],
)
def test_a_refused_review_is_reported_with_the_command_to_grant_it(
    play: Start, kubeconfig: Callable[..., Path], user: str, subject: str
) -> None:
    server = play((403, {"message": FORBIDDEN.format(user=user)}))
    error = failure(lambda: connect(kubeconfig(server)).post("/reviews", {}, repeatable=True))
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
def test_clusterrole_view_is_proposed_only_if_it_has_the_right(
    play: Start, kubeconfig: Callable[..., Path], refused: str, view_helps: bool
) -> None:
    server = play(
        (403, {"message": f'x is forbidden: User "jane" cannot {refused} in API group "" at the cluster scope'})
    )
    assert ("view" in str(failure(lambda: connect(kubeconfig(server)).get("/x")))) == view_helps


def test_an_untrusted_certificate_is_refused(play: Start, kubeconfig: Callable[..., Path], tmp_path: Path) -> None:
    other = Authority.create(tmp_path, "other")
    server = play((200, {}))
    path = kubeconfig(server, **{"certificate-authority": str(other.files.certificate)})
    assert "certificate is not trusted" in str(failure(lambda: connect(path).get("/version")))
    assert server.requests == []


@pytest.mark.parametrize("name", ["example.org", "127.0.0.2"])
def test_a_certificate_for_another_name_is_refused(play: Start, kubeconfig: Callable[..., Path], name: str) -> None:
    server = play((200, {}), name=name)
    assert "certificate is not trusted" in str(failure(lambda: connect(kubeconfig(server)).get("/version")))
    assert server.requests == []


def test_the_certificate_is_compared_with_tls_server_name(play: Start, kubeconfig: Callable[..., Path]) -> None:
    server = play((200, {}), name="kubernetes.default.svc")
    path = kubeconfig(server, **{"tls-server-name": "kubernetes.default.svc"})
    assert connect(path).get("/version") == {}


def test_an_intermediate_certificate_authority_is_sufficient(
    play: Start, kubeconfig: Callable[..., Path], authority: Authority
) -> None:
    """As in Go, each certificate in certificate-authority is a trust anchor, and comments are ignored."""
    server = play((200, {}))
    pem = "# der Schlüsselbund\n" + authority.files.certificate.read_text() + "\nend"
    data = base64.b64encode(pem.encode()).decode()
    path = kubeconfig(server, **{"certificate-authority": None, "certificate-authority-data": data})
    assert connect(path).get("/version") == {}


def test_an_error_names_the_server_that_does_not_answer(kubeconfig: Callable[..., Path]) -> None:
    error = failure(lambda: connect(kubeconfig("https://127.0.0.1:1")).get("/version"))
    assert "https://127.0.0.1:1: the API server cannot be reached (Connection refused)" in str(error)


def test_a_server_that_stops_answering_is_reported_as_such(play: Start, kubeconfig: Callable[..., Path]) -> None:
    api = connect(kubeconfig(play((200, {}), None)))
    api.get("/version")
    assert "stopped answering during the command" in str(failure(lambda: api.get("/version")))


def test_an_answer_that_is_not_json_is_an_error(play: Start, kubeconfig: Callable[..., Path]) -> None:
    error = failure(lambda: connect(kubeconfig(play((200, "<html>Log in</html>")))).get("/version"))
    assert "not a JSON object" in str(error)


def test_a_raw_request_returns_answers_of_any_status(play: Start, kubeconfig: Callable[..., Path]) -> None:
    refused = {"kind": "Status", "message": "not you"}
    api = connect(kubeconfig(play((403, refused), (404, "404 page not found"), (302, {}))))
    assert [api.raw("GET", "/x") for _ in range(3)] == [Raw(403, refused), Raw(404, {}), Raw(302, {})]


def test_only_a_status_object_has_a_message() -> None:
    assert Raw(403, {"kind": "Status", "message": "not you"}).message == "not you"
    assert Raw(200, {"kind": "Secret", "message": "hunter2"}).message == ""


def test_a_raw_request_without_an_answer_fails(kubeconfig: Callable[..., Path]) -> None:
    assert failure(lambda: connect(kubeconfig("https://127.0.0.1:1")).raw("GET", "/x")).status == 0


def test_a_client_with_another_token_sends_only_this_token(play: Start, kubeconfig: Callable[..., Path]) -> None:
    server = play((200, {}))
    api = connect(kubeconfig(server))
    api.with_token("another-token").get("/other")
    api.get("/first")
    assert server.requests == [("GET", "/other", "Bearer another-token"), ("GET", "/first", "Bearer secret-token")]


def test_a_client_with_another_token_sends_no_client_certificate(
    play: Start, kubeconfig: Callable[..., Path], authority: Authority
) -> None:
    """A server would authenticate the owner of the certificate (apiserver pkg/authentication/request/union)."""
    pair = authority.issue("admin", "admin", client=True)
    user = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
    server = play((200, {}))
    api = connect(kubeconfig(server, user=user))
    api.get("/")
    api.with_token("another-token").get("/")
    assert server.shown == [True, False]


def test_a_key_with_a_passphrase_is_refused_without_a_prompt(
    kubeconfig: Callable[..., Path], authority: Authority, tmp_path: Path
) -> None:
    pair = authority.issue("admin", "admin", client=True)
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    user = {"client-certificate": str(pair.certificate), "client-key": str(encrypted)}
    error = failure(lambda: connect(kubeconfig("https://127.0.0.1:1", user=user)).get("/"))
    assert "the key has a passphrase" in str(error)


def test_a_client_key_is_never_written_to_a_file(
    play: Start,
    kubeconfig: Callable[..., Path],
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = authority.issue("admin", "admin", client=True)
    user = {
        f"client-{name}-data": base64.b64encode(getattr(pair, name).read_bytes()).decode()
        for name in ("certificate", "key")
    }
    server = play((200, {}))
    path = kubeconfig(server, user=user)
    (tmp_path / "tmp").mkdir(mode=0o500)  # only root can create files in it
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    before = set(Path("/tmp").iterdir())
    connect(path).get("/")
    assert server.shown == [True]
    assert list((tmp_path / "tmp").iterdir()) == []
    assert {each for each in set(Path("/tmp").iterdir()) - before if "agent-identities" in each.name} == set()


def test_closing_a_client_closes_the_connections_of_its_token_clients(
    play: Start, kubeconfig: Callable[..., Path]
) -> None:
    server = play((200, {}))
    with connect(kubeconfig(server)) as api:
        other = api.with_token("another-token")
        other.get("/")
    other.get("/")  # on a new connection
    assert server.connections == 2


def test_connections_are_reused(play: Start, kubeconfig: Callable[..., Path]) -> None:
    server = play((200, {}))
    with connect(kubeconfig(server)) as api:
        for _ in range(5):
            api.get("/")
            api.with_token("another-token").get("/")
    assert server.connections == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_never_followed(play: Start, kubeconfig: Callable[..., Path], status: int) -> None:
    server = play((status, {}))
    assert f"{status}: the server redirects" in str(failure(lambda: connect(kubeconfig(server)).get("/version")))
    assert [path for _, path, _ in server.requests] == ["/version"]


def test_a_user_is_impersonated_with_the_headers_of_kubectl(play: Start, kubeconfig: Callable[..., Path]) -> None:
    server = play((200, {}))
    user = {
        "token": "secret-token",
        "as": "jürgen",
        "as-uid": "1234",
        "as-groups": ["a", "b"],
        "as-user-extra": {"example.org/Team name": ["x", "y"]},
    }
    connect(kubeconfig(server, user=user)).get("/")
    sent = [(name, value) for name, value in server.headers[0] if name.startswith("Impersonate-")]
    assert sent == [
        ("Impersonate-User", "jürgen".encode().decode("latin-1")),
        ("Impersonate-Uid", "1234"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-example.org%2FTeam%20name", "x"),
        ("Impersonate-Extra-example.org%2FTeam%20name", "y"),
    ]


def test_another_token_is_sent_without_impersonation(play: Start, kubeconfig: Callable[..., Path]) -> None:
    server = play((200, {}))
    connect(kubeconfig(server, user={"token": "secret-token", "as": "jane"})).with_token("another-token").get("/")
    assert not any(name.startswith("Impersonate-") for name, _ in server.headers[0])


def test_impersonation_headers_of_a_request_replace_those_of_the_kubeconfig(
    play: Start, kubeconfig: Callable[..., Path]
) -> None:
    server = play((200, {}))
    api = connect(kubeconfig(server, user={"token": "secret-token", "as": "jane", "as-groups": ["a"]}))
    api.raw("GET", "/", headers={"Impersonate-User": "john"})
    assert [value for name, value in server.headers[0] if name.startswith("Impersonate-")] == ["john"]


ECHOES = [
    "Bearer secret-token<1>/x is not for me",
    json.dumps({"kind": "Status", "message": 'got "Bearer secret-token<1>/x"'}),
    '{"kind": "Status", "message": "got secret-token\\u003c1\\u003e\\/x and secret-token\\u003c1\\u003e/x"}',
    "<p>secret-token&lt;1&gt;/x</p>",
    "?token=secret-token%3C1%3E%2Fx",
]


@pytest.mark.parametrize("status", [400, 403, 429, 500])
@pytest.mark.parametrize("body", ECHOES)
def test_a_token_that_a_server_repeats_is_redacted(
    play: Start, kubeconfig: Callable[..., Path], status: int, body: str
) -> None:
    api = connect(kubeconfig(play((status, body)), user={"token": "secret-token<1>/x"}))
    error = failure(lambda: api.get("/version"))
    assert "secret-token" not in str(error)
    assert status == error.status
    assert "secret-token" not in repr(api.raw("GET", "/x"))


def test_control_characters_of_an_answer_are_escaped(play: Start, kubeconfig: Callable[..., Path]) -> None:
    api = connect(kubeconfig(play((400, {"kind": "Status", "message": "a\n\x1b[31mb"}))))
    assert "400 a \\x1b[31mb." in str(failure(lambda: api.get("/version")))


def packed(answer: bytes) -> Callable[[Handler], None]:
    """An answer in gzip."""

    def respond(request: Handler) -> None:
        request.send_response(200)
        request.send_header("content-encoding", "gzip")
        request.send_header("content-length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    data = gzip.compress(answer)
    return respond


def endless(request: Handler) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    with contextlib.suppress(OSError):
        while not request.server.released.is_set():
            request.wfile.write(b" " * 65536)


@pytest.mark.parametrize("respond", [packed(b" " * 2**20), endless])
def test_an_answer_that_would_fill_the_memory_is_an_error(
    play: Start, kubeconfig: Callable[..., Path], respond: Respond, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LARGEST_ANSWER", 2**19)
    server = play(respond=respond)
    error = failure(lambda: connect(kubeconfig(server)).get("/version"))
    assert "MiB, or no end" in str(error)
    assert len(server.requests) == 1


def test_an_answer_in_gzip_is_unpacked(play: Start, kubeconfig: Callable[..., Path]) -> None:
    assert connect(kubeconfig(play(respond=packed(b'{"kind": "x"}')))).get("/version") == {"kind": "x"}


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"])
def test_an_answer_that_comes_byte_by_byte_has_an_end(
    play: Start, kubeconfig: Callable[..., Path], begin: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "ANSWER_SECONDS", 0.1)

    def respond(request: Handler) -> None:
        request.wfile.write(begin)
        with contextlib.suppress(OSError):
            while not request.server.released.wait(0.01):
                request.wfile.write(b"x")

    error = failure(lambda: connect(kubeconfig(play(respond=respond))).get("/version"))
    assert "does not answer in time" in str(error)


def test_an_answer_that_is_nested_too_deep_is_an_error(play: Start, kubeconfig: Callable[..., Path]) -> None:
    deep = '{"a":' * 900 + '"\\u0041"' + "}" * 900
    error = failure(lambda: connect(kubeconfig(play((200, deep)))).get("/version"))
    assert "not a JSON object" in str(error)


def test_a_truncated_answer_is_an_error(play: Start, kubeconfig: Callable[..., Path]) -> None:
    def respond(request: Handler) -> None:
        request.wfile.write(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"kind": ')

    error = failure(lambda: connect(kubeconfig(play(respond=respond))).get("/version"))
    assert "closes the connection before it answers" in str(error)


def test_an_abort_interrupts_the_requests_in_flight(play: Start, kubeconfig: Callable[..., Path]) -> None:
    asked = threading.Semaphore(0)

    def respond(request: Handler) -> tuple[int, object] | None:
        if request.path != "/hangs":
            return 200, {}
        asked.release()
        request.server.released.wait(60)
        return None

    api = connect(kubeconfig(play(respond=respond)))
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(api.get, "/hangs") for _ in range(4)]
        for _ in running:
            assert asked.acquire(timeout=10)
        api.abort()
    assert all("was interrupted" in str(each.exception(timeout=0)) for each in running)
    assert api.get("/after") == {}


def test_the_version_and_the_user_come_from_the_server(play: Start, kubeconfig: Callable[..., Path]) -> None:
    review = {"kind": "SelfSubjectReview", "status": {"userInfo": {"username": "jane"}}}
    api = connect(kubeconfig(play((200, {"gitVersion": "v1.36.4"}), (201, review))))
    assert (api.version(), api.whoami()) == ("v1.36.4", "jane")


def test_a_refused_self_review_has_the_user(play: Start, kubeconfig: Callable[..., Path]) -> None:
    def refused(user: str) -> tuple[int, object]:
        message = f'selfsubjectreviews.authentication.k8s.io is forbidden: User "{user}" cannot create resource "x"'
        return 403, {"kind": "Status", "message": message}

    assert connect(kubeconfig(play(refused("jane")))).whoami() == "jane"
    with pytest.raises(ApiError, match="system:anonymous"):
        connect(kubeconfig(play(refused("system:anonymous")))).whoami()


@pytest.mark.parametrize("level", [0, 1])
def test_no_debug_output_has_the_token(
    play: Start,
    kubeconfig: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    level: int,
) -> None:
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", level)
    with caplog.at_level(logging.DEBUG):
        connect(kubeconfig(play((200, {})))).get("/")
    out, err = capfd.readouterr()
    assert "secret-token" not in caplog.text + out + err
