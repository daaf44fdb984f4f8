"""The memory for a log does not grow with its length, even if all events are different."""

import tracemalloc
from collections.abc import Iterator

from agent_identities.audit.tracer import Limits
from support.audit import Json, event, issue, traced

LIMITS = Limits(
    uses=50,
    uses_of_agent=20,
    names=100,
    names_of_use=20,
    credentials=50,
    requests_under_way=25,
    problems=5,
    namespaces=10,
)
FULL = 500
"""The number of events that reaches every limit."""


def events(count: int) -> Iterator[Json]:
    """Events that all differ in token, name, resource, namespace or agent, and requests without a response."""
    for number in range(count):
        agent = f"agent-{number % 40}"
        yield issue(agent, id_=f"JTI={number}")
        logged = event(agent, "get", f"kind-{number % 400}", f"object-{number}")
        logged["user"]["extra"]["authentication.kubernetes.io/credential-id"] = [f"JTI={number}"]
        logged["objectRef"]["namespace"] = f"namespace-{number % 900}"
        yield logged
        yield {**event(agent, name=f"watched-{number}"), "stage": "RequestReceived", "annotations": {}}


def peak(count: int) -> int:
    """The peak memory in bytes while this number of events is read."""
    tracemalloc.start()
    try:
        found = traced(events(count), limits=LIMITS)
        assert sum(use.count for use in found.uses) >= count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_log_of_four_times_the_length_takes_the_same_memory() -> None:
    peak(100)  # allocates what the process allocates only once
    assert peak(4 * FULL) < 1.1 * peak(FULL)
