"""guards.ephemeralContainers: only users with the verb use can debug an agent's pod."""

import pytest

from support.guarded import Guarded, pod, use
from support.server import Json, Server, eventually

GUARD = ("ephemeralContainers", "ephemeral-containers")


def values(namespace: str) -> Json:
    return {"agents": {"a": {}, "b": {}}}


@pytest.fixture(scope="module")
def dev(guarded: Guarded) -> Server:
    accounts = ("a", "b", "default")
    eventually(lambda: set(accounts) <= guarded.server.names(guarded.path("serviceaccounts", dry_run=False)))
    for account in accounts:
        guarded.server.create(guarded.path("pods", dry_run=False), pod(account, account))
    developer = guarded.user("dev")
    eventually(lambda: guarded.refuses(debug(guarded, developer, "a")))
    return developer


def debug(guarded: Guarded, who: Server, name: str) -> tuple[int, Json]:
    container = {"name": "debug", "image": "registry.example/shell:1"}
    path = f"{guarded.path('pods', dry_run=False)}/{name}/ephemeralcontainers?dryRun=All"
    return who.patch(path, {"spec": {"ephemeralContainers": [container]}})


def test_only_users_with_use_can_add_a_container_to_an_agents_pod(guarded: Guarded, dev: Server) -> None:
    assert guarded.refuses(debug(guarded, dev, "a"), "dev@", "the agent a", "deployers")
    guarded.allow("dev", use("a"))
    eventually(lambda: debug(guarded, dev, "a")[0] == 200)
    assert guarded.refuses(debug(guarded, dev, "b"), "the agent b")


def test_a_pod_of_an_account_that_no_value_names_is_guarded(guarded: Guarded, dev: Server) -> None:
    assert guarded.refuses(debug(guarded, dev, "default"), "the agent default")


def test_an_agent_can_add_a_container_only_to_its_own_pod(guarded: Guarded, dev: Server) -> None:
    agent = guarded.account("a")
    eventually(lambda: debug(guarded, agent, "a")[0] == 200)
    assert guarded.refuses(debug(guarded, agent, "b"))
