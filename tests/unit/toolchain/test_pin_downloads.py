"""The script that pins digests, with a server that publishes them in the formats of the projects."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agent_identities.toolchain import NAMES, component, kubernetes_minors
from agent_identities.toolchain.download import MIRROR, release

SCRIPT = Path(__file__).parents[3] / "ci" / "toolchain" / "pin_downloads.py"
OTHER = f"{'0' * 64}  another-file\n"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _digest(file: str) -> str:
    return hashlib.sha256(file.encode()).hexdigest()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every release file of the toolchain. A server publishes its digest in the format of its project."""
    folder, known = tmp_path / "releases", []
    for name in NAMES:
        for minor in kubernetes_minors():
            for arch in ("amd64", "arm64"):
                file, _ = release(component(name, minor), "linux", arch)
                list_name = {"etcd": "SHA256SUMS", "kubeconform": "CHECKSUMS", "helm-docs": "checksums.txt"}.get(name)
                suffix = ".sha256sum" if name.startswith("helm") else ".sha256"
                sums = (folder / file).with_name(list_name) if list_name else folder / (file + suffix)
                sums.parent.mkdir(parents=True, exist_ok=True)
                existing = sums.read_text() if sums.exists() else OTHER
                line = f"{_digest(file)}  {Path(file).name}\n"
                sums.write_text(_digest(file) if suffix == ".sha256" and not list_name else existing + line)
                known.append(file)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv(MIRROR, f"http://127.0.0.1:{server.server_address[1]}")
        yield sorted(set(known))
        server.shutdown()


def _run(registry: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [sys.executable, SCRIPT, "--registry", registry]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))


def test_every_release_is_pinned_with_its_published_digest_and_old_versions_are_removed(
    files: list[str], tmp_path: Path
) -> None:
    registry = tmp_path / "downloads.txt"
    registry.write_text(f"dl.k8s.io/v1.30.0/bin/linux/amd64/kubectl {'0' * 64}\n")
    done = _run(registry)
    assert done.returncode == 0, done.stderr
    lines = [line for line in registry.read_text().splitlines() if not line.startswith("#")]
    assert lines == [f"{file} {_digest(file)}" for file in files]


def test_a_changed_published_digest_is_an_error_and_the_file_is_not_changed(files: list[str], tmp_path: Path) -> None:
    registry = tmp_path / "downloads.txt"
    registry.write_text(f"{files[0]} {'f' * 64}\n")
    done = _run(registry)
    assert done.returncode == 2
    assert f"{files[0]}: published as {_digest(files[0])}, pinned as {'f' * 64}" in done.stderr
    assert registry.read_text() == f"{files[0]} {'f' * 64}\n"


def test_a_host_that_does_not_respond_is_an_error_without_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRROR, "http://127.0.0.1:1")
    (tmp_path / "downloads.txt").touch()
    done = _run(tmp_path / "downloads.txt")
    assert done.returncode == 2
    assert done.stderr.startswith("pin_downloads.py: http://127.0.0.1:1/")
    assert "Traceback" not in done.stderr
