"""Values with a mistake: what the chart's message must hold, and the same values as it says to write them.

Shared by the tests of each part of the chart, and by the invariants that mutants of the chart are held to.
"""

from typing import Any, NamedTuple

RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
OWN = [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["{agent}-state"], "verbs": ["get"]}]
READ_SECRETS = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
WRITE_SERVICES = [{"apiGroups": [""], "resources": ["services"], "verbs": ["patch"]}]
NODES = {"nodes": {"scope": "Cluster", "rules": RULES}}
THEIRS = {"theirs": {"existingRole": {"kind": "ClusterRole", "name": "view"}}}


class Case(NamedTuple):
    """Values with a mistake, what the message must hold, and the same values as the message says to write them."""

    values: dict[str, Any]
    parts: tuple[str, ...]
    cured: dict[str, Any]


def agent(**fields: Any) -> dict[str, Any]:
    return {"agents": {"a": fields}}


def tier(**fields: Any) -> dict[str, Any]:
    return {"tiers": {"t": fields}}


IMAGE = {"image": "x"}
AUTOMOUNT = {"mode": "automount"}

CASES = [
    Case(
        agent(tiers=["root"]),
        ("agents.a.tiers[0]", 'no tier "root"', "Known tiers: proxy", "tiers:\n        root:"),
        agent(tiers=["root"]) | {"tiers": {"root": {"rules": RULES}}},
    ),
    Case(
        {"agents": {"triage": {"instances": 2}, "triage-2": {}}},
        ("agents.triage-2", 'ServiceAccount "triage-2"', "as agents.triage does", "Rename"),
        {"agents": {"triage": {"instances": 2}, "triage-b": {}}},
    ),
    Case(
        {"agents": {"a": {"serviceAccount": {"name": "b"}}, "b": {}}},
        ("agents.b", 'ServiceAccount "b"', "as agents.a does", "Rename"),
        {"agents": {"a": {"serviceAccount": {"name": "c"}}, "b": {}}},
    ),
    Case(
        {"agents": {"default": {}}},
        ("agents.default", "an agent must not use it", "another name"),
        {"agents": {"b": {}}},
    ),
    Case(
        agent(serviceAccount={"create": False, "name": "default"}),
        ("agents.a", "an agent must not use it", "another name"),
        agent(serviceAccount={"create": False, "name": "made-before"}),
    ),
    Case(
        {"agents": {"agent-proxy": {}}},
        ("agents.agent-proxy", "the ServiceAccount of the proxy", "Rename the agent"),
        {"agents": {"agent-proxy": {}}, "proxy": {"name": "gateway"}},
    ),
    Case(
        {"agents": {"a" * 62: {"instances": 1}}},
        (f"agents.{'a' * 62}", "64 characters", "Shorten"),
        {"agents": {"a" * 61: {"instances": 1}}},
    ),
    Case(
        agent(token={"expirationSeconds": 3607}),
        ("agents.a.token.expirationSeconds", "extends to a year", "expirationSeconds: 3600"),
        agent(token={"expirationSeconds": 3600}),
    ),
    Case(
        agent(token=AUTOMOUNT | {"expirationSeconds": 900}),
        ("agents.a.token", "automount allows neither", "mode: projected"),
        agent(token={"mode": "projected", "expirationSeconds": 900}),
    ),
    Case(
        agent(labels={"helm.sh/chart": "x"}),
        ("agents.a.labels", "helm.sh/chart", "another key"),
        agent(labels={"example.com/chart": "x"}),
    ),
    Case(
        {"extraLabels": {"app.kubernetes.io/instance": "x"}},
        ("extraLabels", "app.kubernetes.io/instance", "another key"),
        {"extraLabels": {"app.kubernetes.io/part-of": "x"}},
    ),
    Case(
        agent(workload=IMAGE | {"podLabels": {"agent-identities/agent": "b"}}),
        ("agents.a.workload.podLabels", "agent-identities/agent", "another key"),
        agent(workload=IMAGE | {"podLabels": {"example.com/agent": "b"}}),
    ),
    Case(
        agent(workload=IMAGE | {"volumes": [{"name": "agent-token"}]}),
        ("agents.a.workload.volumes[0].name", "agent-token", "another name"),
        agent(workload=IMAGE | {"volumes": [{"name": "token", "emptyDir": {}}]}),
    ),
    Case({"proxy": {"name": "default"}}, ("proxy.name", '"default"', "name: agent-proxy"), {"proxy": {"name": "p"}}),
    Case(
        {"proxy": {"labels": {"helm.sh/chart": "x"}}},
        ("proxy.labels", "helm.sh/chart"),
        {"proxy": {"labels": {"team": "x"}}},
    ),
    Case(
        {"proxy": {"workload": IMAGE, "token": {"expirationSeconds": 3607}}},
        ("proxy.token.expirationSeconds", "extends to a year", "expirationSeconds: 3600"),
        {"proxy": {"workload": IMAGE, "token": {"expirationSeconds": 3600}}},
    ),
    Case({"tiers": {"proxy": {"rules": RULES}}}, ("tiers.proxy", "proxy.rules"), {"proxy": {"rules": RULES}}),
    Case(
        {"tiers": {"agent-proxy": {"rules": RULES}}},
        ("tiers.agent-proxy", "agent-proxy-role", "another name"),
        tier(rules=RULES),
    ),
    Case(
        agent(namespaces={"agent-system": ["proxy"]}),
        ("agents.a.namespaces.agent-system", "the namespace of the agents", "tiers: [proxy]"),
        agent(tiers=["proxy"]),
    ),
    Case(
        agent(namespaces={"agents": ["proxy"]}) | {"namespaceOverride": "agents"},
        ("agents.a.namespaces.agents", "the namespace of the agents", "tiers: [proxy]"),
        agent(namespaces={"agent-system": ["proxy"]}) | {"namespaceOverride": "agents"},
    ),
    Case(
        agent(namespaces={"team-a": ["root"]}),
        ("agents.a.namespaces.team-a[0]", 'no tier "root"', "Known tiers: proxy"),
        agent(namespaces={"team-a": ["proxy"]}),
    ),
    Case(
        agent(namespaces={"team-a": ["nodes"]}) | {"tiers": NODES},
        ("agents.a.namespaces.team-a[0]", "scope: Cluster", "List the tier under agents.a.tiers"),
        agent(tiers=["nodes"]) | {"tiers": NODES},
    ),
    Case(
        tier(scope="Cluster", rules=OWN),
        ("tiers.t", "scope: Cluster and {agent}", "Remove one of the two"),
        tier(rules=OWN),
    ),
    Case(
        tier(rules=RULES, existingRole={"name": "theirs"}),
        ("tiers.t", "both rules and existingRole", "Keep one"),
        tier(existingRole={"name": "theirs"}),
    ),
    Case(tier(), ("tiers.t", "neither rules nor existingRole", "rules: [{apiGroups"), tier(rules=RULES)),
    Case(
        tier(scope="Cluster", existingRole={"kind": "Role", "name": "theirs"}),
        ("tiers.t.existingRole", "applies to one namespace", "kind: ClusterRole"),
        tier(scope="Cluster", existingRole={"kind": "ClusterRole", "name": "theirs"}),
    ),
    Case(
        agent(access="proxied", token={"expirationSeconds": 900}),
        ("agents.a.token", "a proxied agent has no token", "access: direct"),
        agent(access="direct", token={"expirationSeconds": 900}),
    ),
    Case(
        agent(access="proxied", workload=IMAGE),
        ("agents.a.workload", "a proxied agent has no token and runs no pods", "access: direct"),
        agent(access="direct", workload=IMAGE),
    ),
    Case(
        agent(access="proxied", tiers=["theirs"]) | {"tiers": THEIRS},
        ("agents.a.tiers[0]", "does not know its verbs", "access: direct"),
        agent(tiers=["theirs"]) | {"tiers": THEIRS},
    ),
    Case(
        agent(access="proxied", namespaces={"team-a": ["theirs"]}) | {"tiers": THEIRS},
        ("agents.a.namespaces.team-a[0]", "does not know its verbs", "Give the tier rules"),
        agent(access="proxied", namespaces={"team-a": ["theirs"]}) | {"tiers": {"theirs": {"rules": RULES}}},
    ),
    Case(
        agent(serviceAccount={"create": False}),
        ("agents.a.serviceAccount", "requires the name", "{create: false, name: a}"),
        agent(serviceAccount={"create": False, "name": "a"}),
    ),
    Case(
        agent(serviceAccount={"name": "b"}, instances=2),
        ("agents.a.serviceAccount.name", "one name for several instances", "remove instances"),
        agent(serviceAccount={"name": "b"}),
    ),
    Case(
        agent(instances=2, quarantined=[1, 3]),
        ("agents.a.quarantined[1]", "no instance 3 of 2", "quarantined: true"),
        agent(instances=2, quarantined=[1, 2]),
    ),
    Case(
        agent(quarantined=[1]),
        ("agents.a.quarantined[0]", "no instance 1 of 0", "quarantined: true"),
        agent(quarantined=True),
    ),
    Case(
        tier(rules=READ_SECRETS),
        ("tiers.t.rules[0]", "critical risk secret-read", 'acceptRisks: {secret-read: "why it is needed"}'),
        tier(rules=READ_SECRETS, acceptRisks={"secret-read": "why it is needed"}),
    ),
    Case(
        {"proxy": {"rules": WRITE_SERVICES}},
        ("proxy.rules[0]", "high risk service-write", 'acceptRisks: {service-write: "why it is needed"}'),
        {"proxy": {"rules": WRITE_SERVICES, "acceptRisks": {"service-write": "why it is needed"}}},
    ),
    Case(
        tier(rules=READ_SECRETS, acceptRisks={"secret-read": "why", "secrets": "why"}),
        (
            "tiers.t.acceptRisks.secrets",
            "no such risk",
            "The rules of this tier match: secret-read",
            "remove this line",
        ),
        tier(rules=READ_SECRETS, acceptRisks={"secret-read": "why"}),
    ),
    Case(
        tier(rules=RULES, acceptRisks={"secret-read": "why"}),
        ("tiers.t.acceptRisks.secret-read", "no rule of this tier matches", "Remove this line"),
        tier(rules=RULES),
    ),
    Case({"agnts": {}}, ("agnts",), {"agents": {}}),
    Case({"agents": {"Bad_Name": {}}}, ("/agents", "Bad_Name"), {"agents": {"good-name": {}}}),
    Case(agent(teirs=[]), ("/agents/a", "teirs"), agent(tiers=[])),
    Case(
        agent(token={"expirationSeconds": 60}),
        ("/agents/a/token/expirationSeconds", "600"),
        agent(token={"expirationSeconds": 600}),
    ),
    Case(tier(rules=[]), ("/tiers/t/rules", "minItems"), tier(rules=RULES)),
    Case(
        tier(rules=RULES, acceptRisks={"secret-read": ""}),
        ("/tiers/t/acceptRisks/secret-read", "minLength"),
        tier(rules=READ_SECRETS, acceptRisks={"secret-read": "why"}),
    ),
]


