"""Ask the API server whether it allows what a binding gives.

It can have other authorizers than RBAC, and it observes new bindings with a delay.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from itertools import islice, product

from agent_identities.inventory.bindings import HeldRole
from agent_identities.kube.client import DEFAULT_CONCURRENCY, Api, ApiError
from agent_identities.kube.fanout import fan_out
from agent_identities.kube.reviews import ask
from agent_identities.rbac import granted_by
from agent_identities.rbac.served import Served

MOST_BINDINGS = 100
"""The API server is asked about this number of bindings."""

_REQUESTS = 3  # for each of three agents of a binding
_MOST_ASKED = 5
_LAG_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The API server's answer about a binding. ``allowed`` is None if it was not asked, or may not be asked.

    ``by_binding``: the reason names the binding. The API server stops at the first binding that allows a request.
    """

    allowed: bool | None = None
    reason: str = ""
    by_binding: bool = False


def confirm(
    api: Api, held: Sequence[HeldRole], served: Served, *, concurrency: int = DEFAULT_CONCURRENCY
) -> list[Confirmed]:
    """Ask about some of the undeclared rights of each binding, for one of its agents. Raises ApiError.

    Denials are asked for again after a second, because API servers observe new bindings with a delay.
    """
    answer = partial(_ask_about, api, served)
    asked = list(held[:MOST_BINDINGS])
    answers = fan_out(answer, asked, concurrency=concurrency, abort=api.abort)
    if denied := [index for index, each in enumerate(answers) if each.allowed is False]:
        time.sleep(_LAG_SECONDS)
        again = fan_out(answer, [asked[index] for index in denied], concurrency=concurrency, abort=api.abort)
        for index, each in zip(denied, again, strict=True):
            answers[index] = each
    return [*answers, *(Confirmed() for _ in held[MOST_BINDINGS:])]


def _ask_about(api: Api, served: Served, held: HeldRole) -> Confirmed:
    usable = islice((sent for each in held.requests() if (sent := served.sent(each)) is not None), _REQUESTS)
    best = Confirmed()
    try:
        for user, request in islice(product([one.user for one in held.identities[:_REQUESTS]], usable), _MOST_ASKED):
            status = ask(api, user, request)
            by = granted_by(status.reason)
            named = by is not None and (by.kind, by.namespace, by.name) == (
                held.binding.kind,
                held.binding.namespace,
                held.binding.name,
            )
            answer = Confirmed(status.allowed, status.reason or status.evaluation_error, by_binding=named)
            if named:
                return answer
            best = answer if status.allowed or best.allowed is None else best
    except ApiError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        return Confirmed()
    return best
