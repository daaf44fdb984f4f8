"""What the chart refuses by itself, for a user with nothing but helm: the place, what is wrong, what to write."""

import pytest

from agent_identities.chart.helm import HelmError, Renderer, Values
from support.mistakes import CASES, THEIRS, Case, agent


@pytest.mark.parametrize("case", CASES, ids=[f"{case.parts[0][:30]}-{case.parts[-1][:20]}" for case in CASES])
class TestMistakes:
    @pytest.mark.parametrize("engine", ["renderer", "renderer_3"])
    def test_it_is_refused_with_its_place_and_its_cure(
        self, request: pytest.FixtureRequest, engine: str, case: Case
    ) -> None:
        renderer: Renderer = request.getfixturevalue(engine)
        with pytest.raises(HelmError) as error:
            renderer.render(Values(overrides=case.values))
        missing = [part for part in case.parts if part not in str(error.value)]
        assert not missing, str(error.value)
        assert "problems in the values" not in str(error.value), "one mistake is one problem"

    def test_what_the_message_says_to_write_is_taken(self, renderer: Renderer, case: Case) -> None:
        assert renderer.render(Values(overrides=case.cured)).objects.of_kind("ServiceAccount")


def test_legacy_impersonation_may_act_for_a_role_that_somebody_else_keeps(renderer: Renderer) -> None:
    values = agent(access="proxied", tiers=["theirs"]) | {"tiers": THEIRS, "proxy": {"impersonation": "legacy"}}
    assert renderer.render(Values(overrides=values)).objects.find("RoleBinding", "a:view")


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
