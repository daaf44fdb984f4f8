"""The objects of an agent as the values declare them: its ServiceAccount, pods and NetworkPolicy.

`inventory` compares a cluster with them. Like the declaration, they are computed from the values only, without Helm and
without the templates.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_identities.chart.names import ADOPTED, AGENT_LABEL, INSTANCE_LABEL, PROXY_LABEL, agent_label
from agent_identities.declaration import DEFAULT_EXPIRATION_SECONDS, Declaration, Identity
from agent_identities.declared_pods import containers, pod_spec

INJECTED_SECONDS = 3607
"""The lifetime of the token that Kubernetes mounts by default. The API server extends exactly this value to a year
(pkg/registry/core/serviceaccount/storage/token.go)."""

_DAY = 86400  # the lifetime of the tokens that the webhooks of the clouds mount, at most
_AZURE = "azure.workload.identity"
_API_AUDIENCES = ("https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local")

Values = Mapping[str, Any]
Program = tuple[tuple[str, ...], tuple[str, ...]]
"""The command and the arguments of a container; empty: those of its image."""


@dataclass(frozen=True, slots=True)
class DeclaredObjects:
    """The objects of one identity.

    ``created``: the chart creates the ServiceAccount, with ``annotations``, ``automount`` and ``pull_secrets``.
    ``labels`` identify the pods of the identity, ``pod_labels`` are all labels of the pods that the chart creates.
    ``containers``: the image of each container of the Deployment, by name; None without ``workload``. ``programs``: the
    command and the arguments of each container that has some, instead of those of its image. ``pod_spec``: the spec of
    the pod template of the Deployment, without defaults of the API server; None without ``workload``. ``lifetimes``:
    the maximum lifetime in seconds of a token, by audience ("": the API server). ``injected``: pods mount the token
    that Kubernetes injects. ``policy``: the spec of the NetworkPolicy; None without one.
    """

    created: bool
    annotations: Mapping[str, str] = field(default_factory=dict)
    automount: bool = False
    pull_secrets: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    containers: Mapping[str, str] | None = None
    programs: Mapping[str, "Program"] = field(default_factory=dict)
    pod_spec: Mapping[str, Any] | None = None
    lifetimes: Mapping[str, int] = field(default_factory=dict)
    injected: bool = False
    policy: Mapping[str, Any] | None = None


def declared_objects(declaration: Declaration, identity: Identity) -> DeclaredObjects:
    """The objects of the proxy or of an agent of the declaration.

    Of a quarantined agent: whether the chart creates its ServiceAccount without the quarantine, and its NetworkPolicy.
    """
    values = declaration.values
    if identity is declaration.proxy or identity.name == declaration.proxy.name:
        agent, labels = values.get("proxy") or {}, {PROXY_LABEL: identity.name}
    else:
        agent = (values.get("agents") or {}).get(identity.entry) or {}
        labels = {AGENT_LABEL: agent_label(identity.name, identity.entry)}
        if identity.name != identity.entry:
            labels[INSTANCE_LABEL] = identity.entry
    created = (agent.get("serviceAccount") or {}).get("create", True) is not False
    policy = _policy(values, agent, identity, labels)
    if identity.quarantined:
        return DeclaredObjects(created, labels=labels, policy=policy)
    automount = identity.token.mode == "automount"
    workload = agent.get("workload")
    return DeclaredObjects(
        created=created,
        annotations={
            **_cloud_annotations(agent),
            **(agent.get("annotations") or {}),
            **({ADOPTED: "true"} if created and identity.name in (values.get("adoptServiceAccounts") or ()) else {}),
        },
        automount=automount and identity.name != declaration.proxy.name,
        pull_secrets=tuple(each["name"] for each in values.get("imagePullSecrets") or ()),
        labels=labels,
        pod_labels={**labels, **_cloud_labels(agent), **((workload or {}).get("podLabels") or {})},
        containers=None if workload is None else {name: each["image"] for name, each in containers(workload)},
        programs={name: program(each) for name, each in containers(workload or {}) if program(each) != ((), ())},
        pod_spec=None if workload is None else _pod_spec(values, agent, identity, workload),
        lifetimes=_lifetimes(values, agent, identity),
        injected=automount,
        policy=policy,
    )


def program(container: Values) -> Program:
    """The command and the arguments of a container."""
    command, args = (tuple(map(str, container.get(key) or ())) for key in ("command", "args"))
    return command, args


def _pod_spec(values: Values, agent: Values, identity: Identity, workload: Values) -> Mapping[str, Any]:
    defaults, tokens = values.get("workloadDefaults") or {}, agent.get("tokens") or {}
    return pod_spec(identity.name, workload, defaults, identity.token, tokens)


# ---- cloud identities: the annotations that EKS, GKE and Azure read


def _clouds(agent: Values) -> Mapping[str, Any]:
    """The cloud identities that are set: an empty map is one, null and false are not."""
    return {
        provider: given
        for provider, given in (agent.get("cloud") or {}).items()
        if given is True or isinstance(given, Mapping)
    }


def _cloud_annotations(agent: Values) -> dict[str, str]:
    found: dict[str, str] = {}
    for provider, keys in _CLOUD_ANNOTATIONS.items():
        given = _clouds(agent).get(provider)
        if isinstance(given, Mapping):
            found |= {annotation: _text(given[key]) for key, annotation in keys.items() if _is_set(given.get(key))}
    return found


def _cloud_labels(agent: Values) -> dict[str, str]:
    return {f"{_AZURE}/use": "true"} if "azure" in _clouds(agent) else {}


_CLOUD_ANNOTATIONS = {
    "aws": {
        "roleArn": "eks.amazonaws.com/role-arn",
        "audience": "eks.amazonaws.com/audience",
        "tokenExpirationSeconds": "eks.amazonaws.com/token-expiration",
        "stsRegionalEndpoints": "eks.amazonaws.com/sts-regional-endpoints",
    },
    "gcp": {"serviceAccount": "iam.gke.io/gcp-service-account"},
    "azure": {
        "clientId": f"{_AZURE}/client-id",
        "tenantId": f"{_AZURE}/tenant-id",
        "tokenExpirationSeconds": f"{_AZURE}/service-account-token-expiration",
    },
}
"""The annotation of each key of ``cloud``, by provider.

