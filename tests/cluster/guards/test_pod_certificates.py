"""guards.tokens: a pod of an agent gets no certificate that the values do not allow.

Pod certificates are enabled by default in Kubernetes 1.37; 1.36 has them behind a feature gate. So this file has a
control plane of its own.
"""

from collections.abc import Iterator
from pathlib import Path

import pykube
import pytest

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.control_plane import ControlPlane, ControlPlaneConfig
from support.guarded import Guarded, pod
from support.server import Json, Server, eventually

NAMESPACE = "agent-system"
SIGNER = "example.com/mesh"
VALUES: Json = {
    "agents": {"a": {}, "proxied": {"access": "proxied"}},
    "guards": {"enabled": True, "tokens": {"certificates": {SIGNER: 86400}}},
}
ENABLED = ("--feature-gates=PodCertificateRequest=true", "--runtime-config=certificates.k8s.io/v1beta1=true")


@pytest.fixture(scope="module")
def guarded(helm_4: Helm, chart: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    config = ControlPlaneConfig(apiserver_args=ENABLED)
    with ControlPlane.start(tmp_path_factory.mktemp("certificates"), config) as plane:
        Release(helm_4, chart, "agents", NAMESPACE, plane.kubeconfig).install(Values(overrides=VALUES))
        server = Server(pykube.HTTPClient(pykube.KubeConfig.from_file(str(plane.kubeconfig))))
        made = Guarded(server, NAMESPACE, f"agents.{NAMESPACE}.tokens")
        eventually(lambda: made.refuses(mount(made, "a", signer="anyone.example/anything")))
        yield made


def mount(guarded: Guarded, account: str, *, signer: str = SIGNER, seconds: int = 3600) -> tuple[int, Json]:
    """Creates a pod of an agent with a certificate."""
    certificate = {"signerName": signer, "keyType": "ED25519", "maxExpirationSeconds": seconds}
    source = {"podCertificate": certificate | {"credentialBundlePath": "bundle.pem"}}
    volume = {"name": "certificate", "projected": {"sources": [source]}}
    made = pod(account, volumes=[volume], automountServiceAccountToken=False)
    return guarded.server.request("POST", guarded.path("pods"), made)


def test_a_listed_signer_is_allowed_up_to_its_lifetime(guarded: Guarded) -> None:
    for seconds in (3600, 86400):
        status, answer = mount(guarded, "a", seconds=seconds)
        assert (status, len(answer["spec"]["volumes"])) == (201, 1)
    assert guarded.refuses(mount(guarded, "a", seconds=86401), "admin", "the agent a", "certificates: {<signer>")


def test_other_signers_are_refused(guarded: Guarded) -> None:
    assert guarded.refuses(mount(guarded, "a", signer="anyone.example/anything"), "may not get this certificate")


def test_a_proxied_agent_gets_no_certificate(guarded: Guarded) -> None:
    assert guarded.refuses(mount(guarded, "proxied"), "Proxied and quarantined agents get none")
