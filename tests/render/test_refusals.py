"""What the chart refuses by itself, for a user who has Helm alone: path, value and remediation in one message.

test_invariants judges what each message says (support.refusals). Here: Helm 3, and messages with many problems.
"""

from typing import Any

import pytest

from agent_identities.chart.helm import HelmError, Renderer, Target
from agent_identities.chart.values import Values
from support.edge_cases import INVALID
from support.invalid_pods import invalid_pods
from support.invalid_values import THEIRS, Invalid, agent, invalid_values
from support.refusals import counted, paths, problems

CASES = [*invalid_values(), *invalid_pods(), *INVALID]


def refusal(renderer: Renderer, values: dict[str, Any], target: Target | None = None) -> str:
    with pytest.raises(HelmError) as error:
        renderer.render(Values(overrides=values), target)
    return str(error.value)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_helm_3_refuses_with_the_problems_of_helm_4(renderer: Renderer, renderer_3: Renderer, case: Invalid) -> None:
    ours, theirs = (refusal(one, case.values, case.target) for one in (renderer, renderer_3))
    if case.refusal.path.startswith("/"):  # each Helm has its own validator
        assert case.refusal.path in paths(theirs)
    else:
        assert problems(theirs) == problems(ours)


def test_legacy_impersonation_works_with_an_existing_role(renderer: Renderer) -> None:
    values = agent(access="proxied", tiers=["theirs"]) | {"tiers": THEIRS, "proxy": {"impersonation": "legacy"}}
    assert renderer.render(Values(overrides=values)).objects.find("RoleBinding", "ClusterRole:a:view")


def test_one_message_contains_all_problems(renderer: Renderer) -> None:
    values = {"agents": {"default": {}, "a": {"tiers": ["root", "boss"]}, "b": {"token": {"expirationSeconds": 3607}}}}
    message = refusal(renderer, values)
    assert counted(message) == 4
    assert sorted(paths(message)) == [
        "agents.a.tiers[0]",
        "agents.a.tiers[1]",
        "agents.b.token.expirationSeconds",
        "agents.default",
    ]


def test_a_long_list_of_problems_is_truncated_and_counted(renderer: Renderer) -> None:
    message = refusal(renderer, {"agents": {f"a{number}": {"tiers": ["root"]} for number in range(30)}})
    assert counted(message) == 30
    assert len(problems(message)) == 20
    assert "10" in message.splitlines()[-1]
