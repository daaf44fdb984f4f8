"""Values that the chart refuses: the path and the values that its message must name, and the same values made right.

The wording of a message is in the chart alone: see support.refusals.
"""

from dataclasses import dataclass, field
from typing import Any

from agent_identities.chart.helm import Target
from support.refusals import Refusal

Json = dict[str, Any]
ACCEPTED_ROLE = {"existing-role-unknown": "a test"}
RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
OWN = [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["{agent}-state"], "verbs": ["get"]}]
READ_SECRETS = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
WRITE_SERVICES = [{"apiGroups": [""], "resources": ["services"], "verbs": ["patch"]}]
NODES = {"nodes": {"scope": "Cluster", "rules": RULES}}
THEIRS = {"theirs": {"existingRole": {"kind": "ClusterRole", "name": "view"}}}


@dataclass(frozen=True)
class Invalid:
    """Values that the chart refuses, and what its message must say.

    ``fixed``: the values as a reader of the message writes them, where the message has an instruction and no YAML.
    """

    values: Json
    refusal: Refusal
    fixed: Json | None = None
    target: Target = field(default_factory=Target)

    def __str__(self) -> str:
        return " ".join((self.refusal.path, *self.refusal.names))[:70]


def pasted(values: Json, path: str, *names: str) -> Invalid:
    """The message has the YAML that makes the values right."""
    return Invalid(values, Refusal(path, names))


def told(values: Json, path: str, *names: str, fixed: Json) -> Invalid:
    """The message has an instruction; ``fixed`` are the values of a reader who follows it."""
    return Invalid(values, Refusal(path, names, pasted=False), fixed)


def by_schema(values: Json, pointer: str, *names: str) -> Invalid:
    """The schema refuses the values, at a JSON pointer."""
    return Invalid(values, Refusal(pointer, names, pasted=False))


def agent(**fields: Any) -> dict[str, Any]:
    return {"agents": {"a": fields}}


def tier(**fields: Any) -> dict[str, Any]:
    return {"tiers": {"t": fields}}


IMAGE = {"image": "x"}
AUTOMOUNT = {"mode": "automount"}

