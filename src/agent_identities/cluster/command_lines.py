"""The command lines of etcd, kube-apiserver and kube-controller-manager, as data."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent_identities.cluster.admin_kubeconfig import write_kubeconfig
from agent_identities.cluster.pki import KeyPair, Pki
from agent_identities.cluster.ports import LOOPBACK
from agent_identities.cluster.process import Command
from agent_identities.cluster.readiness import Check, Client

BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager")
# Objects that Kubernetes itself creates. With them, the aggregated roles have rules and a pod in `default` is admitted.
_DEFAULT_ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"
_ROOT_CA = "/api/v1/namespaces/default/configmaps/kube-root-ca.crt"
_VIEW = "/apis/rbac.authorization.k8s.io/v1/clusterroles/view"


@dataclass(frozen=True, slots=True)
class Ports:
    """The port of each server, on the loopback interface."""

    etcd: int
    apiserver: int
    controller_manager: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of the files of one control plane."""

    directory: Path

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.directory / "pki"

    @property
    def data(self) -> Path:
        """The data directory of etcd."""
        return self.directory / "etcd"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig file of the administrator."""
        return self.directory / "kubeconfig"

    @property
    def controller_manager_kubeconfig(self) -> Path:
        """The kubeconfig file of the controller manager."""
        return self.directory / "controller-manager.kubeconfig"

    @property
    def audit_policy(self) -> Path:
        """The audit policy of the API server."""
        return self.directory / "audit-policy.yaml"

    @property
    def audit_log(self) -> Path:
        """The audit log: one audit event per line, in JSON."""
        return self.directory / "audit.log"

    def log(self, process: str) -> Path:
        """The standard output and standard error of a process."""
        return self.directory / f"{process}.log"


def service_ip(service_cidr: str) -> str:
    """The address of the Service `kubernetes`: the first of the range. Raises ValueError if the range is not valid."""
    return str(ipaddress.ip_network(service_cidr)[1])


def client(ca: KeyPair, pair: KeyPair) -> Client:
    """The TLS client of a readiness check."""
    return Client(ca=str(ca.certificate), certificate=str(pair.certificate), key=str(pair.key))


def _etcd(binary: Path, layout: Layout, pki: Pki, ports: Ports) -> Command:
    url = f"https://{LOOPBACK}:{ports.etcd}"
    # The cluster has one member and so no peers: any free port will do. The port requires a client certificate.
    peer = f"https://{LOOPBACK}:0"
    return Command(
        name="etcd",
        argv=(
            str(binary),
            "--name=agent-identities",
            f"--data-dir={layout.data}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=agent-identities={peer}",
            f"--cert-file={pki.etcd.certificate}",
            f"--key-file={pki.etcd.key}",
            f"--trusted-ca-file={pki.etcd_ca.certificate}",
            "--client-cert-auth=true",
            f"--peer-cert-file={pki.etcd.certificate}",
            f"--peer-key-file={pki.etcd.key}",
            f"--peer-trusted-ca-file={pki.etcd_ca.certificate}",
            "--peer-client-cert-auth=true",
            "--unsafe-no-fsync=true",  # the data is not used after a reboot
            "--log-level=warn",
        ),
        log=str(layout.log("etcd")),
        checks=(Check(f"{url}/health", client(pki.etcd_ca, pki.etcd_client)),),
    )


def _apiserver(
    binary: Path, layout: Layout, pki: Pki, ports: Ports, service_cidr: str, arguments: tuple[str, ...]
) -> Command:
    url = f"https://{LOOPBACK}:{ports.apiserver}"
    return Command(
        name="kube-apiserver",
        argv=(
            str(binary),
            f"--etcd-servers=https://{LOOPBACK}:{ports.etcd}",
            f"--etcd-cafile={pki.etcd_ca.certificate}",
            f"--etcd-certfile={pki.etcd_client.certificate}",
            f"--etcd-keyfile={pki.etcd_client.key}",
            f"--bind-address={LOOPBACK}",
            f"--advertise-address={LOOPBACK}",  # required without a default route (controller-runtime#669)
            f"--secure-port={ports.apiserver}",
            "--endpoint-reconciler-type=none",
            f"--service-cluster-ip-range={service_cidr}",
            f"--tls-cert-file={pki.apiserver.certificate}",
            f"--tls-private-key-file={pki.apiserver.key}",
            f"--client-ca-file={pki.ca.certificate}",
            f"--kubelet-certificate-authority={pki.ca.certificate}",
            f"--kubelet-client-certificate={pki.kubelet_client.certificate}",
            f"--kubelet-client-key={pki.kubelet_client.key}",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={pki.service_account_public_key}",
            f"--service-account-signing-key-file={pki.service_account_key}",
            f"--audit-policy-file={layout.audit_policy}",
            f"--audit-log-path={layout.audit_log}",
            "--audit-log-maxsize=1024",  # MB: the log of an ordinary run is not rotated while tests follow it
            "--audit-log-maxbackup=1",
            *arguments,
        ),
        log=str(layout.log("kube-apiserver")),
        checks=(Check(f"{url}/readyz", client(pki.ca, pki.admin)),),
        after=("etcd",),
    )


def _controller_manager(
    binary: Path, layout: Layout, pki: Pki, ports: Ports, service_cidr: str, arguments: tuple[str, ...]
) -> Command:
    api = f"https://{LOOPBACK}:{ports.apiserver}"
    admin = client(pki.ca, pki.admin)
    kubeconfig = layout.controller_manager_kubeconfig
    return Command(
        name="kube-controller-manager",
        argv=(
            str(binary),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--authorization-always-allow-paths=/healthz",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={ports.controller_manager}",
            f"--tls-cert-file={pki.controller_manager.certificate}",
            f"--tls-private-key-file={pki.controller_manager.key}",
            f"--client-ca-file={pki.ca.certificate}",
            f"--root-ca-file={pki.ca.certificate}",
            f"--service-account-private-key-file={pki.service_account_key}",
            f"--cluster-signing-cert-file={pki.ca.certificate}",
            f"--cluster-signing-key-file={pki.ca.key}",
            f"--service-cluster-ip-range={service_cidr}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--kube-api-qps=1000",  # at the default of 20, the controllers queue for 4 s at startup
            "--kube-api-burst=2000",
            *arguments,
        ),
        log=str(layout.log("kube-controller-manager")),
        checks=(
            Check(f"https://{LOOPBACK}:{ports.controller_manager}/healthz", admin),
            Check(f"{api}{_DEFAULT_ACCOUNT}", admin),
            Check(f"{api}{_ROOT_CA}", admin),
            Check(f"{api}{_VIEW}", admin, non_empty="rules"),
        ),
        after=("kube-apiserver",),
    )


def commands(
    binaries: Mapping[str, Path],
    layout: Layout,
    pki: Pki,
    ports: Ports,
    *,
    service_cidr: str,
    apiserver_arguments: tuple[str, ...] = (),
    controller_manager_arguments: tuple[str, ...] = (),
) -> tuple[Command, ...]:
    """The commands, in start order. The extra arguments come last and so override the arguments in this module."""
    return (
        _etcd(binaries["etcd"], layout, pki, ports),
        _apiserver(binaries["kube-apiserver"], layout, pki, ports, service_cidr, apiserver_arguments),
        _controller_manager(
            binaries["kube-controller-manager"], layout, pki, ports, service_cidr, controller_manager_arguments
        ),
    )


def write_kubeconfigs(layout: Layout, pki: Pki, ports: Ports) -> None:
    """Write the kubeconfig files of the administrator and the controller manager. Raises OSError."""
    server = f"https://{LOOPBACK}:{ports.apiserver}"
    write_kubeconfig(layout.kubeconfig, server=server, ca=pki.ca.certificate, client=pki.admin, user="admin")
    write_kubeconfig(
        layout.controller_manager_kubeconfig,
        server=server,
        ca=pki.ca.certificate,
        client=pki.controller_manager_client,
        user="system:kube-controller-manager",
    )
