"""Generated values: valid values, drawn from the schema, and values with one error.

`--hypothesis-profile=prove` generates more values.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from agent_identities.bundled import chart_path
from agent_identities.chart import values
from agent_identities.chart.helm import Helm, HelmError, Rendered, Renderer
from agent_identities.chart.names import AGENT_LABEL
from agent_identities.chart.objects import Objects, thaw
from agent_identities.chart.values import Values
from agent_identities.declaration import declare
from mutation.judge import broken_by
from mutation.mutant import Verdict
from support.cases import Case
from support.invariants import ADMISSION
from support.kubeconform import Kubeconform
from support.refusals import paths
from support.values_broken import RELATIONS, Broken, broken_values, related
from support.values_strategies import valid_values

Json = dict[str, Any]
POOL: Final = ThreadPoolExecutor(4)


def sized(factor: float) -> settings:
    """Hypothesis settings with the profile's number of examples, multiplied by a factor."""
    return settings(
        max_examples=int(settings().max_examples * factor),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def bodies(rendered: Rendered) -> Json:
    return {str(key): thaw(obj.body) for key, obj in rendered.objects.items()}


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(item) for key, item in reversed(value.items())}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def changed(given: Json, entry: str, agent: Json | None) -> Json:
    """The values with this agent added or replaced, or (None) removed."""
    others = {key: one for key, one in (given.get("agents") or {}).items() if key != entry}
    return given | {"agents": others | ({} if agent is None else {entry: agent})}


def render_all(asked: Sequence[tuple[Renderer, Json]]) -> list[Rendered]:
    return list(POOL.map(lambda one: one[0].render(Values(overrides=one[1])), asked))


OWN_NUMBERS: Final = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["1{agent}"]}
FOUND: Final[Json] = {
    "tiers": {"own": {"rules": [OWN_NUMBERS]}},
    "agents": {"3e3": {"instances": 2.0}, "2e2": {"tiers": ["own"], "workload": {"image": "x", "replicas": 2_000_000}}},
    "proxy": {"annotations": {"a": "\U0001f600"}, "workload": {"image": "x"}, "token": {"mode": "automount"}},
}
"""Former bugs: names that become numbers, large numbers, text beyond the BMP, a proxy with an automounted token."""


@pytest.fixture
def validated(kubeconform: Kubeconform) -> Iterator[list[Rendered]]:
    """What is added is validated in the strict schemas when the test ends."""
    printed: list[Rendered] = []
    yield printed
    kubeconform.assert_valid(printed)


@sized(1)
@given(given_values=valid_values(chart_path()))
@example(given_values=FOUND)
def test_every_invariant_holds_for_valid_values(
    given_values: Json, renderer: Renderer, renderer_3: Renderer, helm_4: Helm, validated: list[Rendered], chart: Path
) -> None:
    seen = values.load(chart, overrides=given_values)
    more = changed(given_values, "zz-new", {"tiers": ["proxy"]})
    asked = [(renderer, given_values), (renderer_3, given_values), (Renderer(helm_4, chart), given_values)]
    asked += [(renderer, {"global": {}, **reordered(given_values)}), (renderer, more)]
    ours, theirs, again, turned, bigger = render_all(asked)

    assert bodies(theirs) == bodies(ours), "Helm 3 and Helm 4 differ"
    assert again.text == ours.text, "the same values rendered different bytes"
    assert bodies(turned) == bodies(ours), "the order of the keys matters"
    validated.append(ours)
    broken = broken_by(Case("generated", Values(overrides=given_values)), ours.objects)
    assert broken == {}, str(Verdict(broken))
    assert_a_new_agent_changes_no_other(ours.objects, bigger.objects, seen["bindings"], "zz-new")


