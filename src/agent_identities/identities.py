"""Which agents the values declare, and what each of them may do.

This is the promise that rendered objects and live clusters are held to. It is worked out from the values alone, never
from what the templates print: a promise read from the chart's own output could not be broken.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent_identities.objects import KubeObject, Objects
from agent_identities.rbac import PolicyRule, User

AGENT_LABEL = "agent-identities/agent"
"""The label that names the agent on everything the chart makes for it."""

PROXY_TIER = "proxy"
DEFAULT_EXPIRATION_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Token:
    """How an agent's pods get a token; ``expiration_seconds`` is None where Kubernetes mounts its own."""

    mode: str
    expiration_seconds: int | None
    audience: str


@dataclass(frozen=True, slots=True)
class Grant:
    """The rules of one tier in one namespace."""

    tier: str
    namespace: str
    rules: tuple[PolicyRule, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """One ServiceAccount and what it may do. ``entry`` is the key of the values that it comes from."""

    name: str
    namespace: str
    entry: str
    grants: tuple[Grant, ...]
    token: Token

    @property
    def user(self) -> User:
        """As the API server sees it, with the groups that every ServiceAccount has."""
        return User.service_account(self.namespace, self.name)

    @property
    def tiers(self) -> tuple[str, ...]:
        """The tiers it holds, in the order of the values."""
        return tuple(dict.fromkeys(grant.tier for grant in self.grants))

    def rules_in(self, namespace: str) -> tuple[PolicyRule, ...]:
        """All rules that it holds in a namespace."""
        return tuple(rule for grant in self.grants if grant.namespace == namespace for rule in grant.rules)


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a set of values promises for a release in ``namespace``."""

    namespace: str
    proxy: Identity
    agents: tuple[Identity, ...]
    tiers: Mapping[str, tuple[PolicyRule, ...]]

    @property
    def identities(self) -> tuple[Identity, ...]:
        """The proxy and all agents."""
        return (self.proxy, *self.agents)

    def find(self, namespace: str, name: str) -> Identity | None:
        """The identity with this ServiceAccount, or None."""
        return next((one for one in self.identities if (one.namespace, one.name) == (namespace, name)), None)


def declare(values: Mapping[str, Any], *, namespace: str) -> Declaration:
    """The promise of values as the chart's templates see them (``values.load``), for a release in this namespace."""
    proxy_rules = _rules(values["proxy"]["rules"])
    tiers = {PROXY_TIER: proxy_rules}
    tiers |= {name: _rules(tier["rules"]) for name, tier in values["tiers"].items() if tier is not None}
    proxy = Identity(
        name=values["proxy"]["name"],
        namespace=namespace,
        entry="proxy",
        grants=(Grant(PROXY_TIER, namespace, proxy_rules),),
        token=Token("none", None, ""),
    )
    agents = tuple(
        Identity(name, namespace, entry, _grants(agent, tiers, namespace), _token(agent.get("token") or {}))
        for entry, agent in sorted(values["agents"].items())
        if agent is not None
        for name in _names(entry, agent)
    )
    return Declaration(namespace, proxy, agents, tiers)


def _rules(rules: list[Mapping[str, Any]]) -> tuple[PolicyRule, ...]:
    return tuple(PolicyRule.from_manifest(rule) for rule in rules)


def _names(entry: str, agent: Mapping[str, Any]) -> Iterator[str]:
    if "instances" in agent:
        yield from (f"{entry}-{number}" for number in range(1, agent["instances"] + 1))
    else:
        yield entry


def _grants(agent: Mapping[str, Any], tiers: Mapping[str, tuple[PolicyRule, ...]], namespace: str) -> tuple[Grant, ...]:
    return tuple(Grant(tier, namespace, tiers[tier]) for tier in agent.get("tiers", (PROXY_TIER,)))


def _token(token: Mapping[str, Any]) -> Token:
    mode = token.get("mode", "projected")
    seconds = None if mode == "automount" else int(token.get("expirationSeconds", DEFAULT_EXPIRATION_SECONDS))
    return Token(mode, seconds, token.get("audience", ""))


_POD_SPEC_PATHS: Mapping[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    **dict.fromkeys(
        ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController"),
        ("spec", "template", "spec"),
    ),
}
"""Where each workload kind of Kubernetes keeps the spec of its pods."""


def pod_specs(objects: Objects) -> Iterator[tuple[KubeObject, Mapping[str, Any]]]:
    """Every object that makes pods, with the spec of its pods."""
    for obj in objects.of_kind(*_POD_SPEC_PATHS):
        spec: Any = obj.body
        for part in _POD_SPEC_PATHS[obj.key.kind]:
            spec = spec.get(part) or {}
        yield obj, spec