VALUES = [
    pasted(agent(tiers=["root"]), "agents.a.tiers[0]", '"root"', "proxy"),
    told(
        {"agents": {"triage": {"instances": 2}, "triage-2": {}}},
        "agents.triage-2",
        '"triage-2"',
        "agents.triage",
        fixed={"agents": {"triage": {"instances": 2}, "triage-b": {}}},
    ),
    told(
        {"agents": {"a": {"serviceAccount": {"name": "b"}}, "b": {}}},
        "agents.b",
        '"b"',
        "agents.a",
        fixed={"agents": {"a": {"serviceAccount": {"name": "c"}}, "b": {}}},
    ),
    told({"agents": {"default": {}}}, "agents.default", '"default"', fixed={"agents": {"b": {}}}),
    told(
        agent(serviceAccount={"create": False, "name": "default"}),
        "agents.a",
        '"default"',
        fixed=agent(serviceAccount={"create": False, "name": "made-before"}),
    ),
    told(
        {"agents": {"agent-proxy": {}}},
        "agents.agent-proxy",
        '"agent-proxy"',
        fixed={"agents": {"agent-proxy": {}}, "proxy": {"name": "gateway"}},
    ),
    told(
        {"agents": {"a" * 62: {"instances": 1}}},
        f"agents.{'a' * 62}",
        f'"{"a" * 62}-1"',
        "64",
        "63",
        fixed={"agents": {"a" * 61: {"instances": 1}}},
    ),
    pasted(agent(token={"expirationSeconds": 3607}), "agents.a.token.expirationSeconds", "3607"),
    told(
        agent(token=AUTOMOUNT | {"expirationSeconds": 900}),
        "agents.a.token",
        "automount",
        "expirationSeconds",
        fixed=agent(token=AUTOMOUNT),
    ),
    pasted(agent(token=AUTOMOUNT | {"expirationSeconds": 900}), "agents.a.token", "automount"),
    told(
        agent(labels={"helm.sh/chart": "x"}),
        "agents.a.labels",
        '"helm.sh/chart"',
        fixed=agent(labels={"example.com/chart": "x"}),
    ),
    told(
        {"extraLabels": {"app.kubernetes.io/instance": "x"}},
        "extraLabels",
        '"app.kubernetes.io/instance"',
        fixed={"extraLabels": {"app.kubernetes.io/part-of": "x"}},
    ),
    told(
        agent(workload=IMAGE | {"podLabels": {"agent-identities/agent": "b"}}),
        "agents.a.workload.podLabels",
        '"agent-identities/agent"',
        fixed=agent(workload=IMAGE | {"podLabels": {"example.com/agent": "b"}}),
    ),
    told(
        agent(workload=IMAGE | {"volumes": [{"name": "agent-token"}]}),
        "agents.a.workload.volumes[0].name",
        '"agent-token"',
        fixed=agent(workload=IMAGE | {"volumes": [{"name": "token", "emptyDir": {}}]}),
    ),
    pasted({"proxy": {"name": "default"}}, "proxy.name", '"default"'),
    told(
        agent(namespace="team-a"),
        "agents.a.namespace",
        '"team-a"',
        "agent-system",
        "docs/namespaces.md",
        fixed=agent(namespaces={"team-a": ["proxy"]}),
    ),
    told(agent(namespace="agent-system"), "agents.a.namespace", "docs/namespaces.md", fixed=agent()),
    told(
        {"proxy": {"labels": {"helm.sh/chart": "x"}}},
        "proxy.labels",
        '"helm.sh/chart"',
        fixed={"proxy": {"labels": {"team": "x"}}},
    ),
    pasted(
        {"proxy": {"workload": IMAGE, "token": {"expirationSeconds": 3607}}}, "proxy.token.expirationSeconds", "3607"
    ),
    told({"tiers": {"proxy": {"rules": RULES}}}, "tiers.proxy", "proxy.rules", fixed={"proxy": {"rules": RULES}}),
    told(
        {"tiers": {"agent-proxy": {"rules": RULES}}}, "tiers.agent-proxy", '"agent-proxy-role"', fixed=tier(rules=RULES)
    ),
    pasted(agent(namespaces={"agent-system": ["proxy"]}), "agents.a.namespaces.agent-system", "proxy"),
    told(
        agent(namespaces={"agents": ["proxy"]}) | {"namespaceOverride": "agents"},
        "agents.a.namespaces.agents",
        "tiers: [proxy]",
        fixed=agent(tiers=["proxy"]) | {"namespaceOverride": "agents"},
    ),
    pasted(agent(namespaces={"team-a": ["root"]}), "agents.a.namespaces.team-a[0]", '"root"', "proxy"),
    told(
        agent(namespaces={"team-a": ["nodes"]}) | {"tiers": NODES},
        "agents.a.namespaces.team-a[0]",
        '"nodes"',
        "agents.a.tiers",
        fixed=agent(tiers=["nodes"]) | {"tiers": NODES},
    ),
    told(tier(scope="Cluster", rules=OWN), "tiers.t", "scope: Cluster", "{agent}", fixed=tier(rules=OWN)),
    told(
        tier(rules=RULES, existingRole={"name": "theirs"}, acceptRisks=ACCEPTED_ROLE),
        "tiers.t",
        "rules",
        "existingRole",
        fixed=tier(existingRole={"name": "theirs"}, acceptRisks=ACCEPTED_ROLE),
    ),
    pasted(tier(), "tiers.t", "rules", "existingRole"),
    pasted(
        tier(scope="Cluster", existingRole={"kind": "Role", "name": "theirs"}, acceptRisks=ACCEPTED_ROLE),
        "tiers.t.existingRole",
        "Role",
    ),
    pasted(tier(existingRole={"name": "theirs"}), "tiers.t.existingRole", "existing-role-unknown"),
    pasted(tier(existingRole={"kind": "Role", "name": "view"}), "tiers.t.existingRole", "existing-role-unknown"),
    told(
        agent(access="proxied", token={"expirationSeconds": 900}),
        "agents.a.token",
        "proxied",
        fixed=agent(access="proxied"),
    ),
    pasted(agent(access="proxied", token={"expirationSeconds": 900}), "agents.a.token", "proxied"),
    pasted(agent(access="proxied", workload=IMAGE), "agents.a.workload", "proxied"),
    pasted(agent(access="proxied", cloud={"gcp": {}}), "agents.a.cloud", "proxied"),
    pasted(agent(access="proxied", tokens={"x": {"audience": "x"}}), "agents.a.tokens", "proxied"),
    pasted(agent(access="proxied", tiers=["theirs"]) | {"tiers": THEIRS}, "agents.a.tiers[0]", '"theirs"'),
    told(
        agent(access="proxied", namespaces={"team-a": ["theirs"]}) | {"tiers": THEIRS},
        "agents.a.namespaces.team-a[0]",
        '"theirs"',
        fixed=agent(access="proxied", namespaces={"team-a": ["theirs"]}) | {"tiers": {"theirs": {"rules": RULES}}},
    ),
    pasted(agent(serviceAccount={"create": False}), "agents.a.serviceAccount", "create"),
    told(
        agent(serviceAccount={"name": "b"}, instances=2),
        "agents.a.serviceAccount.name",
        "instances",
        fixed=agent(serviceAccount={"name": "b"}),
    ),
    told(
        {"agents": {"triage": {"instances": 2}, "triage-2": {"quarantined": True}}},
        "agents.triage-2",
        "agents: {triage: {quarantined: [2]}}",
        fixed={"agents": {"triage": {"instances": 2, "quarantined": [2]}}},
    ),
    told(
        {"agents": {"old": {"quarantined": True}, "z": {"serviceAccount": {"create": False, "name": "old"}}}},
        "agents.z",
        "remove agents.old",
        "agents: {z: {quarantined: true}}",
        fixed={"agents": {"z": {"serviceAccount": {"create": False, "name": "old"}, "quarantined": True}}},
    ),
    told(
        agent(instances=2, quarantined=[1, 3]),
        "agents.a.quarantined[1]",
        "3",
        "2",
        fixed=agent(instances=2, quarantined=[1, 2]),
    ),
    pasted(agent(quarantined=[1]), "agents.a.quarantined[0]", "1", "no instances"),
    pasted(tier(rules=READ_SECRETS), "tiers.t.rules[0]", "critical", "secret-read"),
    pasted({"proxy": {"rules": WRITE_SERVICES}}, "proxy.rules[0]", "high", "service-write"),
    told(
        tier(rules=READ_SECRETS, acceptRisks={"secret-read": "why", "secrets": "why"}),
        "tiers.t.acceptRisks.secrets",
        "secret-read",
        fixed=tier(rules=READ_SECRETS, acceptRisks={"secret-read": "why"}),
    ),
    told(
        tier(rules=RULES, acceptRisks={"secret-read": "why"}),
        "tiers.t.acceptRisks.secret-read",
        "none",
        fixed=tier(rules=RULES),
    ),
    pasted(
        {"priorityAndFairness": {"enabled": True, "queuing": {"queues": 3}}},
        "priorityAndFairness.queuing.handSize",
        "6",
        "3",
    ),
    by_schema({"agnts": {}}, "/", "agnts"),
    by_schema({"agents": {"Bad_Name": {}}}, "/agents", "Bad_Name"),
    by_schema(agent(teirs=[]), "/agents/a", "teirs"),
    by_schema(agent(token={"expirationSeconds": 60}), "/agents/a/token/expirationSeconds", "600"),
    by_schema(tier(rules=[]), "/tiers/t/rules", "minItems"),
    by_schema(tier(rules=RULES, acceptRisks={"secret-read": ""}), "/tiers/t/acceptRisks/secret-read", "minLength"),
]


