"""Connections to one API server: verified TLS, proxies, retries. No request is sent before the server is verified.

The connection pool is that of urllib3, as in the kubernetes client. Redirects are answers and are never followed.
"""

import base64
import contextlib
import importlib.util
import math
import os
import re
import socket
import ssl
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import urllib3
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
)
from urllib3.util import parse_url

from agent_identities.kube.access import Access, KubeconfigError
from agent_identities.kube.credentials import KeyPair

CONNECT_SECONDS, READ_SECONDS = 5.0, 30.0
ANSWER_SECONDS = 120.0
"""For a whole answer, however often a byte of it comes; the API server itself ends a request after 60 s."""
LARGEST_ANSWER = 256 * 2**20  # bytes, unpacked; a page of a list has a few million

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[\s\w+/=]+-----END CERTIFICATE-----")
_THROTTLED = frozenset({HTTPStatus.TOO_MANY_REQUESTS})
RETRIED = frozenset({429, 500, 502, 503, 504})
"""The statuses after which an idempotent request is sent again."""

_TRIES = 5
_RECONNECTS, _REREADS = 1, 2
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.4, 5.0


class AbortedError(Exception):
    """`Transport.abort` interrupted the request."""


class LargeAnswerError(HTTPError):
    """The answer has more than LARGEST_ANSWER bytes, or no end."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Transport:
    """The connections to the server of an access. Threads share them."""

    def __init__(self, access: Access, concurrency: int) -> None:
        url = urlsplit(access.server)
        self._access, self._concurrency = access, concurrency
        self._host, self._port, self._prefix = url.hostname or "", url.port, url.path
        self._pools: dict[KeyPair | None, HTTPSConnectionPool] = {}
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._aborted = threading.Event()  # each abort replaces it; a request keeps the event with which it began
        self._of_this_thread = threading.local()
        self.pool(None)  # raises the error of an invalid certificate authority

    def request(
        self,
        method: str,
        path: str,
        body: str | None,
        headers: Mapping[str, str],
        *,
        pair: KeyPair | None,
        repeatable: bool,
    ) -> Reply:
        """An answer of any status. Raises urllib3's HTTPError, AbortedError, KubeconfigError."""
        aborted = self._of_this_thread.aborted = self._aborted
        pool = self.pool(pair)
        failures = _Failures(repeatable=repeatable)
        while True:
            try:
                reply = self._send(pool, method, path, body, headers)
            except HTTPError as error:
                if aborted.is_set():
                    raise AbortedError from None
                wait = failures.wait_after_error(error)
                if wait is None:
                    raise
            else:
                wait = failures.wait_after_answer(reply)
                if wait is None:
                    return reply
            if aborted.wait(wait):
                raise AbortedError

    def _send(
        self, pool: HTTPSConnectionPool, method: str, path: str, body: str | None, headers: Mapping[str, str]
    ) -> Reply:
        response = pool.urlopen(
            method,
            self._prefix + path,
            body=body,
            headers=headers,
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        )
        data = response.read(LARGEST_ANSWER + 1)
        if len(data) > LARGEST_ANSWER:
            response.close()
            raise LargeAnswerError
        response.release_conn()
        return Reply(response.status, response.headers, data)

    def pool(self, pair: KeyPair | None) -> HTTPSConnectionPool:
        """The connections with this client certificate. Raises KubeconfigError if it is invalid."""
        with self._lock:
            if pair not in self._pools:
                for old in [each for each in self._pools if each is not None]:
                    self._pools.pop(old).close()  # a plugin has renewed the certificate
                self._pools[pair] = self._connect(pair)
            return self._pools[pair]

    def abort(self) -> None:
        """Interrupt the requests in flight. Later requests are not affected."""
        with self._lock:
            self._aborted.set()
            self._aborted = threading.Event()
            for connection in list(self._open):
                connection.interrupt()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()

    def _connect(self, pair: KeyPair | None) -> HTTPSConnectionPool:
        access = self._access
        settings: dict[str, Any] = {
            "num_pools": 1,
            "maxsize": self._concurrency,
            "ssl_context": _tls(access, pair),
            "server_hostname": access.tls_server_name or None,
        }
        try:
            manager = _proxied(access, settings) if access.proxy else urllib3.PoolManager(**settings)
            pool = manager.connection_from_host(self._host, self._port or 443, "https")
        except LocationValueError:  # urllib3 accepts fewer host names than urlsplit; its words may have a password
            what = "its proxy-url or HTTPS_PROXY is" if access.proxy else f"its server {access.server} is"
            raise KubeconfigError(f"{access.place}: {what} not the URL of a host. Correct it.") from None
        assert isinstance(pool, HTTPSConnectionPool)
        pool.ConnectionCls = partial(_Connection, self._track)  # type: ignore[assignment] # it is only called
        return pool

    def _track(self, connection: "_Connection") -> None:
        with self._lock:
            if self._of_this_thread.aborted.is_set():  # during the connection setup
                raise ConnectionAbortedError
            self._open.add(connection)


