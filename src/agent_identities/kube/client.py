"""Questions to an API server: plain dicts over kept connections, from many threads at once.

The `kubernetes` client reads the kubeconfig, runs credential plugins and verifies TLS; its connection pool is used
directly, since its generated methods build and validate a model for every answer.
"""

import contextlib
import copy
import json
import logging
import re
import shlex
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies

import urllib3
import yaml
from kubernetes.client import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config import ConfigException, load_kube_config
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from agent_identities.errors import ClusterError

DEFAULT_CONCURRENCY = 16
"""Requests in flight. More gains nothing: one Python process is busy with eight."""

_PAGE = 500  # objects a page, as kubectl's --chunk-size
_TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS})
_TROUBLE = frozenset({429, 500, 502, 503, 504})
_LONGEST_WAIT_SECONDS = 5.0
_HEADERS = {"accept": "application/json", "content-type": "application/json", "user-agent": "agent-identities"}


class ApiError(ClusterError):
    """A question that got no answer, or a refusal; ``status`` is the HTTP status, 0 where no answer came."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _Patience(urllib3.Retry):
    """Retries that heed Retry-After, but not for minutes."""

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        after = super().get_retry_after(response)
        return None if after is None else min(after, _LONGEST_WAIT_SECONDS)


def _patience(*, repeatable: bool) -> _Patience:
    """What is asked again: after any trouble if it changes nothing, else only if the server did not take it on."""
    return _Patience(
        total=4,
        connect=1,
        read=2 if repeatable else 0,
        other=0,
        redirect=0,
        status_forcelist=_TROUBLE if repeatable else _BUSY,
        allowed_methods=None,
        backoff_factor=0.2,
        raise_on_status=False,
        raise_on_redirect=False,
    )


_REPEATABLE, _ONCE = _patience(repeatable=True), _patience(repeatable=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status; ``body`` is the JSON object, empty where the answer was none."""

    status: int
    body: Mapping[str, Any]

    @property
    def message(self) -> str:
        """The message of a Status, "" where the answer was none."""
        return str(self.body.get("message") or "") if self.body.get("kind") == "Status" else ""