Sources: aws/amazon-eks-pod-identity-webhook pkg/annotations.go, GKE's documentation of Workload Identity Federation,
Azure/azure-workload-identity pkg/webhook/consts.go.
"""


def _is_set(value: object) -> bool:
    return value is not None and value != ""


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) else str(value)


# ---- tokens


def _lifetimes(values: Values, agent: Values, identity: Identity) -> dict[str, int]:
    """As the guard `tokens` limits them, whether the guards are enabled or not."""
    if identity.token.mode == "none":
        return {}
    limits = (values.get("guards") or {}).get("tokens") or {}
    longest = identity.token.expiration_seconds
    if "expirationSeconds" not in (agent.get("token") or {}):
        longest = int(limits.get("maxSeconds", DEFAULT_EXPIRATION_SECONDS))
    assert longest is not None
    found = dict.fromkeys(("", *limits.get("apiAudiences", _API_AUDIENCES)), longest)
    found |= {audience: int(seconds) for audience, seconds in (limits.get("audiences") or {}).items()}
    found |= dict.fromkeys(_cloud_audiences(agent), _DAY)
    for token in (agent.get("tokens") or {}).values():
        if isinstance(token, Mapping):
            found[token["audience"]] = int(token.get("expirationSeconds", DEFAULT_EXPIRATION_SECONDS))
    if identity.token.audience:
        found[identity.token.audience] = longest
    return found


def _cloud_audiences(agent: Values) -> Iterator[str]:
    clouds = _clouds(agent)
    if "aws" in clouds:
        yield clouds["aws"].get("audience") or "sts.amazonaws.com"
    if clouds.get("awsPodIdentity"):
        yield "pods.eks.amazonaws.com"
    if clouds.get("gcp") and clouds["gcp"].get("workloadPool"):
        yield clouds["gcp"]["workloadPool"]
    if "azure" in clouds:
        yield "api://AzureADTokenExchange"


# ---- NetworkPolicies


def _policy(values: Values, agent: Values, identity: Identity, labels: Mapping[str, str]) -> Mapping[str, Any] | None:
    network = values.get("network") or {}
    spec: dict[str, Any] = {
        "podSelector": {"matchLabels": dict(list(labels.items())[:1])},
        "policyTypes": ["Ingress", "Egress"],
    }
    if identity.quarantined:
        return spec
    if not network.get("enabled"):
        return None
    own = agent.get("network") or {}
    spec["ingress"] = [_peers("from", network["sources"][name]) for name in own.get("ingress", network["ingress"])]
    spec["egress"] = list(_egress(network, own, agent, identity))
    return spec


def _egress(network: Values, own: Values, agent: Values, identity: Identity) -> Iterator[Mapping[str, Any]]:
    """The egress rules. A CiliumNetworkPolicy has host names, and the DNS of agents that may reach host names."""
    dns = network["dns"]
    destinations = [network["destinations"][name] for name in own.get("egress", network["egress"])]
    if not any("fqdn" in peer for each in destinations for peer in each["to"]):
        labels = {key: value for key, value in (dns.get("podLabels") or {}).items() if isinstance(value, str)}
        servers = {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": dns["namespace"]}},
            "podSelector": {"matchLabels": labels},
        }
        yield {"to": [servers, *_blocks(dns)], "ports": _ports(dns, "UDP", "TCP")}
    if own.get("apiServer", identity.access == "direct") and network["apiServer"].get("cidrs"):
        yield {"to": _blocks(network["apiServer"]), "ports": _ports(network["apiServer"], "TCP")}
    for provider in sorted(_clouds(agent)):
        endpoint = (network.get("cloud") or {}).get(provider)
        if endpoint and endpoint.get("cidrs"):
            yield {"to": _blocks(endpoint), "ports": _ports(endpoint, "TCP")}
    for each in destinations:
        addresses = [peer for peer in each["to"] if "fqdn" not in peer]
        if addresses:
            yield _peers("to", {**each, "to": addresses})


def _blocks(endpoint: Values) -> list[dict[str, Any]]:
    return [{"ipBlock": {"cidr": cidr}} for cidr in endpoint.get("cidrs") or ()]


def _ports(endpoint: Values, *protocols: str) -> list[dict[str, Any]]:
    return [{"port": int(port), "protocol": protocol} for port in endpoint["ports"] for protocol in protocols]


def _peers(key: str, peer: Values) -> dict[str, Any]:
    return {key: peer[key], "ports": [{"protocol": "TCP", **port} for port in peer["ports"]]}