# ---- annotations and labels of deployment tools, and names that YAML reads as other types


def kept(key: str, value: str, *, field: str = "annotations") -> Invalid:
    """An annotation or label by which a tool keeps, re-creates or disowns the account of an agent."""
    return told(
        agent(**{field: {key: value, "team": "x"}}), f"agents.a.{field}", key, fixed=agent(**{field: {"team": "x"}})
    )


ARGO, FLUX, HELM_CONTROLLER = "argocd.argoproj.io", "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"
LIFECYCLE = [
    kept("helm.sh/resource-policy", "keep"),
    kept("helm.sh/hook", "pre-install,pre-upgrade"),
    kept("helm.sh/hook-weight", "-10"),
    kept("helm.sh/hook-delete-policy", "before-hook-creation"),
    kept("meta.helm.sh/release-name", "other"),
    kept("meta.helm.sh/release-namespace", "other"),
    kept(f"{ARGO}/hook", "PreSync"),
    kept(f"{ARGO}/hook-delete-policy", "HookSucceeded"),
    kept(f"{ARGO}/sync-options", "Prune=false"),
    kept(f"{ARGO}/sync-options", "ServerSideApply=true, Delete=false"),
    kept(f"{ARGO}/sync-options", "Prune=confirm"),
    kept(f"{ARGO}/sync-options", "Force=true,Replace=true"),
    kept(f"{ARGO}/compare-options", "IgnoreExtraneous"),
    kept(f"{ARGO}/tracking-id", "app:/ServiceAccount:ns/a"),
    kept(f"{ARGO}/instance", "other", field="labels"),
    kept(f"{FLUX}/prune", "disabled"),
    kept(f"{FLUX}/prune", "disabled", field="labels"),
    kept(f"{FLUX}/reconcile", "disabled"),
    kept(f"{FLUX}/ssa", "IfNotPresent"),
    kept(f"{FLUX}/ssa", "Ignore"),
    kept(f"{FLUX}/force", "enabled"),
    kept(f"{FLUX}/name", "other", field="labels"),
    kept(f"{HELM_CONTROLLER}/driftDetection", "disabled"),
    kept("kapp.k14s.io/delete-strategy", "orphan"),
    kept("kapp.k14s.io/update-strategy", "always-replace"),
    kept("werf.io/ownership", "anyone"),
    kept("addonmanager.kubernetes.io/mode", "EnsureExists", field="labels"),
    kept("applyset.kubernetes.io/part-of", "x", field="labels"),
    kept("cli-utils.sigs.k8s.io/on-remove", "keep"),
    kept("client.lifecycle.config.k8s.io/deletion", "detach"),
    kept("config.k8s.io/owning-inventory", "x"),
    kept("configmanagement.gke.io/managed", "disabled"),
    kept("objectset.rio.cattle.io/id", "x"),
    told(
        {"proxy": {"annotations": {"helm.sh/resource-policy": "keep"}}},
        "proxy.annotations",
        "helm.sh/resource-policy",
        fixed={"proxy": {"annotations": {}}},
    ),
    told({"proxy": {"labels": {f"{FLUX}/prune": "disabled"}}}, "proxy.labels", f"{FLUX}/prune", fixed={"proxy": {}}),
    told({"extraLabels": {f"{FLUX}/prune": "disabled"}}, "extraLabels", f"{FLUX}/prune", fixed={}),
    told(
        agent(quarantined=True, annotations={"helm.sh/hook": "x"}),
        "agents.a.annotations",
        "helm.sh/hook",
        fixed=agent(),
    ),
]
NAMES = [
    told({"agents": {"false": {}}}, "agents.false", '"false"', "no", fixed={"agents": {"no": {}}}),
    told({"agents": {"true": {"tiers": []}}}, "agents.true", '"true"', "yes", fixed={"agents": {"yes": {}}}),
    told({"agents": {"null": {}}}, "agents.null", '"null"', fixed={"agents": {"none": {}}}),
    told({"agents": {"7": {}}}, "agents.7", '"7"', fixed={"agents": {"n-7": {}}}),
    told({"agents": {"1000": {"instances": 2}}}, "agents.1000", '"1000"', fixed={"agents": {"1e3": {"instances": 2}}}),
    told({"tiers": {"true": {"rules": RULES}}}, "tiers.true", '"true"', fixed={"tiers": {"yes": {"rules": RULES}}}),
    told({"tiers": {"16": {"rules": RULES}}}, "tiers.16", '"16"', fixed={"tiers": {"0x10": {"rules": RULES}}}),
    told(
        agent(namespaces={"false": ["proxy"]}),
        "agents.a.namespaces.false",
        '"false"',
        fixed=agent(namespaces={"no": ["proxy"]}),
    ),
    told(
        agent(namespaces={"5": ["proxy"]}),
        "agents.a.namespaces.5",
        '"5"',
        fixed=agent(namespaces={"n-5": ["proxy"]}),
    ),
    told(
        {
            "agents": {
                "a": {"serviceAccount": {"create": False, "name": f"{'x' * 60}.bot"}},
                "b": {"serviceAccount": {"name": "a"}},
            }
        },
        "agents.b",
        '"a"',
        "agents.a",
        fixed={"agents": {"a": {"serviceAccount": {"create": False, "name": f"{'x' * 60}.bot"}}, "b": {}}},
    ),
    told(
        {
            "agents": {
                "b": {"serviceAccount": {"create": False, "name": f"{'x' * 60}.bot"}},
                "a": {"serviceAccount": {"name": "b"}},
            }
        },
        "agents.b",
        '"b"',
        "agents.a",
        fixed={"agents": {"b": {"serviceAccount": {"create": False, "name": f"{'x' * 60}.bot"}}, "a": {}}},
    ),
    told(
        agent(serviceAccount={"name": f"{'x' * 60}.bot"}),
        "agents.a",
        "64",
        "63",
        fixed=agent(serviceAccount={"name": f"{'x' * 59}.bot"}),
    ),
    by_schema(agent(enabled="false"), "/agents/a/enabled"),
    by_schema(agent(instances=-1), "/agents/a/instances", "minimum"),
    by_schema(agent(serviceAccount={"name": "a..b"}), "/agents/a/serviceAccount/name"),
    by_schema(agent(serviceAccount={"name": "A"}), "/agents/a/serviceAccount/name"),
]


