"""What the layers of mutation testing have in common."""

from dataclasses import dataclass
from typing import Literal

LayerName = Literal["template", "schema", "object"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One thing changed on purpose. ``id`` outlives unrelated edits; ``change`` says before -> after in one line."""

    layer: LayerName
    id: str
    change: str
