"""What has to go so that an agent holds nothing, and what must stay because others live by it."""

from typing import Any

import pytest

from agent_identities.quarantine.plan import (
    Step,
    TargetAccounts,
    account_steps,
    binding_steps,
    rights,
    shared_rights,
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
def test_a_binding_of_its_own_goes_wherever_it_is_and_however_it_names_the_account(
    subject: Manifest, namespace: str
) -> None:
    (step,) = binding_steps([binding(subject, namespace=namespace)], TARGET)
    assert step.subjects is None
    assert (step.namespace, step.uid, step.version) == (namespace, "1", "7")
    assert ("named the account as a User" in step.note) == (subject["kind"] == "User")


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
def test_a_binding_of_somebody_else_stays(subject: Manifest) -> None:
    assert not list(binding_steps([binding(subject)], TARGET))


def test_of_a_shared_binding_only_its_subjects_go() -> None:
    user = {"kind": "User", "name": "system:serviceaccount:agents:worker"}
    (step,) = binding_steps([binding(SIBLING, WORKER, user)], TARGET)
    assert step.subjects == (SIBLING,)
    assert "2 of 3 subjects" in step.note


def test_a_binding_without_subjects_is_nobodys() -> None:
    assert not list(binding_steps([{**binding(), "subjects": None}], TARGET))


def test_rights_of_groups_of_accounts_are_told_and_kubernetes_own_are_not() -> None:
    group = {"kind": "Group", "name": "system:serviceaccounts:agents"}
    everyone = {"kind": "Group", "name": "system:serviceaccounts"}
    others = {"kind": "Group", "name": "system:serviceaccounts:other"}
    own = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    assert list(shared_rights([binding(group), binding(others), binding(everyone, namespace="", **own)], TARGET)) == [
        "RoleBinding agents/b to Group system:serviceaccounts:agents"
    ]


def test_its_account_goes_unless_it_is_going() -> None:
    here = {"metadata": {"name": "worker", "namespace": "agents", "uid": "1"}}
    going = {"metadata": {**here["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    other = {"metadata": {**here["metadata"], "name": "sibling"}}
    assert [step.name for step in account_steps([here, going, other], TARGET)] == ["worker"]


def test_its_deployment_and_all_pods_that_run_as_it_go_and_no_others() -> None:
    mine, label = "agent-identities/agent", {"agent-identities/agent": "worker"}
    deployments = [
        deployment("worker", "worker", **label),
        deployment("sibling", "sibling", **{mine: "sibling"}),
        deployment("borrower", "worker", app="else"),  # not the chart's: it stays, and can start nothing
        deployment("liar", "sibling", **label),  # says it is the worker's, and runs as another
    ]
    pods = [pod("worker-5f-x", "worker"), pod("by-hand", "worker"), pod("sibling-1", "sibling")]
    steps = [(step.kind, step.name) for step in workload_steps(deployments, pods, TARGET)]
    assert steps == [("Deployment", "worker"), ("Pod", "worker-5f-x"), ("Pod", "by-hand")]


def test_what_would_make_a_pod_anew_is_named_unless_it_goes_too() -> None:
    ours = {"kind": "ReplicaSet", "name": "worker-5f", "controller": True}
    theirs = {"kind": "Job", "name": "nightly", "controller": True}
    label = {"agent-identities/agent": "worker"}
    pods = [pod("a", "worker", ours), pod("b", "worker", theirs)]
    _, first, second = workload_steps([deployment("worker", "worker", **label)], pods, TARGET)
    assert first.note == ""
    assert "Job nightly" in second.note


def test_the_rights_to_ask_for_are_every_atom_under_the_users_own_name() -> None:
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
def test_the_values_change_names_the_entry_and_keeps_who_was_out_before(
    agents: Manifest, names: list[str], change: Manifest
) -> None:
    assert values_change({"agents": agents}, {}, names) == {"agents": change}


def test_without_the_values_the_labels_tell_the_entry() -> None:
    label = {"agent-identities/instance-of": "triage"}
    assert values_change(None, {"triage-2": label}, ["triage-2"]) == {"agents": {"triage": {"quarantined": [2]}}}
    assert values_change(None, {"other": label}, ["other"]) == {"agents": {"triage": {"quarantined": True}}}
    assert values_change(None, {}, ["worker"]) == {"agents": {"worker": {"quarantined": True}}}


def test_a_step_says_where_its_object_is() -> None:
    assert Step("RoleBinding", "agents", "b", "1").collection.endswith("/namespaces/agents/rolebindings")
    assert Step("ClusterRoleBinding", "", "b", "1").collection.endswith("/v1/clusterrolebindings")
    assert str(Step("Pod", "agents", "p", "1")) == "Pod agents/p"
