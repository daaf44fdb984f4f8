"""Download a binary from its project's official release; ci/toolchain/downloads.txt pins its SHA-256.

AGENT_IDENTITIES_DOWNLOAD_MIRROR names a mirror: a copy of the projects' files, each at the mirror's address, a slash,
and its original address without `https://`, as in MIRROR/dl.k8s.io/v1.36.4/bin/linux/amd64/kubectl.
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
"""The variable that names a mirror of the release hosts."""

REGISTRY: Final = "downloads.txt"
"""The file in ci/toolchain with a line for each release file: its address without `https://`, and its SHA-256."""

_SECONDS = 30.0  # without a byte
_RETRIES = 2
_CHUNK = 1 << 20
_OTHERWISE = "Try again, or build it: unset DOWNLOAD."


@dataclass(frozen=True, slots=True)
class _Release:
    """`file` is an address without `https://`. `member` is the binary's path in the archive, "" if there is none."""

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
    """The address of the official release, without `https://`, and the binary's path in it if it is an archive.

    `system` and `architecture` are in Go's words: "linux", "amd64".
    """
    names = {"name": component.name, "version": component.version, "os": system, "arch": architecture}
    names["uname"] = f"{system.capitalize()}_{'x86_64' if architecture == 'amd64' else architecture}"
    found = _RELEASES[component.name]
    return found.file.format(**names), found.member.format(**names)


def download(component: Component, show: Display, *, registry: Path | None = None) -> Tool:
    """The official release of `component`, in the cache unless it is there already.

    `registry` has the pinned digests: by default that of ci/toolchain.

    Raises ToolchainError: no digest is pinned for it, it cannot be downloaded, its digest is not the pinned one, or the
    disk is full.
    """
    binary = cache.downloaded(component)
    show.begin(component.title, "downloading the official release")
    with cache.filling(binary.parent, lambda: show.note("another process is downloading it: waiting")) as work:
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
    """The release file, in `work`, and the path of the binary in it."""
    base, platform = base_address(), cache.system()
    file, member = release(component, *platform)
    pooch.get_logger().setLevel("ERROR")  # `show` has the progress
    source = pooch.create(path=work, base_url=base, registry=None, retry_if_failed=_RETRIES)
    source.load_registry(registry)
    if file not in source.registry:
        raise ToolchainError(
            f"{component.title} for {'/'.join(platform)}: {registry.name} pins no SHA-256 for {file}, so DOWNLOAD=1 "
            "cannot verify it. Build it: unset DOWNLOAD. Or name a binary of your own by "
            f"TEST_ASSET_{component.name.upper().replace('-', '_')}."
        )
    http = pooch.HTTPDownloader(progressbar=_Bar(show), chunk_size=_CHUNK, **request_options(base))
    with cache.writing(work, f"downloading {component.title}"):
        try:
            return Path(source.fetch(file, downloader=http)), member
        except ValueError as error:  # pooch compares the digest before the file gets its name
            raise ToolchainError(f"{base}{file}: not the release that {registry.name} pins. {error}") from error
        except requests.RequestException as error:
            raise unreachable(base + file, error) from error


class _Bar:
    """What pooch reports of a download, for `Display`."""

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
    """Copy one file out of the archive."""
    with tarfile.open(archive, "r:gz") as tar:
        try:
            content = tar.extractfile(member)
        except KeyError:
            content = None
        if content is None:
            raise ToolchainError(f"{archive.name}: has no file {member}. {_OTHERWISE}")
        with content, output.open("wb") as file:
            shutil.copyfileobj(content, file, _CHUNK)


def base_address() -> str:
    """What stands before the address of a release file: `https://`, or the mirror.

    Raises ToolchainError: the mirror's address has a password, or is not HTTPS.
    """
    mirror = os.environ.get(MIRROR, "")
    if not mirror:
        return "https://"
    if "@" in urllib.parse.urlsplit(mirror).netloc:
        raise ToolchainError(f"{MIRROR}: an address with a user or password in it is not supported. Name one without.")
    _check_transport(mirror, MIRROR)
    return mirror.rstrip("/") + "/"


def request_options(base: str) -> dict[str, Any]:
    """Options for `requests.get`: the system's certificates or SSL_CERT_FILE, HTTPS only, no answer but the file."""
    paths = ssl.get_default_verify_paths()
    host = urllib.parse.urlsplit(base).hostname or ""
    return {
        "timeout": _SECONDS,
        "verify": paths.cafile or paths.capath or True,
        "headers": {"User-Agent": "agent-identities", "Accept-Encoding": "identity"},
        "hooks": {"response": _check_response},
        "proxies": {"no_proxy": host} if _is_loopback(host) else None,  # a proxy cannot reach this machine's loopback
    }


def unreachable(url: str, error: requests.RequestException) -> ToolchainError:
    """The error for a download that did not end, with the cause that requests has wrapped."""
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ToolchainError(
            f"{url}: its certificate is not trusted: {cause.verify_message}. If your network has an authority of "
            "its own, name its certificates by SSL_CERT_FILE."
        )
    return ToolchainError(f"{url}: {cause}. Is there a network? {_OTHERWISE}")


def _check_response(response: requests.Response, *_arguments: object, **_options: object) -> None:
    if response.is_redirect:
        target = urllib.parse.urljoin(response.url, response.headers["location"])
        _check_transport(target, f"{response.url} redirects")
    elif 400 <= response.status_code < 500:
        raise ToolchainError(
            f"{response.url}: the server answers {response.status_code} {response.reason}. {_OTHERWISE}"
        )


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
