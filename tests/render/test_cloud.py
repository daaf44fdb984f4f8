"""An agent's identity in a cloud, and tokens for audiences other than the API server."""

from typing import Any

import pytest

from agent_identities.chart.helm import Renderer
from agent_identities.chart.objects import KubeObject, Objects
from agent_identities.chart.values import Values
from support.invalid_values import CLIENT, ROLE, TENANT


def render(renderer: Renderer, agent: dict[str, Any], **values: Any) -> Objects:
    agents = {"a": {"workload": {"image": "x:1"}, **agent}}
    return renderer.render(Values(overrides={"agents": agents, **values})).objects


def account(objects: Objects, name: str = "a") -> KubeObject:
    found = objects.find("ServiceAccount", name)
    assert found is not None
    return found


def template(objects: Objects) -> Any:
    (deployment,) = objects.of_kind("Deployment")
    return deployment.body["spec"]["template"]


@pytest.mark.parametrize(
    ("cloud", "annotations"),
    [
        ({"aws": {"roleArn": ROLE}}, {"eks.amazonaws.com/role-arn": ROLE}),
        (
            {"aws": {"roleArn": ROLE, "audience": "x", "stsRegionalEndpoints": True, "tokenExpirationSeconds": 900}},
            {
                "eks.amazonaws.com/role-arn": ROLE,
                "eks.amazonaws.com/audience": "x",
                "eks.amazonaws.com/sts-regional-endpoints": "true",
                "eks.amazonaws.com/token-expiration": "900",
            },
        ),
        ({"awsPodIdentity": True}, {}),
        ({"gcp": {}}, {}),
        (
            {"gcp": {"serviceAccount": "a@p.iam.gserviceaccount.com"}},
            {"iam.gke.io/gcp-service-account": "a@p.iam.gserviceaccount.com"},
        ),
        (
            {"azure": {"clientId": CLIENT, "tenantId": TENANT, "tokenExpirationSeconds": 86400}},
            {
                "azure.workload.identity/client-id": CLIENT,
                "azure.workload.identity/tenant-id": TENANT,
                "azure.workload.identity/service-account-token-expiration": "86400",
            },
        ),
        ({"aws": None, "awsPodIdentity": False, "gcp": None, "azure": None}, {}),
    ],
    ids=["irsa", "irsa, all of it", "eks pod identity", "gke", "gke, impersonating", "azure", "null"],
)
def test_the_service_account_has_the_annotations_of_its_cloud(
    renderer: Renderer, cloud: dict[str, Any], annotations: dict[str, str]
) -> None:
    objects = render(renderer, {"cloud": cloud, "annotations": {"owner": "sre"}})
    assert account(objects).annotations == {"owner": "sre", **annotations}


def test_only_azure_adds_a_label_to_the_pods(renderer: Renderer) -> None:
    azure = render(renderer, {"cloud": {"azure": {"clientId": CLIENT}}})
    aws = render(renderer, {"cloud": {"aws": {"roleArn": ROLE}}})
    assert template(azure)["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert set(template(aws)["metadata"]["labels"]) == {"agent-identities/agent"}


def test_the_selector_of_a_deployment_does_not_change_with_the_cloud(renderer: Renderer) -> None:
    selectors = {
        str(deployment.body["spec"]["selector"])
        for agent in ({}, {"cloud": {"azure": {"clientId": CLIENT}}})
        for deployment in render(renderer, agent).of_kind("Deployment")
    }
    assert len(selectors) == 1


def test_extra_tokens_are_mounted_next_to_the_agents_token(renderer: Renderer) -> None:
    tokens = {"vault": {"audience": "vault.example", "expirationSeconds": 600}, "b": {"audience": "x", "path": "y"}}
    spec = template(render(renderer, {"tokens": tokens | {"gone": None}}))["spec"]
    own, extra = spec["volumes"][:2]
    assert own["name"] == "agent-token"
    assert [source["serviceAccountToken"] for source in extra["projected"]["sources"]] == [
        {"path": "y", "expirationSeconds": 3600, "audience": "x"},
        {"path": "vault", "expirationSeconds": 600, "audience": "vault.example"},
    ]
    assert [(mount["name"], mount["mountPath"]) for mount in spec["containers"][0]["volumeMounts"][:2]] == [
        ("agent-token", "/var/run/secrets/kubernetes.io/serviceaccount"),
        ("agent-tokens", "/var/run/secrets/tokens"),
    ]


def test_extra_tokens_are_mounted_next_to_the_automounted_token(renderer: Renderer) -> None:
    agent = {"token": {"mode": "automount"}, "tokens": {"vault": {"audience": "vault.example"}}}
    spec = template(render(renderer, agent))["spec"]
    assert [volume["name"] for volume in spec["volumes"]] == ["agent-tokens", "agent-tmp"]
    assert [mount["name"] for mount in spec["containers"][0]["volumeMounts"]] == ["agent-tokens", "agent-tmp"]


@pytest.mark.parametrize(
    ("cloud", "blocks"),
    [
        ({"awsPodIdentity": True}, {"169.254.170.23/32", "fd00:ec2::23/128"}),
        ({"gcp": {}}, {"169.254.169.252/32", "169.254.169.254/32"}),
        ({"aws": {"roleArn": ROLE}}, {"198.51.100.7/32"}),
        ({"azure": {"clientId": CLIENT}}, {"198.51.100.8/32"}),
        ({"awsPodIdentity": False}, set()),
        ({}, set()),
    ],
)
def test_the_network_policy_allows_the_endpoint_of_the_agents_cloud(
    renderer: Renderer, cloud: dict[str, Any], blocks: set[str]
) -> None:
    endpoints = {"aws": {"cidrs": ["198.51.100.7/32"]}, "azure": {"cidrs": ["198.51.100.8/32"]}}
    network = {"enabled": True, "apiServer": {"cidrs": ["10.96.0.1/32"]}, "cloud": endpoints}
    policy = render(renderer, {"cloud": cloud}, network=network).find("NetworkPolicy", "a")
    assert policy is not None
    peers = [peer for rule in policy.body["spec"]["egress"] for peer in rule["to"]]
    opened = {peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer}
    assert opened - {"10.96.0.1/32", "169.254.20.10/32"} == blocks


def test_an_existing_azure_service_account_still_adds_the_label_to_its_pods(renderer: Renderer) -> None:
    objects = render(renderer, {"cloud": {"azure": {}}, "serviceAccount": {"create": False, "name": "a"}})
    assert objects.find("ServiceAccount", "a") is None
    assert template(objects)["metadata"]["labels"]["azure.workload.identity/use"] == "true"


def test_every_instance_has_the_same_cloud_identity(renderer: Renderer) -> None:
    objects = render(renderer, {"cloud": {"aws": {"roleArn": ROLE}}, "instances": 2})
    assert account(objects, "a-1").annotations == account(objects, "a-2").annotations
