"""The pytest plugin in a user's project: a mistake in the settings is one message, before a cluster is created."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = '[tool.pytest.ini_options]\nagent_identities_values = "values.yaml"\n'


def run(project: Path, *arguments: str, setting: str = "", values: str = "agents: {a: {}}\n") -> tuple[int, str, str]:
    """The exit status, stdout and stderr of pytest in a project."""
    (project / "pyproject.toml").write_text(f"{PROJECT}{setting}\n")
    (project / "values.yaml").write_text(values)
    (project / "test_agents.py").write_text("def test_agent(agent):\n    assert agent('a')\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("setting", "values", "message"),
    [
        ('agent_identities_namespace = "No"', "", "ERROR: agent_identities_namespace 'No': not a DNS label"),
        ('agent_identities_chart = "none"', "", "ERROR: agent_identities_chart "),
        ("", "agents: {a: {tiers: [x]}}", "values.yaml:1:22: agents.a.tiers[0]: there is no tier 'x'."),
    ],
)
def test_a_wrong_setting_is_one_message_without_a_traceback(
    tmp_path: Path, setting: str, values: str, message: str
) -> None:
    status, out, error = run(tmp_path, setting=setting, values=values)
    assert status == pytest.ExitCode.USAGE_ERROR
    assert message in error
    assert "pytest_plugin.py" not in out + error


def test_a_wrong_setting_has_no_traceback_if_the_command_line_names_tests(tmp_path: Path) -> None:
    status, out, error = run(tmp_path, "test_agents.py", setting='agent_identities_namespace = "No"')
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "agent_identities_namespace 'No': not a DNS label" in out
    assert "pytest_plugin.py" not in out + error


def test_a_kubeconfig_that_hides_the_ini_file_is_refused(tmp_path: Path) -> None:
    """Without `=`, pytest starts to search for its ini file at the common folder of the project and the kubeconfig."""
    project, kubeconfig = tmp_path / "project", tmp_path / "elsewhere" / "kubeconfig"
    for folder in (project, kubeconfig.parent):
        folder.mkdir()
    kubeconfig.touch()
    status, _, error = run(project, "--agent-identities-kubeconfig", str(kubeconfig))
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "Write --agent-identities-kubeconfig=FILE." in error
    status, out, _ = run(project, "--collect-only", f"--agent-identities-kubeconfig={kubeconfig}")
    assert status == pytest.ExitCode.OK
    assert "test_rights_are_as_declared[a]" in out
