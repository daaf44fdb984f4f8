"""`check` predicts the size of Helm's record of a release."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.chart.helm import Helm, HelmError, Release, Renderer, Target
from agent_identities.chart.release_record import LIMIT_BYTES, record_size
from agent_identities.chart.values import Values
from support.server import Server

MakeRelease = Callable[[Helm], Release]


def fleet(agents: int) -> dict[str, object]:
    """Agents that do not compress, because each has a different annotation."""
    noise = {f"agent-{n}": hashlib.sha512(str(n).encode()).hexdigest() for n in range(agents)}
    return {"agents": {name: {"tiers": [], "annotations": {"noise": text * 6}} for name, text in noise.items()}}


def foreseen(renderer: Renderer, namespace: str, values: dict[str, object]) -> int:
    rendered = renderer.render(Values(overrides=values), Target(namespace=namespace))
    return record_size(renderer.chart, rendered.text, values)


def test_the_predicted_size_is_at_least_helms_size_and_at_most_a_tenth_more(
    server: Server, release: MakeRelease, either_helm: Helm, chart: Path, namespace: str
) -> None:
    values = fleet(200)
    release(either_helm).install(Values(overrides=values))
    (secret,) = server.items(f"/api/v1/namespaces/{namespace}/secrets")
    written = len(base64.b64decode(secret["data"]["release"]))
    assert written <= foreseen(Renderer(either_helm, chart), namespace, values) <= 1.1 * written


def test_helm_refuses_a_release_that_is_predicted_to_be_too_large_and_writes_nothing(
    server: Server, release: MakeRelease, helm: Helm, chart: Path, namespace: str
) -> None:
    values = fleet(5000)
    assert foreseen(Renderer(helm, chart), namespace, values) > LIMIT_BYTES
    with pytest.raises(HelmError, match=r"Too long|too large"):
        release(helm).install(Values(overrides=values))
    assert server.names(f"/api/v1/namespaces/{namespace}/serviceaccounts") <= {"default"}
