"""guards.bindings: only users with the verb bind-agents can grant rights to agents."""

import pytest

from support.guarded import Guarded
from support.server import RBAC, Json, Server, eventually
from support.subjects import BIND_AGENTS, account, agents, binding, group, others, user

GUARD = ("bindings", "bindings")


def values(namespace: str) -> Json:
    return {"agents": {"a": {}, "b": {}}}


PLACES = ("here", "elsewhere", "cluster")


def path(guarded: Guarded, place: str, *, dry_run: bool = True) -> str:
    end = "?dryRun=All" if dry_run else ""
    if place == "cluster":
        return f"{RBAC}/clusterrolebindings{end}"
    return f"{RBAC}/namespaces/{guarded.namespace if place == 'here' else 'default'}/rolebindings{end}"


def bind(guarded: Guarded, who: Server, place: str, *subjects: Json) -> tuple[int, Json]:
    return who.request("POST", path(guarded, place), binding(*subjects))


@pytest.fixture(scope="module")
def dev(guarded: Guarded) -> Server:
    developer = guarded.user("dev")
    eventually(lambda: guarded.refuses(bind(guarded, developer, "here", account("a", guarded.namespace))))
    return developer


@pytest.fixture(scope="module")
def binder(guarded: Guarded, dev: Server) -> Server:
    """A user with the verb bind-agents in the agents' namespace."""
    allowed = guarded.user("binder")
    guarded.allow("binder", BIND_AGENTS)
    eventually(lambda: bind(guarded, allowed, "here", account("a", guarded.namespace))[0] == 201)
    return allowed


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("spelling", list(agents("")))
def test_only_users_with_bind_agents_can_bind_an_agent(
    guarded: Guarded, dev: Server, binder: Server, place: str, spelling: str
) -> None:
    subject = agents(guarded.namespace)[spelling]
    answer = bind(guarded, dev, place, user("somebody"), subject)
    assert guarded.refuses(answer, "dev@", subject["name"], "ClusterRole view", "bindAgents: true")
    assert bind(guarded, binder, place, subject)[0] == 201


def test_a_subject_without_namespace_belongs_to_the_bindings_namespace(guarded: Guarded, dev: Server) -> None:
    assert guarded.refuses(bind(guarded, dev, "here", account("a")))
    assert bind(guarded, dev, "elsewhere", account("a"))[0] == 201


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("spelling", list(others("")))
def test_bindings_of_other_subjects_are_allowed(guarded: Guarded, dev: Server, place: str, spelling: str) -> None:
    assert bind(guarded, dev, place, others(guarded.namespace)[spelling])[0] == 201


def test_an_update_can_keep_an_agent_and_cannot_add_one(guarded: Guarded, dev: Server) -> None:
    held = account("a", guarded.namespace)
    guarded.server.create(path(guarded, "here", dry_run=False), binding(held, name="held"))
    one = path(guarded, "here", dry_run=False) + "/held?dryRun=All"

    def put(*subjects: Json) -> tuple[int, Json]:
        return dev.request("PUT", one, binding(*subjects, name="held"))

    assert put(held, user("somebody"))[0] == 200
    assert put()[0] == 200
    assert dev.patch(one, {"metadata": {"labels": {"seen": "yes"}}})[0] == 200
    assert guarded.refuses(put(held, account("b", guarded.namespace)))


def test_the_administrator_and_the_api_server_are_allowed(guarded: Guarded, dev: Server) -> None:
    everybody = group("system:authenticated")
    assert bind(guarded, guarded.server, "cluster", everybody)[0] == 201
    assert bind(guarded, guarded.server.as_user("system:apiserver", "system:masters"), "cluster", everybody)[0] == 201
