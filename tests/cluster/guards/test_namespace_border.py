"""All guards at once, and everything that has to go on: the requests of people, pipelines and controllers.

The attacks of the same people are moves of `agent-identities attack --as-persona`: see test_personas.py.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agent_identities.attack.moves import moves
from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support.border import APPS, LABEL, Answer, Border, Place, deployment, installed, merge, refused_by
from support.certificates import log_in
from support.controllers_life import CONTROLLERS, SCALE, replicaset, writes
from support.guarded import pod
from support.legitimate_life import LIFE
from support.namespaces import own_namespace
from support.people import person
from support.server import RBAC, Json, Server, eventually


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


@pytest.mark.parametrize("request_", LIFE)
def test_people_and_pipelines_go_on(border: Border, request_: str) -> None:
    status, answer = LIFE[request_](border)
    assert status in (200, 201), answer


@pytest.mark.parametrize("request_", CONTROLLERS)
def test_the_controllers_of_the_cluster_go_on(border: Border, request_: str) -> None:
    status, answer = CONTROLLERS[request_](border)
    assert status in (200, 201), answer


def test_legitimate_life_has_as_many_requests_as_the_catalogue_has_moves() -> None:
    assert len(LIFE) + len(CONTROLLERS) >= len(moves())


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
    assert runner.request("DELETE", f"{path}/rolled", {"propagationPolicy": "Orphan"})[0] == 200
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
    eventually(lambda: border.admin.request("GET", f"{path}/left")[0] == 404)
    return border.people["eve"].request("POST", path, adopter)


def test_a_paused_deployment_cannot_run_an_earlier_revision_as_an_agent(border: Border, open_border: Border) -> None:
    adopter = deployment("default", "left", replicas=1, paused=True)
    answer = orphan_then_adopt(border, adopter)
    assert refused_by(border, "run-as-revisions", answer) or refused_by(border, "run-as", answer)
    assert orphan_then_adopt(open_border, adopter)[0] == 201
    pods = f"{open_border.path('pods', keep=True)}?labelSelector=app%3Dleft"
    (found,) = eventually(lambda: open_border.admin.items(pods))
    assert found["spec"]["serviceAccountName"] == "bot"


def test_no_pod_goes_on_for_years_after_its_deletion(border: Border, open_border: Border) -> None:
    """A pod on a node: without a node, the API server ends a pod at once."""
    for made, refused in ((border, True), (open_border, False)):
        path = made.path("pods", keep=True)
        body = pod("bot", "bound", nodeName="nowhere", terminationGracePeriodSeconds=45)
        body["metadata"]["labels"] |= {LABEL: "bot"}
        made.people["runner"].create(path, body)
        for grace, allowed in ((0, True), (45, True), (46, False), (315_360_000, False)):
            answer = made.people["eve"].request(
                "DELETE", made.path("pods", "bound"), {"dryRun": ["All"], "gracePeriodSeconds": grace}
            )
            assert answer[0] == 200 if allowed or not refused else refused_by(made, "run-as-revisions", answer), grace
        made.admin.request("DELETE", f"{path}/bound", {"gracePeriodSeconds": 0})


@pytest.mark.parametrize(
    "meta", [{"annotations": {"helm.sh/resource-policy": "keep"}}, {"finalizers": ["example.com/keep"]}]
)
def test_a_role_of_agents_cannot_be_kept(border: Border, open_border: Border, meta: Json) -> None:
    """Helm does not delete it if the values drop its tier."""
    assert refused_by(border, "roles", border.merge("adam", "roles", "reader-role", {"metadata": meta}, RBAC))
    assert open_border.merge("adam", "roles", "reader-role", {"metadata": meta}, RBAC)[0] == 200


def test_an_upgrade_gives_no_account_back_to_a_template_that_another_user_changed(
    border: Border, open_border: Border
) -> None:
    """Without the guard, the container of eve runs as bot after the next upgrade."""
    added = {"name": "helper", "image": "registry.example/another:1"}
    spec = {"serviceAccountName": None, "serviceAccount": None, "containers": [added]}
    for made, refused in ((border, True), (open_border, False)):
        answer = made.merge("eve", "deployments", "bot", {"spec": {"template": {"spec": spec}}}, APPS)
        assert refused_by(made, "run-as", answer) if refused else answer[0] == 200


def test_the_autoscaler_cannot_run_an_earlier_revision_as_an_agent(border: Border, open_border: Border) -> None:
    """Everyone with edit can point an autoscaler at a ReplicaSet that was left. Deployments are what it scales."""
    for made, refused in ((border, True), (open_border, False)):
        scale = writes("horizontal-pod-autoscaler", "replicasets", lambda b: f"{replicaset(b)}/scale", SCALE, APPS)
        answer = scale(made)
        assert refused_by(made, "run-as-revisions", answer) if refused else answer[0] == 200


def test_a_certificate_in_the_name_of_an_agent_is_no_token_of_it(border: Border, open_border: Border) -> None:
    """Whoever approves certificates could otherwise run pods as the agent does."""
    for made, refused in ((border, True), (open_border, False)):
        holder = log_in(made.admin, f"system:serviceaccount:{made.namespace}:triage")
        answer = holder.request("POST", made.path("pods"), pod("triage"))
        assert refused_by(made, "impersonation", answer) or refused_by(made, "run-as", answer) or not refused
        assert refused or answer[0] == 201


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
