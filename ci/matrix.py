"""Run the cluster tests on every pinned Kubernetes minor version with both Helms: `make test-matrix`.

It takes several minutes for each minor version. After all runs, it writes the table of docs/versions.md, with the runs
without failures. The exit status is 1 if a test failed, or was skipped for another reason than a missing feature.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import junit

from agent_identities.toolchain import component, kubernetes_minors, provide

PAGE: Final = junit.REPOSITORY / "docs" / "versions.md"
START, END = "<!-- written by make test-matrix: ", "<!-- end -->"
HELMS: Final = {"helm_4": "helm-4", "helm_3": "helm-3"}
NOT_IN_THIS_VERSION: Final = "features not in this version"

LACKING: Final = (
    "MutatingAdmissionPolicy v1 came with Kubernetes 1.36",
    "constrained impersonation is on by default since Kubernetes 1.36",
)
"""Accepted reasons for a skipped test. tests/cluster/guards/test_features.py asserts that the feature is missing."""

FEATURES: Final = {
    "MutatingAdmissionPolicy v1": "guards.shortTokens",
    "constrained impersonation": "`proxy.impersonation: constrained`",
}


@dataclass(slots=True)
class MinorResult:
    """The results of one minor version: Helm ("helm_4", "helm_3", "" for tests without Helm) -> outcome -> number."""

    minor: str
    version: str
    tests: dict[str, Counter[str]] = field(default_factory=dict)
    lacking: Counter[str] = field(default_factory=Counter)
    trouble: list[str] = field(default_factory=list)


def run(minor: str, workers: int, arguments: Sequence[str]) -> MinorResult:
    """Runs the cluster tests on one minor version, and shows the output of pytest."""
    print(f"\nKubernetes {minor}", flush=True)
    result = MinorResult(minor, component("kube-apiserver", minor).version)
    report = junit.pytest(
        ["tests/cluster", "-n", str(workers), "--both-helms", "--agent-identities-kubernetes", minor, *arguments],
    )
    result.trouble += [report.broken] if report.broken else []
    for case in report.cases:
        _count(result, case)
    return result


def _count(result: MinorResult, case: junit.Test) -> None:
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


def rows(runs: Sequence[MinorResult], helms: Mapping[str, str]) -> Iterator[str]:
    """The lines of the table, in Markdown."""
    columns = ("Kubernetes", *(f"Helm {version}" for version in helms.values()), "without Helm", NOT_IN_THIS_VERSION)
    yield f"| {' | '.join(columns)} |"
    yield "| --- | " + " | ".join("---" for _ in helms) + " | --- | --- |"
    for one in runs:
        cells = [_cell(one.tests.get(helm, Counter())) for helm in (*helms, "")]
        absent = "; ".join(f"{feature}: {FEATURES[feature]}" for feature in FEATURES if one.lacking[feature])
        yield f"| {one.version} | " + " | ".join(cells) + f" | {absent or '-'} |"


def _cell(outcomes: Counter[str]) -> str:
    words = [f"{outcomes['passed']} passed"]
    words += [f"**{outcomes['failed']} failed**"] if outcomes["failed"] else []
    words += [f"{outcomes['lacking']} skipped (feature not in this version)"] if outcomes["lacking"] else []
    return ", ".join(words)


def write(page: Path, runs: Sequence[MinorResult], helms: Mapping[str, str]) -> None:
    """Writes the rows of runs without failures into the page, between its two markers.

    Minor versions that were not run keep their rows, if the table has the same Helm versions. Raises ValueError if a
    marker is missing.
    """
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(f"({re.escape(START)}[^\n]*-->\n)(.*?)({re.escape(END)})", re.DOTALL)
    found = pattern.search(text)
    if found is None:
        raise ValueError(f"{page}: the markers around the table are missing. Add them: {START}... --> and {END}")
    first, second, *made = rows([one for one in runs if not one.trouble], helms)
    there = found[2].splitlines()
    kept = {_minor(row): row for row in there[2:]} if there[:2] == [first, second] else {}
    for one in runs:
        kept.pop(_minor(f"| {one.version}"), None)
    merged = [row for _, row in sorted((kept | {_minor(row): row for row in made}).items())]
    table = "\n".join([first, second, *merged])
    page.write_text(pattern.sub(lambda marks: f"{marks[1]}{table}\n{marks[3]}", text), encoding="utf-8")


def _minor(row: str) -> tuple[int, ...]:
    return tuple(map(int, row.split()[1].split(".")[:2]))


def main() -> int:
    """Runs the tests, writes the table, and prints the failures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubernetes", nargs="*", metavar="MINOR", default=kubernetes_minors())
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--at-once", type=int, default=1, metavar="N", help="number of minor versions to run in parallel (default: 1)"
    )
    parser.add_argument("--no-page", action="store_true", help="do not write docs/versions.md")
    given, arguments = parser.parse_known_args()
    helms = {fixture: tool.version for fixture, name in HELMS.items() for tool in provide([name]).values()}
    with ThreadPoolExecutor(given.at_once) as pool:
        runs = list(pool.map(lambda minor: run(minor, given.workers, arguments), given.kubernetes))
    print("", *rows(runs, helms), sep="\n")
    trouble = [f"Kubernetes {one.minor}: {line}" for one in runs for line in one.trouble]
    print("\n".join(trouble))
    if not given.no_page:
        write(PAGE, runs, helms)
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
