"""A process: its command line, its log, its readiness checks and how it ends. Standard library only."""

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent_identities.cluster.pid import ProcessId
from agent_identities.cluster.readiness import Check

_PR_SET_PDEATHSIG = 1  # prctl(2), linux/prctl.h
_TAIL_BYTES = 16 * 1024
_TAIL_LINE_CHARACTERS = 300


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, with long lines truncated; empty if the log does not exist."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(line[:_TAIL_LINE_CHARACTERS] for line in text.splitlines()[-lines:])


def dies_with_parent() -> Callable[[], None]:
    """A function for the child to run before its program, so that the kernel kills the child with its parent thread.

    The child ends even if the parent is ended by SIGKILL (PR_SET_PDEATHSIG, prctl(2)).
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:  # the parent ended before prctl took effect
            os.kill(os.getpid(), signal.SIGKILL)

    return in_child


@dataclass(frozen=True, slots=True)
class Command:
    """A process to start. It starts after the processes in `after`, and is ready when all its checks pass.

    A process with `once` is ready when it has ended with exit code 0. Other processes must not end. `environment` is
    added to the environment of the supervisor.
    """

    name: str
    argv: tuple[str, ...]
    log: str
    checks: tuple[Check, ...] = ()
    after: tuple[str, ...] = ()
    once: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    directory: str = "/"


class Process:
    """A started command, in its own process group. It ends with the thread that started it."""

    def __init__(self, command: Command) -> None:
        """Start the command. Raises OSError if the program cannot be run or the log cannot be written."""
        self.command = command
        with Path(command.log).open("ab") as log:
            self._popen = subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=command.directory,
                env={**os.environ, **dict(command.environment)},
                process_group=0,
                preexec_fn=dies_with_parent(),  # safe: the supervisor has no other thread
            )
        self.id = ProcessId.of(self._popen.pid)

    def done(self) -> bool:
        """Whether a command with `once` has ended with exit code 0."""
        return self.command.once and self._popen.poll() == 0

    def failure(self) -> str:
        """How the process ended unexpectedly; empty if it did not."""
        code = self._popen.poll()
        if code is None or self.done():
            return ""
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def killed(self) -> bool:
        """Whether the process was ended by SIGKILL."""
        return self._popen.poll() == -signal.SIGKILL

    def ask_to_end(self) -> None:
        """Send SIGTERM to the process group."""
        self._signal(signal.SIGTERM)

    def end(self, grace: float) -> None:
        """Wait at most that many seconds for the process to end, then send SIGKILL and wait until it has ended."""
        try:
            self._popen.wait(grace)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._popen.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._popen.poll() is None:  # not reaped yet, so no other process has the pid
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)