# ---- rules that no request can use


def rule(groups: list[str] | None, resources: list[str] | None, verbs: list[str], **more: Any) -> Json:
    fields = {"apiGroups": groups, "resources": resources, "verbs": verbs}
    return {key: value for key, value in fields.items() if value is not None} | more


def unusable(field: str, given: Json, *names: str, **more: Any) -> Invalid:
    """A tier with one rule, which the message rewrites."""
    return pasted(tier(rules=[given], **more), f"tiers.t.rules[0]{field}", *names)


READ = ["get", "list", "watch"]
URLS = {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}
UNUSABLE = [
    *(
        unusable(".apiGroups", rule([given], [resource], READ), f'"{given}"', right)
        for given, resource, right in (
            ("apps/v1", "deployments", '"apps"'),
            ("batch/v1beta1", "cronjobs", '"batch"'),
            ("core", "events", '""'),
            ("v1", "services", '""'),
            ("/v1", "services", '""'),
            ("core/v1", "services", '""'),
            ("rbac", "roles", '"rbac.authorization.k8s.io"'),
            ("networking", "ingresses", '"networking.k8s.io"'),
            ("Apps", "deployments", '"apps"'),
            ("example.com/v1", "widgets", '"example.com"'),
            ("Example.com", "widgets", '"example.com"'),
        )
    ),
    *(
        unusable(".apiGroups", rule(groups, resources, READ), f'"{named}"', right)
        for groups, resources, named, right in (
            ([""], ["deployments", "jobs"], "deployments", '["apps","batch"]'),
            ([""], ["pods", "deployments"], "deployments", '["","apps"]'),
            (["apps"], ["pods"], "pods", '[""]'),
            (["apps"], ["ingresses"], "ingresses", '["networking.k8s.io"]'),
            (["extensions"], ["deployments"], "deployments", '["apps"]'),
            ([""], ["deployments/scale"], "deployments", '["apps"]'),
        )
    ),
    *(
        unusable(".resources", rule(groups, [given], ["get"]), f'"{given}"', f'["{right}"]')
        for groups, given, right in (
            ([""], "pod", "pods"),
            ([""], "Pods", "pods"),
            ([""], "Pod", "pods"),
            ([""], "po", "pods"),
            ([""], "cm", "configmaps"),
            ([""], "svc", "services"),
            ([""], "pods/logs", "pods/log"),
            ([""], "pod/log", "pods/log"),
            ([""], "pods/Log", "pods/log"),
            ([""], "PersistentVolumeClaim", "persistentvolumeclaims"),
            (["apps"], "deploy", "deployments"),
            (["apps"], "StatefulSet", "statefulsets"),
            (["networking.k8s.io"], "netpol", "networkpolicies"),
            (["example.com"], "Widgets", "widgets"),
            ([""], "pods.v1", "pods"),
            ([""], "/pods", "pods"),
            ([""], " pods ", "pods"),
            (["apps"], "deployments.apps", "deployments"),
            (["apps"], "deployment.v1.apps/scale", "deployments/scale"),
            (["example.com"], "widgets.example.com", "widgets"),
            (["metrics.k8s.io"], "po", "pods"),
        )
    ),
    *(
        unusable(".verbs", rule([""], ["pods"], given), f'"{wrong}"', right)
        for given, wrong, right in (
            (["Get"], "Get", '["get"]'),
            (["get", "LIST"], "LIST", '["get","list"]'),
            (["read"], "read", '["get","list","watch"]'),
            (["view"], "view", '["get","list","watch"]'),
            (["head"], "head", '["get"]'),
            (["Delete-Collection"], "Delete-Collection", '["deletecollection"]'),
            (["get,list"], "get,list", '["get","list"]'),
            (["get", "list "], "list ", '["get","list"]'),
        )
    ),
    unusable(".verbs", rule([""], ["configmaps"], ["get", "create"], resourceNames=["a"]), "create", '["get"]'),
    unusable(
        ".verbs",
        rule([""], ["configmaps"], ["create", "update", "deletecollection"], resourceNames=["a"]),
        "deletecollection",
    ),
    told(
        tier(rules=[rule([""], ["configmaps"], ["create"], resourceNames=["a"])]),
        "tiers.t.rules[0].verbs",
        "create",
        fixed=tier(rules=[rule([""], ["configmaps"], ["create"])], acceptRisks={"configmap-write": "why"}),
    ),
    told(
        tier(rules=[rule([""], ["configmaps"], ["get"], resourceNames=["a-*"])]),
        "tiers.t.rules[0].resourceNames",
        '"a-*"',
        fixed=tier(rules=[rule([""], ["configmaps"], ["get"], resourceNames=["a-1"])]),
    ),
    told(
        tier(rules=[rule([""], ["pods/*"], ["get"])]),
        "tiers.t.rules[0].resources",
        '"pods/*"',
        fixed=tier(rules=[rule([""], ["pods/log"], ["get"])]),
    ),
    told(
        tier(rules=[rule(["*.example.com"], ["widgets"], ["get"])]),
        "tiers.t.rules[0].apiGroups",
        '"*.example.com"',
        fixed=tier(rules=[rule(["a.example.com"], ["widgets"], ["get"])]),
    ),
    *(
        unusable(".resources", rule(groups, [resource], verbs), resource, "scope: Cluster")
        for groups, resource, verbs in (
            ([""], "nodes", READ),
            ([""], "persistentvolumes", ["get"]),
            ([""], "namespaces", ["list", "watch"]),
            (["storage.k8s.io"], "storageclasses", ["get"]),
            (["rbac.authorization.k8s.io"], "clusterroles", ["get", "list"]),
            (["apiextensions.k8s.io"], "customresourcedefinitions", ["get"]),
            (["metrics.k8s.io"], "nodes", ["get", "list"]),
        )
    ),
    told(
        tier(rules=[rule([""], ["pods", "nodes"], ["get"])]),
        "tiers.t.rules[0].resources",
        "nodes",
        "t-cluster",
        fixed=tier(rules=RULES) | {"tiers": {"t": {"rules": RULES}, **NODES}},
    ),
    told(
        tier(rules=[rule([""], ["pods", "nodes/status"], ["get"], resourceNames=["n"])]),
        "tiers.t.rules[0].resources",
        '["nodes/status"]',
        '["n"]',
        fixed=tier(rules=[rule([""], ["nodes/status"], ["get"], resourceNames=["n"])], scope="Cluster"),
    ),
    Invalid(
        tier(rules=[rule([""], ["nodes"], ["get"]), rule(["node.k8s.io"], ["runtimeclasses"], ["get"])]),
        Refusal("tiers.t.rules[1].resources", ("runtimeclasses",), problems=2),
    ),
    Invalid(
        tier(rules=[rule([""], ["pods", "nodes"], ["get"]), rule(["node.k8s.io"], ["runtimeclasses"], ["get"])]),
        Refusal("tiers.t.rules[1].resources", ('["nodes"]', '["runtimeclasses"]'), pasted=False, problems=2),
        fixed=tier(
            rules=[rule([""], ["nodes"], ["get"]), rule(["node.k8s.io"], ["runtimeclasses"], ["get"])], scope="Cluster"
        ),
    ),
    told(
        {"proxy": {"rules": [rule([""], ["nodes"], ["get"])]}},
        "proxy.rules[0].resources",
        "nodes",
        fixed={"tiers": NODES},
    ),
    pasted({"proxy": {"rules": [rule([""], ["pod"], ["get"])]}}, "proxy.rules[0].resources", '"pod"'),
    unusable("", rule([""], None, ["get"]), "resources"),
    unusable("", rule(None, ["deployments"], ["get"]), "apiGroups", '"apps"'),
    unusable(".nonResourceURLs", URLS, "scope: Cluster"),
    told(
        {"proxy": {"rules": [URLS]}},
        "proxy.rules[0].nonResourceURLs",
        "scope: Cluster",
        fixed={"tiers": {"urls": {"scope": "Cluster", "rules": [URLS]}}},
    ),
    unusable(".nonResourceURLs", URLS | {"nonResourceURLs": ["metrics"]}, '"metrics"', '"/metrics"', scope="Cluster"),
    unusable(".nonResourceURLs", URLS | {"nonResourceURLs": ["/a*/b"]}, '"/a*/b"', '"/a"', scope="Cluster"),
    unusable(
        ".nonResourceURLs",
        URLS | {"nonResourceURLs": ["https://kubernetes.default/metrics", "/readyz?verbose"]},
        '"/readyz?verbose"',
        '["/metrics","/readyz"]',
        scope="Cluster",
    ),
    told(
        tier(rules=[URLS | {"nonResourceURLs": ["/apis/apps/v1/deployments"]}], scope="Cluster"),
        "tiers.t.rules[0].nonResourceURLs",
        '"/apis/apps/v1/deployments"',
        '["apps"]',
        fixed=tier(rules=[rule(["apps"], ["deployments"], ["get"])], scope="Cluster"),
    ),
    unusable(".verbs", URLS | {"verbs": ["list", "GET"]}, '"list"', '["get"]', scope="Cluster"),
    told(
        tier(rules=[URLS | RULES[0]], scope="Cluster"),
        "tiers.t.rules[0]",
        "nonResourceURLs",
        fixed=tier(rules=[URLS, *RULES], scope="Cluster"),
    ),
    pasted(tier(existingRole={"name": "view"}), "tiers.t.existingRole", '"view"', "kind: ClusterRole"),
    told(
        tier(existingRole={"name": "cluster-admin"}),
        "tiers.t.existingRole",
        '"cluster-admin"',
        fixed=tier(existingRole={"kind": "Role", "name": "cluster-admin"}, acceptRisks=ACCEPTED_ROLE),
    ),
    pasted(tier(existingRole={"kind": "ClusterRole", "name": "edit"}), "tiers.t.existingRole", "existing-role-edit"),
    pasted(
        tier(existingRole={"name": "cluster-admin"}, scope="Cluster"),
        "tiers.t.existingRole",
        "existing-role-cluster-admin",
    ),
    by_schema(tier(rules=[{"apiGroups": [""], "resources": ["pods"]}]), "/tiers/t/rules/0", "verbs"),
]


