"""What outlives a quarantine: each kind is reported with its remediation, and nothing else is."""

from typing import Any

import pytest

from agent_identities.chart.objects import Key
from agent_identities.declaration import declare
from agent_identities.quarantine import outlives
from agent_identities.quarantine.audiences import Audience, audiences
from agent_identities.quarantine.plan import TargetAccounts
from agent_identities.quarantine.result import OutlivingKind
from agent_identities.rbac import Request

Manifest = dict[str, Any]
TARGET = TargetAccounts("team", ("bot",))
LABEL = {"agent-identities/agent": "bot"}


def item(kind: str, name: str, **metadata: Any) -> Manifest:
    return {"kind": kind, "metadata": {"name": name, "namespace": "team", **metadata}}


def pod(name: str, account: str, labels: dict[str, str], *owners: Manifest, **spec: Any) -> Manifest:
    return item("Pod", name, labels=labels, ownerReferences=list(owners)) | {
        "spec": {"serviceAccountName": account, **spec}
    }


def policy(selector: Manifest, *, labels: dict[str, str] | None = None, **rules: Any) -> Manifest:
    return item("NetworkPolicy", "open", labels=labels or {}) | {"spec": {"podSelector": selector, **rules}}


@pytest.mark.parametrize(
    "request_",
    [
        Request("watch", resource="pods"),
        Request("*", resource="pods"),
        Request("create", resource="pods", subresource="exec"),
        Request("get", resource="pods", subresource="log"),
        Request("create", resource="*"),
    ],
)
def test_an_agent_that_may_open_a_long_connection_can_still_have_it(request_: Request) -> None:
    (found,) = outlives.connections(TARGET, [Request("get", resource="pods"), request_])
    assert found.kind is OutlivingKind.CONNECTION
    assert "restart the API servers" in found.remediation


def test_connections_are_reported_unless_the_rights_are_known_to_allow_none() -> None:
    assert list(outlives.connections(TARGET, None))
    assert not list(outlives.connections(TARGET, [Request("get", resource="pods"), Request("list", resource="pods")]))


VALUES: Manifest = {
    "proxy": {"name": "agent-proxy", "rules": []},
    "guards": {"enabled": True, "tokens": {"apiAudiences": ["api"], "audiences": {"mesh": 1200}}},
    "agents": {
        "bot": {
            "token": {"audience": "gateway", "expirationSeconds": 900},
            "tokens": {"vault": {"audience": "vault.example"}, "api": {"audience": "api"}},
            "cloud": {"aws": {"roleArn": "r"}, "azure": {"clientId": "c", "tokenExpirationSeconds": 7200}},
        },
        "other": {"tokens": {"x": {"audience": "x.example"}}},
    },
}


def test_the_audiences_are_those_of_the_values_without_the_api_servers() -> None:
    found = audiences(VALUES, declare(VALUES, namespace="team"), ["bot"], [])
    assert {each.name: each.seconds for each in found} == {
        "gateway": 900,
        "vault.example": 3600,
        "sts.amazonaws.com": 86400,
        "api://AzureADTokenExchange": 7200,
        "mesh": 1200,
    }


def test_the_audiences_of_pods_that_the_values_do_not_declare_are_found() -> None:
    token = {"serviceAccountToken": {"audience": "ledger", "expirationSeconds": 700, "path": "t"}}
    volumes = [{"name": "v", "projected": {"sources": [token, {"configMap": {"name": "c"}}]}}, {"name": "w"}]
    found = audiences(None, None, ["bot"], [pod("p", "bot", {}, volumes=volumes), pod("q", "other", {})])
    assert found == (Audience("ledger", ("bot",), 700),)


def test_a_token_for_another_audience_is_reported_with_its_subject() -> None:
    (found,) = outlives.tokens_elsewhere("team", [Audience("ledger", ("bot",), 700)])
    assert "at most 700 s" in found.what
    assert "system:serviceaccount:team:bot" in found.remediation


@pytest.mark.parametrize(
    ("annotations", "kept"),
    [
        ({"helm.sh/resource-policy": "keep"}, True),
        ({"helm.sh/hook": "pre-install"}, True),
        ({"argocd.argoproj.io/hook": "Sync"}, True),
        ({"argocd.argoproj.io/sync-options": "ServerSideApply=true, Prune=false"}, True),
        ({"kustomize.toolkit.fluxcd.io/prune": "disabled"}, True),
        ({"argocd.argoproj.io/sync-options": "ServerSideApply=true"}, False),
        ({"kustomize.toolkit.fluxcd.io/prune": "enabled"}, False),
        ({"helm.sh/chart": "agent-identities-1"}, False),
    ],
)
def test_an_annotation_that_keeps_an_object_is_reported(annotations: dict[str, str], kept: bool) -> None:
    assert bool(list(outlives.kept_by_annotations([item("ServiceAccount", "bot", annotations=annotations)]))) is kept


