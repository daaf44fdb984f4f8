"""The API server accepts every object of generated values, in a strict dry run."""

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from hypothesis import HealthCheck, example, given, settings

from agent_identities.bundled import chart_path
from agent_identities.chart.helm import Renderer, Target
from agent_identities.chart.objects import Key, thaw
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support import cilium
from support.server import Json, Server
from support.values_strategies import valid_values

GUARDED: Final[Json] = {"guards": {"enabled": True}, "agents": {"a": {}, "b": {"quarantined": True}}}
PER_TIER: Final[Json] = {"bindings": "perTier", "agents": {"a": {}, "b": {"access": "proxied"}}}


def path(key: Key, body: Json) -> str:
    plural = f"{key.kind.lower()[:-1]}ies" if key.kind.endswith("y") else f"{key.kind.lower()}s"
    group = f"/apis/{body['apiVersion']}" if key.group else "/api/v1"
    namespace = f"/namespaces/{key.namespace}" if key.namespace else ""
    return f"{group}{namespace}/{plural}?dryRun=All&fieldValidation=Strict"


def as_the_version_allows(drawn: Json, version: str) -> Json:
    """The values without features of Kubernetes 1.36, which the chart refuses on older versions."""
    if int(version.split(".")[1]) >= 36:
        return drawn
    drawn = copy.deepcopy(drawn)
    if drawn.get("guards", {}).get("shortTokens", {}).get("enabled") is True:
        drawn["guards"]["shortTokens"]["enabled"] = "auto"
    if drawn.get("proxy", {}).get("impersonation") == "constrained":
        drawn["proxy"]["impersonation"] = "legacy"
    return drawn


def made(server: Server, namespace: str) -> None:
    if server.request("GET", f"/api/v1/namespaces/{namespace}")[0] == 404:
        server.make_namespace(namespace)


@settings(max_examples=int(settings().max_examples * 0.6), deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=valid_values(chart_path()))
@example(drawn=GUARDED)
@example(drawn=PER_TIER)
def test_the_api_server_accepts_every_object_in_a_strict_dry_run(
    drawn: dict[str, Any], renderer: Renderer, server: Server, cluster: Cluster
) -> None:
    cilium.define(server)
    target = Target(namespace="agent-system", kube_version=cluster.version)
    objects = renderer.render(Values(overrides=as_the_version_allows(drawn, cluster.version)), target).objects
    for namespace in {key.namespace for key in objects} - {""}:
        made(server, namespace)

    def refused(key: Key) -> str:
        body = thaw(objects[key].body)
        status, answer = server.request("POST", path(key, body), body)
        return "" if status == 201 else f"{key}: {status} {answer.get('message')}"

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(refused, objects))
    assert answers, "nothing rendered"
    assert [answer for answer in answers if answer] == []
