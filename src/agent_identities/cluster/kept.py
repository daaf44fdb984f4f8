"""Control planes that keep running between commands: up, down, status. Each has its own name and its own folder."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from agent_identities.cluster import DEFAULT_NAME
from agent_identities.cluster.command_lines import Layout, client
from agent_identities.cluster.control_plane import ControlPlane, death
from agent_identities.cluster.pki import KeyPair
from agent_identities.cluster.starting import ControlPlaneConfig
from agent_identities.errors import ClusterError
from agent_identities.toolchain import DEFAULT_KUBERNETES

STATE_VARIABLE = "AGENT_IDENTITIES_STATE"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_LOCK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a kept control plane. `reason` is why it does not serve. `since` is ISO 8601, UTC."""

    name: str
    state: Literal["up", "down", "died"]
    reason: str = ""
    url: str = ""
    version: str = ""
    supervisor_pid: int = 0
    since: str = ""
    kubeconfig: Path | None = None


def up(name: str = DEFAULT_NAME, *, kubernetes: str | None = None, port: int = 0) -> ControlPlane:
    """Start the kept control plane of this name, or return the running one. It runs until `down`.

    `kubernetes` is the required minor version and `port` the required port. None and 0 accept those of a running
    control plane, and are otherwise the defaults. The files of a stopped control plane of that name are deleted.
    Raises ClusterError: then no process runs and no file is left.
    """
    directory = _directory(name)
    with _lock(directory):
        if (running := ControlPlane.attach(directory)) is not None:
            _require(name, running, kubernetes, port)
            return running
        try:
            shutil.rmtree(directory)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _unusable(error, directory) from error
        config = ControlPlaneConfig(kubernetes=kubernetes or DEFAULT_KUBERNETES, port=port)
        return ControlPlane.start(directory, config, kept=True, remove_directory=True)


def down(name: str = DEFAULT_NAME) -> bool:
    """Stop the kept control plane of this name and delete its files. Returns whether it was running.

    Raises ClusterError.
    """
    directory = _directory(name)
    if not directory.exists():
        return False
    with _lock(directory):
        running = ControlPlane.attach(directory)
        if running is not None:
            running.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return running is not None


def status(name: str = DEFAULT_NAME) -> Status:
    """Whether the kept control plane of this name runs, and if not, why it ended. Raises ClusterError."""
    directory = _directory(name)
    running = ControlPlane.attach(directory)
    if running is None:
        died = death(directory)
        return Status(name=name, state="died" if died else "down", reason=died)
    return Status(
        name=name,
        state="up",
        reason=_unready(running),
        url=running.url,
        version=running.kubernetes_version,
        supervisor_pid=running.supervisor_pid,
        since=running.since,
        kubeconfig=running.kubeconfig,
    )


def _directory(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise ClusterError(
            f"--name {name!r}: not a valid cluster name. A cluster name has 1 to 40 lowercase letters, digits and "
            "dashes, and starts and ends with a letter or digit"
        )
    chosen = os.environ.get(STATE_VARIABLE)
    try:
        state = Path(chosen).expanduser().absolute() if chosen else user_state_path("agent-identities", appauthor=False)
    except RuntimeError:
        raise ClusterError(f"HOME is not set. Set it, or set {STATE_VARIABLE} to an absolute path.") from None
    return state / "clusters" / name


def _require(name: str, running: ControlPlane, kubernetes: str | None, port: int) -> None:
    """Raise ClusterError if the running control plane has another port or Kubernetes version than required."""
    runs_on = running.url.rpartition(":")[2]
    if port and str(port) != runs_on:
        differs = f"on port {runs_on}, not {port}"
    elif kubernetes and not running.kubernetes_version.startswith(f"v{kubernetes}."):
        differs = f"with Kubernetes {running.kubernetes_version}, not {kubernetes}"
    else:
        return
    raise ClusterError(
        f"cluster {name} is up {differs}. Stop it first (agent-identities down --name {name}), "
        "or use another --name for the new cluster"
    )


def _unready(running: ControlPlane) -> str:
    pki = Layout(running.directory).pki
    admin = client(KeyPair(pki / "ca.crt", pki / "ca.key"), KeyPair(pki / "admin.crt", pki / "admin.key"))
    try:
        admin.get(f"{running.url}/readyz")
    except OSError as error:
        return f"the API server is not ready: {running.url}/readyz: {error}. See the logs in {running.directory}"
    return ""


@contextlib.contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """Hold the lock of this folder, so that no other process starts or stops its cluster."""
    try:
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(directory.with_name(f".{directory.name}.lock"), timeout=_LOCK_SECONDS, mode=0o600):
            yield
    except Timeout as error:
        raise ClusterError(
            f"cluster {directory.name}: another agent-identities up or down is running ({error.lock_file}). "
            "Wait until it has finished, or use another --name"
        ) from error
    except OSError as error:
        raise _unusable(error, directory) from error


def _unusable(error: OSError, directory: Path) -> ClusterError:
    return ClusterError(
        f"{error.filename or directory}: {error.strerror}. The files of running clusters are stored there. Make the "
        f"folder writable, or set {STATE_VARIABLE} to another folder"
    )
