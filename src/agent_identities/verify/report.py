"""The report of verify: the access matrix, and the differences between the cluster and the values."""

from collections.abc import Sequence
from functools import partial

from agent_identities.inventory import ways_report
from agent_identities.report.model import Cell, Column, Report, Span, Style, Table, cell, many
from agent_identities.report.words import ABBREVIATIONS, ACTING
from agent_identities.verify.differences import differences
from agent_identities.verify.matrix import AccessCell, Matrix
from agent_identities.verify.rows import NOTHING, AccessRow, Lines, Mark, Part, table

_WIDEST_LABEL = 24

_STYLES = {
    Mark.DECLARED: Style.GOOD,
    Mark.DENIED: Style.MUTED,
    Mark.NOTABLE: Style.NOTABLE,
    Mark.DIFFERENCE: Style.BAD,
}


def build(matrix: Matrix, *, listing: bool = False) -> Report:
    """The matrix as a report; ``listing`` adds every answer.

    JSON has, in addition to the common keys, {"server", "namespace", "seconds", "counts": {...}, "absent": [name],
    "undeclared": [{namespace, name, release}], "workloads": [sentence], "differences": [cell], "cells": [cell]}; a cell
    is {"agent", "namespace" (the ServiceAccount's), "entry", "permission" (as text),
    "request": {verb, apiGroup, resource, subresource, name, namespace}, "expected", "allowed", "reason"}. "canBecome"
    has the subjects that can become an agent: see `inventory.ways_report.data`.
    """
    becoming = matrix.inventory.entrants
    return Report(
        command="verify",
        ok=matrix.ok,
        summary=summary(matrix),
        about=f"Namespace {matrix.declaration.namespace} on {matrix.server}",
        tables=(_table(matrix), *((ways_report.table(becoming),) if listing and becoming else ())),
        legend=_legend(matrix),
        findings=tuple(differences(matrix)),
        notes=matrix.inventory.notes,
        closing=(*matrix.inventory.workloads, *(ways_report.counted(becoming) if becoming else ())),
        listing=_listing(matrix) if listing else None,
        data=partial(_data, matrix),
    )


def summary(matrix: Matrix) -> str:
    """The counts in one line."""
    found = len(matrix.unexplained) + len(matrix.absent) + len(matrix.undeclared) + matrix.inventory.errors
    parts = (
        f"{many(len(matrix.declaration.agents), 'agent')} and {matrix.declaration.proxy.name}",
        many(matrix.requests, "permission"),
        f"{many(len(matrix.cells), 'answer')} in {matrix.seconds:.1f} s",
        f"{matrix.count(expected=True, allowed=True):,} allowed as declared",
        f"{matrix.count(expected=False, allowed=False):,} denied as declared",
        many(found, "difference") if found else "no differences" + ("" if matrix.complete else " in what was read"),
        *((many(matrix.inventory.warnings, "warning"),) if matrix.inventory.warnings else ()),
        *((f"{len(matrix.inventory.not_read)} not read",) if not matrix.complete else ()),
    )
    return " · ".join(parts)


def _data(matrix: Matrix) -> dict[str, object]:
    return {
        "server": matrix.server,
        "namespace": matrix.declaration.namespace,
        "seconds": round(matrix.seconds, 3),
        "counts": {
            "agents": len(matrix.declaration.agents),
            "permissions": matrix.requests,
            "answers": len(matrix.cells),
            "allowedAsDeclared": matrix.count(expected=True, allowed=True),
            "deniedAsDeclared": matrix.count(expected=False, allowed=False),
            "allowedThoughNotDeclared": matrix.count(expected=False, allowed=True),
            "deniedThoughDeclared": matrix.count(expected=True, allowed=False),
            "absent": len(matrix.absent),
        },
        "absent": [one.name for one in matrix.absent],
        "undeclared": [
            {"namespace": one.namespace, "name": one.name, "release": one.release} for one in matrix.undeclared
        ],
        "workloads": list(matrix.inventory.workloads),
        "differences": [_json_cell(each) for each in matrix.differences],
        "cells": [_json_cell(each) for each in matrix.cells],
        "canBecome": ways_report.data(matrix.inventory.entrants) if matrix.inventory.entrants else [],
    }


