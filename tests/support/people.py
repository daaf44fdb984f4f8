"""People with client certificates that the cluster signs on request, as `kubectl certificate approve` gives them."""

import base64
import uuid
from pathlib import Path

import pykube
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.server import RBAC, Json, Server, eventually

_REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
_GROUP = "rbac.authorization.k8s.io"


def person(server: Server, name: str, folder: Path) -> Server:
    """The same server, with a new client certificate of a user as the only credential."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    certificate, private = folder / f"{name}.crt", folder / f"{name}.key"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    certificate.write_bytes(_signed(server, request.public_bytes(serialization.Encoding.PEM)))
    config = server.client.config
    cluster = {"server": server.client.url, "certificate-authority": config.cluster["certificate-authority"].filename()}
    user = {"client-certificate": str(certificate), "client-key": str(private)}
    document = {
        "current-context": name,
        "clusters": [{"name": "server", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": "server", "user": name}}],
    }
    return Server(pykube.HTTPClient(pykube.KubeConfig(document)))


def _signed(server: Server, request: bytes) -> bytes:
    """The certificate that the controller manager signs after the administrator's approval."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    spec = {
        "request": base64.b64encode(request).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
        "expirationSeconds": 3600,
    }
    made = server.create(_REQUESTS, {"metadata": {"name": name}, "spec": spec})
    made["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "Test", "message": "test"}]}
    try:
        status, answer = server.request("PUT", f"{_REQUESTS}/{name}/approval", made)
        assert status == 200, answer
        found = eventually(lambda: server.get(f"{_REQUESTS}/{name}").get("status", {}).get("certificate"))
    finally:
        server.delete(f"{_REQUESTS}/{name}")
    return base64.b64decode(str(found))


def bind(server: Server, user: str, cluster_role: str, namespace: str) -> None:
    """Gives a user a built-in ClusterRole in a namespace."""
    subject: Json = {"apiGroup": _GROUP, "kind": "User", "name": user}
    ref = {"apiGroup": _GROUP, "kind": "ClusterRole", "name": cluster_role}
    body = {"metadata": {"name": f"{user}-{cluster_role}"}, "roleRef": ref, "subjects": [subject]}
    server.create(f"{RBAC}/namespaces/{namespace}/rolebindings", body)
