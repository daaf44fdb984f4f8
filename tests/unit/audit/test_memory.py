"""A log of any length is read in the memory that its first part took, even where every event is another."""

import tracemalloc
from collections.abc import Iterator

from agent_identities.audit.trace import Limits
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
"""So many events meet every bound."""


def events(count: int) -> Iterator[Json]:
    """No two alike: other tokens, names, resources, namespaces, agents, and requests that never end."""
    for number in range(count):
        agent = f"agent-{number % 40}"
        yield issue(agent, id_=f"JTI={number}")
        made = event(agent, "get", f"kind-{number % 400}", f"object-{number}")
        made["user"]["extra"]["authentication.kubernetes.io/credential-id"] = [f"JTI={number}"]
        made["objectRef"]["namespace"] = f"namespace-{number % 900}"
        yield made
        yield {**event(agent, name=f"watched-{number}"), "stage": "RequestReceived", "annotations": {}}


def peak(count: int) -> int:
    """Bytes, at most, that reading so many events took."""
    tracemalloc.start()
    try:
        found = traced(events(count), limits=LIMITS)
        assert sum(use.count for use in found.uses) >= count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_four_times_the_log_takes_the_same_memory() -> None:
    peak(100)  # what is made once and kept for the process
    assert peak(4 * FULL) < 1.1 * peak(FULL)
