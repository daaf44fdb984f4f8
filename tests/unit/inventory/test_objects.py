"""Findings about objects of agents, from manifests. cluster/test_inventory_objects.py has them on an API server."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart.objects import Key
from agent_identities.chart.values import Values
from agent_identities.declaration import declare
from agent_identities.declared_objects import declared_objects
from agent_identities.inventory.accounts import Accounts
from agent_identities.inventory.credentials import quarantined_accounts, token_secrets
from agent_identities.inventory.networks import network_findings
from agent_identities.inventory.objects import AgentObjects
from agent_identities.inventory.pods import pod_findings
from agent_identities.inventory.workloads import Workload, agent_pods, removals
from agent_identities.report.model import Severity
from support.live_pods import live_pod_spec

Json = dict[str, Any]
NAMESPACE = "agent-system"
BOT = {"bot": {"workload": {"image": "x:1"}}}


def meta(name: str, **fields: Any) -> Json:
    return {"metadata": {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", **fields}}


def objects(chart: Path, agents: Json, accounts: Iterable[Json] = (), values: Json | None = None, **found: Any) -> Any:
    """The objects that were read, for the values of these agents."""
    declaration = declare(Values(overrides={"agents": agents, **(values or {})}).merged(chart), namespace=NAMESPACE)
    declared = {(one.namespace, one.name): declared_objects(declaration, one) for one in declaration.identities}
    by_key = {(NAMESPACE, account["metadata"]["name"]): account for account in accounts}
    return AgentObjects(declaration, declared, Accounts(by_key), **found)


def token_secret(account: str, **annotations: str) -> Json:
    return meta(f"{account}-token", annotations={"kubernetes.io/service-account.name": account, **annotations})


def owner(kind: str, name: str, api: str = "apps/v1", uid: str = "") -> Json:
    return {"apiVersion": api, "kind": kind, "name": name, "uid": uid or f"uid-{name}", "controller": True}


def pod(account: str, *owners: Json, **labels: str) -> Json:
    containers = [{"name": "agent", "image": "x:1"}]
    found = meta("p", labels={"agent-identities/agent": account, **labels}, ownerReferences=list(owners))
    return {**found, "spec": {"serviceAccountName": account, "containers": containers}}


def deployment(name: str) -> Json:
    """The Deployment of an agent whose workload is {image: x:1}, as an API server returns it."""
    return {**meta(name), "spec": {"template": {"spec": live_pod_spec(name)}}}


def of_pods(found: AgentObjects) -> list[tuple[str, Key | None]]:
    return [(each.rule, each.location.object) for each in pod_findings(found, agent_pods(found))]


def test_the_token_secrets_of_two_hundred_agents_are_one_finding_with_one_command(chart: Path) -> None:
    names = [f"triage-{number}" for number in range(1, 201)]
    found = objects(chart, {"triage": {"instances": 200}}, token_secrets=tuple(map(token_secret, names)))
    (finding,) = token_secrets(found)
    assert "200 Secrets" in finding.message
    assert "triage-1 … triage-200" in finding.message
    assert finding.location.values == "agents.triage"
    assert all(f" {name}-token" in finding.remediation[0] for name in names)
    assert len(finding.details) == 10


def test_the_controller_of_openshift_is_named(chart: Path) -> None:
    made = {"kubernetes.io/created-by": "openshift.io/create-dockercfg-secrets"}
    found = objects(chart, {"a": {}}, token_secrets=(token_secret("a", **made),))
    (finding,) = token_secrets(found)
    assert "OpenShift" in finding.remediation[1]


def test_the_pods_of_the_deployment_of_the_release_are_declared(chart: Path) -> None:
    found = objects(
        chart,
        BOT,
        pods=(pod("bot", owner("ReplicaSet", "bot-abc")),),
        owners={"uid-bot-abc": meta("bot-abc", ownerReferences=[owner("Deployment", "bot")])},
        deployments={(NAMESPACE, "bot"): deployment("bot")},
    )
    assert of_pods(found) == []


@pytest.mark.parametrize(
    ("of_pod", "of_replica_set", "expected"),
    [
        ([], [], Key("", "Pod", NAMESPACE, "p")),
        ([owner("ReplicaSet", "bot-abc")], [], Key("apps", "ReplicaSet", NAMESPACE, "bot-abc")),
        (
            [owner("ReplicaSet", "bot-abc")],
            [owner("Deployment", "bot", uid="uid-of-a-deleted-deployment")],
            Key("apps", "Deployment", NAMESPACE, "bot"),
        ),
        (
            [owner("ReplicaSet", "bot-abc")],
            [owner("Deployment", "bot", api="example.com/v1")],
            Key("example.com", "Deployment", NAMESPACE, "bot"),
        ),
        ([owner("StatefulSet", "bot")], [], Key("apps", "StatefulSet", NAMESPACE, "bot")),
        ([owner("Sandbox", "s", api="agents.example/v1")], [], Key("agents.example", "Sandbox", NAMESPACE, "s")),
    ],
)
def test_other_owners_are_not_of_the_release(
    chart: Path, of_pod: list[Json], of_replica_set: list[Json], expected: Key
) -> None:
    found = objects(
        chart,
        BOT,
        pods=(pod("bot", *of_pod),),
        owners={"uid-bot-abc": meta("bot-abc", ownerReferences=of_replica_set)},
        deployments={(NAMESPACE, "bot"): deployment("bot")},
    )
    assert of_pods(found) == [("undeclared-pod", expected)]


@pytest.mark.parametrize(("name", "rules"), [("bot-abc", []), ("other-abc", ["undeclared-pod"])])
def test_if_replica_sets_cannot_be_read_their_names_say_whose_they_are(
    chart: Path, name: str, rules: list[str]
) -> None:
    found = objects(
        chart,
        BOT,
        pods=(pod("bot", owner("ReplicaSet", name), **{"pod-template-hash": "abc"}),),
        deployments={(NAMESPACE, "bot"): deployment("bot")},
        unread=frozenset({(NAMESPACE, "ReplicaSet")}),
    )
    assert [rule for rule, _ in of_pods(found)] == rules


def test_a_sibling_may_not_run_in_the_deployment_of_an_agent(chart: Path) -> None:
    found = objects(
        chart,
        {**BOT, "other": {"workload": {"image": "x:1"}}},
        pods=(pod("other", owner("ReplicaSet", "bot-abc")),),
        owners={"uid-bot-abc": meta("bot-abc", ownerReferences=[owner("Deployment", "bot")])},
        deployments={(NAMESPACE, "bot"): deployment("bot")},
    )
    assert [rule for rule, _ in of_pods(found)] == ["undeclared-pod"]


@pytest.mark.parametrize(
    ("key", "command"),
    [
        (Key("apps", "Deployment", "ns", "d"), "kubectl -n ns delete deployment d"),
        (Key("example.com", "Deployment", "ns", "d"), "kubectl -n ns delete deployment.example.com d"),
        (Key("", "Pod", "ns", "p"), "kubectl -n ns delete pod p"),
        (Key("", "ReplicationController", "ns", "r"), "kubectl -n ns delete replicationcontroller r"),
    ],
)
def test_the_command_names_the_kind_as_kubectl_knows_it(key: Key, command: str) -> None:
    assert removals([Workload(key)]) == (f"To remove it: {command}",)


def test_a_quarantined_agent_without_a_service_account_is_not_found(chart: Path) -> None:
    assert list(quarantined_accounts(objects(chart, {"a": {"quarantined": True}}))) == []


def test_only_the_quarantined_instance_is_found(chart: Path) -> None:
    accounts = [meta(name) for name in ("t-1", "t-2", "t-3")]
    found = objects(chart, {"t": {"instances": 3, "quarantined": [2]}}, accounts)
    (finding,) = quarantined_accounts(found)
    assert finding.location.object == Key("", "ServiceAccount", NAMESPACE, "t-2")


def test_another_value_of_a_keeping_annotation_is_not_a_cause(chart: Path) -> None:
    account = meta("a", annotations={"argocd.argoproj.io/sync-options": "Validate=false"})
    (finding,) = quarantined_accounts(objects(chart, {"a": {"quarantined": True}}, [account]))
    assert "argocd" not in " ".join(finding.details)


def test_no_network_policy_is_a_finding_if_the_values_declare_none(chart: Path) -> None:
    allows = {**meta("open"), "spec": {"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]}}
    assert list(network_findings(objects(chart, {"a": {}}, policies=(allows,)))) == []


def test_a_network_policy_for_a_label_that_only_a_pod_has_is_found(chart: Path) -> None:
    quarantined = {"a": {"quarantined": True}}
    own = {
        **meta("a"),
        "spec": {
            "podSelector": {"matchLabels": {"agent-identities/agent": "a"}},
            "policyTypes": ["Ingress", "Egress"],
        },
    }
    allows = {**meta("open"), "spec": {"podSelector": {"matchLabels": {"app": "x"}}, "egress": [{}]}}
    without = objects(chart, quarantined, policies=(own, allows))
    assert list(network_findings(without)) == []
    with_pod = objects(chart, quarantined, policies=(own, allows), pods=(pod("a", app="x"),))
    (finding,) = network_findings(with_pod)
    assert finding.rule == "undeclared-network-policy"


def test_workloads_without_pods_that_can_run_as_an_agent_are_found(chart: Path) -> None:
    template = pod("bot")
    keys = [Key("batch", "CronJob", NAMESPACE, "nightly"), Key("apps", "Deployment", NAMESPACE, "zero")]
    declared = {Key("apps", "Deployment", NAMESPACE, "bot"): template}
    (finding,) = pod_findings(objects(chart, BOT, templates={**declared, **dict.fromkeys(keys, template)}), ())
    assert (finding.rule, finding.severity) == ("undeclared-workload", Severity.ERROR)
    assert finding.remediation == (
        f"To remove it: kubectl -n {NAMESPACE} delete cronjob nightly",
        f"To remove it: kubectl -n {NAMESPACE} delete deployment zero",
    )


def test_workloads_without_pods_are_only_a_finding_for_agents_whose_pods_the_values_declare(chart: Path) -> None:
    template = {Key("", "ReplicationController", NAMESPACE, "rc"): pod("bot")}
    assert not list(pod_findings(objects(chart, {"bot": {}}, templates=template), ()))
    (finding,) = pod_findings(objects(chart, {"bot": {"quarantined": True}}, templates=template), ())
    assert (finding.rule, finding.severity) == ("undeclared-workload", Severity.WARNING)


@pytest.mark.parametrize("changed", [{"command": ["sh", "-c", "id"]}, {"args": ["--debug"]}])
def test_another_command_of_a_deployment_is_found_with_the_command_that_restores_it(chart: Path, changed: Json) -> None:
    live = deployment("bot")
    live["spec"]["template"]["spec"]["containers"][0] |= changed
    found = objects(chart, BOT, deployments={(NAMESPACE, "bot"): live})
    (finding,) = pod_findings(found, ())
    assert finding.rule == "changed-deployment"
    assert '{"name":"agent","command":null,"args":null}' in finding.remediation[0]
    declared = {"bot": {"workload": {"image": "x:1", **changed}}}
    assert not list(pod_findings(objects(chart, declared, deployments={(NAMESPACE, "bot"): live}), ()))


def test_ephemeral_containers_of_the_pods_of_the_release_are_found(chart: Path) -> None:
    debugged = pod("bot", owner("ReplicaSet", "bot-abc"))
    debugged["spec"]["ephemeralContainers"] = [{"name": "debugger", "image": "busybox"}]
    owned = {"uid-bot-abc": meta("bot-abc", ownerReferences=[owner("Deployment", "bot")])}
    deployments = {(NAMESPACE, "bot"): deployment("bot")}
    found = objects(chart, BOT, pods=(debugged,), owners=owned, deployments=deployments)
    (finding,) = pod_findings(found, agent_pods(found))
    assert (finding.rule, finding.location.object) == ("ephemeral-container", Key("", "Pod", NAMESPACE, "p"))
    assert finding.details == (f"Pod {NAMESPACE}/p: debugger (image busybox)",)
