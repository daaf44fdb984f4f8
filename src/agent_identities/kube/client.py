"""The client of an API server: plain dicts over persistent connections, shared by threads.

The package has no other client. `kubeconfig.load` finds the server, its certificates and the credentials; `transport`
connects.
"""

import contextlib
import copy
import http.client
import json
import re
import shlex
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from agent_identities.errors import ClusterError
from agent_identities.kube.access import Access
from agent_identities.kube.credentials import Credential, CredentialSource, Fixed
from agent_identities.kube.redact import printable, redact
from agent_identities.kube.transport import LARGEST_ANSWER, RETRIED, AbortedError, LargeAnswerError, Reply, Transport
from agent_identities.rbac.request import ServiceAccount

DEFAULT_CONCURRENCY = 16
"""Requests in flight. More is not faster: eight requests in flight occupy one Python process."""

METADATA_ONLY = {"accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
"""Headers of a list that request only the metadata of each item."""

_PAGE = 500  # objects in a page, as in kubectl's --chunk-size
_HEADERS = {"accept": "application/json", "content-type": "application/json", "user-agent": "agent-identities"}
_IMPERSONATE = "impersonate-user"
_SELF_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_REFUSED_USER = re.compile(r'User "([^"]+)" cannot create')
_ANONYMOUS = "system:anonymous"
_SHOWN = 1_000  # characters of a server's message

_Made = TypeVar("_Made")


class ApiError(ClusterError):
    """A request without an answer, or a refused request. ``status`` is the HTTP status, 0 without an answer.

    ``refusal`` is the message without the remediation, if the API server refused the request.
    """

    def __init__(self, message: str, *, status: int = 0, refusal: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of any status. ``body`` is the JSON object, empty if the answer is not a JSON object."""

    status: int
    body: Mapping[str, Any]

    @property
    def message(self) -> str:
        """The message of a Status, without credentials; "" if the answer is not a Status."""
        return redact(str(self.body.get("message") or "")) if self.body.get("kind") == "Status" else ""


class Api:
    """A client of one API server, with one access. Threads may share it.

    Every failure is an ApiError (a ClusterError), except an access that cannot be used (KubeconfigError). No message
    and no answer contains the credential of the request, even if the server repeats it.
    """

    def __init__(self, access: Access, *, concurrency: int = DEFAULT_CONCURRENCY) -> None:
        self._place = access.place
        self._credentials: CredentialSource = access.credentials
        self._impersonate = access.impersonate
        self._transport = Transport(access, concurrency)
        self._answered = False
        self.server: str = access.server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, also those of `with_token`."""
        self._transport.close()

    def abort(self) -> None:
        """Interrupt the requests in flight, also those of `with_token`. Later requests are not affected."""
        self._transport.abort()

    def version(self) -> str:
        """The version of the API server: v1.36.4. Raises ApiError."""
        return str(self.get("/version").get("gitVersion") or "")

    def whoami(self) -> str:
        """The user as which the API server authenticates the caller, with impersonation. Raises ApiError.

        A cluster can refuse the review. Then the refusal has the user name.
        """
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            review = self.post(_SELF_REVIEWS, body, repeatable=True)
        except ApiError as error:
            refused = _REFUSED_USER.search(str(error)) if error.status == HTTPStatus.FORBIDDEN else None
            if refused is None or refused[1] == _ANONYMOUS:
                raise
            return refused[1]
        status = review.get("status")
        user = status.get("userInfo") if isinstance(status, dict) else None
        return str(user.get("username") or "") if isinstance(user, dict) else ""

    def get(self, path: str) -> dict[str, Any]:
        """The object at a path such as ``/api/v1/namespaces/agent-system``. Raises ApiError."""
        return self._request("GET", path, None, {}, repeatable=True)

    def post(self, path: str, body: Mapping[str, Any], *, repeatable: bool = False) -> dict[str, Any]:
        """The object that the server returns for ``body``. ``repeatable``: the request is idempotent, as a review is.

        Raises ApiError.
        """
        return self._request("POST", path, json.dumps(body), {}, repeatable=repeatable)

    def raw(
        self,
        method: str,
        path: str,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        repeatable: bool = False,
    ) -> Answer:
        """Send any request. Returns the answer of any status; redirections are answers, too.

        Raises ApiError (status 0) without an answer.
        """
        status, answer, _ = self._send(method, path, body, headers or {}, repeatable=repeatable)
        self._answered = True
        return Answer(status, answer or {})

    def serves(self) -> bool:
        """Whether the server answers `/readyz` without a server error, such as one about its storage."""
        try:
            return self.raw("GET", "/readyz").status < HTTPStatus.INTERNAL_SERVER_ERROR
        except ApiError:
            return False

    def with_token(self, token: str) -> Self:
        """A client of the same server with this token, without any other credential and without impersonation.

        Raises ApiError if the token cannot be the value of a header.
        """
        other = copy.copy(self)
        with _as_api_error():
            other._credentials = Fixed(Credential.bearer(token, f"{self.server}: issued token"))
        other._impersonate = ()
        return other

    def list_all(self, path: str, *, metadata_only: bool = False) -> list[dict[str, Any]]:
        """All items of a list, page by page. ``path`` may end in a query, such as a label selector. Raises ApiError.

        ``metadata_only``: the server sends only the metadata of each item, and no data of a Secret.
        """
        return self.list_as(path, lambda item: item, metadata_only=metadata_only)

    def list_as(
        self, path: str, make: Callable[[dict[str, Any]], _Made], *, metadata_only: bool = False
    ) -> list[_Made]:
        """``make`` of each item of a list. Only one page of items is in memory at a time. Raises ApiError."""
        headers = METADATA_ONLY if metadata_only else {}
        try:
            return [make(item) for item in self._pages(path, headers, limit=_PAGE)]
        except ApiError as error:
            if error.status != HTTPStatus.GONE:  # the continue token expired: etcd is compacted every five minutes
                raise
            return [make(item) for item in self._pages(path, headers, limit=0)]

    def _pages(self, path: str, headers: Mapping[str, str], *, limit: int) -> Iterator[dict[str, Any]]:
        after = ""
        while True:
            query = urlencode({"limit": limit, "continue": after})
            page = self._request("GET", f"{path}{'&' if '?' in path else '?'}{query}", None, headers, repeatable=True)
            items, metadata = page.get("items") or [], page.get("metadata", {})
            is_list = isinstance(items, list) and all(isinstance(item, dict) for item in items)
            if not (is_list and isinstance(metadata, dict)):
                raise ApiError(f"{self.server}{path}: the answer is not a list of objects. Is this an API server?")
            yield from items
            before, after = after, metadata.get("continue") or ""
            if not after:
                return
            if after == before:
                raise ApiError(f"{self.server}{path}: the server returns the same page again and again.")

    def _request(
        self, method: str, path: str, body: str | None, headers: Mapping[str, str], *, repeatable: bool
    ) -> dict[str, Any]:
        status, answer, data = self._send(method, path, body, headers, repeatable=repeatable)
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            self._refused(status, _message(answer or {}, data))
        if answer is None:
            raise ApiError(
                f"{self.server}{path}: the answer is not a JSON object. Is this the address of an API server, as in "
                f"{self._place}?"
            )
        self._answered = True
        return answer

    def _send(
        self, method: str, path: str, body: str | None, headers: Mapping[str, str], *, repeatable: bool
    ) -> tuple[int, dict[str, Any] | None, bytes]:
        """(status, JSON object or None, body), without the credential of the request.

        After a 401, the request is sent again if there is a new credential.
        """
        renewed = False
        while True:
            with _as_api_error():
                credential = self._credentials.get()
            response = self._send_as(credential, method, path, body, headers, repeatable=repeatable)
            if response.status == HTTPStatus.UNAUTHORIZED and not renewed:
                with _as_api_error():
                    renewed = self._credentials.renew(credential)
                if renewed:
                    continue
            data = credential.hide(response.data)
            return response.status, credential.parse(data), data

    def _send_as(
        self,
        credential: Credential,
        method: str,
        path: str,
        body: str | None,
        headers: Mapping[str, str],
        *,
        repeatable: bool,
    ) -> Reply:
        sent = urllib3.HTTPHeaderDict(_HEADERS)
        if credential.authorization:
            sent["authorization"] = credential.authorization
        if not any(name.lower() == _IMPERSONATE for name in headers):
            for name, value in self._impersonate:
                sent.add(name, value)
        for name, value in headers.items():
            sent[name] = value
        try:
            with _as_api_error():
                return self._transport.request(method, path, body, sent, pair=credential.pair, repeatable=repeatable)
        except AbortedError:
            raise ApiError(f"{self.server}: the request was interrupted.") from None
        except (HTTPError, OSError) as error:
            raise ApiError(self._unanswered(error)) from None

    def _unanswered(self, error: BaseException) -> str:
        """The message for a request without an answer, with the remediation."""
        if isinstance(error, ProxyError):
            return (
                f"{self.server}: the proxy does not connect to the server ({_plain(error.original_error)}). Correct "
                f"proxy-url of {self._place}, or HTTPS_PROXY, or add the server to NO_PROXY."
            )
        if isinstance(error, SSLError):
            return self._distrusted(error)
        if isinstance(error, LargeAnswerError):
            return (
                f"{self.server}: the answer has more than {LARGEST_ANSWER >> 20} MiB, or no end. Is this the address "
                f"of an API server, as in {self._place}?"
            )
        if self._answered:
            return (
                f"{self.server}: the API server stopped answering during the command. See its log, then run the "
                "command again."
            )
        if isinstance(error, NewConnectionError):  # before its base ConnectTimeoutError
            why = f"cannot be reached ({_plain(error)})"
        elif isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
            why = "does not answer in time"
        else:
            why = "closes the connection before it answers"
        return (
            f"{self.server}: the API server {why}. Check that it is running, and that {self._place} is correct. "
            "To select another context: --context. To start a control plane: agent-identities up"
        )

    def _distrusted(self, error: SSLError) -> str:
        cause = error.args[0] if error.args else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"{self.server}: the server's certificate is not trusted ({cause.verify_message}). "
                f"Correct certificate-authority-data or tls-server-name of {self._place}."
            )
        reason = printable(str(getattr(cause, "reason", None) or cause))
        return f"{self.server}: no TLS connection ({reason}). Check server and client certificate of {self._place}."

    def _refused(self, status: int, reason: str) -> NoReturn:
        if status == HTTPStatus.UNAUTHORIZED:
            message = (
                f"{self.server}: 401 Unauthorized: the credentials of {self._place} are missing, invalid, or have "
                f"expired. Log in again. To check the credentials: {self._place.kubectl('auth', 'whoami')}"
            )
        elif status == HTTPStatus.FORBIDDEN:
            refusal = f"{self.server}: 403 {reason}."
            raise ApiError(f"{refusal} {_remediation(reason)}", status=status, refusal=refusal)
        elif status in RETRIED:
            message = f"{self.server}: {status} {reason}, also after retries. Wait a while, or lower --concurrency."
        elif status < HTTPStatus.BAD_REQUEST:
            message = (
                f"{self.server}: {status}: the server redirects to another address. Credentials are never sent to "
                f"another address. Correct the server of {self._place}."
            )
        else:
            message = f"{self.server}: {status} {reason}."
        raise ApiError(message, status=status)


@contextlib.contextmanager
def _as_api_error() -> Iterator[None]:
    """Raise an error of a credential as ApiError."""
    try:
        yield
    except ApiError:
        raise
    except ClusterError as error:
        raise ApiError(str(error)) from None


def _message(answer: Mapping[str, Any], data: bytes) -> str:
    """The message of a Status, else the beginning of the body, without credentials."""
    reason = answer.get("message")
    text = reason if isinstance(reason, str) else data[: 10 * _SHOWN].decode(errors="replace")
    shown = printable(redact(text))[: _SHOWN if isinstance(reason, str) else 200]
    return shown.rstrip(".") or "without a message"


def _remediation(reason: str) -> str:
    """The command with which an administrator grants the refused right to the caller."""
    refused = re.search(r'User "(?P<user>[^"]+)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]+)"', reason)
    if refused is None or (refused["resource"] != "subjectaccessreviews" and not _may_view(refused)):
        return "Ask an administrator of the cluster for that right."
    account = ServiceAccount.of_user(refused["user"])
    who = f"--serviceaccount={account.namespace}:{account.name}" if account else f"--user={refused['user']}"
    namespace = re.search(r'in the namespace "([^"]+)"', reason)
    if refused["resource"] == "subjectaccessreviews":
        hint = "ClusterRole system:auth-delegator has `create subjectaccessreviews.authorization.k8s.io`"
        role = "--clusterrole=system:auth-delegator"
        grant = ["create", "clusterrolebinding", "agent-identities-verify", role, who]
    elif namespace:
        hint = "ClusterRole view may be sufficient"
        grant = ["-n", namespace[1], "create", "rolebinding", "agent-identities-verify", "--clusterrole=view", who]
    else:
        hint = "ClusterRole view may be sufficient"
        grant = ["create", "clusterrolebinding", "agent-identities-view", "--clusterrole=view", who]
    return f"{hint}; an administrator grants it with: {shlex.join(['kubectl', *grant])}"


def _may_view(refused: re.Match[str]) -> bool:
    """Whether ClusterRole view may have the refused right: read access, except to Secrets and RBAC objects."""
    return refused["verb"] in ("get", "list", "watch") and not re.search("secrets|role", refused["resource"])


def _plain(error: BaseException) -> str:
    """The message of the operating system: "Connection refused"."""
    cause = error.__cause__ or error.__context__ or error
    text = (cause.strerror or str(cause)) if isinstance(cause, OSError) else str(error).rpartition(": ")[2]
    if refused := re.match(r"Tunnel connection failed: (\d{3})", text):  # then words of the proxy, even a password
        text = f"{refused[1]} {http.client.responses.get(int(refused[1]), '')}".rstrip()
    return printable(redact(text))
