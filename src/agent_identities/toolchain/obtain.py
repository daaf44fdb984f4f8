"""Have the binaries, whatever it takes: find them, else build or download them."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from agent_identities.toolchain.find import look
from agent_identities.toolchain.pinned import DEFAULT_KUBERNETES, OUR_NAMES, Tool, component


def provide(names: Sequence[str], *, kubernetes: str = DEFAULT_KUBERNETES, progress: bool = True) -> dict[str, Tool]:
    """The binaries called `names`, by name and in that order.

    What no variable names, PATH does not have and the cache does not hold is built into the cache, which takes about 8
    minutes for all of them on 2 cores; parallel calls build once. With DOWNLOAD=1 in the environment, the projects'
    official releases are downloaded instead, except of our own programs, which have none. `kubernetes` is the minor of
    kube-apiserver, kube-controller-manager and kubectl. `progress` shows on stderr what is going on.

    Raises ToolchainError: a variable names a binary that cannot serve, or one cannot be built or downloaded.
    """
    found = [look(name, kubernetes) for name in names]
    missing = [(each, component(each.name, kubernetes)) for each in found if each.tool is None]
    tools = {each.name: each.tool for each in found if each.tool is not None}
    if missing:
        # Here, since a warm start needs none of them, and they are slow to import.
        from agent_identities.toolchain.build import build
        from agent_identities.toolchain.download import download
        from agent_identities.toolchain.progress import Display

        with _unwinding_on_termination(), Display(enabled=progress) as show:
            for each, pinned in missing:
                for reason in each.passed_over:
                    show.say(f"{each.name}: passed over {reason}")
                released = download_wanted() and each.name not in OUR_NAMES
                tools[each.name] = download(pinned, show) if released else build(pinned, show)
    return {name: tools[name] for name in names}


def download_wanted() -> bool:
    """Whether the user asks for official releases rather than builds: DOWNLOAD=1."""
    return os.environ.get("DOWNLOAD", "").strip().lower() not in ("", "0", "false", "no")


@contextmanager
def _unwinding_on_termination() -> Iterator[None]:
    """Let SIGTERM end this process as Ctrl-C does, so that go and half-made files go with it."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not ours:
        yield
        return

    def leave(signum: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + signum)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
