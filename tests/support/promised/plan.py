"""Who is who in a set of values: agents one by one, tiers, and the labels that all objects have."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_identities.chart.helm import Target

Json = dict[str, Any]


@dataclass(frozen=True)
class Agent:
    """One ServiceAccount, and the entry of the values that it comes from."""

    name: str
    entry: str
    given: Json
    quarantined: bool

    @property
    def proxied(self) -> bool:
        return bool(self.given.get("access") == "proxied")

    @property
    def tiers(self) -> list[str]:
        return list(self.given.get("tiers", ["proxy"]))

    @property
    def namespaces(self) -> dict[str, list[str]]:
        return dict(self.given.get("namespaces") or {})

    @property
    def token(self) -> Json:
        defaults = {"mode": "projected", "expirationSeconds": 3600}
        return {"mode": "none"} if self.proxied else defaults | (self.given.get("token") or {})

    @property
    def cloud(self) -> Json:
        """Those that the agent has: null and false say that it has not."""
        return {
            name: one for name, one in (self.given.get("cloud") or {}).items() if one is not None and one is not False
        }

    @property
    def tokens(self) -> dict[str, Json]:
        return {name: one for name, one in sorted((self.given.get("tokens") or {}).items()) if one is not None}

    @property
    def labels(self) -> Json:
        """The labels of everything that is the agent's."""
        instance = {"agent-identities/instance-of": self.entry} if self.entry != self.name else {}
        return {"agent-identities/agent": self.name, **instance}


@dataclass(frozen=True)
class Tier:
    """A named set of rules; the central role is the tier "proxy"."""

    name: str
    given: Json

    @property
    def rules(self) -> list[Json]:
        return list(self.given.get("rules") or [])

    @property
    def everywhere(self) -> bool:
        return bool(self.given.get("scope") == "Cluster")

    @property
    def existing(self) -> Json | None:
        return self.given.get("existingRole")

    @property
    def per_agent(self) -> bool:
        return any("{agent}" in name for rule in self.rules for name in rule.get("resourceNames") or ())

    @property
    def kind(self) -> str:
        default = "ClusterRole" if self.everywhere else "Role"
        return str((self.existing or {}).get("kind") or default)


@dataclass(frozen=True)
class Plan:
    """A set of values, merged with the chart's, for one release."""

    values: Json
    target: Target
    version: str
    agents: tuple[Agent, ...]
    quarantined: tuple[Agent, ...]
    tiers: Mapping[str, Tier]

    @property
    def namespace(self) -> str:
        return str(self.values.get("namespaceOverride") or self.target.namespace)

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


def plan(values: Mapping[str, Any], target: Target, version: str) -> Plan:
    """The plan of merged values; ``version`` is the chart's."""
    agents: list[Agent] = []
    for entry, given in sorted((values.get("agents") or {}).items()):
        if given is None:
            continue
        count = given.get("instances")
        name = (given.get("serviceAccount") or {}).get("name") or entry
        names = [name] if count is None else [f"{entry}-{number}" for number in range(1, int(count) + 1)]
        out = given.get("quarantined") or []
        agents += [
            Agent(each, entry, given, out is True or (isinstance(out, list) and number in [int(one) for one in out]))
            for number, each in enumerate(names, 1)
        ]
    tiers = {
        name: Tier(name, given) for name, given in sorted((values.get("tiers") or {}).items()) if given is not None
    }
    proxy = values["proxy"]
    central = Tier("proxy", {"rules": proxy["rules"], "acceptRisks": proxy.get("acceptRisks")})
    return Plan(
        dict(values),
        target,
        version,
        tuple(sorted((one for one in agents if not one.quarantined), key=lambda one: one.name)),
        tuple(sorted((one for one in agents if one.quarantined), key=lambda one: one.name)),
        {"proxy": central, **tiers},
    )
