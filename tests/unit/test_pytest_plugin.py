"""The pytest plugin: an error of the user is one sentence, and no output contains a credential."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

SECRET = "s3cret-of-the-test-0123456789"
QUICKSTART = Path(__file__).parents[2] / "values" / "quickstart.yaml"
USERS = {
    "token": {"token": SECRET},
    "newline": {"token": f"{SECRET}\n"},
    "both": {"token": SECRET, "username": "me", "password": SECRET},
}


@pytest.mark.parametrize("user", USERS)
def test_no_output_contains_a_credential_even_with_all_frames_and_their_locals(user: str, tmp_path: Path) -> None:
    ini = f"[tool.pytest.ini_options]\nagent_identities_values = '{QUICKSTART}'\n"
    (tmp_path / "pyproject.toml").write_text(ini)
    (tmp_path / "test_agents.py").write_text(
        "def test(agent):\n    assert agent('triage-1').denied('get', 'secrets')\n"
    )
    content = {
        "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "a", "user": USERS[user]}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(content))
    options = ["--showlocals", "--full-trace", "-p", "no:cacheprovider", "--agent-identities-kubeconfig=kubeconfig"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_agents.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Failed: " in done.stdout
    assert SECRET not in done.stdout + done.stderr
