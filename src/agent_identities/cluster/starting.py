"""Starts a control plane in an empty folder. If the start fails, it raises one error and deletes keys and data."""

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
READY_SECONDS = 60.0  # a start takes 4 s on two idle cores, and longer on slow machines
_NEEDED_MEGABYTES = 300  # etcd allocates two log segments of 64 MB at startup. The rest is for the audit log.
_FULL_MEGABYTES = 16
_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ControlPlaneConfig:
    """The options of a control plane.

    `kubernetes`: the minor version. `port`: the port of the API server on loopback, 0 for a free port. The arguments
    are appended to the command line and override the default arguments. `audit_policy`: a file, None for the audit
    policy of the kind cluster. `restartable`: if a process is killed, the others keep running until `restart`.
    Otherwise they stop.
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
    """The inputs of a start. `owner`: the process with which the control plane ends, None if it has no owner."""

    layout: Layout
    config: ControlPlaneConfig
    binaries: Mapping[str, Path]
    owner: ProcessId | None
    remove_directory: bool

    def run(self) -> Ready:
        """Start the control plane. Retries on other ports if a port is taken. Raises ClusterError after a cleanup."""
        attempt = 1
        while True:
            try:
                with self._cleanup_on_error():
                    return self._attempt()
            except LaunchError as error:
                if self.config.port or not error.failure.port_taken or attempt == _ATTEMPTS:
                    raise self._explained(error.failure) from error
                attempt += 1
            except OSError as error:
                path = error.filename or self.layout.directory
                raise ClusterError(f"{path}: {error.strerror}. {self._remediation()}") from error

    def _attempt(self) -> Ready:
        pki = self._prepare()
        etcd, apiserver, controller_manager = free_ports(3)
        ports = Ports(etcd, self.config.port or apiserver, controller_manager)
        write_kubeconfigs(self.layout, pki, ports)
        return launch(self.layout.directory, self._plan(pki, ports))

    def _prepare(self) -> Pki:
        """Delete the files of an earlier run, and write the certificates, the keys and the audit policy."""
        directory = self.layout.directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        if (free := _free_megabytes(directory)) < _NEEDED_MEGABYTES:
            raise ClusterError(
                f"{directory}: that disk has {free} MB free, and a control plane needs {_NEEDED_MEGABYTES} MB. "
                f"{self._remediation()}"
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
    def _cleanup_on_error(self) -> Iterator[None]:
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
        why = f", because its disk is full. {self._remediation()}\n" if full else ": "
        return ClusterError(f"{self.layout.directory}: the control plane did not start{why}{failure}")

    def _remediation(self) -> str:
        return (
            f"Free some disk space and make {self.layout.directory} writable, or choose another folder: set "
            "AGENT_IDENTITIES_STATE for `agent-identities up`, and TMPDIR for all other commands"
        )


def _free_megabytes(directory: Path) -> int:
    return shutil.disk_usage(directory).free // _MEGABYTE


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
