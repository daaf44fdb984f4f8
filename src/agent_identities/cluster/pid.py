"""A process id that identifies one process. Pids are reused, but a pid and a start time within one boot are not.

Standard library only, and Linux only: the module reads /proc/PID/stat (proc_pid_stat(5)) and uses pidfd_open(2).
"""

import contextlib
import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STATE, _THREADS, _STARTTIME = 0, 17, 19  # fields 3, 20 and 22, counted after the command name
_POLL_SECONDS = 0.05


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessLookupError(f"no process {pid}") from error
    return text.rpartition(")")[2].split()  # the command name can contain spaces and parentheses


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process of one boot. `started` is its start time in clock ticks since that boot."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """The process that has this pid now. Raises ProcessLookupError if no process has it."""
        return cls(pid=pid, started=int(_stat(pid)[_STARTTIME]), boot=_BOOT_ID.read_text().strip())

    def alive(self) -> bool:
        """Whether the process is running. A zombie is not running.

        The main thread can be a zombie while other threads of the process have not ended: then the process is running.
        """
        try:
            fields = _stat(self.pid)
        except ProcessLookupError:
            return False
        return (
            int(fields[_STARTTIME]) == self.started
            and (fields[_STATE] not in "ZX" or int(fields[_THREADS]) > 1)
            and _BOOT_ID.read_text().strip() == self.boot
        )

    def open(self) -> int | None:
        """A pidfd, readable when the process has ended. None if it has ended or the kernel has no pidfd_open."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return None
        if self.alive():
            return descriptor
        os.close(descriptor)
        return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process, never to a later process with the same pid. Does nothing if it has ended."""
        descriptor = self.open()
        with contextlib.suppress(ProcessLookupError):
            if descriptor is not None:
                try:
                    signal.pidfd_send_signal(descriptor, number)
                finally:
                    os.close(descriptor)
            elif self.alive():
                os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait at most that many seconds for the process to end. Returns whether it has ended."""
        descriptor = self.open()
        if descriptor is not None:
            try:
                select.select([descriptor], [], [], seconds)
            finally:
                os.close(descriptor)
            return not self.alive()
        end = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_SECONDS)
        return True
