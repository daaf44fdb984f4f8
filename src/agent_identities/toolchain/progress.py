"""What a person sees while binaries are built or downloaded: bars on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_EVERY = 30.0  # seconds between lines where there is no terminal: enough to see life in a CI log


class Display:
    """Shows the steps on stderr, one binary at a time; silent if `enabled` is false."""

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
        self._title = self._noted = ""
        self._started = self._said = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begin(self, title: str, note: str) -> None:
        """Start the step `title`, such as "etcd 3.6.16"; `note` says what is being done."""
        self._title, self._noted = title, note
        self._started = self._said = time.monotonic()
        self._task = self._bars.add_task(title, total=None, note=note)
        self._line(note)

    def note(self, note: str) -> None:
        """Say what is being done now, once."""
        if note != self._noted:
            self._noted = note
            self._update(note)
            self._line(note)

    def count(self, done: int, total: int, what: str) -> None:
        """`done` of `total` `what` are done."""
        self._update(f"{done} of {total} {what}", done, total)
        if time.monotonic() - self._said >= _EVERY:
            self._line(f"{done} of {total} {what} after {time.monotonic() - self._started:.0f} s")

    def end(self, note: str) -> None:
        """The step is done."""
        self._update(note, 1, 1)
        self._line(f"{note} in {time.monotonic() - self._started:.0f} s")

    def say(self, text: str) -> None:
        """A line that belongs to no step."""
        if self._lines:
            print(text, file=sys.stderr, flush=True)
        elif not self._bars.disable:
            self._bars.console.print(text, markup=False, highlight=False)

    def _update(self, note: str, done: int | None = None, total: int | None = None) -> None:
        if self._task is not None:
            self._bars.update(self._task, note=note, completed=done, total=total)

    def _line(self, text: str) -> None:
        self._said = time.monotonic()
        if self._lines:
            self.say(f"{self._title}: {text}")
