"""The certificates and keys of a control plane: ECDSA P-256, with key files of mode 0600.

As in kubeadm, there are two certificate authorities. The cluster CA signs the serving and client certificates and is
published in `kube-root-ca.crt`. etcd has its own CA, so that a client certificate of the cluster does not give access
to etcd.
"""

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = datetime.timedelta(days=365)
_CLOCK_SKEW = datetime.timedelta(minutes=5)
SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The paths of a certificate and its private key, both in PEM."""

    certificate: Path
    key: Path


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    _write_private(
        path,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _name(common_name: str, organizations: tuple[str, ...]) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
        + [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _VALID)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


class Authority:
    """A certificate authority and the folder it writes to."""

    def __init__(self, directory: Path, files: KeyPair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey):
        self.files = files
        self._directory = directory
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(cls, directory: Path, name: str) -> Self:
        """Create an authority and write it to NAME.crt and NAME.key. Raises OSError."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name, ())
        certificate = (
            _builder(subject, subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        files = KeyPair(directory / f"{name}.crt", directory / f"{name}.key")
        _write_key(files.key, key)
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(directory, files, certificate, key)

    @classmethod
    def load(cls, files: KeyPair) -> Self:
        """Load an authority from files. Raises OSError, or TypeError if the key is not ECDSA."""
        key = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{files.key}: not an ECDSA key")
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        return cls(files.key.parent, files, certificate, key)

    def issue(
        self,
        file_name: str,
        common_name: str,
        *,
        organizations: tuple[str, ...] = (),
        server_names: tuple[str, ...] = (),
        client: bool = False,
    ) -> KeyPair:
        """Write FILE_NAME.crt and FILE_NAME.key: for a server with these DNS names and IP addresses, a client, or both.

        In Kubernetes, the common name is the user and the organizations are the groups of the user. Raises OSError.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] * bool(server_names) + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
        builder = (
            _builder(_name(common_name, organizations), self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if server_names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in server_names]), critical=False
            )
        files = KeyPair(self._directory / f"{file_name}.crt", self._directory / f"{file_name}.key")
        _write_key(files.key, key)
        certificate = builder.sign(self._key, hashes.SHA256())
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return files


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@dataclass(frozen=True, slots=True)
class Pki:
    """The paths of all certificates and keys of a control plane."""

    directory: Path
    ca: KeyPair
    etcd_ca: KeyPair
    etcd: KeyPair
    etcd_client: KeyPair
    apiserver: KeyPair
    kubelet_client: KeyPair
    controller_manager: KeyPair
    controller_manager_client: KeyPair
    admin: KeyPair
    service_account_key: Path
    service_account_public_key: Path


def write_pki(directory: Path, service_ip: str, names: tuple[str, ...] = ()) -> Pki:
    """Create all files in this folder, for servers on loopback. `names` are additional names of the API server.

    Raises OSError.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    loopback = ("127.0.0.1", "localhost")
    ca = Authority.create(directory, "ca")
    etcd_ca = Authority.create(directory, "etcd-ca")
    private, public = directory / "service-account.key", directory / "service-account.pub"
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(private, key)
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    kcm = "system:kube-controller-manager"
    return Pki(
        directory=directory,
        ca=ca.files,
        etcd_ca=etcd_ca.files,
        etcd=etcd_ca.issue("etcd", "etcd", server_names=loopback, client=True),  # the gateway of etcd is also a client
        etcd_client=etcd_ca.issue("etcd-client", "kube-apiserver-etcd-client", client=True),
        apiserver=ca.issue("apiserver", "kube-apiserver", server_names=(*loopback, *SERVICE_NAMES, service_ip, *names)),
        kubelet_client=ca.issue(
            "kubelet-client", "kube-apiserver-kubelet-client", organizations=("system:masters",), client=True
        ),
        controller_manager=ca.issue("controller-manager", "kube-controller-manager", server_names=loopback),
        controller_manager_client=ca.issue("controller-manager-client", kcm, client=True),
        admin=ca.issue("admin", "admin", organizations=("system:masters",), client=True),
        service_account_key=private,
        service_account_public_key=public,
    )
