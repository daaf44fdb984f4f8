"""A path through states with each step between two of them."""

from collections.abc import Iterator
from itertools import pairwise


def every_pair(names: list[str]) -> Iterator[tuple[str, str]]:
    """A path with each step between two states exactly once (an Eulerian circuit)."""
    steps = {name: [other for other in names if other != name] for name in names}
    path, circuit = [names[0]], []
    while path:
        if steps[path[-1]]:
            path.append(steps[path[-1]].pop())
        else:
            circuit.append(path.pop())
    circuit.reverse()
    return pairwise(circuit)
