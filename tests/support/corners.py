"""Values that reach what no example does: the second of two, nulls, names that look like numbers, old versions, crowds.

Each was found by a mutant of the chart that nobody noticed.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from agent_identities.bundled import chart_path
from agent_identities.chart.helm import Target
from agent_identities.chart.values import Values
from support.mistakes import (
    CLIENT,
    DESTINATIONS,
    IMAGE,
    ON,
    OWN,
    PORTS,
    READ_SECRETS,
    ROLE,
    RULES,
    SERVER,
    SOURCES,
    TENANT,
    THEIRS,
    agent,
    tier,
)

Json = dict[str, Any]
EVERYTHING: Final = (chart_path() / "ci" / "everything.yaml",)


class Corner(NamedTuple):
    """``message`` as in support.invariants.Case: what the refusal must say, None for values that are right."""

    name: str
    values: Values
    message: tuple[str, ...] | None = None
    target: Target = Target()
    about: str = ""


def corners() -> Iterator[Corner]:
    """All of them."""
    for name, given in _RIGHT.items():
        yield Corner(f"corner: {name}", Values(overrides=given))
    for given, parts in _WRONG:
        yield Corner(f"wrong corner: {parts[0]}: {parts[-1][:30]}", Values(overrides=given), parts)
    for given, version, parts in _OLD:
        yield Corner(
            f"wrong corner: {parts[0]}: {version}", Values(overrides=given), parts, Target(kube_version=version)
        )
    yield Corner("corner: digits", Values.read(EVERYTHING, DIGITS), target=DIGITS_TARGET)
    yield Corner("corner: kube-system", Values(overrides=agent()), target=Target(namespace="kube-system"))
    yield Corner(
        "wrong corner: in kube-system",
        Values(overrides=tier(rules=_rules("configmaps", "patch"))),
        ("tiers.t.rules[0]", "kube-system"),
        Target(namespace="kube-system"),
    )
    yield Corner("corner: a crowd", Values(overrides=CROWD), about="templates/_guards.tpl")


def _rules(resource: str, *verbs: str) -> list[Json]:
    return [{"apiGroups": [""], "resources": [resource], "verbs": list(verbs)}]


def _network(*, agents: Json | None = None, proxy: Json | None = None, **network: Any) -> Json:
    made = {"network": ON | network}
    made |= {} if agents is None else {"agents": agents}
    return made | ({} if proxy is None else {"proxy": {"network": proxy}})


def _opens(*peers: Json, ports: list[Json] | None = None) -> Json:
    return {"to": list(peers), "ports": ports or PORTS}


def _block(cidr: str, *excepted: str) -> Json:
    return {"ipBlock": {"cidr": cidr} | ({"except": list(excepted)} if excepted else {})}


NO_SERVER: Final = {"apiServer": False}
AWS, AZURE = {"aws": {"roleArn": ROLE}}, {"azure": {"clientId": CLIENT}}
CLOUDS: Final[Json] = {
    "aws": {"roleArn": ROLE, "tokenExpirationSeconds": 3600, "audience": "x", "stsRegionalEndpoints": True},
    "azure": {"clientId": CLIENT, "tenantId": TENANT, "tokenExpirationSeconds": 7200},
}
WELL, ILL = {"example.com/well": "x"}, {"example.com/a": "x", "not a key": "x"}
MANY: Final = [f"{letter}{letter}" for letter in "hgfedcba"]
RISKY: Final = [*READ_SECRETS, *_rules("services", "patch"), *_rules("pods", "create"), *_rules("pods/exec", "create")]
ACCEPTED: Final = dict.fromkeys(("pod-create", "pod-exec", "secret-read", "service-write"), "why")
CLUSTER_TIERS: Final = {name: {"scope": "Cluster", "rules": _rules(name, "get")} for name in ("nodes", "namespaces")}

DIGITS: Final[Json] = {
    "namespaceOverride": "",
    "agents": {
        "3": {
            "tiers": ["7"],
            "namespaces": {"8": ["7"]},
            "workload": {"image": "1e3"},
            "tokens": {"5": {"audience": "1e9"}, "6": {"audience": "6", "path": "66"}},
        },
        "4": {"access": "proxied", "tiers": ["reader"], "namespaces": {"9": ["reader"]}},
    },
    "tiers": {"7": {"existingRole": {"kind": "ClusterRole", "name": "77"}}},
    "network": {"dns": {"namespace": "53"}},
    "guards": {
        "deployers": [{"kind": "User", "name": "11"}, {"kind": "ServiceAccount", "name": "1", "namespace": "2"}]
    },
}
DIGITS_TARGET: Final = Target("1", "1e3")

CROWD: Final[Json] = {
    "agents": {
        f"crew-{'x' * 40}": {
            "instances": 1010,
            "tiers": [],
            "token": {"expirationSeconds": 900, "audience": f"vault-{'x' * 60}"},
        },
        f"out-{'x' * 40}": {"instances": 1010, "tiers": [], "quarantined": True},
    },
    "bindings": "perTier",
    "guards": {"enabled": True},
}
"""More names than one map of a guard holds, and longer ones."""

TWO_OF_EACH: Final[Json] = {
    "tiers": {
        "one": {"rules": RULES},
        "two": {
            "rules": [*READ_SECRETS, *_rules("services", "patch")],
            "acceptRisks": {"secret-read": "why", "service-write": "why not"},
        },
        "own": {"rules": [OWN[0] | {"resourceNames": ["{agent}-state", "{agent}-log", "log"]}]},
        **CLUSTER_TIERS,
    },
    "agents": {
        "both": {
            "tiers": ["one", "two"],
            "namespaces": {"team-a": ["one", "two"], "team-b": ["two"]},
            "network": {"egress": ["memory", "model-api"], "ingress": ["gateway", "second"]},
            "workload": IMAGE,
            "tokens": {"x": {"audience": "x"}, "y": {"audience": "y", "expirationSeconds": 700}},
            "cloud": {**AWS, "gcp": {}},
        },
        "shopper": {
            "access": "proxied",
            "tiers": ["one", "two", "own", *CLUSTER_TIERS],
            "namespaces": {"team-a": ["one", "two"], "team-b": ["one", "two"]},
        },
        "shopper-too": {"access": "proxied", "tiers": ["two", "own", "nodes"], "namespaces": {"team-b": ["two"]}},
        "mounted": {"token": {"mode": "automount"}, "tokens": {"x": {"audience": "x"}}, "workload": IMAGE},
        **{f"out-{name}": {"quarantined": True} for name in MANY},
    },
    "network": ON
    | {
        "dns": {"cidrs": ["169.254.0.0/16", "192.0.2.0/24"], "ports": [53, 5353]},
        "sources": SOURCES | {"second": {"from": [{"podSelector": {}}, {"namespaceSelector": {}}], "ports": PORTS * 2}},
        "cloud": {"aws": {"cidrs": ["192.0.2.0/28", "198.51.100.0/24"], "ports": [443, 8443]}},
    },
    "guards": {
        "enabled": True,
        "deployers": [
            {"kind": "User", "name": "u", "agents": ["agent-proxy", "both"]},
            {"kind": "User", "name": "v", "agents": ["shopper", "both"], "bindAgents": True},
        ],
    },
}

_RIGHT: Final[dict[str, Json]] = {
    "nulls": {
        "tiers": {"gone": None, "r": {"rules": RULES}},
        "agents": {"gone": None, "a": {"tiers": ["r"], "tokens": {"gone": None, "x": {"audience": "x"}}}},
        "network": ON
        | {
            "destinations": {"gone": None, **DESTINATIONS},
            "sources": {"gone": None, **SOURCES},
            "dns": {"podLabels": {"k8s-app": None, "never": None, "app": "dns"}},
        },
    },
    "tokens and clouds": {
        "guards": {"enabled": True},
        "agents": {
            "a": {"tokens": {"x": {"audience": "x"}, "y": {"audience": "y", "expirationSeconds": 700}, "gone": None}},
            "b": {"cloud": AWS},
            "c": {
                "cloud": {"awsPodIdentity": True, "gcp": {"workloadPool": "p.svc.id.goog"}},
                "tokens": {"x": {"audience": "pods.eks.amazonaws.com"}},
            },
            "d": {"cloud": {"awsPodIdentity": False}, "workload": IMAGE},
        },
    },
    "accounts of others in clouds": {
        "agents": {
            "a": {
                "serviceAccount": {"create": False, "name": "theirs"},
                "cloud": {"aws": {"audience": "x"}, "gcp": {"workloadPool": "p.svc.id.goog"}},
            }
        }
    },
    "two of each": TWO_OF_EACH | {"bindings": "perAgent"},
    "two of each, a binding for many": TWO_OF_EACH | {"bindings": "perTier"},
    "nobody needs the server": _network(
        apiServer={"cidrs": []},
        proxy=NO_SERVER,
        agents={"a": {"network": NO_SERVER}, "b": {"access": "proxied"}},
    ),
    "clouds behind destinations": _network(
        agents={"a": {"cloud": AWS, "network": {"egress": ["memory"]}}, "b": {"cloud": {"awsPodIdentity": False}}}
    ),
    "clouds behind everybody's destinations": _network(agents={"a": {"cloud": AWS}}, egress=["memory"]),
    "text of all sorts": agent(annotations={"a": "\t\n\x01~\xa0\ud7ff\ue000\ufffd\U0001f600"}),
    "no guards, and deployers": {"guards": {"enabled": False, "deployers": [{"kind": "User", "name": "u"}]}},
    "blocks": _network(
        destinations={
            "a": _opens(_block("0.0.0.0/0", "192.0.2.0/24", "169.254.169.254/32"), _block("fd00:ec3::/64")),
            "b": _opens(_block("0.0.0.0/0", "169.254.169.254/32", "192.0.2.0/24")),
            "c": _opens(_block("::/0", "2001:db8::/32", "fd00:ec2::254/128")),
            "d": _opens(_block("fd00:ec2::/32", "FD00:EC2::254/128")),
            "e": _opens(_block("0.0.0.0/0", "169.254.0.0/16")),
        }
    ),
    "a risk of kube-system, accepted for later": tier(
        rules=_rules("configmaps", "patch"),
        acceptRisks={"configmap-write-kube-system": "for the day that it is granted there"},
    ),
    "a risk of the whole cluster, accepted": {
        "tiers": {
            "t": {
                "scope": "Cluster",
                "rules": _rules("users", "impersonate"),
                "acceptRisks": {"impersonate-user": "it is the gateway of all"},
            }
        }
    },
    "the agent that is the proxy's name elsewhere": {
        "proxy": {"name": "gateway"},
        "agents": {"agent-proxy": {"annotations": WELL, "labels": WELL}},
        "guards": {"enabled": True, "deployers": [{"kind": "User", "name": "u", "agents": ["gateway"]}]},
    },
}

_WRONG: Final[list[tuple[Json, tuple[str, ...]]]] = [
    # the second of two
    (agent(tiers=["proxy", "root"]), ("agents.a.tiers[1]", 'no tier "root"')),
    ({"agents": {"a": {}, "b": {"tiers": ["root"]}}}, ("agents.b.tiers[0]", 'no tier "root"')),
    (
        agent(namespaces={"team-a": ["proxy"], "team-b": ["proxy", "root"]}),
        ("agents.a.namespaces.team-b[1]", 'no tier "root"'),
    ),
    (
        agent(namespaces={"agent-system": ["proxy", "t"]}) | tier(rules=RULES),
        ("agents.a.namespaces.agent-system", "tiers: [proxy, t]"),
    ),
    ({"agents": {"a": {"labels": WELL}, "b": {"labels": ILL}}}, ("agents.b.labels", "not a key", "example.com/team")),
    (agent(labels=WELL | {"helm.sh/chart": "x"}), ("agents.a.labels", "helm.sh/chart", "another key")),
    (agent(labels={"app.kubernetes.io/name": "x"}), ("agents.a.labels", "app.kubernetes.io/name", "another key")),
    (agent(labels={"app.kubernetes.io/managed-by": "x"}), ("agents.a.labels", "app.kubernetes.io/managed-by")),
    (agent(annotations=ILL), ("agents.a.annotations", "not a key")),
    ({"proxy": {"annotations": ILL}}, ("proxy.annotations", "not a key")),
    (agent(workload=IMAGE | {"podAnnotations": ILL}), ("agents.a.workload.podAnnotations", "not a key")),
    (
        {"proxy": {"workload": IMAGE | {"volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "agent-token"}]}}},
        ("proxy.workload.volumes[1].name", "agent-token", "another name"),
    ),
    (
        agent(cloud={"aws": {"roleArn": ROLE, "tokenExpirationSeconds": 3600}})
        | {
            "agents": {
                "a": {
                    "cloud": {"aws": {"roleArn": ROLE, "tokenExpirationSeconds": 3600}},
                    "annotations": {"eks.amazonaws.com/token-expiration": "x"},
                }
            }
        },
        ("agents.a.annotations", "eks.amazonaws.com/token-expiration", "Keep one"),
    ),
    (
        {"agents": {name: {"serviceAccount": {"create": False, "name": name}, "cloud": CLOUDS} for name in MANY}},
        (
            "agents.hh.cloud.azure",
            "roleArn, stsRegionalEndpoints, tokenExpirationSeconds would be",
            "clientId, tenantId, tokenExpirationSeconds would be",
        ),
    ),
    (
        agent(
            serviceAccount={"create": False, "name": "a"}, cloud={"gcp": {"serviceAccount": "a@b", "workloadPool": "c"}}
        ),
        ("agents.a.cloud.gcp", "serviceAccount would be", "gcp: {}"),
    ),
    (_network(agents=agent(network={"egress": ["memory", "x"]})["agents"]), ("agents.a.network.egress[1]", 'no "x"')),
    (_network(agents={"a": {}, "b": {"network": {"ingress": ["x"]}}}), ("agents.b.network.ingress[0]", 'no "x"')),
    (
        _network(destinations={name: _opens({"podSelector": {}}) for name in MANY}, egress=["x"]),
        ("network.egress[0]", "Known: aa, bb, cc, dd, ee, ff, gg, hh. Use"),
    ),
    (
        _network(
            destinations={
                "aa": _opens({"podSelector": {}}),
                "zz": _opens({"podSelector": {}}, _block("203.0.113.7/24")),
            }
        ),
        ("network.destinations.zz.to[1].ipBlock", "203.0.113.7/24 has bits set beyond"),
    ),
    (
        _network(
            destinations={
                "aa": _opens({"podSelector": {}}),
                "zz": _opens({"podSelector": {}}, ports=[*PORTS, {"port": 90, "endPort": 80}]),
            }
        ),
        ("network.destinations.zz.ports[1]", "not a range"),
    ),
    (
        _network(
            destinations={
                "aa": _opens({"podSelector": {}}),
                "zz": _opens({"podSelector": {}}, ports=[{"port": "http", "endPort": 80}]),
            }
        ),
        ("network.destinations.zz.ports[0]", "http to 80 is not a range"),
    ),
    (
        _network(
            sources={
                "aa": {"from": [{"podSelector": {}}], "ports": PORTS},
                "zz": {"from": [{"podSelector": {}}, _block("203.0.113.7/24")], "ports": PORTS},
            }
        ),
        ("network.sources.zz.from[1].ipBlock", "203.0.113.7/24 has bits set beyond"),
    ),
    (
        _network(destinations={"d": _opens(_block("192.0.2.0/24") | {"namespaceSelector": {}})}),
        ("network.destinations.d.to[0]", "ipBlock and a selector", "two items"),
    ),
    (_network(dns={"cidrs": ["10.0.0.0/8", "10.0.0.1/8"]}), ("network.dns.cidrs[1]", "10.0.0.1/8")),
    (
        _network(apiServer=SERVER | {"cidrs": ["10.96.0.1/32", "0.0.0.0/0"]}),
        ("network.apiServer.cidrs[1]", "169.254.169.254"),
    ),
    (
        _network(destinations={"d": _opens(_block("10.0.0.0/8", "10.1.0.0/16", "10.2.0.1/16"))}),
        ("network.destinations.d.to[0].ipBlock", "10.2.0.1/16 has bits set beyond"),
    ),
    (
        _network(destinations={"d": _opens(_block("10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/16"))}),
        ("network.destinations.d.to[0].ipBlock", "11.0.0.0/16, which is not part of 10.0.0.0/8"),
    ),
    (
        _network(destinations={"d": _opens(_block("10.0.0.0/8", "2001:db8::/32"))}),
        ("network.destinations.d.to[0].ipBlock", "2001:db8::/32, which is not part of 10.0.0.0/8"),
    ),
    (
        _network(destinations={"d": _opens(_block("0.0.0.0/0", "169.254.169.254/32", "2001:db8::/32"))}),
        ("network.destinations.d.to[0].ipBlock", "2001:db8::/32, which is not part of 0.0.0.0/0"),
    ),
    (
        _network(destinations={"d": _opens(_block("10.0.0.0/8", "10.0.0.0/8"))}),
        ("network.destinations.d.to[0].ipBlock", "10.0.0.0/8, which is not part of 10.0.0.0/8"),
    ),
    (
        _network(destinations={"d": _opens(_block("0.0.0.0/0", "192.0.2.0/24", "198.51.100.0/24"))}),
        ("network.destinations.d.to[0].ipBlock", "0.0.0.0/0 includes 169.254.169.254"),
    ),
    (
        _network(destinations={"d": _opens(_block("::/0", "2001:db8::/32", "fd00:ec2::23/128"))}),
        ("network.destinations.d.to[0].ipBlock", "::/0 includes fd00:ec2::254"),
    ),
    (
        {
            "guards": {
                "enabled": True,
                "deployers": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "v"}],
            }
        },
        ("guards.deployers[1]", "namespace: <namespace>"),
    ),
    (
        agent() | {"guards": {"enabled": True, "deployers": [{"kind": "User", "name": "u", "agents": ["a", "x"]}]}},
        ("guards.deployers[0].agents[1]", 'no agent "x"'),
    ),
    (
        tier(rules=[*RULES, {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["watch", "get"]}]),
        ("tiers.t.rules[1]", "critical risk secret-read"),
    ),
    (
        {"tiers": {"s": {"rules": RULES}, "t": {"rules": READ_SECRETS}}},
        ("tiers.t.rules[0]", "critical risk secret-read"),
    ),
    # who needs the API server
    (
        _network(apiServer={"cidrs": []}, agents={"a": {"network": NO_SERVER}}),
        ("network.apiServer", "agent-proxy could"),
    ),
    (
        _network(apiServer={"cidrs": []}, proxy=NO_SERVER, agents={"a": {}, "b": {"network": NO_SERVER}}),
        ("network.apiServer.cidrs", "is empty: a could not"),
    ),
    (
        _network(
            apiServer={"cidrs": []},
            proxy=NO_SERVER,
            agents={"a": {"access": "proxied", "network": {"apiServer": True}}},
        ),
        ("network.apiServer.cidrs", "is empty: a could not"),
    ),
    # clouds that nobody reaches
    (
        _network(agents=agent(cloud=AWS, network={"egress": []})["agents"], egress=["memory"]),
        ("agents.a.cloud.aws", "allows no endpoint"),
    ),
    (
        _network(agents=agent(cloud={**AWS, **AZURE})["agents"], cloud={"aws": {"cidrs": ["192.0.2.0/28"]}}),
        ("agents.a.cloud.azure", "allows no endpoint"),
    ),
    (
        _network(agents=agent(cloud={"gcp": {}})["agents"], cloud={"gcp": {"cidrs": []}}),
        ("agents.a.cloud.gcp", "allows no endpoint"),
    ),
    (
        _network(agents=agent(cloud={"awsPodIdentity": True})["agents"], cloud={"awsPodIdentity": {"cidrs": []}}),
        ("agents.a.cloud.awsPodIdentity", "allows no endpoint"),
    ),
    # names
    ({"agents": {"default": {"quarantined": True}}}, ("agents.default", "an agent must not use it")),
    ({"agents": {"a": {}, "default": {}}}, ("agents.default", "an agent must not use it")),
    (
        {"tiers": {"t": {"existingRole": {"name": "u-role"}}, "u": {"rules": RULES}}},
        ("tiers.u", 'is the role "u-role"', 'as the tier "t" is'),
    ),
    ({"tiers": THEIRS | {"thier": THEIRS["theirs"]}}, ("tiers.thier", 'as the tier "theirs" is')),
    (
        agent(tiers=["root"]) | {"tiers": {name: {"rules": RULES} for name in MANY}},
        ("agents.a.tiers[0]", "Known tiers: aa, bb, cc, dd, ee, ff, gg, hh, proxy"),
    ),
    # characters that YAML does not allow: toYaml renders an empty string
    (
        _network(destinations={"d": _opens({"podSelector": {"matchLabels": {"app": "a\x82"}}})}),
        ("network.destinations.d.to[0].podSelector.matchLabels.app", "that YAML does not allow", "Remove it"),
    ),
    (
        agent(workload=IMAGE | {"command": ["ok", "b\x9fd"], "env": [{"name": "A", "value": "\x7f"}]}),
        ("agents.a.workload.command[1]", "agents.a.workload.env[0].value", '"\\x7f"', "2 problems"),
    ),
    (
        {"agents": {"a": {}, "b": {"annotations": dict.fromkeys([*MANY, "b\x84"], "x")}}},
        ("agents.b.annotations", 'does not allow: "aa, bb, b\\u0084, cc, dd, ee, ff, gg, hh"'),
    ),
    (agent(annotations={"a": "\x85"}), ("agents.a.annotations.a", "that YAML does not allow")),
    (agent(annotations={"a": "\uffff"}), ("agents.a.annotations.a", "that YAML does not allow")),
    (
        {"proxy": {"rules": [RULES[0] | {"verbs": ["get", "\ufffe"]}]}},
        ("proxy.rules[0].verbs[1]", "that YAML does not allow"),
    ),
    # crowds of problems
    (
        agent(tiers=[f"root-{number}" for number in range(25)]),
        ("25 problems in the values", "agents.a.tiers[19]", "... and 5 more"),
    ),
    # risks by where they are held
    (
        agent(namespaces={"a-team": ["proxy"], "kube-system": ["proxy", "t"]})
        | tier(rules=_rules("configmaps", "patch")),
        ("tiers.t.rules[0]", "kube-system"),
    ),
    (tier(scope="Cluster", rules=_rules("configmaps", "patch")), ("tiers.t.rules[0]", "kube-system")),
    (
        {"tiers": {name: {"rules": RISKY, "acceptRisks": ACCEPTED | {"nothing": "why"}} for name in MANY}},
        (
            "tiers.hh.acceptRisks.nothing",
            f"The rules of this tier match: {', '.join(sorted([*ACCEPTED, 'create-unbounded']))}. Use",
        ),
    ),
    (
        tier(scope="Cluster", rules=RULES, acceptRisks={"configmap-write-kube-system": "why"}),
        ("tiers.t.acceptRisks.configmap-write-kube-system", "no rule of this tier matches this risk"),
    ),
]

_OLD: Final[list[tuple[Json, str, tuple[str, ...]]]] = [
    (
        {"guards": {"enabled": True, "shortTokens": {"enabled": True}}},
        "1.35.4",
        ("guards.shortTokens.enabled", "Kubernetes v1.35.4 has no MutatingAdmissionPolicy v1", "{enabled: auto}"),
    ),
    (
        agent(access="proxied") | {"proxy": {"impersonation": "constrained"}},
        "1.34.4",
        ("proxy.impersonation", "Kubernetes v1.34.4 has no constrained impersonation", "impersonation: auto"),
    ),
]
