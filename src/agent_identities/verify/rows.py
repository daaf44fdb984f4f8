"""The rows of the access matrix: one row for each agent; agents with the same answers share a row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from agent_identities.declaration import Identity
from agent_identities.rbac import Request
from agent_identities.report.words import abbreviate, label
from agent_identities.verify.matrix import AccessCell, Matrix

MOST_ROWS = 24
"""In a table with more rows, agents of different entries of the values share rows, too."""

QUARANTINED = "quarantined"


_MOST_NAMED = 3

_Column = tuple[str, str, str]


class Mark(Enum):
    """The meaning of a part of the table."""

    DECLARED = auto()
    DENIED = auto()
    NOTABLE = auto()
    DIFFERENCE = auto()


@dataclass(frozen=True, slots=True)
class Part:
    """A text and its meaning. ``is_name``: the text is the name of the object that the verbs before it apply to."""

    text: str
    mark: Mark
    is_name: bool = False


NOTHING = (Part("·", Mark.DENIED),)

Lines = tuple[tuple[Part, ...], ...]
"""The lines of one field of the table."""


@dataclass(frozen=True, slots=True)
class AccessRow:
    """Agents with the same answers. ``fields``: one for each column of `AccessTable`, none for absent agents."""

    identities: tuple[Identity, ...]
    absent: bool
    fields: tuple[Lines, ...]
    elsewhere: Lines
    dangerous: Lines

    @property
    def label(self) -> str:
        """The agents of the row: ``triage-1 … triage-3 (3 agents)``."""
        names = label([one.name for one in self.identities])
        return f"{names} ({QUARANTINED})" if self.identities[0].quarantined else names


@dataclass(frozen=True, slots=True)
class AccessTable:
    """The whole matrix: ``columns`` are the resources that a tier mentions."""

    columns: tuple[str, ...]
    rows: tuple[AccessRow, ...]


def table(matrix: Matrix) -> AccessTable:
    """The matrix as rows: first the proxy, then the agents in the order of the values."""
    home = matrix.declaration.namespace
    columns = {_column(each): each.target for each in matrix.questions.mentioned if each.namespace == home}
    by_identity: dict[Identity, list[AccessCell]] = {one: [] for one in matrix.declaration.identities}
    for cell in matrix.cells:
        by_identity[cell.identity].append(cell)
    absent = set(matrix.absent)
    dangerous = {permission: number for number, permission in enumerate(matrix.questions.dangerous)}
    rows = [
        AccessRow((one,), one in absent, (), (), ())
        if one in absent
        else AccessRow(
            (one,),
            absent=False,
            fields=_fields(cells, home, columns),
            elsewhere=_count([cell for cell in cells if cell.request.namespace not in ("", home)], Mark.DECLARED),
            dangerous=_count(
                sorted(
                    (cell for cell in cells if cell.request in dangerous),
                    key=lambda cell: dangerous[cell.request],
                ),
                Mark.NOTABLE,
            ),
        )
        for one, cells in by_identity.items()
    ]
    folded = _fold(rows, across_entries=False)
    return AccessTable(
        tuple(columns.values()), tuple(_fold(rows, across_entries=True) if len(folded) > MOST_ROWS else folded)
    )


def _column(permission: Request) -> _Column:
    return permission.api_group, permission.resource, permission.subresource


def _fold(rows: Iterable[AccessRow], *, across_entries: bool) -> list[AccessRow]:
    alike: dict[object, list[AccessRow]] = {}
    for number, row in enumerate(rows):
        proxy = number == 0  # it is not an agent, and shares no row
        key = (
            proxy,
            "" if across_entries else row.identities[0].entry,
            row.identities[0].quarantined,
            row.absent,
            row.fields,
            row.elsewhere,
            row.dangerous,
        )
        alike.setdefault(key, []).append(row)
    return [
        AccessRow(
            tuple(one for row in group for one in row.identities),
            first.absent,
            first.fields,
            first.elsewhere,
            first.dangerous,
        )
        for group in alike.values()
        for first in group[:1]
    ]


def _fields(cells: Sequence[AccessCell], home: str, columns: Iterable[_Column]) -> tuple[Lines, ...]:
    found: dict[_Column, list[AccessCell]] = {column: [] for column in columns}
    for cell in cells:
        if cell.request.namespace == home and _column(cell.request) in found:
            found[_column(cell.request)].append(cell)
    return tuple(_field(group) for group in found.values())


def _field(cells: Sequence[AccessCell]) -> Lines:
    """The verbs on one resource: first those for all objects, then those for single objects."""
    general = {cell.request.verb: cell for cell in cells if not cell.request.name}
    lines = [_verbs(list(general.values()))]
    by_name: dict[str, list[AccessCell]] = {}
    for cell in cells:
        if cell.request.name and not _implied(cell, general.get(cell.request.verb)):
            by_name.setdefault(cell.request.name, []).append(cell)
    for name, group in by_name.items():
        if verbs := _verbs(group):
            lines.append((*verbs, Part(f"({name})", verbs[0].mark, is_name=True)))
    return tuple(line for line in lines if line) or (NOTHING,)


def _implied(cell: AccessCell, general: AccessCell | None) -> bool:
    """Whether the answer for all objects is the same as for this object."""
    return general is not None and (general.allowed, general.expected) == (cell.allowed, cell.expected)


def _verbs(cells: Sequence[AccessCell]) -> tuple[Part, ...]:
    declared = [cell.request.verb for cell in cells if cell.allowed and cell.expected]
    more = [cell.request.verb for cell in cells if cell.allowed and not cell.expected]
    less = [cell.request.verb for cell in cells if not cell.allowed and cell.expected]
    return (
        *(Part(verb, Mark.DECLARED) for verb in abbreviate(declared)),
        *(Part(f"+{verb}", Mark.DIFFERENCE) for verb in abbreviate(more)),
        *(Part(f"-{verb}", Mark.DIFFERENCE) for verb in abbreviate(less)),
    )


def _count(cells: Sequence[AccessCell], allowed: Mark) -> Lines:
    """The number of allowed requests, and the names of the requests that differ from the values.

    If ``allowed`` is NOTABLE, also the names of all other allowed requests.
    """
    granted = sum(cell.allowed for cell in cells)
    differs = any(cell.differs for cell in cells)
    named: dict[tuple[str, Mark, str], list[str]] = {}
    for cell in cells:
        if cell.differs:
            key = ("+" if cell.allowed else "-", Mark.DIFFERENCE, cell.request.target)
        elif cell.allowed and allowed is Mark.NOTABLE:
            key = ("", allowed, cell.request.target)
        else:
            continue
        named.setdefault(key, []).append(cell.request.verb)
    parts = [
        Part(f"{sign}{' '.join(abbreviate(verbs))} {target}", mark)
        for (sign, mark, target), verbs in sorted(named.items(), key=lambda item: item[0][1] is not Mark.DIFFERENCE)
    ]
    if len(parts) > _MOST_NAMED:
        parts[_MOST_NAMED:] = [Part(f"and {len(parts) - _MOST_NAMED} more", Mark.DIFFERENCE if differs else allowed)]
    mark = Mark.DIFFERENCE if differs else allowed if granted else Mark.DENIED
    return tuple((part,) for part in (Part(f"{granted}/{len(cells)}", mark), *parts))
