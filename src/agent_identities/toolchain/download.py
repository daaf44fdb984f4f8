"""Download a binary from the official release of its project. ci/toolchain/downloads.txt pins the SHA-256 digest.

AGENT_IDENTITIES_DOWNLOAD_MIRROR is the URL of a mirror. The mirror serves each file at its own URL, a slash, and the
original URL without `https://`. For example: MIRROR/dl.k8s.io/v1.36.4/bin/linux/amd64/kubectl.
"""

import ipaddress
import os
import shutil
import ssl
import tarfile
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pooch
import requests

from agent_identities.bundled import toolchain_path
from agent_identities.errors import ToolchainError
from agent_identities.toolchain import cache
from agent_identities.toolchain.pinned import Component, Tool
from agent_identities.toolchain.progress import Display

MIRROR: Final = "AGENT_IDENTITIES_DOWNLOAD_MIRROR"
"""The environment variable with the URL of a mirror of the release hosts."""

REGISTRY: Final = "downloads.txt"
"""The file in ci/toolchain with a line for each release file: its URL without `https://`, and its SHA-256 digest."""

_SECONDS = 30.0  # the longest time without data
_RETRIES = 2
_CHUNK = 1 << 20
_OTHERWISE = "Try again, or unset DOWNLOAD to build it."


@dataclass(frozen=True, slots=True)
class _Release:
    """`file` is a URL without `https://`. `member` is the path of the binary in the archive, "" without an archive."""

    file: str
    member: str = ""


_KUBERNETES = _Release("dl.k8s.io/v{version}/bin/{os}/{arch}/{name}")
_HELM = _Release("get.helm.sh/helm-v{version}-{os}-{arch}.tar.gz", "{os}-{arch}/helm")
_RELEASES: Final[Mapping[str, _Release]] = {
    "helm": _HELM,
    "helm-3": _HELM,
    "kube-apiserver": _KUBERNETES,
    "kube-controller-manager": _KUBERNETES,
    "kubectl": _KUBERNETES,
    "etcd": _Release(
        "github.com/etcd-io/etcd/releases/download/v{version}/etcd-v{version}-{os}-{arch}.tar.gz",
        "etcd-v{version}-{os}-{arch}/etcd",
    ),
    "kubeconform": _Release(
        "github.com/yannh/kubeconform/releases/download/v{version}/kubeconform-{os}-{arch}.tar.gz", "kubeconform"
    ),
    "helm-docs": _Release(
        "github.com/norwoodj/helm-docs/releases/download/v{version}/helm-docs_{version}_{uname}.tar.gz", "helm-docs"
    ),
}


def release(component: Component, system: str, architecture: str) -> tuple[str, str]:
    """The URL of the official release, without `https://`, and the path of the binary in the archive, if it is one.

    `system` and `architecture` are values of GOOS and GOARCH: "linux", "amd64".
    """
    names = {"name": component.name, "version": component.version, "os": system, "arch": architecture}
    names["uname"] = f"{system.capitalize()}_{'x86_64' if architecture == 'amd64' else architecture}"
    found = _RELEASES[component.name]
    return found.file.format(**names), found.member.format(**names)


def download(component: Component, show: Display, *, registry: Path | None = None) -> Tool:
    """Download the official release of `component` into the cache, unless the cache already contains it.

    `registry` is the file with the pinned digests. The default is the file in ci/toolchain.

    Raises ToolchainError: no digest is pinned for the release, the download fails, the digest is not the pinned
    digest, or the disk is full.
    """
    binary = cache.downloaded(component)
    show.begin(component.title, "downloading the official release")
    with cache.filling(binary.parent, lambda: show.note("waiting: another process is downloading it")) as work:
        if work is not None:
            fetched, member = _fetch(component, work, registry or toolchain_path() / REGISTRY, show)
            output = work / binary.parent.name / binary.name
            with cache.writing(work, f"unpacking {component.title}"):
                if member:
                    _extract(fetched, member, output)
                else:
                    fetched.rename(output)
                cache.settle(output)
    show.end("downloaded")
    return Tool(component.name, component.version, binary, "downloaded")


