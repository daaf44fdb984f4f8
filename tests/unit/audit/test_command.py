"""The commands trace and rightsize, with a real log."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from support.audit import Json, event
from support.commands import agent_identities
from support.commands import in_process as run

EXCERPT = Path(__file__).with_name("excerpt.jsonl")
QUICKSTART = Path(__file__).parents[3] / "values" / "quickstart.yaml"


def log(*events: Json) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in events)


def test_a_log_with_only_agents_is_100_percent_attributed() -> None:
    """By a process of its own, which reads a pipe."""
    command = agent_identities("trace", "-", "-n", "team")
    done = subprocess.run(command, input=log(event("reader")), capture_output=True, check=False)
    assert (done.returncode, b"100 % attributed" in done.stdout) == (0, True)


def test_a_request_of_default_is_a_finding() -> None:
    done = run("trace", EXCERPT, "-n", "team", "-f", QUICKSTART)
    assert done.returncode == 1
    assert b"1 request by ServiceAccount team/default" in done.stdout


def test_json_has_the_complete_attribution() -> None:
    report = json.loads(run("trace", EXCERPT, "-n", "team", "-f", QUICKSTART, "-o", "json").stdout)
    assert (report["counts"]["attributed"], report["counts"]["notAttributed"]) == (19, 1)
    (triage,) = (each for each in report["agents"] if each["agent"] == "triage-1")
    assert (triage["entry"], triage["requests"], triage["credentials"][0]["issued"]["by"]) == ("triage", 9, "admin")


def test_agent_selects_one_agent_of_a_log() -> None:
    report = json.loads(run("trace", EXCERPT, "-n", "team", "--agent", "researcher", "-o", "json").stdout)
    assert [each["agent"] for each in report["agents"]] == ["researcher"]


def test_markdown_has_the_table_of_requests() -> None:
    text = run("trace", EXCERPT, "-n", "team", "-o", "markdown").stdout.decode()
    assert "| researcher | itself | list pods in team | 1 | RoleBinding team/researcher-binding |" in text


def test_a_log_without_an_agent_of_the_namespace_lists_the_namespaces_that_it_has() -> None:
    done = run("trace", EXCERPT, "-n", "other")
    assert done.returncode == 1
    assert b"The log has ServiceAccounts of: kube-system, team." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.log"], "missing.log: No such file or directory."),
        ([str(QUICKSTART)], "is not an audit log"),
        ([str(EXCERPT), "--since", "yesterday"], "--since yesterday: not a time."),
        ([str(EXCERPT), "--agent", "ghost", "-n", "team"], "--agent ghost: no such agent. Known agents: agent-proxy"),
    ],
)
def test_invalid_input_is_one_error(arguments: list[str], sentence: str) -> None:
    done = run("trace", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr.decode()


def test_a_time_can_have_several_formats() -> None:
    counted = [
        json.loads(run("trace", EXCERPT, "-n", "team", "-o", "json", *when).stdout)["counts"]["attributed"]
        for when in (
            ["--since", "2026-11-24T04:10:33Z"],
            ["--since", "2026-11-24T05:10:33+01:00"],
            ["--until", "2020-01-01"],
        )
    ]
    assert counted[0] == counted[1]
    assert 0 < counted[0] < 19
    assert counted[2] == 0


def test_rightsize_shows_the_rules_to_change() -> None:
    done = run("rightsize", EXCERPT, "-n", "team", "-f", QUICKSTART)
    assert done.returncode == 1
    assert b"-services in team: get list watch" in done.stdout


def test_the_values_of_rightsize_can_be_used_unchanged(tmp_path: Path) -> None:
    snippet = yaml.safe_load(run("rightsize", EXCERPT, "-n", "team", "-f", QUICKSTART, "-o", "snippet").stdout)
    assert snippet["agents"]["researcher"] == {"tiers": ["researcher-used"]}
    changed = tmp_path / "values.yaml"
    changed.write_bytes(run("rightsize", EXCERPT, "-n", "team", "-f", QUICKSTART, "-o", "values").stdout)
    again = run("rightsize", EXCERPT, "-n", "team", "-f", changed)
    assert (again.returncode, b"0 of" in again.stdout) == (0, True)


def test_rightsize_without_a_request_is_an_error() -> None:
    done = run("rightsize", EXCERPT, "-n", "other", "-f", QUICKSTART)
    assert done.returncode == 2
    assert b"no request of an agent in namespace other" in done.stderr
