"""guards.tokens: tokens of agents are short-lived, bound to a pod, for a listed audience, and never a sibling's."""

from typing import Any

import pytest

from support.guarded import Guarded, pod, use
from support.meshes import SHAPES
from support.server import Json, Server, eventually

GUARD = ("tokens", "tokens")
CLOUD = "sts.amazonaws.com"


def values(namespace: str) -> Json:
    role = "arn:aws:iam::111122223333:role/a"
    agents = {
        "a": {"token": {"expirationSeconds": 900}},
        "plain": {},
        "long": {"token": {"expirationSeconds": 7200}},
        "vault": {"token": {"audience": "vault", "expirationSeconds": 1200}, "tokens": {"x": {"audience": "extra"}}},
        "cloud": {"cloud": {"aws": {"roleArn": role}}},
        "mount": {"token": {"mode": "automount"}},
        "proxied": {"access": "proxied"},
    }
    return {"agents": agents, "guards": {"tokens": {"audiences": {"mesh": 43200}}}}


MOUNTED: Json = {"automountServiceAccountToken": True}
ACCOUNTS = ("a", "plain", "long", "vault", "cloud", "mount", "proxied")


def request(guarded: Guarded, who: Server, account: str, *, bound: bool = True, **spec: Any) -> tuple[int, Json]:
    """Sends a TokenRequest, by default a valid one."""
    good: Json = {"expirationSeconds": 600}
    if bound:
        good["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": account}
    path = f"{guarded.path('serviceaccounts', dry_run=False)}/{account}/token"
    return who.request("POST", path, {"spec": good | spec})


@pytest.fixture(scope="module")
def dev(guarded: Guarded) -> Server:
    """A user with every right except `use`, when the guard is in force and a pod of each agent exists."""
    path = guarded.path("pods", dry_run=False)
    node: Json = {"nodeName": guarded.namespace}
    eventually(lambda: {*ACCOUNTS, "default"} <= guarded.server.names(guarded.path("serviceaccounts", dry_run=False)))
    for account in (*ACCOUNTS, "default"):
        guarded.server.create(path, pod(account, account, automountServiceAccountToken=False, **node))
    developer = guarded.user("dev")
    eventually(lambda: guarded.refuses(request(guarded, developer, "a")))
    return developer


@pytest.fixture(scope="module")
def allowed(guarded: Guarded, dev: Server) -> Server:
    """A user with `use` on all agents."""
    who = guarded.user("allowed")
    guarded.allow("allowed", use())
    eventually(lambda: request(guarded, who, "a")[0] == 201)
    return who


def test_only_users_with_use_can_request_a_token(guarded: Guarded, dev: Server, allowed: Server) -> None:
    assert guarded.refuses(request(guarded, dev, "a"), "dev@", "the agent a", "use", "deployers")
    assert request(guarded, allowed, "a")[0] == 201
    assert guarded.refuses(request(guarded, dev, "default"), "the agent default")


def test_an_agent_can_request_only_its_own_token(guarded: Guarded, allowed: Server) -> None:
    agent = guarded.account("a")
    eventually(lambda: request(guarded, agent, "a")[0] == 201)
    assert guarded.refuses(request(guarded, agent, "plain"), "the token of another agent")
    assert guarded.refuses(request(guarded, agent, "agent-proxy", bound=False), "the token of another agent")
    proxy = guarded.account("agent-proxy")
    eventually(lambda: guarded.refuses(request(guarded, proxy, "a"), "the token of another agent"))