def _fetch(component: Component, work: Path, registry: Path, show: Display) -> tuple[Path, str]:
    """Download the release file into `work`. Returns its path and the path of the binary in it."""
    base, platform = base_address(), cache.system()
    file, member = release(component, *platform)
    pooch.get_logger().setLevel("ERROR")  # `show` displays the progress
    source = pooch.create(path=work, base_url=base, registry=None, retry_if_failed=_RETRIES)
    source.load_registry(registry)
    if file not in source.registry:
        raise ToolchainError(
            f"{component.title} for {'/'.join(platform)}: {registry.name} does not pin a SHA-256 digest for {file}, so "
            "DOWNLOAD=1 cannot verify it. Unset DOWNLOAD to build it, or set "
            f"TEST_ASSET_{component.name.upper().replace('-', '_')} to the path of a binary."
        )
    http = pooch.HTTPDownloader(progressbar=_Bar(show), chunk_size=_CHUNK, **request_options(base))
    with cache.writing(work, f"downloading {component.title}"):
        try:
            return Path(source.fetch(file, downloader=http)), member
        except ValueError as error:  # pooch compares the digest before it renames the file
            raise ToolchainError(f"{base}{file}: not the release that is pinned in {registry.name}. {error}") from error
        except requests.RequestException as error:
            raise unreachable(base + file, error) from error


class _Bar:
    """A progress bar for pooch that forwards to `Display`."""

    def __init__(self, show: Display) -> None:
        self._show, self._total, self._done = show, 0, 0

    @property
    def total(self) -> int:
        return self._total

    @total.setter
    def total(self, size: int) -> None:
        self._total, self._done = size, 0

    def update(self, size: int) -> None:
        self._done = min(self._done + size, self._total)
        if self._total:
            self._show.count(self._done >> 20, self._total >> 20, "MiB")

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


def _extract(archive: Path, member: str, output: Path) -> None:
    """Extract one file of the archive."""
    with tarfile.open(archive, "r:gz") as tar:
        try:
            content = tar.extractfile(member)
        except KeyError:
            content = None
        if content is None:
            raise ToolchainError(f"{archive.name}: does not contain the file {member}. {_OTHERWISE}")
        with content, output.open("wb") as file:
            shutil.copyfileobj(content, file, _CHUNK)


def base_address() -> str:
    """The prefix of the URL of a release file: `https://`, or the URL of the mirror.

    Raises ToolchainError: the URL of the mirror contains a password, or is not HTTPS.
    """
    mirror = os.environ.get(MIRROR, "")
    if not mirror:
        return "https://"
    if "@" in urllib.parse.urlsplit(mirror).netloc:
        raise ToolchainError(f"{MIRROR}: a URL with a user or password is not supported. Remove them from the URL.")
    _check_transport(mirror, MIRROR)
    return mirror.rstrip("/") + "/"


def request_options(base: str) -> dict[str, Any]:
    """Options for `requests.get`: the certificates of the system or SSL_CERT_FILE, HTTPS only, errors for HTTP 4xx."""
    paths = ssl.get_default_verify_paths()
    host = urllib.parse.urlsplit(base).hostname or ""
    return {
        "timeout": _SECONDS,
        "verify": paths.cafile or paths.capath or True,
        "headers": {"User-Agent": "agent-identities", "Accept-Encoding": "identity"},
        "hooks": {"response": _check_response},
        "proxies": {"no_proxy": host} if _is_loopback(host) else None,  # a proxy cannot reach the local loopback
    }


def unreachable(url: str, error: requests.RequestException) -> ToolchainError:
    """The error for a failed download, with the cause that requests has wrapped."""
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ToolchainError(
            f"{url}: its certificate is not trusted: {cause.verify_message}. If your network has its own certificate "
            "authority, set SSL_CERT_FILE to its certificates."
        )
    return ToolchainError(f"{url}: {cause}. Check the network connection. {_OTHERWISE}")


def _check_response(response: requests.Response, *_arguments: object, **_options: object) -> None:
    if response.is_redirect:
        target = urllib.parse.urljoin(response.url, response.headers["location"])
        _check_transport(target, f"{response.url} redirects")
    elif 400 <= response.status_code < 500:
        raise ToolchainError(
            f"{response.url}: the server returned {response.status_code} {response.reason}. {_OTHERWISE}"
        )


def _check_transport(url: str, origin: str) -> None:
    """Raise ToolchainError if the URL is not HTTPS, except for loopback addresses."""
    parts = urllib.parse.urlsplit(url)
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))):
        return
    raise ToolchainError(f"{origin}: {url} is not https://. Plain HTTP is permitted for 127.0.0.1 and localhost only.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
