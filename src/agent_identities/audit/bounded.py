"""A map of bounded size."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A map of the ``most`` keys used last. ``on_evicted`` is called with each evicted value."""

    def __init__(self, most: int, on_evicted: Callable[[V], None] = lambda _value: None) -> None:
        self._most = most
        self._on_evicted = on_evicted
        self._items: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, or None if the map does not have the key. Counts as a use of the key."""
        value = self._items.get(key)
        if value is not None:
            self._items.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Add or replace a value."""
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._most:
            self._on_evicted(self._items.popitem(last=False)[1])

    def pop(self, key: K) -> V | None:
        """Remove a key and return its value."""
        return self._items.pop(key, None)

    def values(self) -> tuple[V, ...]:
        """All values, in order of their last use."""
        return tuple(self._items.values())
