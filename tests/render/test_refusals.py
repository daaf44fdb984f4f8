"""Values that the chart refuses in Helm: the message has the location, the problem and the remediation."""

import pytest

from agent_identities.chart.helm import HelmError, Renderer
from agent_identities.chart.values import Values
from support.mistakes import CASES, THEIRS, Case, agent


@pytest.mark.parametrize("case", CASES, ids=[f"{case.parts[0][:30]}-{case.parts[-1][:20]}" for case in CASES])
class TestMistakes:
    @pytest.mark.parametrize("engine", ["renderer", "renderer_3"])
    def test_invalid_values_are_refused_with_location_and_remediation(
        self, request: pytest.FixtureRequest, engine: str, case: Case
    ) -> None:
        renderer: Renderer = request.getfixturevalue(engine)
        with pytest.raises(HelmError) as error:
            renderer.render(Values(overrides=case.values))
        missing = [part for part in case.parts if part not in str(error.value)]
        assert not missing, str(error.value)
        assert "problems in the values" not in str(error.value), "one error must be one problem"

    def test_the_remediation_in_the_message_is_accepted(self, renderer: Renderer, case: Case) -> None:
        assert renderer.render(Values(overrides=case.cured)).objects.of_kind("ServiceAccount")


def test_legacy_impersonation_works_with_an_existing_role(renderer: Renderer) -> None:
    values = agent(access="proxied", tiers=["theirs"]) | {"tiers": THEIRS, "proxy": {"impersonation": "legacy"}}
    assert renderer.render(Values(overrides=values)).objects.find("RoleBinding", "a:view")


def test_one_message_contains_all_problems(renderer: Renderer) -> None:
    values = {"agents": {"default": {}, "a": {"tiers": ["root", "boss"]}, "b": {"token": {"expirationSeconds": 3607}}}}
    with pytest.raises(HelmError, match="4 problems in the values") as error:
        renderer.render(Values(overrides=values))
    assert [path in str(error.value) for path in ("agents.default", "a.tiers[0]", "a.tiers[1]", "b.token")] == [
        True
    ] * 4


def test_a_long_list_of_problems_is_truncated_and_counted(renderer: Renderer) -> None:
    values = {"agents": {f"a{number}": {"tiers": ["root"]} for number in range(30)}}
    with pytest.raises(HelmError, match=r"30 problems[\s\S]*and 10 more"):
        renderer.render(Values(overrides=values))
