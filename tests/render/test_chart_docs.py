"""The chart's README.md is generated from its values."""

import shutil
import subprocess
from pathlib import Path

import pytest

from agent_identities.toolchain import provide


@pytest.fixture(scope="module")
def written(chart: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The README that helm-docs generates from the chart."""
    copy = tmp_path_factory.mktemp("docs") / "agent-identities"
    shutil.copytree(chart, copy, ignore=shutil.ignore_patterns("README.md", "ci"))
    command: list[str | Path] = [
        provide(["helm-docs"])["helm-docs"].path,
        "--chart-to-generate",
        ".",
        "--sort-values-order",
        "file",
    ]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert (copy / "README.md").is_file(), done.stderr
    return (copy / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_the_output_of_helm_docs(chart: Path, written: str) -> None:
    same = (chart / "README.md").read_text(encoding="utf-8") == written
    assert same, "run: make chart-docs"


def test_every_default_is_described(written: str) -> None:
    rows = [line.split(" | ") for line in written.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows if not row[-1].strip(" |")] == []
