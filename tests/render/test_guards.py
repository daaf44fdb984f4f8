"""The admission policies that the chart renders for guards."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart.helm import Renderer, Target
from agent_identities.chart.objects import Objects, thaw
from agent_identities.chart.values import Values
from agent_identities.inventory.guards import CONTROLLERS

POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
GUARDS = {
    "defaultAccount": "default-account",
    "runAs": "run-as",
    "tokens": "tokens",
    "tokenSecrets": "token-secrets",
    "bindings": "bindings",
    "roles": "roles",
    "accounts": "accounts",
    "labels": "labels",
    "networkPolicies": "network-policies",
    "trustAnchor": "trust-anchor",
    "records": "records",
    "impersonation": "impersonation",
    "ephemeralContainers": "ephemeral-containers",
    "exec": "exec",
    "quarantine": "quarantine",
    "shortTokens": "short-tokens",
}
EXTRA = (
    "run-as-revisions",
    "run-as-controllers",
    "tokens-certificates",
    "bindings-finalizers",
    "quarantine-pods",
    "quarantine-bindings",
)
SUSPECT = {"suspect": {"quarantined": True}}
EVERYTHING = {"enabled": True, "controllers": ["agent-sandbox"]}


def render(renderer: Renderer, target: Target | None = None, **values: Any) -> Objects:
    return renderer.render(Values(overrides=values), target or Target()).objects


def policies(objects: Objects) -> set[str]:
    """The last parts of the names of all policies."""
    found = objects.of_kind(POLICY, "MutatingAdmissionPolicy")
    return {policy.name.rsplit(".", 1)[1] for policy in found}


def kinds(objects: Objects) -> set[str]:
    return {key.kind for key in objects}


def test_no_object_is_cluster_scoped_if_guards_are_disabled(renderer: Renderer) -> None:
    objects = render(renderer, agents=SUSPECT, guards={"deployers": [{"kind": "User", "name": "u"}]})
    assert policies(objects) == set()
    assert kinds(objects) <= {"ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"}


def test_each_guard_can_be_disabled(renderer: Renderer) -> None:
    everything = policies(render(renderer, agents=SUSPECT, guards=EVERYTHING))
    assert everything == {*GUARDS.values(), *EXTRA}
    for key, name in GUARDS.items():
        left = policies(render(renderer, agents=SUSPECT, guards=EVERYTHING | {key: {"enabled": False}}))
        assert {found for found in everything - left if not found.startswith(f"{name}-")} == {name}


def test_every_policy_has_a_binding_with_the_declared_validation_actions(renderer: Renderer) -> None:
    actions = {key: {"validationActions": ["Audit"]} for key in GUARDS if key != "shortTokens"}
    for given, wanted in (({}, ["Deny"]), (actions, ["Audit"])):
        objects = render(renderer, agents=SUSPECT, guards={"enabled": True, **given})
        bindings = {obj.body["spec"]["policyName"]: obj for obj in objects.of_kind(BINDING)}
        assert bindings.keys() == {policy.name for policy in objects.of_kind(POLICY)}
        assert [thaw(obj.body["spec"]["validationActions"]) for obj in bindings.values()] == [wanted] * len(bindings)


def test_the_hardened_values_have_every_guard_in_force(renderer: Renderer, chart: Path) -> None:
    """Every template of templates/guards, so that a new guard is on in values/hardened.yaml, too.

    The controllers that run agents depend on the cluster: run-as-controllers applies to those that the values list.
    """
    hardened = Values.read([chart.parents[1] / "values" / "hardened.yaml"])
    objects = renderer.render(hardened, Target(kube_version="1.37.0")).objects
    found = {Path(objects[key].source).name for key in objects if "/guards/" in objects[key].source}
    templates = {file.name for file in (chart / "templates" / "guards").iterdir()}
    assert found == templates - {"run-as-controllers.yaml"}
    assert all("Deny" in obj.body["spec"]["validationActions"] for obj in objects.of_kind(BINDING))


def test_there_is_no_quarantine_guard_without_an_agent_in_quarantine(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {}}, guards={"enabled": True})
    assert not {name for name in policies(objects) if name.startswith("quarantine")}


def test_policy_names_contain_release_and_namespace(renderer: Renderer) -> None:
    guards = {"enabled": True}
    here = render(renderer, Target(release="one.two", namespace="x"), agents=SUSPECT, guards=guards)
    there = render(renderer, Target(release="one.two", namespace="y"), agents=SUSPECT, guards=guards)
    admission = "admissionregistration.k8s.io"
    names = [{key.name for key in objects if key.group == admission} for objects in (here, there)]
    assert names[0].isdisjoint(names[1])
    assert all(re.fullmatch(r"one\.two\.x\.[a-z-]+", name) for name in names[0])


def test_guards_select_the_agents_namespace_or_that_of_the_release_or_all(renderer: Renderer) -> None:
    objects = render(renderer, agents=SUSPECT, namespaceOverride="elsewhere", guards=EVERYTHING)
    found: dict[str, set[str]] = {}
    for policy in objects.of_kind(POLICY, "MutatingAdmissionPolicy"):
        selector = policy.body["spec"]["matchConstraints"]["namespaceSelector"]
        where = selector.get("matchLabels", {}).get("kubernetes.io/metadata.name", "")
        found.setdefault(where, set()).add(policy.name.rsplit(".", 1)[1])
    assert found[""] == {"bindings", "bindings-finalizers", "quarantine-bindings", "roles", "impersonation"}
    assert found["agent-system"] == {"records"}
    assert found["elsewhere"] == policies(objects) - found[""] - found["agent-system"]


@pytest.mark.parametrize(
    ("version", "enabled", "there"),
    [
        ("1.36.0", "auto", True),
        ("1.35.9", "auto", False),
        ("1.36.4-eks-1", "auto", True),
        ("1.37.0", True, True),
        ("1.36.0", False, False),
        ("1.35.0", False, False),
    ],
)
@pytest.mark.parametrize("engine", ["renderer", "renderer_3"])
def test_short_tokens_are_rendered_if_the_server_supports_them(
    request: pytest.FixtureRequest, engine: str, version: str, enabled: object, there: bool
) -> None:
    renderer: Renderer = request.getfixturevalue(engine)
    guards = {"enabled": True, "shortTokens": {"enabled": enabled}}
    objects = render(renderer, Target(kube_version=version), agents={"a": {}}, guards=guards)
    assert ("short-tokens" in policies(objects)) is there


def expressions(value: Any) -> list[str]:
    """Every CEL expression of a policy."""
    if isinstance(value, dict):
        own = [text for key, text in value.items() if key.lower().endswith("expression") and isinstance(text, str)]
        return own + [text for inner in value.values() for text in expressions(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in expressions(inner)]
    return []


def test_no_expression_exceeds_the_size_limit_of_cel(renderer: Renderer) -> None:
    names = [f"agent-{number:05}-{'x' * 51}" for number in range(2100)]
    audience = "https://vault.example/" + "v" * 400
    agents = {name: {"token": {"audience": audience}} for name in names}
    objects = render(renderer, agents=agents, guards={"enabled": True})
    for policy in objects.of_kind(POLICY, "MutatingAdmissionPolicy"):
        found = expressions(thaw(policy.body["spec"]))
        assert max(len(text) for text in found) < 100_000
        if policy.name.rsplit(".", 1)[1] in ("tokens", "short-tokens"):
            text = "".join(found)
            assert all(f"'{name}':" in text for name in names)


def test_the_guard_of_custom_resources_matches_the_kinds_of_the_listed_controllers_only(
    renderer: Renderer, chart: Path
) -> None:
    catalogue = json.loads((chart / "files" / "controllers.json").read_text())["controllers"]
    two: list[Any] = ["argo-workflows", {"name": "keda", "namespace": "x"}]
    for listed in ([], ["openshell"], ["keda"], two, list(catalogue)):
        objects = render(renderer, guards={"enabled": True, "controllers": listed})
        names = [one if isinstance(one, str) else one["name"] for one in listed]
        kinds = {(kind["group"], kind["resource"]) for name in names for kind in catalogue[name]["kinds"]}
        found = [
            policy.body["spec"] for policy in objects.of_kind(POLICY) if policy.name.endswith("run-as-controllers")
        ]
        rules = [rule for spec in found for rule in spec["matchConstraints"]["resourceRules"]]
        matched = {(rule["apiGroups"][0], one) for rule in rules for one in rule["resources"] if "/" not in one}
        assert matched == kinds
        assert all(len(rule["apiGroups"]) == 1 for rule in rules)
        assert max((len(text) for spec in found for text in expressions(thaw(spec))), default=0) < 100_000


def deployer_rules(renderer: Renderer, **deployer: Any) -> list[Any]:
    agents = {"a": {}, "team": {"instances": 2}}
    given = {"kind": "User", "name": "u"} | deployer
    objects = render(renderer, agents=agents, guards={"enabled": True, "deployers": [given]})
    (role,) = [role for role in objects.of_kind("Role") if "deployer" in role.name]
    (binding,) = [binding for binding in objects.of_kind("RoleBinding") if "deployer" in binding.name]
    assert binding.body["roleRef"]["name"] == role.name
    (subject,) = binding.body["subjects"]
    assert (subject["kind"], subject["name"]) == (given["kind"], given["name"])
    rules: list[Any] = thaw(role.body["rules"])
    return rules


def test_without_agents_a_deployer_of_an_agent_to_come_has_no_permission(renderer: Renderer) -> None:
    """A rule without resourceNames would be a permission on all agents."""
    given = {"kind": "User", "name": "u", "agents": ["a"]}
    objects = render(
        renderer,
        agents=None,
        adoptServiceAccounts=["a"],
        guards={"enabled": True, "deployers": [given], "controllers": [{"name": "keda", "agents": ["a"]}]},
    )
    roles = [role for role in objects.of_kind("Role") if "deployer" in role.name]
    assert [list(role.body["rules"]) for role in roles] == [[], []]


def test_a_deployer_can_use_all_agents_or_the_listed_agents(renderer: Renderer) -> None:
    use = {"apiGroups": ["agent-identities"], "resources": ["agents/agent-system"], "verbs": ["use"]}
    bind = {"apiGroups": ["agent-identities"], "resources": ["agents/agent-system"], "verbs": ["bind-agents"]}
    assert deployer_rules(renderer) == [use]
    assert deployer_rules(renderer, bindAgents=True) == [use, bind]
    for agents, names in ((["team"], ["team-1", "team-2"]), (["team-2", "agent-proxy"], ["agent-proxy", "team-2"])):
        assert deployer_rules(renderer, agents=agents) == [use | {"resourceNames": names}]
    for subject in ({"kind": "Group"}, {"kind": "ServiceAccount", "namespace": "ci"}):
        assert deployer_rules(renderer, **subject) == [use]


def test_adding_a_deployer_does_not_change_the_roles_of_other_deployers(renderer: Renderer) -> None:
    first, second = {"kind": "User", "name": "u"}, {"kind": "User", "name": "v"}

    def roles(*deployers: Any) -> dict[Any, Any]:
        objects = render(renderer, agents={"a": {}}, guards={"enabled": True, "deployers": list(deployers)})
        return {role.key: thaw(role.body) for role in objects.of_kind("Role", "RoleBinding")}

    assert roles(first).items() <= roles(second, first).items()


def test_the_table_of_guards_has_every_policy_and_its_exemptions(renderer: Renderer, chart: Path) -> None:
    """files/guards.json says who is exempt: what the expressions of the policies say."""
    table = json.loads((chart / "files" / "guards.json").read_text())["policies"]
    objects = render(renderer, agents={"a": {}}, guards=EVERYTHING)
    found = {policy.name.rsplit(".", 1)[1]: thaw(policy.body["spec"]) for policy in objects.of_kind(POLICY)}
    assert table.keys() == found.keys()
    for name, spec in found.items():
        text = " ".join(expressions(spec))
        verbs = set(re.findall(r"check\('([a-z-]+)'\)", text))
        assert table[name] == {
            "guard": next(key for key, suffix in GUARDS.items() if f"{name}-".startswith(f"{suffix}-")),
            "ways": table[name]["ways"],
            "verbs": [verb for verb in ("use", "bind-agents", "request-any-token") if verb in verbs],
            "each": re.search(r"\.name\(variables\.account\d?\)\.check\(", text) is not None,
            "controllers": any(one["name"] == "not-a-controller" for one in spec.get("matchConditions", ())),
            "itself": re.search(
                r"== 'system:serviceaccount:agent-system:' \+ variables\.account\d? && has\(request\.userInfo\.extra\)",
                text,
            )
            is not None,
            "remover": "delete" in verbs,
        }


def test_the_package_knows_the_controllers_that_the_guards_exempt(renderer: Renderer) -> None:
    objects = render(renderer, agents={"a": {}}, guards={"enabled": True})
    (run_as,) = [policy for policy in objects.of_kind(POLICY) if policy.name.endswith(".run-as")]
    text = run_as.body["spec"]["matchConditions"][0]["expression"]
    names = re.findall(r"'([^']+)'", text)
    prefix = "system:serviceaccount:kube-system:"
    assert {name if ":" in name else prefix + name for name in names} - {prefix} == CONTROLLERS
