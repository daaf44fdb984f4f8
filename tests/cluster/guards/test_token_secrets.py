"""guards.tokenSecrets: no Secret holds a token of an agent."""

import pytest

from support.guarded import Guarded
from support.server import Json, Server, eventually

GUARD = ("tokenSecrets", "token-secrets")
TYPE = "kubernetes.io/service-account-token"
NAME = "kubernetes.io/service-account.name"


def values(namespace: str) -> Json:
    return {"agents": {"a": {}}}


def secret(account: str, name: str = "s") -> Json:
    return {"metadata": {"name": name, "annotations": {NAME: account}}, "type": TYPE}


def create(guarded: Guarded, who: Server, account: str) -> tuple[int, Json]:
    return who.request("POST", guarded.path("secrets"), secret(account))


@pytest.fixture(scope="module", autouse=True)
def in_force(guarded: Guarded) -> None:
    eventually(lambda: guarded.refuses(create(guarded, guarded.server, "a")))


@pytest.mark.parametrize("account", ["a", "agent-proxy"])
def test_no_user_can_create_a_secret_with_a_token_of_an_agent(guarded: Guarded, account: str) -> None:
    assert guarded.refuses(create(guarded, guarded.server, account), f"the agent {account}", "projected")


def test_secrets_for_other_accounts_are_created_and_get_a_token(guarded: Guarded) -> None:
    path = guarded.path("secrets", dry_run=False)
    guarded.server.create(path, secret("default", "filled"))
    eventually(lambda: "token" in guarded.server.get(f"{path}/filled").get("data", {}))
    assert guarded.server.request("POST", guarded.path("secrets"), {"metadata": {"name": "plain"}})[0] == 201


def test_a_secret_of_another_account_cannot_be_changed_to_the_agents(guarded: Guarded) -> None:
    guarded.server.create(guarded.path("secrets", dry_run=False), secret("default", "turned"))
    path = f"{guarded.path('secrets', dry_run=False)}/turned?dryRun=All"
    assert guarded.refuses(guarded.server.patch(path, {"metadata": {"annotations": {NAME: "a"}}}))
    assert guarded.server.patch(path, {"metadata": {"annotations": {"note": "x"}}})[0] == 200
