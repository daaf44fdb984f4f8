"""Who can become an agent: verify names each planted way, and each of them works on the API server."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from agent_identities.chart import values
from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from agent_identities.declaration import Declaration, declare
from agent_identities.inventory.accounts import read_accounts
from agent_identities.inventory.guards import Guards
from agent_identities.inventory.objects import read_objects
from agent_identities.inventory.read import read
from agent_identities.inventory.surroundings import read_guards, surroundings_on
from agent_identities.inventory.ways_in import target_of
from agent_identities.inventory.ways_report import CAN_BECOME
from agent_identities.kube.client import Api
from agent_identities.kube.fanout import fan_out
from agent_identities.kube.reviews import ask
from agent_identities.rbac import Policy, User
from agent_identities.rbac.request import AUTHENTICATED_GROUP, MASTERS_GROUP
from agent_identities.rbac.ways import Objects
from agent_identities.rbac.ways_in import ways_in
from agent_identities.verify.matrix import Matrix
from agent_identities.verify.run import verify
from support.certificates import KeyAndRequest, approve, issued, log_in, whoami
from support.guarded import pod
from support.namespaces import ADMISSION, own_namespace
from support.server import RBAC, Json, Server, eventually
from support.ways_strategies import requests_of_ways

AGENT: Final = "bot"
VALUES: Final[Json] = {"agents": {AGENT: {}, "other": {}, "shopper": {"access": "proxied"}}}
_RBAC_GROUP: Final = "rbac.authorization.k8s.io"
_CSR: Final = "certificates.k8s.io"


def rule(verbs: str, resources: str, group: str = "", *names: str) -> Json:
    made = {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}
    return made | ({"resourceNames": list(names)} if names else {})


@dataclass(frozen=True)
class Scene:
    """A release, and the users that are planted beside it."""

    server: Server
    namespace: str
    cluster: Cluster
    declaration: Declaration

    @property
    def core(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}"

    @property
    def agent(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{AGENT}"

    def user(self, way: str) -> str:
        return f"{way}@{self.namespace}"

    def verified(self) -> Matrix:
        with Api(self.cluster.access) as api:
            return verify(api, self.declaration)


Act = Callable[[Scene, Server], object]


def impersonates(scene: Scene, me: Server) -> bool:
    return whoami(me.as_user(scene.agent)) == scene.agent


def impersonates_a_group(scene: Scene, me: Server) -> bool:
    return bool(me.as_user("alice", MASTERS_GROUP).names(f"{scene.core}/secrets"))


def requests_a_token(scene: Scene, me: Server) -> bool:
    return whoami(scene.server.with_token(me.token(scene.namespace, AGENT))) == scene.agent


def makes_a_token_secret(scene: Scene, me: Server) -> bool:
    annotations = {"kubernetes.io/service-account.name": AGENT}
    body = {"metadata": {"name": "t", "annotations": annotations}, "type": "kubernetes.io/service-account-token"}
    me.create(f"{scene.core}/secrets", body)
    eventually(lambda: "token" in me.get(f"{scene.core}/secrets/t").get("data", {}))
    return True


def runs_pods(scene: Scene, me: Server) -> bool:
    template = {"metadata": {"labels": {"app": "w"}}, "spec": pod(AGENT)["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "w"}}, "template": template}
    me.create(f"/apis/apps/v1/namespaces/{scene.namespace}/deployments", {"metadata": {"name": "w"}, "spec": spec})
    (made,) = eventually(lambda: scene.server.items(f"{scene.core}/pods?labelSelector=app%3Dw"))
    return bool(made["spec"]["serviceAccountName"] == AGENT)


def execs(scene: Scene, me: Server) -> bool:
    """There is no node: the request passes authorization and admission, and then finds no host."""
    if "p" not in scene.server.names(f"{scene.core}/pods"):
        scene.server.create(f"{scene.core}/pods", pod(AGENT))
    status, answer = me.request("POST", f"{scene.core}/pods/p/exec?command=id&stdout=true")
    return "does not have a host assigned" in answer.get("message", "") and status != 403


def changes_a_role(scene: Scene, me: Server) -> bool:
    path = f"{RBAC}/namespaces/{scene.namespace}/roles/agent-proxy-role"
    found = me.get(path)
    held = rule("get patch", "roles", _RBAC_GROUP, "agent-proxy-role")  # all rules of the new Role must be its own
    status, answer = me.request("PUT", path, {**found, "rules": [held]})
    assert status == 200, answer
    return True


def binds(scene: Scene, me: Server, role: Json, subject: Json) -> bool:
    body = {"metadata": {"generateName": "b-"}, "roleRef": {"apiGroup": _RBAC_GROUP, **role}, "subjects": [subject]}
    me.create(f"{RBAC}/namespaces/{scene.namespace}/rolebindings", body)
    return True


def binds_itself(scene: Scene, me: Server) -> bool:
    myself = {"apiGroup": _RBAC_GROUP, "kind": "User", "name": scene.user("escalate")}
    binds(scene, me, {"kind": "ClusterRole", "name": "edit"}, myself)
    token = f"{scene.core}/serviceaccounts/{AGENT}/token"
    return bool(eventually(lambda: me.request("POST", token, {"spec": {}})[0] == 201))


def binds_the_agent(scene: Scene, me: Server) -> bool:
    account = {"kind": "ServiceAccount", "name": AGENT, "namespace": scene.namespace}
    return binds(scene, me, {"kind": "Role", "name": "planted-bindings"}, account)


def patches(scene: Scene, me: Server, path: str, change: Json) -> bool:
    status, answer = me.patch(f"{scene.core}/{path}", change)
    assert status == 200, answer
    return True


def sends_pods_to_a_webhook(scene: Scene, me: Server) -> bool:
    webhook = {
        "name": "x.example.com",
        "clientConfig": {"url": "https://192.0.2.1/x"},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
    }
    path = f"{ADMISSION}/mutatingwebhookconfigurations?dryRun=All"
    me.create(path, {"metadata": {"name": scene.namespace}, "webhooks": [webhook]})
    return True


def gets_a_certificate(scene: Scene, me: Server) -> bool:
    made = KeyAndRequest(scene.agent)
    requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    me.create(requests, made.manifest)
    try:
        status, answer = approve(me, made.name)
        assert status == 200, answer
        return whoami(made.login(scene.server, issued(me, made.name))) == scene.agent
    finally:
        scene.server.delete(f"{requests}/{made.name}")


LABEL: Final[Json] = {"metadata": {"annotations": {"example.com/x": "y"}}}
RECORD: Final = "sh.helm.release.v1.agents.v1"
PLANTED: Final[dict[str, tuple[bool, tuple[Json, ...], Act]]] = {
    "impersonate": (False, (rule("impersonate", "serviceaccounts", "", AGENT),), impersonates),
    "impersonate-others": (
        True,
        (rule("impersonate", "groups", "", MASTERS_GROUP), rule("impersonate", "users", "", "alice")),
        impersonates_a_group,
    ),
    "tokens": (False, (rule("create", "serviceaccounts/token", "", AGENT),), requests_a_token),
    "token-secrets": (False, (rule("create", "secrets"), rule("get", "secrets", "", "t")), makes_a_token_secret),
    "pods": (False, (rule("create", "deployments", "apps"),), runs_pods),
    "exec": (False, (rule("create", "pods/exec"),), execs),
    "roles": (False, (rule("get update patch", "roles", _RBAC_GROUP, "agent-proxy-role"),), changes_a_role),
    "escalate": (
        False,
        (rule("create", "rolebindings", _RBAC_GROUP), rule("bind", "clusterroles", _RBAC_GROUP)),
        binds_itself,
    ),
    "bindings": (False, (rule("create", "rolebindings", _RBAC_GROUP),), binds_the_agent),
    "account": (
        False,
        (rule("patch", "serviceaccounts", "", AGENT),),
        partial(patches, path=f"serviceaccounts/{AGENT}", change=LABEL),
    ),
    "trust-anchor": (
        False,
        (rule("patch", "configmaps", "", "kube-root-ca.crt"),),
        partial(patches, path="configmaps/kube-root-ca.crt", change=LABEL),
    ),
    "helm-record": (
        False,
        (rule("patch", "secrets", "", RECORD),),
        partial(patches, path=f"secrets/{RECORD}", change=LABEL),
    ),
    "admission": (
        True,
        (rule("create", "mutatingwebhookconfigurations", "admissionregistration.k8s.io"),),
        sends_pods_to_a_webhook,
    ),
    "certificates": (
        True,
        (
            rule("create get", "certificatesigningrequests", _CSR),
            rule("update", "certificatesigningrequests/approval", _CSR),
            rule("approve", "signers", _CSR, "kubernetes.io/kube-apiserver-client"),
        ),
        gets_a_certificate,
    ),
}
"""A user for each way: whether the rules hold in the whole cluster, the rules, and the act."""


def plant(scene: Scene, name: str, rules: tuple[Json, ...], *, cluster_wide: bool) -> None:
    where = RBAC if cluster_wide else f"{RBAC}/namespaces/{scene.namespace}"
    kind = "ClusterRole" if cluster_wide else "Role"
    meta = {"name": f"planted-{name}" + (f"-{scene.namespace}" if cluster_wide else "")}
    ref = {"apiGroup": _RBAC_GROUP, "kind": kind, "name": meta["name"]}
    subject = {"apiGroup": _RBAC_GROUP, "kind": "User", "name": scene.user(name)}
    scene.server.create(f"{where}/{kind.lower()}s", {"metadata": meta, "rules": list(rules)})
    scene.server.create(f"{where}/{kind.lower()}bindings", {"metadata": meta, "roleRef": ref, "subjects": [subject]})


@pytest.fixture(scope="module")
def scene(server: Server, cluster: Cluster, chart: Path, helm: Helm) -> Iterator[Scene]:
    with own_namespace(server) as namespace:
        ours = Release(helm, chart, "agents", namespace, cluster.kubeconfig, cluster.context)
        ours.install(Values(overrides=VALUES))
        yield Scene(server, namespace, cluster, declare(values.load(chart, overrides=VALUES), namespace=namespace))


@pytest.fixture(scope="module")
def clean(scene: Scene) -> Matrix:
    """What verify finds before anything is planted."""
    return scene.verified()


@pytest.fixture(scope="module")
def planted(scene: Scene, clean: Matrix) -> Matrix:
    """What verify finds with a user for each way."""
    assert clean.ok
    for name, (cluster_wide, rules, _) in PLANTED.items():
        plant(scene, name, rules, cluster_wide=cluster_wide)
    return scene.verified()


def test_nobody_can_become_an_agent_of_a_new_install_except_administrators_and_kubernetes(clean: Matrix) -> None:
    assert clean.ok, clean.to_markdown()
    assert not clean.inventory.not_read
    text = clean.to_text()
    assert "Cluster administrators, who can become every agent: Group system:masters" in text
    assert "subjects of Kubernetes" in text


def test_verify_names_each_planted_subject_with_its_way_its_binding_and_the_command_that_removes_it(
    scene: Scene, planted: Matrix
) -> None:
    found = {each.message.split()[1]: each for each in planted.findings if each.rule == CAN_BECOME}
    assert found.keys() == {scene.user(way) for way in PLANTED}
    data = {(each["subject"]["name"], each["way"]) for each in planted.report().data()["canBecome"]}
    for way, (cluster_wide, _, _) in PLANTED.items():
        assert (scene.user(way), way) in data
        finding = found[scene.user(way)]
        name = f"planted-{way}" + (f"-{scene.namespace}" if cluster_wide else "")
        delete = (
            f"delete clusterrolebinding {name}" if cluster_wide else f"-n {scene.namespace} delete rolebinding {name}"
        )
        assert any(name in line for line in finding.details)
        assert f"To remove it: kubectl {delete}" in finding.remediation
    assert not planted.ok


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("way", PLANTED)
def test_a_user_with_a_certificate_can_do_what_verify_says(scene: Scene, way: str) -> None:
    _, _, act = PLANTED[way]
    stranger = log_in(scene.server, f"stranger@{scene.namespace}")
    with pytest.raises(
        AssertionError, match=r"[Ff]orbidden|403"
    ):  # positive control: a user without the right is refused
        assert act(scene, stranger), "403"
    me = log_in(scene.server, scene.user(way))
    assert act(scene, me)


def test_a_user_name_of_an_agent_is_not_impersonated_with_a_right_on_users(scene: Scene) -> None:
    plant(scene, "by-user-name", (rule("impersonate", "users", "", scene.agent),), cluster_wide=True)
    me = log_in(scene.server, scene.user("by-user-name"))
    status, answer = me.as_user(scene.agent).request("GET", f"{scene.core}/pods")
    assert status == 403
    assert "cannot impersonate" in answer["message"]
    names = {each.name for each in _found(scene)[0]}
    assert scene.user("by-user-name") not in names


PERSONAS: Final[dict[str, tuple[str, Json]]] = {
    "edit": ("User", {"kind": "ClusterRole", "name": "edit"}),
    "admin": ("User", {"kind": "ClusterRole", "name": "admin"}),
    "view": ("User", {"kind": "ClusterRole", "name": "view"}),
    "group-edit": ("Group", {"kind": "ClusterRole", "name": "edit"}),
    "account-admin": ("ServiceAccount", {"kind": "ClusterRole", "name": "admin"}),
}


def test_every_answer_of_the_api_server_agrees_for_built_in_and_narrow_roles(scene: Scene, planted: Matrix) -> None:
    """For each persona, all requests of all ways are asked: a way is open if and only if its requests are allowed."""
    assert planted
    users = {}
    for name, (kind, ref) in PERSONAS.items():
        who = scene.user(name)
        account = kind == "ServiceAccount"
        subject = {"kind": kind, "name": name if account else who} | (
            {"namespace": "default"} if account else {"apiGroup": _RBAC_GROUP}
        )
        binds(scene, scene.server, ref, subject)
        users[name] = (
            User.service_account("default", name)
            if account
            else User("", (who, AUTHENTICATED_GROUP))
            if kind == "Group"
            else User(who, (AUTHENTICATED_GROUP,))
        )
    narrow = ("impersonate-others", "roles", "escalate", "certificates")
    users |= {way: User(scene.user(way), (AUTHENTICATED_GROUP,)) for way in narrow}
    found, target = _found(scene)
    privileged = {
        Objects.USERS: frozenset(each.name for each in found if each.subject.kind == "User"),
        Objects.GROUPS: frozenset((MASTERS_GROUP, *(each.name for each in found if each.kind == "Group"))),
    }
    ways = list(requests_of_ways(target, privileged))
    asked = sorted({request for _, _, steps in ways for step in steps for request in step})
    questions = [(user, request) for user in users.values() for request in asked]
    with Api(scene.cluster.access) as api:
        answers = fan_out(lambda each: ask(api, *each).allowed, questions, concurrency=16, abort=api.abort)
    allowed = {question for question, answer in zip(questions, answers, strict=True) if answer}
    for name, user in users.items():
        by_server = {
            way for way, _, steps in ways if all(any((user, each) in allowed for each in step) for step in steps)
        }
        ours = {
            opening.way.id
            for each in found
            if (each.name == user.name if each.kind == "User" else each.name in user.groups)
            for opening in each.openings
        }
        assert ours == by_server, name


def _found(scene: Scene) -> tuple[tuple[Any, ...], Any]:
    with Api(scene.cluster.access) as api:
        policy: Policy = read(api, scene.declaration).policy
        guards, _ = read_guards(api)
        accounts = read_accounts(api, scene.declaration)
        around = surroundings_on(guards, read_objects(api, scene.declaration, accounts))
    one = scene.declaration
    target = target_of(scene.namespace, (one.proxy, *one.agents), one, policy, around, Guards({}))
    return ways_in(policy, target), target
