"""The report of attack --as-persona: the moves of each persona, and what refused them."""

from collections.abc import Iterator
from functools import partial

from agent_identities.attack.as_personas import Ending, PersonaAttack, Try, by_guard, ways_through
from agent_identities.attack.moves import not_tried
from agent_identities.attack.report_parts import counts_table, listing_table, number, request_data, request_line
from agent_identities.report.model import Finding, Report, Severity, Table, many

_COLUMNS = {
    Ending.RBAC: ("RBAC", "rbac"),
    Ending.GUARD: ("guard", "guard"),
    Ending.THROUGH: ("went through", "wentThrough"),
    Ending.OPEN: ("nothing stops", "nothingStops"),
    Ending.DECLARED: ("declared", "declared"),
    Ending.NOT_TRIED: ("not tried", "notTried"),
    Ending.NOT_SENT: ("not sent", "notSent"),
}
"""Header and JSON key of each ending."""

_LEGEND = (
    "RBAC = 403 of the API server's authorizer · guard = refused by the admission policy in the answer · "
    "went through = a guard should have refused it · nothing stops = no guard can refuse it: see docs/guards.md · "
    "declared = a right of the stolen token · not tried = does not exist in this release or version"
)
_BAD = (Ending.THROUGH, Ending.NOT_SENT)


def build(attack: PersonaAttack, *, listing: bool = False) -> Report:
    """The run as a report; ``listing`` adds every move.

    JSON has, in addition to the common keys, {"server", "namespace", "inconclusive", "seconds", "counts": {ending:
    number}, "personas": [{"name", "what", "user", "note", "counts"}], "guards": {policy: number}, "moves": [{"persona",
    "id", "findings", "why", "request": {method, path, as}, "expected": [guard], "ending", "guard", "how"}], "notTried":
    [sentence]}. Every request that writes was a dry run.
    """
    return Report(
        command="attack",
        ok=attack.ok,
        summary=summary(attack),
        about=f"Namespace {attack.declaration.namespace} on {attack.server}",
        tables=(_table(attack),),
        legend=_LEGEND,
        findings=tuple(findings(attack)),
        notes=tuple(notes(attack)),
        listing=_listing(attack) if listing else None,
        data=partial(_data, attack),
    )


def summary(attack: PersonaAttack) -> str:
    """The counts in one line."""
    parts = (
        many(len(attack.attacking), "persona"),
        f"{many(len(attack.tries), 'move')} in {attack.seconds:.1f} s",
        *(f"{attack.count(ending):,} {ending.value}" for ending in _COLUMNS if ending in _BAD or attack.count(ending)),
    )
    return ("INCONCLUSIVE: " if attack.inconclusive else "") + " · ".join(parts)


def findings(attack: PersonaAttack) -> Iterator[Finding]:
    """Moves that went through, moves without an answer, leftovers; then, as warnings, moves that nothing stops."""
    for move, tries in ways_through(attack.tries, Ending.THROUGH):
        guards = " or ".join(move.guards)
        yield Finding(
            "went-through",
            Severity.ERROR,
            f"{_who(tries)}: {move.id} went through: {move.why}.",
            details=(f"{_request(tries[0])} → {tries[0].how}",),
            remediation=(f"Turn on the guard whose policy is {guards}: see docs/guards.md",),
        )
    for move, tries in ways_through(attack.tries, Ending.NOT_SENT):
        yield Finding(
            "not-sent",
            Severity.ERROR,
            f"{_who(tries)}: the answer to {move.id} shows neither a refusal nor a success, and proves nothing.",
            details=(f"{_request(tries[0])} → {tries[0].how}",),
        )
    for command in attack.leftovers:
        yield Finding("left-behind", Severity.ERROR, "An object of this run was not deleted.", remediation=(command,))
    for move, tries in ways_through(attack.tries, Ending.OPEN):
        yield Finding(
            "nothing-stops",
            Severity.WARNING,
            f"{_who(tries)}: nothing stops {move.id}: {move.why}.",
            remediation=(move.nothing,),
        )


def notes(attack: PersonaAttack) -> Iterator[str]:
    """What each guard refused, which moves were not tried and why, and what no move tries."""
    for guard, refused in sorted(by_guard(attack.tries).items()):
        yield f"ValidatingAdmissionPolicy {guard} refused {many(refused, 'move')}."
    for one in attack.attacking:
        if one.note:
            yield f"{one.persona.name} has no token ({one.note}): it tried nothing."
    reasons: dict[str, dict[str, None]] = {}
    with_token = {one.persona.name for one in attack.attacking if one.api is not None}
    for each in attack.of(Ending.NOT_TRIED):
        if each.persona in with_token:
            reasons.setdefault(each.how, {})[each.move.id] = None
    for reason, ids in reasons.items():
        yield f"Not tried, because {reason}: {', '.join(ids)}."
    yield from not_tried()


def _who(tries: list[Try]) -> str:
    return ", ".join(each.persona for each in tries)


def _request(each: Try) -> str:
    return request_line(each.request) if each.request is not None else ""


def _table(attack: PersonaAttack) -> Table:
    shown = [ending for ending in _COLUMNS if attack.count(ending) or ending in (Ending.RBAC, Ending.GUARD, *_BAD)]
    rows = []
    for name in (*(one.persona.name for one in attack.attacking), ""):
        total = sum(attack.count(ending, name) for ending in _COLUMNS)
        bad = bool(name) and any(attack.count(ending, name) for ending in _BAD)
        numbers = (number(attack.count(ending, name)) for ending in shown)
        rows.append(((name or "all", f"{total:,}", *numbers), bad))
    return counts_table(("persona", "moves", *(_COLUMNS[ending][0] for ending in shown)), rows)


def _listing(attack: PersonaAttack) -> Table:
    return listing_table(
        ("persona", "move", "request", "ending", "how"),
        (
            ((each.persona, each.move.id, _request(each), each.ending.value, each.how), each.ending in _BAD)
            for each in attack.tries
        ),
    )


def _data(attack: PersonaAttack) -> dict[str, object]:
    return {
        "server": attack.server,
        "namespace": attack.declaration.namespace,
        "inconclusive": attack.inconclusive,
        "seconds": round(attack.seconds, 3),
        "counts": _numbers(attack, ""),
        "personas": [
            {
                "name": one.persona.name,
                "what": one.persona.what,
                "user": one.user.name,
                "note": one.note,
                "counts": _numbers(attack, one.persona.name),
            }
            for one in attack.attacking
        ],
        "guards": dict(sorted(by_guard(attack.tries).items())),
        "moves": [_json_try(each) for each in attack.tries],
        "notTried": list(not_tried()),
    }


def _numbers(attack: PersonaAttack, persona: str) -> dict[str, int]:
    return {key: attack.count(ending, persona) for ending, (_, key) in _COLUMNS.items()}


def _json_try(each: Try) -> dict[str, object]:
    return {
        "persona": each.persona,
        "id": each.move.id,
        "findings": list(each.move.findings),
        "why": each.move.why,
        "request": request_data(each.request) if each.request is not None else None,
        "expected": list(each.move.guards),
        "ending": _COLUMNS[each.ending][1],
        "guard": each.guard,
        "how": each.how,
    }
