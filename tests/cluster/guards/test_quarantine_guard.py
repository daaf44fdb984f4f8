"""guards.quarantine: no user can recreate the objects of an agent in quarantine."""

from collections.abc import Callable

import pytest

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from support.guarded import Guarded, only, pod, use
from support.installed import installed
from support.server import RBAC, Json, Server, eventually

GUARD = ("quarantine", "quarantine")
MakeRelease = Callable[[Helm], Release]
VIEW = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
BIND_AGENTS = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["rolebindings"], "verbs": ["bind-agents"]}
OURS = {"app.kubernetes.io/name": "agent-identities"}


def values(namespace: str) -> Json:
    return {"agents": {"suspect": {"quarantined": True}, "sibling": {}, "team": {"instances": 2, "quarantined": [2]}}}


def refuses(
    guarded: Guarded, answer: tuple[int, Json], remediation: str = "agents: {suspect: {quarantined: false}}"
) -> bool:
    """Whether one of the guard's three policies refused the request."""
    message = answer[1].get("message", "")
    return answer[0] == 403 and f"ValidatingAdmissionPolicy '{guarded.policy}" in message and remediation in message


def account(name: str, labels: Json | None = None) -> Json:
    return {"metadata": {"name": name, "labels": labels or {}}}


def make(guarded: Guarded, who: Server, name: str, labels: Json | None = None) -> tuple[int, Json]:
    return who.request("POST", guarded.path("serviceaccounts"), account(name, labels))


def template(name: str) -> Json:
    made = pod(name)
    return {"metadata": {"labels": made["metadata"]["labels"]}, "spec": made["spec"]}


def deploy(guarded: Guarded, who: Server, name: str, kind: str = "Deployment") -> tuple[int, Json]:
    """Creates a Deployment or a Job of an agent. Pods cannot be tested: without the ServiceAccount, all are refused."""
    if kind == "Job":
        made = template(name)
        made["spec"]["restartPolicy"] = "Never"
        job = {"metadata": {"name": "j"}, "spec": {"template": made}}
        return who.request("POST", guarded.path("jobs", "/apis/batch/v1"), job)
    spec = {"selector": {"matchLabels": {"app": "p"}}, "template": template(name)}
    return who.request("POST", guarded.path("deployments", "/apis/apps/v1"), {"metadata": {"name": "d"}, "spec": spec})


def group(name: str) -> Json:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name}


def user(guarded: Guarded, name: str) -> Json:
    return group(f"system:serviceaccount:{guarded.namespace}:{name}") | {"kind": "User"}


def service_account(guarded: Guarded, name: str) -> Json:
    return {"kind": "ServiceAccount", "name": name, "namespace": guarded.namespace}


def bind(guarded: Guarded, who: Server, place: str, subject: Json) -> tuple[int, Json]:
    namespace = guarded.namespace if place == "here" else place
    path = f"{RBAC}/clusterrolebindings" if place == "cluster" else f"{RBAC}/namespaces/{namespace}/rolebindings"
    return who.request(
        "POST", f"{path}?dryRun=All", {"metadata": {"name": "b"}, "roleRef": VIEW, "subjects": [subject]}
    )


@pytest.fixture(scope="module")
def authors(guarded: Guarded) -> dict[str, Server]:
    """The administrator, and a user who can use and bind all agents."""
    deployer = guarded.user("deployer")
    guarded.allow("deployer", use(), use(verb="request-any-token"), BIND_AGENTS)
    eventually(lambda: refuses(guarded, make(guarded, guarded.server, "suspect")))
    eventually(lambda: refuses(guarded, make(guarded, deployer, "suspect")))
    eventually(lambda: refuses(guarded, deploy(guarded, deployer, "suspect")))
    eventually(lambda: refuses(guarded, bind(guarded, deployer, "here", service_account(guarded, "suspect"))))
    return {"administrator": guarded.server, "deployer": deployer}


BOTH = pytest.mark.parametrize("author", ["administrator", "deployer"])


@BOTH
def test_the_service_account_cannot_be_created(guarded: Guarded, authors: dict[str, Server], author: str) -> None:
    for name, entry in (("suspect", "suspect"), ("team-2", "team")):
        assert refuses(guarded, make(guarded, authors[author], name), f"agents: {{{entry}: {{quarantined: false}}}}")
    for name in ("other", "team-3"):
        assert make(guarded, authors[author], name)[0] == 201


@BOTH
@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_no_workload_can_run_as_the_agent(guarded: Guarded, authors: dict[str, Server], author: str, kind: str) -> None:
    assert refuses(guarded, deploy(guarded, authors[author], "suspect", kind))
    assert deploy(guarded, authors[author], "sibling", kind)[0] == 201


@BOTH
@pytest.mark.parametrize("place", ["here", "default", "cluster"])
def test_no_user_can_bind_the_agent(guarded: Guarded, authors: dict[str, Server], author: str, place: str) -> None:
    who = authors[author]
    for spelled in (service_account, user):
        assert refuses(guarded, bind(guarded, who, place, spelled(guarded, "suspect")))
        assert bind(guarded, who, place, spelled(guarded, "sibling"))[0] == 201
    assert refuses(guarded, bind(guarded, who, place, group(f"system:serviceaccounts:{guarded.namespace}")), "<agent>")
    assert bind(guarded, who, place, group("system:serviceaccounts:default"))[0] == 201


