"""The objects that a quarantine removes, and the objects that must stay because other agents need them."""

from typing import Any

import pytest

from agent_identities.quarantine.plan import (
    Step,
    TargetAccounts,
    account_steps,
    binding_steps,
    group_bindings,
    rights,
    values_change,
    workload_steps,
)
from agent_identities.rbac import PolicyRule, Request, User

Manifest = dict[str, Any]
TARGET = TargetAccounts("agents", ("worker",))
WORKER = {"kind": "ServiceAccount", "name": "worker", "namespace": "agents"}
SIBLING = {"kind": "ServiceAccount", "name": "sibling", "namespace": "agents"}


def binding(*subjects: Manifest, namespace: str = "agents", **labels: str) -> Manifest:
    metadata: Manifest = {"name": "b", "uid": "1", "resourceVersion": "7", "labels": labels}
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    return {
        "kind": kind,
        "metadata": metadata | ({"namespace": namespace} if namespace else {}),
        "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": list(subjects),
    }


def pod(name: str, account: str, *owners: Manifest) -> Manifest:
    metadata = {"name": name, "namespace": "agents", "uid": name, "ownerReferences": list(owners)}
    return {"metadata": metadata, "spec": {"serviceAccountName": account}}


def deployment(name: str, account: str, **labels: str) -> Manifest:
    metadata = {"name": name, "namespace": "agents", "uid": name, "labels": labels}
    return {"metadata": metadata, "spec": {"template": {"spec": {"serviceAccountName": account}}}}


@pytest.mark.parametrize(
    ("subject", "namespace"),
    [
        (WORKER, "agents"),
        (WORKER, "elsewhere"),
        (WORKER, ""),
        ({"kind": "ServiceAccount", "name": "worker"}, "agents"),
        ({"kind": "User", "name": "system:serviceaccount:agents:worker"}, "elsewhere"),
        ({"kind": "User", "name": "system:serviceaccount:agents:worker"}, ""),
    ],
)
def test_a_binding_with_only_the_agent_is_deleted_in_any_namespace_and_for_any_subject_kind(
    subject: Manifest, namespace: str
) -> None:
    (step,) = binding_steps([binding(subject, namespace=namespace)], TARGET)
    assert step.subjects is None
    assert (step.namespace, step.uid, step.version) == (namespace, "1", "7")
    assert ("subject of kind User" in step.note) == (subject["kind"] == "User")


@pytest.mark.parametrize(
    "subject",
    [
        SIBLING,
        {"kind": "ServiceAccount", "name": "worker", "namespace": "elsewhere"},
        {"kind": "User", "name": "worker"},
        {"kind": "Group", "name": "system:serviceaccounts:agents"},
        {"kind": "Group", "name": "system:serviceaccount:agents:worker"},
    ],
)
def test_a_binding_of_another_subject_stays(subject: Manifest) -> None:
    assert not list(binding_steps([binding(subject)], TARGET))


def test_only_the_subjects_of_the_agent_are_removed_from_a_shared_binding() -> None:
    user = {"kind": "User", "name": "system:serviceaccount:agents:worker"}
    (step,) = binding_steps([binding(SIBLING, WORKER, user)], TARGET)
    assert step.subjects == (SIBLING,)
    assert "2 of 3 subjects" in step.note


def test_a_binding_without_subjects_stays() -> None:
    assert not list(binding_steps([{**binding(), "subjects": None}], TARGET))


def test_bindings_to_groups_of_accounts_are_reported_except_those_of_kubernetes() -> None:
    group = {"kind": "Group", "name": "system:serviceaccounts:agents"}
    everyone = {"kind": "Group", "name": "system:serviceaccounts"}
    others = {"kind": "Group", "name": "system:serviceaccounts:other"}
    own = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    found = group_bindings([binding(group), binding(others), binding(everyone, namespace="", **own)], TARGET)
    assert [(str(key), name) for key, name in found] == [("RoleBinding agents/b", "system:serviceaccounts:agents")]


def test_a_binding_with_finalizers_loses_its_subjects_because_it_would_grant_its_role_after_its_deletion() -> None:
    kept = binding(WORKER)
    kept["metadata"]["finalizers"] = ["example.com/hold"]
    (step,) = binding_steps([kept], TARGET)
    assert (step.subjects, step.finalizers) == ((), ("example.com/hold",))
    assert next(binding_steps([binding(WORKER)], TARGET)).subjects is None


