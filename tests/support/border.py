"""A release with all guards, and the people around it, each with credentials of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support.guarded import pod
from support.namespaces import own_namespace
from support.people import bind, person
from support.server import RBAC, Json, Server, eventually

IMAGE = "registry.example/agent"
APPS = "/apis/apps/v1"
NETWORK = "/apis/networking.k8s.io/v1"
LABEL = "agent-identities/agent"
MERGE = "application/merge-patch+json"
CONFIGMAPS = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create", "patch"]}
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}
Answer = tuple[int, Json]


def values(team: str, *, guards: bool) -> Json:
    reader = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    risks = {"pod-create": "a test", "configmap-write": "a test"}
    unread = {"existing-role-unknown": "a test"}
    return {
        "tiers": {
            "reader": {"rules": reader},
            "writer": {"rules": [CONFIGMAPS, PODS], "acceptRisks": risks},
            "later": {"existingRole": {"kind": "Role", "name": "made-later"}, "acceptRisks": unread},
            "shared": {
                "scope": "Cluster",
                "existingRole": {"kind": "ClusterRole", "name": f"shared-{team}"},
                "acceptRisks": unread,
            },
            "everywhere": {"scope": "Cluster", "rules": reader},
        },
        "agents": {
            "bot": {"tiers": ["reader", "later", "shared", "everywhere"], "workload": {"image": f"{IMAGE}:1"}},
            "triage": {"tiers": ["writer"], "namespaces": {team: ["reader"]}},
            "shopper": {"access": "proxied", "tiers": ["writer"]},
            "suspect": {"quarantined": True},
        },
        "guards": {"enabled": guards, "tokens": {"meshes": ["istio", "linkerd"]}},
    }


OTHER_CONTROLLERS = (
    "system:kube-controller-manager",
    "system:serviceaccount:openshift-infra:serviceaccount-pull-secrets-controller",
    "eks:vpc-resource-controller",
    "system:cluster-autoscaler",
    "system:serviceaccount:kube-system:cluster-autoscaler",
    "system:serviceaccount:kube-system:vpa-updater",
    "system:serviceaccount:istio-system:istio-cni",
    "system:serviceaccount:cert-manager:cert-manager",
)
"""Published names of controllers that are not part of Kubernetes, and of its controllers without own accounts."""


@dataclass(frozen=True, slots=True)
class Border:
    """A release with all guards in force, and the people around it, each with credentials of their own."""

    release: Release
    admin: Server
    people: dict[str, Server]
    team: str

    @property
    def namespace(self) -> str:
        return self.release.namespace

    def path(
        self, resource: str, name: str = "", group: str = "/api/v1", *, namespace: str = "", keep: bool = False
    ) -> str:
        end = f"/{name}" if name else ""
        where = namespace or self.namespace
        return f"{group}/namespaces/{where}/{resource}{end}{'' if keep else '?dryRun=All'}"

    def create(self, who: str, resource: str, body: Json, group: str = "/api/v1", **where: Any) -> Answer:
        return self.people[who].request("POST", self.path(resource, group=group, **where), body)

    def merge(self, who: str, resource: str, name: str, body: Json, group: str = "/api/v1", **where: Any) -> Answer:
        return merge(self.people[who], self.path(resource, name, group, **where), body)

    def remove(self, who: str, resource: str, name: str, group: str = "/api/v1", **options: Any) -> Answer:
        return self.people[who].request("DELETE", self.path(resource, name, group), {"dryRun": ["All"], **options})


def merge(server: Server, path: str, body: Json) -> Answer:
    """A JSON merge patch."""
    headers = server.headers | {"Content-Type": MERGE}
    response = server.client.session.patch(server.client.url + path, json=body, headers=headers, timeout=30)
    return response.status_code, response.json()


def refused_by(border: Border, guard: str, answer: Answer) -> bool:
    """Whether this guard refused the request: the answer names the first policy that did."""
    status, body = answer
    return status == 403 and f"ValidatingAdmissionPolicy 'agents.{border.namespace}.{guard}'" in body.get("message", "")


def deployment(account: str, name: str = "mine", image: str = f"{IMAGE}:9", **spec: Any) -> Json:
    made = pod(account)
    made["spec"]["containers"][0]["image"] = image
    template = {"metadata": {"labels": {"app": name}}, "spec": made["spec"]}
    selector = {"matchLabels": {"app": name}}
    return {"metadata": {"name": name}, "spec": {"replicas": 0, "selector": selector, "template": template, **spec}}


def configmap(name: str = "state") -> Json:
    return {"metadata": {"name": name}, "data": {"a": "b"}}


def network_policy() -> Json:
    return {"metadata": {"name": "open"}, "spec": {"podSelector": {}, "egress": [{}], "policyTypes": ["Egress"]}}


@dataclass(frozen=True, slots=True)
class Place:
    """What an installation needs."""

    server: Server
    cluster: Cluster
    chart: Path
    helm: Helm
    folder: Path


@contextmanager
def installed(place: Place, *, guards: bool) -> Iterator[Border]:
    server, cluster = place.server, place.cluster
    with own_namespace(server) as namespace:
        team = f"{namespace}-team"
        release = Release(place.helm, place.chart, "agents", namespace, cluster.kubeconfig, cluster.context)
        server.make_namespace(namespace)
        server.make_namespace(team)
        try:
            release.install(Values(overrides=values(team, guards=guards)), create_namespace=False)
            made = Border(release, server, people(server, namespace, team, place.folder), team)
            own_every_role(made)
            eventually(lambda: made.create("adam", "configmaps", configmap())[0] == 201)
            eventually(lambda: made.create("anna", "configmaps", configmap(), namespace=team)[0] == 201)
            eventually(lambda: bots_pod(made))
            yield made
        finally:
            server.delete(f"/api/v1/namespaces/{team}")


def people(server: Server, namespace: str, team: str, folder: Path) -> dict[str, Server]:
    """eve has `edit` in the agents' namespace, adam has `admin`, and anna has `admin` in another namespace."""
    made = {name: person(server, f"{name}-{namespace}", folder) for name in ("eve", "adam", "anna", "owner", "runner")}
    for name, role, where in (("eve", "edit", namespace), ("adam", "admin", namespace), ("anna", "admin", team)):
        bind(server, f"{name}-{namespace}", role, where)
    bind(server, f"runner-{namespace}", "edit", namespace)
    for name in OTHER_CONTROLLERS:
        bind(server, name, "edit", namespace)
    made["stolen"] = server.with_token(server.token(namespace, "triage"))
    made["proxy"] = server.with_token(server.token(namespace, "agent-proxy"))
    for name in ("triage", "shopper"):
        account = {"Impersonate-User": f"system:serviceaccount:{namespace}:{name}"}
        made[f"eve as {name}"] = Server(made["eve"].client, account)
        made[f"proxy as {name}"] = Server(made["proxy"].client, account)
    return made


