"""The report of attack: the requests that were sent with each token, and what refused them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from agent_identities.attack.report_parts import Row, counts_table, listing_table, number, request_data, request_line
from agent_identities.attack.requests import SIBLINGS
from agent_identities.attack.result import Attack, Attempt
from agent_identities.attack.tokens import Holder, TokenStatus
from agent_identities.attack.verdict import Outcome, impersonated
from agent_identities.chart.names import values_path
from agent_identities.chart.objects import Key
from agent_identities.declaration import Identity
from agent_identities.inventory.release_objects import ReleaseObjects
from agent_identities.report.model import Finding, Location, Report, Severity, Table, many
from agent_identities.report.undeclared import undeclared_account
from agent_identities.report.words import AFTER_QUARANTINE, remediation

_MOST_ROWS = 40
_MOST_RIGHTS = 6

_COLUMNS = {
    Outcome.RBAC: ("RBAC", "rbac"),
    Outcome.GUARD: ("guard", "guard"),
    Outcome.TOKEN: ("token", "token"),
    Outcome.ASKED: ("asked", "deniedWhenAsked"),
    Outcome.DECLARED: ("declared", "declared"),
    Outcome.EVERYONE: ("everyone", "everyone"),
    Outcome.WITHHELD: ("withheld", "withheld"),
    Outcome.UNEXPECTED: ("unexpected", "unexpected"),
    Outcome.NOT_SENT: ("not sent", "notSent"),
}
"""Header and JSON key of each outcome."""

_LEGEND = (
    "RBAC = 403 of the API server's authorizer · guard = refused by the admission policy in the answer · "
    "token = 401 · asked = denied in a SelfSubjectAccessReview, for rights that no single request uses · "
    "declared = allowed, as the values declare · everyone = Kubernetes allows it to every ServiceAccount · "
    "withheld = declared, but refused by RBAC"
)
_BAD = (Outcome.UNEXPECTED, Outcome.NOT_SENT)


def build(attack: Attack, *, listing: bool = False) -> Report:
    """The run as a report; ``listing`` adds every request.

    JSON has, in addition to the common keys, {"server", "namespace", "inconclusive", "seconds", "pairs",
    "possiblePairs", "counts": {outcome: number}, "agents": [{name, namespace, entry, tokenStatus, pod, note, counts}],
    "unexpected": [attempt], "notSent": [attempt], "attempts": [attempt]}; an attempt is {"agent", "namespace", "id",
    "target", "rule", "why", "request": {method, path, as}, "needs", "outcome", "status", "how", "allowedBy"}.
    """
    return Report(
        command="attack",
        ok=attack.ok,
        summary=summary(attack),
        about=f"Namespace {attack.declaration.namespace} on {attack.server}",
        tables=(_table(attack),),
        legend=_LEGEND,
        findings=tuple(findings(attack)),
        notes=(*notes(attack), *attack.inventory.notes),
        closing=attack.inventory.workloads,
        listing=_listing(attack) if listing else None,
        data=partial(_data, attack),
    )


def findings(attack: Attack) -> Iterator[Finding]:
    """Failed controls, agents without a token, undeclared requests that succeeded, requests not sent, leftovers."""
    for control in attack.failed_controls:
        yield _finding(
            "failed-control",
            control.identity,
            f"{control.identity.name}: the positive control {control.request.id} did not succeed "
            f"({control.verdict.how}).",
            remediation=("The run is inconclusive: its refusals prove nothing. Fix the control, then run it again.",),
        )
    for holder in attack.without_token:
        yield _finding(
            "no-token",
            holder.identity,
            f"{holder.identity.name}: {holder.token_status} ({holder.note}). attack sent no requests as this agent.",
            remediation=_how_to_get_a_token(holder),
        )
    yield from _successes(attack)
    yield from _not_sent(attack)
    for one in attack.undeclared:
        key = Key("", "ServiceAccount", one.namespace, one.name)
        yield undeclared_account(key, one.release, "attack sent no requests as this ServiceAccount")
    for command in attack.leftovers:
        message = "An object of this run was not deleted."
        yield _finding("left-behind", None, message, remediation=(command,))
    yield from attack.inventory.findings()


def _finding(
    rule: str,
    identity: Identity | None,
    message: str,
    *,
    details: tuple[str, ...] = (),
    remediation: tuple[str, ...] = (),
) -> Finding:
    location = Location()
    if identity is not None:
        location = Location(
            Key("", "ServiceAccount", identity.namespace, identity.name), values=values_path(identity.entry)
        )
    return Finding(rule, Severity.ERROR, message, location, details, remediation)


def _how_to_get_a_token(holder: Holder) -> tuple[str, ...]:
    if holder.token_status is TokenStatus.ABSENT:
        return (
            "Install these values (helm upgrade --install), remove the agent from them, or set the namespace: -n.",
            AFTER_QUARANTINE,
        )
    return ("Grant the caller `create serviceaccounts/token` in that namespace, and let no guard refuse the request.",)


def _successes(attack: Attack) -> Iterator[Finding]:
    """A finding for each agent and each reason of the API server."""
    made = ReleaseObjects(attack.declaration).makes_granting
    causes: dict[tuple[str, str], list[Attempt]] = {}
    lists: dict[str, Attempt] = {}
    for each in attack.of(Outcome.UNEXPECTED):
        if each.request.control:
            lists[each.identity.name] = each
        else:
            causes.setdefault((each.identity.name, each.allowed_by), []).append(each)
    for (name, reason), attempts in causes.items():
        rules = (f"SelfSubjectRulesReview: the token {lists.pop(name).verdict.how}.",) if name in lists else ()
        count = many(len(attempts), "request")
        yield _finding(
            "undeclared-success",
            attempts[0].identity,
            f"{name}: {count} succeeded that the values do not declare.",
            details=(*_used_rights(attempts), *rules, *([f"API server: {reason}"] if reason else [])),
            remediation=remediation(reason, allowed=True, of_release=made) if reason else (),
        )
    for name, attempt in lists.items():
        yield _finding(
            "undeclared-right",
            attempt.identity,
            f"{name}: the token {attempt.verdict.how}.",
            details=("No attack request used that right.",),
            remediation=("To find the binding: agent-identities verify",),
        )


def _used_rights(attempts: Sequence[Attempt]) -> Iterator[str]:
    """One line for each right that was used."""
    rights: dict[str, list[Attempt]] = {}
    for each in attempts:
        rights.setdefault(_right(each), []).append(each)
    for right, alike in list(rights.items())[:_MOST_RIGHTS]:
        ids = list(dict.fromkeys(each.request.id for each in alike))
        more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        yield f"{right}: {', '.join(ids)}; {_request(alike[0])} → {alike[0].verdict.how}{more}"
    if len(rights) > _MOST_RIGHTS:
        yield f"and {len(rights) - _MOST_RIGHTS} more rights: --output json lists every request"


def _not_sent(attack: Attack) -> Iterator[Finding]:
    reasons: dict[str, list[Attempt]] = {}
    for each in attack.of(Outcome.NOT_SENT):
        if not each.request.control:
            reasons.setdefault(each.verdict.how, []).append(each)
    for reason, attempts in reasons.items():
        names = list(dict.fromkeys(each.identity.name for each in attempts))
        who = ", ".join(names[:_MOST_RIGHTS]) + (
            f" and {len(names) - _MOST_RIGHTS} more" if len(names) > _MOST_RIGHTS else ""
        )
        yield _finding(
            "not-sent",
            attempts[0].identity if len(names) == 1 else None,
            f"{who}: {many(len(attempts), 'request')} could not be sent, and prove nothing: {reason}",
            details=(f"The first request: {_request(attempts[0])}",),
        )


def notes(attack: Attack) -> Iterator[str]:
    """Facts that are not findings."""
    guards = Counter(each.verdict.how.partition(":")[0] for each in attack.of(Outcome.GUARD))
    for guard, refused in guards.items():
        yield f"{guard} refused {many(refused, 'request')}."
    for holder in attack.holders:
        if holder.token_status is TokenStatus.TOKENLESS:
            yield f"{holder.identity.name}: {holder.token_status} ({holder.note})."
        elif holder.token_status is TokenStatus.READY and holder.note:
            yield f"{holder.identity.name}: its token is {holder.note}."
    if withheld := attack.of(Outcome.WITHHELD):
        names = ", ".join(dict.fromkeys(each.identity.name for each in withheld))
        yield (
            f"RBAC refused {many(len(withheld), 'request')} of {names} that the values declare. "
            "To find the missing rights: agent-identities verify"
        )
    if attack.pairs < attack.possible_pairs:
        pairs = f"{attack.pairs:,} of {attack.possible_pairs:,} pairs of siblings"
        yield f"{pairs} were tried: in a large fleet, each agent attacks the next {SIBLINGS} agents in the list."


def summary(attack: Attack) -> str:
    """The counts in one line."""
    counts = [
        f"{attack.count(outcome):,} {outcome.value}"
        for outcome in _COLUMNS
        if outcome not in _BAD and attack.count(outcome)
    ]
    parts = (
        many(sum(one.token_status is TokenStatus.READY for one in attack.holders), "identity", "identities"),
        f"{many(len(attack.attempts), 'request')} in {attack.seconds:.1f} s",
        f"{many(attack.pairs, 'pair')} of siblings",
        *counts,
        f"{attack.count(Outcome.UNEXPECTED):,} unexpected",
        f"{attack.count(Outcome.NOT_SENT):,} not sent",
    )
    return ("INCONCLUSIVE: " if attack.inconclusive else "") + " · ".join(parts)


# ---- tables


def _listing(attack: Attack) -> Table:
    return listing_table(
        ("agent", "id", "request", "outcome", "how"),
        (
            (
                (each.identity.name, each.request.id, _request(each), each.outcome.value, each.verdict.how),
                each.outcome in _BAD,
            )
            for each in attack.attempts
        ),
    )


def _table(attack: Attack) -> Table:
    return counts_table(*_rows(attack))


def _rows(attack: Attack) -> tuple[tuple[str, ...], list[Row]]:
    """Header and rows, without outcomes that did not occur; in a large fleet also without agents without findings."""
    shown = [outcome for outcome in _COLUMNS if attack.count(outcome) or outcome in (Outcome.RBAC, *_BAD)]
    header = ("agent", "requests", *(_COLUMNS[outcome][0] for outcome in shown))
    rows, omitted = [], 0
    for holder in attack.holders:
        bad = holder in attack.without_token or any(attack.count(outcome, holder.identity) for outcome in _BAD)
        if not bad and len(attack.holders) > _MOST_ROWS:
            omitted += 1
            continue
        label = holder.identity.name
        if holder.token_status is not TokenStatus.READY:
            label += f" ({holder.token_status})"
        numbers = [attack.count(outcome, holder.identity) for outcome in shown]
        requests = sum(attack.count(outcome, holder.identity) for outcome in _COLUMNS)
        rows.append(((label, f"{requests:,}", *map(number, numbers)), bad))
    if omitted:
        rows.append(((f"{omitted} more, no findings", "", *("" for _ in shown)), False))
    total = ("all", f"{len(attack.attempts):,}", *(number(attack.count(outcome)) for outcome in shown))
    return header, [*rows, (total, False)]


# ---- data


def _data(attack: Attack) -> dict[str, object]:
    return {
        "server": attack.server,
        "namespace": attack.declaration.namespace,
        "inconclusive": attack.inconclusive,
        "seconds": round(attack.seconds, 3),
        "pairs": attack.pairs,
        "possiblePairs": attack.possible_pairs,
        "counts": {key: attack.count(outcome) for outcome, (_, key) in _COLUMNS.items()},
        "agents": [
            {
                "name": holder.identity.name,
                "namespace": holder.identity.namespace,
                "entry": holder.identity.entry,
                "tokenStatus": holder.token_status.value,
                "pod": holder.pod,
                "note": holder.note,
                "counts": {key: attack.count(outcome, holder.identity) for outcome, (_, key) in _COLUMNS.items()},
            }
            for holder in attack.holders
        ],
        "unexpected": [_json_attempt(each) for each in attack.of(Outcome.UNEXPECTED)],
        "notSent": [_json_attempt(each) for each in attack.of(Outcome.NOT_SENT)],
        "attempts": [_json_attempt(each) for each in attack.attempts],
    }


def _json_attempt(attempt: Attempt) -> dict[str, object]:
    request = attempt.request
    return {
        "agent": attempt.identity.name,
        "namespace": attempt.identity.namespace,
        "id": request.id,
        "target": request.target,
        "rule": request.rule,
        "why": request.why,
        "request": request_data(request),
        "needs": request.needs.action,
        "outcome": _COLUMNS[attempt.outcome][1],
        "status": attempt.status,
        "how": attempt.verdict.how,
        "allowedBy": attempt.allowed_by,
    }


# ---- words


def _right(attempt: Attempt) -> str:
    """``patch secrets in agent-system``."""
    info = attempt.request.needs
    where = f" in {info.namespace}" if info.namespace else ""
    right = f"{info.action}{where}"
    return f"impersonate ({right})" if impersonated(attempt.request.headers) else right


def _request(attempt: Attempt) -> str:
    if attempt.request.asks is not None:
        return f"SelfSubjectAccessReview: {_right(attempt)}"
    return request_line(attempt.request)
