"""Download a binary from its project's official release, checked against the SHA-256 that the project publishes.

AGENT_IDENTITIES_DOWNLOAD_MIRROR names a mirror: a copy of the projects' files, each at the mirror's address, a slash,
and its original address without `https://`, as in MIRROR/dl.k8s.io/v1.36.4/bin/linux/amd64/kubectl.
"""

import gzip
import hashlib
import http.client
import ipaddress
import os
import re
import shutil
import ssl
import tarfile
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from agent_identities.errors import ToolchainError
from agent_identities.toolchain import cache
from agent_identities.toolchain.pinned import Component, Tool
from agent_identities.toolchain.progress import Display

MIRROR = "AGENT_IDENTITIES_DOWNLOAD_MIRROR"
"""The variable that names a mirror of the release hosts."""

_CAP = 500_000_000  # bytes: four times the largest binary, kube-apiserver
_SECONDS = 30.0  # without a byte
_CHUNK = 1 << 20
_OTHERWISE = "Try again, or build it: unset DOWNLOAD."


@dataclass(frozen=True, slots=True)
class _Release:
    """Addresses without `https://`. `member` is the binary's path in the archive, or "" where there is no archive."""

    file: str
    checksums: str
    member: str = ""


_KUBERNETES = _Release("dl.k8s.io/v{version}/bin/{os}/{arch}/{name}", "{file}.sha256")
_HELM = _Release("get.helm.sh/helm-v{version}-{os}-{arch}.tar.gz", "{file}.sha256sum", "{os}-{arch}/helm")
_RELEASES: Final[Mapping[str, _Release]] = {
    "helm": _HELM,
    "helm-3": _HELM,
    "kube-apiserver": _KUBERNETES,
    "kube-controller-manager": _KUBERNETES,
    "kubectl": _KUBERNETES,
    "etcd": _Release(
        "github.com/etcd-io/etcd/releases/download/v{version}/etcd-v{version}-{os}-{arch}.tar.gz",
        "github.com/etcd-io/etcd/releases/download/v{version}/SHA256SUMS",
        "etcd-v{version}-{os}-{arch}/etcd",
    ),
    "kubeconform": _Release(
        "github.com/yannh/kubeconform/releases/download/v{version}/kubeconform-{os}-{arch}.tar.gz",
        "github.com/yannh/kubeconform/releases/download/v{version}/CHECKSUMS",
        "kubeconform",
    ),
    "helm-docs": _Release(
        "github.com/norwoodj/helm-docs/releases/download/v{version}/helm-docs_{version}_{uname}.tar.gz",
        "github.com/norwoodj/helm-docs/releases/download/v{version}/checksums.txt",
        "helm-docs",
    ),
}


def download(component: Component, show: Display) -> Tool:
    """The official release of `component`, in the cache unless it is there already.

    Raises ToolchainError: it cannot be had whole, its checksum is another than the published one, or the disk is full.
    """
    binary = cache.downloaded(component)
    show.begin(component.title, "downloading the official release")
    with cache.filling(binary.parent, lambda: show.note("another process is downloading it: waiting")) as work:
        if work is not None:
            _fetch_and_check(component, work, work / binary.parent.name / binary.name, show)
    show.end("downloaded")
    return Tool(component.name, component.version, binary, "downloaded")


def _fetch_and_check(component: Component, work: Path, output: Path, show: Display) -> None:
    system, architecture = cache.system()
    names = {"name": component.name, "version": component.version, "os": system, "arch": architecture}
    names["uname"] = f"{system.capitalize()}_{'x86_64' if architecture == 'amd64' else architecture}"
    release = _RELEASES[component.name]
    names["file"] = release.file.format(**names)
    source, base = _Source(component.title), _base()
    with cache.writing(work, f"downloading {component.title}"):
        archive, sums = work / "download", work / "checksums"
        source.fetch(base + release.checksums.format(**names), sums, show)
        file = base + names["file"]
        wanted = _published(sums.read_text(encoding="utf-8", errors="replace"), file)
        actual = source.fetch(file, archive, show)
        if actual != wanted:
            raise ToolchainError(
                f"{file}: is not the file that {component.title} was released with: its SHA-256 is {actual}, the "
                f"published one {wanted}. It was thrown away. {_OTHERWISE}"
            )
        if release.member:
            _extract(archive, release.member.format(**names), output, file)
        else:
            archive.rename(output)
        cache.settle(output)


