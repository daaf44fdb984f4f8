"""Remove credentials from external text, before it is part of a message, a report or a log."""

import html
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

REDACTED = "[redacted]"

_JWT = re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]+)*")
_SCHEME = re.compile(r"(?i)\b(bearer|basic)\s+(?=\S*[\d=])[\w.~+/=-]{8,}")
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_NAMED = re.compile(
    r"""(?ix) ([\w-]*(?:token|secret|password|passwd|pwd|api[_-]?key|access[_-]?key|private[_-]?key|KeyData)
    ["']?\s*[:=]\s*["']?) [^\s"',;}\[]+"""
)
_OPAQUE = re.compile(r"(?<![\w./+-])(?=[\w+=-]*\d)(?=[\w+=-]*[A-Za-z])[\w+=-]{24,}(?![\w./])")
_UUID = re.compile(r"[\da-fA-F]{8}(-[\da-fA-F]{4}){3}-[\da-fA-F]{12}")
_WORD = re.compile(r"[^\s\"',:;{}\[\]()<>]{8,}")
_PUBLIC = frozenset({"apiVersion", "ExecCredential", "clientCertificateData", "clientKeyData", "expirationTimestamp"})
"""Words that a plugin may write to both stdout and stderr."""


def spellings(secret: str) -> tuple[bytes, ...]:
    """The spellings with which a server may repeat a credential: unchanged, or escaped in JSON, in a URL or in HTML."""
    forms = {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), html.escape(secret)}
    return tuple(form.encode() for form in sorted(filter(None, forms), key=lambda form: (-len(form), form)))


def without(value: Any, secrets: Sequence[str]) -> Any:
    """A JSON value whose strings do not contain the secrets."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, REDACTED)
        return value
    if isinstance(value, dict):
        return {without(key, secrets): without(each, secrets) for key, each in value.items()}
    return [without(each, secrets) for each in value] if isinstance(value, list) else value


def redact(text: str) -> str:
    """The text of a server without JSON Web Tokens, Authorization values and private keys."""
    text = _KEY.sub(REDACTED, text)
    text = _SCHEME.sub(rf"\1 {REDACTED}", text)
    return _JWT.sub(REDACTED, text)


def redact_output(text: str, secrets: Iterable[str] = (), stdout: str = "") -> str:
    """The stderr of a program, without text that may be a credential.

    That is: each of ``secrets``, each word that is also in ``stdout`` (which has the program's credential), values
    after names such as ``token=``, and long words of letters and digits.
    """
    known = {*secrets, *(word for word in _WORD.findall(stdout) if "k8s.io" not in word)} - _PUBLIC
    for secret in sorted(filter(None, known), key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    text = _NAMED.sub(rf"\1{REDACTED}", redact(text))
    return _OPAQUE.sub(lambda found: found[0] if _UUID.fullmatch(found[0]) else REDACTED, text)


def printable(text: str) -> str:
    """The text on one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " if c.isspace() else f"\\x{ord(c):02x}" for c in text).split())
