"""The credentials of a client: tokens, passwords and certificates. No message contains a credential.

Source: k8s.io/client-go/transport/token_source.go and round_trippers.go.
"""

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from agent_identities.errors import ClusterError
from agent_identities.kube import files
from agent_identities.kube.redact import REDACTED, spellings, without

_READ_AGAIN_SECONDS = 50.0  # client-go reads a token file again after a minute, less ten seconds


class CredentialError(ClusterError):
    """There is no usable credential: a file is missing, a plugin failed, or a token cannot be sent."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A client certificate and its key, PEM."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credential:
    """The credential of a request: the Authorization header ("" for none) and the client certificate."""

    authorization: str = field(default="", repr=False)
    pair: KeyPair | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def bearer(cls, token: str, where: str, pair: KeyPair | None = None) -> "Credential":
        """A bearer token; ``where`` is its source. Raises CredentialError if it cannot be the value of a header."""
        if problem := _unsendable(token):
            raise CredentialError(f"{where}: the token {problem}. Write a new token.")
        return cls(f"Bearer {token}", pair, (token,))

    @classmethod
    def basic(cls, username: str, password: str, pair: KeyPair | None = None) -> "Credential":
        """A user name and a password."""
        encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
        return cls(f"Basic {encoded}", pair, tuple(filter(None, (encoded, password))))

    def hide(self, data: bytes) -> bytes:
        """An answer without this credential, because a server may repeat it."""
        for secret in self.secrets:
            for spelling in spellings(secret):
                if spelling in data:
                    data = data.replace(spelling, REDACTED.encode())
        return data

    def parse(self, data: bytes) -> dict[str, Any] | None:
        """The JSON object of an answer, without this credential; None if the answer is not a JSON object."""
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not isinstance(answer, dict):
            return None
        escaped = b"\\u" in data or b"\\/" in data  # then any character of the credential may be escaped
        try:
            return without(answer, self.secrets) if escaped and self.secrets else answer
        except RecursionError:  # nested deeper than any object of Kubernetes
            return None


def _unsendable(token: str) -> str:
    """The reason why a token cannot be the value of a header, "" if it can. The reason has no part of the token."""
    if not token:
        return "is empty"
    if not token.isascii():
        return "contains a character that is not ASCII"
    if "\n" in token or "\r" in token:
        return "contains a line break"
    if not token.isprintable():
        return "contains a control character"
    return "contains a blank" if " " in token else ""


class CredentialSource(Protocol):
    """A source of credentials. Threads share it."""

    def get(self) -> Credential:
        """The credential for the next request. Raises CredentialError."""

    def renew(self, refused: Credential) -> bool:
        """Whether there is a new credential, after a server refused this one with 401. Raises CredentialError."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A credential that never changes."""

    credential: Credential

    def get(self) -> Credential:
        """The credential."""
        return self.credential

    def renew(self, refused: Credential) -> bool:
        """False: there is no other credential."""
        del refused
        return False


class TokenFile:
    """A file with a token that is renewed, for example by the kubelet. It is read every 50 s, and after a 401.

    If the file cannot be read any more, the last token is used; if it was never read, ``fallback``.
    """

    def __init__(self, path: Path, where: str, *, pair: KeyPair | None = None, fallback: str = "") -> None:
        self._path, self._pair, self._where = path, pair, f"{where}: tokenFile {path}"
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._last = Credential.bearer(fallback, where, pair) if fallback else None

    def get(self) -> Credential:
        """The current token of the file. Raises CredentialError."""
        with self._lock:
            if self._last is None or time.monotonic() - self._read_at >= _READ_AGAIN_SECONDS:
                self._last = self._read()
                self._read_at = time.monotonic()
            return self._last

    def renew(self, refused: Credential) -> bool:
        """Whether the file has a new token."""
        with self._lock:
            self._last = self._read()
            return self._last != refused

    def _read(self) -> Credential:
        try:
            return Credential.bearer(files.read(self._path).decode("utf-8").strip(), self._where, self._pair)
        except UnicodeDecodeError:
            problem = CredentialError(f"{self._where}: not UTF-8. Write a token to the file.")
        except OSError as error:
            problem = CredentialError(
                f"{self._where}: {error.strerror}. Set tokenFile to a readable file with a token."
            )
        except CredentialError as error:
            problem = error
        if self._last is not None:
            return self._last
        raise problem from None