def assert_a_new_agent_changes_no_other(fewer: Objects, more: Objects, bindings: str, name: str) -> None:
    """Existing objects do not change, except lists of all names, and each new object belongs to the agent.

    The first agent also takes away the annotation of a release without agents.
    """
    shared = {"ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"}  # their expressions list the names of all agents
    for key, obj in fewer.items():
        grouped = bindings == "perTier" and key.kind == "RoleBinding"
        if key.kind not in shared and not grouped:
            was = thaw(obj.body)
            if was["metadata"].get("annotations") == {"agent-identities/no-agents": "true"}:
                del was["metadata"]["annotations"]
            assert thaw(more[key].body) == was, f"{key} changed with an agent that the object does not belong to"
        if grouped:
            was, now = ([thaw(one) for one in objects[key].body["subjects"]] for objects in (fewer, more))
            assert [one for one in now if one["name"] != name] == was
    for key in more.keys() - fewer.keys():
        assert name in json.dumps(thaw(more[key].body)), (
            f"{key} was added with {name}, but does not belong to this agent"
        )


@sized(0.5)
@given(data=st.data(), given_values=valid_values(chart_path()))
def test_removing_an_agent_removes_only_its_objects(
    data: st.DataObject, given_values: Json, renderer: Renderer
) -> None:
    entries = [entry for entry, agent in (given_values.get("agents") or {}).items() if agent is not None]
    assume(entries)
    entry = data.draw(st.sampled_from(entries))
    given_values = given_values | {"bindings": "perAgent"}
    smaller = changed(given_values, entry, None)
    for deployer in (smaller.get("guards") or {}).get("deployers") or ():  # a deployer can refer to the agent
        assume(entry not in deployer.get("agents", ()))
    assume(not given_values.get("adoptServiceAccounts"))  # it can name the ServiceAccount of the agent
    whole, rest = render_all([(renderer, given_values), (renderer, smaller)])
    names = set(identities_of(given_values, entry))
    own = {key for key, obj in whole.objects.items() if obj.labels.get(AGENT_LABEL) in names}
    gone = whole.objects.keys() - rest.objects.keys()
    assert own <= gone
    assert rest.objects.keys() <= whole.objects.keys()
    elsewhere = {key for key in gone - own if key.namespace != "" and key.kind == "Role"}
    proxied = {key for key in gone - own if "impersonation" in key.name}
    none_quarantined = not declare(values.load(chart_path(), overrides=smaller), namespace="x").quarantined
    guards = {key for key in gone if none_quarantined and key.group == ADMISSION and ".quarantine" in key.name}
    assert gone == own | elsewhere | proxied | guards


def identities_of(given: Json, entry: str) -> list[str]:
    declared = declare(values.load(chart_path(), overrides=given), namespace="agent-system")
    return [one.name for one in (*declared.agents, *declared.quarantined) if one.entry == entry]


def reading_error(chart: Path, given: Json) -> str:
    """The message of the package for values that it refuses before Helm does; "" if it reads them."""
    try:
        values.load(chart, overrides=given)
    except values.ValuesError as error:
        return str(error)
    return ""


def refusal(renderer: Renderer, given: Json) -> str:
    with pytest.raises(HelmError) as error:
        renderer.render(Values(overrides=given))
    return str(error.value)


@sized(1.6)
@given(broken=broken_values(chart_path()))
def test_values_with_one_error_are_refused_with_the_location(
    broken: Broken, renderer: Renderer, renderer_3: Renderer, chart: Path
) -> None:
    ours, theirs = POOL.map(lambda one: refusal(one, broken.values), (renderer, renderer_3))
    if broken.steps is None:
        found = reading_error(chart, broken.values)  # of the relations, the package checks those of tiers itself
        assert not found or (broken.place in found and "there is no tier" in found), found
        for message in (ours, theirs):
            assert paths(message) == [broken.place], message
    else:
        with pytest.raises(values.ValuesError) as error:
            values.load(chart, overrides=broken.values)
        assert broken.place in str(error.value)
        for message in (ours, theirs):
            assert (broken.pointer or "/") in paths(message), message


def test_each_violated_relation_is_the_only_reported_problem(renderer: Renderer, renderer_3: Renderer) -> None:
    """Tests all relations, because the generated values may omit some."""
    asked = [(one, related({}, relation)) for relation in RELATIONS for one in (renderer, renderer_3)]
    messages = list(POOL.map(lambda ask: refusal(ask[0], ask[1].values), asked))
    for (_, broken), message in zip(asked, messages, strict=True):
        assert paths(message) == [broken.place], message