def _json_cell(cell: AccessCell) -> dict[str, object]:
    permission = cell.request
    return {
        "agent": cell.identity.name,
        "namespace": cell.identity.namespace,
        "entry": cell.identity.entry,
        "permission": str(permission),
        "request": {
            "verb": permission.verb,
            "apiGroup": permission.api_group,
            "resource": permission.resource,
            "subresource": permission.subresource,
            "name": permission.name,
            "namespace": permission.namespace,
        },
        "expected": cell.expected,
        "allowed": cell.allowed,
        "reason": cell.reason,
    }


# ---- the table


def _table(matrix: Matrix) -> Table:
    """One column for each resource; the narrow form has one column for all resources."""
    made = table(matrix)
    tail = (Column("elsewhere"), Column("dangerous"))
    return Table(
        columns=(Column("agent"), *(Column(name) for name in made.columns), *tail),
        rows=tuple(
            (
                _label(row),
                *(_field(lines) for lines in row.fields or ((),) * len(made.columns)),
                _field(row.elsewhere),
                _field(row.dangerous),
            )
            for row in made.rows
        ),
        narrow=Table(
            columns=(Column("agent"), Column("may"), *tail),
            rows=tuple(
                (_label(row), _field(_listed(made.columns, row)), _field(row.elsewhere), _field(row.dangerous))
                for row in made.rows
            ),
        ),
    )


def _label(row: AccessRow) -> Cell:
    """The agents of a row, on more than one line if the text is long."""
    text = row.label if len(row.label) <= _WIDEST_LABEL else row.label.replace(" (", "\n(")
    return cell(f"{text}\nno ServiceAccount", Style.BAD) if row.absent else cell(text)


def _field(lines: Lines) -> Cell:
    return tuple(tuple(Span(part.text, _STYLES[part.mark]) for part in line) for line in lines)


def _listed(columns: Sequence[str], row: AccessRow) -> Lines:
    """All columns of a row in one column: ``read pods, services``."""
    alike: dict[tuple[tuple[Part, ...], tuple[Part, ...]], list[str]] = {}
    for column, lines in zip(columns, row.fields, strict=False):
        for line in lines:
            name = tuple(part for part in line if part.is_name)
            for mark in (Mark.DECLARED, Mark.DIFFERENCE):
                if verbs := tuple(part for part in line if part.mark is mark and not part.is_name):
                    alike.setdefault((verbs, name), []).append(column)
    listed = tuple((*verbs, Part(", ".join(targets), verbs[0].mark), *name) for (verbs, name), targets in alike.items())
    return listed or (() if row.absent else (NOTHING,))


def _legend(matrix: Matrix) -> str:
    words = {
        **{word: " ".join(verbs) for word, verbs in ABBREVIATIONS.items()},
        **({f"{ACTING}verb": "allowed to the proxy when it impersonates a proxied agent"} if _acts(matrix) else {}),
        "+verb": "allowed, not declared",
        "-verb": "declared, but denied",
        "elsewhere": "allowed, but not declared, in other namespaces",
        "dangerous": "secrets, pods/exec, impersonate, …",
    }
    return " · ".join(f"{word} = {meaning}" for word, meaning in words.items())


def _acts(matrix: Matrix) -> bool:
    """Whether the proxy may impersonate an agent (constrained impersonation)."""
    return any(cell.request.verb.startswith("impersonate-on:") for cell in matrix.cells if cell.allowed)


# ---- every cell


def _listing(matrix: Matrix) -> Table:
    header = ("agent", "permission", "namespace", "declared", "answer", "reason of the API server")
    return Table(
        tuple(Column(title) for title in header),
        tuple(tuple(cell(text, _style(each)) for text in _texts(each)) for each in matrix.cells),
    )


def _texts(each: AccessCell) -> tuple[str, ...]:
    words = {True: "allow", False: "deny"}
    where = each.request.namespace or "(cluster)"
    return each.identity.name, str(each.request), where, words[each.expected], words[each.allowed], each.reason


def _style(each: AccessCell) -> Style:
    return _STYLES[Mark.DIFFERENCE if each.differs else Mark.DECLARED if each.allowed else Mark.DENIED]
