"""Ask a binary for its version, once: the answer is kept as long as the file stays the same."""

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
    """Every executable called `name` on PATH, in its order; relative entries are passed over, as Go does."""
    folders = (Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep))
    candidates = (folder / name for folder in folders if folder.is_absolute())
    once: dict[Path, Path] = {}  # by what it really is: /bin and /usr/bin are often the same folder
    for path in candidates:
        if path.is_file() and os.access(path, os.X_OK):
            once.setdefault(path.resolve(), path)
    return list(once.values())


def printed_version(name: str, path: Path) -> str:
    """What the binary at `path` prints when it is asked for its version as `name` is asked.

    Raises ToolchainError: it does not start, fails, or gives no answer; its text is the reason alone, without the path.
    """
    known = _read()
    try:
        mark = _mark(path)
    except OSError as error:
        raise ToolchainError(f"cannot be read: {error.strerror}") from error
    key = f"{name} {path}"
    kept = known.get(key)
    if isinstance(kept, dict) and kept.get("mark") == mark and isinstance(kept.get("printed"), str):
        return str(kept["printed"])
    printed = _ask(name, path)
    if not _is_script(path):  # the version behind a shim changes while the shim stays the same
        _write({**known, key: {"mark": mark, "printed": printed}})
    return printed


def _ask(name: str, path: Path) -> str:
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
        raise ToolchainError(f"gives no version within {_SECONDS:.0f} s") from error
    except OSError as error:
        raise ToolchainError(f"does not start: {error.strerror}") from error
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise ToolchainError(f"fails with exit code {done.returncode} when asked for its version: {last[:200]}")
    return done.stdout.strip()[:500]


def _mark(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_mtime_ns, stat.st_size, stat.st_ino]


def _is_script(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def _read() -> dict[str, Any]:
    try:
        known = json.loads((cache.root() / "probed.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(known: Mapping[str, Any]) -> None:
    """Keep the answers. A cache that cannot be written costs time, no more; so no error comes from here."""
    with contextlib.suppress(OSError):
        cache.root().mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=cache.root(), prefix=".probed")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(known, file)
            Path(name).replace(cache.root() / "probed.json")
        finally:
            Path(name).unlink(missing_ok=True)