# ---- the network

SERVER = {"cidrs": ["10.96.0.1/32", "192.0.2.10/32"], "ports": [443, 6443]}
DESTINATIONS = {
    "model-api": {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443}]},
    "memory": {"to": [{"podSelector": {"matchLabels": {"app": "redis"}}}], "ports": [{"port": 6379}]},
}
SOURCES = {"gateway": {"from": [{"podSelector": {"matchLabels": {"app": "gateway"}}}], "ports": [{"port": "http"}]}}
ON: Json = {"enabled": True, "apiServer": SERVER, "destinations": DESTINATIONS, "sources": SOURCES}
PORTS = [{"port": 443}]


def network(*, agents: Json | None = None, proxy: Json | None = None, **fields: Any) -> Json:
    made: Json = {"network": ON | fields}
    made |= {} if agents is None else {"agents": agents}
    return made | ({} if proxy is None else {"proxy": {"network": proxy}})


def opens(*peers: Json, ports: list[Json] | None = None) -> Json:
    return {"to": list(peers), "ports": ports or PORTS}


def block(cidr: str, *excepted: str) -> Json:
    return {"ipBlock": {"cidr": cidr} | ({"except": list(excepted)} if excepted else {})}


def destination(*peers: Json, ports: list[Json] | None = None) -> Json:
    """Values with one destination."""
    return network(destinations={"d": opens(*peers, ports=ports)})


