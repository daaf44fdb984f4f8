"""Arguments of the commands that contradict each other or do not exist, before anything runs."""

import re
from pathlib import Path

import pytest

from support.commands import in_process

KUBECONFIG = """
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
"""


@pytest.mark.parametrize("command", [["verify"], ["attack", "--yes-attack"]])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cluster", "foo"], "'foo' is not one of embedded, kind, kubeconfig."),
        (["--kubeconfig", "config", "--kubernetes", "1.35"], "exists. Omit --kubernetes, or add --cluster embedded"),
        (["--cluster", "embedded", "--kubernetes", "1.20"], "Kubernetes 1.20: kube-apiserver can be built for 1.34, "),
    ],
)
def test_a_wrong_cluster_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "config").write_text(KUBECONFIG)
    (tmp_path / "v.yaml").write_text("agents: {a: {}}\n")
    for variable in ("TEST_ASSET_HELM", "KUBEBUILDER_ASSETS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    done = in_process(*command, "-f", "v.yaml", *arguments, columns=300)
    assert done.returncode == 2
    assert done.stdout == b""
    assert message in done.stderr.decode()


@pytest.mark.parametrize("command", ["check", "verify", "attack", "trace", "rightsize", "quarantine", "up", "down"])
def test_the_help_names_values_and_not_python_types(command: str) -> None:
    shown = in_process(command, "--help", columns=100).stdout.decode()
    options = re.findall(r"^ +(?:-., )?--.*$", shown, flags=re.MULTILINE)
    assert options
    assert not [line for line in options if re.search(r"list\[|<(str|path|int|file)\b|TEXT|\bPATH\b|INTEGER", line)]
