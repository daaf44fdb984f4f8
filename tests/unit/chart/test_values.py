from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart import values
from agent_identities.errors import AgentIdentitiesError


def problems(chart: Path, overrides: dict[str, Any]) -> str:
    with pytest.raises(values.ValuesError) as error:
        values.load(chart, overrides=overrides)
    return str(error.value)


def test_maps_of_two_files_merge_and_lists_replace(tmp_path: Path, chart: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("agents: {a: {tiers: [proxy]}, b: {}}")
    second.write_text("agents: {a: {tiers: []}, c: {}}")
    assert values.load(chart, [first, second])["agents"] == {"a": {"tiers": []}, "b": {}, "c": {}}


def test_null_removes_an_agent_of_an_earlier_file(tmp_path: Path, chart: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("agents: {a: {}, b: {}}")
    second.write_text("agents: {a: null}")
    agents = values.load(chart, [first, second])["agents"]
    assert {name for name, agent in agents.items() if agent is not None} == {"b"}


def test_null_removes_a_default_of_the_chart(chart: Path) -> None:
    assert "global" not in values.load(chart, overrides={"global": None})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"agnts": {}}, "agnts: there is no key 'agnts' here. Did you mean 'agents'?"),
        ({"agents": {"a": {"teirs": []}}}, "agents.a.teirs: there is no key 'teirs' here. Did you mean 'tiers'?"),
        ({"agents": {"Bad_Name": {}}}, "agents.Bad_Name: 'Bad_Name' is no DNS label"),
        ({"agents": {"a": {"token": {"expirationSeconds": 60}}}}, "agents.a.token.expirationSeconds: is 60; 600 is"),
        ({"agents": {"a": {"instances": "3"}}}, 'agents.a.instances: is text ("3") where integer is expected'),
        ({"agents": {"a": {"workload": {}}}}, "agents.a.workload: lacks image"),
        ({"agents": {"a": {"tiers": ["t", "t"]}}}, "agents.a.tiers: names one entry twice"),
        ({"tiers": {"t": {"rules": []}}}, "tiers.t.rules: is empty"),
        ({"agents": {"a": {"token": {"mode": "x"}}}}, 'agents.a.token.mode: is "x"; use one of projected, automount'),
    ],
)
def test_what_the_schema_refuses_is_named_with_place_and_cure(
    chart: Path, overrides: dict[str, Any], message: str
) -> None:
    assert message in problems(chart, overrides)


def test_all_problems_stand_in_one_message(chart: Path) -> None:
    text = problems(chart, {"agnts": {}, "agents": {"Bad_Name": {}}})
    assert "2 problems" in text
    assert "agnts" in text
    assert "Bad_Name" in text


def test_a_missing_file_is_named(chart: Path) -> None:
    with pytest.raises(AgentIdentitiesError, match=r"nowhere\.yaml: No such file"):
        values.load(chart, [Path("nowhere.yaml")])


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, chart: Path) -> None:
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(values.ValuesError, match=r"list\.yaml: holds a list where a mapping is expected"):
        values.load(chart, [tmp_path / "list.yaml"])
