"""One control plane that all workers of a test run share."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from agent_identities.cluster.control_plane import ControlPlane, death
from agent_identities.cluster.starting import ControlPlaneConfig
from agent_identities.errors import ClusterError

_LOCK_SECONDS = 1200.0  # the first worker may have to build the binaries


@contextlib.contextmanager
def _run_lock(run_dir: Path) -> Iterator[None]:
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with FileLock(run_dir / "control-plane.lock", timeout=_LOCK_SECONDS):
            yield
    except Timeout as error:
        raise ClusterError(
            f"{error.lock_file}: another process of this run has been starting the control plane for "
            f"{_LOCK_SECONDS / 60:.0f} minutes. Stop that process and run again"
        ) from error


def shared(run_dir: Path, owner_pid: int, config: ControlPlaneConfig | None = None) -> ControlPlane:
    """The control plane of a test run: the first call starts it, and later calls return the same control plane.

    It stops when the owner process (the controller of pytest) ends, or with `stop_shared`. Raises ClusterError. A
    control plane that has ended unexpectedly is also an error, because a new one would lack the objects of the tests.
    """
    directory = run_dir / "control-plane"
    with _run_lock(run_dir):
        if (running := ControlPlane.attach(directory)) is not None:
            return running
        if died := death(directory):
            raise ClusterError(died)
        return ControlPlane.start(directory, config, owner_pid=owner_pid)


def stop_shared(run_dir: Path) -> None:
    """Stop the control plane of a test run, if there is one."""
    with _run_lock(run_dir):
        if (running := ControlPlane.attach(run_dir / "control-plane")) is not None:
            running.stop()