class Api:
    """One API server as one context of a kubeconfig reaches it. Threads may share it.

    Every failure is an ApiError (a ClusterError). TLS is always verified: a kubeconfig that says otherwise is refused.
    """

    def __init__(self, kubeconfig: Path, context: str | None = None, *, concurrency: int = DEFAULT_CONCURRENCY) -> None:
        self._place = _Place(kubeconfig, context)
        self._configuration = _load(self._place, concurrency)
        self._pool = RESTClientObject(self._configuration).pool_manager
        self._credentials = threading.Lock()
        self._token: str | None = None
        self._bare_pool: urllib3.PoolManager | None = None
        self._answered = False
        self.server: str = self._configuration.host

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connections back."""
        self._pool.clear()

    def get(self, path: str) -> dict[str, Any]:
        """The object at a path such as ``/api/v1/namespaces/agent-system``. Raises ApiError."""
        return self._request("GET", path, None, _REPEATABLE)

    def post(self, path: str, body: Mapping[str, Any], *, repeatable: bool = False) -> dict[str, Any]:
        """What the server makes of ``body``. ``repeatable``: asking twice changes nothing, as with reviews.

        Raises ApiError.
        """
        return self._request("POST", path, json.dumps(body), _REPEATABLE if repeatable else _ONCE)

    def raw(
        self,
        method: str,
        path: str,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        repeatable: bool = False,
    ) -> Answer:
        """Any request, and its answer whatever the status; redirections are answers, too.

        Raises ApiError (status 0) where none came.
        """
        sent = self._headers() | dict(headers or {})
        response = self._send(method, path, body, sent, _REPEATABLE if repeatable else _ONCE)
        self._answered = True
        try:
            answer = json.loads(response.data)
        except ValueError:
            answer = None
        return Answer(response.status, answer if isinstance(answer, dict) else {})

    def serves(self) -> bool:
        """Whether the server answers, and does not say itself that it cannot serve: that its storage is gone, say."""
        try:
            return self.raw("GET", "/readyz").status < HTTPStatus.INTERNAL_SERVER_ERROR
        except ApiError:
            return False

    def with_token(self, token: str) -> Self:
        """The same server, asked by whoever this token belongs to, with no other credential beside it."""
        with self._credentials:
            if self._bare_pool is None:
                self._bare_pool = RESTClientObject(_without_credentials(self._configuration)).pool_manager
        other = copy.copy(self)
        other._token, other._pool = token, self._bare_pool
        return other

    def list_all(self, path: str) -> list[dict[str, Any]]:
        """All items of a list, page by page. ``path`` may end in a query, such as a label selector. Raises ApiError."""
        try:
            return list(self._pages(path, limit=_PAGE))
        except ApiError as error:
            if error.status != HTTPStatus.GONE:  # the pages expired under us: the server compacts after five minutes
                raise
            return list(self._pages(path, limit=0))

    def _pages(self, path: str, *, limit: int) -> Iterator[dict[str, Any]]:
        after = ""
        while True:
            query = urlencode({"limit": limit, "continue": after})
            page = self.get(f"{path}{'&' if '?' in path else '?'}{query}")
            yield from page.get("items") or ()
            after = (page.get("metadata") or {}).get("continue") or ""
            if not after:
                return

    def _request(self, method: str, path: str, body: str | None, retries: urllib3.Retry) -> dict[str, Any]:
        response = self._send(method, path, body, self._headers(), retries)
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            self._refused(response.status, response.data)
        try:
            answer = json.loads(response.data)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ApiError(f"{self.server}{path}: answered with no JSON object. Is that the address of an API server?")
        self._answered = True
        return answer

    def _send(
        self, method: str, path: str, body: str | None, headers: Mapping[str, str], retries: urllib3.Retry
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(
                method, self.server + path, body=body, headers=headers, retries=retries, timeout=_TIMEOUT
            )
        except HTTPError as error:
            raise ApiError(self._unanswered(error)) from None

    def _headers(self) -> dict[str, str]:
        if self._token is not None:
            return _HEADERS | {"authorization": f"Bearer {self._token}"}
        with self._credentials:  # the hook behind it may run a credential plugin: once, not once a thread
            authorization = self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return _HEADERS | ({"authorization": authorization} if authorization else {})

    def _unanswered(self, error: HTTPError) -> str:
        """Why no answer came, and what to do."""
        cause: BaseException = (error.reason or error) if isinstance(error, MaxRetryError) else error
        if isinstance(cause, ProxyError):
            return (
                f"{self.server}: the proxy {_without_user(self._configuration.proxy)} does not lead there. "
                "Correct HTTPS_PROXY, or name the server in NO_PROXY."
            )
        if isinstance(cause, SSLError):
            return self._distrusted(cause)
        if self._answered:
            return f"{self.server}: the API server stopped answering in the middle. See its log, then ask again."
        if isinstance(cause, NewConnectionError):  # before its base ConnectTimeoutError
            why = f"cannot be reached ({_plain(cause)})"
        elif isinstance(cause, (ConnectTimeoutError, ReadTimeoutError)):
            why = "does not answer in time"
        else:
            why = "breaks the connection off before it answers"
        return f"{self.server}: the API server {why}. Is it running, and is {self._place} the right one?"

    def _distrusted(self, error: SSLError) -> str:
        cause = error.args[0] if error.args else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"{self.server}: the server's certificate is not trusted ({cause.verify_message}). "
                f"Correct certificate-authority-data or tls-server-name of {self._place}."
            )
        reason = getattr(cause, "reason", None) or str(cause)
        return f"{self.server}: no TLS connection ({reason}). Check server and client certificate of {self._place}."

    def _refused(self, status: int, data: bytes) -> NoReturn:
        said = _message(data)
        if status == HTTPStatus.UNAUTHORIZED:
            message = (
                f"{self.server}: 401 Unauthorized: the credentials of {self._place} are not valid, or have expired. "
                f"Log in again; `{self._place.kubectl('auth', 'whoami')}` tells whether it worked."
            )
        elif status == HTTPStatus.FORBIDDEN:
            message = f"{self.server}: 403 {said.rstrip('.')}. {self._place.cure(said)}"
        elif status in _TROUBLE:
            message = (
                f"{self.server}: {status} {said.rstrip('.')}, even when asked again. "
                "Wait a while, or lower --concurrency."
            )
        else:
            message = f"{self.server}: {status} {said.rstrip('.')}."
        raise ApiError(message, status=status)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the access comes from, for messages."""

    kubeconfig: Path
    context: str | None

    def __str__(self) -> str:
        return f"context {self.context!r} of {self.kubeconfig}" if self.context else str(self.kubeconfig)

    def kubectl(self, *arguments: str) -> str:
        where = [f"--kubeconfig={self.kubeconfig}", *([f"--context={self.context}"] if self.context else [])]
        return shlex.join(["kubectl", *where, *arguments])

    def cure(self, said: str) -> str:
        """The command of an administrator that would let the caller do what was refused."""
        refused = re.search(r'User "(?P<user>[^"]+)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)"', said)
        if refused is None or (refused["resource"] != "subjectaccessreviews" and not _may_view(refused)):
            return "Ask an administrator of the cluster for that right."
        user, account = refused["user"], refused["user"].removeprefix("system:serviceaccount:")
        who = f"--user={user}" if account == user else f"--serviceaccount={account}"
        namespace = re.search(r'in the namespace "([^"]+)"', said)
        if refused["resource"] == "subjectaccessreviews":
            hint = "ClusterRole system:auth-delegator has `create subjectaccessreviews.authorization.k8s.io`"
            grant = [
                "create",
                "clusterrolebinding",
                "agent-identities-verify",
                "--clusterrole=system:auth-delegator",
                who,
            ]
        elif namespace:
            hint = "ClusterRole view may be enough"
            grant = ["-n", namespace[1], "create", "rolebinding", "agent-identities-verify", "--clusterrole=view", who]
        else:
            hint = "ClusterRole view may be enough"
            grant = ["create", "clusterrolebinding", "agent-identities-view", "--clusterrole=view", who]
        return f"{hint}; an administrator grants it with: {shlex.join(['kubectl', *grant])}"


