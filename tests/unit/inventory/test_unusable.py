from typing import Any

import pytest

from agent_identities.declaration import declare
from agent_identities.inventory.unusable import Unusable, unusable_rules
from agent_identities.rbac.served import UNKNOWN, Served, ServedResource

ALL_VERBS = frozenset({"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"})


def resource(group: str, item: str, spellings: str = "", *, namespaced: bool = True, verbs: str = "") -> ServedResource:
    return ServedResource(group, item, namespaced, frozenset(verbs.split()) or ALL_VERBS, frozenset(spellings.split()))


SERVED = Served(
    [
        resource("", "pods", "pod po"),
        resource("", "pods/log", verbs="get"),
        resource("", "configmaps", "configmap cm"),
        resource("", "services", "service svc"),
        resource("", "events", "event ev"),
        resource("", "nodes", "node no", namespaced=False),
        resource("", "namespaces", "namespace ns", namespaced=False),
        resource("apps", "deployments", "deployment deploy"),
        resource("batch", "jobs", "job"),
        resource("storage.k8s.io", "storageclasses", "storageclass sc", namespaced=False),
        resource("rbac.authorization.k8s.io", "roles", "role"),
    ],
    unread=["metrics.k8s.io"],
)


def judge(group: str, resources: str, verbs: str, served: Served = SERVED, **more: Any) -> Unusable:
    scope = more.pop("scope", "Namespace")
    rule = {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split(), **more}
    tiers = {"t": {"rules": [rule], "scope": scope}}
    values = {"proxy": {"name": "agent-proxy", "rules": []}, "tiers": tiers, "agents": {"a": {"tiers": ["t"]}}}
    return unusable_rules(declare(values, namespace="agent-system"), served)


@pytest.mark.parametrize(
    ("group", "resources", "verbs", "advice"),
    [
        ("apps/v1", "deployments", "get", "Write apps."),
        ("core", "events", "get", 'Write "".'),
        ("v1", "services", "get", 'Write "".'),
        ("Apps", "deployments", "get", "Write apps."),
        ("extensions", "deployments", "get", "Write apps."),
        ("apps.k8s.io", "deployments", "get", "Write apps."),
        ("v1.apps", "deployments", "get", "Write apps."),
        ("core.k8s.io", "pods", "get", 'Write "".'),
        (
            "",
            "pods",
            "select",
            "The verbs of requests are get, list, watch, create, update, patch, delete, deletecollection.",
        ),
        ("rbac", "roles", "get", "Write rbac.authorization.k8s.io."),
        ("stroage.k8s.io", "storageclasses", "get", "Write storage.k8s.io."),
        ("", "deployments", "get", "It is in API group apps: write a rule with that group in apiGroups."),
        ("", "pod", "get", "Write pods."),
        ("", "Pods", "get", "Write pods."),
        ("", "pods/logs", "get", "Write pods/log."),
        ("", "cm", "get", "Write configmaps."),
        ("", "svc", "get", "Write services."),
        ("apps", "deploy", "get", "Write deployments."),
        ("", "pods", "Get", "Write get."),
        ("", "pods", "get read", "Write get, list, watch."),
        ("", "pods/log", "list", "Remove it. Verbs of pods/log: get."),
    ],
)
def test_a_rule_that_no_request_uses_is_a_warning_with_the_right_spelling(
    group: str, resources: str, verbs: str, advice: str
) -> None:
    (found,) = judge(group, resources, verbs).findings
    assert found.remediation == (advice,)
    assert found.location.values.startswith("tiers.t.rules[0].")


@pytest.mark.parametrize(
    ("group", "resources", "verbs"),
    [
        ("", "pods pods/log", "get list watch"),
        ("", "pods", "get bind-agents"),
        ("", "*", "get"),
        ("*", "pods", "get"),
        ("", "pods", "*"),
        ("", "namespaces", "get"),
        ("", "nodes/metrics", "use"),
        ("metrics.k8s.io", "pods", "get list"),
        ("apps", "deployments/finalizers", "update"),
    ],
)
def test_a_rule_that_requests_can_use_is_not_a_finding(group: str, resources: str, verbs: str) -> None:
    assert judge(group, resources, verbs) == Unusable((), ())


def test_cluster_scoped_resources_in_a_tier_of_a_namespace_are_warnings_with_the_verbs() -> None:
    messages = [each.message for each in judge("", "pods nodes namespaces", "get list").findings]
    assert len(messages) == 2
    assert "nodes" in messages[0]
    assert "get, list" in messages[0]
    assert "namespaces" in messages[1]
    assert "no list" in messages[1]


def test_cluster_scoped_resources_in_a_tier_of_the_cluster_are_not_a_finding() -> None:
    assert judge("", "nodes namespaces", "get list", scope="Cluster").findings == ()


def test_create_with_names_is_a_warning_unless_an_apply_can_use_it() -> None:
    (found,) = judge("", "configmaps", "get create", resourceNames=["notes"]).findings
    assert found.location.values == "tiers.t.rules[0].verbs[1]"
    assert judge("", "configmaps", "create patch", resourceNames=["notes"]).findings == ()


def test_a_resource_whose_operator_is_not_installed_is_a_note() -> None:
    found = judge("monitoring.coreos.com", "prometheusrules", "get")
    assert found.findings == ()
    assert len(found.notes) == 1
    assert "monitoring.coreos.com" in found.notes[0]


def test_nothing_is_a_finding_if_the_resources_are_unknown() -> None:
    assert judge("apps/v1", "pod", "Get", UNKNOWN) == Unusable((), ())