# ---- the network

SERVER = {"cidrs": ["10.96.0.1/32", "192.0.2.10/32"], "ports": [443, 6443]}
DESTINATIONS = {
    "model-api": {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443}]},
    "memory": {"to": [{"podSelector": {"matchLabels": {"app": "redis"}}}], "ports": [{"port": 6379}]},
}
SOURCES = {"gateway": {"from": [{"podSelector": {"matchLabels": {"app": "gateway"}}}], "ports": [{"port": "http"}]}}
ON: dict[str, Any] = {"enabled": True, "apiServer": SERVER, "destinations": DESTINATIONS, "sources": SOURCES}

PORTS = [{"port": 443}]
NETWORK: list[tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    (
        {"apiServer": {"cidrs": []}},
        {"agents": {"a": {}}},
        ("network.apiServer.cidrs", "could not reach the API server", "kubectl get endpointslices", "cidrs: ["),
    ),
    (
        {},
        {"agents": {"a": {"network": {"egress": ["modle-api"]}}}},
        ("agents.a.network.egress[0]", 'no "modle-api"', "Known: memory, model-api", "destinations:"),
    ),
    (
        {"enabled": False},
        {"agents": {"a": {"network": {"ingress": ["x"]}}}},
        ("agents.a.network.ingress[0]", 'no "x"', "Known: gateway", "from:"),
    ),
    ({"egress": ["x"]}, {}, ("network.egress[0]", 'no "x"')),
    ({}, {"proxy": {"network": {"ingress": ["x"]}}}, ("proxy.network.ingress[0]", 'no "x"')),
    (
        {"destinations": {"d": {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}, "podSelector": {}}], "ports": PORTS}}},
        {},
        ("network.destinations.d.to[0]", "ipBlock and a selector", "two items"),
    ),
    (
        {"sources": {"s": {"from": [{"podSelector": {}}], "ports": [{"port": 90, "endPort": 80}]}}},
        {},
        ("network.sources.s.ports[0]", "not a range", "endPort: 8010"),
    ),
    (
        {"destinations": {"d": {"to": [{"ipBlock": {"cidr": "203.0.113.7/24"}}], "ports": PORTS}}},
        {},
        ("network.destinations.d.to[0].ipBlock", "203.0.113.7/24 has bits set beyond", "/32"),
    ),
    (
        {"sources": {"s": {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}], "ports": PORTS}}},
        {},
        ("network.sources.s.from[0].ipBlock", "11.0.0.0/16, which is not part of 10.0.0.0/8", "Remove"),
    ),
    ({"dns": {"cidrs": ["10.0.0.1/8"]}}, {}, ("network.dns.cidrs[0]", "10.0.0.1/8")),
    ({"cloud": {"aws": {"cidrs": ["10.0.0.1/8"]}}}, {}, ("network.cloud.aws.cidrs[0]", "10.0.0.1/8")),
    ({"dns": {"cidrs": ["010.0.0.0/8"]}}, {}, ("/network/dns/cidrs/0",)),
    (
        {"sources": {"s": {"from": [{"podSelector": {}}], "ports": [{"port": "443"}]}}},
        {},
        ("/network/sources/s/ports",),
    ),
    (
        {"apiServer": {"cidrs": ["0.0.0.0/0"]}},
        {},
        ("network.apiServer.cidrs[0]", "169.254.169.254"),
    ),
    (
        {},
        {"agents": {"a": {"cloud": {"aws": {"roleArn": "arn:aws:iam::111122223333:role/a"}}}}},
        ("agents.a.cloud.aws", "allows no endpoint", "network.cloud.aws.cidrs"),
    ),
    ({"destinations": {"d": {"to": [{}], "ports": PORTS}}}, {}, ("/network/destinations/d/to/0",)),
    ({"destinations": {"d": {"to": [], "ports": PORTS}}}, {}, ("/network/destinations/d/to",)),
    ({"destinations": {"d": {"to": [{"ipBlock": {"cidr": "10.0.0/8"}}], "ports": PORTS}}}, {}, ("cidr",)),
    ({"destinations": {"d": {"to": [{"podSelectr": {}}], "ports": PORTS}}}, {}, ("podSelectr",)),
    ({"apiServer": {"ports": [0]}}, {}, ("/network/apiServer/ports/0",)),
]

