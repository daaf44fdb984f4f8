"""The lists in tests/corpus/mutants: survivors with their reasons, and the mutants that `make test` tries.

`make mutants ARGS=--accept` rewrites both after a run. It writes no reasons: a survivor without one fails the run.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent_identities.chart import yaml
from mutation.mutant import Verdict

CORPUS: Final = Path(__file__).parents[2] / "tests" / "corpus" / "mutants"
SURVIVORS: Final = "survivors.yaml"
NOTICED: Final = "noticed.yaml"
NO_REASON: Final = "TODO: say why no test can notice these mutants, or add a case that does."
"""The placeholder for a missing reason."""

Groups = dict[str, list[dict[str, Any]]]
"""Layer -> the entries of a list."""


def read(name: str) -> Groups:
    """A list in its file."""
    found: Groups = yaml.load((CORPUS / name).read_text(encoding="utf-8"), name=name)
    return found


def survivors() -> dict[str, dict[str, str]]:
    """Layer -> id of a mutant that no test notices -> the reason."""
    return {
        layer: {mutant: group["why"] for group in groups for mutant in group["mutants"]}
        for layer, groups in read(SURVIVORS).items()
    }


@dataclass(frozen=True, slots=True)
class Noticed:
    """A mutant, and invariants that notice it, in one case if the layer has cases. Others can notice it, too."""

    layer: str
    mutant: str
    by: frozenset[str]
    case: str = ""

    def __str__(self) -> str:
        return self.mutant


def noticed(layer: str) -> list[Noticed]:
    """The mutants of a layer that `make test` tries: for each invariant, one mutant that it notices."""
    found = read(NOTICED)[layer]
    return [Noticed(layer, one["mutant"], frozenset(one["by"]), one.get("case", "")) for one in found]


# ---- rewriting the lists

InRun = Callable[[str], bool]
"""Whether a run judged the mutant with an id."""


def accept(layer: str, judged: Mapping[str, Verdict], left: Collection[str], in_run: InRun) -> Iterator[str]:
    """Rewrites both lists with the results of a layer, and yields a line for each change.

    ``left``: mutants that another layer judges; they survive here without an entry.
    """
    groups = read(SURVIVORS)
    yield from _accept_survivors(groups.setdefault(layer, []), judged, left, in_run)
    _write(SURVIVORS, groups)
    entries = read(NOTICED)
    if layer in entries:
        yield from _accept_noticed(entries[layer], judged, in_run)
        _write(NOTICED, entries)


def _accept_survivors(
    groups: list[dict[str, Any]], judged: Mapping[str, Verdict], left: Collection[str], in_run: InRun
) -> Iterator[str]:
    alive = [mutant for mutant, verdict in judged.items() if not verdict.broken and mutant not in left]
    listed = {mutant for group in groups for mutant in group["mutants"]}
    for group in groups:
        for mutant in group["mutants"]:
            if in_run(mutant) and mutant not in alive:
                yield f"- {SURVIVORS}: {mutant}: {'noticed now' if mutant in judged else 'no such mutant'}"
        group["mutants"] = [mutant for mutant in group["mutants"] if not in_run(mutant) or mutant in alive]
    groups[:] = [group for group in groups if group["mutants"]]
    if new := [mutant for mutant in alive if mutant not in listed]:
        groups.append({"why": NO_REASON, "mutants": new})
        yield from (f"+ {SURVIVORS}: {mutant}: write a reason" for mutant in new)


def _accept_noticed(entries: list[dict[str, Any]], judged: Mapping[str, Verdict], in_run: InRun) -> Iterator[str]:
    """Replaces the missing mutant of an entry: the new one has the same invariants and, if possible, file."""
    for entry in [one for one in entries if in_run(one["mutant"]) and one["mutant"] not in judged]:
        yield f"- {NOTICED}: {entry['mutant']}: no such mutant"
        entries.remove(entry)
        taken = {one["mutant"] for one in entries}
        killed = {name: verdict for name, verdict in judged.items() if verdict.broken and name not in taken}
        wanted, path = set(entry["by"]), _file(entry["mutant"])
        if not killed:
            continue
        name, verdict = min(
            killed.items(),
            key=lambda one: (_file(one[0]) != path, len(wanted - one[1].broken.keys()), len(one[1].broken)),
        )
        case = {"case": verdict.case} if verdict.case else {}
        entries.append({"mutant": name, **case, "by": sorted(verdict.broken)})
        yield f"+ {NOTICED}: {name}: noticed by {', '.join(sorted(verdict.broken))}"


def _file(id_: str) -> str:
    return id_.partition(": ")[0].partition(" ")[0]


_HEADS: Final = {
    SURVIVORS: "Mutants that no test notices, with the reason. `make mutants` fails if one is noticed or gone.",
    NOTICED: "For every invariant, mutants that it notices, in one `case` where the layer has cases.",
}


def _write(name: str, groups: Groups) -> None:
    lines = [f"# {_HEADS[name]}", "# `make mutants ARGS=--accept` rewrites this file."]
    for layer, entries in groups.items():
        if not entries:
            continue
        lines.append(f"{layer}:")
        for entry in entries:
            for number, (key, value) in enumerate(entry.items()):
                start = f"  {'-' if not number else ' '} {key}:"
                if key == "mutants":
                    lines += [start, *(f"      - {_text(one)}" for one in value)]
                else:
                    lines.append(f"{start} {_text(value)}")
    (CORPUS / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
