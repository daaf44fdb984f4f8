"""All guards at once, against people with the built-in roles edit and admin, stolen tokens, and impersonation.

Each attack is a request that RBAC allows: without its guard, the API server accepts it. Beside the attacks stand the
requests of the same people that change no agent, and everything that has to go on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

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
SECRET_TYPE = "kubernetes.io/service-account-token"
SECRET_NAME = "kubernetes.io/service-account.name"
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
        "guards": {"enabled": guards},
    }


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


def token_secret(account: str) -> Json:
    return {"metadata": {"name": "planted", "annotations": {SECRET_NAME: account}}, "type": SECRET_TYPE}


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


@pytest.fixture(scope="module")
def place(server: Server, cluster: Cluster, chart: Path, helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(server, cluster, chart, helm, tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def border(place: Place) -> Iterator[Border]:
    with installed(place, guards=True) as made:
        eventually(lambda: refused_by(made, "default-account", made.create("eve", "pods", pod(None))))
        yield made


@pytest.fixture(scope="module")
def open_border(place: Place) -> Iterator[Border]:
    """The same release and the same people, without guards."""
    with installed(place, guards=False) as made:
        yield made


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


def record(border: Border) -> Json:
    return border.admin.get(border.path("secrets", "sh.helm.release.v1.agents.v1", keep=True))


def bindings_of_bot(border: Border) -> str:
    found = border.admin.items(border.path("rolebindings", group=RBAC, keep=True))
    return next(str(item["metadata"]["name"]) for item in found if "bot:reader" in item["metadata"]["name"])


Act = Callable[[Border], Answer]
OTHER_RULES: Json = {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}]}
VIEW = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
HELM = {"owner": "helm", "name": "agents", "status": "deployed", "version": "9"}
WIDER = {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create"]}]}

ATTACKS: dict[str, tuple[str, Act]] = {
    # what no value names
    "an account for an agent of tomorrow": (
        "accounts",
        lambda b: b.create("eve", "serviceaccounts", {"metadata": {"name": "triage-9"}}),
    ),
    "a token Secret for an account that does not exist": (
        "token-secrets",
        lambda b: b.create("eve", "secrets", token_secret("triage-9")),
    ),
    "a token Secret, by the namespace's administrator": (
        "token-secrets",
        lambda b: b.create("adam", "secrets", token_secret("default")),
    ),
    "a Deployment as an agent of tomorrow": (
        "run-as",
        lambda b: b.create("eve", "deployments", deployment("triage-9"), APPS),
    ),
    "a token of an account that no value names": (
        "tokens",
        lambda b: b.create("eve", "serviceaccounts/default/token", {"spec": {}}),
    ),
    "a token of an agent": ("tokens", lambda b: b.create("adam", "serviceaccounts/bot/token", {"spec": {}})),
    "a binding of an account that no value names": (
        "bindings",
        lambda b: b.create(
            "adam",
            "rolebindings",
            {
                "metadata": {"name": "b"},
                "roleRef": VIEW,
                "subjects": [{"kind": "ServiceAccount", "name": "triage-9", "namespace": b.namespace}],
            },
            RBAC,
        ),
    ),
    # the account
    "another cloud role": (
        "accounts",
        lambda b: b.merge(
            "eve", "serviceaccounts", "bot", {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "arn:x"}}}
        ),
    ),
    "automount": (
        "accounts",
        lambda b: b.merge("eve", "serviceaccounts", "bot", {"automountServiceAccountToken": True}),
    ),
    "image pull secrets": (
        "accounts",
        lambda b: b.merge("eve", "serviceaccounts", "bot", {"imagePullSecrets": [{"name": "mine"}]}),
    ),
    "a finalizer on the account": (
        "accounts",
        lambda b: b.merge("eve", "serviceaccounts", "bot", {"metadata": {"finalizers": ["example.com/keep"]}}),
    ),
    "the account's label": (
        "accounts",
        lambda b: b.merge("eve", "serviceaccounts", "bot", {"metadata": {"labels": {LABEL: "triage"}}}),
    ),
    # roles and bindings
    "the rules of a tier": ("roles", lambda b: b.merge("adam", "roles", "reader-role", OTHER_RULES, RBAC)),
    "the rules of a tier in another namespace": (
        "roles",
        lambda b: b.merge("anna", "roles", f"{b.namespace}:agents:reader-role", OTHER_RULES, RBAC, namespace=b.team),
    ),
    "an existing role that does not exist": (
        "roles",
        lambda b: b.create("adam", "roles", {"metadata": {"name": "made-later"}, **OTHER_RULES}, RBAC),
    ),
    "the rules of a ClusterRole of the release": (
        "roles",
        lambda b: merge(
            b.people["owner"], f"{RBAC}/clusterroles/{b.namespace}:agents:everywhere-role?dryRun=All", WIDER
        ),
    ),
    "the rules of an existing ClusterRole": (
        "roles",
        lambda b: b.people["owner"].request(
            "POST", f"{RBAC}/clusterroles?dryRun=All", {"metadata": {"name": f"shared-{b.team}"}, **WIDER}
        ),
    ),
    "a finalizer on a binding": (
        "bindings-finalizers",
        lambda b: b.merge(
            "adam", "rolebindings", bindings_of_bot(b), {"metadata": {"finalizers": ["example.com/keep"]}}, RBAC
        ),
    ),
    "a binding that waits for its dependents": (
        "bindings-finalizers",
        lambda b: b.remove("adam", "rolebindings", bindings_of_bot(b), RBAC, propagationPolicy="Foreground"),
    ),
    "a binding that orphans its dependents": (
        "bindings-finalizers",
        lambda b: b.remove("adam", "rolebindings", bindings_of_bot(b), RBAC, propagationPolicy="Orphan"),
    ),
    "a binding that orphans its dependents, in the old spelling": (
        "bindings-finalizers",
        lambda b: b.remove("adam", "rolebindings", bindings_of_bot(b), RBAC, orphanDependents=True),
    ),
    # what an agent trusts
    "another CA": (
        "trust-anchor",
        lambda b: b.merge("eve", "configmaps", "kube-root-ca.crt", {"data": {"ca.crt": "hers"}, "immutable": True}),
    ),
    "another CA, by a stolen agent": (
        "trust-anchor",
        lambda b: b.merge("stolen", "configmaps", "kube-root-ca.crt", {"data": {"ca.crt": "its"}}),
    ),
    "a Service in the place of the API server": (
        "trust-anchor",
        lambda b: b.create("eve", "services", {"metadata": {"name": "kubernetes"}, "spec": {"ports": [{"port": 443}]}}),
    ),
    # the network
    "a policy that opens all": (
        "network-policies",
        lambda b: b.create("eve", "networkpolicies", network_policy(), NETWORK),
    ),
    "without the policy of a quarantine": (
        "network-policies",
        lambda b: b.remove("eve", "networkpolicies", quarantine_policy(b), NETWORK),
    ),
    "a pod without its label": (
        "labels",
        lambda b: b.merge("eve", "pods", bots_pod(b), {"metadata": {"labels": {LABEL: None}}}),
    ),
    "a pod with another agent's label": (
        "labels",
        lambda b: b.merge("eve", "pods", bots_pod(b), {"metadata": {"labels": {LABEL: "triage"}}}),
    ),
    "into the pods by a Service": (
        "exec",
        lambda b: b.people["eve"].request("GET", b.path("services", "mine:8080/proxy/", keep=True)),
    ),
    # Helm's record
    "the record": (
        "records",
        lambda b: b.people["eve"].request(
            "PUT", b.path("secrets", "sh.helm.release.v1.agents.v1"), record(b) | {"data": {"release": "aGVycw=="}}
        ),
    ),
    "without the record": ("records", lambda b: b.remove("eve", "secrets", "sh.helm.release.v1.agents.v1")),
    "a record of the next revision": (
        "records",
        lambda b: b.create("eve", "secrets", {"metadata": {"name": "sh.helm.release.v1.agents.v9"}}),
    ),
    "a record under another name": (
        "records",
        lambda b: b.create("eve", "secrets", {"metadata": {"name": "harmless", "labels": HELM}}),
    ),
    "a record in a ConfigMap": (
        "records",
        lambda b: b.create("eve", "configmaps", {"metadata": {"name": "harmless", "labels": HELM}}),
    ),
    # by impersonation
    "as an agent, by impersonation": ("impersonation", lambda b: b.create("eve as triage", "configmaps", configmap())),
    "a pod as the agent that is impersonated": ("run-as", lambda b: b.create("eve as shopper", "pods", pod("shopper"))),
    # earlier revisions
    "a rollback by annotation": (
        "run-as-revisions",
        lambda b: b.merge(
            "eve", "deployments", "bot", {"metadata": {"annotations": {"deprecated.deployment.rollback.to": "1"}}}, APPS
        ),
    ),
    "a ReplicaSet without its owner": (
        "run-as-revisions",
        lambda b: b.merge("eve", "replicasets", replicaset(b), {"metadata": {"ownerReferences": None}}, APPS),
    ),
    "a ReplicaSet with other labels": (
        "run-as-revisions",
        lambda b: b.merge("eve", "replicasets", replicaset(b), {"metadata": {"labels": {"app": "x"}}}, APPS),
    ),
    "more replicas of a ReplicaSet": (
        "run-as-revisions",
        lambda b: b.merge("eve", "replicasets", replicaset(b), {"spec": {"replicas": 7}}, APPS),
    ),
    "more replicas of a ReplicaSet, by its scale": (
        "run-as-revisions",
        lambda b: b.merge("eve", "replicasets", f"{replicaset(b)}/scale", {"spec": {"replicas": 7}}, APPS),
    ),
    "without the ReplicaSet of the current revision": (
        "run-as-revisions",
        lambda b: b.remove("eve", "replicasets", replicaset(b), APPS),
    ),
    "a paused Deployment": (
        "run-as-revisions",
        lambda b: b.merge("eve", "deployments", "bot", {"spec": {"paused": True}}, APPS),
    ),
    "a new paused Deployment": (
        "run-as-revisions",
        lambda b: b.create("eve", "deployments", deployment("default", paused=True), APPS),
    ),
}


def replicaset(border: Border) -> str:
    return str(border.admin.items(border.path("replicasets", group=APPS, keep=True))[0]["metadata"]["name"])


def quarantine_policy(border: Border) -> str:
    return str(border.admin.items(border.path("networkpolicies", group=NETWORK, keep=True))[0]["metadata"]["name"])


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_guard_refuses(border: Border, attack: str) -> None:
    guard, act = ATTACKS[attack]
    answer = act(border)
    assert refused_by(border, guard, answer), answer


@pytest.mark.parametrize("attack", ATTACKS)
def test_without_guards_the_api_server_accepts_the_attack(open_border: Border, attack: str) -> None:
    _, act = ATTACKS[attack]
    status, answer = act(open_border)
    connected = status == 404 and 'services "mine" not found' in answer["message"]  # after all admission
    assert status in (200, 201) or connected, answer


HPA = "/apis/autoscaling/v2"
AUTOSCALER = {
    "metadata": {"name": "bot"},
    "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "bot"}, "maxReplicas": 2},
}
PERSON = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "somebody"}
NEW_IMAGE = {"spec": {"template": {"spec": {"containers": [{"name": "agent", "image": f"{IMAGE}:2"}]}}}}
LIFE: dict[str, Act] = {
    "a ConfigMap": lambda b: b.create("eve", "configmaps", configmap()),
    "a Secret": lambda b: b.create("eve", "secrets", {"metadata": {"name": "s"}}),
    "a record of another release": lambda b: b.create(
        "eve", "secrets", {"metadata": {"name": "sh.helm.release.v1.other.v1", "labels": HELM | {"name": "other"}}}
    ),
    "a Service": lambda b: b.create(
        "eve", "services", {"metadata": {"name": "bot"}, "spec": {"ports": [{"port": 80}], "selector": {LABEL: "bot"}}}
    ),
    "scale": lambda b: b.merge("eve", "deployments", "bot/scale", {"spec": {"replicas": 3}}, APPS),
    "replicas": lambda b: b.merge("eve", "deployments", "bot", {"spec": {"replicas": 3}}, APPS),
    "an autoscaler": lambda b: b.create("eve", "horizontalpodautoscalers", AUTOSCALER, HPA),
    "an annotation of a Deployment": lambda b: b.merge(
        "eve", "deployments", "bot", {"metadata": {"annotations": {"x": "y"}}}, APPS
    ),
    "a pod that is deleted": lambda b: b.remove("eve", "pods", bots_pod(b)),
    "a Deployment that is deleted": lambda b: b.remove("eve", "deployments", "bot", APPS),
    "an account that is deleted": lambda b: b.remove("eve", "serviceaccounts", "bot"),
    "a label of a pod": lambda b: b.merge("eve", "pods", bots_pod(b), {"metadata": {"labels": {"x": "y"}}}),
    "a person's rights": lambda b: b.create(
        "adam", "rolebindings", {"metadata": {"name": "p"}, "roleRef": VIEW, "subjects": [PERSON]}, RBAC
    ),
    "an agent that loses its rights": lambda b: b.remove("adam", "rolebindings", bindings_of_bot(b), RBAC),
    "a Role in another namespace": lambda b: b.create(
        "anna", "roles", {"metadata": {"name": "reader-role"}, **WIDER}, RBAC, namespace=b.team
    ),
    "a pod in another namespace": lambda b: b.create("anna", "pods", pod(None), namespace=b.team),
    "a network policy in another namespace": lambda b: b.create(
        "anna", "networkpolicies", network_policy(), NETWORK, namespace=b.team
    ),
    "a ClusterRole": lambda b: b.people["owner"].request(
        "POST", f"{RBAC}/clusterroles?dryRun=All", {"metadata": {"name": "mine"}, **WIDER}
    ),
    "an agent's own write": lambda b: b.create("stolen", "configmaps", configmap()),
    "an agent's pod of itself": lambda b: b.create("stolen", "pods", pod("triage", automountServiceAccountToken=False)),
    "a proxied agent's write, by the proxy": lambda b: b.create("proxy as shopper", "configmaps", configmap()),
    "another image by a deployer": lambda b: b.merge("runner", "deployments", "bot", NEW_IMAGE, APPS),
    "rollout pause by a deployer": lambda b: b.merge("runner", "deployments", "bot", {"spec": {"paused": True}}, APPS),
    "rollout restart by a deployer": lambda b: b.merge(
        "runner",
        "deployments",
        "bot",
        {"spec": {"template": {"metadata": {"annotations": {"restartedAt": "x"}}}}},
        APPS,
    ),
    "a pod by a deployer": lambda b: b.create("runner", "pods", pod("bot")),
    "the administrator's policy": lambda b: b.admin.request(
        "POST", b.path("networkpolicies", group=NETWORK), network_policy()
    ),
}


@pytest.mark.parametrize("request_", LIFE)
def test_what_changes_no_agent_goes_on(border: Border, request_: str) -> None:
    status, answer = LIFE[request_](border)
    assert status in (200, 201), answer


def test_an_add_on_of_kube_system_is_no_controller(border: Border) -> None:
    """F10: its account is in kube-system, and holds `edit` here."""
    accounts = "/api/v1/namespaces/kube-system/serviceaccounts"
    border.admin.create(accounts, {"metadata": {"name": border.namespace}})
    try:
        user = f"system:serviceaccount:kube-system:{border.namespace}"
        bind(border.admin, user, "edit", border.namespace)
        add_on = border.admin.with_token(border.admin.token("kube-system", border.namespace))
        eventually(lambda: add_on.request("POST", border.path("configmaps"), configmap())[0] == 201)
        assert refused_by(border, "run-as", add_on.request("POST", border.path("pods"), pod("bot")))
    finally:
        border.admin.delete(f"{accounts}/{border.namespace}")


def test_controllers_and_the_garbage_collector_go_on(border: Border) -> None:
    """A rollout, and a Deployment that leaves its ReplicaSets; the objects of a new namespace come again."""
    admin, runner = border.admin, border.people["runner"]
    path = border.path("deployments", group=APPS, keep=True)
    runner.create(path, deployment("bot", "rolled", replicas=1))
    found = f"{border.path('pods', keep=True)}?labelSelector=app%3Drolled"
    eventually(lambda: admin.items(found))
    assert merge(runner, f"{path}/rolled", {"spec": {"replicas": 2}})[0] == 200
    eventually(lambda: len(admin.items(found)) == 2)
    sets = f"{border.path('replicasets', group=APPS, keep=True)}?labelSelector=app%3Drolled"
    assert border.people["eve"].request("DELETE", f"{path}/rolled", {"propagationPolicy": "Orphan"})[0] == 200
    eventually(lambda: all("ownerReferences" not in one["metadata"] for one in admin.items(sets)))
    for one in admin.items(sets):
        name = border.path("replicasets", one["metadata"]["name"], APPS, keep=True)
        assert runner.request("DELETE", name, {"propagationPolicy": "Foreground"})[0] == 200
    eventually(lambda: admin.items(found) == [])
    for resource, object_ in (("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default")):
        at = border.path(resource, object_, keep=True)
        before = admin.get(at)["metadata"]["uid"]
        assert border.people["eve"].request("DELETE", at)[0] == 200
        eventually(partial(comes_again, admin, at, before))


def comes_again(admin: Server, path: str, before: str) -> bool:
    """Whether there is an object again, and not the one with this uid."""
    status, answer = admin.request("GET", path)
    return status == 200 and bool(answer["metadata"]["uid"] != before)


def orphan_then_adopt(border: Border, adopter: Json) -> Answer:
    """An earlier revision of an agent at 0 replicas, and a paused Deployment whose selector finds it."""
    path = border.path("deployments", group=APPS, keep=True)
    border.admin.create(path, deployment("bot", "left"))
    sets = f"{border.path('replicasets', group=APPS, keep=True)}?labelSelector=app%3Dleft"
    eventually(lambda: border.admin.items(sets))
    border.admin.request("DELETE", f"{path}/left", {"propagationPolicy": "Orphan"})
    eventually(lambda: all("ownerReferences" not in one["metadata"] for one in border.admin.items(sets)))
    return border.people["eve"].request("POST", path, adopter)


def test_a_paused_deployment_cannot_run_an_earlier_revision_as_an_agent(border: Border, open_border: Border) -> None:
    adopter = deployment("default", "left", replicas=1, paused=True)
    assert refused_by(border, "run-as-revisions", orphan_then_adopt(border, adopter))
    assert orphan_then_adopt(open_border, adopter)[0] == 201
    pods = f"{open_border.path('pods', keep=True)}?labelSelector=app%3Dleft"
    (found,) = eventually(lambda: open_border.admin.items(pods))
    assert found["spec"]["serviceAccountName"] == "bot"


def test_a_release_of_another_namespace_shows_and_gives_nothing_to_users_of_the_agents_namespace(place: Place) -> None:
    """F2 and F10: Helm's record and the guards' verbs are in the namespace of the release."""
    server, cluster = place.server, place.cluster
    with own_namespace(server) as namespace:
        server.make_namespace(namespace)
        release = Release(
            place.helm, place.chart, "agents", f"{namespace}-release", cluster.kubeconfig, cluster.context
        )
        overrides = {"namespaceOverride": namespace, "agents": {"bot": {}}, "guards": {"enabled": True}}
        try:
            release.install(Values(overrides=overrides))
            name = f"everything-{namespace}"
            root = person(server, name, place.folder)
            path = f"{RBAC}/namespaces/{namespace}"
            rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
            server.create(f"{path}/roles", {"metadata": {"name": name}, "rules": rules})
            ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
            subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}
            server.create(f"{path}/rolebindings", {"metadata": {"name": name}, "roleRef": ref, "subjects": [subject]})
            pods, secrets = f"/api/v1/namespaces/{namespace}/pods", f"/api/v1/namespaces/{namespace}/secrets"
            eventually(lambda: root.request("GET", secrets)[0] == 200)
            assert not [one for one in root.items(secrets) if one["type"].startswith("helm.sh")]
            eventually(
                lambda: f"'agents.{namespace}.run-as'" in root.request("POST", pods, pod("bot"))[1].get("message", "")
            )
            token = f"/api/v1/namespaces/{namespace}/serviceaccounts/bot/token"
            assert f"'agents.{namespace}.tokens'" in root.request("POST", token, {"spec": {}})[1]["message"]
            assert root.request("GET", secrets.replace(namespace, f"{namespace}-release"))[0] == 403
        finally:
            server.delete(f"/api/v1/namespaces/{namespace}-release")
