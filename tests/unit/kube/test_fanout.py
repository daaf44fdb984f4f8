import threading
import time

import pytest

from agent_identities.kube.fanout import fan_out


def test_results_have_the_order_of_the_items() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * number

    assert fan_out(slow_first, range(100), concurrency=4) == [number * number for number in range(100)]


def test_without_items_there_are_no_results() -> None:
    assert fan_out(abs, [], concurrency=4) == []


def test_a_few_items_are_processed_concurrently() -> None:
    together = threading.Barrier(4)  # breaks unless four threads wait within five seconds
    assert len(fan_out(lambda _: together.wait(5), range(4), concurrency=4)) == 4


def test_progress_ends_with_all_items() -> None:
    reports: list[tuple[int, int]] = []
    fan_out(abs, range(100), concurrency=4, on_progress=lambda done, total: reports.append((done, total)))
    assert reports[-1] == (100, 100)
    assert len(reports) > 1
    assert reports == sorted(reports)


def test_the_first_failure_stops_all_work() -> None:
    begun = []

    def fails_at_once(number: int) -> None:
        begun.append(number)
        raise ValueError(number)

    with pytest.raises(ValueError, match=r"\d+"):
        fan_out(fails_at_once, range(10_000), concurrency=2)
    assert len(begun) < 10_000
