"""The names that the package expects are those that the chart gives."""

import pytest

from agent_identities.chart.helm import Renderer, Target
from agent_identities.chart.values import Values, load
from agent_identities.declaration import declare

NAMESPACE = "agent-system"
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
OWN = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["{agent}-state"], "verbs": ["get"]}
TIERS = {
    "reader": {"rules": [PODS]},
    "notes": {"rules": [OWN]},
    "theirs": {"existingRole": {"name": "of-others"}, "acceptRisks": {"existing-role-unknown": "a test"}},
    "view": {"existingRole": {"kind": "ClusterRole", "name": "view"}},
}
AGENTS = {
    "a": {},
    "b": {"tiers": ["reader"]},
    "c": {"tiers": ["notes"]},
    "d": {"tiers": ["theirs"]},
    "e": {"tiers": ["view"]},
}


@pytest.mark.parametrize("proxy", ["agent-proxy", "central"])
def test_roles_and_bindings_have_the_names_that_the_package_expects(renderer: Renderer, proxy: str) -> None:
    values = {"proxy": {"name": proxy}, "tiers": TIERS, "agents": AGENTS}
    objects = renderer.render(Values(overrides=values), Target(namespace=NAMESPACE)).objects
    declaration = declare(load(renderer.chart, overrides=values), namespace=NAMESPACE)
    bound = {
        binding.name: (binding.body["roleRef"]["name"], binding.body["subjects"][0]["name"])
        for binding in objects.of_kind("RoleBinding")
    }
    for one in declaration.identities:
        role = declaration.role_name(one)
        assert bound[declaration.binding_name(one)] == (role, one.name)
