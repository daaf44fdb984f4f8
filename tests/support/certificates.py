"""Users with a client certificate of the cluster, as an API server knows real users."""

import base64
import uuid

import pykube
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.server import Json, Server, eventually

_REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
SIGNER = "kubernetes.io/kube-apiserver-client"


class KeyAndRequest:
    """A new private key, and the certificate signing request for a user name and groups."""

    def __init__(self, user: str, *groups: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        self._request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(self._key, hashes.SHA256())
        self.name = f"test-{uuid.uuid4().hex[:8]}"

    @property
    def manifest(self) -> Json:
        pem = base64.b64encode(self._request.public_bytes(serialization.Encoding.PEM)).decode()
        spec = {"request": pem, "signerName": SIGNER, "usages": ["client auth"], "expirationSeconds": 3600}
        return {"metadata": {"name": self.name}, "spec": spec}

    def login(self, server: Server, certificate: str) -> Server:
        """The same server, with this certificate as the only credential."""
        key = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        config = server.client.config
        cluster = {
            "server": server.client.url,
            "certificate-authority": config.cluster["certificate-authority"].filename(),
        }
        user = {"client-certificate-data": certificate, "client-key-data": base64.b64encode(key).decode()}
        document = {
            "current-context": "user",
            "clusters": [{"name": "server", "cluster": cluster}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "user", "context": {"cluster": "server", "user": "user"}}],
        }
        return Server(pykube.HTTPClient(pykube.KubeConfig(document)))


def approve(approver: Server, name: str) -> tuple[int, Json]:
    """Approve a request. Returns (HTTP status, answer)."""
    path = f"{_REQUESTS}/{name}"
    found = approver.request("GET", path)[1]
    condition = {"type": "Approved", "status": "True", "reason": "Test", "message": "approved by a test"}
    return approver.request("PUT", f"{path}/approval", {**found, "status": {"conditions": [condition]}})


def issued(server: Server, name: str) -> str:
    """The certificate that the controller manager signed, in base64."""
    certificate: str = eventually(lambda: server.get(f"{_REQUESTS}/{name}").get("status", {}).get("certificate"))
    return certificate


def log_in(server: Server, user: str, *groups: str) -> Server:
    """The server as a user with a certificate that the administrator approved."""
    made = KeyAndRequest(user, *groups)
    server.create(_REQUESTS, made.manifest)
    try:
        status, answer = approve(server, made.name)
        assert status == 200, answer
        return made.login(server, issued(server, made.name))
    finally:
        server.delete(f"{_REQUESTS}/{made.name}")


def whoami(server: Server) -> str:
    """The user name as which the API server authenticates."""
    review = server.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    name: str = review["status"]["userInfo"]["username"]
    return name
