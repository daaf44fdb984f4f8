"""The control planes that a user keeps between commands: up, down, status. Each has a name and a folder of its own."""

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
    """What became of a kept control plane; `reason` says why it does not serve. `since` is ISO 8601, UTC."""

    name: str
    state: Literal["up", "down", "died"]
    reason: str = ""
    url: str = ""
    version: str = ""
    supervisor_pid: int = 0
    since: str = ""
    kubeconfig: Path | None = None


def up(name: str = DEFAULT_NAME, *, kubernetes: str | None = None, port: int = 0) -> ControlPlane:
    """The kept control plane of this name, started unless it runs already; it runs on until `down`.

    `kubernetes` (a minor) and `port` are what the user insists on; None and 0 take what runs, or the default. What a
    dead one of that name left is cleared away. Raises ClusterError, then nothing of it is left.
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
    """End the kept control plane of this name and remove all it left; False when there was nothing.

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
    """Whether the kept control plane of this name runs, and if not, what ended it. Raises ClusterError."""
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
            f"--name {name!r}: a cluster's name has 1 to 40 small letters, digits and dashes, and a letter or digit at "
            "both ends"
        )
    chosen = os.environ.get(STATE_VARIABLE)
    state = Path(chosen).expanduser().absolute() if chosen else user_state_path("agent-identities", appauthor=False)
    return state / "clusters" / name


def _require(name: str, running: ControlPlane, kubernetes: str | None, port: int) -> None:
    """Raise ClusterError when the running one is not what the user insists on."""
    runs_on = running.url.rpartition(":")[2]
    if port and str(port) != runs_on:
        differs = f"on port {runs_on}, not {port}"
    elif kubernetes and not running.kubernetes_version.startswith(f"v{kubernetes}."):
        differs = f"with Kubernetes {running.kubernetes_version}, not {kubernetes}"
    else:
        return
    raise ClusterError(
        f"cluster {name} is up {differs}. End it first (agent-identities down --name {name}), "
        "or give the new one another --name"
    )


def _unready(running: ControlPlane) -> str:
    pki = Layout(running.directory).pki
    admin = client(KeyPair(pki / "ca.crt", pki / "ca.key"), KeyPair(pki / "admin.crt", pki / "admin.key"))
    try:
        admin.get(f"{running.url}/readyz")
    except OSError as error:
        return f"the API server is not ready now: {running.url}/readyz: {error}. See {running.directory}"
    return ""


@contextlib.contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """Nobody else starts or ends the cluster of this folder meanwhile."""
    try:
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(directory.with_name(f".{directory.name}.lock"), timeout=_LOCK_SECONDS, mode=0o600):
            yield
    except Timeout as error:
        raise ClusterError(
            f"cluster {directory.name}: another agent-identities up or down is at work on it ({error.lock_file}). "
            "Wait until it is done, or use another --name"
        ) from error
    except OSError as error:
        raise _unusable(error, directory) from error


def _unusable(error: OSError, directory: Path) -> ClusterError:
    return ClusterError(
        f"{error.filename or directory}: {error.strerror}. The clusters that are up keep their files there: make it "
        f"writable, or choose another folder with {STATE_VARIABLE}"
    )
