"""Find an agent by name: the name of its ServiceAccount, or of an entry of the values with all of its instances."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from agent_identities.chart.names import (
    AGENT_LABEL,
    CHART_LABEL,
    CHART_NAME,
    DEFAULT_NAMESPACE,
    DEFAULT_RELEASE,
    INSTANCE_LABEL,
    LABEL_LIMIT,
    RELEASE_LABEL,
)
from agent_identities.declaration import Declaration, declare
from agent_identities.errors import AgentIdentitiesError
from agent_identities.inventory.location import HELM, AmbiguousReleaseError, Location, locate
from agent_identities.kube.client import Api, ApiError
from agent_identities.quarantine.plan import TargetAccounts
from agent_identities.quarantine.release import Stored, stored

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_MOST_NAMES = 10


class UnknownAgentError(AgentIdentitiesError):
    """Neither the cluster nor the values have an agent of that name."""


@dataclass(frozen=True, slots=True)
class FoundAgent:
    """The target, its existing ServiceAccounts, and the caller's values (None without values files).

    ``entry`` is the entry of the values if the name is that of an entry, else "". ``release`` is the name of the
    release. ``home`` is the namespace of the release, where Helm stores its records; it can differ from the agents'
    namespace. ``stored`` are the values in Helm's records if they were read. ``every``: the target are all agents of
    the release.
    """

    target: TargetAccounts
    entry: str = ""
    accounts: tuple[Mapping[str, Any], ...] = ()
    release: str = DEFAULT_RELEASE
    home: str = DEFAULT_NAMESPACE
    values: Mapping[str, Any] | None = field(default=None, repr=False)
    stored: Stored | None = None
    every: bool = False

    @property
    def labels(self) -> Mapping[str, Mapping[str, str]]:
        """The labels of each existing ServiceAccount."""
        return {each["metadata"]["name"]: each["metadata"].get("labels") or {} for each in self.accounts}


def find(
    api: Api, agent: str, namespace: str, *, release: str | None = None, values: Mapping[str, Any] | None = None
) -> FoundAgent:
    """The agent of this name, or the instances of the entry of this name.

    ``namespace`` is the agents' or the release's; ``values`` are the merged values if the caller has them. If neither
    the values nor the labels on the cluster have the name, the values in Helm's record of the release are used. Raises
    UnknownAgentError, AmbiguousReleaseError, ApiError.
    """
    if not _NAME.fullmatch(agent):
        raise UnknownAgentError(
            f"{agent!r}: not a valid ServiceAccount name. Name an agent: agent-identities quarantine triage-2"
        )
    at = _given(namespace, release, values)
    accounts = _accounts(api, at.agents, agent)
    at = _made_by(accounts, release, at)
    if not accounts:
        at = _installed(api, at, release, values)
        accounts = _accounts(api, at.agents, agent)
    names = tuple(each["metadata"]["name"] for each in accounts)
    if accounts and values is None:
        target = TargetAccounts(at.agents, names)
        return FoundAgent(target, "" if names == (agent,) else agent, accounts, at.release, at.home)
    kept = stored(api, at.home, at.release) if values is None else None
    values = _in(at.agents, values)
    declaration = _declaration(values, kept, at.home)
    declared = _declared(declaration, agent)
    if not names and not declared:
        raise UnknownAgentError(_unknown(api, agent, at.agents, declaration))
    if declaration is not None and declared:
        names = tuple(sorted({*names, *declared}))
        accounts = tuple(item for each in names if (item := _account(api, declaration.namespace, each)) is not None)
        at = _made_by(accounts, release, replace(at, agents=declaration.namespace))
    target = TargetAccounts(at.agents, names, _entries(declaration))
    return FoundAgent(target, "" if names == (agent,) else agent, accounts, at.release, at.home, values, kept)


def find_all(
    api: Api, namespace: str, *, release: str | None = None, values: Mapping[str, Any] | None = None
) -> FoundAgent:
    """All agents of a release: those with the label on the cluster, and those that the values declare.

    The values in Helm's record are used if the caller has none. The proxy is not an agent. Raises UnknownAgentError,
    AmbiguousReleaseError, ApiError.
    """
    at = _given(namespace, release, values)
    accounts, releases = _of_releases(api, at, release)
    if not releases:
        at = _installed(api, at, release, values)
        accounts, releases = _of_releases(api, at, release)
    if len(releases) > 1:
        named = ", ".join(each.release for each in sorted(releases))
        raise AmbiguousReleaseError(
            f"namespace {at.agents} has agents of several releases ({named}). Name one of them with --release."
        )
    at = next(iter(releases), at)
    kept = stored(api, at.home, at.release) if values is None else None
    values = _in(at.agents, values)
    declaration = _declaration(values, kept, at.home)
    names = set(releases.get(at, ()))
    if declaration is not None and declaration.namespace == at.agents:
        names |= {one.name for one in (*declaration.agents, *declaration.quarantined)}
    if not names:
        raise UnknownAgentError(_no_agents(at.agents))
    target = TargetAccounts(at.agents, tuple(sorted(names)), _entries(declaration))
    existing = tuple(each for each in accounts if each["metadata"]["name"] in names)
    return FoundAgent(target, "", existing, at.release, at.home, values, kept, every=True)


def _given(namespace: str, release: str | None, values: Mapping[str, Any] | None) -> Location:
    """Where the release is according to the caller."""
    return Location(release or DEFAULT_RELEASE, namespace, (values or {}).get("namespaceOverride") or namespace)


def _installed(api: Api, given: Location, release: str | None, values: Mapping[str, Any] | None) -> Location:
    """Where the release is on the cluster; ``given`` without it, or if the values name another agents' namespace."""
    found = locate(api, given.agents, release)
    named = (values or {}).get("namespaceOverride")
    return found if found is not None and named in (None, "", found.agents) else given


