"""Mutation testing of the chart: `make mutants`.

Layers: templates (a line dropped, a condition negated, a word changed), the schema (a keyword loosened or tightened),
rendered objects (changed as an attacker or a mistake would), and guards in force on an API server. The invariants
(tests/support/invariants.py) judge each mutant. A mutant that no test notices must be listed in
tests/corpus/mutants/survivors.yaml, with the reason.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from agent_identities.bundled import chart_path
from agent_identities.toolchain import DEFAULT_KUBERNETES, provide
from mutation.judge import Judge
from mutation.layers import LAYERS, Layer, judged_live, templates
from mutation.lists import NO_REASON, accept, survivors
from mutation.mutant import Mutant, Verdict
from render_worker import RenderWorker, WorkerRenderer
from support.cases import cases

LEAST_RATE: Final = 0.95
COMMAND: Final = "make mutants ARGS='--layer {layer} --accept'"


@dataclass(slots=True)
class LayerResult:
    """The verdicts on a layer's mutants, sorted.

    ``killed``: id -> the invariants that notice it. ``survivors``: not noticed, and not listed. ``listed``: not
    noticed, and listed with a reason. ``left``: the layer guards-live judges these. ``words``: only the words of a
    message differ, and its meaning is judged to be the same.
    """

    layer: str
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    killed: dict[str, set[str]] = field(default_factory=dict)
    survivors: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """The ratio of killed mutants to mutants that a test should notice."""
        return len(self.killed) / max(len(self.killed) + len(self.survivors), 1)


def run(layer: Layer, listed: Mapping[str, str], only: str, progress: Progress) -> LayerResult:
    """Judges every mutant of a layer."""
    started = time.monotonic()
    result = LayerResult(layer.name)
    mutants = [mutant for mutant in layer.mutants() if only in mutant.id]
    task = progress.add_task(layer.name, total=len(mutants))

    def judge(mutant: Mutant) -> Verdict:
        verdict = layer.judge(mutant)
        progress.advance(task)
        done = round(progress.tasks[task].completed)
        if not progress.console.is_terminal and done % (len(mutants) // 10 + 1) == 0:
            progress.console.print(f"{layer.name}: {done:,} of {len(mutants):,}")
        return verdict

    with ThreadPoolExecutor(layer.threads) as pool:
        result.verdicts = dict(zip([mutant.id for mutant in mutants], pool.map(judge, mutants), strict=True))
    for mutant in mutants:
        verdict = result.verdicts[mutant.id]
        if missing := layer.must_notice(mutant) - verdict.broken.keys():
            result.trouble.append(f"{mutant.id}: not noticed by {', '.join(sorted(missing))} ({mutant.change})")
        _sort(mutant, verdict, listed, result)
    gone = [name for name in listed if only in name and name not in result.verdicts]
    result.trouble += [f"{name}: listed as a survivor, but there is no such mutant" for name in gone]
    result.seconds = time.monotonic() - started
    return result


def _sort(mutant: Mutant, verdict: Verdict, listed: Collection[str], result: LayerResult) -> None:
    """Adds a mutant to the list of its verdict."""
    if verdict.broken:
        result.killed[mutant.id] = set(verdict.broken)
        if mutant.id in listed:
            by = ", ".join(sorted(verdict.broken))
            result.trouble.append(f"{mutant.id}: listed as a survivor, but noticed by {by}:\n{verdict}")
    elif mutant.id in listed:
        result.listed.append(mutant.id)
    elif verdict.differs == "guards" and isinstance(path := getattr(mutant, "path", None), str) and judged_live(path):
        result.left.append(mutant.id)
    elif verdict.differs == "words":
        result.words.append(mutant.id)
    else:
        result.survivors.append(mutant.id)
        result.trouble.append(f"{mutant.id}: survives ({mutant.change})")


COLUMNS: Final = (
    ("mutants", "all"),
    ("killed", "an invariant notices it"),
    ("listed", "survives, and is listed with the reason"),
    ("words", "only the words of a message differ"),
    ("left", "for guards-live to judge"),
    ("survive", "survives, and is not listed"),
)


def counts(result: LayerResult) -> dict[str, int]:
    """The columns of a layer."""
    return {
        "mutants": len(result.verdicts),
        "killed": len(result.killed),
        "listed": len(result.listed),
        "words": len(result.words),
        "left": len(result.left),
        "survive": len(result.survivors),
    }


def report(results: Sequence[LayerResult], console: Console) -> None:
    """The tables of the layers and of the invariants."""
    table = Table("layer", *(name for name, _ in COLUMNS), "seconds", box=None)
    for one in results:
        table.add_row(one.layer, *(f"{count:,}" for count in counts(one).values()), f"{one.seconds:.0f}")
    console.print(table)
    console.print("\n".join(f"{name}: {meaning}" for name, meaning in COLUMNS), style="dim")
    noticed: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for broken in (broken for one in results for broken in one.killed.values()):
        noticed.update(broken)
        alone.update(broken if len(broken) == 1 else ())
    table = Table("invariant", "notices", "is the only one for", box=None)
    for invariant, number in noticed.most_common():
        table.add_row(invariant, f"{number:,}", f"{alone[invariant]:,}")
    console.print(table)


def figures(results: Sequence[LayerResult], coverage: tuple[int, list[str]] | None) -> dict[str, Any]:
    """The results in JSON, for ci/prove.py."""
    found: dict[str, Any] = {"layers": [{"layer": one.layer, **counts(one)} for one in results]}
    if coverage is not None:
        found["coverage"] = {"branches": coverage[0], "reached": coverage[0] - len(coverage[1])}
    return found


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="mutation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = "template, schema, object, guards-live, coverage"
    parser.add_argument("--layer", nargs="*", metavar="LAYER", help=f"only these: {names}")
    parser.add_argument("--only", default="", metavar="TEXT", help="only mutants whose id has this text")
    parser.add_argument("--kubernetes", default=DEFAULT_KUBERNETES, metavar="MINOR", help="API server of guards-live")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--verdicts", type=Path, metavar="FILE", help="write what is wrong with each mutant to FILE")
    parser.add_argument(
        "--accept",
        action="store_true",
        help="rewrite tests/corpus/mutants by this run; read the difference, then commit",
    )
    return parser.parse_args()


def main() -> int:
    """Runs the layers. The exit status is 0 if every mutant is noticed or listed with a reason."""
    given = options()
    listed = survivors()
    console = Console()
    results: list[LayerResult] = []
    coverage: tuple[int, list[str]] | None = None
    worker = provide(["render-worker"])["render-worker"].path
    with RenderWorker(worker) as process, Progress(console=console, transient=True) as progress:
        judge = Judge(WorkerRenderer(process, chart_path()), cases())
        if broken := judge.baseline():
            for invariant, sentences in broken.items():
                for sentence in sentences[:5]:
                    console.print(
                        f"✗ the chart as it is breaks {invariant}: {sentence}", style="bold red", markup=False
                    )
            return 1
        if not given.only and (not given.layer or {"template", "coverage"} & set(given.layer)):
            progress.add_task("coverage", total=None)
            reach = judge.find_reach(dict(templates()))
            coverage = reach.total, [str(branch) for branch in reach.unreached()]
        for name, layer_of in LAYERS.items():
            if not given.layer or name in given.layer:
                with layer_of(judge, given.kubernetes) as layer:
                    results.append(run(layer, listed.get(name, {}), given.only, progress))
    report(results, console)
    if given.json:
        given.json.write_text(json.dumps(figures(results, coverage), indent=2), encoding="utf-8")
    if given.verdicts:
        verdicts = {
            one.layer: {name: verdict.broken or verdict.differs for name, verdict in one.verdicts.items()}
            for one in results
        }
        given.verdicts.write_text(json.dumps(verdicts, indent=1), encoding="utf-8")
    if coverage is not None:
        console.print(f"branches of the templates: {coverage[0]:,}, reached {coverage[0] - len(coverage[1]):,}")
    if given.accept:
        return _accept(results, given.only, console)
    trouble = list(_trouble(results, coverage, listed))
    for line in trouble:
        console.print(f"✗ {line}", style="red", markup=False, highlight=False)
    if any(result.trouble for result in results):
        command = COMMAND.format(layer=next(result.layer for result in results if result.trouble))
        console.print(f"After reading these, rewrite the lists: {command}", highlight=False)
    return 1 if trouble else 0


def _accept(results: Sequence[LayerResult], only: str, console: Console) -> int:
    """Rewrites the lists, and shows what changes."""
    lines = [
        line
        for result in results
        for line in accept(result.layer, result.verdicts, {*result.left, *result.words}, lambda mutant: only in mutant)
    ]
    for line in lines:
        console.print(line, style="green" if line.startswith("+") else "red", markup=False, highlight=False)
    console.print(f"{len(lines)} changes. Read them: git diff tests/corpus/mutants", highlight=False)
    return 0


def _trouble(
    results: Sequence[LayerResult], coverage: tuple[int, list[str]] | None, listed: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """The failures of a run, one per line."""
    lines = [line for one in results for line in one.trouble]
    lines += [f"{one.layer}: {one.rate:.1%} is less than {LEAST_RATE:.0%}" for one in results if one.rate < LEAST_RATE]
    lines += [
        f"{mutant}: listed without a reason in tests/corpus/mutants/survivors.yaml"
        for layer in listed.values()
        for mutant, why in layer.items()
        if why == NO_REASON
    ]
    if coverage is not None:
        unreached = set(coverage[1]) - listed.get("coverage", {}).keys()
        lines += [f"{branch}: no case reaches this branch" for branch in sorted(unreached)]
    return lines


if __name__ == "__main__":
    sys.exit(main())
