"""Valid values with one error, and the path that a message must name."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st

from agent_identities.chart import schema, values, yaml
from support.schema import Node, Steps, ValuesSchema
from support.values_strategies import valid_values

Json = dict[str, Any]
RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
SECRETS = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
OWN = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["{agent}"]}]
ACCEPTED = {"existing-role-unknown": "a test"}
VIEW = {"existingRole": {"kind": "ClusterRole", "name": "zz-theirs"}, "acceptRisks": ACCEPTED}
AWS = {"aws": {"roleArn": "arn:aws:iam::111122223333:role/a"}}
TOKENS = {"v": {"audience": "v"}}
BLOCK = [{"ipBlock": {"cidr": "0.0.0.0/0"}}]


@dataclass(frozen=True)
class Broken:
    """`place`: the path as our messages write it; `steps`: the path, if the schema refuses the values."""

    values: Json
    place: str
    steps: Steps | None = None

    @property
    def pointer(self) -> str:
        """The path as Helm writes it for the schema: a JSON pointer."""
        return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in self.steps or ())


def broken_values(chart: Path) -> st.SearchStrategy[Broken]:
    """Values with one error: drawn values, or the values that set everything."""
    schema = ValuesSchema(chart)
    defaults = values.read(chart / "values.yaml")
    everything = yaml.load((chart / "ci/everything.yaml").read_text(encoding="utf-8"), name="everything.yaml")
    valid = valid_values(chart)
    relations = st.builds(related, valid, st.sampled_from(RELATIONS))
    by_schema = (st.just(everything) | valid).flatmap(
        lambda base: st.sampled_from([*_breaks(base, schema, schema.document, defaults, ())]).map(
            lambda found: _replaced(base, *found)
        )
    )
    return st.one_of(relations, by_schema)


def agent(**fields: Any) -> Json:
    return {"agents": {"zz": fields}}


def tier(**fields: Any) -> Json:
    return {"tiers": {"zz": fields}}


HOST_PATH: Final = [{"name": "zz", "hostPath": {"path": "/"}}]
OVER_THE_TOKEN: Final = [{"name": "zz", "mountPath": "/run/secrets/kubernetes.io/serviceaccount"}]
NAMESAKE: Final = [{"name": "agent", "image": "x"}]

RELATIONS: list[tuple[str, Json]] = [
    ("agents.zz.tiers[0]", agent(tiers=["zz-none"])),
    ("agents.zz.namespaces.zz-ns[0]", agent(namespaces={"zz-ns": ["zz-none"]})),
    ("agents.zz.namespaces.zz-ns[0]", agent(namespaces={"zz-ns": ["zz"]}) | tier(scope="Cluster", rules=RULES)),
    ("agents.zz.namespaces.zz-own", agent(namespaces={"zz-own": ["proxy"]}) | {"namespaceOverride": "zz-own"}),
    ("agents.default", {"agents": {"default": {"instances": None}}}),
    ("agents.zz-1", {"agents": {"zz": {"instances": 2}, "zz-1": {}}}),
    ("agents.zz", {"agents": {"zz": {}}, "proxy": {"name": "zz"}}),
    (f"agents.{'z' * 63}", {"agents": {"z" * 63: {"instances": 1}}}),
    ("agents.zz.token", agent(access="proxied", token={"expirationSeconds": 900})),
    ("agents.zz.workload", agent(access="proxied", workload={"image": "x"})),
    ("agents.zz.cloud", agent(access="proxied", cloud=AWS, network={"egress": []})),
    ("agents.zz.tokens", agent(access="proxied", tokens=TOKENS)),
    (
        "agents.zz.tiers[0]",
        agent(access="proxied", tiers=["zz"]) | tier(**VIEW) | {"proxy": {"impersonation": "constrained"}},
    ),
    ("agents.zz.token.expirationSeconds", agent(token={"expirationSeconds": 3607})),
    ("agents.zz.token", agent(token={"mode": "automount", "expirationSeconds": 900})),
    ("agents.zz.tokens.v.expirationSeconds", agent(tokens={"v": {"audience": "v", "expirationSeconds": 3607}})),
    ("agents.zz.tokens.w", agent(tokens=TOKENS | {"w": {"audience": "w", "path": "v"}})),
    ("agents.zz.cloud.azure", agent(cloud={"azure": {}}) | {"network": {"enabled": False}}),
    ("agents.zz.serviceAccount", agent(serviceAccount={"create": False})),
    ("agents.zz.serviceAccount.name", agent(serviceAccount={"name": "zz-b"}, instances=2)),
    ("agents.zz.quarantined[1]", agent(instances=2, quarantined=[1, 3])),
    ("agents.zz.quarantined[0]", agent(quarantined=[1])),
    ("agents.zz.labels", agent(labels={"agent-identities/agent": "x"})),
    ("agents.zz.labels", agent(labels={"bad key": "x"})),
    ("agents.zz.labels", agent(labels={"zz": "x"}) | {"extraLabels": {"zz": "y"}}),
    ("agents.zz.annotations", agent(annotations={"bad key": "x"})),
    ("agents.zz.workload.podLabels", agent(workload={"image": "x", "podLabels": {"helm.sh/chart": "x"}})),
    ("agents.zz.workload.volumes[0].name", agent(workload={"image": "x", "volumes": [{"name": "agent-token"}]})),
    ("agents.zz.workload.volumes[0].hostPath", agent(workload={"image": "x", "volumes": HOST_PATH})),
    ("agents.zz.workload.volumeMounts[0].mountPath", agent(workload={"image": "x", "volumeMounts": OVER_THE_TOKEN})),
    ("agents.zz.workload.extraContainers[0].name", agent(workload={"image": "x", "extraContainers": NAMESAKE})),
    ("agents.zz.namespace", agent(namespace="zz-ns")),
    ("agents.zz.network.egress[0]", agent(network={"egress": ["zz-none"]})),
    ("agents.zz.network.ingress[0]", agent(network={"ingress": ["zz-none"]})),
    ("tiers.zz", tier()),
    ("tiers.zz", tier(rules=RULES, existingRole={"name": "zz-x"}, acceptRisks=ACCEPTED)),
    ("tiers.zz", tier(rules=OWN, scope="Cluster")),
    (
        "tiers.zz.existingRole",
        tier(existingRole={"kind": "Role", "name": "zz-x"}, scope="Cluster", acceptRisks=ACCEPTED),
    ),
    ("tiers.zz.existingRole", tier(existingRole={"kind": "Role", "name": "zz-x"})),
    ("tiers.zz-two", {"tiers": {"zz-one": VIEW, "zz-two": VIEW}}),
    ("tiers.zz.rules[0]", tier(rules=SECRETS)),
    ("tiers.zz.acceptRisks.secret-read", tier(rules=RULES, acceptRisks={"secret-read": "x"})),
    ("tiers.zz.acceptRisks.zz", tier(rules=RULES, acceptRisks={"zz": "x"})),
    ("tiers.proxy", {"tiers": {"proxy": {"rules": RULES}}}),
    ("proxy.rules", {"proxy": {"rules": OWN, "acceptRisks": None}}),
    ("extraLabels", {"extraLabels": {"helm.sh/chart": "x"}}),
    ("agents.true", {"agents": {"true": {}}}),
    ("agents.12", {"agents": {"12": {"enabled": True}}}),
    ("tiers.null", {"tiers": {"null": {"rules": RULES}}}),
    ("agents.zz.namespaces.false", agent(namespaces={"false": ["proxy"]})),
    ("agents.zz.annotations", agent(annotations={"helm.sh/resource-policy": "keep"})),
    ("agents.zz.labels", agent(labels={"kustomize.toolkit.fluxcd.io/prune": "disabled"})),
    ("proxy.annotations", {"proxy": {"annotations": {"argocd.argoproj.io/sync-options": "Prune=false"}}}),
    ("tiers.zz.rules[0].apiGroups", tier(rules=[{**RULES[0], "apiGroups": ["v1"]}])),
    ("tiers.zz.rules[0].apiGroups", tier(rules=[{**RULES[0], "resources": ["jobs"]}])),
    ("tiers.zz.rules[0].resources", tier(rules=[{**RULES[0], "resources": ["Pod"]}])),
    ("tiers.zz.rules[0].resources", tier(rules=[{**RULES[0], "resources": ["nodes"]}])),
    ("tiers.zz.rules[0].verbs", tier(rules=[{**RULES[0], "verbs": ["Get"]}])),
    ("tiers.zz.rules[0].nonResourceURLs", tier(rules=[{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}])),
    ("tiers.zz.existingRole", tier(existingRole={"kind": "ClusterRole", "name": "cluster-admin"})),
    (
        "network.destinations.zz.to[0].ipBlock",
        {"network": {"destinations": {"zz": {"to": BLOCK, "ports": [{"port": 1}]}}}},
    ),
    (
        "network.destinations.zz.to[0].fqdn",
        {
            "network": {
                "provider": "cilium",
                "destinations": {"zz": {"to": [{"fqdn": "zz.default.svc"}], "ports": [{"port": 1}]}},
            }
        },
    ),
    (
        "network.sources.zz.ports[0]",
        {"network": {"sources": {"zz": {"from": BLOCK, "ports": [{"port": 2, "endPort": 1}]}}}},
    ),
    ("guards.exec.validationActions", {"guards": {"exec": {"validationActions": ["Deny", "Warn"]}}}),
    ("guards.tokens.maxSeconds", {"guards": {"tokens": {"maxSeconds": 3607}}}),
    ("guards.deployers[0]", {"guards": {"deployers": [{"kind": "ServiceAccount", "name": "x"}]}}),
    (
        "guards.deployers[0].agents[0]",
        {"agents": {"zz-one": {}}, "guards": {"deployers": [{"kind": "User", "name": "x", "agents": ["zz-none"]}]}},
    ),
    ("guards.deployers[0]", {"guards": {"deployers": [{"kind": "Group", "name": "system:authenticated"}]}}),
    ("trustedSubjects[0]", {"trustedSubjects": [{"kind": "ServiceAccount", "name": "x", "reason": "y"}]}),
    ("priorityAndFairness.queuing.handSize", {"priorityAndFairness": {"queuing": {"queues": 1, "handSize": 2}}}),
]
"""What only the templates can see: the path, and the values that break valid values."""


def related(base: Json, relation: tuple[str, Json]) -> Broken:
    """Valid values, broken by one of RELATIONS."""
    place, fragment = relation
    if "proxy" in fragment:  # what was drawn may rely on the proxy as it was drawn
        base = {key: value for key, value in base.items() if key not in ("agents", "guards", "tiers")}
    return Broken(_pruned(values.overlay(base, fragment)), place)


def _pruned(value: Any) -> Any:
    """Without the nulls that only take something out of the values below."""
    return {key: _pruned(item) for key, item in value.items() if item is not None} if isinstance(value, dict) else value


def _replaced(base: Json, steps: Steps, value: Any, named: Steps) -> Broken:
    """The values with another value at `steps`; a message names the path `named`."""
    result = copy.deepcopy(base)
    place: Any = result
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = value
    return Broken(result, "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in named).lstrip("."), named)


def _breaks(
    value: Any, schema: ValuesSchema, node: Node, default: Any, steps: Steps
) -> Iterator[tuple[Steps, Any, Steps]]:
    """Every way to break one keyword: (path, the new value, the path that the message names)."""
    node = schema.resolve(node)
    kinds = [node["type"]] if isinstance(node.get("type"), str) else node.get("type", [])
    if steps:
        if kinds:
            wrong = [thing for kind, thing in (("string", "x"), ("array", ["x"]), ("integer", 7)) if kind not in kinds]
            yield steps, wrong[0], steps
        for thing in _scalars(node, value):
            yield steps, thing, steps
    if isinstance(value, dict) and (node.get("additionalProperties") is False):
        yield (*steps, "Zz Unknown"), 1, steps
    if isinstance(value, dict):
        for key in node.get("required", ()):
            if isinstance(default, dict) and key in default:
                yield (*steps, key), None, steps
        entries = next(iter(node.get("patternProperties", {}).values()), None)
        for key, below in value.items():
            child = node.get("properties", {}).get(key, entries)
            if child is not None and below is not None:
                inner = default.get(key) if isinstance(default, dict) else None
                yield from _breaks(below, schema, child, inner, (*steps, key))
    if isinstance(value, list) and "items" in node:
        for index, below in enumerate(value):
            yield from _breaks(below, schema, node["items"], None, (*steps, index))


def _scalars(node: Node, value: Any) -> Iterator[Any]:
    if "enum" in node:
        yield "Zz"
    if isinstance(value, int) and not isinstance(value, bool):
        yield from (node[key] + by for key, by in (("minimum", -1), ("maximum", 1)) if key in node)
    if isinstance(value, str):
        if "pattern" in node:
            texts = ("a\n", "A b!", "", "{", "a/b")
            yield next(text for text in texts if not schema.go_pattern(node["pattern"]).search(text))
        if node.get("minLength"):
            yield ""
        if "maxLength" in node:
            yield "a" * (node["maxLength"] + 1)
    if isinstance(value, list):
        if node.get("minItems"):
            yield []
        if node.get("uniqueItems") and value:
            yield [value[0], value[0]]
