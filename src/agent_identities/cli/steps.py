"""The progress of a command, on stderr."""

import contextlib
import time
from typing import TYPE_CHECKING

from agent_identities.report.characters import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Steps:
    """The steps of a command, on stderr: a spinner or a bar during a step, then a line with its duration."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console: Console = Console(stderr=True, highlight=False)

    @contextlib.contextmanager
    def step(self, title: str, *, spinner: bool = True) -> "Iterator[Callable[[str], None]]":
        """A step. The block passes the result of the step, as text, to the function that it gets."""
        given = [""]
        started = time.monotonic()
        with self._console.status(title) if spinner else contextlib.nullcontext():
            yield lambda text: given.__setitem__(0, text)
        self._done(title, given[0], started)

    @contextlib.contextmanager
    def progress(self, title: str) -> "Iterator[Callable[[int, int], None]]":
        """A step with many requests. The block passes (answers, requests) to the function that it gets."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (SpinnerColumn(), TextColumn(title), BarColumn(40), MofNCompleteColumn(), TimeRemainingColumn())
        answers = 0
        started = time.monotonic()
        disable = not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=disable) as bar:
            task = bar.add_task(title, total=None)

            def on_progress(done: int, total: int) -> None:
                nonlocal answers
                answers = done
                bar.update(task, completed=done, total=total)

            yield on_progress
        self._done(title, f"{answers:,} answers", started)

    def _done(self, title: str, given: str, started: float) -> None:
        from rich.text import Text

        line = visible(f"{title}: {given} ({time.monotonic() - started:.1f} s)")
        self._console.print(Text(line, style="dim"), soft_wrap=True)


@contextlib.contextmanager
def reading() -> "Iterator[Callable[[str, int], None]]":
    """A spinner while logs are read. The block passes (log, lines read) to the function that it gets."""
    from rich.console import Console

    with Console(stderr=True, highlight=False).status("reading") as status:
        yield lambda log, lines: status.update(f"reading {log}: {lines:,} lines")
