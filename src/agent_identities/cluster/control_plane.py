"""etcd, kube-apiserver and kube-controller-manager as plain processes on loopback: a real API server in seconds.

Linux only. Everything of one control plane stands in one folder; any number of them run side by side.
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
    """A running control plane; as a context manager it ends with the block."""

    def __init__(self, directory: Path, ready: Ready) -> None:
        """Use `start` or `attach`."""
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
        """Start one in this folder and come back when it is ready.

        It ends by itself as soon as the owner is gone (by default this process), whatever ended the owner; `kept`: it
        has none and stays until `stop`. Keys and data go with the processes, logs stay; `remove_directory`: the
        whole folder goes. Raises ClusterError; then nothing runs, and no key or data is left.
        """
        require_linux("the embedded control plane")
        config = config or ControlPlaneConfig()
        if _running(directory) is not None:
            raise ClusterError(
                f"{directory}: a control plane runs in this folder already. Stop it, or choose another one"
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
        """The control plane that runs in this folder; None where none does."""
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
        """Where its files and logs are."""
        return self._layout.directory

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, with everything inside; the context's name is agent-identities."""
        return self._layout.kubeconfig

    @property
    def audit_log(self) -> Path:
        """One audit event a line, JSON; complete as soon as a request has been answered."""
        return self._layout.audit_log

    @property
    def ca(self) -> Path:
        """The certificate of the authority that signed the API server's."""
        return self._layout.pki / "ca.crt"

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return self._ready.url

    @property
    def kubernetes_version(self) -> str:
        """As the server says it: v1.36.4."""
        return self._ready.version

    @property
    def since(self) -> str:
        """When it became ready: ISO 8601, UTC."""
        return self._ready.since

    @property
    def supervisor_pid(self) -> int:
        """The process to send SIGTERM to: it ends all others."""
        return self._ready.supervisor.pid

    @property
    def pids(self) -> dict[str, int]:
        """The pid of each process, by its name."""
        return {name: process.pid for name, process in self._ready.processes.items()}

    def check(self) -> None:
        """Raise ClusterError when it does not run any more: which process ended, how, and the end of its log."""
        if not self._ready.supervisor.alive():
            raise ClusterError(death(self.directory) or f"{self.directory}: the control plane has been stopped")

    def kill(self, *names: str) -> None:
        """End these processes by SIGKILL; they are gone on return. Of a restartable control plane the others run on.

        Raises ClusterError for a name that is none of `pids`.
        """
        processes = self._ready.processes
        if unknown := [name for name in names if name not in processes]:
            raise ClusterError(f"{unknown[0]}: no process of the control plane; it has {', '.join(processes)}")
        for name in names:
            processes[name].signal(SIGKILL)
        for name in names:
            processes[name].wait(_GONE_SECONDS)

    def restart(self) -> None:
        """Start what was killed again, on the same ports and with the same data; all is ready on return.

        Raises ClusterError when it is not restartable, or does not become ready; then nothing of it runs any more.
        """
        self.check()
        self._ready = start_again(self.directory, self._ready, READY_SECONDS)

    def stop(self) -> None:
        """End it; every process is gone on return. Does nothing when it has ended already."""
        end(self._ready.supervisor)


def death(directory: Path) -> str:
    """How the control plane of this folder ended though nobody had asked for it; empty when it did not."""
    if (failure := Failure.read(directory)) is not None:
        return f"{directory}: the control plane ended at {failure.at}: {failure}"
    ready = Ready.read(directory)
    if ready is None or ready.supervisor.alive():
        return ""
    log = tail(directory / SUPERVISOR_LOG)
    last_words = f" The end of its log:\n{log}" if log else ""
    return (
        f"{directory}: the control plane that was ready at {ready.since} is gone: its supervisor (pid "
        f"{ready.supervisor.pid}) was killed, or the machine was started again.{last_words}"
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
        raise ClusterError(f"process {pid}, which was to own the control plane, does not run") from error