WIDE_BLOCKS: list[tuple[str, bool]] = [
    ("0.0.0.0/0", True),
    ("169.0.0.0/8", True),
    ("169.254.169.252/30", True),
    ("128.0.0.0/1", True),
    ("169.254.169.254/32", False),
    ("169.254.169.0/25", False),
    ("10.0.0.0/8", False),
    ("169.255.0.0/16", False),
    ("::/0", True),
    ("fc00::/7", True),
    ("fd00:ec2::/32", True),
    ("fd00:ec2::/64", True),
    ("fd00:ec2::254/128", False),
    ("fd00:ec2::23/128", False),
    ("fd00:ec3::/32", False),
    ("2001:db8::/32", False),
]
"""An address block, and whether it holds a cloud's metadata service, so that it is refused."""


# ---- guards

GUARDS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"exec": {"validationActions": ["Deny", "Warn"]}}, ("guards.exec.validationActions", "one of the two", "[Deny]")),
    ({"exec": {"validationActions": []}}, ("/guards/exec/validationActions",)),
    ({"exce": {}}, ("/guards", "exce")),
    ({"tokens": {"maxSeconds": 3607}}, ("guards.tokens.maxSeconds", "maxSeconds: 3600")),
    ({"tokens": {"maxSeconds": 600}}, ("/guards/tokens/maxSeconds", "minimum")),
    ({"shortTokens": {"enabled": "yes"}}, ("/guards/shortTokens/enabled",)),
    ({"deployers": [{"kind": "User", "name": "u", "agents": ["b"]}]}, ("guards.deployers[0].agents[0]", 'agent "b"')),
    ({"deployers": [{"kind": "ServiceAccount", "name": "u"}]}, ("guards.deployers[0]", "namespace: <namespace>")),
    ({"deployers": [{"kind": "User", "name": "u", "namespace": "n"}]}, ("guards.deployers[0].namespace", "Remove")),
    (
        {"deployers": [{"kind": "User", "name": "u"}] * 2},
        ("guards.deployers[1]", "which guards.deployers[0] also lists"),
    ),
    *(
        ({"deployers": [{"kind": "Group", "name": name}]}, ("guards.deployers[0]", "which includes every agent"))
        for name in ("system:authenticated", "system:serviceaccounts", "system:serviceaccounts:agent-system")
    ),
]


