"""The user's cache of built and downloaded binaries. An entry is created once and atomically."""

import errno
import hashlib
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from agent_identities.errors import ToolchainError
from agent_identities.toolchain.pinned import Component

BUILD_FLAGS = ("-trimpath", "-mod=readonly", "-buildvcs=false")
"""The flags of every build. A binary contains no path of the machine and no state of a checkout."""

VARIABLE = "AGENT_IDENTITIES_CACHE"
"""The environment variable with the folder of the cache."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def root() -> Path:
    """The folder of the toolchain in the user's cache. It does not have to exist."""
    chosen = os.environ.get(VARIABLE)
    try:
        return (Path(chosen) if chosen else platformdirs.user_cache_path("agent-identities")).absolute() / "toolchain"
    except RuntimeError:
        raise ToolchainError(f"HOME is not set. Set it, or set {VARIABLE} to a folder for the toolchain.") from None


def system() -> tuple[str, str]:
    """The operating system and the architecture, as GOOS and GOARCH: ("linux", "amd64")."""
    machine = platform.machine()
    return platform.system().lower(), _ARCHITECTURES.get(machine, machine)


def built(component: Component, go_version: str) -> Path:
    """The path of the built binary. The name of its folder contains a hash of all inputs of the build."""
    digest = hashlib.sha256()
    for part in ("go.mod", "go.sum"):
        digest.update((component.folder / part).read_bytes())
    for source in sorted(component.folder.glob("*.go")):  # the source of a program of this project
        if source.name.endswith("_test.go"):
            continue
        digest.update(b"\0" + source.name.encode() + b"\0" + source.read_bytes())
    go_minor = ".".join(go_version.split(".")[:2])
    for text in (component.package, *BUILD_FLAGS, component.ldflags, go_minor, *system()):
        digest.update(b"\0" + text.encode())
    return root() / f"{component.name}-{component.version}-{digest.hexdigest()[:12]}" / component.name


def downloaded(component: Component) -> Path:
    """The path of the downloaded binary of the official release."""
    return root() / f"{component.name}-{component.version}-release-{'-'.join(system())}" / component.name


@contextmanager
def filling(entry: Path, waiting: Callable[[], None]) -> Iterator[Path | None]:
    """Create the folder `entry` once, even if several processes need it at the same time.

    Yields a working folder that contains an empty folder called `entry.name`. If the block succeeds, that folder
    becomes `entry`. Everything else in the working folder is deleted in any case. Yields None if `entry` exists. If
    another process is creating it, `waiting` is called once, and this function waits for that process.
    """
    import filelock  # imported here: the import takes 30 ms, and is not needed if every binary is in the cache

    with writing(entry.parent, "keeping the toolchain"):
        entry.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(entry.parent / f".{entry.name}.lock")
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            waiting()
            lock.acquire()
    try:
        if entry.is_dir():
            yield None
            return
        work = entry.parent / f".{entry.name}.partial"
        _remove(work)  # the files of a killed run
        try:
            with writing(entry.parent, f"preparing {entry.name}"):
                (work / entry.name).mkdir(parents=True)
            yield work
            with writing(entry.parent, f"keeping {entry.name}"):
                (work / entry.name).rename(entry)
        finally:
            _remove(work)
    finally:
        lock.release()


@contextmanager
def writing(folder: Path, doing: str) -> Iterator[None]:
    """Convert a write error into a ToolchainError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full(folder, doing) from error
        raise ToolchainError(
            f"{error.filename or folder}: {error.strerror or error} while {doing}. "
            f"Use a cache folder that you can write to: {VARIABLE}=/path/to/folder."
        ) from error


def disk_full(folder: Path, doing: str, needed: int | None = None) -> ToolchainError:
    """The error for a full disk. `needed` is in bytes."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    required = f"about {gigabytes(needed)} required" if needed else "a build of all binaries takes about 6 GB"
    return ToolchainError(
        f"{folder}: the disk is too full, or a quota or a limit too low, for {doing}: "
        f"{gigabytes(shutil.disk_usage(existing).free)} free, {required}. Free some space, raise the quota or "
        f"`ulimit -f`, or move the caches: set {VARIABLE} for the binaries, GOCACHE and GOMODCACHE for Go's caches."
    )


def settle(binary: Path) -> None:
    """Make `binary` executable and flush it to the disk."""
    binary.chmod(0o755)
    with binary.open("rb") as file:
        os.fsync(file.fileno())


def gigabytes(size: int) -> str:
    """`size` bytes in GB, with one decimal."""
    return f"{size / 1e9:.1f} GB"


def _remove(folder: Path) -> None:
    """Delete `folder`. Retries, because a Go process that is being killed can still write into it."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)
