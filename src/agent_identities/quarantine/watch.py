"""When something was true for the last time: asked again and again, beside what makes it false."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from agent_identities.kube.client import ApiError


class Watch:
    """Asks ``probe`` in a thread of its own until it says no, once somebody waits for that. A context manager.

    ``started`` is what times are counted from (time.monotonic()), ``pause`` the seconds between two questions. The
    thread ends with the block, whatever ends the block.
    """

    def __init__(self, probe: Callable[[], bool], *, started: float, pause: float) -> None:
        self._probe, self._started, self._pause = probe, started, pause
        self._expected = threading.Event()
        self._stop = threading.Event()
        self._asked = threading.Event()
        self.last: float | None = None
        """Seconds from the start to the last yes, None if there was none."""
        self.over: bool = False
        """Whether it said no after that was to be expected."""
        self.error: str = ""
        """Why it could not be asked, "" if it could. Nothing was observed from then on."""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def start(self) -> Self:
        """Start to ask; for a caller that cannot use a block."""
        self._thread.start()
        return self

    def wait_for_first(self, seconds: float) -> None:
        """Until there is a first answer, but no longer than so many seconds."""
        self._asked.wait(seconds)

    def wait(self, seconds: float) -> None:
        """Until it says no, which is to be expected from now on, or cannot be asked; at most so many seconds."""
        self._expected.set()
        self._thread.join(seconds)
        self._stop.set()

    def _run(self) -> None:
        try:
            self._ask_until_no()
        except ApiError as error:
            self.error = str(error)
        except Exception as error:  # whatever ends the thread, the caller must learn of it
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self._asked.set()

    def _ask_until_no(self) -> None:
        while not self._stop.is_set():
            expected = self._expected.is_set()
            if self._probe():
                self.last = time.monotonic() - self._started
            elif expected:
                self.over = True
                return
            self._asked.set()
            self._stop.wait(self._pause)
