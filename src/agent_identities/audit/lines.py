"""The lines of a log: a file, a gzip file or stdin. The lines are read one at a time."""

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
"""In bytes. An event with bodies has at most two objects. A longer line is not a line of an audit log."""

_GZIP_MAGIC = b"\x1f\x8b"
_BUFFER = 1024 * 1024


class LogError(AgentIdentitiesError):
    """A log cannot be read, or is not an audit log."""


class Line(NamedTuple):
    """A line without its line ending. ``number`` starts at 1.

    ``ended`` is False for an incomplete last line. ``problem`` says why there is no text.
    """

    number: int
    text: bytes
    ended: bool = True
    problem: str = ""


def read(log: str) -> Iterator[Line]:
    """The lines of a file. ``-`` is stdin. A gzip file is recognized by its content. Raises LogError."""
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
        raise LogError(f"{name}: {reason}. Use a readable audit log, or - for stdin.") from None


def lines(stream: io.BufferedIOBase, longest: int = LONGEST_LINE) -> Iterator[Line]:
    """The lines of a stream. If gzip data are truncated or damaged, the last line says so."""
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
            yield Line(number, b"", problem=f"and all later lines cannot be read: damaged gzip data ({error})")
            return
        if not text:
            return
        yield Line(number, text.rstrip(b"\r\n"), ended=text.endswith(b"\n"))
