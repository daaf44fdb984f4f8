"""Runs the long tests one after the other, and prints one table of their figures: `make prove`.

All parts use both Helms, a new API server and real tokens. The exit status is 0 only if all parts ran without failures.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import junit
from rich.console import Console
from rich.table import Table

DECISIONS: Final = 10_000
AGENTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of all parts. ``decisions``: the minimum number compared; ``agents``: in the measured release."""

    kubernetes: str
    workers: int
    decisions: int
    agents: int

    def pytest(self, *arguments: str, workers: int | None = None) -> junit.Report:
        """Runs tests on this minor version."""
        number = self.workers if workers is None else workers
        long = {"PROVE_DECISIONS": str(self.decisions), "PROVE_AGENTS": str(self.agents), "PROVE_FAULTS": "1"}
        return junit.pytest(
            ["-n", str(number), "--agent-identities-kubernetes", self.kubernetes, *arguments], os.environ | long
        )


@dataclass(frozen=True, slots=True)
class Proved:
    """The result of a part: (what, figure) for the table, and the failures."""

    figures: tuple[tuple[str, str], ...]
    trouble: tuple[str, ...] = ()


def of_tests(report: junit.Report, *figures: tuple[str, str], needs: tuple[str, ...] = ()) -> Proved:
    """The result of a part that runs tests: all tests must pass, and must have recorded the properties ``needs``."""
    trouble = [report.broken] if report.broken else []
    trouble += [
        f"{case.outcome}: {case.name} {case.reason}".strip() for case in report.cases if case.outcome != "passed"
    ]
    trouble += [f"nothing recorded as {name!r}" for name in needs if not report.named(name)]
    passed = f"{report.count('passed'):,} passed, {len(report.cases) - report.count('passed')} not"
    return Proved((*figures, ("tests", passed)), tuple(trouble))


def evaluator(settings: Settings) -> Proved:
    """RBAC decisions of this package compared with those of the API server."""
    report = settings.pytest("tests/cluster/test_evaluator_equality.py", workers=0)
    return of_tests(
        report,
        ("decisions compared, and the binding of each", f"{report.total('decisions'):,}"),
        ("of these allowed", f"{report.total('allowed'):,}"),
        ("differences", f"{report.total('differences'):,}"),
        ("grants of rules compared, dry runs of Roles", f"{report.total('grants'):,}"),
        needs=("decisions", "differences", "grants"),
    )


def generated(settings: Settings) -> Proved:
    """Generated values, valid and with one error, with both Helms, all checks and the API server."""
    report = settings.pytest(
        "--hypothesis-profile=prove", "tests/render/test_generated_values.py", "tests/cluster/test_generated_values.py"
    )
    failures = str(report.count("failed"))
    return of_tests(
        report, ("values generated", f"{report.total('cases'):,}"), ("failures", failures), needs=("cases",)
    )


def invariants(settings: Settings) -> Proved:
    """The unchanged chart: every invariant for every example and case, every guard for every spelling."""
    report = settings.pytest("tests/render", "tests/cluster/guards", "--deselect=tests/render/test_generated_values.py")
    return of_tests(report)