def test_a_finalizer_is_reported_with_the_client_that_set_it_and_the_command_that_removes_it() -> None:
    fields = {"manager": "eve", "fieldsV1": {"f:metadata": {"f:finalizers": {}}}}
    held = item("ServiceAccount", "bot", finalizers=["example.com/hold"], managedFields=[fields, {"manager": "helm"}])
    found = outlives.held(held, "-n team patch serviceaccount bot")
    assert "the finalizer example.com/hold (set by eve) keeps it" in found.what
    assert found.remediation.endswith(
        """kubectl -n team patch serviceaccount bot --type=merge -p '{"metadata":{"finalizers":null}}'"""
    )


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, True),
        ({"matchLabels": LABEL}, True),
        ({"matchExpressions": [{"key": "agent-identities/agent", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "agent-identities/agent", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "agent-identities/agent", "operator": "In", "values": ["bot"]}]}, True),
        ({"matchExpressions": [{"key": "agent-identities/agent", "operator": "NotIn", "values": ["bot"]}]}, False),
        ({"matchLabels": {"agent-identities/agent": "other"}}, False),
    ],
)
def test_a_policy_that_selects_the_agents_pods_and_allows_traffic_is_reported(
    selector: Manifest, selected: bool
) -> None:
    assert bool(list(outlives.open_traffic([policy(selector, egress=[{}])], [LABEL]))) is selected


def test_a_policy_that_denies_and_a_policy_of_the_chart_are_not_reported() -> None:
    deny = policy({}, policyTypes=["Ingress", "Egress"])
    ours = policy({}, ingress=[{}], labels={"app.kubernetes.io/name": "agent-identities"})
    assert not list(outlives.open_traffic([deny, ours], [LABEL]))


def test_a_pod_with_the_agents_label_and_another_account_is_reported() -> None:
    pods = [pod("fake", "other", LABEL), pod("own", "bot", LABEL), pod("free", "other", {})]
    assert [each.object for each in outlives.impostors(pods, TARGET)] == [Key("", "Pod", "team", "fake")]


def test_a_controller_outside_the_release_is_reported_once_with_its_deployment() -> None:
    owner = {"kind": "ReplicaSet", "name": "web-5d", "controller": True}
    own = {"kind": "ReplicaSet", "name": "bot-7f", "controller": True}
    hashed = {"pod-template-hash": "5d"}
    pods = [pod("a", "bot", hashed, owner), pod("b", "bot", hashed, owner), pod("c", "bot", hashed, own)]
    (found,) = outlives.controllers(pods, [item("Deployment", "bot")], TARGET)
    assert found.remediation == "kubectl -n team delete deployment web"


def test_a_secret_with_a_token_of_the_agent_is_reported() -> None:
    secrets = [
        item("Secret", name, annotations={"kubernetes.io/service-account.name": account})
        for name, account in (("forever", "bot"), ("else", "other"))
    ]
    assert [each.object for each in outlives.token_secrets(secrets, TARGET)] == [Key("", "Secret", "team", "forever")]


CILIUM = "CiliumNetworkPolicy"


def cilium(selector: dict[str, Any], kind: str = CILIUM, **spec: Any) -> dict[str, Any]:
    namespace = {"namespace": "team"} if kind == CILIUM else {}
    rule = {"endpointSelector": selector, **(spec or {"egress": [{"toEntities": ["world"]}]})}
    return {"kind": kind, "metadata": {"name": "p", **namespace}, "spec": rule}


@pytest.mark.parametrize(
    "policy",
    [
        cilium({}),
        cilium({"matchLabels": {"k8s:app": "x"}}),
        cilium({"matchLabels": {"any:agent-identities/agent": "bot"}}),
        cilium({"matchLabels": {"io.cilium.k8s.policy.serviceaccount": "bot"}}),
        cilium({"matchExpressions": [{"key": "k8s:app", "operator": "Exists"}]}),
        cilium({"matchLabels": {"k8s:io.kubernetes.pod.namespace": "team"}}, "CiliumClusterwideNetworkPolicy"),
        {**cilium({}), "spec": None, "specs": [cilium({}, ingress=[{}])["spec"]]},
    ],
)
def test_policies_of_cilium_that_open_traffic_are_left(policy: dict[str, Any]) -> None:
    labels = [{"app": "x", "agent-identities/agent": "bot"}]
    (left,) = outlives.open_cilium_traffic([policy], TARGET, labels)
    assert left.kind is OutlivingKind.TRAFFIC
    where = "-n team " if policy["kind"] == CILIUM else ""
    assert f"kubectl {where}delete {policy['kind'].lower()} p" in left.remediation


@pytest.mark.parametrize(
    "policy",
    [
        cilium({"matchLabels": {"k8s:app": "other"}}),
        cilium({}, egressDeny=[{"toEntities": ["world"]}]),
        cilium({"matchLabels": {"reserved:host": ""}}),
        cilium({"matchLabels": {"k8s:io.kubernetes.pod.namespace": "other"}}, "CiliumClusterwideNetworkPolicy"),
    ],
)
def test_policies_of_cilium_that_open_nothing_for_the_agent_are_not_left(policy: dict[str, Any]) -> None:
    labels = [{"app": "x", "agent-identities/agent": "bot"}]
    assert not list(outlives.open_cilium_traffic([policy], TARGET, labels))