class _Connection(HTTPSConnection):
    """A connection that can be interrupted while a thread waits for the answer, and that never prints headers."""

    debuglevel = 0  # with the debuglevel of http.client, a program could print tokens

    def __init__(self, track: Any, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._track = track

    def connect(self) -> None:
        super().connect()
        self._track(self)

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # urllib3's own, as in its class
        if isinstance(self.sock, _Socket):
            self.sock.deadline = time.monotonic() + ANSWER_SECONDS
        return super().getresponse()

    def interrupt(self) -> None:
        """Interrupt the thread that reads."""
        if isinstance(self.sock, socket.socket):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # without TLS, which the other thread uses


class _Socket(ssl.SSLSocket):
    """One whose reads end at a deadline: the timeout of a socket is for each read alone."""

    deadline = math.inf

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        if time.monotonic() > self.deadline:
            raise TimeoutError
        return super().recv_into(buffer, nbytes, flags)


class _Failures:
    """The failures of a request, and the seconds to wait before the next try; None to give up.

    An idempotent request is sent again after any failure, other requests only if the server did not accept them.
    """

    def __init__(self, *, repeatable: bool) -> None:
        self._repeatable = repeatable
        self._tries = 0
        self._left = {"connect": _RECONNECTS, "read": _REREADS if repeatable else 0}

    def wait_after_error(self, error: HTTPError) -> float | None:
        cause = error.original_error if isinstance(error, ProxyError) else error
        if isinstance(cause, ConnectTimeoutError):  # refused, too
            kind = "connect"
        elif isinstance(cause, (ReadTimeoutError, ProtocolError)):
            kind = "read"
        else:
            return None
        self._left[kind] -= 1
        return None if self._left[kind] < 0 else self._backoff()

    def wait_after_answer(self, reply: Reply) -> float | None:
        after = reply.headers.get("retry-after", "")
        retried = RETRIED if self._repeatable else _THROTTLED
        requested = reply.status == HTTPStatus.SERVICE_UNAVAILABLE and after
        if not (reply.status in retried or requested):
            return None
        wait = self._backoff()
        if wait is None:
            return None
        return min(float(after), _LONGEST_WAIT_SECONDS) if after.isdecimal() else wait

    def _backoff(self) -> float | None:
        """No wait before the second try, then growing waits."""
        self._tries += 1
        if self._tries >= _TRIES:
            return None
        return 0.0 if self._tries == 1 else _FIRST_WAIT_SECONDS * 2 ** (self._tries - 2)


def _proxied(access: Access, settings: Mapping[str, Any]) -> urllib3.PoolManager:
    if access.proxy.startswith("socks5"):
        if importlib.util.find_spec("socks") is None:  # the import would warn on stderr
            raise KubeconfigError(
                f"{access.place}: its proxy is a SOCKS proxy, which needs a Python package: pip install PySocks"
            )
        from urllib3.contrib.socks import SOCKSProxyManager

        return SOCKSProxyManager(access.proxy.replace("socks5://", "socks5h://", 1), **settings)
    proxy = parse_url(access.proxy)
    headers = {}
    if proxy.auth:  # as Go: the bytes that are written, which need not be Latin-1
        headers["proxy-authorization"] = f"Basic {base64.b64encode(unquote_to_bytes(proxy.auth)).decode()}"
    return urllib3.ProxyManager(proxy._replace(auth=None).url, proxy_headers=headers, **settings)


def _tls(access: Access, pair: KeyPair | None) -> ssl.SSLContext:
    """The TLS settings. Certificates are always verified as in Go: subject alternative names, and partial chains."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _Socket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if access.ca is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(cadata=b"\n".join(_CERTIFICATE.findall(access.ca)).decode("ascii"))
        except (ssl.SSLError, ValueError):
            raise KubeconfigError(
                f"{access.place}: its certificate-authority is not a PEM certificate. Correct it."
            ) from None
    if pair is not None:
        try:
            _load(context, pair)
        except (ssl.SSLError, ValueError):
            raise KubeconfigError(
                f"{access.place}: its client-certificate and client-key are not a pair in PEM, or the key has a "
                "passphrase. Correct them."
            ) from None
    return context


def _load(context: ssl.SSLContext, pair: KeyPair) -> None:
    """OpenSSL reads only files: they are in memory, or in a private directory that is deleted immediately."""
    with contextlib.ExitStack() as stack:
        certificate, key = stack.enter_context(_file(pair.certificate)), stack.enter_context(_file(pair.key))
        context.load_cert_chain(certificate, key, password=_no_passphrase)


@contextlib.contextmanager
def _file(content: bytes) -> Iterator[str]:
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("agent-identities"), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.TemporaryDirectory(prefix="agent-identities-") as directory:
        path = Path(directory, "pem")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        yield str(path)


def _no_passphrase() -> str:
    """Raise ValueError, because OpenSSL would prompt for the passphrase on the terminal."""
    raise ValueError("passphrase")
