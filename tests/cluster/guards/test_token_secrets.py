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


@pytest.mark.parametrize("account", ["a", "agent-proxy", "default", "of-tomorrow"])
def test_no_user_can_create_a_secret_with_a_token(guarded: Guarded, account: str) -> None:
    assert guarded.refuses(create(guarded, guarded.server, account), f"the agent {account}", "projected")


def test_secrets_of_other_types_are_allowed(guarded: Guarded) -> None:
    assert guarded.server.request("POST", guarded.path("secrets"), {"metadata": {"name": "plain"}})[0] == 201
