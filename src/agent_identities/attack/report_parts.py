"""What the two reports of attack have in common: how a request is shown, and their tables."""

from collections.abc import Iterable

from agent_identities.attack.request import AttackRequest
from agent_identities.attack.verdict import impersonated
from agent_identities.report.model import Column, Style, Table, cell

Row = tuple[tuple[str, ...], bool]
"""The texts of a row, and whether it is a finding."""


def request_line(request: AttackRequest) -> str:
    """``POST /api/v1/...``, and the impersonated user if there is one."""
    acting = impersonated(request.headers)
    return f"{request.method} {request.path}{f' as {acting}' if acting else ''}"


def request_data(request: AttackRequest) -> dict[str, str]:
    """The request in JSON: {method, path, as}."""
    return {"method": request.method, "path": request.path, "as": impersonated(request.headers)}


def number(count: int) -> str:
    """A count in a table."""
    return f"{count:,}" if count else "·"


def counts_table(header: Iterable[str], rows: Iterable[Row]) -> Table:
    """A table whose first column has names, and the others numbers."""
    return Table(
        tuple(Column(title, right=index > 0, whole=index > 0) for index, title in enumerate(header)),
        tuple(tuple(cell(text, Style.BAD if bad else Style.PLAIN) for text in texts) for texts, bad in rows),
    )


def listing_table(header: Iterable[str], rows: Iterable[Row]) -> Table:
    """A table with a row for each request."""
    return Table(
        tuple(Column(title) for title in header),
        tuple(tuple(cell(text, Style.BAD if bad else Style.MUTED) for text in texts) for texts, bad in rows),
    )