PODS: Json = {"podSelector": {}}
HOST: Json = {"fqdn": "api.example.com"}


def on_cilium(*peers: Json, **fields: Any) -> Json:
    """Values with one destination, on a cluster with Cilium."""
    return network(provider="cilium", destinations={"d": opens(*peers, **fields)})


HOST_NAMES = [
    pasted(destination(HOST), "network.destinations.d.to[0].fqdn", '"api.example.com"', "Cilium", "egress proxy"),
    pasted(destination(PODS, HOST, {"fqdn": "*.example.com"}), "network.destinations.d.to[1].fqdn", "provider: cilium"),
    told(
        on_cilium(HOST | PODS),
        "network.destinations.d.to[0]",
        "fqdn",
        "podSelector",
        fixed=on_cilium(HOST, PODS),
    ),
    told(
        on_cilium({"fqdn": "redis.memory.svc.cluster.local"}),
        "network.destinations.d.to[0].fqdn",
        '"redis.memory.svc.cluster.local"',
        fixed=on_cilium(PODS),
    ),
    told(
        on_cilium({"fqdn": "redis.memory.svc"}),
        "network.destinations.d.to[0].fqdn",
        '"redis.memory.svc"',
        fixed=on_cilium(PODS),
    ),
    told(
        on_cilium(HOST, ports=[{"port": 1}, {"port": "https"}]),
        "network.destinations.d.to[0]",
        '"https"',
        "ports[1]",
        fixed=on_cilium(HOST, ports=[{"port": 443}]),
    ),
    by_schema(network(provider="calico"), "/network/provider"),
    *(
        by_schema(on_cilium({"fqdn": name}), "/network/destinations/d/to/0/fqdn")
        for name in (
            "*",
            "*.*",
            "*.com.*",
            "*example.com",
            "localhost",
            "203.0.113.7",
            "https://api.example.com",
            "A.x",
        )
    ),
    by_schema(network(sources={"s": {"from": [HOST], "ports": PORTS}}), "/network/sources/s/from/0", "fqdn"),
]
NETWORK = [
    *HOST_NAMES,
    pasted(network(apiServer={"cidrs": []}, agents={"a": {}}), "network.apiServer.cidrs", "kubectl get endpointslices"),
    pasted(
        network(agents={"a": {"network": {"egress": ["modle-api"]}}}),
        "agents.a.network.egress[0]",
        '"modle-api"',
        "memory, model-api",
    ),
    pasted(
        network(enabled=False, agents={"a": {"network": {"ingress": ["x"]}}}),
        "agents.a.network.ingress[0]",
        '"x"',
        "gateway",
    ),
    pasted(network(egress=["x"]), "network.egress[0]", '"x"'),
    pasted(network(proxy={"ingress": ["x"]}), "proxy.network.ingress[0]", '"x"'),
    told(
        destination(block("192.0.2.0/24") | PODS),
        "network.destinations.d.to[0]",
        "ipBlock",
        fixed=destination(block("192.0.2.0/24"), PODS),
    ),
    pasted(
        network(sources={"s": {"from": [PODS], "ports": [{"port": 90, "endPort": 80}]}}),
        "network.sources.s.ports[0]",
        "90",
        "80",
    ),
    told(
        destination(block("203.0.113.7/24")),
        "network.destinations.d.to[0].ipBlock",
        "203.0.113.7/24",
        fixed=destination(block("203.0.113.0/24")),
    ),
    told(
        destination(block("203.0.113.7/24")),
        "network.destinations.d.to[0].ipBlock",
        "/32",
        fixed=destination(block("203.0.113.7/32")),
    ),
    told(
        network(sources={"s": {"from": [block("10.0.0.0/8", "11.0.0.0/16")], "ports": PORTS}}),
        "network.sources.s.from[0].ipBlock",
        "11.0.0.0/16",
        "10.0.0.0/8",
        fixed=network(sources={"s": {"from": [block("10.0.0.0/8")], "ports": PORTS}}),
    ),
    told(
        network(dns={"cidrs": ["10.0.0.1/8"]}),
        "network.dns.cidrs[0]",
        "10.0.0.1/8",
        fixed=network(dns={"cidrs": ["10.0.0.0/8"]}),
    ),
    told(
        network(cloud={"aws": {"cidrs": ["10.0.0.1/8"]}}),
        "network.cloud.aws.cidrs[0]",
        "10.0.0.1/8",
        fixed=network(cloud={"aws": {"cidrs": ["10.0.0.0/8"]}}),
    ),
    pasted(network(apiServer={"cidrs": ["0.0.0.0/0"]}), "network.apiServer.cidrs[0]", "0.0.0.0/0"),
    pasted(network(apiServer={"cidrs": ["::/0"]}), "network.apiServer.cidrs[0]", "::/0"),
    told(
        network(apiServer={"cidrs": ["0.0.0.0/0"]}),
        "network.apiServer.cidrs[0]",
        "0.0.0.0/0",
        "169.254.169.254",
        fixed=network(apiServer={"cidrs": ["10.96.0.1/32"]}),
    ),
    told(
        network(agents={"a": {"cloud": {"aws": {"roleArn": "arn:aws:iam::111122223333:role/a"}}}}),
        "agents.a.cloud.aws",
        "network.cloud.aws.cidrs",
        "agents.a.network.egress",
        fixed=network(
            agents={"a": {"cloud": {"aws": {"roleArn": "arn:aws:iam::111122223333:role/a"}}}},
            cloud={"aws": {"cidrs": ["192.0.2.0/28"]}},
        ),
    ),
    by_schema(network(dns={"cidrs": ["010.0.0.0/8"]}), "/network/dns/cidrs/0"),
    by_schema(
        network(sources={"s": {"from": [PODS], "ports": [{"port": "443"}]}}), "/network/sources/s/ports/0/port", "443"
    ),
    by_schema(destination({}), "/network/destinations/d/to/0"),
    by_schema(network(destinations={"d": {"to": [], "ports": PORTS}}), "/network/destinations/d/to"),
    by_schema(destination(block("10.0.0/8")), "/network/destinations/d/to/0/ipBlock/cidr"),
    by_schema(destination({"podSelectr": {}}), "/network/destinations/d/to/0", "podSelectr"),
    by_schema(network(apiServer={"ports": [0]}), "/network/apiServer/ports/0"),
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
"""An address block, and whether it includes a cloud's metadata service, so that it is refused."""


def open_to(cidr: str) -> Json:
    """Values with an agent that may reach a block."""
    return destination(block(cidr)) | {"agents": {"a": {"network": {"egress": ["d"]}}}}


# ---- guards


def guards(**fields: Any) -> Json:
    return {"agents": {"a": {}}, "guards": {"enabled": True, **fields}}


def deployers(*given: Json) -> Json:
    return guards(deployers=list(given))


def controllers(*given: Any) -> Json:
    return guards(controllers=list(given))


def trusted(given: Json) -> Json:
    return {"agents": {"a": {}}, "trustedSubjects": [{**given, "reason": "debugs agents"}]}


USER = {"kind": "User", "name": "u"}
GUARDS = [
    pasted(guards(exec={"validationActions": ["Deny", "Warn"]}), "guards.exec.validationActions", "Deny", "Warn"),
    pasted(guards(tokens={"maxSeconds": 3607}), "guards.tokens.maxSeconds", "3607"),
    told(
        deployers(USER | {"agents": ["b"]}),
        "guards.deployers[0].agents[0]",
        '"b"',
        fixed=deployers(USER | {"agents": ["a"]}),
    ),
    pasted(deployers({"kind": "ServiceAccount", "name": "u"}), "guards.deployers[0]", "ServiceAccount", "name: u"),
    told(
        deployers({"kind": "ServiceAccount", "name": "Ci_Bot", "namespace": "ci"}),
        "guards.deployers[0].name",
        '"Ci_Bot"',
        fixed=deployers({"kind": "ServiceAccount", "name": "ci.bot", "namespace": "ci"}),
    ),
    told(deployers(USER | {"namespace": "n"}), "guards.deployers[0].namespace", "User", fixed=deployers(USER)),
    told(
        deployers(USER, USER),
        "guards.deployers[1]",
        'User "u"',
        "guards.deployers[0]",
        fixed=deployers(USER),
    ),
    *(
        pasted(deployers({"kind": "Group", "name": name}), "guards.deployers[0]", name)
        for name in ("system:authenticated", "system:serviceaccounts", "system:serviceaccounts:agent-system")
    ),
    *(
        pasted(controllers(given), "guards.controllers[0]", f'"{word}"', nearest)
        for word, nearest in (
            ("argo", "argo-workflows"),
            ("sandbox", "agent-sandbox"),
            ("Tekton-Pipelines", "tekton"),
            ("kube-ray", "kuberay"),
            ("tool-hive", "toolhive"),
            ("knative", "knative-serving"),
        )
        for given in (word, {"name": word, "namespace": "x"})
    ),
    pasted(controllers("x"), "guards.controllers[0]", '"x"'),
    told(
        controllers({"name": "keda", "agents": ["b"]}),
        "guards.controllers[0].agents[0]",
        '"b"',
        fixed=controllers({"name": "keda", "agents": ["a"]}),
    ),
    told(
        controllers("keda", {"name": "keda", "agents": ["a"]}),
        "guards.controllers[1]",
        "keda/keda-operator",
        "guards.controllers[0]",
        fixed=controllers("keda", {"name": "keda", "namespace": "scaling"}),
    ),
    told(
        guards(
            controllers=["jobset", "keda"],
            deployers=[USER, {"kind": "ServiceAccount", "name": "keda-operator", "namespace": "keda"}],
        ),
        "guards.controllers[1]",
        "keda/keda-operator",
        "guards.deployers[1]",
        fixed=guards(controllers=["keda"], deployers=[USER]),
    ),
    pasted(controllers({"name": "keda", "namespace": "agent-system"}), "guards.controllers[0]", "agent-system"),
    by_schema(controllers({"namespace": "x"}), "/guards/controllers/0", "name"),
    by_schema(controllers({"name": "keda", "kinds": []}), "/guards/controllers/0", "kinds"),
    pasted(trusted({"kind": "ServiceAccount", "name": "u"}), "trustedSubjects[0]", "ServiceAccount", "name: u"),
    told(trusted(USER | {"namespace": "n"}), "trustedSubjects[0].namespace", "User", fixed=trusted(USER)),
    *(
        pasted(trusted({"kind": "Group", "name": name}), "trustedSubjects[0]", name)
        for name in ("system:authenticated", "system:unauthenticated", "system:serviceaccounts:agent-system")
    ),
    by_schema({"trustedSubjects": [USER]}, "/trustedSubjects/0", "reason"),
    *(
        pasted(deployers({"kind": kind, "name": name}), "guards.deployers[0]", name)
        for kind, name in (("User", "system:anonymous"), ("Group", "system:unauthenticated"))
    ),
    *(
        pasted(deployers(subject), "guards.deployers[0]", "agent-system")
        for subject in (
            {"kind": "ServiceAccount", "name": "pipeline", "namespace": "agent-system"},
            {"kind": "ServiceAccount", "name": "a", "namespace": "agent-system"},
            {"kind": "User", "name": "system:serviceaccount:agent-system:pipeline"},
        )
    ),
    told(
        {"agents": {"a": {}}, "adoptServiceAccounts": ["a", "b"]},
        "adoptServiceAccounts[1]",
        '"b"',
        fixed={"agents": {"a": {}}, "adoptServiceAccounts": ["a"]},
    ),
    *(
        pasted(guards() | {"namespaceOverride": name}, "namespaceOverride", name)
        for name in ("kube-system", "kube-public", "kube-node-lease")
    ),
    Invalid(
        guards(shortTokens={"enabled": True}),
        Refusal("guards.shortTokens.enabled", ("v1.35.4", "1.36")),
        target=Target(kube_version="1.35.4"),
    ),
    by_schema(guards(exec={"validationActions": []}), "/guards/exec/validationActions"),
    by_schema(guards(exce={}), "/guards", "exce"),
    by_schema(guards(tokens={"maxSeconds": 600}), "/guards/tokens/maxSeconds", "minimum"),
    by_schema(guards(shortTokens={"enabled": "yes"}), "/guards/shortTokens/enabled"),
]


# ---- clouds

ROLE = "arn:aws:iam::111122223333:role/a"
CLIENT, TENANT = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
AWS = {"aws": {"roleArn": ROLE}}


def running(**fields: Any) -> Json:
    """One agent that runs pods."""
    return agent(**({"workload": {"image": "x:1"}} | fields))


CLOUD = [
    pasted(running(cloud={"aws": {}}), "agents.a.cloud.aws", "roleArn"),
    pasted(running(cloud={"azure": {}}), "agents.a.cloud.azure", "clientId"),
    told(
        running(cloud=AWS | {"awsPodIdentity": True}),
        "agents.a.cloud",
        "aws",
        "awsPodIdentity",
        fixed=running(cloud={"awsPodIdentity": True}),
    ),
    pasted(
        running(cloud=AWS, serviceAccount={"create": False, "name": "a"}),
        "agents.a.cloud.aws",
        "roleArn",
        "serviceAccount.create: false",
    ),
    told(
        running(cloud=AWS, annotations={"eks.amazonaws.com/role-arn": "x"}),
        "agents.a.annotations",
        '"eks.amazonaws.com/role-arn"',
        fixed=running(cloud=AWS),
    ),
    told(
        running(
            cloud={"azure": {"clientId": CLIENT}},
            workload={"image": "x", "podLabels": {"azure.workload.identity/use": "false"}},
        ),
        "agents.a.workload.podLabels",
        '"azure.workload.identity/use"',
        fixed=running(cloud={"azure": {"clientId": CLIENT}}),
    ),
    told(
        running(tokens={"x": {"audience": "x"}, "z": {"audience": "z", "path": "x"}}),
        "agents.a.tokens.z",
        '"x"',
        "agents.a.tokens.x",
        fixed=running(tokens={"x": {"audience": "x"}, "z": {"audience": "z", "path": "y"}}),
    ),
    pasted(
        running(tokens={"x": {"audience": "x", "expirationSeconds": 3607}}),
        "agents.a.tokens.x.expirationSeconds",
        "3607",
    ),
    told(
        running(workload={"image": "x", "volumes": [{"name": "agent-tokens"}]}),
        "agents.a.workload.volumes[0].name",
        '"agent-tokens"',
        fixed=running(workload={"image": "x", "volumes": [{"name": "other", "emptyDir": {}}]}),
    ),
    by_schema(running(cloud={"aws": {"roleArn": "admin"}}), "/agents/a/cloud/aws/roleArn"),
    by_schema(running(cloud={"oracle": {}}), "/agents/a/cloud", "oracle"),
    by_schema(running(tokens={"x": {}}), "/agents/a/tokens/x", "audience"),
    by_schema(running(tokens={"x": {"audience": "x", "path": "../x"}}), "/agents/a/tokens/x/path"),
    by_schema(
        running(tokens={"x": {"audience": "x", "expirationSeconds": 86401}}), "/agents/a/tokens/x/expirationSeconds"
    ),
]


def invalid_values() -> list[Invalid]:
    """All of every part of the chart."""
    wide = [
        pasted(open_to(cidr), "network.destinations.d.to[0].ipBlock", cidr) for cidr, refused in WIDE_BLOCKS if refused
    ]
    return [*VALUES, *LIFECYCLE, *NAMES, *UNUSABLE, *NETWORK, *GUARDS, *CLOUD, *wide]


def reachable_blocks() -> dict[str, Json]:
    """Block -> values with an agent that may reach it: valid."""
    return {cidr: open_to(cidr) for cidr, refused in WIDE_BLOCKS if not refused}
