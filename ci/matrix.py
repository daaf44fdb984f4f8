"""The cluster tests on every Kubernetes minor that has a pinned module, with both Helms, as a table in docs/.

`make test-matrix`. Runs one after the other, some minutes each; the table is written when all have run, and the exit
status is 1 if one test failed, or was skipped for anything but a feature that the version lacks.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import junit

from agent_identities.cluster.toolchain import component, kubernetes_minors, provide

PAGE: Final = junit.REPOSITORY / "docs" / "versions.md"
START, END = "<!-- written by make test-matrix: ", "<!-- end -->"
HELMS: Final = {"helm_4": "helm", "helm_3": "helm-3"}

LACKING: Final = (
    "MutatingAdmissionPolicy v1 came with Kubernetes 1.36",
    "constrained impersonation is on by default since Kubernetes 1.36",
)
"""Why a test may be skipped. tests/cluster/guards/test_features.py asserts the absence."""

FEATURES: Final = {
    "MutatingAdmissionPolicy v1": "guards.shortTokens",
    "constrained impersonation": "`proxy.impersonation: constrained`",
}


@dataclass(slots=True)
class Run:
    """One minor's results: by Helm ("helm_4", "helm_3", "" for tests that use none), outcome -> number of tests."""

    minor: str
    version: str
    tests: dict[str, Counter[str]] = field(default_factory=dict)
    lacking: Counter[str] = field(default_factory=Counter)
    trouble: list[str] = field(default_factory=list)


def run(minor: str, workers: int, arguments: Sequence[str]) -> Run:
    """Runs the cluster tests on one minor; pytest's own output goes through."""
    print(f"\nKubernetes {minor}", flush=True)
    result = Run(minor, component("kube-apiserver", minor).version)
    report = junit.pytest(
        ["tests/cluster", "-n", str(workers), "--both-helms", "--kubernetes", minor, *arguments],
    )
    result.trouble += [report.broken] if report.broken else []
    for case in report.cases:
        _count(result, case)
    return result


def _count(result: Run, case: junit.Case) -> None:
    by = next((helm for helm in HELMS if helm in case.name), "")
    outcome: str = case.outcome
    if case.outcome == "failed":
        result.trouble.append(f"failed: {case.name}")
    if case.outcome == "skipped":
        outcome = "lacking"
        lacking = next((known for known in LACKING if known in case.reason), None)
        if lacking is None:
            result.trouble.append(f"skipped: {case.name}: {case.reason}")
        else:
            result.lacking[next(feature for feature in FEATURES if lacking.startswith(feature))] += 1
    result.tests.setdefault(by, Counter())[outcome] += 1


def rows(runs: Sequence[Run], helms: dict[str, str]) -> Iterator[str]:
    """The table, as Markdown."""
    yield "| Kubernetes | " + " | ".join(f"Helm {version}" for version in helms.values()) + " | without Helm | absent |"
    yield "| --- | " + " | ".join("---" for _ in helms) + " | --- | --- |"
    for one in runs:
        cells = [_cell(one.tests.get(helm, Counter())) for helm in (*helms, "")]
        absent = "; ".join(f"{feature}: {FEATURES[feature]}" for feature in FEATURES if one.lacking[feature])
        yield f"| {one.version} | " + " | ".join(cells) + f" | {absent or '-'} |"


def _cell(outcomes: Counter[str]) -> str:
    words = [f"{outcomes['passed']} passed"]
    words += [f"**{outcomes['failed']} failed**"] if outcomes["failed"] else []
    words += [f"{outcomes['lacking']} of what is absent"] if outcomes["lacking"] else []
    return ", ".join(words)


def write(page: Path, table: str) -> None:
    """Puts the table into the page between its marks. Raises ValueError if they are not there."""
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(f"({re.escape(START)}[^\n]*-->\n).*?({re.escape(END)})", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{page}: has no marks for the table. Put them back: {START}... --> and {END}")
    page.write_text(pattern.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text), encoding="utf-8")


def main() -> int:
    """Runs, writes, says what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubernetes", nargs="*", metavar="MINOR", default=kubernetes_minors())
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="so many minors side by side (default: 1)")
    parser.add_argument("--no-page", action="store_true", help="do not write docs/versions.md")
    given, arguments = parser.parse_known_args()
    helms = {fixture: tool.version for fixture, name in HELMS.items() for tool in provide([name]).values()}
    with ThreadPoolExecutor(given.at_once) as pool:
        runs = list(pool.map(lambda minor: run(minor, given.workers, arguments), given.kubernetes))
    table = "\n".join(rows(runs, helms))
    print(f"\n{table}")
    trouble = [f"Kubernetes {one.minor}: {line}" for one in runs for line in one.trouble]
    print("\n".join(trouble))
    if not given.no_page and not trouble:
        write(PAGE, table)
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
