"""Official releases from a server with the layout of the real ones: whole and as published, or not at all."""

import datetime
import hashlib
import io
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

from agent_identities.toolchain import NAMES, ToolchainError, component, download_wanted, provide
from agent_identities.toolchain.cache import system

BINARY = b"#!/bin/sh\necho a release\n" * 1000


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        """A file called `cut` or `moved` beside the one that is asked for makes the server behave so."""
        asked = Path(self.translate_path(self.path))
        if asked.suffix.startswith(".sha256"):
            super().do_GET()
        elif asked.with_name("moved").exists():
            self.send_response(302)
            self.send_header("Location", "http://192.0.2.1/kubectl")
            self.end_headers()
        elif asked.with_name("cut").exists():
            self.send_response(200)
            self.send_header("Content-Length", str(len(BINARY)))
            self.end_headers()
            self.wfile.write(BINARY[:100])
        else:
            super().do_GET()


@dataclass(frozen=True, slots=True)
class Releases:
    """The files that the server serves, below the names of the hosts they stand for."""

    folder: Path

    def publish(self, path: str, content: bytes, sums: str = "", *, only_the_sum: bool = False) -> Path:
        """Put a file there with its checksum, beside it in a file that ends in `sums` or is called so."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        beside = file.with_name(file.name + sums) if sums.startswith(".") else file.with_name(sums)
        beside.write_text(digest if only_the_sum else f"{'0' * 64}  another-file\n{digest}  {file.name}\n")
        return file

    def kubectl(self) -> Path:
        os_name, arch = system()
        path = f"dl.k8s.io/v{component('kubectl').version}/bin/{os_name}/{arch}/kubectl"
        return self.publish(path, BINARY, ".sha256", only_the_sum=True)


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Releases]:
    folder = tmp_path / "releases"
    folder.mkdir()
    monkeypatch.setenv("DOWNLOAD", "1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("AGENT_IDENTITIES_DOWNLOAD_MIRROR", f"http://127.0.0.1:{server.server_address[1]}/")
        yield Releases(folder)
        server.shutdown()


def _archive(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            member.size = 0 if member.issym() else len(BINARY)
            tar.addfile(member, io.BytesIO(BINARY))
    return buffer.getvalue()


def _nothing_is_left(cache: Path) -> bool:
    return {path.suffix for path in cache.iterdir()} <= {".lock", ".json"}


def test_every_binary_comes_from_where_its_project_publishes_it(releases: Releases, cache: Path) -> None:
    os_name, arch = system()
    for name in NAMES:
        version, platform = component(name).version, f"{os_name}-{arch}"
        github = f"github.com/{'etcd-io/etcd' if name == 'etcd' else 'yannh/kubeconform'}/releases/download/v{version}"
        if name in ("helm", "helm-3"):
            archive = _archive(tarfile.TarInfo(f"{platform}/README.md"), tarfile.TarInfo(f"{platform}/helm"))
            releases.publish(f"get.helm.sh/helm-v{version}-{platform}.tar.gz", archive, ".sha256sum")
        elif name == "etcd":
            archive = _archive(tarfile.TarInfo(f"etcd-v{version}-{platform}/etcd"))
            releases.publish(f"{github}/etcd-v{version}-{platform}.tar.gz", archive, "SHA256SUMS")
        elif name == "kubeconform":
            archive = _archive(tarfile.TarInfo("LICENSE"), tarfile.TarInfo("kubeconform"))
            releases.publish(f"{github}/kubeconform-{platform}.tar.gz", archive, "CHECKSUMS")
        elif name == "helm-docs":
            archive = _archive(tarfile.TarInfo("LICENSE"), tarfile.TarInfo("helm-docs"))
            docs = f"github.com/norwoodj/helm-docs/releases/download/v{version}"
            file = f"helm-docs_{version}_{os_name.capitalize()}_{'x86_64' if arch == 'amd64' else arch}.tar.gz"
            releases.publish(f"{docs}/{file}", archive, "checksums.txt")
        else:
            path = f"dl.k8s.io/v{version}/bin/{os_name}/{arch}/{name}"
            releases.publish(path, BINARY, ".sha256", only_the_sum=True)
    tools = provide(NAMES, progress=False)
    assert {tool.origin for tool in tools.values()} == {"downloaded"}
    assert {tool.path.read_bytes() for tool in tools.values()} == {BINARY}
    assert all(tool.path.stat().st_mode & 0o111 for tool in tools.values())
    assert {path.name for path in cache.rglob("*") if path.is_file() and path.suffix not in (".lock", ".json")} == set(
        NAMES
    )


def test_a_downloaded_binary_is_not_downloaded_again(releases: Releases) -> None:
    releases.kubectl()
    first = provide(["kubectl"], progress=False)
    (releases.folder / "dl.k8s.io").rename(releases.folder / "gone")
    assert provide(["kubectl"], progress=False) == first


def test_a_file_that_is_not_what_was_published_is_thrown_away_and_both_sums_are_shown(
    releases: Releases, cache: Path
) -> None:
    releases.kubectl().write_bytes(b"something else")
    wanted, actual = hashlib.sha256(BINARY).hexdigest(), hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(ToolchainError, match=f"dl.k8s.io.*{actual}.*{wanted}.*thrown away"):
        provide(["kubectl"], progress=False)
    assert _nothing_is_left(cache)


def test_a_connection_that_is_cut_says_how_much_came_and_leaves_nothing(releases: Releases, cache: Path) -> None:
    releases.kubectl().with_name("cut").touch()
    with pytest.raises(ToolchainError, match=rf"cut after 100 of {len(BINARY)} bytes\. Try again"):
        provide(["kubectl"], progress=False)
    assert _nothing_is_left(cache)


def test_a_release_that_is_not_there_says_so_and_how_to_do_without(releases: Releases, cache: Path) -> None:
    with pytest.raises(ToolchainError, match=r"the server answers 404.*unset DOWNLOAD"):
        provide(["kubectl"], progress=False)
    assert _nothing_is_left(cache)


def test_checksums_that_do_not_name_the_file_are_no_checksums(releases: Releases) -> None:
    file = releases.kubectl()
    file.with_name("kubectl.sha256").write_text(f"{hashlib.sha256(BINARY).hexdigest()}  another-file\n")
    with pytest.raises(ToolchainError, match="checksums do not name it"):
        provide(["kubectl"], progress=False)


def test_a_link_in_an_archive_is_not_followed(releases: Releases, cache: Path) -> None:
    os_name, arch = system()
    member = tarfile.TarInfo(f"{os_name}-{arch}/helm")
    member.type, member.linkname = tarfile.SYMTYPE, "/bin/sh"
    version = component("helm").version
    releases.publish(f"get.helm.sh/helm-v{version}-{os_name}-{arch}.tar.gz", _archive(member), ".sha256sum")
    with pytest.raises(ToolchainError, match=f"holds no {os_name}-{arch}/helm"):
        provide(["helm"], progress=False)
    assert _nothing_is_left(cache)


def test_nobody_on_the_network_answers(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_IDENTITIES_DOWNLOAD_MIRROR", "http://127.0.0.1:1")
    with pytest.raises(ToolchainError, match="Is there a network"):
        provide(["kubectl"], progress=False)


@pytest.mark.parametrize("mirror", ["http://mirror.example", "ftp://127.0.0.1/x", "mirror.example", "file:///tmp"])
def test_a_mirror_without_https_is_refused_unless_it_is_this_machine(
    mirror: str, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_IDENTITIES_DOWNLOAD_MIRROR", mirror)
    with pytest.raises(ToolchainError, match=r"AGENT_IDENTITIES_DOWNLOAD_MIRROR: .* is not https://"):
        provide(["kubectl"], progress=False)


def test_a_password_in_a_mirrors_address_is_refused_and_not_repeated(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_IDENTITIES_DOWNLOAD_MIRROR", "https://me:hunter2@mirror.example")
    with pytest.raises(ToolchainError, match="user or password") as caught:
        provide(["kubectl"], progress=False)
    assert "hunter2" not in str(caught.value)


def test_a_redirect_to_plain_http_elsewhere_is_refused(releases: Releases, cache: Path) -> None:
    releases.kubectl().with_name("moved").touch()
    with pytest.raises(ToolchainError, match=r"redirects: http://192\.0\.2\.1/kubectl is not https://"):
        provide(["kubectl"], progress=False)
    assert _nothing_is_left(cache)


def test_a_certificate_that_nobody_vouches_for_is_refused(
    releases: Releases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    releases.kubectl()
    handler = partial(_Handler, directory=str(releases.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = _self_signed(tmp_path).wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("AGENT_IDENTITIES_DOWNLOAD_MIRROR", f"https://localhost:{server.server_address[1]}")
        with pytest.raises(ToolchainError, match=r"certificate is not trusted.*SSL_CERT_FILE"):
            provide(["kubectl"], progress=False)
        server.shutdown()


def test_download_0_is_no_wish_to_download(monkeypatch: pytest.MonkeyPatch) -> None:
    wishes = {}
    for value in ("", "0", "false", "1", "true"):
        monkeypatch.setenv("DOWNLOAD", value)
        wishes[value] = download_wanted()
    assert wishes == {"": False, "0": False, "false": False, "1": True, "true": True}


def _self_signed(folder: Path) -> ssl.SSLContext:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context
