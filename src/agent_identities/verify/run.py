"""Send SubjectAccessReviews for every identity to an API server, and compare the answers with the declaration.

Each review lists the groups of a ServiceAccount token, because the API server adds no groups to a review.
"""

import time
from dataclasses import replace
from functools import partial

from agent_identities import bundled
from agent_identities.declaration import Declaration
from agent_identities.inventory import look, read_accounts
from agent_identities.kube.client import DEFAULT_CONCURRENCY, Api, ApiError
from agent_identities.kube.fanout import Progress, fan_out, no_progress
from agent_identities.kube.reviews import ask
from agent_identities.rbac import Catalogue
from agent_identities.verify.matrix import AccessCell, Matrix
from agent_identities.verify.questions import expected, questions

_LAG_SECONDS = 1.0


def verify(
    api: Api,
    declaration: Declaration,
    *,
    catalogue: Catalogue | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    on_progress: Progress = no_progress,
) -> Matrix:
    """Ask an API server about every identity. Read-only. Raises ApiError if the API server does not answer a question.

    ``catalogue`` is the risk catalogue, by default that of the chart in this package. Answers that differ are asked for
    again after a second, because API servers observe new bindings with a delay.
    """
    started = time.monotonic()
    accounts = read_accounts(api, declaration)
    catalogue = catalogue or Catalogue.load(bundled.chart_path() / "files" / "risk-catalogue.json")
    declaration, inventory = look(api, declaration, catalogue, accounts, concurrency=concurrency)
    present = [one for one in declaration.identities if one.quarantined or accounts.of(one) is not None]
    asked = questions(declaration, inventory.served)
    cells = [
        AccessCell(identity, request, expected(identity, request), allowed=False)
        for identity in present
        for request in asked.of(identity)
    ]
    answer = partial(_answered, api)
    cells = fan_out(answer, cells, concurrency=concurrency, on_progress=on_progress, abort=api.abort)
    differing = [index for index, cell in enumerate(cells) if cell.differs]
    if differing:
        time.sleep(_LAG_SECONDS)
        again = fan_out(
            answer,
            [cells[index] for index in differing],
            concurrency=concurrency,
            abort=api.abort,
            on_progress=lambda done, total: on_progress(len(cells) - total + done, len(cells)),
        )
        for index, cell in zip(differing, again, strict=True):
            cells[index] = cell
    active = (declaration.proxy, *declaration.agents)
    return Matrix(
        api.server,
        declaration,
        asked,
        tuple(cells),
        absent=tuple(one for one in active if accounts.of(one) is None),
        undeclared=accounts.undeclared(declaration),
        inventory=inventory,
        seconds=time.monotonic() - started,
    )


def _answered(api: Api, cell: AccessCell) -> AccessCell:
    """The cell with the API server's answer."""
    user, request = cell.identity.user, cell.request
    status = ask(api, user, request)
    if status.evaluation_error and not status.allowed:
        where = f" in {request.namespace}" if request.namespace else ""
        raise ApiError(
            f"{api.server}: cannot decide whether {user.name} may {request}{where}: "
            f"{status.evaluation_error}. Fix that authorizer of the API server, then run the command again."
        )
    return replace(cell, allowed=status.allowed, reason=status.reason)