@pytest.mark.parametrize("everybody", ["system:serviceaccounts", "system:authenticated"])
def test_only_the_administrator_can_bind_groups_that_include_the_agent(
    guarded: Guarded, authors: dict[str, Server], everybody: str
) -> None:
    assert refuses(guarded, bind(guarded, authors["deployer"], "cluster", group(everybody)), "<agent>")
    assert bind(guarded, authors["administrator"], "cluster", group(everybody))[0] == 201


def test_the_charts_label_is_not_sufficient(guarded: Guarded, authors: dict[str, Server]) -> None:
    assert refuses(guarded, make(guarded, authors["deployer"], "suspect", OURS))
    assert make(guarded, authors["administrator"], "suspect", OURS)[0] == 201


@pytest.fixture
def kept(server: Server, release: MakeRelease, helm: Helm, namespace: str) -> Guarded:
    """An existing ServiceAccount with a pod and a Deployment, quarantined while they run."""
    ours = release(helm)
    agents: Json = {"suspect": {"serviceAccount": {"create": False, "name": "suspect"}}}
    server.make_namespace(namespace)
    server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", account("suspect"))
    ours.install(Values(overrides=only("quarantine", {"agents": agents})))
    guarded = Guarded(server, namespace, f"agents.{namespace}.quarantine")
    eventually(lambda: server.request("POST", guarded.path("pods"), pod("suspect"))[0] == 201)
    server.create(guarded.path("pods", dry_run=False), pod("suspect"))
    spec = {"selector": {"matchLabels": {"app": "p"}}, "template": template("suspect")}
    deployment = {"metadata": {"name": "d"}, "spec": spec}
    server.create(guarded.path("deployments", "/apis/apps/v1", dry_run=False), deployment)
    agents["suspect"]["quarantined"] = True
    ours.upgrade(Values(overrides=only("quarantine", {"agents": agents})))
    eventually(lambda: refuses(guarded, server.request("POST", guarded.path("pods"), pod("suspect", "q"))))
    return guarded


def test_an_existing_service_account_gets_no_token_and_no_pod_and_its_pods_can_be_deleted(kept: Guarded) -> None:
    bound = {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}}
    token = f"{kept.path('serviceaccounts', dry_run=False)}/suspect/token"
    kubelet = kept.server.as_user(f"kubelet@{kept.namespace}", "system:nodes")
    kept.user("kubelet")
    eventually(lambda: refuses(kept, kubelet.request("POST", token, {"spec": bound})))
    assert refuses(kept, kept.server.request("POST", token, {"spec": bound}))
    deployment = kept.path("deployments", "/apis/apps/v1", dry_run=False) + "/d"
    image = {"template": {"spec": {"containers": [{"name": "c", "image": "registry.example/x:2"}]}}}
    assert refuses(kept, kept.server.patch(deployment, {"spec": image}))
    assert kept.server.patch(deployment, {"spec": {"replicas": 0}})[0] == 200
    pods = kept.path("pods", dry_run=False)
    eventually(lambda: kept.server.names(pods) == {"p"})
    assert kept.server.request("DELETE", deployment, {"propagationPolicy": "Foreground"})[0] == 200
    eventually(lambda: kept.server.request("GET", deployment)[0] == 404)
    kept.server.delete(f"{pods}/p?gracePeriodSeconds=0")
    eventually(lambda: kept.server.names(pods) == set())


@pytest.mark.parametrize(("installer", "bindings"), [("administrator", "perAgent"), ("least rights", "perTier")])
def test_helm_can_end_the_quarantine_and_restore_the_agent(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str, installer: str, bindings: str
) -> None:
    ours = release(either_helm)
    server.make_namespace(namespace)
    guarded = Guarded(server, namespace, f"agents.{namespace}.quarantine")
    flags = guarded.installer() if installer == "least rights" else []

    def given(*, quarantined: bool) -> Values:
        agent: Json = {"workload": {"image": "registry.example/agent:1"}}
        agents = {"sibling": agent, "suspect": agent | ({"quarantined": True} if quarantined else {})}
        return Values(overrides={"agents": agents, "bindings": bindings, "guards": {"enabled": True}})

    pods = f"{guarded.path('pods', dry_run=False)}?labelSelector=agent-identities/agent%3Dsuspect"
    bindings_of = f"{RBAC}/namespaces/{namespace}/rolebindings"

    def rights() -> list[tuple[str, str]]:
        named = server.items(bindings_of)
        return [
            (item["metadata"]["name"], subject["name"])
            for item in named
            for subject in item.get("subjects", ())
            if subject["name"] == "suspect"
        ]

    ours.upgrade(given(quarantined=False), "--install", *flags)
    eventually(lambda: server.items(pods))
    before = rights()
    assert before
    for back in ("upgrade", "rollback"):
        ours.upgrade(given(quarantined=True), *flags)
        assert rights() == []
        eventually(lambda: refuses(guarded, make(guarded, server, "suspect")))
        if back == "upgrade":
            ours.upgrade(given(quarantined=False), *flags)
        else:
            ours.rollback(3, *flags)
        assert rights() == before
        eventually(lambda: server.items(pods), seconds=60)
    ours.uninstall(*flags)
    assert installed(server, ours) == {}
