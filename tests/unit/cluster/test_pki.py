"""Certificates verify for their own names only, and only their owner can read the keys."""

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store

from agent_identities.cluster.pki import Authority, KeyPair, Pki, write_pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return write_pki(tmp_path_factory.mktemp("cluster") / "pki", "10.96.0.1", ("node.example",))


def certificate(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def server_context(pair: KeyPair, client_ca: KeyPair) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(client_ca.certificate))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def handshake(server: ssl.SSLContext, ca: KeyPair, client: KeyPair, name: str) -> None:
    """A TLS 1.3 handshake in memory, with verification on both sides. Raises ssl.SSLError."""
    context = ssl.create_default_context(cafile=str(ca.certificate))
    context.load_cert_chain(client.certificate, client.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (ours, theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.mark.parametrize(
    "name",
    [
        "127.0.0.1",
        "localhost",
        "10.96.0.1",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "node.example",
    ],
)
def test_the_api_server_is_trusted_under_each_of_its_names(pki: Pki, name: str) -> None:
    handshake(server_context(pki.apiserver, pki.ca), pki.ca, pki.admin, name)


def test_the_api_server_is_not_trusted_under_another_name(pki: Pki) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server_context(pki.apiserver, pki.ca), pki.ca, pki.admin, "other.example")


def test_etcd_accepts_the_api_server(pki: Pki) -> None:
    handshake(server_context(pki.etcd, pki.etcd_ca), pki.etcd_ca, pki.etcd_client, "127.0.0.1")


def test_etcd_rejects_the_administrator_of_the_cluster(pki: Pki) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server_context(pki.etcd, pki.etcd_ca), pki.etcd_ca, pki.admin, "127.0.0.1")


def test_the_administrator_is_in_the_group_system_masters(pki: Pki) -> None:
    organizations = certificate(pki.admin).subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [organization.value for organization in organizations] == ["system:masters"]


def test_the_controller_manager_is_the_user_of_the_bootstrap_role_bindings(pki: Pki) -> None:
    names = certificate(pki.controller_manager_client).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert [name.value for name in names] == ["system:kube-controller-manager"]


def test_a_client_certificate_is_not_a_server_certificate(pki: Pki) -> None:
    usage = certificate(pki.admin).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.oid.ExtendedKeyUsageOID.SERVER_AUTH not in usage


def test_a_client_certificate_is_not_a_ca(pki: Pki) -> None:
    chain = PolicyBuilder().store(Store([certificate(pki.ca)]))
    verified = chain.extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca(),
        ee_policy=ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.CRITICAL, None),
    ).build_client_verifier()
    verified.verify(certificate(pki.admin), [])
    assert not certificate(pki.admin).extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_only_the_owner_can_read_a_key(pki: Pki) -> None:
    keys = list(pki.directory.glob("*.key"))
    assert keys
    assert {key.name: oct(key.stat().st_mode & 0o777) for key in keys} == {key.name: "0o600" for key in keys}
    assert pki.directory.stat().st_mode & 0o777 == 0o700


def test_an_authority_loaded_from_disk_signs_new_certificates(pki: Pki, tmp_path: Path) -> None:
    authority = Authority.load(pki.ca)
    kubelet = authority.issue("kubelet", "system:node:one", organizations=("system:nodes",), client=True)
    handshake(server_context(pki.apiserver, pki.ca), pki.ca, kubelet, "127.0.0.1")
