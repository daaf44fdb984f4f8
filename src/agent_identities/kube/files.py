"""Files that a user or a kubeconfig names: kubeconfigs, tokens, certificates and keys."""

import errno
import os
from pathlib import Path

_LARGEST = 64 * 2**20  # bytes; the kubeconfig of a thousand clusters has about six million


def read(path: Path) -> bytes:
    """The content of a file or a pipe. Raises OSError, also for a name that no file can have, and for endless files."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except ValueError:  # a NUL character in the name
        raise _error(errno.EINVAL, path) from None
    if len(content) > _LARGEST:
        raise _error(errno.EFBIG, path)
    return content


def _error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))
