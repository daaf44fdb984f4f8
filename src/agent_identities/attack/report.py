"""Who tried what, and how it was stopped: the red team's run as text, as JSON and as Markdown."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent_identities.attack.requests import SIBLINGS
from agent_identities.attack.run import Attack, Attempt
from agent_identities.attack.tokens import Holder, Standing
from agent_identities.attack.verdict import Outcome, impersonated
from agent_identities.verify.surprises import cure

_WIDTH_OF_FILES = 120
_MOST_ROWS = 40
_MOST_FINDINGS = 20
_MOST_MOVES = 6
_ASCII = str.maketrans({"·": ".", "✗": "x", "→": "->", "…": "~"})

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
    "RBAC = 403 of the API server's authorizer · guard = refused by an admission policy that names itself · "
    "token = 401 · asked = denied by SelfSubjectAccessReview, for rights that no request uses alone · "
    "declared = allowed, and the values say so · everyone = Kubernetes allows it to every ServiceAccount"
)
_BAD = (Outcome.UNEXPECTED, Outcome.NOT_SENT)


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence and what to know about it."""

    what: str
    lines: tuple[str, ...] = ()


def findings(attack: Attack) -> Iterator[Finding]:
    """What is wrong: failed controls, agents that could not be attacked from, what succeeded, what was not sent."""
    for control in attack.failed_controls:
        yield Finding(
            f"{control.identity.name}: the positive control {control.move.id} did not succeed ({control.verdict.how}).",
            ("The refusals beside it would prove nothing: the run is void. Mend that, then run it again.",),
        )
    for holder in attack.unarmed:
        yield Finding(
            f"{holder.identity.name}: {holder.standing} ({holder.note}): nothing was tried with it.", _arm(holder)
        )
    yield from _successes(attack)
    yield from _silences(attack)


def _arm(holder: Holder) -> tuple[str, ...]:
    if holder.standing is Standing.ABSENT:
        return (
            "Install these values (helm upgrade --install), take it out of them, or name another namespace with -n.",
        )
    return ("Whoever runs this needs create serviceaccounts/token there, and no guard may refuse it.",)


def _successes(attack: Attack) -> Iterator[Finding]:
    """One an agent and a cause, as the API server tells it."""
    causes: dict[tuple[str, str], list[Attempt]] = {}
    lists: dict[str, str] = {}
    for each in attack.of(Outcome.UNEXPECTED):
        if each.move.control:
            lists[each.identity.name] = each.verdict.how
        else:
            causes.setdefault((each.identity.name, each.allowed_by), []).append(each)
    for (name, reason), attempts in causes.items():
        rules = (f"Its own list of rules {lists.pop(name)}.",) if name in lists else ()
        why = (f"API server: {reason}", *cure(reason, allowed=True)) if reason else ()
        count = _many(len(attempts), "move")
        yield Finding(f"{name}: {count} succeeded that the values do not declare.", (*_told(attempts), *rules, *why))
    for name, rules_beyond in lists.items():
        yield Finding(
            f"{name}: its token {rules_beyond}.",
            ("No move made use of it. agent-identities verify names the binding.",),
        )


def _told(attempts: Sequence[Attempt]) -> Iterator[str]:
    """One line for each right that was used."""
    rights: dict[str, list[Attempt]] = {}
    for each in attempts:
        rights.setdefault(_right(each), []).append(each)
    for right, alike in list(rights.items())[:_MOST_MOVES]:
        ids = list(dict.fromkeys(each.move.id for each in alike))
        more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        yield f"{right}: {', '.join(ids)}; {_request(alike[0])} → {alike[0].verdict.how}{more}"
    if len(rights) > _MOST_MOVES:
        yield f"and {len(rights) - _MOST_MOVES} more rights: --output json has every move"


def _silences(attack: Attack) -> Iterator[Finding]:
    reasons: dict[str, list[Attempt]] = {}
    for each in attack.of(Outcome.NOT_SENT):
        if not each.move.control:
            reasons.setdefault(each.verdict.how, []).append(each)
    for reason, attempts in reasons.items():
        names = list(dict.fromkeys(each.identity.name for each in attempts))
        who = ", ".join(names[:_MOST_MOVES]) + (
            f" and {len(names) - _MOST_MOVES} more" if len(names) > _MOST_MOVES else ""
        )
        yield Finding(
            f"{who}: {_many(len(attempts), 'move')} could not be sent, and prove nothing: {reason}",
            (f"The first of them: {_request(attempts[0])}",),
        )


