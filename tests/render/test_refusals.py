"""What the chart refuses by itself, for a user with nothing but helm: the place, what is wrong, what to write."""

from typing import Any

import pytest

from agent_identities.helm import HelmError, Renderer, Values

RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]

CASES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"agents": {"a": {"tiers": ["root"]}}}, ("agents.a.tiers[0]", 'no tier "root"', "Known tiers: proxy", "tiers:")),
    (
        {"agents": {"triage": {"instances": 2}, "triage-2": {}}},
        ("agents.triage-2", 'ServiceAccount "triage-2"', "so does agents.triage", "Rename"),
    ),
    ({"agents": {"default": {}}}, ("agents.default", "no agent may be it", "another name")),
    ({"agents": {"agent-proxy": {}}}, ("agents.agent-proxy", "which is the proxy's", "Rename the agent")),
    (
        {"agents": {"a" * 62: {"instances": 1}}},
        (f"agents.{'a' * 62}", "64 characters", "Shorten"),
    ),
    (
        {"agents": {"a": {"token": {"expirationSeconds": 3607}}}},
        ("agents.a.token.expirationSeconds", "extends to a year", "expirationSeconds: 3600"),
    ),
    (
        {"agents": {"a": {"token": {"mode": "automount", "expirationSeconds": 900}}}},
        ("agents.a.token", "automount takes neither", "mode: projected"),
    ),
    ({"agents": {"a": {"labels": {"helm.sh/chart": "x"}}}}, ("agents.a.labels", "helm.sh/chart", "another key")),
    (
        {"agents": {"a": {"workload": {"image": "x", "podLabels": {"agent-identities/agent": "b"}}}}},
        ("agents.a.workload.podLabels", "agent-identities/agent", "another key"),
    ),
    (
        {"agents": {"a": {"workload": {"image": "x", "volumes": [{"name": "agent-token"}]}}}},
        ("agents.a.workload.volumes[0].name", "agent-token", "another name"),
    ),
    ({"proxy": {"name": "default"}}, ("proxy.name", '"default"', "name: agent-proxy")),
    ({"proxy": {"labels": {"helm.sh/chart": "x"}}}, ("proxy.labels", "helm.sh/chart")),
    ({"tiers": {"proxy": {"rules": RULES}}}, ("tiers.proxy", "proxy.rules")),
    ({"tiers": {"agent-proxy": {"rules": RULES}}}, ("tiers.agent-proxy", "agent-proxy-role", "another name")),
    ({"agnts": {}}, ("agnts",)),
    ({"agents": {"Bad_Name": {}}}, ("/agents", "Bad_Name")),
    ({"agents": {"a": {"teirs": []}}}, ("/agents/a", "teirs")),
    ({"agents": {"a": {"token": {"expirationSeconds": 60}}}}, ("/agents/a/token/expirationSeconds", "600")),
    ({"tiers": {"t": {"rules": []}}}, ("/tiers/t/rules", "minItems")),
]


@pytest.mark.parametrize(("values", "parts"), CASES, ids=[parts[0][:40] for _, parts in CASES])
@pytest.mark.parametrize("engine", ["renderer", "renderer_3"])
def test_a_mistake_is_refused_with_its_place_and_its_cure(
    request: pytest.FixtureRequest, engine: str, values: dict[str, Any], parts: tuple[str, ...]
) -> None:
    renderer: Renderer = request.getfixturevalue(engine)
    with pytest.raises(HelmError) as error:
        renderer.render(Values(overrides=values))
    missing = [part for part in parts if part not in str(error.value)]
    assert not missing, str(error.value)


def test_all_problems_stand_in_one_message(renderer: Renderer) -> None:
    values = {"agents": {"default": {}, "a": {"tiers": ["root", "boss"]}, "b": {"token": {"expirationSeconds": 3607}}}}
    with pytest.raises(HelmError, match="4 problems in the values") as error:
        renderer.render(Values(overrides=values))
    assert [place in str(error.value) for place in ("agents.default", "a.tiers[0]", "a.tiers[1]", "b.token")] == [
        True
    ] * 4


def test_many_problems_are_cut_with_their_number(renderer: Renderer) -> None:
    values = {"agents": {f"a{number}": {"tiers": ["root"]} for number in range(30)}}
    with pytest.raises(HelmError, match=r"30 problems[\s\S]*and 10 more"):
        renderer.render(Values(overrides=values))
