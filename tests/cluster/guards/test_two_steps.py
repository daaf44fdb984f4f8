"""The guards before the agents, with a namespace of its own for the release: the commands of docs/guards.md."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_identities.chart.helm import Helm
from agent_identities.cluster.provide import Cluster
from support.namespaces import own_namespace
from support.server import RBAC, Json, Server

REPOSITORY = Path(__file__).parents[3]
RELEASE, AGENTS = "agents-release", "agent-system"
COMMANDS = [
    line.removeprefix("$ ")
    for line in (REPOSITORY / "docs" / "guards.md").read_text().splitlines()
    if line.startswith("$ helm ")
]
MINIMAL = {"guards": {"enabled": True}, "agents": {"bot": {}}}


@dataclass(frozen=True)
class Page:
    """The commands of the page, in namespaces of the test, with a values file."""

    helm: Helm
    cluster: Cluster
    folder: Path
    home: str
    agents: str

    def values(self, content: str) -> None:
        (self.folder / "values.yaml").write_text(content)

    def hardened(self) -> None:
        self.values((REPOSITORY / "values" / "hardened.yaml").read_text())

    def helm_runs(self, command: str) -> subprocess.CompletedProcess[str]:
        _, *arguments = shlex.split(command.replace(RELEASE, self.home).replace(AGENTS, self.agents))
        context = {"HELM_KUBECONTEXT": self.cluster.context} if self.cluster.context else {}
        env = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig), **context}
        return subprocess.run(
            [self.helm.path, *arguments], cwd=self.folder, env=env, capture_output=True, text=True, check=False
        )

    def works(self, command: str) -> str:
        done = self.helm_runs(command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        where = ["--kubeconfig", str(self.cluster.kubeconfig)]
        where += ["--context", self.cluster.context] if self.cluster.context else []
        line = [sys.executable, "-m", "agent_identities", *arguments, *where]
        return subprocess.run(line, cwd=self.folder, capture_output=True, text=True, check=False)


@pytest.fixture
def page_for(server: Server, cluster: Cluster, chart: Path, tmp_path: Path) -> Iterator[Callable[[Helm], Page]]:
    (tmp_path / "charts").mkdir()
    shutil.copytree(chart, tmp_path / "charts" / chart.name)
    with own_namespace(server) as home, own_namespace(server) as agents:
        server.make_namespace(agents)
        yield lambda helm: Page(helm, cluster, tmp_path, home, agents)


@pytest.fixture
def page(page_for: Callable[[Helm], Page], helm: Helm) -> Page:
    return page_for(helm)


def accounts(server: Server, namespace: str) -> set[str]:
    return set(server.names(f"/api/v1/namespaces/{namespace}/serviceaccounts")) - {"default"}


def deployer_roles(server: Server, page: Page) -> list[Json]:
    roles = server.items(f"{RBAC}/namespaces/{page.home}/roles")
    return [role for role in roles if "-deployer-" in role["metadata"]["name"]]


def test_the_page_has_two_commands() -> None:
    assert [command.split()[1] for command in COMMANDS] == ["install", "upgrade"]


def test_the_commands_of_the_page_install_the_hardened_values(
    server: Server, page_for: Callable[[Helm], Page], either_helm: Helm
) -> None:
    page = page_for(either_helm)
    page.hardened()
    page.works(COMMANDS[0])
    assert accounts(server, page.agents) == {"agent-proxy"}
    used = [rule for role in deployer_roles(server, page) for rule in role["rules"] or () if "use" in rule["verbs"]]
    assert [rule.get("resourceNames") for rule in used] == [None], "only platform-team can run pods, as any agent"
    notes = page.works(COMMANDS[1])
    assert {"triage-1", "legacy", "shopper"} < accounts(server, page.agents)
    assert "suspect" not in accounts(server, page.agents)
    assert f"agent-identities quarantine suspect -n {page.agents}" in notes

    for namespace in (page.agents, page.home):  # the commands find the other namespace
        verified = page.command("verify", "-f", "values.yaml", "-n", namespace)
        assert "(missing)" not in verified.stdout
        assert verified.returncode == 0, verified.stdout + verified.stderr
        dry = page.command("quarantine", "triage-1", "-n", namespace, "--dry-run")
        assert f"helm upgrade agents CHART -n {page.home} " in dry.stdout, dry.stdout + dry.stderr
        again = page.command("quarantine", "suspect", "-n", namespace)
        assert again.returncode == 0, again.stdout + again.stderr

    typo = page.helm_runs(COMMANDS[1] + " --set agents.suspct.quarantined=true")
    assert 'quarantines nobody: there is no agent "suspct"' in typo.stderr
    typo = page.helm_runs(COMMANDS[1] + " --set guards.deployers[1].agents={traige}")
    assert 'there is no agent "traige"' in typo.stderr
    page.works(COMMANDS[1])


def test_quarantine_finds_the_agents_from_the_namespace_of_the_release(server: Server, page: Page) -> None:
    page.values(json.dumps({**MINIMAL, "agents": {"bot": {}, "other": {}, "third": {}}}))
    page.works(COMMANDS[0])
    page.works(COMMANDS[1])
    for arguments in (["bot"], ["other", "-f", "values.yaml"], ["--all"]):
        done = page.command("quarantine", *arguments, "-n", page.home)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"helm upgrade agents CHART -n {page.home} " in done.stdout
    assert accounts(server, page.agents) == {"agent-proxy"}


def test_an_agent_of_the_first_step_is_known_in_the_second(server: Server, page: Page) -> None:
    """Only a release without any agent accepts every name."""
    page.values(json.dumps(MINIMAL))
    page.works(COMMANDS[0].removesuffix(" --set agents=null"))
    done = page.helm_runs(COMMANDS[1] + " --set agents.bto.quarantined=true")
    assert 'quarantines nobody: there is no agent "bto"' in done.stderr
    assert accounts(server, page.agents) == {"agent-proxy", "bot"}