def mutants(settings: Settings) -> Proved:
    """Thousands of mutants of the chart, each with one change: the number that the invariants kill."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutants.json"
        command = [sys.executable, "-m", "mutation", "--kubernetes", settings.kubernetes, "--json", str(path)]
        environment = os.environ | {"PYTHONPATH": "ci:tests"}
        status = subprocess.run(command, cwd=junit.REPOSITORY, check=False, env=environment).returncode
        if not path.exists():
            return Proved((), (f"python -m mutation ended with exit status {status}",))
        found: dict[str, Any] = json.loads(path.read_text())
    figures = []
    for layer in found["layers"]:
        name = layer["layer"]
        figures.append((f"{name}: mutants killed", f"{layer['killed']:,} of {layer['mutants']:,}"))
        rest = (
            ("listed", "survivors, each with a reason"),
            ("words", "the wording of a message alone"),
            ("left", "judged in guards-live"),
            ("survive", "survivors without a reason"),
        )
        figures += [(f"{name}: {what}", f"{layer[count]:,}") for count, what in rest if layer[count]]
    coverage = found["coverage"]
    figures.append(("branches of the templates reached", f"{coverage['reached']:,} of {coverage['branches']:,}"))
    trouble = () if status == 0 else (f"python -m mutation ended with exit status {status}: see above",)
    return Proved(tuple(figures), trouble)


def red_team(settings: Settings) -> Proved:
    """Attackers with the token of each agent, one excessive grant for each rule of the risk catalogue, and personas."""
    report = settings.pytest("tests/cluster/test_attack.py", "tests/cluster/guards/test_personas.py")
    return of_tests(
        report,
        *((f"requests tried by {agent}", f"{int(number):,}") for agent, number in report.named("requests by ").items()),
        ("moves of personas", f"{report.total('persona moves'):,}"),
        ("refused by a guard, and not without it", f"{report.total('refused by guards'):,}"),
        ("unexpected", f"{report.total('unexpected')}"),
        ("not sent", f"{report.total('not sent')}"),
        ("catalogue rules found when given by hand", f"{report.total('rules found')} of {report.total('rules')}"),
        needs=("requests by ", "unexpected", "rules found"),
    )


def audit(settings: Settings) -> Proved:
    """The audit log of an attack: the agent of each request."""
    report = settings.pytest("tests/cluster/test_attribution.py", "tests/cluster/test_trace.py")
    requests, attributed = report.total("requests"), report.total("attributed")
    share = f"{attributed:,} of {requests:,} ({attributed / max(requests, 1):.0%})"
    return of_tests(report, ("requests attributed to one agent", share), needs=("requests", "attributed"))


def revocation(settings: Settings) -> Proved:
    """The access that ends when an agent is removed or quarantined, and the time until it ends."""
    report = settings.pytest("tests/cluster/test_revocation_times.py", "tests/cluster/test_revoke.py", workers=0)
    times = [(name, value) for name, value in report.named("").items() if ": last " in name]
    return of_tests(report, ("agents in the release", f"{settings.agents:,}"), *times, needs=("quarantine by command",))


def faults(settings: Settings) -> Proved:
    """SIGKILL of the API server and of etcd during commands, and two commands at the same time."""
    report = settings.pytest("tests/cluster/test_faults.py", "tests/cluster/test_two_at_once.py")
    struck = len(report.values("struck"))
    return of_tests(report, ("interrupted commands, completed by retry", str(struck)), needs=("struck",))


PARTS: Final[dict[str, Callable[[Settings], Proved]]] = {
    "invariants": invariants,
    "evaluator": evaluator,
    "generated values": generated,
    "mutants": mutants,
    "red team": red_team,
    "audit": audit,
    "revocation": revocation,
    "faults": faults,
}


def main() -> int:
    """Runs the parts and prints the table and the failures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=PARTS, metavar="PART", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--kubernetes", default="1.36", metavar="MINOR")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--decisions", type=int, default=DECISIONS, help="minimum number of decisions to compare")
    parser.add_argument("--agents", type=int, default=AGENTS, help="number of agents in the release for revocation")
    given = parser.parse_args()
    settings = Settings(given.kubernetes, given.workers, given.decisions, given.agents)
    console = Console(width=max(Console().width, 100))
    proved = {}
    for part in given.only:
        console.rule(f"{part}: {PARTS[part].__doc__}")
        started = time.monotonic()
        proved[part] = (PARTS[part](settings), time.monotonic() - started)
    console.print(_table(proved))
    failed = list(_failed(proved))
    for line in failed:
        console.print(f"✗ {line}", style="bold red", highlight=False, markup=False)
    console.print("Not proved." if failed else "Proved.", style="bold red" if failed else "bold green")
    return 1 if failed else 0


def _table(proved: dict[str, tuple[Proved, float]]) -> Table:
    table = Table("part", "what", "figure", title="make prove", title_justify="left")
    for part, (one, seconds) in proved.items():
        for number, (what, figure) in enumerate(one.figures):
            table.add_row("" if number else part, what, figure)
        table.add_row("" if one.figures else part, "seconds", f"{seconds:.0f}", end_section=True)
    return table


def _failed(proved: dict[str, tuple[Proved, float]]) -> Iterator[str]:
    for part, (one, _) in proved.items():
        for line in one.trouble:
            yield f"{part}: {line}"


if __name__ == "__main__":
    sys.exit(main())
