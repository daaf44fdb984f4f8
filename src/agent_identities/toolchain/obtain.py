"""Provide the binaries: find them, or else build or download them."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from agent_identities.toolchain.find import resolve
from agent_identities.toolchain.pinned import DEFAULT_KUBERNETES, OUR_NAMES, Tool, component


def provide(names: Sequence[str], *, kubernetes: str = DEFAULT_KUBERNETES, progress: bool = True) -> dict[str, Tool]:
    """The binaries called `names`, by name and in that order.

    A binary that is not found (TEST_ASSET_*, KUBEBUILDER_ASSETS, PATH, the cache) is built into the cache. A build of
    all binaries takes about 8 minutes on 2 cores. Parallel calls build a binary once. With DOWNLOAD=1 in the
    environment, official releases are downloaded instead, except for programs of this project. `kubernetes` is the
    minor version of kube-apiserver, kube-controller-manager and kubectl. `progress` shows the progress on stderr.

    Raises ToolchainError: a variable points to an unusable binary, or a build or a download fails.
    """
    results = [resolve(name, kubernetes) for name in names]
    missing = [(found, component(found.name, kubernetes)) for found in results if found.tool is None]
    tools = {found.name: found.tool for found in results if found.tool is not None}
    if missing:
        # Imported here: the imports are slow, and are not needed if every binary is found.
        from agent_identities.toolchain.build import build
        from agent_identities.toolchain.download import download
        from agent_identities.toolchain.progress import Display

        with _unwinding_on_termination(), Display(enabled=progress) as show:
            for found, pinned in missing:
                for reason in found.skipped:
                    show.say(f"{found.name}: skipped {reason}")
                released = download_wanted() and found.name not in OUR_NAMES
                tools[found.name] = download(pinned, show) if released else build(pinned, show)
    return {name: tools[name] for name in names}


def download_wanted() -> bool:
    """Whether DOWNLOAD=1 selects official releases instead of builds."""
    return os.environ.get("DOWNLOAD", "").strip().lower() not in ("", "0", "false", "no")


@contextmanager
def _unwinding_on_termination() -> Iterator[None]:
    """Let SIGTERM end this process with an exception, as Ctrl-C does, so that go is killed and files are deleted."""
    default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not default or threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(signum: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + signum)

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
