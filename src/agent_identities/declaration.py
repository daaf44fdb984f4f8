"""Which agents the values declare, and what each of them may do.

This is the promise that rendered objects and live clusters are held to. It is worked out from the values alone, never
from what the templates print: a promise read from the chart's own output could not be broken.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent_identities.chart.names import AGENT_PLACEHOLDER, PROXY_TIER, role_name
from agent_identities.rbac import PolicyRule, RoleRef, User
from agent_identities.rbac.default_grants import ungranted_namespace

DEFAULT_EXPIRATION_SECONDS = 3600
EVERYWHERE = ""
"""The namespace of a grant that holds in the whole cluster."""

_CONSTRAINED_SINCE = (1, 36)


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """How an agent's pods get a token: ``projected``, ``automount``, or ``none`` for an agent that never has one.

    ``expiration_seconds`` is None where it is not ours to say.
    """

    mode: str
    expiration_seconds: int | None = None
    audience: str = ""


@dataclass(frozen=True, slots=True)
class TierGrant:
    """The rules of one tier in one namespace (EVERYWHERE: the whole cluster).

    ``rules`` are empty where ``existing`` names a Role that is not the chart's: the values do not know its rules.
    ``impersonation``: the grant lets the proxy act as its proxied agents; it is of no tier, and ``tier`` is "".
    """

    tier: str
    namespace: str
    rules: tuple[PolicyRule, ...]
    existing: RoleRef | None = None
    impersonation: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """One ServiceAccount and what it may do. ``entry`` is the key of the values that it comes from.

    ``created`` says whether the chart makes the ServiceAccount, ``access`` whether it acts by itself (direct) or the
    proxy does as it (proxied). A quarantined one has no grants.
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
        """As the API server sees it, with the groups that every ServiceAccount has."""
        return User.service_account(self.namespace, self.name)

    @property
    def tiers(self) -> tuple[str, ...]:
        """The tiers it holds anywhere, in the order of the values."""
        return tuple(dict.fromkeys(grant.tier for grant in self.grants if not grant.impersonation))

    def rules_in(self, namespace: str) -> tuple[PolicyRule, ...]:
        """The rules granted for just this namespace (EVERYWHERE: for the whole cluster)."""
        return tuple(rule for grant in self.grants if grant.namespace == namespace for rule in grant.rules)


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a set of values promises for the agents in ``namespace``.

    ``deployers`` are ServiceAccounts of others, (namespace, name), that may run pods as agents (guards.deployers).
    ``accepted`` are the risks that each tier takes on purpose: tier, id of the risk, reason.
    """

    namespace: str
    proxy: Identity
    agents: tuple[Identity, ...]
    quarantined: tuple[Identity, ...]
    tiers: Mapping[str, tuple[PolicyRule, ...]]
    accepted: Mapping[str, Mapping[str, str]]
    deployers: frozenset[tuple[str, str]] = frozenset()

    @property
    def identities(self) -> tuple[Identity, ...]:
        """The proxy, all agents, and those in quarantine, who hold nothing."""
        return (self.proxy, *self.agents, *self.quarantined)

    def role_name(self, identity: Identity) -> str:
        """The role of its first tier, as it is called in the release's namespace; the central Role if it has none."""
        grant = next((grant for grant in identity.grants if not grant.impersonation), None)
        if grant is None:
            return role_name(PROXY_TIER, proxy=self.proxy.name)
        if grant.existing is not None:
            return grant.existing.name
        of_each = any(AGENT_PLACEHOLDER in name for rule in self.tiers[grant.tier] for name in rule.resource_names)
        return role_name(grant.tier, proxy=self.proxy.name, agent=identity.name if of_each else "")

    @property
    def granted_namespaces(self) -> tuple[str, ...]:
        """The release's namespace, then every other namespace of a grant, EVERYWHERE included."""
        granted = (grant.namespace for one in self.identities for grant in one.grants)
        return tuple(dict.fromkeys((self.namespace, *granted)))

    @property
    def ungranted_namespace(self) -> str:
        """A namespace where none of the identities is granted anything of its own."""
        return ungranted_namespace(self.granted_namespaces)

    def with_existing_roles(self, rules_of: Callable[[RoleRef, str], tuple[PolicyRule, ...]]) -> "Declaration":
        """The same with the rules of existing Roles, as ``rules_of(role, namespace of the grant)`` reads them.

        Each role is read once.
        """
        read = functools.cache(rules_of)

        def filled(one: Identity) -> Identity:
            grants = (g if g.existing is None else replace(g, rules=read(g.existing, g.namespace)) for g in one.grants)
            return replace(one, grants=tuple(grants))

        return replace(self, agents=tuple(filled(one) for one in self.agents))

    def find(self, namespace: str, name: str) -> Identity | None:
        """The proxy or the agent with this ServiceAccount; None for others, and for those in quarantine."""
        return next((one for one in (self.proxy, *self.agents) if (one.namespace, one.name) == (namespace, name)), None)


