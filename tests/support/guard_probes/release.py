"""The two releases that are probed: all guards on, and the other spellings of what guards read."""

from typing import Any

from agent_identities.chart.helm import Target
from agent_identities.chart.values import Values
from support.guard_probes.model import FLEET, PER_AGENT, PER_TIER
from support.server import Json

CLOUD = "sts.amazonaws.com"
RELEASE = "agents"
SIZE = 1010
CREW, OUT = f"crew-{'x' * 40}", f"out-{'x' * 40}"
AUDIENCE = f"vault-{'x' * 60}"
"""Of the fleet: long, so that maps are cut by their size, too."""


def values(mode: str, namespace: str, elsewhere: str) -> Values:
    """The values of a release whose agents live in this namespace. mode: PER_AGENT, PER_TIER or FLEET."""
    return Values(overrides={PER_AGENT: _per_agent, PER_TIER: _per_tier, FLEET: _fleet}[mode](namespace, elsewhere))


def namespace_of_release(mode: str, namespace: str) -> str:
    """With PER_TIER, the release is in another namespace than its agents."""
    return namespace if mode != PER_TIER else f"{namespace}-release"


def target(mode: str, namespace: str, kubernetes: str) -> Target:
    """For which release they are rendered."""
    return Target(release=RELEASE, namespace=namespace_of_release(mode, namespace), kube_version=kubernetes)


def _agents() -> Json:
    role = "arn:aws:iam::111122223333:role/a"
    extra = {"x": {"audience": "extra"}, "y": {"audience": "brief", "expirationSeconds": 700}}
    return {
        "a": {"token": {"expirationSeconds": 900}},
        "b": {},
        "long": {"token": {"expirationSeconds": 7200}},
        "vault": {"token": {"audience": "vault", "expirationSeconds": 1200}, "tokens": extra},
        "cloud": {"cloud": {"aws": {"roleArn": role}}},
        "proxied": {"access": "proxied"},
    }


def _deployers(namespace: str, elsewhere: str, of_user: list[str], of_account: list[str]) -> list[Json]:
    return [
        {"kind": "User", "name": f"deployer@{namespace}", "agents": of_user},
        {"kind": "Group", "name": f"platform@{namespace}", "bindAgents": True},
        {"kind": "ServiceAccount", "name": f"pipeline-{namespace}", "namespace": elsewhere, "agents": of_account},
    ]


def _controllers(namespace: str, elsewhere: str) -> list[Any]:
    """Controllers whose kinds have each form of a path; one with an account of its own, which may use b."""
    own = {"namespace": elsewhere, "serviceAccount": f"workflows-{namespace}", "agents": ["b"]}
    tekton = {"name": "tekton", "defaultAccount": "b"}
    return ["agent-sandbox", {"name": "argo-workflows", **own}, "kubeflow-training-operator", "kuberay", tekton]


def _per_agent(namespace: str, elsewhere: str) -> Json:
    """Instances, agents whose account has another name, quarantined ones, audiences for all."""
    agents = _agents() | {
        "crew": {"access": "proxied", "instances": 1},
        "team": {"instances": 3, "quarantined": [3]},
        "other": {"serviceAccount": {"name": "other-bot", "create": False}},
        "suspect": {"quarantined": True},
        "kept": {"quarantined": True, "serviceAccount": {"name": "kept-bot", "create": False}},
    }
    deployers = _deployers(namespace, elsewhere, ["team", "b"], ["team-2", "agent-proxy"])
    guards = {
        "enabled": True,
        "tokens": {"audiences": {"mesh": 43200}},
        "deployers": deployers,
        "controllers": _controllers(namespace, elsewhere),
    }
    tiers: dict[str, Json] = {
        "existing": {"existingRole": {"kind": "Role", "name": "existing"}},
        "cluster": {"scope": "Cluster", "existingRole": {"kind": "ClusterRole", "name": f"{namespace}-existing"}},
    }
    for tier in tiers.values():
        tier["acceptRisks"] = {"existing-role-unknown": "a probe"}
    agents["b"] = {"tiers": ["cluster"], "namespaces": {elsewhere: ["existing"]}}
    return {"tiers": tiers, "agents": agents, "bindings": PER_AGENT, "guards": guards}


def _per_tier(namespace: str, elsewhere: str) -> Json:
    """Nobody quarantined, no entry with another name; the proxy with a name, token and audience of its own."""
    tokens = {"maxSeconds": 5000, "apiAudiences": ["https://kubernetes.default.svc.cluster.local", "https://own"]}
    guards = {
        "enabled": True,
        "tokens": tokens,
        "deployers": _deployers(namespace, elsewhere, ["b"], ["gateway"]),
        "exec": {"enabled": False},
        "shortTokens": {"enabled": False},
        "ephemeralContainers": {"validationActions": ["Warn"]},
    }
    proxy = {"name": "gateway", "token": {"audience": "gate", "expirationSeconds": 1800}}
    return {
        "namespaceOverride": namespace,
        "proxy": proxy,
        "agents": _agents(),
        "bindings": PER_TIER,
        "guards": guards,
    }


def _fleet(namespace: str, elsewhere: str) -> Json:
    """More names than one map holds."""
    token = {"audience": AUDIENCE, "expirationSeconds": 900}
    agents: Json = {
        CREW: {"instances": SIZE, "tiers": [], "token": token},
        OUT: {"instances": SIZE, "tiers": [], "quarantined": True},
    }
    return {"agents": agents, "bindings": PER_TIER, "guards": {"enabled": True}}
