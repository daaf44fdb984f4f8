"""The bytes of logs: files, directories and stdin; plain, gzip or zstd. Memory does not grow with their size."""

import codecs
import contextlib
import io
import os
import select
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from agent_identities.errors import AgentIdentitiesError

STDIN = "-"

_PIECE = 1024 * 1024
_SECONDS_TO_WAIT = 1.0
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_DEEPEST = 3  # a cloud compresses what a forwarder has compressed
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # what PowerShell writes
_ARCHIVES = {
    b"PK\x03\x04": ("a zip archive", "unzip"),
    b"\xfd7zXZ\x00": ("compressed with xz", "xz -dc"),
    b"BZh": ("compressed with bzip2", "bzip2 -dc"),
}


class LogError(AgentIdentitiesError):
    """A log cannot be read, or is not an audit log."""


class NoEventError(LogError):
    """A log without an audit event. ``reason`` continues its name."""

    def __init__(self, name: str, reason: str, remediation: str) -> None:
        super().__init__(f"{name}: {reason}. {remediation}")
        self.name, self.reason = name, reason


class Cut(NamedTuple):
    """Compressed data that cannot be read to their end. ``ended`` is False if the data only end too early."""

    reason: str
    ended: bool


class Waiting:
    """There are no more bytes at the moment."""


Piece = bytes | Cut | Waiting


def files(logs: Iterable[str]) -> Iterator[str]:
    """The logs, with the files of each directory and of its subdirectories in the order of their names."""
    for log in logs:
        if log == STDIN or not Path(log).is_dir():
            yield log
            continue
        found = sorted(str(path) for path in Path(log).rglob("*") if path.is_file())
        if not found:
            raise LogError(f"{log}: the directory has no files. Use a readable audit log, or - for stdin.")
        yield from found


def read(log: str) -> Iterator[Piece]:
    """The bytes of a file. ``-`` is stdin. Raises LogError."""
    name = "stdin" if log == STDIN else log
    try:
        yield from _unpacked(name, _stdin() if log == STDIN else _file(log))
    except OSError as error:
        raise LogError(f"{name}: {error.strerror or error}. Use a readable audit log, or - for stdin.") from None


def follow(log: str) -> Iterator[Piece]:
    """The bytes of a file and what is appended to it, also after it was rotated or truncated. Does not end."""
    try:
        yield from _unpacked(log, _stdin() if log == STDIN else _growing(log))
    except OSError as error:
        raise LogError(f"{log}: {error.strerror or error}. Use a readable audit log, or - for stdin.") from None


def _file(log: str) -> Iterator[Piece]:
    with Path(log).open("rb", buffering=0) as raw:
        while piece := raw.read(_PIECE):
            yield piece


def _stdin() -> Iterator[Piece]:
    stream = sys.stdin.buffer
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        yield from iter(lambda: stream.read(_PIECE), b"")
        return
    while True:
        if not select.select([number], [], [], _SECONDS_TO_WAIT)[0]:
            yield Waiting()
        elif piece := os.read(number, _PIECE):
            yield piece
        else:
            return


def _growing(log: str) -> Iterator[Piece]:
    path, reopened = Path(log), False
    while True:
        try:
            raw = path.open("rb", buffering=0)
        except FileNotFoundError:
            if not reopened:
                raise
            yield Waiting()
            continue
        with raw:
            yield from _until_rotated(path, raw)
        reopened = True


def _until_rotated(path: Path, raw: io.FileIO) -> Iterator[Piece]:
    opened = os.fstat(raw.fileno())
    rotated = False
    while True:
        while piece := raw.read(_PIECE):
            yield piece
        if rotated:
            yield b"\n"  # ends a line that the old file has no ending of
            return
        yield Waiting()
        with contextlib.suppress(FileNotFoundError):  # between the two steps of a rotation
            now = path.stat()
            rotated = (now.st_dev, now.st_ino) != (opened.st_dev, opened.st_ino)
            if not rotated and now.st_size < raw.tell():
                raw.seek(0)
                yield b"\n"


# ---- compressed data and encodings. Each step passes on what is not bytes.


def _unpacked(name: str, pieces: Iterator[Piece], depth: int = 0) -> Iterator[Piece]:
    start = b""
    for piece in pieces:
        if not isinstance(piece, bytes):
            yield piece
            continue
        start += piece
        if len(start) >= len(_ZSTD):
            break
    for magic, (kind, command) in _ARCHIVES.items():
        if start.startswith(magic):
            raise LogError(f"{name}: is {kind}. Extract it first ({command} {name}).")
    if start[257:262] == b"ustar":
        raise LogError(f"{name}: is a tar archive. Extract it first (tar -xf {name}), and use its directory.")
    step = {_GZIP: _from_gzip, _ZSTD: _from_zstd}.get(start[:2] if start[:2] == _GZIP else start[:4])
    if step is not None and depth < _DEEPEST:
        yield from _unpacked(name, step(_again(start, pieces)), depth + 1)
    elif start[:2] in _UTF_16:
        yield from _from_utf_16(_again(start, pieces))
    else:
        yield from _again(start, pieces)


def _again(start: bytes, pieces: Iterator[Piece]) -> Iterator[Piece]:
    if start:
        yield start
    yield from pieces


def _from_gzip(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Several gzip files one after the other are one file. The output of each step is limited."""
    unpacker = None
    for piece in pieces:
        if not isinstance(piece, bytes):
            yield piece
            continue
        rest = piece
        while rest or unpacker is not None:
            if unpacker is None:
                rest = rest.lstrip(b"\0")  # padding between files
                if not rest:
                    break
                unpacker = zlib.decompressobj(wbits=31)
            try:
                data = unpacker.decompress(rest, _PIECE)
            except zlib.error as error:
                yield Cut(f"and all later lines cannot be read: damaged gzip data ({error})", ended=True)
                return
            if data:
                yield data
            if unpacker.eof:
                rest, unpacker = unpacker.unused_data, None
                continue
            rest = unpacker.unconsumed_tail
            if not rest and len(data) < _PIECE:
                break
    if unpacker is not None:
        yield Cut("the gzip data are cut", ended=False)


def _from_zstd(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Several zstd frames one after the other are one file. The output of each step is limited."""
    unpacker: zstd.ZstdDecompressor | None = None
    for piece in pieces:
        if not isinstance(piece, bytes):
            yield piece
            continue
        rest = piece
        while rest or (unpacker is not None and not unpacker.needs_input):
            unpacker = unpacker or zstd.ZstdDecompressor()
            try:
                data = unpacker.decompress(rest, _PIECE)
            except zstd.ZstdError as error:
                yield Cut(f"and all later lines cannot be read: damaged zstd data ({error})", ended=True)
                return
            rest = b""
            if data:
                yield data
            if unpacker.eof:
                rest, unpacker = unpacker.unused_data, None
    if unpacker is not None:
        yield Cut("the zstd data are cut", ended=False)


def _from_utf_16(pieces: Iterator[Piece]) -> Iterator[Piece]:
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    for piece in pieces:
        yield decoder.decode(piece).encode(errors="replace") if isinstance(piece, bytes) else piece
