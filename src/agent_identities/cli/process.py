"""The process of a command: its standard streams, its signals and its exit status."""

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn, TextIO

from agent_identities.errors import AgentIdentitiesError
from agent_identities.report.characters import visible

INTERRUPTED, PIPE_CLOSED = 128 + signal.SIGINT, 128 + signal.SIGPIPE
"""As a shell reports a program that the signal ended."""

_COULD_NOT_RUN = 2
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def run(command: Callable[[], None]) -> NoReturn:
    """Run a command, and exit. An error of the user is one message on stderr and exit status 2, without a traceback.

    Ctrl-C, SIGTERM and SIGHUP end a command after it has removed what it created for the run; the exit status is then
    130, 143 or 129. It is 141 where the reader of stdout is gone: 1 would mean that the command found something.
    """
    _open_standard_streams()
    with _signals_end_in_order():
        status = _status(command)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _drop(stream)  # at its exit, Python would write the text again, and report that it cannot
    sys.exit(status)


def _status(command: Callable[[], None]) -> str | int | None:
    try:
        try:
            command()
        except SystemExit as end:
            if isinstance(end.__context__, BrokenPipeError):  # typer makes exit status 1 of it
                return PIPE_CLOSED
            if end.code == INTERRUPTED:  # typer's exit status after Ctrl-C, without a message
                raise KeyboardInterrupt from None
            sys.stdout.flush()
            return end.code
        sys.stdout.flush()
    except AgentIdentitiesError as error:
        _report(f"{error}\n{''.join(getattr(error, '__notes__', ()))}")
    except KeyboardInterrupt:
        _report("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        return PIPE_CLOSED
    except OSError as error:
        if error.filename is None and error.errno not in _UNWRITABLE:
            raise
        where = "standard output" if error.filename is None else os.fsdecode(error.filename)
        _report(f"{where}: {error.strerror}. Check its permissions and the free space of its disk.\n")
    else:
        return 0
    return _COULD_NOT_RUN


def _report(message: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"agent-identities: {visible(message)}")
        sys.stderr.flush()


def _drop(stream: TextIO) -> None:
    """Let a stream lead nowhere."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _open_standard_streams() -> None:
    """Let a stream that is closed (`>&-`) lead nowhere. Otherwise a file that is opened later would take its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # the number of stderr
        os.set_inheritable(number, True)  # noqa: FBT003 # as the standard streams are
    os.close(number)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 # open for the life of the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 # as above
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 # as above


@contextlib.contextmanager
def _signals_end_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does, unless the user ignores them (nohup)."""
    ending = False

    def end(number: int, _frame: FrameType | None) -> None:
        nonlocal ending
        if not ending:  # another one must not end what removes the rest
            ending = True
            sys.exit(128 + number)

    in_main_thread = threading.current_thread() is threading.main_thread()
    caught = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if in_main_thread and signal.getsignal(number) == signal.SIG_DFL
    ]
    for number in caught:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)
