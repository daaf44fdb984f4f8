"""etcd, kube-apiserver and kube-controller-manager as plain processes on loopback: a real API server in seconds.

Linux only. All files of a control plane are in one folder. Any number of control planes can run at the same time.
"""

from pathlib import Path
from signal import SIGKILL
from types import TracebackType
from typing import Self

from agent_identities.cluster.command_lines import BINARIES, Layout
from agent_identities.cluster.launch import end, require_linux, start_again, this_process
from agent_identities.cluster.pid import ProcessId
from agent_identities.cluster.ports import require_free
from agent_identities.cluster.process import tail
from agent_identities.cluster.starting import READY_SECONDS, ControlPlaneConfig, Start
from agent_identities.cluster.state import SUPERVISOR_LOG, Failure, Ready
from agent_identities.errors import ClusterError
from agent_identities.toolchain import provide

__all__ = ["ControlPlane", "ControlPlaneConfig", "death"]

_GONE_SECONDS = 15.0


class ControlPlane:
    """A running control plane. As a context manager, it stops at the end of the block."""

    def __init__(self, directory: Path, ready: Ready) -> None:
        """Use `start` or `attach` instead."""
        self._layout = Layout(directory)
        self._ready = ready

    @classmethod
    def start(
        cls,
        directory: Path,
        config: ControlPlaneConfig | None = None,
        *,
        owner_pid: int | None = None,
        kept: bool = False,
        remove_directory: bool = False,
    ) -> Self:
        """Start a control plane in this folder and return when it is ready.

        The control plane stops when its owner process ends, for any reason. The default owner is this process. With
        `kept`, the control plane has no owner and runs until `stop`. Keys and data are deleted when the processes
        end, and logs are kept. With `remove_directory`, the whole folder is deleted. Raises ClusterError: then no
        process runs, and keys and data are deleted.
        """
        require_linux("the embedded control plane")
        config = config or ControlPlaneConfig()
        if _running(directory) is not None:
            raise ClusterError(
                f"{directory}: a control plane is already running in this folder. Stop it, or choose another folder"
            )
        if config.port:
            require_free(config.port)
        owner = None if kept else _owner(owner_pid)
        tools = provide(list(BINARIES), kubernetes=config.kubernetes)
        layout = Layout(directory.resolve())
        ready = Start(
            layout=layout,
            config=config,
            binaries={name: tool.path for name, tool in tools.items()},
            owner=owner,
            remove_directory=remove_directory,
        ).run()
        return cls(layout.directory, ready)

    @classmethod
    def attach(cls, directory: Path) -> Self | None:
        """The control plane that runs in this folder, or None."""
        ready = _running(directory)
        return None if ready is None else cls(directory.resolve(), ready)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def directory(self) -> Path:
        """The folder of its files and logs."""
        return self._layout.directory

    @property
    def kubeconfig(self) -> Path:
        """The self-contained kubeconfig file of the administrator. The name of its context is agent-identities."""
        return self._layout.kubeconfig

    @property
    def audit_log(self) -> Path:
        """The audit log: one audit event per line, in JSON. An event is written before its request is answered."""
        return self._layout.audit_log

    @property
    def ca(self) -> Path:
        """The certificate of the authority that signed the API server's certificate."""
        return self._layout.pki / "ca.crt"

    @property
    def url(self) -> str:
        """The URL of the API server."""
        return self._ready.url

    @property
    def kubernetes_version(self) -> str:
        """The version that the server reports, such as v1.36.4."""
        return self._ready.version

    @property
    def since(self) -> str:
        """The time at which the control plane became ready: ISO 8601, UTC."""
        return self._ready.since

    @property
    def supervisor_pid(self) -> int:
        """The pid of the supervisor. SIGTERM to the supervisor stops all processes."""
        return self._ready.supervisor.pid

    @property
    def pids(self) -> dict[str, int]:
        """The pid of each process, by process name."""
        return {name: process.pid for name, process in self._ready.processes.items()}

    def check(self) -> None:
        """Raise ClusterError if the control plane has stopped, with the process that ended and the end of its log."""
        if not self._ready.supervisor.alive():
            raise ClusterError(death(self.directory) or f"{self.directory}: the control plane has been stopped")

    def kill(self, *names: str) -> None:
        """Send SIGKILL to these processes and wait until they have ended.

        The other processes of a restartable control plane keep running. Raises ClusterError if a name is not in `pids`.
        """
        processes = self._ready.processes
        if unknown := [name for name in names if name not in processes]:
            raise ClusterError(
                f"{unknown[0]}: not a process of the control plane. Its processes are {', '.join(processes)}"
            )
        for name in names:
            processes[name].signal(SIGKILL)
        for name in names:
            processes[name].wait(_GONE_SECONDS)

    def restart(self) -> None:
        """Restart the killed processes, on the same ports and with the same data, and wait until they are ready.

        Raises ClusterError if the control plane is not restartable or does not become ready: then no process runs.
        """
        self.check()
        self._ready = start_again(self.directory, self._ready, READY_SECONDS)

    def stop(self) -> None:
        """Stop the control plane and wait until every process has ended. Does nothing if it has already stopped."""
        end(self._ready.supervisor)


def death(directory: Path) -> str:
    """How the control plane of this folder ended unexpectedly; empty if it did not."""
    if (failure := Failure.read(directory)) is not None:
        return f"{directory}: the control plane ended at {failure.at}: {failure}"
    ready = Ready.read(directory)
    if ready is None or ready.supervisor.alive():
        return ""
    log = tail(directory / SUPERVISOR_LOG)
    log_end = f" The end of its log:\n{log}" if log else ""
    return (
        f"{directory}: the control plane that was ready at {ready.since} has stopped: its supervisor (pid "
        f"{ready.supervisor.pid}) was killed, or the machine was restarted.{log_end}"
    )


def _running(directory: Path) -> Ready | None:
    ready = Ready.read(directory)
    return ready if ready is not None and ready.supervisor.alive() else None


def _owner(pid: int | None) -> ProcessId:
    if pid is None:
        return this_process()
    try:
        return ProcessId.of(pid)
    except ProcessLookupError as error:
        raise ClusterError(f"process {pid}, the owner of the control plane, is not running") from error
