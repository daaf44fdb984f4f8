"""guards.tokens: a pod of an agent gets no certificate that the values do not allow, and others request none for it.

Pod certificates are enabled by default in Kubernetes 1.37; 1.36 has them behind a feature gate. So this file has a
control plane of its own.
"""

from collections.abc import Iterator
from dataclasses import replace
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
PUBLIC_KEY = "MCowBQYDK2VwAyEA4qioNN3817e0KBvyfDko4OKrlV45J04sgerOYi6aVcU="
PROOF = "e5Due8TQR/c2f1wS6UqoUr3xxWJQy7o3SC8X8Xrx5jdEeU2zVQL+p7fr0zWVNoMV7Hsn6moSYckRyZXffzAGAQ=="
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


def request_certificate(guarded: Guarded, server: Server, node: str = "n") -> tuple[int, Json]:
    """A request as a kubelet sends it for a pod of the agent a. The proof is a signature of the pod's UID."""
    uid = "00000000-0000-0000-0000-000000000001"
    spec = {
        "signerName": SIGNER,
        "podName": "p",
        "podUID": uid,
        "serviceAccountName": "a",
        "serviceAccountUID": uid,
        "nodeName": node,
        "nodeUID": uid,
        "maxExpirationSeconds": 3600,
        "pkixPublicKey": PUBLIC_KEY,
        "proofOfPossession": PROOF,
    }
    path = guarded.path("podcertificaterequests", "/apis/certificates.k8s.io/v1beta1")
    return server.request("POST", path, {"metadata": {"name": "mine"}, "spec": spec})


def test_only_the_kubelet_of_the_pod_requests_its_certificate(guarded: Guarded) -> None:
    """Users with the right to create the requests: the guard refuses them, and names the reason."""
    rule = {"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests"], "verbs": ["create"]}
    guarded.allow("dev", rule)
    policy = replace(guarded, policy=f"{guarded.policy}-certificates")
    dev = guarded.server.as_user(f"dev@{NAMESPACE}")
    words = f"dev@{NAMESPACE} may not request a certificate of the agent a: only the kubelet of the pod can"
    eventually(lambda: policy.refuses(request_certificate(guarded, dev), words))
    assert policy.refuses(request_certificate(guarded, guarded.server), "only the kubelet of the pod can")
    kubelet = guarded.server.as_user("system:node:n", "system:nodes")
    of_the_group = guarded.server.as_user(f"dev@{NAMESPACE}", "system:nodes")
    assert policy.refuses(request_certificate(guarded, of_the_group), "only the kubelet of the pod can")
    status, answer = request_certificate(guarded, kubelet)
    assert status == 201 or "ValidatingAdmissionPolicy" not in answer["message"], answer