@dataclass(frozen=True, slots=True)
class _Source:
    """Fetches files over verified HTTPS; `title` says for which binary."""

    title: str

    def fetch(self, url: str, target: Path, show: Display) -> str:
        """Write what `url` serves to `target`, and return its SHA-256 in hexadecimal."""
        try:
            with _opener(url).open(url, timeout=_SECONDS) as response:
                return self._receive(response, url, target, show)
        except urllib.error.HTTPError as error:
            raise ToolchainError(f"{url}: the server answers {error.code} {error.reason}. {_OTHERWISE}") from error
        except urllib.error.URLError as error:
            raise self._unreachable(url, error.reason) from error
        except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
            raise self._unreachable(url, error) from error

    def _receive(self, response: http.client.HTTPResponse, url: str, target: Path, show: Display) -> str:
        length = response.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() else None
        digest, got = hashlib.sha256(), 0
        with target.open("wb") as file:
            while chunk := response.read(_CHUNK):
                got += len(chunk)
                if got > _CAP:
                    raise ToolchainError(
                        f"{url}: is over {cache.gigabytes(_CAP)}, which {self.title} is not. {_OTHERWISE}"
                    )
                digest.update(chunk)
                file.write(chunk)
                if size:
                    show.count(got >> 20, size >> 20, "MiB")
        if size is not None and got < size:  # read(n) ends quietly when the connection does
            raise ToolchainError(f"{url}: the connection was cut after {got} of {size} bytes. {_OTHERWISE}")
        return digest.hexdigest()

    def _unreachable(self, url: str, reason: object) -> ToolchainError:
        if isinstance(reason, ssl.SSLCertVerificationError):
            return ToolchainError(
                f"{url}: its certificate is not trusted: {reason.verify_message}. If your network has an authority of "
                "its own, name its certificates by SSL_CERT_FILE."
            )
        return ToolchainError(f"{url}: {reason or type(reason).__name__}. Is there a network? {_OTHERWISE}")


def _published(sums: str, file: str) -> str:
    """The SHA-256 for `file` in what sha256sum prints, or the only word there is, as dl.k8s.io has it."""
    name = file.rsplit("/", 1)[-1]
    lines = [line.split() for line in sums.splitlines() if line.strip()]
    for words in lines:
        alone = len(lines) == 1 and len(words) == 1
        named = len(words) == 2 and words[1].lstrip("*").rsplit("/", 1)[-1] == name
        if (alone or named) and re.fullmatch("[0-9a-fA-F]{64}", words[0]):
            return words[0].lower()
    raise ToolchainError(f"{file}: the published checksums do not name it, so it cannot be trusted. {_OTHERWISE}")


def _extract(archive: Path, member: str, output: Path, url: str) -> None:
    """Copy one file out of the archive; nothing else in it, no path and no link of it, is followed."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            content: IO[bytes] | None = None
            for each in tar:
                if each.name.removeprefix("./") == member and each.isfile() and each.size <= _CAP:
                    content = tar.extractfile(each)
                    break
            if content is None:
                raise ToolchainError(f"{url}: holds no {member}. {_OTHERWISE}")
            with content, output.open("wb") as file:
                shutil.copyfileobj(content, file, _CHUNK)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
        raise ToolchainError(f"{url}: not an archive that can be read: {error}. {_OTHERWISE}") from error


def _base() -> str:
    mirror = os.environ.get(MIRROR, "")
    if not mirror:
        return "https://"
    if "@" in urllib.parse.urlsplit(mirror).netloc:
        raise ToolchainError(f"{MIRROR}: an address with a user or password in it is not supported. Name one without.")
    _check_transport(mirror, MIRROR)
    return mirror.rstrip("/") + "/"


def _check_transport(url: str, place: str) -> None:
    """Only HTTPS, except to this machine itself."""
    parts = urllib.parse.urlsplit(url)
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))):
        return
    raise ToolchainError(f"{place}: {url} is not https://. Plain HTTP is for 127.0.0.1 and localhost only.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """The stock handler would follow a redirect from HTTPS to plain HTTP."""

    def redirect_request(  # its signature is urllib's
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _check_transport(newurl, f"{req.full_url} redirects")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_CheckedRedirects()]
    if _is_loopback(urllib.parse.urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))  # a proxy cannot reach this machine's loopback
    opener = urllib.request.build_opener(*handlers)
    opener.addheaders = [("User-Agent", "agent-identities")]
    return opener
