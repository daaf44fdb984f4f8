"""The chart broken in one place, thousands of times: `make mutants`.

Layers: templates (a line dropped, a condition turned round, a word changed), the schema (a keyword loosened or
tightened) and rendered objects (what an attacker or a slip of the hand would change). Each mutant is held against the
invariants (tests/support/invariants.py); what the expressions of guards do, a real API server is asked. A mutant that
nobody notices must be listed in tests/corpus/mutants/survivors.yaml, with the reason.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from rich.console import Console  # noqa: E402  # support is found by the line above
from rich.progress import Progress  # noqa: E402
from rich.table import Table  # noqa: E402

from agent_identities.bundled import chart_path  # noqa: E402
from agent_identities.toolchain import DEFAULT_KUBERNETES, provide  # noqa: E402
from mutation import Mutant  # noqa: E402
from render_worker import RenderWorker, WorkerRenderer  # noqa: E402
from support.invariants import cases  # noqa: E402
from support.judge import REVIEWED, Judge  # noqa: E402
from support.mutation import Layer, layers, survivors, templates  # noqa: E402

LEAST_RATE: Final = 0.95


@dataclass(slots=True)
class Result:
    """What became of a layer's mutants: each with the invariants that it breaks."""

    layer: str
    killed: dict[str, set[str]] = field(default_factory=dict)
    survivors: dict[str, Mutant] = field(default_factory=dict)
    equivalent: int = 0
    trouble: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def counted(self) -> int:
        """All but those that are listed, with the reason, as no change at all."""
        return len(self.killed) + len(self.survivors)

    @property
    def only_reviewed(self) -> int:
        """Killed because somebody had read the words, and by nothing else."""
        return sum(broken == {REVIEWED} for broken in self.killed.values())

    @property
    def rate(self) -> float:
        return len(self.killed) / max(self.counted, 1)


def run(layer: Layer, listed: Mapping[str, str], only: str, progress: Progress) -> Result:
    """Judges every mutant of a layer."""
    started = time.monotonic()
    result = Result(layer.name)
    mutants = [mutant for mutant in layer.mutants() if only in mutant.id]
    task = progress.add_task(layer.name, total=len(mutants))

    def judge(mutant: Mutant) -> set[str]:
        broken = layer.kill(mutant)
        progress.advance(task)
        done = round(progress.tasks[task].completed)
        if not progress.console.is_terminal and done % (len(mutants) // 10 + 1) == 0:
            progress.console.print(f"{layer.name}: {done:,} of {len(mutants):,}")
        return broken

    with ThreadPoolExecutor(layer.threads) as pool:
        judged = dict(zip([mutant.id for mutant in mutants], pool.map(judge, mutants), strict=True))
    for mutant in mutants:
        broken = judged[mutant.id]
        if missing := layer.must_notice(mutant) - broken:
            result.trouble.append(f"{mutant.id}: {', '.join(sorted(missing))} should notice it ({mutant.change})")
        if broken:
            result.killed[mutant.id] = broken
            if mutant.id in listed:
                result.trouble.append(
                    f"{mutant.id}: is listed as a survivor, and {', '.join(sorted(broken))} notices it"
                )
        elif mutant.id in listed:
            result.equivalent += 1
        else:
            result.survivors[mutant.id] = mutant
            result.trouble.append(f"{mutant.id}: survives ({mutant.change})")
    if not only:
        result.trouble += [
            f"{name}: is listed as a survivor, and there is no such mutant" for name in listed.keys() - judged.keys()
        ]
    result.seconds = time.monotonic() - started
    return result


def report(results: Sequence[Result], console: Console) -> None:
    """The layers, and the invariants with what each notices."""
    table = Table("layer", "mutants", "no change", "killed", "by reading alone", "survive", "rate", "seconds", box=None)
    for one in results:
        cells = (one.counted + one.equivalent, one.equivalent, len(one.killed), one.only_reviewed, len(one.survivors))
        table.add_row(one.layer, *(f"{cell:,}" for cell in cells), f"{one.rate:.1%}", f"{one.seconds:.0f}")
    console.print(table)
    noticed: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for broken in (broken for one in results for broken in one.killed.values()):
        noticed.update(broken)
        alone.update(broken if len(broken) == 1 else ())
    table = Table("invariant", "notices", "is the only one for", box=None)
    for invariant, number in noticed.most_common():
        table.add_row(invariant, f"{number:,}", f"{alone[invariant]:,}")
    console.print(table)


def figures(results: Sequence[Result], coverage: tuple[int, list[str]] | None) -> dict[str, Any]:
    """For ci/prove.py."""
    found: dict[str, Any] = {
        "layers": [
            {
                "layer": one.layer,
                "counted": one.counted,
                "killed": len(one.killed),
                "by_reading_alone": one.only_reviewed,
                "equivalent": one.equivalent,
                "rate": one.rate,
            }
            for one in results
        ]
    }
    if coverage is not None:
        found["coverage"] = {"branches": coverage[0], "reached": coverage[0] - len(coverage[1])}
    return found


def main() -> int:
    """Runs the layers; the exit status is 0 if all is noticed that is not listed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--layer", nargs="*", metavar="LAYER", help="only these: template, schema, object, guards-live, coverage"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only mutants whose id holds this")
    parser.add_argument(
        "--kubernetes", default=DEFAULT_KUBERNETES, metavar="MINOR", help="of the server that guards run on"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--killed", type=Path, metavar="FILE", help="write there which invariants notice which mutant")
    given = parser.parse_args()
    listed = survivors()
    console = Console()
    results: list[Result] = []
    coverage: tuple[int, list[str]] | None = None
    worker = provide(["render-worker"])["render-worker"].path
    with RenderWorker(worker) as process, Progress(console=console, transient=True) as progress:
        judge = Judge(WorkerRenderer(process, chart_path()), cases())
        if broken := judge.baseline().broken:
            for invariant, where in broken.items():
                console.print(
                    f"✗ {invariant} is broken by the chart as it is: {', '.join(where[:5])}", style="bold red"
                )
            return 1
        if not given.only and (not given.layer or {"template", "coverage"} & set(given.layer)):
            progress.add_task("coverage", total=None)
            reach = judge.find_reach(dict(templates()))
            coverage = reach.total, [str(branch) for branch in reach.unreached()]
        for layer in layers(judge, given.kubernetes):
            if not given.layer or layer.name in given.layer:
                with layer:
                    results.append(run(layer, listed.get(layer.name, {}), given.only, progress))
    report(results, console)
    trouble = [line for one in results for line in one.trouble]
    trouble += [
        f"{one.layer}: {one.rate:.1%} is less than {LEAST_RATE:.0%}" for one in results if one.rate < LEAST_RATE
    ]
    if coverage is not None:
        unreached = set(coverage[1]) - listed.get("coverage", {}).keys()
        console.print(f"branches of the templates: {coverage[0]:,}, reached {coverage[0] - len(coverage[1]):,}")
        trouble += [f"{branch}: no case reaches it" for branch in sorted(unreached)]
    if given.json:
        given.json.write_text(json.dumps(figures(results, coverage), indent=2), encoding="utf-8")
    if given.killed:
        killed = {one.layer: {name: sorted(broken) for name, broken in one.killed.items()} for one in results}
        given.killed.write_text(json.dumps(killed, indent=1), encoding="utf-8")
    for line in trouble:
        console.print(f"✗ {line}", style="red", markup=False, highlight=False)
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
