"""guards.runAs: only users with the verb use can run workloads as an agent."""

from typing import Any

import pytest

from support.guarded import Guarded, use
from support.server import Json, Server, eventually
from support.workloads import RESOURCES, workload

GUARD = ("runAs", "run-as")


def values(namespace: str) -> Json:
    deployer = {"kind": "User", "name": f"deployer@{namespace}", "agents": ["team"]}
    return {"agents": {"a": {}, "b": {}, "team": {"instances": 2}}, "guards": {"deployers": [deployer]}}


def create(guarded: Guarded, who: Server, resource: str, account: str | None, **field: Any) -> tuple[int, Json]:
    group, body = workload(resource, account, **field)
    return who.request("POST", guarded.path(resource, group), body)


@pytest.fixture(scope="module")
def dev(guarded: Guarded) -> Server:
    """A developer without `use`, when the guard is in force."""
    developer = guarded.user("dev")
    eventually(lambda: guarded.refuses(create(guarded, developer, "pods", "a")))
    return developer


@pytest.fixture(scope="module")
def user_of_a(guarded: Guarded, dev: Server) -> Server:
    """A developer with `use` on the agent a."""
    allowed = guarded.user("allowed")
    guarded.allow("allowed", use("a"))
    eventually(lambda: create(guarded, allowed, "pods", "a")[0] == 201)
    return allowed


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("field", ["serviceAccountName", "serviceAccount"])
def test_only_users_with_use_can_run_workloads_as_an_agent(
    guarded: Guarded, dev: Server, user_of_a: Server, resource: str, field: str
) -> None:
    assert guarded.refuses(create(guarded, dev, resource, "a", field=field), "as the agent a", "dev@", "deployers")
    assert create(guarded, user_of_a, resource, "a", field=field)[0] == 201
    assert guarded.refuses(create(guarded, user_of_a, resource, "b", field=field))


@pytest.mark.parametrize("resource", RESOURCES)
def test_without_the_guard_of_default_its_workloads_are_allowed(guarded: Guarded, dev: Server, resource: str) -> None:
    assert create(guarded, dev, resource, "default")[0] == 201
    assert create(guarded, dev, resource, None)[0] == 201


def test_an_agent_can_run_workloads_only_as_itself(guarded: Guarded, dev: Server) -> None:
    agent = guarded.account("a")
    eventually(lambda: create(guarded, agent, "pods", "a")[0] == 201)
    assert guarded.refuses(create(guarded, agent, "pods", "b"))
    assert guarded.refuses(create(guarded, agent, "deployments", "agent-proxy"))


def test_the_administrator_is_allowed(guarded: Guarded, dev: Server) -> None:
    assert create(guarded, guarded.server, "deployments", "a")[0] == 201


def test_a_deployer_can_use_every_instance_of_its_agent_and_no_other_agent(guarded: Guarded, dev: Server) -> None:
    deployer = guarded.user("deployer")
    eventually(lambda: create(guarded, deployer, "pods", "team-2")[0] == 201)
    assert guarded.refuses(create(guarded, deployer, "pods", "a"))


def test_controllers_can_create_the_pods_of_an_admitted_template(guarded: Guarded, dev: Server) -> None:
    group, body = workload("deployments", "a")
    path = guarded.path("deployments", group, dry_run=False)
    guarded.server.create(path, body)
    pods = f"{guarded.path('pods', dry_run=False)}?labelSelector=app%3Dp"
    made = eventually(lambda: guarded.server.items(pods))
    assert made[0]["spec"]["serviceAccountName"] == "a"

    def patch(who: Server, change: Json, subresource: str = "") -> tuple[int, Json]:
        return who.patch(f"{path}/p{subresource}?dryRun=All", change)

    assert patch(dev, {"metadata": {"labels": {"seen": "yes"}}})[0] == 200
    assert patch(dev, {"spec": {"replicas": 0}})[0] == 200
    assert patch(dev, {"spec": {"replicas": 0}}, "/scale")[0] == 200
    image = {"name": "c", "image": "registry.example/mine:1"}
    assert guarded.refuses(patch(dev, {"spec": {"template": {"spec": {"containers": [image]}}}}))
    assert guarded.refuses(patch(dev, {"spec": {"template": {"metadata": {"annotations": {"inject": "me"}}}}}))
    another = {"serviceAccountName": "default", "serviceAccount": "default"}
    assert guarded.refuses(patch(dev, {"spec": {"template": {"spec": another}}}))
    its_pod = f"{guarded.path('pods', dry_run=False)}/{made[0]['metadata']['name']}?dryRun=All"
    assert guarded.refuses(dev.patch(its_pod, {"spec": {"containers": [image]}}))
    assert dev.patch(its_pod, {"metadata": {"labels": {"seen": "yes"}}})[0] == 200
    assert dev.request("DELETE", f"{path}/p")[0] == 200
    eventually(lambda: not guarded.server.items(pods))


def test_no_user_can_forge_a_controller_revision(guarded: Guarded, dev: Server, user_of_a: Server) -> None:
    """The controller applies a ControllerRevision to the StatefulSet, and the guard does not check its pods."""
    apps = "/apis/apps/v1"
    revisions = guarded.path("controllerrevisions", apps, dry_run=False)
    _, body = workload("statefulsets", "a")
    guarded.server.create(guarded.path("statefulsets", apps, dry_run=False), body)
    # the controller can still write the history
    made = eventually(lambda: guarded.server.items(revisions))[0]["metadata"]["name"]
    image = {"name": "c", "image": "registry.example/mine:1"}
    forged = {"spec": {"template": {"spec": {"containers": [image]}}}}
    revision = {"metadata": {"name": "forged"}, "revision": 7, "data": forged}
    user_of_all = guarded.user("user-of-all")
    guarded.allow("user-of-all", use())

    def refused(answer: tuple[int, Json]) -> bool:
        return answer[0] == 403 and f"'{guarded.policy}-revisions'" in answer[1]["message"]

    for who in (dev, user_of_a):
        assert refused(who.request("POST", f"{revisions}?dryRun=All", revision))
        assert refused(who.patch(f"{revisions}/{made}?dryRun=All", {"metadata": {"labels": {"app": "other"}}}))
    eventually(lambda: user_of_all.request("POST", f"{revisions}?dryRun=All", revision)[0] == 201)
    assert user_of_all.patch(f"{revisions}/{made}?dryRun=All", {"metadata": {"labels": {"app": "other"}}})[0] == 200
