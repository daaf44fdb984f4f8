"""The values' promise, worked out from the values alone."""

from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart.values import ValuesError, load
from agent_identities.declaration import EVERYWHERE, Declaration, Identity, declare
from agent_identities.rbac import PolicyRule, RoleRef
from support.edge_cases import INVALID
from support.invalid_pods import invalid_pods
from support.invalid_values import Invalid, invalid_values

READ = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
OWN = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["{agent}-state"], "verbs": ["get"]}
NODES = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}
TIERS = {
    "reader": {"rules": [READ]},
    "own": {"rules": [OWN]},
    "nodes": {"scope": "Cluster", "rules": [NODES]},
    "theirs": {"existingRole": {"kind": "ClusterRole", "name": "view"}},
}


def promise(agents: dict[str, Any], **proxy: Any) -> Declaration:
    values = {"proxy": {"name": "agent-proxy", "rules": [READ], **proxy}, "tiers": TIERS, "agents": agents}
    return declare(values, namespace="ns")


def only(declaration: Declaration) -> Identity:
    (agent,) = declaration.agents
    return agent


def test_an_agent_without_tiers_holds_the_central_role() -> None:
    assert only(promise({"a": {}})).rules_in("ns") == (PolicyRule.from_manifest(READ),)


def test_an_agent_with_an_empty_list_holds_nothing() -> None:
    assert only(promise({"a": {"tiers": []}})).grants == ()


@pytest.mark.parametrize("case", [*invalid_values(), *invalid_pods(), *INVALID], ids=str)
def test_values_that_only_the_templates_refuse_have_a_declaration(chart: Path, case: Invalid) -> None:
    """`check` declares the values while Helm renders them: the user must read the error of Helm."""
    try:
        values = load(chart, (), case.values)
    except ValuesError:
        return
    declare(values, namespace="ns")


def test_instances_are_numbered() -> None:
    assert [agent.name for agent in promise({"t": {"instances": 3}}).agents] == ["t-1", "t-2", "t-3"]


def test_each_agent_gets_its_own_objects() -> None:
    agents = promise({"t": {"instances": 2, "tiers": ["own"]}}).agents
    assert [agent.rules_in("ns")[0].resource_names for agent in agents] == [("t-1-state",), ("t-2-state",)]


def test_a_tier_of_scope_cluster_holds_everywhere() -> None:
    agent = only(promise({"a": {"tiers": ["nodes"]}}))
    assert agent.rules_in(EVERYWHERE) == (PolicyRule.from_manifest(NODES),)
    assert agent.rules_in("ns") == ()


def test_grants_in_other_namespaces_hold_there_only() -> None:
    agent = only(promise({"a": {"tiers": [], "namespaces": {"team-a": ["reader"]}}}))
    assert agent.rules_in("team-a") == (PolicyRule.from_manifest(READ),)
    assert agent.rules_in("ns") == ()


def test_what_an_existing_role_holds_is_not_ours_to_say() -> None:
    (grant,) = only(promise({"a": {"tiers": ["theirs"]}})).grants
    assert (grant.rules, grant.existing) == ((), RoleRef("ClusterRole", "view"))


def test_a_quarantined_agent_holds_nothing() -> None:
    declaration = promise({"a": {"quarantined": True}, "t": {"instances": 3, "quarantined": [2]}})
    assert [agent.name for agent in declaration.agents] == ["t-1", "t-3"]
    assert [(agent.name, agent.grants) for agent in declaration.quarantined] == [("a", ()), ("t-2", ())]


def test_the_value_for_all_agents_quarantines_each_of_them_and_not_the_proxy() -> None:
    agents = {"a": {"quarantined": False}, "t": {"instances": 2, "quarantined": [2]}}
    declaration = declare(
        {"proxy": {"name": "agent-proxy", "rules": [READ]}, "quarantined": True, "agents": agents}, namespace="ns"
    )
    assert [agent.name for agent in declaration.quarantined] == ["a", "t-1", "t-2"]
    assert declaration.agents == ()
    assert declaration.proxy.grants


def test_an_existing_account_is_the_agents_name() -> None:
    agent = only(promise({"a": {"serviceAccount": {"create": False, "name": "theirs"}}}))
    assert (agent.name, agent.entry, agent.created) == ("theirs", "a", False)


def test_the_proxy_acts_as_proxied_agents_with_their_verbs_only() -> None:
    agents = {"p": {"access": "proxied", "tiers": ["reader"], "namespaces": {"team-a": ["own"]}}, "d": {}}
    acting = {grant.namespace: grant.rules for grant in promise(agents).proxy.grants if grant.impersonation}
    who, what = acting["ns"]
    assert (who.verbs, who.resource_names) == (("impersonate:serviceaccount",), ("p",))
    assert what.verbs == ("impersonate-on:serviceaccount:get", "impersonate-on:serviceaccount:list")
    assert acting["team-a"][0].resource_names == ("p-state",)


def test_below_1_36_the_proxy_has_the_old_verb_pinned_to_names() -> None:
    values = {
        "proxy": {"name": "agent-proxy", "rules": [READ], "impersonation": "auto"},
        "tiers": TIERS,
        "agents": {"p": {"access": "proxied"}},
    }
    old = declare(values, namespace="ns", kube_version="v1.35.4")
    (rule,) = old.proxy.grants[1].rules
    assert (rule.verbs, rule.resources, rule.resource_names) == (("impersonate",), ("serviceaccounts",), ("p",))


def test_the_proxy_of_direct_agents_impersonates_nobody() -> None:
    assert [grant.tier for grant in promise({"a": {}}).proxy.grants] == ["proxy"]


def test_a_proxied_agent_has_no_token() -> None:
    assert only(promise({"p": {"access": "proxied"}})).token.mode == "none"
