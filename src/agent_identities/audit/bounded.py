"""Maps and sets that a log of any size cannot make grow without end."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A map of the ``most`` keys used last; what goes is told to ``on_forgotten``."""

    def __init__(self, most: int, on_forgotten: Callable[[V], None] = lambda _value: None) -> None:
        self._most = most
        self._on_forgotten = on_forgotten
        self._items: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, which counts as a use; None if it is not there (any more)."""
        value = self._items.get(key)
        if value is not None:
            self._items.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Adds or replaces."""
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._most:
            self._on_forgotten(self._items.popitem(last=False)[1])

    def pop(self, key: K) -> V | None:
        """Takes out."""
        return self._items.pop(key, None)

    def values(self) -> tuple[V, ...]:
        """All that are left, the one used last at the end."""
        return tuple(self._items.values())
