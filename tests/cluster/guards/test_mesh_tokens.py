"""guards.tokens.meshes: pods in the shape that the injector of each mesh makes, on a real API server.

The meshes themselves do not run: the pods have the volume, the mount and the container of their injection templates.
"""

from typing import Any

import pytest

from support.guarded import Guarded
from support.meshes import SHAPES
from support.server import Json, Server, eventually

GUARD = ("tokens", "tokens")


def values(namespace: str) -> Json:
    return {"agents": {"shop": {}}, "guards": {"tokens": {"meshes": ["istio", "linkerd", "dapr"]}}}


@pytest.fixture(scope="module")
def create(guarded: Guarded) -> Any:
    """Creates a pod in a dry run, when the guard is in force."""
    server: Server = guarded.server

    def ask(body: Json) -> tuple[int, Json]:
        return server.request("POST", guarded.path("pods"), body)

    eventually(lambda: "shop" in server.names(guarded.path("serviceaccounts", dry_run=False)))
    eventually(lambda: guarded.refuses(ask(SHAPES["istio"]("shop", audience="other"))))
    return ask


@pytest.mark.parametrize("mesh", SHAPES)
def test_the_token_of_a_listed_mesh_is_allowed(create: Any, mesh: str) -> None:
    status, answer = create(SHAPES[mesh]("shop"))
    assert status == 201, answer


@pytest.mark.parametrize("mesh", SHAPES)
@pytest.mark.parametrize("audience", ["vault", "istio-ca.example", "https://kubernetes.example"])
def test_the_sidecar_gets_no_other_audience(guarded: Guarded, create: Any, mesh: str, audience: str) -> None:
    assert guarded.refuses(create(SHAPES[mesh]("shop", audience=audience)), "for this audience")


@pytest.mark.parametrize(("mesh", "seconds"), [("istio", 43201), ("linkerd", 86401), ("dapr", 7201)])
def test_the_sidecar_gets_no_longer_lifetime(guarded: Guarded, create: Any, mesh: str, seconds: int) -> None:
    assert guarded.refuses(create(SHAPES[mesh]("shop", expirationSeconds=seconds)), "with this lifetime")


@pytest.mark.parametrize("mesh", SHAPES)
def test_the_sidecar_gets_no_token_of_the_api_server_beyond_the_agents_lifetime(
    guarded: Guarded, create: Any, mesh: str
) -> None:
    assert guarded.refuses(create(SHAPES[mesh]("shop", audience="")), "with this lifetime")
