"""From an empty folder to a control plane that is ready, or to one clear message and nothing left behind."""

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent_identities.bundled import kind_path
from agent_identities.cluster.command_lines import (
    Layout,
    Ports,
    client,
    commands,
    service_ip,
    write_kubeconfigs,
)
from agent_identities.cluster.launch import LaunchError, launch
from agent_identities.cluster.pid import ProcessId
from agent_identities.cluster.pki import Pki, write_pki
from agent_identities.cluster.ports import LOOPBACK, free_ports, port_taken
from agent_identities.cluster.readiness import Check
from agent_identities.cluster.state import FAILED, READY, Failure, Plan, Ready
from agent_identities.errors import ClusterError
from agent_identities.toolchain import DEFAULT_KUBERNETES

_ATTEMPTS = 3
READY_SECONDS = 60.0  # 4 s on two idle cores; slow machines exist
_NEEDED_MEGABYTES = 300  # etcd reserves two segments of 64 MB for its log before it serves; the rest is audit log
_FULL_MEGABYTES = 16
_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ControlPlaneConfig:
    """What can be chosen.

    `kubernetes`: the minor version. `port`: the API server's on loopback, 0 for a free one. The arguments are appended
    to the command line and win over the given ones. `audit_policy`: a file, None for the one of the kind cluster.
    `restartable`: a process that is killed stays down until it is started again; else the rest ends with it.
    """

    kubernetes: str = DEFAULT_KUBERNETES
    port: int = 0
    apiserver_args: tuple[str, ...] = ()
    controller_manager_args: tuple[str, ...] = ()
    audit_policy: Path | None = None
    service_cidr: str = "10.96.0.0/16"
    server_names: tuple[str, ...] = ()
    restartable: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """Everything one start needs to know. `owner`: who has to live for it to run, None for nobody."""

    layout: Layout
    config: ControlPlaneConfig
    binaries: Mapping[str, Path]
    owner: ProcessId | None
    remove_directory: bool

    def run(self) -> Ready:
        """Start it, on other ports when another process was faster. Raises ClusterError and leaves nothing behind."""
        attempt = 1
        while True:
            try:
                with self._nothing_half_done():
                    return self._attempt()
            except LaunchError as error:
                if self.config.port or not error.failure.port_taken or attempt == _ATTEMPTS:
                    raise self._explained(error.failure) from error
                attempt += 1
            except OSError as error:
                place = error.filename or self.layout.directory
                raise ClusterError(f"{place}: {error.strerror}. {self._cure()}") from error

    def _attempt(self) -> Ready:
        pki = self._prepare()
        etcd, apiserver, controller_manager = free_ports(3)
        ports = Ports(etcd, self.config.port or apiserver, controller_manager)
        write_kubeconfigs(self.layout, pki, ports)
        return launch(self.layout.directory, self._plan(pki, ports))

    def _prepare(self) -> Pki:
        """A folder with certificates, keys and audit policy, and nothing of an earlier run."""
        directory = self.layout.directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        if (free := _free_megabytes(directory)) < _NEEDED_MEGABYTES:
            raise ClusterError(
                f"{directory}: {free} MB are free on that disk, a control plane needs {_NEEDED_MEGABYTES} MB. "
                f"{self._cure()}"
            )
        for path in (directory / READY, directory / FAILED, *directory.glob("*.log")):
            path.unlink(missing_ok=True)
        _remove(self._secrets_and_data())
        shutil.copyfile(self.config.audit_policy or kind_path() / "audit-policy.yaml", self.layout.audit_policy)
        return write_pki(self.layout.pki, service_ip(self.config.service_cidr), self.config.server_names)

    def _plan(self, pki: Pki, ports: Ports) -> Plan:
        return Plan(
            commands=commands(
                self.binaries,
                self.layout,
                pki,
                ports,
                service_cidr=self.config.service_cidr,
                apiserver_arguments=self.config.apiserver_args,
                controller_manager_arguments=self.config.controller_manager_args,
            ),
            owner=self.owner,
            timeout=READY_SECONDS,
            server=Check(f"https://{LOOPBACK}:{ports.apiserver}", client(pki.ca, pki.admin)),
            remove=tuple(map(str, self._secrets_and_data())),
            remove_directory=self.remove_directory,
            restartable=self.config.restartable,
        )

    @contextlib.contextmanager
    def _nothing_half_done(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            _remove([self.layout.directory] if self.remove_directory else self._secrets_and_data())
            raise

    def _secrets_and_data(self) -> tuple[Path, ...]:
        layout = self.layout
        return layout.data, layout.pki, layout.kubeconfig, layout.controller_manager_kubeconfig

    def _explained(self, failure: Failure) -> ClusterError:
        if failure.port_taken and self.config.port:
            return port_taken(self.config.port)
        existing = next(path for path in (self.layout.directory, *self.layout.directory.parents) if path.exists())
        full = failure.disk_full or _free_megabytes(existing) < _FULL_MEGABYTES
        why = f", its disk is full. {self._cure()}\n" if full else ": "
        return ClusterError(f"{self.layout.directory}: the control plane did not start{why}{failure}")

    def _cure(self) -> str:
        return (
            f"Make room on that disk and see that {self.layout.directory} is writable, or choose a folder elsewhere: "
            "with AGENT_IDENTITIES_STATE for `agent-identities up`, with TMPDIR for everything else"
        )


def _free_megabytes(directory: Path) -> int:
    return shutil.disk_usage(directory).free // _MEGABYTE


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