def notes(attack: Attack) -> Iterator[str]:
    """What is worth knowing, though nothing is wrong with it."""
    guards = Counter(each.verdict.how.partition(":")[0] for each in attack.of(Outcome.GUARD))
    for guard, number in guards.items():
        yield f"{guard} stopped {_many(number, 'move')}."
    for holder in attack.holders:
        if holder.standing is Standing.TOKENLESS:
            yield f"{holder.identity.name}: {holder.standing} ({holder.note})."
        elif holder.standing is Standing.READY and holder.note:
            yield f"{holder.identity.name}: its token is {holder.note}."
    if withheld := attack.of(Outcome.WITHHELD):
        names = ", ".join(dict.fromkeys(each.identity.name for each in withheld))
        yield (
            f"{_many(len(withheld), 'move')} of {names} were refused, though the values declare them: "
            "agent-identities verify tells what is missing."
        )
    if attack.pairs < attack.possible_pairs:
        pairs = f"{attack.pairs:,} of {attack.possible_pairs:,} pairs of siblings"
        yield f"{pairs} were played: in a large fleet each attacks the next {SIBLINGS} in the list."
    for command in attack.leftovers:
        yield f"Left behind, because the server would not remove it: {command}"


def summary(attack: Attack) -> str:
    """The counts in one line."""
    counts = [
        f"{attack.count(outcome):,} {outcome.value}"
        for outcome in _COLUMNS
        if outcome not in _BAD and attack.count(outcome)
    ]
    parts = (
        _many(sum(one.standing is Standing.READY for one in attack.holders), "identity", "identities"),
        f"{_many(len(attack.attempts), 'move')} in {attack.seconds:.1f} s",
        f"{_many(attack.pairs, 'pair')} of siblings",
        *counts,
        f"{attack.count(Outcome.UNEXPECTED):,} unexpected",
        f"{attack.count(Outcome.NOT_SENT):,} not sent",
    )
    return ("VOID: " if attack.void else "") + " · ".join(parts)


# ---- text


def print_text(attack: Attack, console: Console | None = None, *, every_move: bool = False) -> None:
    """A line an agent, every finding with what allowed it, and a summary; `every_move` lists all moves before."""
    console = console or _console()
    if console.encoding.startswith("utf"):
        _print(attack, console, every_move=every_move)
        return
    with console.capture() as captured:
        _print(attack, console, every_move=every_move)
    console.file.write(captured.get().translate(_ASCII))


def _print(attack: Attack, console: Console, *, every_move: bool) -> None:
    if every_move:
        for each in attack.attempts:
            style = "bold red" if each.outcome in _BAD else "dim"
            line = f"{each.identity.name}  {each.move.id}  {_request(each)}  {each.outcome.value}: {each.verdict.how}"
            console.print(Text(line, style=style), soft_wrap=True)
        console.print()
    console.print(Text(f"Namespace {attack.declaration.namespace} on {attack.server}", style="dim"), soft_wrap=True)
    console.print()
    console.print(_grid(attack))
    console.print()
    console.print(Text(_LEGEND, style="dim"))
    console.print()
    found = list(findings(attack))
    for finding in found[:_MOST_FINDINGS]:
        console.print(Text(f"✗ {finding.what}", style="bold red"), soft_wrap=True)
        for line in finding.lines:
            console.print(Text(f"    {line}"), soft_wrap=True)
    if len(found) > _MOST_FINDINGS:
        console.print(Text(f"  and {len(found) - _MOST_FINDINGS} more: --output json has every move.", style="red"))
    said = list(notes(attack))
    for note in said:
        console.print(Text(f"! {note}", style="yellow"), soft_wrap=True)
    if found or said:
        console.print()
    console.print(Text(summary(attack), style="bold green" if attack.clean else "bold red"))


def _grid(attack: Attack) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    header, rows = _rows(attack)
    for index, name in enumerate(header):
        grid.add_column(name, justify="right" if index else "left", no_wrap=index > 0)
    for row, bad in rows:
        grid.add_row(*row, style="bold red" if bad else None)
    return grid


def _rows(attack: Attack) -> tuple[tuple[str, ...], list[tuple[tuple[str, ...], bool]]]:
    """Header and rows; outcomes that nobody had are left out, and in a large fleet agents without a finding, too."""
    shown = [outcome for outcome in _COLUMNS if attack.count(outcome) or outcome in (Outcome.RBAC, *_BAD)]
    header = ("agent", "moves", *(_COLUMNS[outcome][0] for outcome in shown))
    rows, quiet = [], 0
    for holder in attack.holders:
        bad = holder in attack.unarmed or any(attack.count(outcome, holder.identity) for outcome in _BAD)
        if not bad and len(attack.holders) > _MOST_ROWS:
            quiet += 1
            continue
        label = holder.identity.name
        if holder.standing is not Standing.READY:
            label += f" ({holder.standing})"
        numbers = [attack.count(outcome, holder.identity) for outcome in shown]
        moves = sum(attack.count(outcome, holder.identity) for outcome in _COLUMNS)
        rows.append(((label, f"{moves:,}", *(_number(number) for number in numbers)), bad))
    if quiet:
        rows.append(((f"{quiet} more, nothing found", "", *("" for _ in shown)), False))
    total = ("all", f"{len(attack.attempts):,}", *(_number(attack.count(outcome)) for outcome in shown))
    return header, [*rows, (total, False)]


