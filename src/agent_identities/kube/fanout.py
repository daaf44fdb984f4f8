"""Apply a function to many items, on threads: results in order, progress, and a stop at the first failure."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from itertools import chain
from typing import TypeVar

from agent_identities.kube.client import DEFAULT_CONCURRENCY

_ABORT_SECONDS = 0.2
_CHUNK = 16  # items that a thread processes between two reports of progress

Progress = Callable[[int, int], None]
"""Called with (finished items, all items), from the thread that called ``fan_out``."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def no_progress(_done: int, _total: int) -> None:
    """Report nothing."""


def fan_out(
    work: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    on_progress: Progress = no_progress,
    abort: Callable[[], None] = lambda: None,
) -> list[_Result]:
    """``[work(item) for item in items]``, with ``concurrency`` items in progress at a time.

    The first exception, or Ctrl-C, stops all work: other items are not started, ``abort`` (`Api.abort`) interrupts the
    items in progress, and the exception is raised here.
    """
    size = min(_CHUNK, -(-len(items) // concurrency)) or 1
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    results: list[list[_Result]] = [[] for _ in chunks]
    stop = threading.Event()
    done = 0

    def work_on(chunk: Sequence[_Item]) -> list[_Result]:
        return [work(item) for item in chunk if not stop.is_set()]

    with ThreadPoolExecutor(concurrency, thread_name_prefix="fan-out") as pool:
        running: dict[Future[list[_Result]], int] = {}
        try:
            for index, chunk in enumerate(chunks):
                running[pool.submit(work_on, chunk)] = index
            for future in as_completed(running):
                results[running[future]] = future.result()
                done += len(future.result())
                on_progress(done, len(items))
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            abort()
            while unfinished := [each for each in running if not each.done()]:  # wait() ignores cancelled futures
                wait(unfinished, _ABORT_SECONDS)
                abort()  # for requests that began during the first abort
            raise
    return list(chain.from_iterable(results))
