"""Files that a user or a kubeconfig names: values, kubeconfigs, tokens, certificates and keys."""

import errno
import os
import sys
from pathlib import Path
from typing import BinaryIO

_LARGEST = 64 * 2**20  # bytes; the kubeconfig of a thousand clusters has about six million


def read(path: Path, largest: int = _LARGEST) -> bytes:
    """The content of a file or a pipe, of at most ``largest`` bytes.

    Raises OSError, also for a name that no file can have, and for endless files.
    """
    try:
        with path.open("rb") as file:
            return _content(file, str(path), largest)
    except ValueError:  # a NUL character in the name
        raise _error(errno.EINVAL, str(path)) from None


def read_stdin(largest: int = _LARGEST) -> bytes:
    """All of standard input. Raises OSError, also where it is closed, and for endless input."""
    if sys.stdin is None:
        raise _error(errno.EBADF, "stdin")
    return _content(sys.stdin.buffer, "stdin", largest)


def _content(file: BinaryIO, name: str, largest: int) -> bytes:
    content = file.read(largest + 1)
    if len(content) > largest:
        raise _error(errno.EFBIG, name)
    return content


def _error(number: int, name: str) -> OSError:
    return OSError(number, os.strerror(number), name)