# ---- clouds

ROLE = "arn:aws:iam::111122223333:role/a"
CLIENT, TENANT = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"

CLOUD: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"cloud": {"aws": {}}}, ("agents.a.cloud.aws", "no roleArn", "aws: {roleArn:")),
    ({"cloud": {"azure": {}}}, ("agents.a.cloud.azure", "no clientId", "azure: {clientId:")),
    (
        {"cloud": {"aws": {"roleArn": ROLE}, "awsPodIdentity": True}},
        ("agents.a.cloud", "both aws and awsPodIdentity", "Keep one"),
    ),
    (
        {"cloud": {"aws": {"roleArn": ROLE}}, "serviceAccount": {"create": False, "name": "a"}},
        ("agents.a.cloud.aws", "does not create", "aws: {}"),
    ),
    (
        {"cloud": {"aws": {"roleArn": ROLE}}, "annotations": {"eks.amazonaws.com/role-arn": "x"}},
        ("agents.a.annotations", "eks.amazonaws.com/role-arn", "Keep one"),
    ),
    (
        {
            "cloud": {"azure": {"clientId": CLIENT}},
            "workload": {"image": "x", "podLabels": {"azure.workload.identity/use": "false"}},
        },
        ("agents.a.workload.podLabels", "azure.workload.identity/use", "Remove"),
    ),
    (
        {"tokens": {"x": {"audience": "x"}, "z": {"audience": "z", "path": "x"}}},
        ("agents.a.tokens.z", 'the file "x"', "agents.a.tokens.x", "another path"),
    ),
    (
        {"tokens": {"x": {"audience": "x", "expirationSeconds": 3607}}},
        ("agents.a.tokens.x.expirationSeconds", "expirationSeconds: 3600"),
    ),
    (
        {"workload": {"image": "x", "volumes": [{"name": "agent-tokens"}]}},
        ("agents.a.workload.volumes[0].name", "agent-tokens", "another name"),
    ),
    ({"cloud": {"aws": {"roleArn": "admin"}}}, ("/agents/a/cloud/aws/roleArn",)),
    ({"cloud": {"oracle": {}}}, ("/agents/a/cloud", "oracle")),
    ({"tokens": {"x": {}}}, ("/agents/a/tokens/x", "audience")),
    ({"tokens": {"x": {"audience": "x", "path": "../x"}}}, ("/agents/a/tokens/x/path",)),
    ({"tokens": {"x": {"audience": "x", "expirationSeconds": 86401}}}, ("/agents/a/tokens/x/expirationSeconds",)),
]


