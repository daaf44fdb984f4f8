"""The lines of a log: a file, a gz file or stdin, one at a time, however large it is."""

import contextlib
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

from agent_identities.errors import AgentIdentitiesError

STDIN = "-"
LONGEST_LINE = 64 * 1024 * 1024
"""Bytes. An event with bodies holds at most two objects; what is longer is no line of an audit log."""

_GZIP_MAGIC = b"\x1f\x8b"
_BUFFER = 1024 * 1024


class LogError(AgentIdentitiesError):
    """A log that cannot be read, or that is no audit log."""


class Line(NamedTuple):
    """A line, counted from 1, without its end.

    ``ended`` is False for a last line that is still being written; ``problem`` says why there is no text.
    """

    number: int
    text: bytes
    ended: bool = True
    problem: str = ""


def read(log: str) -> Iterator[Line]:
    """The lines of a file, unpacked where it is gz, whatever its name; ``-`` is stdin. Raises LogError."""
    name = "stdin" if log == STDIN else log
    try:
        with contextlib.ExitStack() as stack:
            if log == STDIN:
                raw = cast("io.BufferedReader", sys.stdin.buffer)
            else:
                raw = stack.enter_context(Path(log).open("rb"))
            packed = raw.peek(2)[:2] == _GZIP_MAGIC
            yield from lines(io.BufferedReader(gzip.GzipFile(fileobj=raw), _BUFFER) if packed else raw)
    except OSError as error:
        reason = error.strerror or str(error)
        raise LogError(f"{name}: {reason}. Name an audit log that can be read, or - for stdin.") from None


def lines(stream: io.BufferedIOBase, longest: int = LONGEST_LINE) -> Iterator[Line]:
    """The lines of a stream; gz data that end too early or are damaged end them with a line that says so."""
    number = 0
    while True:
        number += 1
        try:
            text = stream.readline(longest)
            if len(text) == longest and not text.endswith(b"\n"):
                while text and not text.endswith(b"\n"):
                    text = stream.readline(longest)
                yield Line(number, b"", problem=f"is longer than {longest:,} bytes")
                continue
        except EOFError:
            yield Line(number, b"", ended=False)
            return
        except (zlib.error, gzip.BadGzipFile) as error:
            yield Line(number, b"", problem=f"and all after it cannot be unpacked: damaged gz data ({error})")
            return
        if not text:
            return
        yield Line(number, text.rstrip(b"\r\n"), ended=text.endswith(b"\n"))
