"""The mutant and the verdict, which all layers of mutation testing use."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

LayerName = Literal["template", "schema", "object"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One deliberate change. Unrelated edits do not change ``id``; ``change`` is "before -> after" in one line."""

    layer: LayerName
    id: str
    change: str


Broken = dict[str, list[str]]
"""Invariant -> sentences that describe the failures."""


@dataclass(slots=True)
class Verdict:
    """The invariants that a chart breaks.

    ``broken``: invariant -> sentences. ``case``: the case that shows it, if the layer has cases. ``differs``: what
    differs from the unchanged chart although no invariant notices: "guards" (for the API server to judge), "words"
    (of a message) or "objects".
    """

    broken: Broken = field(default_factory=dict)
    case: str = ""
    differs: str = ""

    def __str__(self) -> str:
        return "\n".join(f"{invariant}: {sentence}" for invariant in self.broken for sentence in self.broken[invariant])


class StaleMutantError(Exception):
    """A list names a mutant that no longer exists."""


M = TypeVar("M", bound=Mutant)


def find(mutants: Iterable[M], layer: str, id_: str) -> M:
    """The mutant with an id. Raises StaleMutantError, with the command to run."""
    for mutant in mutants:
        if mutant.id == id_:
            return mutant
    path = id_.partition(": ")[0].partition(" ")[0]
    raise StaleMutantError(
        f"{id_}: there is no such mutant; its line has changed. To see what is there now and rewrite the lists: "
        f"make mutants ARGS='--layer {layer} --only {path} --accept'"
    )
