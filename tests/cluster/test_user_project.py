"""A user's project, as docs/pytest.md shows it: the built wheel in an empty environment, without this checkout."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "pytest.md").read_text(encoding="utf-8")


def block(language: str, number: int = 0) -> str:
    """A code block of the page, as a user copies it."""
    return str(re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)[number])


def environment() -> dict[str, str]:
    """This process's environment without what makes Python or pytest find the checkout."""
    ours = ("PYTEST", "PYTHON", "VIRTUAL_ENV", "COV_", "COVERAGE")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the built wheel and pytest, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    built = run(*pip, "wheel", "--no-deps", "--wheel-dir", folder, REPOSITORY, cwd=folder)
    assert built.returncode == 0, built.stderr
    made = run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    assert made.returncode == 0, made.stderr
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    constraints = REPOSITORY / "requirements.lock"
    versions = folder / "constraints.txt"  # the pinned versions, without hashes: the wheel itself has none
    versions.write_text("\n".join(re.findall(r"^[\w.-]+==[^\s;\\]+", constraints.read_text(), flags=re.MULTILINE)))
    command = (
        python,
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "install",
        "-c",
        versions,
        wheel,
        "pytest",
    )
    installed = run(*command, cwd=folder)
    assert installed.returncode == 0, installed.stderr
    return python


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files of the page, and the values of the quickstart."""
    (tmp_path / "pyproject.toml").write_text(block("toml"))
    (tmp_path / "test_agents.py").write_text(block("python"))
    (tmp_path / "values.yaml").write_text((REPOSITORY / "values" / "quickstart.yaml").read_text())
    return tmp_path


def test_the_page_runs_as_it_is_written(python: Path, project: Path) -> None:
    done = run(python, "-m", "pytest", "-v", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_agents.py::test_triage_reads_no_secret PASSED" in done.stdout
    assert "test_rights_are_as_declared[triage-1] PASSED" in done.stdout
    assert "test_check[within-tiers] PASSED" in done.stdout
    assert "test_undeclared_requests_with_a_stolen_token_are_refused PASSED" in done.stdout


def test_a_wrong_assertion_fails_with_the_answer_of_the_api_server(python: Path, project: Path) -> None:
    (project / "test_agents.py").write_text(
        "def test_denied(agent):\n    assert agent('triage-1').denied('list', 'pods')\n"
        "def test_allowed(agent):\n    assert agent('triage-1').allowed('get', 'secrets')\n"
        "def test_typing_mistake(agent):\n    assert agent('triage-1').denied('get', 'secretz')\n"
        "def test_unknown_agent(agent):\n    assert agent('ghost').denied('get', 'secrets')\n"
    )
    done = run(python, "-m", "pytest", "test_agents.py", cwd=project)
    assert done.returncode == 1
    assert "4 failed" in done.stdout
    assert "list pods in agent-system: allowed, expected denied. The answer: 200" in done.stdout
    assert 'denied, expected allowed. The answer: 403 cannot get resource "secrets"' in done.stdout
    assert "Did you mean 'secrets'?" in done.stdout
    assert "ghost: the values declare no such agent" in done.stdout
    assert "agent_identities/attack" not in done.stdout  # a user's mistake has no traceback into the package


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ("agents: {a: {tiers: [nope]}}", "values.yaml:1:22: agents.a.tiers[0]: there is no tier 'nope'."),
        ("agents: [a]", "agents"),
        ("agents: {a: {tier: []}}", "tier"),
        ("a: b: c", "values.yaml"),
    ],
)
def test_wrong_values_are_one_message_and_no_traceback(python: Path, project: Path, values: str, sentence: str) -> None:
    (project / "values.yaml").write_text(values)
    done = run(python, "-m", "pytest", cwd=project)
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "INTERNALERROR" not in done.stdout + done.stderr


def test_a_missing_values_file_is_named(python: Path, project: Path) -> None:
    (project / "values.yaml").unlink()
    done = run(python, "-m", "pytest", cwd=project)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "values.yaml: no such file" in done.stderr
