"""Pin the SHA-256 of the official releases in downloads.txt: `.venv/bin/python ci/toolchain/pin_downloads.py`.

It needs a network that reaches the projects' release hosts. The releases are those of the versions in */go.mod, for
Linux on amd64 and arm64. A digest that is pinned already is compared with the published one and never replaced: if a
release has another digest now, nothing is written, and the exit status is 2, as for every error.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pooch
import requests

from agent_identities.errors import AgentIdentitiesError, ToolchainError
from agent_identities.toolchain import NAMES, component, kubernetes_minors
from agent_identities.toolchain.download import REGISTRY, base_address, release, request_options, unreachable

PLATFORMS = (("linux", "amd64"), ("linux", "arm64"))
_HEADER = """\
# The SHA-256 of each official release that DOWNLOAD=1 may take; a file that is not listed is not downloaded.
# Written by pin_downloads.py.
"""
# Where the digest of a release file is published: a suffix of its address, or a file beside it.
_PUBLISHED = {
    "helm": ".sha256sum",
    "helm-3": ".sha256sum",
    "kube-apiserver": ".sha256",
    "kube-controller-manager": ".sha256",
    "kubectl": ".sha256",
    "etcd": "SHA256SUMS",
    "kubeconform": "CHECKSUMS",
    "helm-docs": "checksums.txt",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--registry", type=Path, default=Path(__file__).with_name(REGISTRY), help="another downloads.txt"
    )
    registry = parser.parse_args().registry
    try:
        known = pinned(registry)
        wanted = {file: published(file, sums) for file, sums in dict(releases()).items()}
    except AgentIdentitiesError as error:
        print(f"pin_downloads.py: {error}", file=sys.stderr)
        return 2
    changed = [file for file in wanted if known.get(file, wanted[file]) != wanted[file]]
    for file in changed:
        print(
            f"pin_downloads.py: {file}: published as {wanted[file]}, pinned as {known[file]}. Nothing is written.",
            file=sys.stderr,
        )
    if changed:
        return 2
    registry.write_text(_HEADER + "".join(f"{file} {digest}\n" for file, digest in sorted(wanted.items())))
    print(f"{registry}: {len(wanted)} files, {len(wanted.keys() - known.keys())} new")
    return 0


def releases() -> Iterator[tuple[str, str]]:
    """The address of every release file, and that of its published digest, without `https://`."""
    for minor in kubernetes_minors():
        for name in NAMES:
            for platform in PLATFORMS:
                file, _ = release(component(name, minor), *platform)
                beside = _PUBLISHED[name]
                yield file, file + beside if beside.startswith(".") else f"{file.rsplit('/', 1)[0]}/{beside}"


def pinned(registry: Path) -> dict[str, str]:
    """The digests in `registry`, by address."""
    source = pooch.create(path=registry.parent, base_url="", registry=None)
    source.load_registry(registry)
    return dict(source.registry)


def published(file: str, sums: str) -> str:
    """The SHA-256 for `file` in what sha256sum wrote to `sums`; on dl.k8s.io it is the only word."""
    base = base_address()
    try:
        answer = requests.get(base + sums, **request_options(base))
        answer.raise_for_status()
    except requests.RequestException as error:
        raise unreachable(base + sums, error) from error
    name = re.escape(file.rsplit("/", 1)[-1])
    found = re.search(rf"^([0-9a-f]{{64}})\s+\*?(?:\S*/)?{name}$", answer.text, re.M) or re.fullmatch(
        r"([0-9a-f]{64})\s*", answer.text
    )
    if not found:
        raise ToolchainError(f"{base}{sums}: has no SHA-256 for {file}.")
    return found[1]


if __name__ == "__main__":
    sys.exit(main())
