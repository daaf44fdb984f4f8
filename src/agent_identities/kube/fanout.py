"""One function over many items, on threads: results in order, progress, and an end at the first failure."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from itertools import chain
from typing import TypeVar

from agent_identities.kube.client import DEFAULT_CONCURRENCY

_ABORT_SECONDS = 0.2
_CHUNK = 16  # items between two reports of progress, and between two hand-overs to a thread

Progress = Callable[[int, int], None]
"""Called with how many of how many items are done, from the thread that called ``fan_out``."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def no_progress(_done: int, _total: int) -> None:
    """Reports nothing."""


def fan_out(
    work: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    on_progress: Progress = no_progress,
    abort: Callable[[], None] = lambda: None,
) -> list[_Result]:
    """``[work(item) for item in items]``, with ``concurrency`` of them under way at a time.

    The first exception, or Ctrl-C, ends all: items that have not begun are left out, ``abort`` ends those under way
    (`Api.abort`), and it is raised here.
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
            while under_way := [each for each in running if not each.done()]:  # wait() does not know cancelled ones
                wait(under_way, _ABORT_SECONDS)
                abort()  # what began while the first abort was at work
            raise
    return list(chain.from_iterable(results))
