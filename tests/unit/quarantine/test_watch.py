import threading
import time

import pytest

from agent_identities.kube.client import ApiError
from agent_identities.quarantine.watch import Watch


def test_the_time_of_the_last_true_is_recorded() -> None:
    answers = iter([True, True, False])
    with Watch(lambda: next(answers), started=time.monotonic(), pause=0.001) as watch:
        watch.wait_for_first(10)
        watch.wait(10)
    assert watch.over
    assert watch.last is not None
    assert not watch.error


@pytest.mark.parametrize(
    ("error", "reported"),
    [(ApiError("gone", status=0), "gone"), (RuntimeError("a fault"), "RuntimeError: a fault")],
    ids=["of the API", "any other"],
)
def test_an_error_in_the_thread_is_reported_to_the_caller(error: Exception, reported: str) -> None:
    def probe() -> bool:
        raise error

    with Watch(probe, started=time.monotonic(), pause=0.001) as watch:
        watch.wait_for_first(10)
        watch.wait(10)
    assert watch.error == reported
    assert not watch.over


def test_the_thread_stops_at_the_end_of_the_block() -> None:
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt), Watch(lambda: True, started=time.monotonic(), pause=0.001):
        raise KeyboardInterrupt
    deadline = time.monotonic() + 30
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before
