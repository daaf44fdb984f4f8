"""The user's cache: where built and downloaded binaries are kept, each filled once and never half."""

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
"""Flags of every build. No path of the machine and no state of a checkout gets into a binary."""

VARIABLE = "AGENT_IDENTITIES_CACHE"
"""The variable that moves the cache."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def root() -> Path:
    """The toolchain's folder in the user's cache; it need not exist yet."""
    chosen = os.environ.get(VARIABLE)
    return (Path(chosen) if chosen else platformdirs.user_cache_path("agent-identities")).absolute() / "toolchain"


def system() -> tuple[str, str]:
    """Operating system and architecture in Go's words: ("linux", "amd64")."""
    machine = platform.machine()
    return platform.system().lower(), _ARCHITECTURES.get(machine, machine)


def built(component: Component, go_version: str) -> Path:
    """Where the binary stands once it is built; the name holds a hash of everything that goes into it."""
    digest = hashlib.sha256()
    for part in ("go.mod", "go.sum"):
        digest.update((component.folder / part).read_bytes())
    for source in sorted(component.folder.glob("*.go")):  # where the program is our own
        if source.name.endswith("_test.go"):
            continue
        digest.update(b"\0" + source.name.encode() + b"\0" + source.read_bytes())
    go_minor = ".".join(go_version.split(".")[:2])
    for text in (component.package, *BUILD_FLAGS, component.ldflags, go_minor, *system()):
        digest.update(b"\0" + text.encode())
    return root() / f"{component.name}-{component.version}-{digest.hexdigest()[:12]}" / component.name


def downloaded(component: Component) -> Path:
    """Where the official release's binary stands once it is downloaded."""
    return root() / f"{component.name}-{component.version}-release-{'-'.join(system())}" / component.name


@contextmanager
def filling(entry: Path, waiting: Callable[[], None]) -> Iterator[Path | None]:
    """Make the folder `entry` once, whoever else wants it at the same time.

    Yields a folder to work in. The empty folder called `entry.name` in it becomes `entry` if the block ends well;
    everything else in it is removed however the block ends. Yields None if `entry` is already there, if need be after
    another process made it; `waiting` is called once when another process is at it.
    """
    import filelock  # here, since it costs 30 ms that a warm start does not need

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
        _remove(work)  # of a run that was killed
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
    """Turn a refused or full disk into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full(folder, doing) from error
        raise ToolchainError(
            f"{error.filename or folder}: {error.strerror or error} while {doing}. "
            f"Put the cache in a folder of your own: {VARIABLE}=/path/to/folder."
        ) from error


def disk_full(folder: Path, doing: str, needed: int | None = None) -> ToolchainError:
    """The error for a full disk; `needed` is in bytes."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    wanted = f"about {gigabytes(needed)} are needed" if needed else "building everything from nothing takes about 6 GB"
    return ToolchainError(
        f"{folder}: the disk is too full, or a quota or a limit too low, for {doing}: "
        f"{gigabytes(shutil.disk_usage(there).free)} free, {wanted}. Free some space, raise the quota or `ulimit -f`, "
        f"or put the caches elsewhere: {VARIABLE} for the binaries, GOCACHE and GOMODCACHE for what Go keeps."
    )


def settle(binary: Path) -> None:
    """Make `binary` executable, and safe against a power cut before anything points to it."""
    binary.chmod(0o755)
    with binary.open("rb") as file:
        os.fsync(file.fileno())


def gigabytes(size: int) -> str:
    """`size` bytes for people, with one decimal."""
    return f"{size / 1e9:.1f} GB"


def _remove(folder: Path) -> None:
    """Remove `folder`; a Go process that is just being killed may still write into it for a moment."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)
