"""Starts a supervisor, waits until the processes of its plan are ready, and stops it."""

import json
import os
import platform
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGKILL, SIGTERM, SIGUSR1

from agent_identities.cluster.pid import ProcessId
from agent_identities.cluster.process import tail
from agent_identities.cluster.state import AT_END_SECONDS, SUPERVISOR_LOG, Failure, Plan, Ready
from agent_identities.errors import ClusterError

_MARGIN_SECONDS = 15.0  # so that the supervisor's own time limit ends first
_END_SECONDS = 15.0
_POLL_SECONDS = 0.03


class LaunchError(ClusterError):
    """The processes of a plan did not become ready, and have been stopped. `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def launch(directory: Path, plan: Plan) -> Ready:
    """Start the processes of the plan under a supervisor, and return when they are ready.

    Raises LaunchError if they do not become ready, OSError if the folder is not writable. After an exception,
    including KeyboardInterrupt, or if this process is killed before the return, no process keeps running.
    """
    plan.write(directory)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs, (directory / SUPERVISOR_LOG).open("ab") as log:
            subprocess.run(
                # -P: a file in the current folder must not be imported instead of a module of the standard library
                [sys.executable, "-P", "-m", "agent_identities.cluster.supervisor", directory, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                check=False,
            )
        ending = _END_SECONDS + (AT_END_SECONDS if plan.at_end else 0)
        try:
            return _ready(ours, directory, plan.timeout + _MARGIN_SECONDS)
        except BaseException:
            ours.shutdown(socket.SHUT_WR)  # ends the lease
            _receive(ours, b"", ending)  # until the supervisor has stopped every process and closes its socket
            raise


def _ready(ours: socket.socket, directory: Path, seconds: float) -> Ready:
    line = _receive(ours, b"\n", seconds)
    message = json.loads(line) if line.endswith(b"\n") else {}
    if "ready" in message:
        ours.sendall(b"keep")
        return Ready.of(message["ready"])
    if "failed" in message:
        raise LaunchError(Failure(**message["failed"]))
    raise LaunchError(
        Failure(
            process="the supervisor",
            reason="ended before all processes were ready",
            tail=tail(directory / SUPERVISOR_LOG),
            at="",
        )
    )


def _receive(ours: socket.socket, until: bytes, seconds: float) -> bytes:
    """The bytes received up to a delimiter, up to the end of the stream, or within the time limit."""
    received = b""
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(ours, selectors.EVENT_READ)
        while not (until and until in received):
            if not selector.select(max(0.0, end - time.monotonic())):
                break
            if not (part := ours.recv(65536)):
                break
            received += part
    return received


def start_again(directory: Path, ready: Ready, seconds: float) -> Ready:
    """Make the supervisor of a restartable plan restart the killed processes, and return when they are ready.

    Raises LaunchError if they do not become ready: then no process runs.
    """
    ready.supervisor.signal(SIGUSR1)
    deadline = time.monotonic() + seconds + _MARGIN_SECONDS
    while time.monotonic() < deadline:
        if (failure := Failure.read(directory)) is not None:
            raise LaunchError(failure)
        again = Ready.read(directory)
        if again is None or not again.supervisor.alive():
            break
        if all(process.alive() for process in again.processes.values()):
            return again
        time.sleep(_POLL_SECONDS)
    if (failure := Failure.read(directory)) is not None:
        raise LaunchError(failure)
    log = tail(directory / SUPERVISOR_LOG)
    raise LaunchError(Failure("the supervisor", "did not restart the killed processes", log, ""))


def end(supervisor: ProcessId, *, at_end: bool = False) -> None:
    """Stop a supervisor and its processes, and wait until they have ended. Does nothing if they have already ended.

    `at_end`: the plan has a command to run at the end, for which this function waits longer.
    Raises ClusterError if the supervisor does not end, which only a process stuck in the kernel can cause.
    """
    supervisor.signal(SIGTERM)
    if supervisor.wait(_END_SECONDS + (AT_END_SECONDS if at_end else 0)):
        return
    supervisor.signal(SIGKILL)
    if not supervisor.wait(_END_SECONDS):
        raise ClusterError(f"process {supervisor.pid} does not end: see `ps -o pid,stat,wchan,args {supervisor.pid}`")


def require_linux(what: str) -> None:
    """Raise ClusterError on a system without pidfds, /proc and PR_SET_PDEATHSIG, which `what` needs to stop."""
    if platform.system() != "Linux":
        raise ClusterError(
            f"{what} requires Linux, and this system is {platform.system()}. Create a cluster with another tool, for "
            "example kind, and use it: --cluster kubeconfig --kubeconfig FILE"
        )


def this_process() -> ProcessId:
    """The current process."""
    return ProcessId.of(os.getpid())
