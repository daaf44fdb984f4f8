"""Values as Hypothesis draws them from the chart's own schema: valid ones.

`FromSchema` reads the keywords that our schema uses. `support.made_valid` then repairs the relations between values,
which a schema cannot express. So every draw is used, and shrinks by its own parts.
"""

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st

from agent_identities.chart import values
from agent_identities.rbac import Catalogue
from support.made_valid import made_valid
from support.schema import Node, ValuesSchema

Strategy = st.SearchStrategy[Any]

ODD = (
    "y",
    "on",
    "no",
    "1-1",
    "0-2",
    "e3",
    "1e3",
    "0x1f",
    "off",
    "yes",
    "2026-01-01",
    "1-2-3",
    "0o7",
    "a" * 63,
    "z" * 61,
)
"""Names that YAML reads as something else where they are not quoted, and the longest ones."""
AGENTS = (*ODD, "a", "b", "worker", "triage", "agent-proxy", "gateway")
TIERS = ("proxy", "t1", "t2", "y", "1e1", "agent-proxy", "own", "gateway")
NAMESPACES = ("team-a", "kube-system", "1e1", "agent-system", "agents-b")
PEERS = ("model-api", "on", "1")
NOT_IN_YAML = "".join(map(chr, (*range(0x7F, 0xA0), 0xFFFE, 0xFFFF)))
CHARACTERS = st.characters(codec="utf-8", exclude_characters=NOT_IN_YAML)
TEXTS = st.text(CHARACTERS, max_size=12) | st.sampled_from(
    ("a: b", "- a", "{a}", "'", '"', "\\", "%", "#x", " x ", "x\n\n", "\n---\nx", "\t", "1e3", "null", "~", "{{ x }}")
)
LABEL_KEYS = st.sampled_from(("team", "example.com/x", "y", "1e3", "null", "app.kubernetes.io/part-of", "X_1.z"))
LABEL_VALUES = st.sampled_from(("", *ODD, "v1.0", "X_1"))
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "use", "bind", "approve")
RESOURCES = ("pods", "pods/log", "configmaps", "secrets", "services", "deployments", "nodes", "serviceaccounts/token")
NAMES = ("x", "{agent}", "{agent}-state", "1{agent}", "tru{agent}", "0x{agent}", "a: {agent}", "1e3", "y")


def distinct(items: tuple[Any, ...], low: int = 1, high: int = 3) -> Strategy:
    return st.lists(st.sampled_from(items), min_size=low, max_size=high, unique=True)


@st.composite
def blocks(draw: st.DrawFn) -> str:
    """An address block that the API server accepts: no bits beyond the prefix, no metadata service inside."""
    if draw(st.booleans()):
        length = draw(st.integers(8, 32))
        number = (draw(st.integers(10, 126)) << 24 | draw(st.integers(0, 2**24 - 1))) >> (32 - length) << (32 - length)
        return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0)) + f"/{length}"
    return draw(st.sampled_from(("2001:db8::/32", "2001:db8::1/128", "2001:DB8:0:1::/64")))


