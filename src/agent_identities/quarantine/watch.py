"""Observe the last time at which a probe returns true, in a thread, while another thread makes the probe false."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from agent_identities.kube.client import ApiError


class Watch:
    """Calls ``probe`` in a thread until it returns false after a call of ``wait``. A context manager.

    Times count from ``started`` (time.monotonic()). ``pause`` is the number of seconds between two calls. The thread
    stops at the end of the block, also after an exception.
    """

    def __init__(self, probe: Callable[[], bool], *, started: float, pause: float) -> None:
        self._probe, self._started, self._pause = probe, started, pause
        self._expected = threading.Event()
        self._stop = threading.Event()
        self._observed = threading.Event()
        self.last: float | None = None
        """Seconds from the start to the last true, None if there was none."""
        self.over: bool = False
        """Whether the probe returned false after a call of ``wait``."""
        self.error: str = ""
        """The error of the probe, "" if there was none. After an error, nothing is observed."""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def start(self) -> Self:
        """Start the thread; for a caller that cannot use a block."""
        self._thread.start()
        return self

    def wait_for_first(self, seconds: float) -> None:
        """Wait for the first result of the probe, at most this number of seconds."""
        self._observed.wait(seconds)

    def wait(self, seconds: float) -> None:
        """Wait until the probe returns false or raises an exception, at most this number of seconds."""
        self._expected.set()
        self._thread.join(seconds)
        self._stop.set()

    def _run(self) -> None:
        try:
            self._observe()
        except ApiError as error:
            self.error = str(error)
        except Exception as error:  # the caller must learn of any error that ends the thread
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self._observed.set()

    def _observe(self) -> None:
        while not self._stop.is_set():
            expected = self._expected.is_set()
            if self._probe():
                self.last = time.monotonic() - self._started
            elif expected:
                self.over = True
                return
            self._observed.set()
            self._stop.wait(self._pause)
