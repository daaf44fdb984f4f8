"""guards.exec: only users with the verb use on all ServiceAccounts can connect to pods in the agents' namespace."""

import pytest

from support.guarded import Guarded, pod, use
from support.server import Json, Server, eventually

GUARD = ("exec", "exec")
WAYS = ("exec", "attach", "portforward", "proxy")


def values(namespace: str) -> Json:
    return {"agents": {"a": {}}}


def connect(guarded: Guarded, who: Server, way: str, namespace: str = "") -> tuple[int, Json]:
    path = guarded.path("pods", dry_run=False) if not namespace else f"/api/v1/namespaces/{namespace}/pods"
    return who.request("POST", f"{path}/a/{way}{'?command=sh&stdout=true' if way == 'exec' else ''}", {})


def passes(answer: tuple[int, Json]) -> bool:
    """The error for a pod without a node, which the API server returns after admission."""
    nowhere = ("does not have a host assigned", "address not allowed")
    return any(text in answer[1]["message"] for text in nowhere)


@pytest.fixture(scope="module")
def dev(guarded: Guarded) -> Server:
    path = guarded.path("pods", dry_run=False)
    eventually(lambda: guarded.server.request("POST", path, pod("a", "a"))[0] == 201)
    developer = guarded.user("dev")
    eventually(lambda: guarded.refuses(connect(guarded, developer, "exec")))
    return developer


@pytest.fixture(scope="module")
def user_of_all(guarded: Guarded, dev: Server) -> Server:
    allowed = guarded.user("allowed")
    guarded.allow("allowed", use())
    eventually(lambda: passes(connect(guarded, allowed, "exec")))
    return allowed


@pytest.mark.parametrize("way", WAYS)
def test_only_users_with_use_on_all_agents_can_connect(
    guarded: Guarded, dev: Server, user_of_all: Server, way: str
) -> None:
    assert guarded.refuses(connect(guarded, dev, way), "dev@", way, "the pod a", "deployers")
    assert passes(connect(guarded, user_of_all, way))


def test_use_on_one_agent_is_not_sufficient(guarded: Guarded, dev: Server) -> None:
    guarded.allow("dev", use("a"))
    assert guarded.refuses(connect(guarded, dev, "exec"))


def test_other_namespaces_are_not_affected(guarded: Guarded, dev: Server) -> None:
    status, answer = connect(guarded, dev, "exec", "default")
    assert (status, answer["reason"]) == (404, "NotFound")
