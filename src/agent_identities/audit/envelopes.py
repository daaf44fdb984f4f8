"""The audit events in a record: the event itself, or what a cloud, a container runtime or a forwarder made of it.

Only the content decides. An event is found below any key, as an object or as text, also behind a prefix. Events are not
looked for in an event itself and in other Kubernetes objects, because their texts come from the users of the cluster.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from agent_identities.audit import aks, events, gke
from agent_identities.audit.events import Event, NotAnEventError

LONGEST = 64 * 1024 * 1024
"""In bytes. An event with bodies has at most two objects. A longer record is not an audit event."""

CUT_EVENT = "is an audit event that is cut"

_DEEPEST = 12  # nested objects, lists and texts
_MOST_PREFIXES = 5
_MOST_STREAMS = 100
_MARKS = ("audit.k8s.io", "protoPayload", '"AuditId"')
_MARKS_OF_PARTS = (*(mark.encode() for mark in _MARKS), b"auditID", b"objectRef", b"authorization.k8s.io/")
_NOT_JSON, _NOT_TEXT, _BINARY = "is not JSON", "is not UTF-8 text", "is binary data, not text"
_CSV = "is CSV. Export the log as JSON"

# <time> <stream> <tag> <text>: kubernetes.io/docs, CRI logging format. The tag P is a part of a line, F its end.
_CRI = re.compile(rb"(?:\S+[ ])?\d{4}-\d\d-\d\dT\S+ (stdout|stderr) ([PF])(?::\S+)? ")
_START_OF_OBJECT = re.compile(rb'\{\s*"')
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_GZIP_IN_BASE64 = "H4sI"  # the data of CloudWatch subscriptions, as Kinesis and Lambda get them


class NotJsonError(ValueError):
    """A text that is not one JSON value."""


class Unreadable(NamedTuple):
    """A part of a record that is not read: why, and its text if it can be (a part of) an audit event."""

    reason: str
    text: bytes = b""


class Contents(NamedTuple):
    """The events of a record. ``other`` says what a record without an event is. All empty: a part of a record."""

    events: tuple[Event, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    other: str = ""


class Decoder:
    """Finds the events of one log. It keeps the parts of the lines that a container runtime divided."""

    def __init__(self) -> None:
        self._parts: dict[str, bytearray] = {}

    def json(self, text: bytes) -> Contents:
        """The events of a JSON value. Raises NotJsonError."""
        try:
            event = events.from_json(text)
        except msgspec.ValidationError:
            event = None
        except NotAnEventError as error:
            return Contents(unreadable=(Unreadable(str(error), text),))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise NotJsonError from None
        if event is not None:
            return Contents((event,))
        try:
            content = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise NotJsonError from None
        return self._search(content)

    def line(self, text: bytes) -> Contents:
        """The events of a line that is not JSON: behind a prefix, or in a part of a line of a container runtime."""
        part = _CRI.match(text)
        if part and (part[2] == b"P" or part[1].decode() in self._parts):
            return self._part(part[1].decode(), text[part.end() :], ended=part[2] == b"F")
        found = self._behind_prefix(text)
        return found if found is not None else Contents(unreadable=(_not_json(text),))

    def close(self) -> Contents:
        """What is left at the end of the log: parts of lines without their end."""
        left = tuple(Unreadable(CUT_EVENT, bytes(part)) for part in self._parts.values())
        self._parts.clear()
        return Contents(unreadable=left)

    def _behind_prefix(self, text: bytes) -> Contents | None:
        """The events of the JSON object that ends a line. None if there is no such object."""
        start = -1
        for _ in range(_MOST_PREFIXES):
            found = _START_OF_OBJECT.search(text, start + 1)
            if found is None:
                return None
            start = found.start()
            try:
                return self.json(text[start:])
            except NotJsonError:
                continue
        return None

    def _part(self, stream: str, text: bytes, *, ended: bool) -> Contents:
        parts = self._parts.setdefault(stream, bytearray())
        if len(parts) + len(text) > LONGEST or len(self._parts) > _MOST_STREAMS:
            del self._parts[stream]
            return Contents(unreadable=(Unreadable(f"is longer than {LONGEST:,} bytes", bytes(parts[:LONGEST])),))
        parts += text
        if not ended:
            return Contents()
        del self._parts[stream]
        return self._whole(bytes(parts))

    def _whole(self, text: bytes) -> Contents:
        """The events of a text that is JSON, JSON behind a prefix, or several lines of these."""
        text = text.strip()
        try:
            return self.json(text)
        except NotJsonError:
            pass
        if b"\n" in text:
            return _joined(self._whole(line) for line in text.splitlines() if line.strip())
        return self.line(text)

    def _search(self, content: Any) -> Contents:
        search = _Search(self)
        search.value(content, 0, "")
        if search.events or search.unreadable:
            return Contents(tuple(search.events.values()), tuple(search.unreadable))
        return Contents(other="" if search.partial else _description(content))


class _Search:
    """The search for events in one JSON value."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.events: dict[tuple[str, str], Event] = {}  # some forwarders write the text and the fields of an event
        self.unreadable: list[Unreadable] = []
        self.partial = False

    def value(self, value: Any, depth: int, log: str) -> None:
        if depth > _DEEPEST:
            return
        if isinstance(value, str):
            self._text(value, log)
        elif isinstance(value, dict):
            self._object(value, depth, log)
        elif isinstance(value, list):
            if value and all(isinstance(item, int) and 0 <= item < 256 for item in value):  # journald: not plain text
                self._text(bytes(value).decode(errors="replace"), log)
                return
            for item in value:
                self.value(item, depth + 1, log)

    def _object(self, content: dict[str, Any], depth: int, log: str) -> None:
        log = aks.log_of(content) or log
        known: Callable[[dict[str, Any]], Event | None] | None = None
        if events.is_event(content):
            known = events.from_object
        elif gke.is_entry(content):
            known = gke.event
        elif aks.is_row(content):
            known = aks.event
        if known is not None:
            try:
                self._add(known(content), log)
            except NotAnEventError as error:
                self.unreadable.append(Unreadable(str(error), msgspec.json.encode(content)))
        elif not _is_other_object(content) and not self._part(content):
            for item in content.values():
                if isinstance(item, str | dict | list):
                    self.value(item, depth + 1, log)

    def _add(self, event: Event | None, log: str) -> None:
        if event is not None:
            id_ = event.id or f"without id {len(self.events)}"
            self.events.setdefault((id_, event.stage), event._replace(log=log) if log else event)

    def _part(self, content: dict[str, Any]) -> bool:
        """Whether a record is a part of a line: Docker's json-file, or a forwarder that keeps the tag of CRI."""
        stream = content.get("stream")
        if stream not in ("stdout", "stderr"):
            return False
        text = next((content[key] for key in ("log", "message") if isinstance(content.get(key), str)), None)
        if text is None:
            return False
        tag = content.get("logtag") or content.get("_p")
        waiting = stream in self._decoder._parts
        # Docker has no tag. It divides long lines, and only the last part ends with a line ending.
        ended = tag == "F" if tag in ("P", "F") else text.endswith("\n") or not (waiting or _is_cut(text))
        if ended and not waiting:
            return False
        self._take(self._decoder._part(stream, text.encode(errors="replace"), ended=ended), "")
        self.partial = True
        return True

    def _text(self, text: str, log: str) -> None:
        if text.startswith(_GZIP_IN_BASE64):
            text = _unpacked(text)
        if "{" in text and any(mark in text for mark in _MARKS):
            self._take(self._decoder._whole(text.encode(errors="replace")), log)

    def _take(self, contents: Contents, log: str) -> None:
        for event in contents.events:
            self._add(event, log)
        self.unreadable.extend(contents.unreadable)


