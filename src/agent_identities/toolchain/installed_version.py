"""The version that a binary prints. The result is cached until the file changes."""

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent_identities.errors import ToolchainError
from agent_identities.toolchain import cache

_SECONDS = 20.0
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "helm": ("version", "--template={{.Version}}"),
    "helm-4": ("version", "--template={{.Version}}"),
    "helm-3": ("version", "--template={{.Version}}"),
    "kube-apiserver": ("--version",),
    "kube-controller-manager": ("--version",),
    "kubectl": ("version", "--client"),
    "etcd": ("--version",),
    "kubeconform": ("-v",),
    "helm-docs": ("--version",),
    "go": ("env", "GOVERSION"),
}


def on_path(name: str) -> list[Path]:
    """Every executable called `name` on PATH, in the order of PATH. Relative entries are skipped, as in Go."""
    folders = (Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep))
    candidates = (folder / name for folder in folders if folder.is_absolute())
    unique: dict[Path, Path] = {}  # by resolved path: /bin and /usr/bin are often the same folder
    for path in candidates:
        if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113 # no error where PATH is not readable
            unique.setdefault(path.resolve(), path)
    return list(unique.values())


def printed_version(name: str, path: Path) -> str:
    """The output of the binary at `path` for the version command of `name`.

    Raises ToolchainError: the binary does not start, fails, or times out. The message does not contain the path.
    """
    cached = _read()
    try:
        fingerprint = _fingerprint(path)
    except OSError as error:
        raise ToolchainError(f"cannot be read: {error.strerror}") from error
    key = f"{name} {path}"
    entry = cached.get(key)
    if isinstance(entry, dict) and entry.get("mark") == fingerprint and isinstance(entry.get("printed"), str):
        return str(entry["printed"])
    printed = _run(name, path)
    if not _is_script(path):  # the version behind a shim can change without a change of the shim
        _write({**cached, key: {"mark": fingerprint, "printed": printed}})
    return printed


def _run(name: str, path: Path) -> str:
    try:
        done = subprocess.run(
            [path, *_ARGUMENTS[name]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            cwd="/",
            env={**os.environ, "GOTOOLCHAIN": "local", "GO111MODULE": "on", "GOWORK": "off"},
        )
    except subprocess.TimeoutExpired as error:
        raise ToolchainError(f"does not print its version within {_SECONDS:.0f} s") from error
    except OSError as error:
        raise ToolchainError(f"does not start: {error.strerror}") from error
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise ToolchainError(f"its version command fails with exit code {done.returncode}: {last[:200]}")
    return done.stdout.strip()[:500]


def _fingerprint(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_mtime_ns, stat.st_size, stat.st_ino]


def _is_script(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def _read() -> dict[str, Any]:
    try:
        cached = json.loads((cache.root() / "probed.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cached if isinstance(cached, dict) else {}


def _write(cached: Mapping[str, Any]) -> None:
    """Write the cache file. A write error is ignored: the version commands then run again."""
    with contextlib.suppress(OSError):
        cache.root().mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=cache.root(), prefix=".probed")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(cached, file)
            Path(name).replace(cache.root() / "probed.json")
        finally:
            Path(name).unlink(missing_ok=True)
