"""The commands trace and rightsize, with a real log."""

import contextlib
import gzip
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support.audit import Json, denied, event
from support.audit_forms import gke_entry, lines
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


# ---- a log that grows


@contextlib.contextmanager
def started(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    command = agent_identities("trace", *map(str, arguments))
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_pipe_that_stays_open_is_reported_as_it_goes() -> None:
    with started("-", "-n", "team") as process:
        assert process.stdin is not None
        process.stdin.write(log(event("reader")).decode())
        process.stdin.flush()
        assert "team/reader itself: list pods in team: allowed (RoleBinding team/reader-binding)" in next_line(process)
        process.stdin.write(log(event("reader"), denied(event("reader", "get", "secrets"))).decode())
        process.stdin.flush()
        assert "get secrets in team: denied" in next_line(process)
        report, _ = process.communicate(timeout=60)
    assert (process.returncode, "3 requests of 1 agent" in report) == (0, True)


def test_follow_reads_what_is_appended_also_after_a_rotation_until_an_interrupt(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(log(event("reader")))
    with started("--follow", path, "-n", "team") as process:
        assert "list pods" in next_line(process)
        with path.open("ab") as file:
            file.write(log(event("reader", "get", "pods", "a")))
        assert "get pods named a" in next_line(process)
        path.rename(tmp_path / "audit-1.log")
        path.write_bytes(log(event("reader", "watch")))
        assert "watch pods" in next_line(process)
        process.send_signal(signal.SIGINT)
        report, _ = process.communicate(timeout=60)
    assert (process.returncode, "3 requests of 1 agent" in report) == (0, True)


def test_json_of_a_log_that_grows_is_one_report_at_the_end(tmp_path: Path) -> None:
    with started("-", "-n", "team", "-o", "json") as process:
        report, _ = process.communicate(log(event("reader")).decode(), timeout=60)
    assert json.loads(report)["counts"]["attributed"] == 1


# ---- several logs


def test_a_directory_is_read_and_its_other_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "stream").mkdir()
    (tmp_path / "stream" / "000000.gz").write_bytes(gzip.compress(log(event("reader"))))
    (tmp_path / "aws-logs-write-test").write_bytes(b"Permission Check Successful")
    done = run("trace", tmp_path, "-n", "team")
    assert (done.returncode, b"aws-logs-write-test is not an audit log" in done.stdout) == (0, True)


def test_an_empty_log_among_others_is_named(tmp_path: Path) -> None:
    paths = [tmp_path / "audit-1.log", tmp_path / "audit.log"]
    paths[0].write_bytes(log(event("reader")))
    paths[1].write_bytes(b"")
    done = run("trace", *paths, "-n", "team")
    assert (done.returncode, b"audit.log is empty" in done.stdout) == (0, True)


def test_rightsize_says_what_the_log_does_not_say(tmp_path: Path) -> None:
    values, path = tmp_path / "values.yaml", tmp_path / "audit.log"
    values.write_text("{agents: {reader: {}}}")
    path.write_bytes(lines([gke_entry("io.k8s.core.v1.pods.create", log="activity"), "klog"]))
    done = run("rightsize", path, "-n", "team", "-f", values, "-o", "snippet")
    assert b"The logs do not contain requests with the verbs get, list, watch" in done.stderr
    assert b"audit.log:2 is not JSON: not counted" in done.stderr