def _may_view(refused: re.Match[str]) -> bool:
    """Whether ClusterRole view may have what was refused: it reads, and neither secrets nor RBAC."""
    return refused["verb"] in ("get", "list", "watch") and not re.search("secrets|role", refused["resource"])


def _load(place: _Place, concurrency: int) -> Configuration:
    """What the kubeconfig says, credentials included. Raises ApiError."""
    configuration = Configuration()
    said: list[str] = []
    try:
        with _log(said):
            # It may write a refreshed OIDC token back, as kubectl does: refresh tokens are good for one use.
            load_kube_config(  # type: ignore[no-untyped-call] # the client annotates only its generated part
                str(place.kubeconfig), context=place.context, client_configuration=configuration
            )
    except ConfigException as error:
        raise ApiError(f"{place}: {str(error).rstrip('.')}. See: kubectl config get-contexts") from None
    except (OSError, yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "is no kubeconfig"
        raise ApiError(f"{place}: {why}. Name one with --kubeconfig.") from None
    if said:
        raise ApiError(f"{place}: its credential plugin failed: {said[-1].rstrip('.')}. Run it by hand to see why.")
    if not configuration.host.startswith("https://") or not configuration.verify_ssl:
        raise ApiError(
            f"{place}: {configuration.host} would be trusted unseen (no https, or insecure-skip-tls-verify), and "
            "anyone could answer in its place. Set certificate-authority-data."
        )
    host = urlsplit(configuration.host).hostname or ""
    if _is_loopback(host) and configuration.proxy in getproxies().values():
        configuration.proxy = None  # as kubectl does (Go's http.ProxyFromEnvironment)
    configuration.connection_pool_maxsize = concurrency
    return configuration


_SERVER_SETTINGS = frozenset(
    {
        "assert_hostname",
        "ca_cert_data",
        "connection_pool_maxsize",
        "host",
        "no_proxy",
        "proxy_headers",
        "proxy_ssl_context",
        "ssl_ca_cert",
        "tls_server_name",
        "verify_ssl",
    }
)


def _without_credentials(configuration: Configuration) -> Configuration:
    """The same server and trust, without client certificate, token or password."""
    bare = Configuration()
    for name in vars(configuration).keys() & _SERVER_SETTINGS:
        setattr(bare, name, getattr(configuration, name))
    bare.proxy = configuration.proxy
    return bare


@contextlib.contextmanager
def _log(said: list[str]) -> Iterator[None]:
    """Collects what is logged meanwhile: the client tells failures of credential plugins in no other way."""

    class _Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    collector = _Collector(logging.ERROR)
    logging.getLogger().addHandler(collector)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(collector)


def _message(data: bytes) -> str:
    """The message of a Status, else the beginning of the body."""
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(data.decode(errors="replace").split())[:200] or "without a word"


def _plain(error: BaseException) -> str:
    """The operating system's words: "Connection refused"."""
    cause = error.__cause__ or error.__context__
    return (cause.strerror or str(cause)) if isinstance(cause, OSError) else str(error).rpartition(": ")[2]


def _without_user(url: str | None) -> str:
    """A URL without the name and password that it may carry."""
    return re.sub(r"//[^/@]*@", "//", url or "")


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
