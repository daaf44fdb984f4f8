"""Values that reach what no example does: the second of two, nulls, names that look like numbers, large fleets.

A mutant of the chart that no test noticed led to each case.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from agent_identities.bundled import chart_path
from agent_identities.chart.helm import Target
from agent_identities.chart.values import Values
from support.invalid_values import (
    ACCEPTED_ROLE,
    AWS,
    CLIENT,
    DESTINATIONS,
    IMAGE,
    ON,
    OWN,
    PODS,
    PORTS,
    READ_SECRETS,
    ROLE,
    RULES,
    SERVER,
    SOURCES,
    TENANT,
    THEIRS,
    Invalid,
    agent,
    block,
    destination,
    network,
    opens,
    pasted,
    tier,
    told,
)
from support.refusals import Refusal

Json = dict[str, Any]
EVERYTHING: Final = (chart_path() / "ci" / "everything.yaml",)


@dataclass(frozen=True)
class EdgeCase:
    """Valid values. ``about``: the only template that they test; empty: all."""

    name: str
    values: Values
    target: Target = field(default_factory=Target)
    about: str = ""


def edge_cases() -> Iterator[EdgeCase]:
    """Valid values; INVALID has the others."""
    for name, given in _VALID.items():
        yield EdgeCase(name, Values(overrides=given))
    yield EdgeCase("digits", Values.read(EVERYTHING, DIGITS), DIGITS_TARGET)
    yield EdgeCase("kube-system", Values(overrides=agent()), Target(namespace="kube-system"))
    yield EdgeCase("a large fleet", Values(overrides=LARGE_FLEET), about="templates/_guards.tpl")


def _rules(resource: str, *verbs: str) -> list[Json]:
    return [{"apiGroups": [""], "resources": [resource], "verbs": list(verbs)}]


RBAC: Final = "rbac.authorization.k8s.io"
NO_SERVER: Final = {"apiServer": False}
AZURE: Final = {"azure": {"clientId": CLIENT}}
CLOUDS: Final[Json] = {
    "aws": {"roleArn": ROLE, "tokenExpirationSeconds": 3600, "audience": "x", "stsRegionalEndpoints": True},
    "azure": {"clientId": CLIENT, "tenantId": TENANT, "tokenExpirationSeconds": 7200},
}
KUBE_SYSTEM: Final = "configmap-write-kube-system"
"""The risk of a rule that matters in kube-system."""

WELL, ILL = {"example.com/well": "x"}, {"example.com/a": "x", "not a key": "x"}
MANY: Final = [f"{letter}{letter}" for letter in "hgfedcba"]
RISKY: Final = [*READ_SECRETS, *_rules("services", "patch"), *_rules("pods", "create"), *_rules("pods/exec", "create")]
COREDNS: Final = [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["coredns"], "verbs": ["patch"]}]
UNKNOWN: Final = [
    {"apiGroups": ["a.example.org", "b.example.org"], "resources": ["parts", "wholes"], "verbs": ["get", "patch"]}
]
ACCEPTED: Final = dict.fromkeys(("pod-create", "pod-exec", "secret-read", "service-write"), "why")
CLUSTER_TIERS: Final = {name: {"scope": "Cluster", "rules": _rules(name, "get")} for name in ("nodes", "namespaces")}


def _from(*peers: Json) -> Json:
    return {"from": list(peers), "ports": PORTS}


DIGITS: Final[Json] = {
    "namespaceOverride": "",
    "agents": {
        "3e3": {
            "tiers": ["7e7"],
            "namespaces": {"8e8": ["7e7"]},
            "workload": {"image": "1e3"},
            "tokens": {"5": {"audience": "1e9"}, "6": {"audience": "6", "path": "66"}},
        },
        "4e4": {"access": "proxied", "tiers": ["reader"], "namespaces": {"9e9": ["reader"]}},
    },
    "tiers": {"7e7": {"existingRole": {"kind": "ClusterRole", "name": "77"}, "acceptRisks": ACCEPTED_ROLE}},
    "network": {"dns": {"namespace": "53"}},
    "guards": {
        "deployers": [{"kind": "User", "name": "11"}, {"kind": "ServiceAccount", "name": "1", "namespace": "2"}]
    },
}
DIGITS_TARGET: Final = Target("1", "1e3")

LARGE_FLEET: Final[Json] = {
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
        "sources": SOURCES | {"second": {"from": [PODS, {"namespaceSelector": {}}], "ports": PORTS * 2}},
        "cloud": {"aws": {"cidrs": ["192.0.2.0/28", "198.51.100.0/24"], "ports": [443, 8443]}},
    },
    "guards": {
        "enabled": True,
        "deployers": [
            {"kind": "User", "name": "u", "agents": ["agent-proxy", "both"]},
            {"kind": "User", "name": "v", "agents": ["shopper", "both"], "bindAgents": True},
        ],
        "controllers": [
            "kubeflow-pipelines",
            {"name": "tekton", "defaultAccount": "both-1", "agents": ["both"]},
            {"name": "tekton", "namespace": "other", "defaultAccount": "shopper"},
            {"name": "kuberay", "serviceAccount": "ray", "bindAgents": True},
        ],
    },
}

_VALID: Final[dict[str, Json]] = {
    "nobody, and a deployer of nobody": {
        "agents": {"none": {"instances": 0}, "a": {"enabled": True}, "b": {"enabled": False, "tiers": ["gone"]}},
        "tiers": {"gone": {"enabled": False, "existingRole": {"name": "x"}}},
        "guards": {
            "enabled": True,
            "deployers": [
                {"kind": "User", "name": "u", "agents": ["none"]},
                {"kind": "User", "name": "v", "agents": ["none", "a"], "bindAgents": True},
            ],
        },
    },
    "null in every agent": {
        "tiers": {"r": {"rules": RULES, "scope": None, "acceptRisks": None, "existingRole": None}},
        "agents": {
            "a": dict.fromkeys(("tiers", "token", "tokens", "workload", "cloud", "network", "serviceAccount")),
            "b": dict.fromkeys(("access", "instances", "quarantined", "namespaces", "labels", "annotations")),
            "c": {
                "labels": {"x": None},
                "annotations": {"x": None},
                "token": {"mode": None, "audience": None},
                "serviceAccount": {"create": None, "name": None},
                "workload": IMAGE | {"replicas": None, "resources": None, "command": None, "nodeSelector": {"a": None}},
            },
        },
        "proxy": {"token": None, "workload": None, "labels": {"x": None}, "rules": None},
        "network": None,
        "x-anchors": {"a": None},
    },
    "accounts of others with long names": {
        "agents": {
            "old": {
                "serviceAccount": {"create": False, "name": f"{'x' * 63}.{'y' * 189}"},
                "tiers": ["own"],
                "workload": IMAGE,
            },
            "dots": {"serviceAccount": {"create": False, "name": "team.bot"}, "quarantined": True},
            "ours": {"serviceAccount": {"name": "our.bot"}},
        },
        "tiers": {"own": {"rules": OWN}},
        "guards": {"enabled": True, "deployers": [{"kind": "ServiceAccount", "name": "ci.bot", "namespace": "ci"}]},
    },
    "rules for URLs": {
        "tiers": {
            "urls": {
                "scope": "Cluster",
                "rules": [{"nonResourceURLs": ["/metrics", "/healthz/*"], "verbs": ["get", "head"]}],
            }
        },
        "agents": {"a": {"tiers": ["urls"]}, "b": {"access": "proxied", "tiers": ["urls", "proxy"]}},
    },
    "rules that look unusual, and allow requests": {
        "tiers": {
            "t": {
                "rules": [
                    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list"]},
                    {"apiGroups": ["", "example.com"], "resources": ["pods", "nodes", "pod"], "verbs": ["get"]},
                    {
                        "apiGroups": ["external.metrics.k8s.io"],
                        "resources": ["queue.length", "queue.v1"],
                        "verbs": ["get"],
                    },
                    {"apiGroups": ["", "apps"], "resources": ["pods", "deployments"], "verbs": ["get"]},
                    {"apiGroups": [""], "resources": ["futures", "pods/future"], "verbs": ["get", "frobnicate"]},
                    {
                        "apiGroups": [""],
                        "resources": ["configmaps"],
                        "verbs": ["create", "update"],
                        "resourceNames": ["x"],
                    },
                    {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["create"], "resourceNames": ["x"]},
                    {"apiGroups": ["security.example.com"], "resources": ["constraints"], "verbs": ["use"]},
                ]
            },
            "binder": {
                "rules": [
                    {"apiGroups": [RBAC], "resources": ["clusterroles"], "verbs": ["bind"], "resourceNames": ["view"]}
                ],
                "acceptRisks": {"rbac-bind": "it binds view"},
            },
            "signer": {
                "scope": "Cluster",
                "rules": [
                    {
                        "apiGroups": ["certificates.k8s.io"],
                        "resources": ["signers"],
                        "verbs": ["approve"],
                        "resourceNames": ["example.com/*"],
                    }
                ],
            },
            "discovery": {
                "scope": "Cluster",
                "rules": [{"nonResourceURLs": ["/api/v1", "/apis/apps/v1", "/openapi/v3/*"], "verbs": ["get"]}],
            },
            "view": {"existingRole": {"kind": "Role", "name": "view"}, "acceptRisks": ACCEPTED_ROLE},
            "kubelet": {
                "scope": "Cluster",
                "rules": [{"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]}],
                "acceptRisks": {"node-subresource": "it reads metrics"},
            },
        }
    },
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
    "nobody needs the server": network(
        apiServer={"cidrs": []},
        proxy=NO_SERVER,
        agents={"a": {"network": NO_SERVER}, "b": {"access": "proxied"}},
    ),
    "clouds behind destinations": network(
        agents={"a": {"cloud": AWS, "network": {"egress": ["memory"]}}, "b": {"cloud": {"awsPodIdentity": False}}}
    ),
    "clouds behind everybody's destinations": network(agents={"a": {"cloud": AWS}}, egress=["memory"]),
    "text of all sorts": agent(annotations={"a": "\t\n\x01~\xa0\ud7ff\ue000\ufffd\U0001f600"}),
    "a controller without kinds, and a deployer with its name": {
        "guards": {
            "enabled": True,
            "controllers": [{"name": "openshell", "namespace": "shell"}],
            "deployers": [{"kind": "ServiceAccount", "name": "openshell", "namespace": "openshell"}],
        }
    },
    "controllers, and a guard that is off": {
        "guards": {"enabled": True, "runAs": {"enabled": False}, "controllers": ["keda", "kueue"]}
    },
    "no guards, and controllers": {"guards": {"enabled": False, "controllers": ["keda"]}},
    "no guards, and deployers": {"guards": {"enabled": False, "deployers": [{"kind": "User", "name": "u"}]}},
    "blocks": network(
        destinations={
            "a": opens(block("0.0.0.0/0", "192.0.2.0/24", "169.254.169.254/32"), block("fd00:ec3::/64")),
            "b": opens(block("0.0.0.0/0", "169.254.169.254/32", "192.0.2.0/24")),
            "c": opens(block("::/0", "2001:db8::/32", "fd00:ec2::254/128")),
            "d": opens(block("fd00:ec2::/32", "FD00:EC2::254/128")),
            "e": opens(block("0.0.0.0/0", "169.254.0.0/16")),
        }
    ),
    "a risk of kube-system, accepted for later": tier(
        rules=COREDNS,
        acceptRisks={KUBE_SYSTEM: "for the day that it is granted there"},
    ),
    "risks of existing roles, accepted": {
        "tiers": {
            "theirs": {"existingRole": {"name": "theirs"}, "acceptRisks": ACCEPTED_ROLE | {"secret-read": "why"}},
            "view": {
                "existingRole": {"kind": "ClusterRole", "name": "view"},
                "acceptRisks": {"secret-read": "other users add it"},
            },
        }
    },
    "writes that are not risks": tier(
        rules=[
            *_rules("persistentvolumeclaims", "update"),
            {"apiGroups": ["wgpolicyk8s.io"], "resources": ["policyreports"], "verbs": ["get", "create", "delete"]},
            {"apiGroups": ["example.org"], "resources": ["widgets/finalizers"], "verbs": ["update"]},
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "verbs": ["update"],
                "resourceNames": ["a"],
            },
        ]
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

INVALID: Final[list[Invalid]] = [
    # the second of two
    pasted(agent(tiers=["proxy", "root"]), "agents.a.tiers[1]", '"root"'),
    pasted({"agents": {"a": {}, "b": {"tiers": ["root"]}}}, "agents.b.tiers[0]", '"root"'),
    pasted(
        agent(namespaces={"team-a": ["proxy"], "team-b": ["proxy", "root"]}), "agents.a.namespaces.team-b[1]", '"root"'
    ),
    told(
        agent(namespaces={"agent-system": ["proxy", "t"]}) | tier(rules=RULES),
        "agents.a.namespaces.agent-system",
        "tiers: [proxy, t]",
        fixed=agent(tiers=["proxy", "t"]) | tier(rules=RULES),
    ),
    pasted(
        {"agents": {"a": {"labels": WELL}, "b": {"labels": ILL}}}, "agents.b.labels", '"not a key"', "example.com/team"
    ),
    told(agent(labels=WELL | {"helm.sh/chart": "x"}), "agents.a.labels", '"helm.sh/chart"', fixed=agent(labels=WELL)),
    told(agent(labels={"app.kubernetes.io/name": "x"}), "agents.a.labels", '"app.kubernetes.io/name"', fixed=agent()),
    told(
        agent(labels={"app.kubernetes.io/managed-by": "x"}),
        "agents.a.labels",
        '"app.kubernetes.io/managed-by"',
        fixed=agent(),
    ),
    told(
        agent(labels=WELL) | {"extraLabels": WELL},
        "agents.a.labels",
        '"example.com/well"',
        "extraLabels",
        fixed=agent(labels=WELL),
    ),
    pasted(agent(annotations=ILL), "agents.a.annotations", '"not a key"'),
    pasted({"proxy": {"annotations": ILL}}, "proxy.annotations", '"not a key"'),
    pasted(agent(workload=IMAGE | {"podAnnotations": ILL}), "agents.a.workload.podAnnotations", '"not a key"'),
    told(
        {"proxy": {"workload": IMAGE | {"volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "agent-token"}]}}},
        "proxy.workload.volumes[1].name",
        '"agent-token"',
        fixed={"proxy": {"workload": IMAGE | {"volumes": [{"name": "tmp", "emptyDir": {}}]}}},
    ),
    told(
        agent(
            cloud={"aws": {"roleArn": ROLE, "tokenExpirationSeconds": 3600}},
            annotations={"eks.amazonaws.com/token-expiration": "x"},
        ),
        "agents.a.annotations",
        '"eks.amazonaws.com/token-expiration"',
        fixed=agent(cloud={"aws": {"roleArn": ROLE, "tokenExpirationSeconds": 3600}}),
    ),
    *(
        Invalid(
            {"agents": {name: {"serviceAccount": {"create": False, "name": name}, "cloud": CLOUDS} for name in MANY}},
            Refusal(f"agents.{name}.cloud.{cloud}", (given,), pasted=False, problems=2 * len(MANY)),
        )
        for name in ("aa", "hh")
        for cloud, given in (
            ("aws", "roleArn, stsRegionalEndpoints, tokenExpirationSeconds"),
            ("azure", "clientId, tenantId, tokenExpirationSeconds"),
        )
    ),
    pasted(
        agent(
            serviceAccount={"create": False, "name": "a"}, cloud={"gcp": {"serviceAccount": "a@b", "workloadPool": "c"}}
        ),
        "agents.a.cloud.gcp",
        "serviceAccount",
    ),
    pasted(network(agents=agent(network={"egress": ["memory", "x"]})["agents"]), "agents.a.network.egress[1]", '"x"'),
    pasted(network(agents={"a": {}, "b": {"network": {"ingress": ["x"]}}}), "agents.b.network.ingress[0]", '"x"'),
    pasted(
        network(destinations={name: opens(PODS) for name in MANY}, egress=["x"]),
        "network.egress[0]",
        "aa, bb, cc, dd, ee, ff, gg, hh",
    ),
    pasted(
        network(destinations={}, egress=["x"]),
        "network.egress[0]",
        '"x"',
        "none",
    ),
    told(
        network(destinations={"aa": opens(PODS), "zz": opens(PODS, block("203.0.113.7/24"))}),
        "network.destinations.zz.to[1].ipBlock",
        "203.0.113.7/24",
        fixed=network(destinations={"aa": opens(PODS), "zz": opens(PODS, block("203.0.113.0/24"))}),
    ),
    pasted(
        network(destinations={"aa": opens(PODS), "zz": opens(PODS, ports=[*PORTS, {"port": 90, "endPort": 80}])}),
        "network.destinations.zz.ports[1]",
        "90",
        "80",
    ),
    pasted(
        network(destinations={"aa": opens(PODS), "zz": opens(PODS, ports=[{"port": "http", "endPort": 80}])}),
        "network.destinations.zz.ports[0]",
        "http",
        "80",
    ),
    told(
        network(sources={"aa": _from(PODS), "zz": _from(PODS, block("203.0.113.7/24"))}),
        "network.sources.zz.from[1].ipBlock",
        "203.0.113.7/24",
        fixed=network(sources={"aa": _from(PODS), "zz": _from(PODS, block("203.0.113.0/24"))}),
    ),
    told(
        destination(block("192.0.2.0/24") | {"namespaceSelector": {}}),
        "network.destinations.d.to[0]",
        "ipBlock",
        fixed=destination(block("192.0.2.0/24"), {"namespaceSelector": {}}),
    ),
    told(
        network(dns={"cidrs": ["10.0.0.0/8", "10.0.0.1/8"]}),
        "network.dns.cidrs[1]",
        "10.0.0.1/8",
        fixed=network(dns={"cidrs": ["10.0.0.0/8"]}),
    ),
    told(
        network(apiServer=SERVER | {"cidrs": ["10.96.0.1/32", "0.0.0.0/0"]}),
        "network.apiServer.cidrs[1]",
        "169.254.169.254",
        fixed=network(),
    ),
    told(
        destination(block("10.0.0.0/8", "10.1.0.0/16", "10.2.0.1/16")),
        "network.destinations.d.to[0].ipBlock",
        "10.2.0.1/16",
        fixed=destination(block("10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16")),
    ),
    *(
        told(
            destination(block(*blocks, outside)),
            "network.destinations.d.to[0].ipBlock",
            outside,
            blocks[0],
            fixed=destination(block(*blocks)),
        )
        for blocks, outside in (
            (("10.0.0.0/8", "10.1.0.0/16"), "11.0.0.0/16"),
            (("10.0.0.0/8",), "2001:db8::/32"),
            (("0.0.0.0/0", "169.254.169.254/32"), "2001:db8::/32"),
            (("10.0.0.0/8",), "10.0.0.0/8"),
        )
    ),
    pasted(
        destination(block("0.0.0.0/0", "192.0.2.0/24", "198.51.100.0/24")),
        "network.destinations.d.to[0].ipBlock",
        "0.0.0.0/0",
        "169.254.169.254",
    ),
    pasted(
        destination(block("::/0", "2001:db8::/32", "fd00:ec2::23/128")),
        "network.destinations.d.to[0].ipBlock",
        "::/0",
        "fd00:ec2::254",
    ),
    pasted(
        {
            "guards": {
                "enabled": True,
                "deployers": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "v"}],
            }
        },
        "guards.deployers[1]",
        "name: v",
    ),
    told(
        agent() | {"guards": {"enabled": True, "deployers": [{"kind": "User", "name": "u", "agents": ["a", "x"]}]}},
        "guards.deployers[0].agents[1]",
        '"x"',
        fixed=agent() | {"guards": {"enabled": True, "deployers": [{"kind": "User", "name": "u", "agents": ["a"]}]}},
    ),
    pasted(
        tier(rules=[*RULES, {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["watch", "get"]}]),
        "tiers.t.rules[1]",
        "critical",
        "secret-read",
    ),
    pasted({"tiers": {"s": {"rules": RULES}, "t": {"rules": READ_SECRETS}}}, "tiers.t.rules[0]", "secret-read"),
    # who needs the API server
    told(
        network(apiServer={"cidrs": []}, agents={"a": {"network": NO_SERVER}}),
        "network.apiServer.cidrs",
        "agent-proxy",
        fixed=network(apiServer={"cidrs": []}, agents={"a": {"network": NO_SERVER}}, proxy=NO_SERVER),
    ),
    pasted(
        network(apiServer={"cidrs": []}, proxy=NO_SERVER, agents={"a": {}, "b": {"network": NO_SERVER}}),
        "network.apiServer.cidrs",
        ": a ",
    ),
    pasted(
        network(
            apiServer={"cidrs": []},
            proxy=NO_SERVER,
            agents={"a": {"access": "proxied", "network": {"apiServer": True}}},
        ),
        "network.apiServer.cidrs",
        ": a ",
    ),
    # clouds that no agent can reach
    *(
        told(network(agents=agents, **fields), f"agents.a.cloud.{cloud}", f"network.cloud.{cloud}.cidrs", fixed=fixed)
        for cloud, agents, fields, fixed in (
            (
                "aws",
                agent(cloud=AWS, network={"egress": []})["agents"],
                {"egress": ["memory"]},
                network(agents=agent(cloud=AWS, network={"egress": ["memory"]})["agents"]),
            ),
            (
                "azure",
                agent(cloud={**AWS, **AZURE})["agents"],
                {"cloud": {"aws": {"cidrs": ["192.0.2.0/28"]}}},
                network(agents=agent(cloud=AWS)["agents"], cloud={"aws": {"cidrs": ["192.0.2.0/28"]}}),
            ),
            (
                "gcp",
                agent(cloud={"gcp": {}})["agents"],
                {"cloud": {"gcp": {"cidrs": []}}},
                network(agents=agent(cloud={"gcp": {}})["agents"]),
            ),
            (
                "awsPodIdentity",
                agent(cloud={"awsPodIdentity": True})["agents"],
                {"cloud": {"awsPodIdentity": {"cidrs": []}}},
                network(agents=agent(cloud={"awsPodIdentity": True})["agents"]),
            ),
        )
    ),
    # names
    told({"agents": {"default": {"quarantined": True}}}, "agents.default", '"default"', fixed={"agents": {"a": {}}}),
    told({"agents": {"a": {}, "default": {}}}, "agents.default", '"default"', fixed={"agents": {"a": {}}}),
    told(
        {"tiers": {"t": {"existingRole": {"name": "u-role"}, "acceptRisks": ACCEPTED_ROLE}, "u": {"rules": RULES}}},
        "tiers.u",
        '"u-role"',
        '"t"',
        fixed={"tiers": {"u": {"rules": RULES}}},
    ),
    told({"tiers": THEIRS | {"thier": THEIRS["theirs"]}}, "tiers.thier", '"view"', '"theirs"', fixed={"tiers": THEIRS}),
    pasted(
        agent(tiers=["root"]) | {"tiers": {name: {"rules": RULES} for name in MANY}},
        "agents.a.tiers[0]",
        "aa, bb, cc, dd, ee, ff, gg, hh, proxy",
    ),
    told(
        {"proxy": {"rules": OWN}},
        "proxy.rules",
        "{agent}",
        "tiers:",
        fixed={"tiers": {"own": {"rules": OWN}}},
    ),
    # text that YAML does not allow: toYaml prints nothing of it
    told(
        destination({"podSelector": {"matchLabels": {"app": "a\x82"}}}),
        "network.destinations.d.to[0].podSelector.matchLabels.app",
        '"a\\u0082"',
        fixed=destination({"podSelector": {"matchLabels": {"app": "a"}}}),
    ),
    *(
        Invalid(
            agent(workload=IMAGE | {"command": ["ok", "b\x9fd"], "env": [{"name": "A", "value": "\x7f"}]}),
            Refusal(path, (name,), pasted=False, problems=2),
        )
        for path, name in (
            ("agents.a.workload.command[1]", '"b\\u009fd"'),
            ("agents.a.workload.env[0].value", '"\\x7f"'),
        )
    ),
    Invalid(
        {"agents": {"a": {}, "b": {"annotations": dict.fromkeys([*MANY, "b\x84"], "x")}}},
        Refusal("agents.b.annotations", ('"aa, bb, b\\u0084, cc, dd, ee, ff, gg, hh"',), pasted=False, problems=2),
    ),
    told(agent(annotations={"a": "\x85"}), "agents.a.annotations.a", '"\\u0085"', fixed=agent(annotations={"a": ""})),
    told(agent(annotations={"a": "\uffff"}), "agents.a.annotations.a", '"\\uffff"', fixed=agent(annotations={"a": ""})),
    told(
        {"proxy": {"rules": [RULES[0] | {"verbs": ["get", "\ufffe"]}]}},
        "proxy.rules[0].verbs[1]",
        '"\\ufffe"',
        fixed={"proxy": {"rules": RULES}},
    ),
    # more problems than a message lists
    *(
        Invalid(
            agent(tiers=[f"root-{number}" for number in range(25)]), Refusal(path, (name,), problems=25, pasted=False)
        )
        for path, name in (("agents.a.tiers[0]", '"root-0"'), ("agents.a.tiers[19]", '"root-19"'))
    ),
    # risks by where they are held
    pasted(
        agent(namespaces={"a-team": ["proxy"], "kube-system": ["proxy", "t"]}) | tier(rules=COREDNS),
        "tiers.t.rules[0]",
        KUBE_SYSTEM,
    ),
    pasted(tier(scope="Cluster", rules=COREDNS), "tiers.t.rules[0]", KUBE_SYSTEM),
    Invalid(
        tier(rules=COREDNS),
        Refusal("tiers.t.rules[0]", (KUBE_SYSTEM,), pasted=False),
        target=Target(namespace="kube-system"),
    ),
    pasted(
        tier(rules=[*RULES, *UNKNOWN, {**UNKNOWN[0], "resources": ["gadgets/state"]}]),
        "tiers.t.rules[1] and rules[2]",
        "unknown-kind-write",
        "parts.a.example.org, parts.b.example.org, wholes.a.example.org, wholes.b.example.org, "
        "gadgets/state.a.example.org, gadgets/state.b.example.org",
    ),
    told(
        tier(existingRole={"name": "theirs"}, acceptRisks=ACCEPTED_ROLE | {"existing-role-admin": "why"}),
        "tiers.t.acceptRisks.existing-role-admin",
        "existing-role-unknown",
        fixed=tier(existingRole={"name": "theirs"}, acceptRisks=ACCEPTED_ROLE),
    ),
    told(
        tier(
            existingRole={"kind": "ClusterRole", "name": "edit"},
            acceptRisks={"existing-role-edit": "why", "secret-read": "why"},
        ),
        "tiers.t.acceptRisks.secret-read",
        "existing-role-edit",
        fixed=tier(existingRole={"kind": "ClusterRole", "name": "edit"}, acceptRisks={"existing-role-edit": "why"}),
    ),
    *(
        Invalid(
            {"tiers": {name: {"rules": RISKY, "acceptRisks": ACCEPTED | {"nothing": "why"}} for name in MANY}},
            Refusal(
                f"tiers.{name}.acceptRisks.nothing",
                (", ".join(sorted([*ACCEPTED, "create-unbounded"])),),
                pasted=False,
                problems=len(MANY),
            ),
        )
        for name in ("aa", "hh")
    ),
    told(
        tier(scope="Cluster", rules=RULES, acceptRisks={KUBE_SYSTEM: "why"}),
        f"tiers.t.acceptRisks.{KUBE_SYSTEM}",
        "none",
        fixed=tier(scope="Cluster", rules=RULES),
    ),
    # versions without a feature
    Invalid(
        agent(access="proxied") | {"proxy": {"impersonation": "constrained"}},
        Refusal("proxy.impersonation", ("v1.34.4", "1.36")),
        target=Target(kube_version="1.34.4"),
    ),
]