def own_every_role(border: Border) -> None:
    """The owner may write every Role and ClusterRole of the cluster, but not the guards. The runner may use agents."""
    every = [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["*"]}]
    use = [{"apiGroups": ["agent-identities"], "resources": [f"agents/{border.namespace}"], "verbs": ["use"]}]
    group = "rbac.authorization.k8s.io"
    for who, kind, path, rules in (
        ("owner", "ClusterRole", RBAC, every),
        ("runner", "Role", f"{RBAC}/namespaces/{border.namespace}", use),
    ):
        name = f"{who}-{border.namespace}"
        meta = {"name": name, "labels": {"test": border.namespace}}
        border.admin.create(f"{path}/{kind.lower()}s", {"metadata": meta, "rules": rules})
        subject = {"apiGroup": group, "kind": "User", "name": name}
        ref = {"apiGroup": group, "kind": kind, "name": name}
        border.admin.create(f"{path}/{kind.lower()}bindings", {"metadata": meta, "roleRef": ref, "subjects": [subject]})
    path = f"{RBAC}/clusterroles?dryRun=All"
    eventually(lambda: border.people["owner"].request("POST", path, {"metadata": {"name": "x"}, "rules": []})[0] == 201)


def bots_pod(border: Border) -> str:
    path = f"/api/v1/namespaces/{border.namespace}/pods?labelSelector=agent-identities/agent%3Dbot"
    return next((item["metadata"]["name"] for item in border.admin.items(path)), "")


def bindings_of_bot(border: Border) -> str:
    found = border.admin.items(border.path("rolebindings", group=RBAC, keep=True))
    return next(str(item["metadata"]["name"]) for item in found if "bot:reader" in item["metadata"]["name"])
