"""Runs pytest and reads its report back: how many tests passed, failed or were skipped, and what they recorded."""

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

REPOSITORY: Final = Path(__file__).parents[1]

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Test:
    """One test. ``reason`` says why it was skipped; ``properties`` are those of record_property, in their order."""

    name: str
    outcome: Outcome
    reason: str
    properties: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A run. ``broken`` says why there is no report at all; ``seconds`` is what it took."""

    cases: tuple[Test, ...]
    seconds: float
    broken: str = ""

    def count(self, outcome: Outcome) -> int:
        """How many tests ended so."""
        return sum(case.outcome == outcome for case in self.cases)

    def values(self, name: str) -> list[str]:
        """All values of a property, in the order of the tests."""
        return [value for case in self.cases for key, value in case.properties if key == name]

    def total(self, name: str) -> int:
        """The sum of a property that is a number."""
        return sum(int(value) for value in self.values(name))

    def named(self, start: str) -> dict[str, str]:
        """The rest of the name -> value, of the properties whose name begins so."""
        found = (each for case in self.cases for each in case.properties if each[0].startswith(start))
        return {name.removeprefix(start): value for name, value in found}


def pytest(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Report:
    """Runs pytest in the repository; its own output goes through."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", *arguments, f"--junitxml={path}"]
        status = subprocess.run(command, cwd=REPOSITORY, check=False, env=environment).returncode
        seconds = time.monotonic() - started
        if status not in (0, 1) or not path.exists():
            return Report((), seconds, f"pytest ended with exit status {status}")
        return Report(tuple(_cases(path)), seconds)


def _cases(path: Path) -> Iterator[Test]:
    for case in ET.parse(path).getroot().iter("testcase"):
        skipped = case.find("skipped")
        failed = case.find("failure") is not None or case.find("error") is not None
        properties = tuple((each.get("name", ""), each.get("value", "")) for each in case.iter("property"))
        yield Test(
            f"{case.get('classname')}::{case.get('name')}",
            "failed" if failed else "passed" if skipped is None else "skipped",
            "" if skipped is None else skipped.get("message", ""),
            properties,
        )