def test_an_agent_with_every_verb_cannot_request_a_siblings_token(guarded: Guarded, allowed: Server) -> None:
    agent = guarded.account("plain", {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
    eventually(lambda: request(guarded, agent, "plain", bound=False)[0] == 201)
    assert guarded.refuses(request(guarded, agent, "a"), "the token of another agent")


def test_a_token_must_be_bound_to_a_pod(guarded: Guarded, allowed: Server) -> None:
    guarded.server.create(guarded.path("secrets", dry_run=False), {"metadata": {"name": "s"}})
    secret = {"apiVersion": "v1", "kind": "Secret", "name": "s"}
    assert guarded.refuses(request(guarded, allowed, "a", bound=False), "not bound to a pod", "boundObjectRef")
    assert guarded.refuses(request(guarded, allowed, "a", boundObjectRef=secret), "not bound to a pod")
    assert request(guarded, allowed, "a")[0] == 201


@pytest.mark.parametrize(
    ("account", "longest"), [("a", 900), ("plain", 3600), ("mount", 3600), ("vault", 1200), ("long", 7200)]
)
def test_the_lifetime_of_a_token_is_limited_to_the_declared_lifetime(
    guarded: Guarded, allowed: Server, account: str, longest: int
) -> None:
    assert request(guarded, allowed, account, expirationSeconds=longest)[0] == 201
    for seconds in (longest + 1, 3607, 86400):
        answer = request(guarded, allowed, account, expirationSeconds=seconds)
        assert guarded.refuses(answer, f"the maximum is {longest} s", f"expirationSeconds: {longest}")


@pytest.mark.parametrize(
    ("account", "audiences", "seconds"),
    [
        ("a", ["https://kubernetes.default.svc.cluster.local"], 900),
        ("vault", ["vault"], 1200),
        ("vault", ["extra"], 3600),
        ("cloud", [CLOUD], 86400),
        ("a", ["mesh"], 43200),
        ("vault", ["vault", "extra"], 1200),
    ],
)
def test_a_listed_audience_is_allowed_up_to_its_lifetime(
    guarded: Guarded, allowed: Server, account: str, audiences: list[str], seconds: int
) -> None:
    assert request(guarded, allowed, account, audiences=audiences, expirationSeconds=seconds)[0] == 201
    answer = request(guarded, allowed, account, audiences=audiences, expirationSeconds=seconds + 1)
    assert guarded.refuses(answer, "with this lifetime")


@pytest.mark.parametrize(
    ("account", "audience"), [("a", "vault"), ("a", CLOUD), ("vault", CLOUD), ("cloud", "api://AzureADTokenExchange")]
)
def test_other_audiences_are_refused(guarded: Guarded, allowed: Server, account: str, audience: str) -> None:
    assert guarded.refuses(request(guarded, allowed, account, audiences=[audience]), "for this audience", "audiences")
    both = ["https://kubernetes.default.svc", audience]
    assert guarded.refuses(request(guarded, allowed, account, audiences=both), "for this audience")


@pytest.mark.parametrize("account", ["a", "proxied"])
def test_users_with_request_any_token_can_request_any_token(guarded: Guarded, allowed: Server, account: str) -> None:
    breaker = guarded.user(f"breaker-{account}")

    def any_token(who: Server) -> tuple[int, Json]:
        return request(guarded, who, account, bound=False, expirationSeconds=7200, audiences=["x"])

    assert guarded.refuses(any_token(allowed))
    guarded.allow(f"breaker-{account}", use(account, verb="request-any-token"))
    eventually(lambda: any_token(breaker)[0] == 201)
    assert guarded.refuses(request(guarded, breaker, "plain"))
    assert any_token(guarded.server)[0] == 201


def test_a_proxied_agent_gets_no_token_by_request_or_in_a_pod(guarded: Guarded, allowed: Server) -> None:
    assert guarded.refuses(request(guarded, allowed, "proxied"), "is proxied", "access: direct")
    assert guarded.refuses(admit(guarded, "proxied", **MOUNTED), "the pod p", "is proxied")
    assert guarded.refuses(admit(guarded, "proxied", {"audience": "mesh"}), "is proxied")
    assert admit(guarded, "proxied")[0] == 201
    kubelet = guarded.server.as_user(f"allowed@{guarded.namespace}", "system:nodes")
    assert guarded.refuses(request(guarded, kubelet, "proxied"), "is proxied")
    assert request(guarded, kubelet, "a")[0] == 201


def test_kubelets_can_request_the_tokens_of_pods(guarded: Guarded, allowed: Server) -> None:
    """This includes the injected token, which is longer than declared. Otherwise, the agent's pods could not start."""
    path = guarded.path("pods", dry_run=False)
    guarded.server.create(path, pod("a", "mounts", nodeName=guarded.namespace, **MOUNTED))
    mounted = guarded.server.get(f"{path}/mounts")
    ref = {"apiVersion": "v1", "kind": "Pod", "name": "mounts", "uid": mounted["metadata"]["uid"]}
    kubelet = guarded.server.as_user(f"system:node:{guarded.namespace}", "system:nodes")
    ask: Json = {"expirationSeconds": 3607, "boundObjectRef": ref}
    eventually(lambda: request(guarded, kubelet, "a", **ask)[0] == 201)
    assert guarded.refuses(request(guarded, allowed, "a", **ask))


def admit(guarded: Guarded, account: str, *sources: Json, name: str = "t", **spec: Any) -> tuple[int, Json]:
    """Creates a pod with a volume of tokens, in a dry run."""
    projected = {"sources": [{"serviceAccountToken": {"path": f"t{n}", **s}} for n, s in enumerate(sources)]}
    volumes: Json = {"volumes": [{"name": name, "projected": projected}]} if sources else {}
    return guarded.server.request("POST", guarded.path("pods"), pod(account, **volumes, **spec))


@pytest.mark.parametrize(
    ("account", "source"),
    [
        ("a", {"expirationSeconds": 900}),
        ("plain", {}),
        ("plain", {"expirationSeconds": 3600}),
        ("vault", {"audience": "vault", "expirationSeconds": 1200}),
        ("cloud", {"audience": CLOUD, "expirationSeconds": 86400}),
        ("a", {"audience": "mesh", "expirationSeconds": 43200}),
        ("default", {"audience": "mesh", "expirationSeconds": 43200}),
    ],
)
def test_a_pod_with_tokens_within_the_limits_is_allowed(
    guarded: Guarded, allowed: Server, account: str, source: Json
) -> None:
    assert admit(guarded, account, source)[0] == 201


def test_volumes_without_tokens_are_not_affected(guarded: Guarded, allowed: Server) -> None:
    volumes = [{"name": "e", "emptyDir": {}}, {"name": "n", "projected": {"sources": []}}]
    assert guarded.server.request("POST", guarded.path("pods"), pod("a", volumes=volumes))[0] == 201


@pytest.mark.parametrize(
    ("account", "source", "why"),
    [
        ("a", {"expirationSeconds": 901}, "the maximum is 900 s"),
        ("a", {}, "the maximum is 900 s"),
        ("plain", {"expirationSeconds": 3607}, "3607 s is refused"),
        ("long", {"expirationSeconds": 3607}, "3607 s is refused"),
        ("plain", {"expirationSeconds": 86400}, "the maximum is 3600 s"),
        ("vault", {"audience": "vault", "expirationSeconds": 1201}, "with this lifetime"),
        ("plain", {"audience": CLOUD}, "for this audience"),
        ("a", {"audience": "mesh", "expirationSeconds": 43201}, "with this lifetime"),
    ],
)
def test_a_pod_with_tokens_beyond_the_limits_is_refused(
    guarded: Guarded, allowed: Server, account: str, source: Json, why: str
) -> None:
    assert guarded.refuses(admit(guarded, account, source), "the pod p", f"the agent {account}", why)
    fine = {"audience": "mesh", "expirationSeconds": 600}
    assert guarded.refuses(admit(guarded, account, fine, source), why)


@pytest.mark.parametrize("mesh", SHAPES)
def test_the_token_of_a_mesh_that_the_values_do_not_list_is_refused_with_the_line_to_write(
    guarded: Guarded, allowed: Server, mesh: str
) -> None:
    answer = guarded.server.request("POST", guarded.path("pods"), SHAPES[mesh]("plain"))
    assert guarded.refuses(answer, "for this audience", "guards: {tokens: {meshes: [istio]}}")


def test_the_injected_token_is_allowed_and_an_imitation_gets_no_longer_lifetime(
    guarded: Guarded, allowed: Server
) -> None:
    assert admit(guarded, "a", **MOUNTED)[0] == 201
    imitation = "kube-api-access-abcde"
    assert admit(guarded, "a", {"expirationSeconds": 3607}, name=imitation)[0] == 201
    assert guarded.refuses(admit(guarded, "a", {"expirationSeconds": 3608}, name=imitation))
    assert guarded.refuses(admit(guarded, "a", {"expirationSeconds": 3607, "audience": "x"}, name=imitation))