def _in(namespace: str, values: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The caller's values with the agents' namespace, which can be on the command line of Helm only."""
    return None if values is None else {**values, "namespaceOverride": namespace}


def _of_releases(api: Api, at: Location, release: str | None) -> tuple[list[dict[str, Any]], dict[Location, list[str]]]:
    """All ServiceAccounts of the agents' namespace, and the names of the agents of each release (of this name)."""
    accounts = api.list_all(f"/api/v1/namespaces/{at.agents}/serviceaccounts")
    releases: dict[Location, list[str]] = {}
    for each in accounts:
        made = _made_by((each,), None, at)
        if AGENT_LABEL in (each["metadata"].get("labels") or {}) and release in (None, made.release):
            releases.setdefault(made, []).append(each["metadata"]["name"])
    return accounts, releases


def _declaration(values: Mapping[str, Any] | None, kept: Stored | None, home: str) -> Declaration | None:
    values = values if values is not None else kept.values if kept is not None else None
    return declare(values, namespace=home) if values is not None else None


def _no_agents(namespace: str) -> str:
    return f"namespace {namespace} has no agents. Set the namespace of the agents with --namespace."


def _made_by(accounts: tuple[Mapping[str, Any], ...], release: str | None, given: Location) -> Location:
    """From Helm's annotations of a ServiceAccount of the chart, else as ``given``."""
    for account in accounts:
        labels, notes = (account["metadata"].get(field) or {} for field in ("labels", "annotations"))
        made = notes.get(f"{HELM}name") or labels.get(RELEASE_LABEL)
        if AGENT_LABEL in labels and made and release in (None, made):
            return Location(made, notes.get(f"{HELM}namespace") or given.home, given.agents)
    return given


def _accounts(api: Api, namespace: str, agent: str) -> tuple[Mapping[str, Any], ...]:
    """The ServiceAccounts with the label of this agent, or of an instance of this entry."""
    account = _account(api, namespace, agent)
    if account is not None and (account["metadata"].get("labels") or {}).get(AGENT_LABEL) == agent:
        return (account,)
    if len(agent) > LABEL_LIMIT:
        return ()
    where = f"/api/v1/namespaces/{namespace}/serviceaccounts?labelSelector={INSTANCE_LABEL}%3D{agent}"
    return tuple(api.list_all(where))


def _account(api: Api, namespace: str, name: str) -> Mapping[str, Any] | None:
    try:
        return api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def _entries(declaration: Declaration | None) -> Mapping[str, str]:
    every = (*declaration.agents, *declaration.quarantined) if declaration is not None else ()
    return {one.name: one.entry for one in every}


def _declared(declaration: Declaration | None, agent: str) -> tuple[str, ...]:
    if declaration is None:
        return ()
    every = (*declaration.agents, *declaration.quarantined)
    return tuple(one.name for one in every if one.name == agent) or tuple(
        one.name for one in every if one.entry == agent
    )


def _unknown(api: Api, agent: str, namespace: str, declaration: Declaration | None) -> str:
    labelled = api.list_all(f"/api/v1/namespaces/{namespace}/serviceaccounts?labelSelector={AGENT_LABEL}")
    known = {each["metadata"]["name"] for each in labelled}
    if declaration is not None:
        known |= {one.name for one in (*declaration.agents, *declaration.quarantined)}
    if not known:
        return f"{agent}: {_no_agents(namespace)}"
    labels = ((_account(api, namespace, agent) or {}).get("metadata") or {}).get("labels") or {}
    if labels.get(CHART_LABEL) == CHART_NAME and AGENT_LABEL not in labels:
        return (
            f"{agent}: is the proxy, and quarantine removes agents only. Delete the proxy's RoleBindings, then its "
            f"ServiceAccount. To list the RoleBindings: kubectl -n {namespace} get rolebindings -o wide"
        )
    names = sorted(known)
    close = difflib.get_close_matches(agent, names, n=3)
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    hint = f"Did you mean {' or '.join(close)}?" if close else f"Its agents: {', '.join(names[:_MOST_NAMES])}{more}."
    return f"{agent}: namespace {namespace} has no agent of that name. {hint}"
