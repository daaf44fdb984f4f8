"""What the expected manifests are made of: the declaration, the values behind it, and the labels of all objects.

The declaration (agent_identities.declaration) says which agents there are, what each holds, and how the proxy
impersonates. It is computed from the values and reads no template, so it is not the code under test here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_identities.chart.helm import Target
from agent_identities.chart.names import AGENT_PLACEHOLDER
from agent_identities.declaration import Declaration, Identity, TierGrant, TokenSettings
from agent_identities.rbac import PolicyRule

Json = dict[str, Any]


@dataclass(frozen=True)
class Agent:
    """One ServiceAccount: its identity, and the entry of the values behind it."""

    identity: Identity
    given: Json

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def entry(self) -> str:
        return self.identity.entry

    @property
    def proxied(self) -> bool:
        return self.identity.access == "proxied"

    @property
    def grants(self) -> tuple[TierGrant, ...]:
        return self.identity.grants

    @property
    def token(self) -> TokenSettings:
        return self.identity.token

    @property
    def cloud(self) -> Json:
        """The clouds of the agent; null and false mean none."""
        return {
            name: one for name, one in (self.given.get("cloud") or {}).items() if one is not None and one is not False
        }

    @property
    def tokens(self) -> dict[str, Json]:
        return {name: one for name, one in sorted((self.given.get("tokens") or {}).items()) if one is not None}

    @property
    def labels(self) -> Json:
        """The labels of all objects of the agent."""
        instance = {"agent-identities/instance-of": self.entry} if self.entry != self.name else {}
        return {"agent-identities/agent": self.name if len(self.name) <= 63 else self.entry, **instance}


@dataclass(frozen=True)
class Tier:
    """A named set of rules; the central role is the tier "proxy"."""

    name: str
    given: Json
    rules: tuple[PolicyRule, ...]

    @property
    def everywhere(self) -> bool:
        return bool(self.given.get("scope") == "Cluster")

    @property
    def existing(self) -> bool:
        return bool(self.given.get("existingRole"))

    @property
    def per_agent(self) -> bool:
        return any(AGENT_PLACEHOLDER in name for rule in self.rules for name in rule.resource_names)


@dataclass(frozen=True)
class Plan:
    """A set of values, merged with the chart's, for one release."""

    values: Json
    declaration: Declaration
    target: Target
    version: str
    agents: tuple[Agent, ...]
    quarantined: tuple[Agent, ...]
    tiers: Mapping[str, Tier]

    @property
    def namespace(self) -> str:
        return self.declaration.namespace

    @property
    def prefix(self) -> str:
        """What names of objects outside the agents' namespace begin with."""
        return f"{self.namespace}:{self.target.release}"

    @property
    def proxy(self) -> Json:
        proxy: Json = self.values["proxy"]
        return proxy

    @property
    def proxied(self) -> list[Agent]:
        return [agent for agent in self.agents if agent.proxied]

    @property
    def minor(self) -> int:
        return int(self.target.kube_version.lstrip("v").split(".")[1])

    def meta(self, name: str, *, namespace: str | None = None, **labels: str) -> Json:
        """metadata; ``namespace`` is "" for an object of the whole cluster, and that of the agents if absent."""
        common = {
            "app.kubernetes.io/name": "agent-identities",
            "app.kubernetes.io/instance": self.target.release,
            "app.kubernetes.io/managed-by": "Helm",
            "helm.sh/chart": f"agent-identities-{self.version}",
        }
        where = self.namespace if namespace is None else namespace
        extra = self.values.get("extraLabels") or {}
        found: Json = {"name": name, "labels": {**common, **extra, **labels}}
        return found | ({"namespace": where} if where else {})


def plan(values: Mapping[str, Any], declaration: Declaration, target: Target, version: str) -> Plan:
    """The plan of merged values and their declaration; ``version`` is the chart's."""

    def agents(identities: tuple[Identity, ...]) -> tuple[Agent, ...]:
        found = [Agent(identity, values["agents"][identity.entry]) for identity in identities]
        return tuple(sorted(found, key=lambda agent: agent.name))

    given = {"proxy": values["proxy"], **(values.get("tiers") or {})}
    tiers = {name: Tier(name, given[name], rules) for name, rules in sorted(declaration.tiers.items())}
    return Plan(
        dict(values),
        declaration,
        target,
        version,
        agents(declaration.agents),
        agents(declaration.quarantined),
        tiers,
    )
