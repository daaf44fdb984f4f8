"""Starts the processes of a plan, and stops them when it receives a signal or their owner process ends.

`launch.py` runs `python -m agent_identities.cluster.supervisor DIRECTORY LEASE` in a new session. The directory
contains the plan (`state.py`). LEASE is the file descriptor of a socket to the launching process:

- The supervisor sends ready or failed over the socket as one line of JSON, and writes it to ready.json or failed.json.
- If the launching process closes the socket before it sends "keep", the supervisor stops all processes.
- The supervisor closes the socket after everything has ended, so that the launching process can wait for the end.

If the plan is restartable, SIGUSR1 restarts the killed processes. ready.json is written again when they are ready.

Every process is a child of the supervisor's only thread, with PR_SET_PDEATHSIG: if the supervisor itself is killed,
they are killed too. Standard library only, so that the supervisor starts within milliseconds.
"""

import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from agent_identities.cluster.pid import ProcessId
from agent_identities.cluster.process import Command, Process, tail
from agent_identities.cluster.state import AT_END_SECONDS, FAILED, READY, Failure, Plan, Ready, write_json

_CHECK_SECONDS = 0.03
_WATCH_SECONDS = 2.0  # matters only where the kernel has no pidfd
_GRACE_SECONDS = 3.0
_KEEP = b"keep"


class _EndedError(Exception):
    """A signal, the lease or the end of the owner process asks the supervisor to stop."""


class _FailedError(Exception):
    """A process ended unexpectedly or was not ready in time."""

    def __init__(self, process: str, reason: str, log: str) -> None:
        self.failure = Failure(process=process, reason=reason, tail=log, at=_now())
        super().__init__(reason)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Supervisor:
    """Starts, monitors and stops the processes of one plan."""

    def __init__(self, directory: Path, plan: Plan, lease: socket.socket) -> None:
        self._directory = directory
        self._plan = plan
        self._lease = lease
        self._processes: dict[str, Process] = {}
        self._ready: set[str] = set()
        self._serving = False
        self._restart = False
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Run the plan. Returns after all processes have ended: 0 if asked to stop, 1 if a process failed."""
        failed = False
        try:
            self._register_events()
            self._start()
            self._report_ready()
            while True:
                self._serving = True
                self._pause(_WATCH_SECONDS)
                if self._restart:
                    self._start_again()
        except _EndedError:
            pass
        except _FailedError as error:
            failed = True
            self._end_processes()
            self._report_failure(error.failure)
        finally:
            self._end_processes()
            self._clean_up(failed=failed)
        return 1 if failed else 0

    def _register_events(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, lambda *_: None)  # the loop reads each signal as one byte from the pipe
        self._selector.register(reader, selectors.EVENT_READ, "signal")
        self._selector.register(self._lease, selectors.EVENT_READ, "lease")
        if self._plan.owner is not None and (owner := self._plan.owner.open()) is not None:
            self._selector.register(owner, selectors.EVENT_READ, "owner")

    def _pause(self, seconds: float) -> None:
        """Wait for events. Raises if the supervisor should stop or a process has ended unexpectedly."""
        for key, _ in self._selector.select(seconds):
            if key.data == "lease":
                if self._lease.recv(16) != _KEEP:
                    raise _EndedError
                self._selector.unregister(self._lease)
            elif key.data == "process":
                self._selector.unregister(key.fd)  # it stays readable, and would make this loop busy-wait
                os.close(key.fd)
            elif key.data == "signal" and set(os.read(key.fd, 64)) == {signal.SIGUSR1}:
                self._restart = self._plan.restartable
            else:
                raise _EndedError
        if self._plan.owner is not None and not self._plan.owner.alive():
            raise _EndedError
        for name, process in self._processes.items():
            if reason := process.failure():
                if self._serving and self._plan.restartable and process.killed():
                    continue
                raise _FailedError(name, reason, tail(Path(process.command.log)))

    def _start(self) -> None:
        deadline = time.monotonic() + self._plan.timeout
        waiting = ""
        while len(self._ready) < len(self._plan.commands):
            for command in self._plan.commands:
                if command.name in self._processes:
                    waiting = self._check(command) or waiting
                elif self._ready.issuperset(command.after):
                    self._start_process(command)
            self._pause(_CHECK_SECONDS)
            if time.monotonic() > deadline:
                late = next(command for command in self._plan.commands if command.name not in self._ready)
                reason = f"was not ready within {self._plan.timeout:.0f} s ({waiting})"
                raise _FailedError(late.name, reason, tail(Path(late.log)))

    def _start_again(self) -> None:
        """Restart the killed processes, and wait until all processes are ready."""
        self._restart = False
        if not any(process.killed() for process in self._processes.values()):
            return
        self._serving = False
        self._processes = {name: process for name, process in self._processes.items() if not process.killed()}
        self._ready.clear()
        self._start()
        self._processes = {command.name: self._processes[command.name] for command in self._plan.commands}
        self._report_ready()

    def _start_process(self, command: Command) -> None:
        try:
            process = Process(command)
        except OSError as error:
            raise _FailedError(command.name, f"could not be started ({error})", "") from error
        self._processes[command.name] = process
        if (descriptor := process.id.open()) is not None:
            self._selector.register(descriptor, selectors.EVENT_READ, "process")

    def _check(self, command: Command) -> str:
        if command.name in self._ready:
            return ""
        if command.once and not self._processes[command.name].done():
            return "still running"
        for check in command.checks:
            if failure := check.failure():
                return failure
        self._ready.add(command.name)
        return ""

    def _report_ready(self) -> None:
        server = self._plan.server
        try:
            ready = Ready(
                supervisor=ProcessId.of(os.getpid()),
                processes={name: process.id for name, process in self._processes.items()},
                url=server.url if server else "",
                version=json.loads(server.client.get(f"{server.url}/version"))["gitVersion"] if server else "",
                since=_now(),
            )
            write_json(self._directory / READY, asdict(ready))
        except OSError as error:
            raise _FailedError("the supervisor", f"could not write {READY} ({error})", "") from error
        self._send({"ready": asdict(ready)})

    def _report_failure(self, failure: Failure) -> None:
        with contextlib.suppress(OSError):  # the launching process must get the message even if the disk is full
            write_json(self._directory / FAILED, asdict(failure))
        self._send({"failed": asdict(failure)})

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # the launching process has closed the socket
            self._lease.sendall(json.dumps(message).encode() + b"\n")

    def _end_processes(self) -> None:
        end = time.monotonic() + _GRACE_SECONDS
        for process in reversed(self._processes.values()):  # dependents end before the processes that they need
            process.ask_to_end()
            process.end(max(0.0, end - time.monotonic()))

    def _clean_up(self, *, failed: bool) -> None:
        if self._plan.at_end:
            with contextlib.suppress(OSError):
                Process(self._plan.at_end).end(AT_END_SECONDS)
        for path in (self._directory / READY, *map(Path, self._plan.remove)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if self._plan.remove_directory and not failed:
            shutil.rmtree(self._directory, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Read the plan, detach from the parent process, and run."""
    directory, lease = Path(arguments[0]), socket.socket(fileno=int(arguments[1]))
    plan = Plan.read(directory)
    if plan is None:
        print(f"{directory}: contains no plan", file=sys.stderr)
        return 1
    if os.fork():  # the child is reparented to init, which reaps it
        os._exit(0)
    os.chdir("/")
    return Supervisor(directory, plan, lease).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