def _number(number: int) -> str:
    return f"{number:,}" if number else "·"


# ---- JSON and Markdown


def to_json(attack: Attack) -> str:
    """Every move, for machines.

    {"server", "namespace", "clean", "void", "seconds", "pairs", "possiblePairs", "counts": {outcome: number},
    "agents": [{name, namespace, entry, standing, pod, note, counts}], "notes": [text], "unexpected": [attempt],
    "notSent": [attempt], "attempts": [attempt]}; an attempt is {"agent", "namespace", "move", "target", "rule", "why",
    "request": {method, path, as}, "needs", "outcome", "status", "how", "allowedBy"}.
    """
    report = {
        "server": attack.server,
        "namespace": attack.declaration.namespace,
        "clean": attack.clean,
        "void": attack.void,
        "seconds": round(attack.seconds, 3),
        "pairs": attack.pairs,
        "possiblePairs": attack.possible_pairs,
        "counts": {key: attack.count(outcome) for outcome, (_, key) in _COLUMNS.items()},
        "agents": [
            {
                "name": holder.identity.name,
                "namespace": holder.identity.namespace,
                "entry": holder.identity.entry,
                "standing": holder.standing.value,
                "pod": holder.pod,
                "note": holder.note,
                "counts": {key: attack.count(outcome, holder.identity) for outcome, (_, key) in _COLUMNS.items()},
            }
            for holder in attack.holders
        ],
        "notes": list(notes(attack)),
        "unexpected": [_json_attempt(each) for each in attack.of(Outcome.UNEXPECTED)],
        "notSent": [_json_attempt(each) for each in attack.of(Outcome.NOT_SENT)],
        "attempts": [_json_attempt(each) for each in attack.attempts],
    }
    return json.dumps(report, indent=2)


def _json_attempt(attempt: Attempt) -> dict[str, object]:
    move = attempt.move
    return {
        "agent": attempt.identity.name,
        "namespace": attempt.identity.namespace,
        "move": move.id,
        "target": move.target,
        "rule": move.rule,
        "why": move.why,
        "request": {"method": move.method, "path": move.path, "as": impersonated(move.headers)},
        "needs": str(move.info),
        "outcome": _COLUMNS[attempt.outcome][1],
        "status": attempt.status,
        "how": attempt.verdict.how,
        "allowedBy": attempt.allowed_by,
    }


def to_markdown(attack: Attack, *, every_move: bool = False) -> str:
    """The same as the text, for a pull request or a CI summary."""
    header, rows = _rows(attack)
    blocks = [_markdown_table(header, [row for row, _ in rows]), _escape(_LEGEND)]
    blocks += [
        "\n".join([f"- ❌ **{_escape(finding.what)}**", *(f"  {_escape(line)}  " for line in finding.lines)])
        for finding in findings(attack)
    ]
    blocks += [f"- ⚠️ {_escape(note)}" for note in notes(attack)]
    blocks.append(f"**{_escape(summary(attack))}**")
    if every_move:
        moves = [
            (each.identity.name, each.move.id, _request(each), each.outcome.value, each.verdict.how)
            for each in attack.attempts
        ]
        blocks.append(_markdown_table(("agent", "move", "request", "outcome", "how"), moves))
    return "\n\n".join(blocks) + "\n"


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([_escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escape(text: str) -> str:
    for mark in "\\*|_<>`[]":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


# ---- words


def _right(attempt: Attempt) -> str:
    """``patch secrets in agent-system``."""
    info = attempt.move.info
    where = f" in {info.namespace}" if info.namespace else ""
    return f"impersonate ({info}{where})" if impersonated(attempt.move.headers) else f"{info}{where}"


def _request(attempt: Attempt) -> str:
    """``POST /api/v1/...``, and as whom where it is sent as somebody else."""
    move = attempt.move
    if move.asks is not None:
        return f"SelfSubjectAccessReview: may it {_right(attempt)}?"
    acting = impersonated(move.headers)
    return f"{move.method} {move.path}{f' as {acting}' if acting else ''}"


def _many(number: int, noun: str, nouns: str = "") -> str:
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        return Console(highlight=False, width=_WIDTH_OF_FILES)
    return console
