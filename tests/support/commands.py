"""Commands as a user types them, run to the end or stopped in the middle."""

import contextlib
import gc
import io
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agent_identities.chart.helm import Release
from agent_identities.cli import main

Done = subprocess.CompletedProcess[str]
_SECONDS = 300


def agent_identities(*arguments: str) -> list[str]:
    """The command line of our command."""
    return [sys.executable, "-c", "from agent_identities.cli import main; main()", *arguments]


def helm(release: Release, verb: str, values_file: str, *flags: str) -> list[str]:
    """The command line of `helm install` or `helm upgrade`."""
    argv = [str(release.helm.path), verb, *flags, release.name, str(release.chart), "--namespace", release.namespace]
    return [*argv, "--kubeconfig", str(release.kubeconfig), "--values", values_file]


def run(argv: list[str]) -> Done:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_SECONDS)


@contextlib.contextmanager
def started(argv: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A command that runs; it is killed with the block, if it has not ended by then."""
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def is_running(process: subprocess.Popen[str]) -> bool:
    return process.poll() is None


def ended(process: subprocess.Popen[str]) -> Done:
    """The result of the command, after it has ended."""
    out, err = process.communicate(timeout=_SECONDS)
    return Done(process.args, process.returncode, out, err)


def in_process(*arguments: object, stdin: bytes = b"", columns: int = 120) -> subprocess.CompletedProcess[bytes]:
    """What our command prints and how it ends, run within this process: an interpreter takes longer to start.

    A traceback of the command is one of the test.
    """
    streams = {name: io.TextIOWrapper(io.BytesIO(data), encoding="utf-8") for name, data in _streams(stdin)}
    argv = ["agent-identities", *map(str, arguments)]
    thresholds = gc.get_threshold()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        patch.setattr(sys, "argv", argv)
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        try:
            main()
            status: object = 0
        except SystemExit as ended_with:
            status = ended_with.code or 0
        finally:
            gc.set_threshold(*thresholds)
    assert isinstance(status, int), status
    printed = []
    for name in ("stdout", "stderr"):
        streams[name].flush()
        printed.append(streams[name].buffer.getvalue())
    return subprocess.CompletedProcess(argv, status, *printed)


def _streams(stdin: bytes) -> tuple[tuple[str, bytes], ...]:
    return ("stdin", stdin), ("stdout", b""), ("stderr", b"")
