"""Progress of builds and downloads: bars on a terminal, and otherwise lines at intervals."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_INTERVAL = 30.0  # seconds between progress lines if stderr is not a terminal, as in a CI log


class Display:
    """Shows the steps on stderr, one binary at a time. Shows nothing if `enabled` is false."""

    def __init__(self, *, enabled: bool) -> None:
        console = Console(stderr=True)
        self._lines = enabled and not console.is_terminal
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            disable=not enabled or self._lines,
        )
        self._task: TaskID | None = None
        self._title = self._last_note = ""
        self._started = self._printed = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begin(self, title: str, note: str) -> None:
        """Start the step `title`, such as "etcd 3.6.16". `note` describes the current action."""
        self._title, self._last_note = title, note
        self._started = self._printed = time.monotonic()
        self._task = self._bars.add_task(title, total=None, note=note)
        self._line(note)

    def note(self, note: str) -> None:
        """Show the current action, once."""
        if note != self._last_note:
            self._last_note = note
            self._update(note)
            self._line(note)

    def count(self, done: int, total: int, what: str) -> None:
        """Show that `done` of `total` are done. `what` is the unit."""
        self._update(f"{done} of {total} {what}", done, total)
        if time.monotonic() - self._printed >= _INTERVAL:
            self._line(f"{done} of {total} {what} after {time.monotonic() - self._started:.0f} s")

    def end(self, note: str) -> None:
        """End the step."""
        self._update(note, 1, 1)
        self._line(f"{note} in {time.monotonic() - self._started:.0f} s")

    def say(self, text: str) -> None:
        """Show a line outside a step."""
        if self._lines:
            print(text, file=sys.stderr, flush=True)
        elif not self._bars.disable:
            self._bars.console.print(text, markup=False, highlight=False)

    def _update(self, note: str, done: int | None = None, total: int | None = None) -> None:
        if self._task is not None:
            self._bars.update(self._task, note=note, completed=done, total=total)

    def _line(self, text: str) -> None:
        self._printed = time.monotonic()
        if self._lines:
            self.say(f"{self._title}: {text}")
