"""HTTPS_PROXY and NO_PROXY as in Go, and a proxy that only tunnels."""

import base64
import contextlib
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_identities.errors import ClusterError
from agent_identities.kube.client import Api, ApiError
from agent_identities.kube.kubeconfig import load
from agent_identities.kube.proxies import proxy_from_environment
from support.played import Played

PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("host", "no_proxy", "used"),
    [
        ("a.example", "", True),
        ("localhost", "", False),
        ("127.0.0.5", "", False),
        ("::1", "", False),
        ("a.example", "*", False),
        ("a.example", "example", False),
        ("a.example", ".example", False),
        ("a.example", "*.example", False),
        ("example", ".example", True),
        ("example", "example", False),
        ("notexample", "example", True),
        ("A.Example", " other , a.EXAMPLE", False),
        ("a.example", "a.example:6443", False),
        ("a.example", "a.example:443", True),
        ("10.1.2.3", "10.0.0.0/8", False),
        ("11.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", False),
        ("10.1.2.3", "10.1.2.3:6443", False),
        ("10.1.2.3", "10.1.2.3:1", True),
        ("fd00::1", "fd00::/8", False),
        ("fd00::1", "[fd00::1]:6443", False),
        ("a.example", "[", True),
        ("a.example", "[,example", False),
    ],
)
def test_no_proxy_is_read_as_go_reads_it(host: str, no_proxy: str, *, used: bool) -> None:
    environment = {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}
    assert (
        bool(proxy_from_environment(f"https://[{host}]:6443" if ":" in host else f"https://{host}:6443", environment))
        is used
    )


def test_the_variable_can_be_in_lower_case_and_without_a_scheme() -> None:
    assert proxy_from_environment("https://a.example", {"https_proxy": "proxy:3128"}) == PROXY
    assert proxy_from_environment("https://a.example", {"http_proxy": PROXY, "ALL_PROXY": PROXY}) == ""


class Proxy:
    """A proxy on loopback. It records the unencrypted text that it receives, and tunnels, or answers with a status."""

    def __init__(self, status: str = "200 OK") -> None:
        self.status, self.received = status, b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65536)
            self.received += head
            client.sendall(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
            if not self.status.startswith("200"):
                return
            host, _, port = head.split()[1].decode().rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
                back.start()
                self._copy(client, server)
                back.join(10)

    @staticmethod
    def _copy(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[Callable[..., Proxy]]:
    started: list[Proxy] = []

    def start(status: str = "200 OK") -> Proxy:
        started.append(Proxy(status))
        return started[-1]

    yield start
    for each in started:
        each.listener.close()


def test_a_proxy_of_the_kubeconfig_tunnels_and_never_gets_the_token(
    play: Callable[..., Played], kubeconfig: Callable[..., Path], proxy: Callable[..., Proxy]
) -> None:
    server, through = play((200, {"ok": True})), proxy()
    path = kubeconfig(server, **{"proxy-url": f"http://jane:p%40ss@127.0.0.1:{through.port}"})
    with Api(load(path)) as api:
        assert api.get("/version") == {"ok": True}
    assert through.received.startswith(f"CONNECT 127.0.0.1:{server.server_port} ".encode())
    assert b"proxy-authorization: Basic amFuZTpwQHNz" in through.received.replace(b"Proxy-A", b"proxy-a")
    assert b"secret-token" not in through.received
    assert server.requests == [("GET", "/version", "Bearer secret-token")]


NO_PROXY_URLS = [
    "http://jane:p4ssword@host:70000",
    "http://jane:p4ssword#x@127.0.0.1:1",
    "http://jane:p4ss word@127.0.0.1:1",
    "http://jane:p4ssword@:1",
    "http://jane:p4ssword@host\n:1",
    "http://[jane:p4ssword@x]:1",
    "http://jane:p4ssword@%zz:1",
    "http://jane:p4ssword@\u2460.example:1",
    "ftp://jane:p4ssword@host:1",
]


@pytest.mark.parametrize("url", NO_PROXY_URLS)
@pytest.mark.parametrize("variable", [True, False])
def test_the_error_for_an_invalid_proxy_url_has_no_password(
    kubeconfig: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, url: str, *, variable: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url if variable else "")
    path = kubeconfig("https://a.example", **({} if variable else {"proxy-url": url}))
    with pytest.raises(ClusterError) as raised:
        Api(load(path)).get("/version")
    assert "HTTPS_PROXY" in str(raised.value) or "proxy-url" in str(raised.value)
    assert "p4ss" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("server", ["https://a b", "https://[fe80::1%lo]", "https://\u2460.example", "https://a%00b"])
def test_a_server_without_a_valid_host_is_an_error(kubeconfig: Callable[..., Path], server: str) -> None:
    with pytest.raises(ClusterError, match="not the URL of a host"):
        Api(load(kubeconfig(server)))


def test_a_password_beyond_latin_1_is_sent_as_it_is_written(
    play: Callable[..., Played], kubeconfig: Callable[..., Path], proxy: Callable[..., Proxy]
) -> None:
    through = proxy()
    path = kubeconfig(play((200, {})), **{"proxy-url": f"http://jane:\u20ac%FF@127.0.0.1:{through.port}"})
    with Api(load(path)) as api:
        api.get("/version")
    assert base64.b64encode("jane:\u20ac".encode() + b"\xff") in through.received


def test_an_error_does_not_repeat_the_answer_of_a_proxy(
    play: Callable[..., Played], kubeconfig: Callable[..., Path], proxy: Callable[..., Proxy]
) -> None:
    path = kubeconfig(play((200, {})), **{"proxy-url": f"http://jane:p4ssword@127.0.0.1:{proxy('407 p4ssword').port}"})
    with pytest.raises(ApiError) as raised:
        Api(load(path)).get("/version")
    assert "407 Proxy Authentication Required" in str(raised.value)
    assert "p4ssword" not in str(raised.value)


def test_a_socks_proxy_without_its_package_is_an_error(
    kubeconfig: Callable[..., Path], recwarn: pytest.WarningsRecorder
) -> None:
    path = kubeconfig("https://a.example", **{"proxy-url": "socks5://jane:p4ssword@127.0.0.1:1"})
    with pytest.raises(ClusterError, match="pip install PySocks"):
        Api(load(path))
    assert not recwarn.list


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway"])
def test_the_error_of_a_proxy_has_no_password(
    play: Callable[..., Played], kubeconfig: Callable[..., Path], proxy: Callable[..., Proxy], status: str
) -> None:
    path = kubeconfig(play((200, {})), **{"proxy-url": f"http://jane:p4ssword@127.0.0.1:{proxy(status).port}"})
    with pytest.raises(ApiError) as raised:
        Api(load(path)).get("/version")
    assert "the proxy does not connect to the server" in str(raised.value)
    assert status in str(raised.value)
    assert "p4ssword" not in str(raised.value)


def test_the_proxy_of_the_environment_is_not_used_for_loopback(
    play: Callable[..., Played], kubeconfig: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert Api(load(kubeconfig(play((200, {}))))).get("/version") == {}
