"""values/seed.yaml, the smallest complete example, renders a fixed set of objects."""

from pathlib import Path

import pytest

from agent_identities.chart.helm import Renderer, Target
from agent_identities.chart.objects import Objects, thaw
from agent_identities.chart.values import Values

NAMESPACE = "agent-system"
READ = {"apiGroups": [""], "resources": ["pods", "services", "configmaps"], "verbs": ["get", "list", "watch"]}
TO_PROXY_ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "agent-proxy-role"}


@pytest.fixture(params=["helm_4", "helm_3"])
def seed(request: pytest.FixtureRequest, chart: Path) -> Objects:
    renderer = Renderer(request.getfixturevalue(request.param), chart)
    values = Values.read([chart.parents[1] / "values" / "seed.yaml"])
    return renderer.render(values, Target(namespace=NAMESPACE)).objects


def test_the_seed_renders_exactly_these_objects(seed: Objects) -> None:
    assert {(key.kind, key.namespace, key.name) for key in seed} == {
        ("ServiceAccount", NAMESPACE, "agent-proxy"),
        ("Role", NAMESPACE, "agent-proxy-role"),
        ("RoleBinding", NAMESPACE, "agent-proxy-binding"),
        ("ServiceAccount", NAMESPACE, "agent-worker-1"),
        ("RoleBinding", NAMESPACE, "agent-worker-1-binding"),
        ("Deployment", NAMESPACE, "agent-worker-1"),
    }


def test_the_central_role_reads_pods_services_and_configmaps(seed: Objects) -> None:
    (role,) = seed.of_kind("Role")
    assert thaw(role.body["rules"]) == [READ]


@pytest.mark.parametrize("account", ["agent-proxy", "agent-worker-1"])
def test_both_service_accounts_are_bound_to_the_central_role(seed: Objects, account: str) -> None:
    binding = seed.find("RoleBinding", f"{account}-binding")
    assert binding is not None
    assert thaw(binding.body["roleRef"]) == TO_PROXY_ROLE
    assert thaw(binding.body["subjects"]) == [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]


def test_the_deployment_runs_as_the_agent_with_its_token_mounted(seed: Objects) -> None:
    (deployment,) = seed.of_kind("Deployment")
    pod = deployment.body["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "agent-worker-1"
    assert pod["automountServiceAccountToken"] is True
