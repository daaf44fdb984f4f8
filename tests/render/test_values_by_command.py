"""Values given to the real command: by file, pipe and stdin, and given wrongly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent_identities.chart.helm import Helm

GOOD = "agents: {triage: {annotations: {note: a-secret}}}\n"
LOG = (
    '{"kind":"Event","apiVersion":"audit.k8s.io/v1","stage":"ResponseComplete","auditID":"1","verb":"list",'
    '"requestURI":"/api/v1/namespaces/agent-system/pods","requestReceivedTimestamp":"2026-11-24T03:46:08.000000Z",'
    '"stageTimestamp":"2026-11-24T03:46:08.000000Z","user":{"username":"system:serviceaccount:agent-system:triage",'
    '"groups":["system:serviceaccounts"]},"objectRef":{"resource":"pods","namespace":"agent-system",'
    '"apiVersion":"v1"},"responseStatus":{"code":200},"annotations":{"authorization.k8s.io/decision":"allow",'
    '"authorization.k8s.io/reason":"RBAC: allowed by RoleBinding \\"triage-binding/agent-system\\" of Role '
    '\\"agent-proxy-role\\" to ServiceAccount \\"triage/agent-system\\""}}\n'
)


@pytest.fixture
def environment(helm_4: Helm, tmp_path: Path) -> dict[str, str]:
    """LANG=C, the pinned Helm, and a folder for temporary files that a test can look at."""
    (tmp_path / "tmp").mkdir()
    kept = {key: value for key, value in os.environ.items() if key not in ("LC_ALL", "KUBECONFIG", "PYTHONUTF8")}
    return {**kept, "LANG": "C", "TEST_ASSET_HELM": str(helm_4.path), "TMPDIR": str(tmp_path / "tmp")}


def run(environment: dict[str, str], folder: Path, command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A line of bash; `ai` is the command."""
    program = f'ai() {{ {sys.executable} -m agent_identities "$@"; }}; {command}'
    done = subprocess.run(
        ["bash", "-c", program],
        cwd=folder,
        env=environment,
        input=stdin.encode(),
        capture_output=True,
        check=False,
        timeout=120,
    )
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


