"""Downloads of official releases, from a server with the layout of the release hosts. Only pinned files pass."""

import datetime
import hashlib
import io
import re
import ssl
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent_identities.bundled import toolchain_path
from agent_identities.toolchain import (
    NAMES,
    Tool,
    ToolchainError,
    component,
    download_wanted,
    kubernetes_minors,
    provide,
)
from agent_identities.toolchain.cache import system
from agent_identities.toolchain.download import MIRROR, REGISTRY, download, release
from agent_identities.toolchain.progress import Display

BINARY = b"#!/bin/sh\necho a release\n" * 1000


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        """Serve a file. A file `cut`, `moved` or `busy` in the same folder selects a fault; `busy` is deleted."""
        requested = Path(self.translate_path(self.path))
        if requested.with_name("moved").exists():
            self.send_response(302)
            self.send_header("Location", "http://192.0.2.1/kubectl")
            self.end_headers()
        elif requested.with_name("busy").exists():
            requested.with_name("busy").unlink()
            self.send_error(503)
        elif requested.with_name("cut").exists():
            self.send_response(200)
            self.send_header("Content-Length", str(len(BINARY)))
            self.end_headers()
            self.wfile.write(BINARY[:100])
        else:
            super().do_GET()


@dataclass(frozen=True, slots=True)
class Releases:
    """The files of the server, in one folder per host name, and the registry of their digests."""

    folder: Path
    registry: Path

    def publish(self, path: str, content: bytes) -> Path:
        """Add a file to the server, and pin its digest."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        with self.registry.open("a") as lines:
            lines.write(f"{path} {hashlib.sha256(content).hexdigest()}\n")
        return file

    def kubectl(self) -> Path:
        os_name, arch = system()
        return self.publish(f"dl.k8s.io/v{component('kubectl').version}/bin/{os_name}/{arch}/kubectl", BINARY)

    def download(self, name: str) -> Tool:
        return download(component(name), Display(enabled=False), registry=self.registry)


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Releases]:
    folder = tmp_path / "releases"
    folder.mkdir()
    (tmp_path / "downloads.txt").touch()
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)  # between retries
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv(MIRROR, f"http://127.0.0.1:{server.server_address[1]}/")
        yield Releases(folder, tmp_path / "downloads.txt")
        server.shutdown()


def _archive(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            member.size = 0 if member.issym() else len(BINARY)
            tar.addfile(member, io.BytesIO(BINARY))
    return buffer.getvalue()


def _cache_is_empty(cache: Path) -> bool:
    return {path.suffix for path in cache.iterdir()} <= {".lock", ".json"}


def test_every_binary_is_downloaded_from_the_release_host_of_its_project(releases: Releases, cache: Path) -> None:
    os_name, arch = system()
    for name in NAMES:
        version, platform = component(name).version, f"{os_name}-{arch}"
        github = f"github.com/{'etcd-io/etcd' if name == 'etcd' else 'yannh/kubeconform'}/releases/download/v{version}"
        if name in ("helm", "helm-3"):
            archive = _archive(tarfile.TarInfo(f"{platform}/README.md"), tarfile.TarInfo(f"{platform}/helm"))
            releases.publish(f"get.helm.sh/helm-v{version}-{platform}.tar.gz", archive)
        elif name == "etcd":
            archive = _archive(tarfile.TarInfo(f"etcd-v{version}-{platform}/etcd"))
            releases.publish(f"{github}/etcd-v{version}-{platform}.tar.gz", archive)
        elif name == "kubeconform":
            archive = _archive(tarfile.TarInfo("LICENSE"), tarfile.TarInfo("kubeconform"))
            releases.publish(f"{github}/kubeconform-{platform}.tar.gz", archive)
        elif name == "helm-docs":
            archive = _archive(tarfile.TarInfo("LICENSE"), tarfile.TarInfo("helm-docs"))
            docs = f"github.com/norwoodj/helm-docs/releases/download/v{version}"
            file = f"helm-docs_{version}_{os_name.capitalize()}_{'x86_64' if arch == 'amd64' else arch}.tar.gz"
            releases.publish(f"{docs}/{file}", archive)
        else:
            releases.publish(f"dl.k8s.io/v{version}/bin/{os_name}/{arch}/{name}", BINARY)
    tools = [releases.download(name) for name in NAMES]
    assert {tool.origin for tool in tools} == {"downloaded"}
    assert {tool.path.read_bytes() for tool in tools} == {BINARY}
    assert all(tool.path.stat().st_mode & 0o111 for tool in tools)
    assert {path.name for path in cache.rglob("*") if path.is_file() and path.suffix not in (".lock", ".json")} == set(
        NAMES
    )


def test_a_downloaded_binary_is_not_downloaded_again(releases: Releases) -> None:
    releases.kubectl()
    first = releases.download("kubectl")
    (releases.folder / "dl.k8s.io").rename(releases.folder / "gone")
    assert releases.download("kubectl") == first


def test_a_file_with_another_digest_is_refused_with_both_digests(releases: Releases, cache: Path) -> None:
    releases.kubectl().write_bytes(b"something else")
    pinned, actual = hashlib.sha256(BINARY).hexdigest(), hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(ToolchainError, match=f"dl.k8s.io.*not the release.*{pinned}.*{actual}"):
        releases.download("kubectl")
    assert _cache_is_empty(cache)


def test_download_1_uses_the_digests_of_the_toolchain(
    releases: Releases, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases.kubectl()
    monkeypatch.setenv("DOWNLOAD", "1")
    with pytest.raises(ToolchainError, match=r"downloads\.txt"):
        provide(["kubectl"], progress=False)
    assert _cache_is_empty(cache)


def test_a_file_without_a_pinned_digest_is_refused_without_a_request(releases: Releases, cache: Path) -> None:
    releases.kubectl()
    releases.registry.write_text("")
    (releases.folder / "dl.k8s.io").rename(releases.folder / "gone")
    with pytest.raises(
        ToolchainError,
        match=r"does not pin a SHA-256 digest for dl\.k8s\.io/\S+.*Unset DOWNLOAD.*TEST_ASSET_KUBECTL",
    ):
        releases.download("kubectl")
    assert _cache_is_empty(cache)


def test_a_request_to_a_busy_server_is_retried(releases: Releases) -> None:
    releases.kubectl().with_name("busy").touch()
    assert releases.download("kubectl").path.read_bytes() == BINARY


def test_after_an_interrupted_download_the_error_has_the_byte_counts_and_no_file_is_left(
    releases: Releases, cache: Path
) -> None:
    releases.kubectl().with_name("cut").touch()
    with pytest.raises(ToolchainError, match=rf"100 bytes read, {len(BINARY) - 100} more expected.*Try again"):
        releases.download("kubectl")
    assert _cache_is_empty(cache)


def test_a_missing_release_is_an_error_with_a_remediation(releases: Releases, cache: Path) -> None:
    releases.kubectl().unlink()
    with pytest.raises(ToolchainError, match=r"the server returned 404.*unset DOWNLOAD"):
        releases.download("kubectl")
    assert _cache_is_empty(cache)


def test_a_link_in_an_archive_is_not_followed(releases: Releases, cache: Path) -> None:
    os_name, arch = system()
    member = tarfile.TarInfo(f"{os_name}-{arch}/helm")
    member.type, member.linkname = tarfile.SYMTYPE, "/bin/sh"
    version = component("helm").version
    releases.publish(f"get.helm.sh/helm-v{version}-{os_name}-{arch}.tar.gz", _archive(member))
    with pytest.raises(ToolchainError, match=f"does not contain the file {os_name}-{arch}/helm"):
        releases.download("helm")
    assert _cache_is_empty(cache)


def test_without_a_connection_the_error_says_to_check_the_network(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases.kubectl()
    monkeypatch.setenv(MIRROR, "http://127.0.0.1:1")
    with pytest.raises(ToolchainError, match="Check the network"):
        releases.download("kubectl")


@pytest.mark.parametrize("mirror", ["http://mirror.example", "ftp://127.0.0.1/x", "mirror.example", "file:///tmp"])
def test_a_mirror_without_https_is_refused_unless_it_is_a_loopback_address(
    mirror: str, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRROR, mirror)
    with pytest.raises(ToolchainError, match=r"AGENT_IDENTITIES_DOWNLOAD_MIRROR: .* is not https://"):
        releases.download("kubectl")


def test_a_mirror_url_with_a_password_is_refused_and_the_error_does_not_contain_the_password(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRROR, "https://me:hunter2@mirror.example")
    with pytest.raises(ToolchainError, match="user or password") as caught:
        releases.download("kubectl")
    assert "hunter2" not in str(caught.value)


def test_a_redirect_to_plain_http_on_another_host_is_refused(releases: Releases, cache: Path) -> None:
    releases.kubectl().with_name("moved").touch()
    with pytest.raises(ToolchainError, match=r"redirects: http://192\.0\.2\.1/kubectl is not https://"):
        releases.download("kubectl")
    assert _cache_is_empty(cache)


@pytest.fixture
def https(releases: Releases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The self-signed certificate of a server that serves the releases over HTTPS."""
    handler = partial(_Handler, directory=str(releases.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = _self_signed(tmp_path).wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv(MIRROR, f"https://localhost:{server.server_address[1]}")
        yield tmp_path / "server.pem"
        server.shutdown()


def test_a_certificate_that_the_system_does_not_trust_is_refused(releases: Releases, https: Path, cache: Path) -> None:
    releases.kubectl()
    with pytest.raises(ToolchainError, match=r"certificate is not trusted.*SSL_CERT_FILE"):
        releases.download("kubectl")
    assert _cache_is_empty(cache)


def test_a_certificate_in_ssl_cert_file_is_trusted(
    releases: Releases, https: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases.kubectl()
    monkeypatch.setenv("SSL_CERT_FILE", str(https))
    assert releases.download("kubectl").path.read_bytes() == BINARY


def test_every_pinned_digest_belongs_to_a_release_of_the_toolchain() -> None:
    lines = (toolchain_path() / REGISTRY).read_text().splitlines()
    pins = dict(line.split() for line in lines if not line.startswith("#"))
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in pins.values())
    known = {
        release(component(name, minor), "linux", arch)[0]
        for minor in kubernetes_minors()
        for name in NAMES
        for arch in ("amd64", "arm64")
    }
    assert pins.keys() <= known


def test_download_0_does_not_select_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {}
    for value in ("", "0", "false", "1", "true"):
        monkeypatch.setenv("DOWNLOAD", value)
        wanted[value] = download_wanted()
    assert wanted == {"": False, "0": False, "false": False, "1": True, "true": True}


def _self_signed(folder: Path) -> ssl.SSLContext:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context
