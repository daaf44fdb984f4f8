"""priorityAndFairness: the FlowSchema and the PriorityLevelConfiguration of the agents."""

from typing import Any

from agent_identities.chart.helm import Renderer, Target
from agent_identities.chart.objects import KubeObject, Objects, thaw
from agent_identities.chart.values import Values

KINDS = ("FlowSchema", "PriorityLevelConfiguration")


def render(renderer: Renderer, target: Target | None = None, **share: Any) -> Objects:
    values = {"agents": {"a": {}}, "priorityAndFairness": {"enabled": True, **share}}
    return renderer.render(Values(overrides=values), target).objects


def pair(objects: Objects) -> tuple[KubeObject, KubeObject]:
    (schema,), (level,) = (tuple(objects.of_kind(kind)) for kind in KINDS)
    return schema, level


def test_no_object_is_rendered_if_priority_and_fairness_is_disabled(renderer: Renderer) -> None:
    assert not tuple(render(renderer, enabled=False).of_kind(*KINDS))


def test_the_flow_schema_separates_all_requests_of_the_agents_namespace_by_user(renderer: Renderer) -> None:
    schema, level = pair(render(renderer))
    spec = thaw(schema.body["spec"])
    assert spec["priorityLevelConfiguration"]["name"] == level.name
    assert spec["distinguisherMethod"] == {"type": "ByUser"}
    (rule,) = spec["rules"]
    assert rule["subjects"] == [{"kind": "Group", "group": {"name": "system:serviceaccounts:agent-system"}}]
    (resources,) = rule["resourceRules"]
    assert resources["clusterScope"] is True
    assert [resources[key] for key in ("verbs", "apiGroups", "resources", "namespaces")] == [["*"]] * 4
    assert rule["nonResourceRules"] == [{"verbs": ["*"], "nonResourceURLs": ["*"]}]


def test_the_priority_level_has_the_declared_shares(renderer: Renderer) -> None:
    queuing = {"queues": 8, "handSize": 2, "queueLengthLimit": 5}
    share: dict[str, Any] = {
        "nominalConcurrencyShares": 7,
        "lendablePercent": 0,
        "borrowingLimitPercent": 0,
        "queuing": queuing,
    }
    schema, level = pair(render(renderer, matchingPrecedence=500, **share))
    assert schema.body["spec"]["matchingPrecedence"] == 500
    limited = thaw(level.body["spec"]["limited"])
    assert limited.pop("limitResponse") == {"type": "Queue", "queuing": queuing}
    assert limited == {key: value for key, value in share.items() if key != "queuing"}


def test_the_names_of_two_releases_never_collide(renderer: Renderer) -> None:
    targets = [Target("a", "b-c"), Target("a", "b"), Target("b", "a"), Target("c.a", "b"), Target("c-a", "b")]
    names = [pair(render(renderer, target))[0].name for target in targets]
    assert len(set(names)) == len(targets)
    assert all(namespace in name for name, namespace in zip(names, ["b-c", "b", "a", "b", "b"], strict=True))