@pytest.mark.parametrize(
    "command",
    [
        "ai check -f v.yaml",
        "ai check -f <(cat v.yaml)",
        "cat v.yaml | ai check -f -",
        "ai check -f <(cat v.yaml) -f <(echo 'agents: {other: {}}')",
        "ai trace log -f <(cat v.yaml)",
        "cat v.yaml | ai trace log -f -",
        "cat v.yaml | ai rightsize log -f - -o snippet",
        "ai rightsize log -f <(cat v.yaml) -o values",
    ],
)
def test_values_come_from_a_file_a_pipe_or_stdin(environment: dict[str, str], tmp_path: Path, command: str) -> None:
    (tmp_path / "v.yaml").write_text(GOOD)
    (tmp_path / "log").write_text(LOG)
    done = run(environment, tmp_path, command)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "tmp").iterdir()) == [], "values may be secret: no copy stays on the disk"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("ai check -f -", "stdin:1:14: agents.a.teirs: there is no key 'teirs' here. Did you mean 'tiers'?"),
        ("ai verify --cluster embedded -f -", "stdin:1:14: agents.a.teirs"),
        ("ai attack --cluster embedded -f -", "stdin:1:14: agents.a.teirs"),
        ("ai quarantine a -f -", "stdin:1:14: agents.a.teirs"),
        ("ai trace log -f -", "stdin:1:14: agents.a.teirs"),
        ("ai rightsize log -f -", "stdin:1:14: agents.a.teirs"),
        ("ai check -f <(echo 'agents: {a: {tiers: [x]}}')", ":1:22: agents.a.tiers[0]: there is no tier 'x'."),
        ("ai trace log -f <(echo 'agents: {a: {tiers: [x]}}')", ":1:22: agents.a.tiers[0]: there is no tier 'x'."),
        ("ai check -f - -f -", "-f -: given twice, and stdin can be read only once. Give `-f -` once."),
        ("ai trace - -f -", "-f -: stdin is the audit log already. Name a values file: -f values.yaml"),
        ("ai check -f .", ".: is a directory. Name a values file: -f values.yaml"),
        ("ai check -f nowhere.yaml", "nowhere.yaml: No such file or directory. Name a values file"),
        ("ai check -f https://x/v.yaml", "URLs are not fetched. Download the file, or pipe it"),
        ("ai check -f <(printf '\\xff')", "is not UTF-8 text (byte 0xff). Save the file as UTF-8."),
        ("ai check -f <(printf 'a: \\x01')", ":1:4: not valid YAML: control characters are not allowed."),
        ("ai check -f <(printf 'agents: {\\xc3\\xbc: {}}')", "agents.\u00fc: '\u00fc' is not a DNS label."),
        ("ai check -f <(echo '- a')", "is a list where a mapping is expected, such as `agents: {}`."),
        ("ai check -f <(echo 'agents: {no: {}}')", ':1:10: the unquoted key no is read as false. Quote it: "no".'),
        ("ai check -f <(yes '[' | head -100000)", "nested more than 100 levels deep"),
    ],
)
def test_bad_values_are_one_message_and_exit_2(
    environment: dict[str, str], tmp_path: Path, command: str, message: str
) -> None:
    (tmp_path / "log").write_text(LOG)
    done = run(environment, tmp_path, command, stdin="agents: {a: {teirs: []}}")
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.startswith("agent-identities: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    ["check -f v.yaml", "verify -f v.yaml", "attack -f v.yaml --cluster embedded", "quarantine a", "trace log",
     "rightsize log -f v.yaml"],
)  # fmt: skip
def test_a_bad_namespace_is_refused_before_anything_runs(
    environment: dict[str, str], tmp_path: Path, command: str
) -> None:
    (tmp_path / "v.yaml").write_text(GOOD)
    done = run(environment, tmp_path, f"ai {command} -n Bad_NS")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("agent-identities: --namespace 'Bad_NS': not a DNS label, so Kubernetes refuses it.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--release Bad_Name", "--release 'Bad_Name': Helm refuses this name."),
        (f"--release {'r' * 54}", "53 at most."),
        ("--kube-version nonsense", "--kube-version 'nonsense': not a version of Kubernetes."),
        ("--kube-version 1", "--kube-version '1': not a version of Kubernetes."),
        ("--chart nowhere", "--chart nowhere: no such folder."),
        ("--chart tmp", "--chart tmp: Chart.yaml is missing."),
    ],
)
def test_what_helm_refuses_is_refused_before_anything_runs(
    environment: dict[str, str], tmp_path: Path, options: str, message: str
) -> None:
    (tmp_path / "v.yaml").write_text(GOOD)
    done = run(environment, tmp_path, f"ai check -f v.yaml {options}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("agent-identities: --")
    assert message in done.stderr


def test_helm_3_alone_serves_check(environment: dict[str, str], tmp_path: Path, helm_3: Helm) -> None:
    """Nothing is built: there is no Helm in this cache, and no Go on PATH."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "helm").symlink_to(helm_3.path)
    (tmp_path / "v.yaml").write_text(GOOD)
    del environment["TEST_ASSET_HELM"]
    environment |= {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "AGENT_IDENTITIES_CACHE": str(tmp_path / "cache")}
    done = run(environment, tmp_path, "ai check -f v.yaml && ai toolchain --list | head -1")
    assert done.returncode == 0, done.stderr
    assert f"helm\t{helm_3.version}\tPATH\t{tmp_path / 'bin' / 'helm'}" in done.stdout


def test_rightsize_says_that_comments_are_lost(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text(f"# the team's agents\n{GOOD}")
    (tmp_path / "log").write_text(LOG)
    done = run(environment, tmp_path, "ai rightsize log -f v.yaml -o values")
    assert done.returncode == 0
    assert "the comments of your values files are not in this output" in done.stderr
    assert "-o snippet" in done.stderr