SELECTORS = st.fixed_dictionaries({}, optional={"matchLabels": st.dictionaries(LABEL_KEYS, LABEL_VALUES, max_size=2)})
PEER = st.one_of(
    st.fixed_dictionaries({"podSelector": SELECTORS}, optional={"namespaceSelector": SELECTORS}),
    st.fixed_dictionaries({"ipBlock": st.fixed_dictionaries({"cidr": blocks()})}),
    st.just({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}),
    st.just({"podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "1"]}]}}),
)
HOST = st.sampled_from(("api.example.com", "*.example.com", "a_1.x-y.example")).map(lambda name: {"fqdn": name})
PORT = st.sampled_from(
    ({"port": 443}, {"port": 65535, "protocol": "UDP"}, {"port": "http"}, {"port": 1, "endPort": 9, "protocol": "SCTP"})
)
RULE = st.fixed_dictionaries(
    {"apiGroups": distinct(("", "apps", "example.com")), "resources": distinct(RESOURCES), "verbs": distinct(VERBS)},
    optional={"resourceNames": distinct(NAMES)},
)
URL_RULE = st.fixed_dictionaries(
    {
        "nonResourceURLs": distinct(("/metrics", "/healthz/*", "/debug/*")),
        "verbs": distinct(("get", "head", "*"), high=2),
    }
)
PROBE = st.just({"httpGet": {"path": "/", "port": 8080}})
MOUNTS = st.sampled_from(("/data", "/tmp", "/tmp/", "tmp", "/tmp/x", "/run/secrets/x", "/var/runner")).map(
    lambda path: [{"name": "data", "mountPath": path}]
)


def containers(prefix: str, more: dict[str, Strategy] | None = None) -> Strategy:
    """Further containers of a pod, with distinct names."""
    fields: dict[str, Strategy] = {
        "args": st.lists(TEXTS, max_size=2),
        "env": st.lists(st.fixed_dictionaries({"name": st.just("A"), "value": TEXTS}), max_size=1),
        "imagePullPolicy": st.sampled_from(("Always", "Never")),
        "ports": st.just([{"containerPort": 8080}]),
        "resources": st.sampled_from(({}, {"limits": {"memory": "64Mi"}})),
        "volumeMounts": MOUNTS,
        "mountToken": st.booleans(),
        **(more or {}),
    }
    image = st.sampled_from(("registry.example/sidecar:1", "y", "1e3"))
    one = st.fixed_dictionaries(
        {"name": st.sampled_from((f"{prefix}1", f"{prefix}2")), "image": image}, optional=fields
    )
    return st.lists(one, max_size=2, unique_by=lambda found: str(found["name"]))


def controllers() -> Strategy:
    """Controllers of the catalogue, each once, by name or as an object."""
    names = ("agent-sandbox", "argo-workflows", "kubeflow-pipelines", "openshell", "toolhive")
    accounts = st.sampled_from(("operator", "y", "1e3", "old.bot"))
    entry = st.fixed_dictionaries(
        {"name": st.sampled_from(names)},
        optional={
            "namespace": st.sampled_from(("runtimes", "1e2", "on")),
            "serviceAccount": accounts,
            "agents": distinct(AGENTS),
            "bindAgents": st.booleans(),
            "defaultAccount": accounts,
        },
    )
    # without a namespace of its own, each controller has another ServiceAccount
    return st.lists(st.sampled_from(names) | entry, max_size=3, unique_by=_by_account)


def _by_account(controller: Any) -> Any:
    if isinstance(controller, str) or not {"namespace", "serviceAccount"} & controller.keys():
        return controller if isinstance(controller, str) else controller["name"]
    return controller.get("namespace"), controller.get("serviceAccount")


OWN: dict[str, Strategy] = {
    # Values that depend on other values, and more values of Kubernetes' fields than the example in ci/everything.yaml.
    "labels": st.dictionaries(LABEL_KEYS, LABEL_VALUES, max_size=2),
    "annotations": st.dictionaries(LABEL_KEYS, TEXTS, max_size=2),
    "acceptRisks": st.just({}),
    "rules": st.lists(RULE | URL_RULE, min_size=1, max_size=2),
    "cidrs": st.lists(blocks(), max_size=2, unique=True),
    "peers": st.lists(PEER, min_size=1, max_size=2),
    "destinationPeers": st.lists(PEER | HOST, min_size=1, max_size=3),
    "policyPorts": st.lists(PORT, min_size=1, max_size=2),
    "agents.*.tiers": distinct(TIERS, low=0),
    "agents.*.namespaces": st.dictionaries(st.sampled_from(NAMESPACES), distinct(TIERS), max_size=2),
    "agents.*.instances": st.integers(0, 4),
    "agents.*.quarantined": st.booleans() | distinct((1, 2, 3), low=0),
    "quarantined": st.integers(0, 9).map(lambda number: number == 9),  # then no agent has objects of its own
    "agents.*.tokens.*.path": st.sampled_from(("a", "b", "-", "_1", "1e3")),
    "agents.*.serviceAccount.name": st.sampled_from((*AGENTS, "old.bot", f"{'long.' * 40}bot")),
    "agents.*.cloud.awsPodIdentity": st.booleans(),
    "egress": distinct(PEERS, low=0),
    "ingress": distinct(PEERS, low=0),
    "network.dns.podLabels": st.dictionaries(LABEL_KEYS, LABEL_VALUES, max_size=2),
    "tiers.*.existingRole.name": st.sampled_from(("view", "system:x", "t1-role", "agent-proxy-role", "y", "1e3")),
    "namespaceOverride": st.sampled_from(("", "1", "agents-b", "team-a")),
    "proxy.name": st.sampled_from(("agent-proxy", "gateway", "1", "y", "p" * 58)),
    "adoptServiceAccounts": distinct(AGENTS),
    "guards.deployers.[].name": st.sampled_from(("pipeline", "y", "1e3")),
    "guards.deployers.[].agents": distinct(AGENTS),
    "guards.controllers": controllers(),
    "trustedSubjects.[].name": st.sampled_from(("on-call", "y", "1e3")),
    "imagePullSecrets.[].name": st.sampled_from(("regcred", "y", "1")),
    "workload.image": st.sampled_from(("registry.example/agent:1", "y", "1e3")),
    "workload.env": st.lists(st.fixed_dictionaries({"name": st.just("A"), "value": TEXTS}), max_size=1),
    "workload.envFrom": st.just([{"configMapRef": {"name": "x", "optional": True}}]),
    "workload.ports": st.just([{"containerPort": 8080, "name": "http"}]),
    "workload.resources": st.sampled_from(({}, {"limits": {"memory": "64Mi"}}, {"requests": {"cpu": 1}})),
    "workload.livenessProbe": PROBE,
    "workload.readinessProbe": PROBE,
    "workload.startupProbe": PROBE,
    "workload.volumes": st.just([{"name": "data", "emptyDir": {}}]),
    "workload.volumeMounts": MOUNTS,
    "workload.initContainers": containers("i", {"restartPolicy": st.just("Always")}),
    "workload.extraContainers": containers("e"),
    "tmp": st.sampled_from(("none", "1Gi", "64Mi", "9Ki")),
    "workload.nodeSelector": st.dictionaries(LABEL_KEYS, LABEL_VALUES, max_size=2),
    "workload.affinity": st.sampled_from(({}, {"nodeAffinity": {}})),
    "workload.priorityClassName": st.sampled_from(("", "high")),
    "workload.runtimeClassName": st.just("gvisor"),
    "workload.command": st.lists(TEXTS, max_size=2),
    "workload.args": st.lists(TEXTS, max_size=2),
    "global": st.just({}),
}
KEYS: dict[str, tuple[str, ...]] = {
    "agents": AGENTS,
    "tiers": TIERS,
    "network.destinations": PEERS,
    "network.sources": PEERS,
    "agents.*.tokens": ("a", "b", "Vault.1", "1e3", "y"),
}


class FromSchema:
    """A strategy for each path of the values, by the keywords of its schema; `own` replaces some by path or name.

    Objects of Kubernetes, which the schema leaves open, are those of `examples`: values that set every key.
    """

    def __init__(
        self,
        schema: ValuesSchema,
        defaults: dict[str, Any],
        examples: dict[str, Any],
        own: dict[str, Strategy] = OWN,
    ) -> None:
        self.schema, self.defaults, self.own = schema, defaults, own
        self.examples = {leaf.pattern: leaf.value for leaf in schema.leaves(examples)}

    def values(self) -> Strategy:
        return self.node(self.schema.document, "")

    def node(self, node: Node, path: str) -> Strategy:
        name = node["$ref"].rsplit("/", 1)[-1] if "$ref" in node else ""
        for key in (path, name, re.sub(r"^.*\bworkload\b", "workload", path), path.rsplit(".", 1)[-1]):
            if key in self.own and (key != path.rsplit(".", 1)[-1] or key in ("egress", "ingress", name, path)):
                return self.own[key]
        node = self.schema.resolve(node)
        if "enum" in node:
            return st.sampled_from(node["enum"])
        kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
        if not path.endswith(".*"):  # `with_nulls` adds null to other keys
            kinds = [kind for kind in kinds if kind != "null"]
        return st.one_of([self._kinds[kind](self, node, path) for kind in reversed(kinds)])

    def _object(self, node: Node, path: str) -> Strategy:
        prefix = f"{path}." if path else ""
        properties = {key: self.node(below, prefix + key) for key, below in node.get("properties", {}).items()}
        if properties:
            given = self._default(path)
            required = {key: properties.pop(key) for key in node.get("required", ()) if key not in given}
            return st.builds(lambda some, many: many | some, st.fixed_dictionaries(required), few(properties))
        if not isinstance(node.get("additionalProperties"), dict) and "patternProperties" not in node:
            example = self.examples[path.removesuffix(".[]")]
            return st.sampled_from(example) if isinstance(example, list) else st.just(example)
        (pattern, below), *_ = node.get("patternProperties", {"": node.get("additionalProperties")}).items()
        keys = st.sampled_from(KEYS[path]) if path in KEYS else st.from_regex(pattern or "[a-z]{1,5}", fullmatch=True)
        return st.dictionaries(keys, self.node(below, f"{prefix}*"), max_size=5 if path == "agents" else 3)

    def _default(self, path: str) -> dict[str, Any]:
        """The chart's own values at this path, which are not drawn."""
        found: Any = self.defaults
        for key in path.split(".") if path else ():
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def _array(self, node: Node, path: str) -> Strategy:
        unique = {"unique_by": repr} if node.get("uniqueItems") else {}
        items = self.node(node["items"], f"{path}.[]")
        return st.lists(items, min_size=node.get("minItems", 0), max_size=3, **unique)  # type: ignore[arg-type]  # repr

    def _string(self, node: Node, path: str) -> Strategy:
        if "pattern" in node:
            return st.from_regex(node["pattern"], fullmatch=True, alphabet=CHARACTERS).filter(
                lambda text: len(text) <= node.get("maxLength", 200)
            )
        return TEXTS.filter(lambda text: len(text) >= node.get("minLength", 0))

    def _integer(self, node: Node, path: str) -> Strategy:
        low, high = node.get("minimum", 0), node.get("maximum", 2**31 - 1)
        return st.integers(low, high) | st.sampled_from((low, high))

    _kinds: ClassVar[dict[str, Callable[["FromSchema", Node, str], Strategy]]] = {
        "object": _object,
        "array": _array,
        "string": _string,
        "integer": _integer,
        "boolean": lambda self, node, path: st.booleans(),
        "null": lambda self, node, path: st.none(),
    }


@st.composite
def few(draw: st.DrawFn, properties: dict[str, Strategy]) -> dict[str, Any]:
    """Some of the properties, each as likely; shrinks by leaving them out."""
    keys = draw(st.lists(st.sampled_from(sorted(properties)), unique=True, max_size=16)) if properties else []
    return {key: draw(properties[key]) for key in keys}


NULL_IS_A_VALUE = ("runAsUser", "runAsGroup", "fsGroup")


@st.composite
def with_nulls(
    draw: st.DrawFn, given: dict[str, Any], schema: ValuesSchema, defaults: dict[str, Any]
) -> dict[str, Any]:
    """The values, with null for some keys that they do not have: null means the default."""
    places = list(_absent(given, schema.document, schema, defaults))
    for mapping, key in draw(st.lists(st.sampled_from(places), max_size=3, unique_by=id)) if places else ():
        mapping[key] = None
    return given


def _absent(
    given: dict[str, Any], node: Node, schema: ValuesSchema, default: Any
) -> Iterator[tuple[dict[str, Any], str]]:
    """(mapping, key) of each key that the values do not have and that may be null."""
    node = schema.resolve(node)
    entries = next(iter(node.get("patternProperties", {}).values()), None)
    for key, child in node.get("properties", {}).items():
        has_default = isinstance(default, dict) and key in default
        nullable = has_default or "null" in schema.resolve(child).get("type", ())
        if key not in given and nullable and key not in NULL_IS_A_VALUE:
            yield given, key
    for key, below in given.items():
        child = node.get("properties", {}).get(key, entries)
        if child is not None and isinstance(below, dict):
            yield from _absent(below, child, schema, default.get(key) if isinstance(default, dict) else None)


def valid_values(chart: Path, release_namespace: str = "agent-system") -> Strategy:
    """Values that break no rule of the schema nor of the templates."""
    defaults = values.read(chart / "values.yaml")
    catalogue = Catalogue.load(chart / "files" / "risk-catalogue.json")
    examples = values.read(chart / "ci" / "everything.yaml")
    schema = ValuesSchema(chart)
    drawn = FromSchema(schema, defaults, examples).values()
    valid = drawn.map(lambda found: made_valid(copy.deepcopy(found), defaults, catalogue, release_namespace))
    return valid.flatmap(lambda found: with_nulls(copy.deepcopy(found), schema, defaults))