def declare(values: Mapping[str, Any], *, namespace: str, kube_version: str = "1.36.0") -> Declaration:
    """The promise of values as the chart's templates see them (``values.load``).

    ``namespace`` is the release's; ``kube_version`` the API server's, on which it depends how the proxy impersonates.
    """
    namespace = values.get("namespaceOverride") or namespace
    tiers = {PROXY_TIER: _Tier(_rules(values["proxy"]["rules"]))}
    tiers |= {name: _tier(tier) for name, tier in (values.get("tiers") or {}).items() if tier is not None}
    everyone = tuple(
        identity
        for entry, agent in sorted((values.get("agents") or {}).items())
        if agent is not None
        for identity in _identities(entry, agent, tiers, namespace)
    )
    agents = tuple(one for one in everyone if not one.quarantined)
    own = TierGrant(PROXY_TIER, namespace, tiers[PROXY_TIER].rules)
    acting = _impersonation(values["proxy"].get("impersonation", "auto"), kube_version, agents, namespace)
    token = _token(values["proxy"].get("token") or {})
    proxy = Identity(values["proxy"]["name"], namespace, "proxy", (own, *acting), token)
    return Declaration(
        namespace=namespace,
        proxy=proxy,
        agents=agents,
        quarantined=tuple(one for one in everyone if one.quarantined),
        tiers={name: tier.rules for name, tier in tiers.items()},
        accepted={
            name: tier.get("acceptRisks") or {}
            for name, tier in {PROXY_TIER: values["proxy"], **(values.get("tiers") or {})}.items()
            if tier is not None
        },
        deployers=frozenset(
            (deployer["namespace"], deployer["name"])
            for deployer in (values.get("guards") or {}).get("deployers") or ()
            if deployer["kind"] == "ServiceAccount"
        ),
    )


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
    """The rule with the agent's name in place of {agent}."""
    if not any(AGENT_PLACEHOLDER in name for name in rule.resource_names):
        return rule
    return replace(rule, resource_names=tuple(name.replace(AGENT_PLACEHOLDER, agent) for name in rule.resource_names))


def _identities(entry: str, agent: Mapping[str, Any], tiers: Mapping[str, _Tier], namespace: str) -> Iterator[Identity]:
    account = agent.get("serviceAccount") or {}
    out = agent.get("quarantined", False)
    access = agent.get("access", "direct")
    for number, name in enumerate(_names(entry, agent), start=1):
        quarantined = number in out if isinstance(out, list) else out
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
    for elsewhere, granted in sorted((agent.get("namespaces") or {}).items()):
        for tier in granted:
            yield tiers[tier].grant(tier, elsewhere, name)


def _token(token: Mapping[str, Any]) -> TokenSettings:
    mode = token.get("mode", "projected")
    seconds = None if mode == "automount" else int(token.get("expirationSeconds", DEFAULT_EXPIRATION_SECONDS))
    return TokenSettings(mode, seconds, token.get("audience", ""))


def _impersonation(mode: str, kube_version: str, agents: Iterable[Identity], namespace: str) -> tuple[TierGrant, ...]:
    """What the proxy holds beside its own tier: acting as proxied agents, for their verbs where it can (KEP-5284)."""
    proxied = [agent for agent in agents if agent.access == "proxied"]
    if not proxied:
        return ()
    names = tuple(agent.name for agent in proxied)
    if mode == "legacy" or (mode == "auto" and _minor(kube_version) < _CONSTRAINED_SINCE):
        rule = PolicyRule(("impersonate",), ("",), ("serviceaccounts",), names)
        return (TierGrant("", namespace, (rule,), impersonation=True),)
    who = PolicyRule(("impersonate:serviceaccount",), ("authentication.k8s.io",), ("serviceaccounts",), names)
    acting: dict[str, list[PolicyRule]] = {namespace: [who]}
    for agent in proxied:
        for grant in agent.grants:
            acting.setdefault(grant.namespace, []).extend(
                replace(rule, verbs=tuple(f"impersonate-on:serviceaccount:{verb}" for verb in rule.verbs))
                for rule in grant.rules
            )
    held = {where: tuple(dict.fromkeys(rules)) for where, rules in acting.items()}
    return tuple(TierGrant("", where, rules, impersonation=True) for where, rules in held.items())


def _minor(version: str) -> tuple[int, int]:
    major, minor, *_ = version.lstrip("v").split(".")
    return int(major), int(re.sub(r"\D.*", "", minor))