def test_the_account_is_deleted_unless_it_is_being_deleted() -> None:
    here = {"metadata": {"name": "worker", "namespace": "agents", "uid": "1"}}
    deleted = {"metadata": {**here["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    other = {"metadata": {**here["metadata"], "name": "sibling"}}
    assert [step.name for step in account_steps([here, deleted, other], TARGET)] == ["worker"]


def test_the_deployment_and_all_pods_of_the_agent_are_deleted_and_no_others() -> None:
    mine, label = "agent-identities/agent", {"agent-identities/agent": "worker"}
    deployments = [
        deployment("worker", "worker", **label),
        deployment("sibling", "sibling", **{mine: "sibling"}),
        deployment("unlabelled", "worker", app="else"),  # not of the chart: it stays, and cannot start pods
        deployment("mislabelled", "sibling", **label),  # has the worker's label, and runs as another agent
    ]
    pods = [pod("worker-5f-x", "worker"), pod("by-hand", "worker"), pod("sibling-1", "sibling")]
    steps = [(step.kind, step.name) for step in workload_steps(deployments, pods, TARGET)]
    assert steps == [("Deployment", "worker"), ("Pod", "worker-5f-x"), ("Pod", "by-hand")]


def test_the_controller_of_a_pod_is_noted_unless_it_is_deleted() -> None:
    ours = {"kind": "ReplicaSet", "name": "worker-5f", "controller": True}
    theirs = {"kind": "Job", "name": "nightly", "controller": True}
    label = {"agent-identities/agent": "worker"}
    pods = [pod("a", "worker", ours), pod("b", "worker", theirs)]
    _, first, second = workload_steps([deployment("worker", "worker", **label)], pods, TARGET)
    assert first.note == ""
    assert "Job nightly" in second.note


def test_the_rights_to_review_are_the_single_rights_of_the_user() -> None:
    user = User("system:serviceaccount:agents:worker")
    rules = [
        PolicyRule(("get", "*"), ("",), ("pods/log",), ("a",)),
        PolicyRule(("get",), non_resource_urls=("/metrics",)),
    ]
    (here,) = binding_steps([binding(WORKER)], TARGET)
    assert rights(here, rules) == (
        (user, Request("get", "", "pods", "log", "a", "agents")),
        (user, Request("*", "", "pods", "log", "a", "agents")),
    )
    (everywhere,) = binding_steps([binding(WORKER, namespace="")], TARGET)
    assert rights(everywhere, rules)[-1] == (user, Request("get", path="/metrics"))


@pytest.mark.parametrize(
    ("agents", "names", "change"),
    [
        ({"worker": {}}, ["worker"], {"worker": {"quarantined": True}}),
        ({"worker": None}, ["worker"], {"worker": {"quarantined": True}}),
        ({"worker": {"quarantined": True}}, ["worker"], {}),
        ({"triage": {"instances": 3}}, ["triage-2"], {"triage": {"quarantined": [2]}}),
        ({"triage": {"instances": 3, "quarantined": [3]}}, ["triage-2"], {"triage": {"quarantined": [2, 3]}}),
        ({"triage": {"instances": 3, "quarantined": [2]}}, ["triage-2"], {}),
        ({"triage": {"instances": 3, "quarantined": True}}, ["triage-2"], {}),
        ({"triage": {"instances": 2}}, ["triage-1", "triage-2"], {"triage": {"quarantined": True}}),
        ({"entry": {"serviceAccount": {"name": "worker"}}}, ["worker"], {"entry": {"quarantined": True}}),
        ({"triage-2": {}, "triage": {}}, ["triage-2"], {"triage-2": {"quarantined": True}}),
    ],
)
def test_the_values_change_keeps_instances_that_are_already_quarantined(
    agents: Manifest, names: list[str], change: Manifest
) -> None:
    assert values_change({"agents": agents}, {}, names) == {"agents": change}


def test_without_values_the_entry_comes_from_the_labels() -> None:
    label = {"agent-identities/instance-of": "triage"}
    assert values_change(None, {"triage-2": label}, ["triage-2"]) == {"agents": {"triage": {"quarantined": [2]}}}
    assert values_change(None, {"other": label}, ["other"]) == {"agents": {"triage": {"quarantined": True}}}
    assert values_change(None, {}, ["worker"]) == {"agents": {"worker": {"quarantined": True}}}


def test_a_step_has_the_path_of_its_object() -> None:
    assert Step("RoleBinding", "agents", "b", "1").collection.endswith("/namespaces/agents/rolebindings")
    assert Step("ClusterRoleBinding", "", "b", "1").collection.endswith("/v1/clusterrolebindings")
    assert str(Step("Pod", "agents", "p", "1")) == "Pod agents/p"


def test_an_account_with_a_name_that_is_too_long_for_a_label_has_the_label_of_its_entry() -> None:
    long = f"{'a' * 60}.{'b' * 60}"
    target = TargetAccounts("agents", (long, "worker"), {long: "entry", "worker": "worker"})
    assert target.labels == {"entry": long, "worker": "worker"}
    meta = {"name": "entry", "namespace": "agents", "uid": "u", "labels": {"agent-identities/agent": "entry"}}
    deployment = {"kind": "Deployment", "metadata": meta, "spec": {"template": {"spec": {"serviceAccountName": long}}}}
    assert [step.name for step in workload_steps([deployment], [], target)] == ["entry"]
