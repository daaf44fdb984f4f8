"""Each agent has its own identity and a short-lived token."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from support.server import Json, Server, eventually

REPOSITORY = Path(__file__).parents[2]
WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

MakeRelease = Callable[[Helm], Release]


def claims(token: str) -> Json:
    payload = token.split(".")[1]
    decoded: Json = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return decoded


def the_pod(server: Server, namespace: str) -> Json:
    """The pod of the release, after the Deployment's controllers created it."""
    return eventually(lambda: server.items(f"/api/v1/namespaces/{namespace}/pods"))[0]


def token_volumes(pod: Json) -> dict[str, int]:
    """Volume -> the requested lifetime of its token."""
    return {
        volume["name"]: source["serviceAccountToken"]["expirationSeconds"]
        for volume in pod["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        if "serviceAccountToken" in source
    }


def install(server: Server, release: Release, **values: Any) -> None:
    server.make_namespace(release.namespace, **RESTRICTED)
    release.install(Values(overrides=values))


def test_the_api_server_authenticates_each_agent_as_its_own_service_account(
    server: Server, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    install(server, release(helm), agents={"triage": {"instances": 2}, "researcher": {}})
    for name in ("triage-1", "triage-2", "researcher"):
        agent = server.with_token(server.token(namespace, name))
        who = agent.create(WHO_AM_I, {})["status"]["userInfo"]["username"]
        assert who == f"system:serviceaccount:{namespace}:{name}"


def test_an_agent_can_read_only_the_resources_of_its_tier(
    server: Server, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    install(server, release(helm), tiers={"t": {"rules": rules}}, agents={"a": {"tiers": ["t"]}})
    agent = server.with_token(server.token(namespace, "a"))
    status, _ = agent.request("GET", f"/api/v1/namespaces/{namespace}/configmaps")
    assert status == 200
    for path in (f"/api/v1/namespaces/{namespace}/secrets", "/api/v1/namespaces/default/configmaps", "/api/v1/nodes"):
        status, answer = agent.request("GET", path)
        assert (status, answer["reason"]) == (403, "Forbidden"), path


def test_a_workload_passes_pod_security_restricted_with_a_short_lived_token(
    server: Server, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    agent = {"token": {"expirationSeconds": 900}, "workload": {"image": "registry.example/agent:1"}}
    install(server, release(helm), agents={"a": agent})
    pod = the_pod(server, namespace)
    assert pod["spec"]["serviceAccountName"] == "a"
    assert token_volumes(pod) == {"agent-token": 900}


def test_the_projected_token_expires_after_the_requested_lifetime(
    server: Server, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    install(server, release(helm), agents={"a": {"workload": {"image": "registry.example/agent:1"}}})
    pod = the_pod(server, namespace)
    (seconds,) = token_volumes(pod).values()
    bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    held = claims(server.token(namespace, "a", expirationSeconds=seconds, boundObjectRef=bound))
    assert held["exp"] - held["iat"] == 3600


def test_the_automounted_token_is_valid_for_a_year(
    server: Server, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    """Counter-example: the reason why `projected` is the default."""
    agent = {"token": {"mode": "automount"}, "workload": {"image": "registry.example/agent:1"}}
    install(server, release(helm), agents={"a": agent})
    pod = the_pod(server, namespace)
    (seconds,) = token_volumes(pod).values()
    bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    held = claims(server.token(namespace, "a", expirationSeconds=seconds, boundObjectRef=bound))
    assert held["exp"] - held["iat"] == 365 * 24 * 3600
