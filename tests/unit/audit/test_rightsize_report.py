import pytest

from agent_identities.audit.rightsize_report import to_yaml
from agent_identities.chart import yaml


@pytest.mark.parametrize(
    "text", ["", "1e3", "0o7", "y", "12:30:45", "2026-11-24", "{agent}-state", "*", "null", "a: b", "0x1F", "a"]
)
def test_a_string_that_looks_like_another_type_stays_a_string(text: str) -> None:
    values = {"tiers": {"t": {"rules": [{"resourceNames": [text], "verbs": ["get"]}]}}, "agents": {"a": {"tiers": []}}}
    assert yaml.load(to_yaml(values), name="snippet") == values