class Refused(NamedTuple):
    """Whole values, what the message must hold, and the same values mended, where they are known."""

    values: dict[str, Any]
    parts: tuple[str, ...]
    cured: dict[str, Any] | None = None


def refused() -> list[Refused]:
    """Every mistake of every part of the chart."""
    found = [Refused(*case) for case in CASES]
    found += [Refused({"network": ON | network, **values}, parts) for network, values, parts in NETWORK]
    found += [Refused({"agents": {"a": {}}, "guards": {"enabled": True, **guards}}, parts) for guards, parts in GUARDS]
    found += [Refused({"agents": {"a": {"workload": {"image": "x:1"}, **agent}}}, parts) for agent, parts in CLOUD]
    found += [
        Refused(open_to(cidr), ("network.destinations.d.to[0].ipBlock", "except: ["))
        for cidr, bad in WIDE_BLOCKS
        if bad
    ]
    return found


def open_to(cidr: str) -> dict[str, Any]:
    """Values with an agent that may reach a block."""
    destination = {"to": [{"ipBlock": {"cidr": cidr}}], "ports": [{"port": 80}]}
    return {"network": ON | {"destinations": {"d": destination}}, "agents": {"a": {"network": {"egress": ["d"]}}}}


def taken() -> list[dict[str, Any]]:
    """Values that are right, each close to a mistake."""
    cured = [case.cured for case in refused() if case.cured is not None]
    return cured + [open_to(cidr) for cidr, bad in WIDE_BLOCKS if not bad]