def _joined(parts: Iterator[Contents]) -> Contents:
    found = list(parts)
    return Contents(
        tuple(event for each in found for event in each.events),
        tuple(problem for each in found for problem in each.unreadable if problem.text),
    )


def _is_other_object(content: Mapping[str, Any]) -> bool:
    """Whether this is a Kubernetes object that is not an audit event and not a list of objects."""
    kind, version = content.get("kind"), content.get("apiVersion")
    return isinstance(kind, str) and isinstance(version, str) and not kind.endswith("List")


def _is_cut(text: str) -> bool:
    """Whether a text is the start of an audit event without its end."""
    if not text.startswith("{") or not any(mark in text for mark in _MARKS):
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return True
    return False


def _unpacked(text: str) -> str:
    """The text in base64 and gzip, up to a limit. The text itself if it is something else."""
    try:
        unpacked = zlib.decompressobj(wbits=31).decompress(base64.b64decode(text, validate=True), LONGEST)
        return unpacked.decode(errors="replace")
    except (binascii.Error, zlib.error):
        return text


def _not_json(text: bytes) -> Unreadable:
    if has_mark(text):
        return Unreadable(_CSV if b'""kind""' in text else CUT_EVENT, text)
    if _CONTROL.search(text):
        return Unreadable(_BINARY)
    try:
        text.decode()
    except UnicodeDecodeError:
        return Unreadable(_NOT_TEXT)
    return Unreadable(_NOT_JSON)


def has_mark(text: bytes) -> bool:
    """Whether a text can be a part of an audit event."""
    return any(mark in text for mark in _MARKS_OF_PARTS)


def _description(content: object) -> str:
    if not isinstance(content, Mapping):
        return "is JSON without an audit event"
    kind, version = content.get("kind"), content.get("apiVersion")
    if isinstance(kind, str) and isinstance(version, str) and not kind.endswith("List"):
        return f"is the kind {kind:.40} of {version:.40}, not the kind Event of {events.API_VERSION}"
    return "is JSON without an audit event"
