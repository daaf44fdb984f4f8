"""Commands as a user types them, run to the end or stopped in the middle."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from agent_identities.chart.helm import Release

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
    """How it ended, once it has."""
    out, err = process.communicate(timeout=_SECONDS)
    return Done(process.args, process.returncode, out, err)
