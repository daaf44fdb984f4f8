"""A process: its command line as data, where it logs, when it is ready, how it ends. Standard library only."""

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
    """The last lines of a log, long ones cut; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(line[:_TAIL_LINE_CHARACTERS] for line in text.splitlines()[-lines:])


def dies_with_parent() -> Callable[[], None]:
    """What a child runs before its program, so that the kernel ends it when the thread that started it is gone.

    Even kill -9 of the parent then leaves nothing behind (PR_SET_PDEATHSIG, prctl(2)).
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:  # it went before prctl took effect
            os.kill(os.getpid(), signal.SIGKILL)

    return in_child


@dataclass(frozen=True, slots=True)
class Command:
    """A process to start: it waits for the processes named in `after`, and is ready once all its checks pass.

    One that runs `once` is ready when it has ended with exit code 0; any other must not end. `environment` is added to
    what the supervisor has.
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
    """A started command, in a process group of its own; it ends with the thread that started it."""

    def __init__(self, command: Command) -> None:
        """Start it. Raises OSError when the program cannot be run or the log cannot be written."""
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
        """Whether a command that runs once has ended well."""
        return self.command.once and self._popen.poll() == 0

    def failure(self) -> str:
        """How the process ended though it should not have, in words; empty while all is well."""
        code = self._popen.poll()
        if code is None or self.done():
            return ""
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def killed(self) -> bool:
        """Whether it was ended by SIGKILL."""
        return self._popen.poll() == -signal.SIGKILL

    def ask_to_end(self) -> None:
        """Send SIGTERM to the process and what it started."""
        self._signal(signal.SIGTERM)

    def end(self, grace: float) -> None:
        """Wait that many seconds for the process to end, then send SIGKILL; it is gone on return."""
        try:
            self._popen.wait(grace)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._popen.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._popen.poll() is None:  # not collected yet, so the pid is still its own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)
