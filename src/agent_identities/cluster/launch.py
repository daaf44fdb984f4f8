"""Starts a supervisor, waits until all it was told to start is ready, and ends it."""

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

_MARGIN_SECONDS = 15.0  # the supervisor's own time limit comes first
_END_SECONDS = 15.0
_POLL_SECONDS = 0.03


class LaunchError(ClusterError):
    """What was to be started did not become ready; nothing of it runs any more. `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def launch(directory: Path, plan: Plan) -> Ready:
    """Start what the plan says under a supervisor, and come back when it is ready.

    Raises LaunchError when it does not become ready, OSError when the folder cannot be written. Nothing runs on after
    an exception, KeyboardInterrupt included, or when this process is killed before the return.
    """
    plan.write(directory)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs, (directory / SUPERVISOR_LOG).open("ab") as log:
            subprocess.run(
                # -P: nothing in the folder where the user stands may pass for a module of the standard library
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
            ours.shutdown(socket.SHUT_WR)  # gives the lease back
            _receive(ours, b"", ending)  # until the supervisor has ended everything and closes its end
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
            process="the supervisor", reason="ended before all was ready", tail=tail(directory / SUPERVISOR_LOG), at=""
        )
    )


def _receive(ours: socket.socket, until: bytes, seconds: float) -> bytes:
    """What comes in up to a mark, to the end, or within the time."""
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
    """Have the supervisor of a restartable plan start what was killed, and come back when all is ready again.

    Raises LaunchError when it does not become ready; then nothing runs any more.
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
    raise LaunchError(Failure("the supervisor", "did not start again what was killed", log, ""))


def end(supervisor: ProcessId, *, at_end: bool = False) -> None:
    """End a supervisor and all it keeps; they are gone on return. Does nothing when it is gone already.

    `at_end`: its plan has a command to run at the end, which gets the time it needs.
    Raises ClusterError when it does not go, which only a process stuck in the kernel can cause.
    """
    supervisor.signal(SIGTERM)
    if supervisor.wait(_END_SECONDS + (AT_END_SECONDS if at_end else 0)):
        return
    supervisor.signal(SIGKILL)
    if not supervisor.wait(_END_SECONDS):
        raise ClusterError(f"process {supervisor.pid} does not end: see `ps -o pid,stat,wchan,args {supervisor.pid}`")


def require_linux(what: str) -> None:
    """Raise ClusterError on a system without pidfds, /proc and PR_SET_PDEATHSIG, which `what` needs to end in time."""
    if platform.system() != "Linux":
        raise ClusterError(
            f"{what} runs on Linux only, this is {platform.system()}. Make a cluster some other way, with kind for "
            "instance, and name it: --cluster kubeconfig --kubeconfig FILE"
        )


def this_process() -> ProcessId:
    """The process that runs this code."""
    return ProcessId.of(os.getpid())
