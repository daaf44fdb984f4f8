"""The agents that the values declare, and the rights of each agent.

Rendered objects and clusters are compared with this declaration. It is computed from the values only, not from the
output of the templates: a comparison of the templates with their own output would find nothing.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agent_identities.chart.controllers import deployers
from agent_identities.chart.names import AGENT_PLACEHOLDER, PROXY_TIER, binding_name, role_name
from agent_identities.chart.pods import configuration
from agent_identities.rbac import PolicyRule, RoleRef, Subject, User
from agent_identities.rbac.default_grants import ungranted_namespace

DEFAULT_EXPIRATION_SECONDS = 3600
EVERYWHERE = ""
"""The namespace of a grant for the whole cluster."""

_CONSTRAINED_SINCE = (1, 36)


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """How the pods of an agent get a token: ``projected``, ``automount``, or ``none`` for an agent without a token.

    ``expiration_seconds`` is None for ``automount``, where the API server decides.
    """

    mode: str
    expiration_seconds: int | None = None
    audience: str = ""


@dataclass(frozen=True, slots=True)
class TierGrant:
    """The rules of one tier in one namespace (EVERYWHERE: the whole cluster).

    ``rules`` is empty if ``existing`` refers to a Role outside the chart: the values do not contain its rules.
    ``impersonation``: the grant lets the proxy impersonate its proxied agents. It has no tier, and ``tier`` is "".
    """

    tier: str
    namespace: str
    rules: tuple[PolicyRule, ...]
    existing: RoleRef | None = None
    impersonation: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """A ServiceAccount and its grants. ``entry`` is its key in the values.

    ``created`` says whether the chart creates the ServiceAccount. ``access`` says whether the agent sends its requests
    itself (direct) or the proxy impersonates it (proxied). A quarantined identity has no grants.
    """

    name: str
    namespace: str
    entry: str
    grants: tuple[TierGrant, ...]
    token: TokenSettings
    access: str = "direct"
    created: bool = True
    quarantined: bool = False

    @property
    def user(self) -> User:
        """The user of the ServiceAccount, with the groups of every ServiceAccount."""
        return User.service_account(self.namespace, self.name)

    @property
    def tiers(self) -> tuple[str, ...]:
        """The tiers of its grants in all namespaces, in the order of the values."""
        return tuple(dict.fromkeys(grant.tier for grant in self.grants if not grant.impersonation))

    def rules_in(self, namespace: str) -> tuple[PolicyRule, ...]:
        """The rules that are granted for exactly this namespace (EVERYWHERE: for the whole cluster)."""
        return tuple(rule for grant in self.grants if grant.namespace == namespace for rule in grant.rules)


@dataclass(frozen=True, slots=True)
class Trusted:
    """A subject that may become agents, as the values declare.

    ``accounts`` are the ServiceAccounts that it may become; None: all. A deployer (guards.deployers and
    guards.controllers) may run pods as them; with ``bind_agents`` it may also give them rights. An entry of
    trustedSubjects may do everything.
    """

    subject: Subject
    reason: str = ""
    accounts: frozenset[str] | None = None
    deployer: bool = False
    bind_agents: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """The agents that a set of values declares in ``namespace``.

    ``deployers`` are further ServiceAccounts, as (namespace, name), that may run pods as agents (guards.deployers and
    guards.controllers). ``trusted`` are the subjects that may become agents: all deployers, and trustedSubjects.
    ``release_namespace`` is where Helm keeps the record of the release. ``configuration``: the ConfigMaps and Secrets,
    as (kind, name), that the pods of each ServiceAccount read.
    ``accepted`` are the accepted risks of each tier: tier, id of the risk, reason. ``values`` are the merged values.
    """

    namespace: str
    proxy: Identity
    agents: tuple[Identity, ...]
    quarantined: tuple[Identity, ...]
    tiers: Mapping[str, tuple[PolicyRule, ...]]
    accepted: Mapping[str, Mapping[str, str]]
    deployers: frozenset[tuple[str, str]] = frozenset()
    trusted: tuple[Trusted, ...] = ()
    release_namespace: str = ""
    configuration: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def identities(self) -> tuple[Identity, ...]:
        """The proxy, all agents, and the quarantined agents, which have no grants."""
        return (self.proxy, *self.agents, *self.quarantined)

    def role_name(self, identity: Identity) -> str:
        """The name of the role of its first tier in the namespace of the release. Without a tier, the central Role."""
        grant = next((grant for grant in identity.grants if not grant.impersonation), None)
        if grant is None:
            return role_name(PROXY_TIER, proxy=self.proxy.name)
        if grant.existing is not None:
            return grant.existing.name
        of_each = any(AGENT_PLACEHOLDER in name for rule in self.tiers[grant.tier] for name in rule.resource_names)
        return role_name(grant.tier, proxy=self.proxy.name, agent=identity.name if of_each else "")

    def binding_name(self, identity: Identity) -> str:
        """The name of its binding to `role_name`, with ``bindings: perAgent``."""
        grant = next((grant for grant in identity.grants if not grant.impersonation), None)
        kind = grant.existing.kind if grant and grant.existing else ""
        return binding_name(identity.name, self.role_name(identity), proxy=self.proxy.name, kind=kind)

    @property
    def granted_namespaces(self) -> tuple[str, ...]:
        """The namespace of the release, then every other namespace of a grant, including EVERYWHERE."""
        granted = (grant.namespace for identity in self.identities for grant in identity.grants)
        return tuple(dict.fromkeys((self.namespace, *granted)))

    @property
    def ungranted_namespace(self) -> str:
        """A namespace in which no identity has a grant."""
        return ungranted_namespace(self.granted_namespaces)

    def with_existing_roles(self, rules_of: Callable[[RoleRef, str], tuple[PolicyRule, ...]]) -> "Declaration":
        """The declaration with the rules of existing Roles, from ``rules_of(role, namespace of the grant)``.

        Each role is read once.
        """
        read = functools.cache(rules_of)

        def filled(agent: Identity) -> Identity:
            grants = (
                grant if grant.existing is None else replace(grant, rules=read(grant.existing, grant.namespace))
                for grant in agent.grants
            )
            return replace(agent, grants=tuple(grants))

        return replace(self, agents=tuple(filled(agent) for agent in self.agents))

    def find(self, namespace: str, name: str) -> Identity | None:
        """The proxy or the agent with this ServiceAccount. None for other and for quarantined ServiceAccounts."""
        active = (self.proxy, *self.agents)
        return next((each for each in active if (each.namespace, each.name) == (namespace, name)), None)


def declare(values: Mapping[str, Any], *, namespace: str, kube_version: str = "1.36.0") -> Declaration:
    """The declaration of values as the templates of the chart complete them (``values.load``): without null.

    ``namespace`` is the namespace of the release. ``kube_version`` is the version of the API server, which determines
    the kind of impersonation by the proxy.
    """
    release_namespace = namespace
    namespace = values.get("namespaceOverride") or namespace
    tiers = {PROXY_TIER: _Tier(_rules(values["proxy"]["rules"]))}
    tiers |= {name: _tier(tier) for name, tier in (values.get("tiers") or {}).items()}
    identities = tuple(
        identity
        for entry, agent in sorted((values.get("agents") or {}).items())
        for identity in _identities(entry, agent, tiers, namespace, everyone=values.get("quarantined") is True)
    )
    agents = tuple(identity for identity in identities if not identity.quarantined)
    own = TierGrant(PROXY_TIER, namespace, tiers[PROXY_TIER].rules)
    impersonation = _impersonation(values["proxy"].get("impersonation", "auto"), kube_version, agents, namespace)
    token = _token(values["proxy"].get("token") or {})
    proxy = Identity(values["proxy"]["name"], namespace, "proxy", (own, *impersonation), token)
    return Declaration(
        namespace=namespace,
        proxy=proxy,
        agents=agents,
        quarantined=tuple(identity for identity in identities if identity.quarantined),
        tiers={name: tier.rules for name, tier in tiers.items()},
        accepted={
            name: tier.get("acceptRisks") or {}
            for name, tier in {PROXY_TIER: values["proxy"], **(values.get("tiers") or {})}.items()
        },
        deployers=frozenset(
            (deployer.get("namespace") or "", deployer["name"])  # the chart refuses "", with a message of its own
            for deployer in deployers(values)
            if deployer["kind"] == "ServiceAccount"
        ),
        trusted=tuple(_trusted(values, identities)),
        release_namespace=release_namespace,
        configuration=_configuration(values.get("agents") or {}, agents),
        values=values,
    )


def _trusted(values: Mapping[str, Any], identities: Iterable[Identity]) -> Iterator[Trusted]:
    for deployer in deployers(values):
        entries = deployer.get("agents")
        named = None if entries is None else frozenset(entries)
        accounts = named and named | {one.name for one in identities if one.entry in named}
        yield Trusted(
            _subject(deployer), accounts=accounts, deployer=True, bind_agents=deployer.get("bindAgents", False)
        )
    for trusted in values.get("trustedSubjects") or ():
        yield Trusted(_subject(trusted), trusted["reason"])


def _subject(entry: Mapping[str, Any]) -> Subject:
    return Subject(entry["kind"], entry["name"], entry.get("namespace") or "")


def _configuration(agents: Mapping[str, Any], identities: Iterable[Identity]) -> dict[str, frozenset[tuple[str, str]]]:
    """What the workloads of the values read; a workload has the fields of a container and the volumes of a pod."""
    read = {
        entry: frozenset(configuration({**workload, "containers": [workload]}))
        for entry, agent in agents.items()
        if agent is not None and (workload := agent.get("workload"))
    }
    return {one.name: read[one.entry] for one in identities if one.entry in read}


@dataclass(frozen=True, slots=True)
class _Tier:
    rules: tuple[PolicyRule, ...]
    cluster: bool = False
    existing: RoleRef | None = None

    def grant(self, name: str, namespace: str, agent: str) -> TierGrant:
        where = EVERYWHERE if self.cluster else namespace
        return TierGrant(name, where, tuple(_for_agent(rule, agent) for rule in self.rules), self.existing)


def _tier(tier: Mapping[str, Any]) -> _Tier:
    cluster = tier.get("scope") == "Cluster"
    role = tier.get("existingRole")
    kind = "ClusterRole" if cluster else "Role"
    existing = RoleRef(role.get("kind", kind), role["name"]) if role else None
    return _Tier(_rules(tier.get("rules") or ()), cluster, existing)


def _rules(rules: Iterable[Mapping[str, Any]]) -> tuple[PolicyRule, ...]:
    return tuple(PolicyRule.from_manifest(rule) for rule in rules)


def _for_agent(rule: PolicyRule, agent: str) -> PolicyRule:
    """The rule with {agent} replaced by the name of the agent."""
    if not any(AGENT_PLACEHOLDER in name for name in rule.resource_names):
        return rule
    return replace(rule, resource_names=tuple(name.replace(AGENT_PLACEHOLDER, agent) for name in rule.resource_names))


def _identities(
    entry: str, agent: Mapping[str, Any], tiers: Mapping[str, _Tier], namespace: str, *, everyone: bool
) -> Iterator[Identity]:
    """The identities of an entry. ``everyone``: all agents are quarantined, whatever the entry says."""
    account = agent.get("serviceAccount") or {}
    in_quarantine = everyone or agent.get("quarantined", False)
    access = agent.get("access", "direct")
    for number, name in enumerate(_names(entry, agent), start=1):
        quarantined = number in in_quarantine if isinstance(in_quarantine, list) else in_quarantine
        yield Identity(
            name=name,
            namespace=namespace,
            entry=entry,
            grants=() if quarantined else tuple(_grants(agent, tiers, namespace, name)),
            token=TokenSettings("none") if access == "proxied" else _token(agent.get("token") or {}),
            access=access,
            created=account.get("create", True) and not quarantined,
            quarantined=quarantined,
        )


def _names(entry: str, agent: Mapping[str, Any]) -> Iterator[str]:
    if "instances" in agent:
        yield from (f"{entry}-{number}" for number in range(1, int(agent["instances"]) + 1))
    else:
        yield (agent.get("serviceAccount") or {}).get("name") or entry


def _grants(agent: Mapping[str, Any], tiers: Mapping[str, _Tier], namespace: str, name: str) -> Iterator[TierGrant]:
    for tier in agent.get("tiers", (PROXY_TIER,)):
        yield tiers[tier].grant(tier, namespace, name)
    for other_namespace, granted in sorted((agent.get("namespaces") or {}).items()):
        for tier in granted:
            yield tiers[tier].grant(tier, other_namespace, name)


def _token(token: Mapping[str, Any]) -> TokenSettings:
    mode = token.get("mode", "projected")
    seconds = None if mode == "automount" else int(token.get("expirationSeconds", DEFAULT_EXPIRATION_SECONDS))
    return TokenSettings(mode, seconds, token.get("audience", ""))


def _impersonation(mode: str, kube_version: str, agents: Iterable[Identity], namespace: str) -> tuple[TierGrant, ...]:
    """The grants that let the proxy impersonate proxied agents, if possible only for their verbs (KEP-5284)."""
    proxied = [agent for agent in agents if agent.access == "proxied"]
    if not proxied:
        return ()
    names = tuple(agent.name for agent in proxied)
    if mode == "legacy" or (mode == "auto" and _minor(kube_version) < _CONSTRAINED_SINCE):
        rule = PolicyRule(("impersonate",), ("",), ("serviceaccounts",), names)
        return (TierGrant("", namespace, (rule,), impersonation=True),)
    users = PolicyRule(("impersonate:serviceaccount",), ("authentication.k8s.io",), ("serviceaccounts",), names)
    by_namespace: dict[str, list[PolicyRule]] = {namespace: [users]}
    for agent in proxied:
        for grant in agent.grants:
            by_namespace.setdefault(grant.namespace, []).extend(
                replace(rule, verbs=tuple(f"impersonate-on:serviceaccount:{verb}" for verb in rule.verbs))
                for rule in grant.rules
            )
    unique = {where: tuple(dict.fromkeys(rules)) for where, rules in by_namespace.items()}
    return tuple(TierGrant("", where, rules, impersonation=True) for where, rules in unique.items())


def _minor(version: str) -> tuple[int, int]:
    major, minor, *_ = version.lstrip("v").split(".")
    return int(major), int(re.sub(r"\D.*", "", minor))
