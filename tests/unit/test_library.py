"""The public face: `import agent_identities as ai`."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import agent_identities as ai
from agent_identities.chart.values import ValuesError
from agent_identities.declaration import Identity

QUICKSTART = Path(__file__).parents[2] / "values" / "quickstart.yaml"
JOBS = ("attack", "check", "cluster", "load", "quarantine", "rightsize", "trace", "verify")


@pytest.mark.parametrize("name", ai.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert inspect.getdoc(getattr(ai, name))
    assert name in dir(ai)


def test_a_job_stays_a_function_whatever_is_imported() -> None:
    for module in pkgutil.walk_packages(ai.__path__, f"{ai.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert [name for name in JOBS if not inspect.isfunction(inspect.unwrap(getattr(ai, name)))] == []


def test_the_import_loads_no_library_of_others() -> None:
    program = "import sys; import agent_identities; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    slow = {"cryptography", "filelock", "jsonschema", "kubernetes", "platformdirs", "rich", "typer", "urllib3", "yaml"}
    assert slow & set(loaded) == set()


def test_loaded_agents_are_found_by_name_and_listed() -> None:
    agents = ai.load(QUICKSTART)
    assert len(agents) == len(list(agents)) == 12
    assert isinstance(agents["triage-1"], Identity)
    assert agents["agent-proxy"].entry == "proxy"


def test_an_unknown_agent_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(
        ai.AgentIdentitiesError, match=r"ghost: the values declare no such agent\. They declare: .*triage-1"
    ):
        ai.load(QUICKSTART)["ghost"]


def test_values_can_be_given_without_a_file() -> None:
    assert [one.name for one in ai.load(overrides={"agents": {"a": {"instances": 2}}})] == ["a-1", "a-2"]


def test_wrong_values_are_refused_when_they_are_loaded() -> None:
    with pytest.raises(ValuesError, match="agents"):
        ai.load(overrides={"agents": ["a"]})


def test_a_result_raises_its_findings_in_one_message() -> None:
    values = {"agents": {"a": {"token": {"mode": "automount"}, "workload": {"image": "i"}}}}
    ai.check(ai.load(overrides=values)).raise_for_findings()  # warnings do not raise
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    tier = {"rules": rules, "acceptRisks": {"secret-read": "a test"}}
    accepted = {"tiers": {"t": tier}, "agents": {"a": {"tiers": ["t"]}}}
    result = ai.check(ai.load(overrides=accepted))
    assert result.ok
    assert [(each.rule, each.severity) for each in result.findings] == [("risk", ai.Severity.WARNING)]
    (finding,) = result.findings
    assert finding.location.object is not None
    assert (finding.location.object.kind, finding.location.object.name) == ("Role", "t-role")
    assert (finding.location.field, finding.location.values) == ("rules[0]", "tiers.t.rules[0]")
    assert finding.location.source.endswith("templates/roles.yaml")
