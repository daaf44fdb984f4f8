"""Find an agent by name: the name of its ServiceAccount, or of an entry of the values with all of its instances."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
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
from agent_identities.kube.client import Api, ApiError
from agent_identities.quarantine.plan import TargetAccounts
from agent_identities.quarantine.release import Stored, stored

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_HELM = "meta.helm.sh/release-"  # annotations of all objects that Helm creates (helm.sh/helm/v4 pkg/action/validate.go)
_MOST_NAMES = 10


class UnknownAgentError(AgentIdentitiesError):
    """Neither the cluster nor the values have an agent of that name."""


class AmbiguousReleaseError(AgentIdentitiesError):
    """The namespace has agents of several releases."""


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

    ``namespace`` is the release's; ``values`` are the merged values if the caller has them. If neither the values nor
    the labels on the cluster have the name, the values in Helm's record of the release are used. Raises
    UnknownAgentError, ApiError.
    """
    if not _NAME.fullmatch(agent):
        raise UnknownAgentError(
            f"{agent!r}: not a valid ServiceAccount name. Name an agent: agent-identities quarantine triage-2"
        )
    agents_namespace = (values or {}).get("namespaceOverride") or namespace
    accounts = _accounts(api, agents_namespace, agent)
    names = tuple(each["metadata"]["name"] for each in accounts)
    name, home = _made_by(accounts, release, namespace)
    if accounts and values is None:
        target = TargetAccounts(agents_namespace, names)
        return FoundAgent(target, "" if names == (agent,) else agent, accounts, name, home)
    kept = stored(api, home, name) if values is None else None
    declaration = _declaration(values, kept, namespace)
    declared = _declared(declaration, agent)
    if not names and not declared:
        raise UnknownAgentError(_unknown(api, agent, agents_namespace, declaration))
    if declaration is not None and declared:
        agents_namespace, names = declaration.namespace, tuple(sorted({*names, *declared}))
        accounts = tuple(item for each in names if (item := _account(api, agents_namespace, each)) is not None)
        name, home = _made_by(accounts, release, namespace)
    target = TargetAccounts(agents_namespace, names, _entries(declaration))
    return FoundAgent(target, "" if names == (agent,) else agent, accounts, name, home, values, kept)


def find_all(
    api: Api, namespace: str, *, release: str | None = None, values: Mapping[str, Any] | None = None
) -> FoundAgent:
    """All agents of a release: those with the label on the cluster, and those that the values declare.

    The values in Helm's record are used if the caller has none. The proxy is not an agent. Raises UnknownAgentError,
    AmbiguousReleaseError, ApiError.
    """
    agents_namespace = (values or {}).get("namespaceOverride") or namespace
    accounts = api.list_all(f"/api/v1/namespaces/{agents_namespace}/serviceaccounts")
    made_by = {
        each["metadata"]["name"]: _made_by((each,), None, namespace)
        for each in accounts
        if AGENT_LABEL in (each["metadata"].get("labels") or {})
    }
    releases = sorted({made for made in made_by.values() if release in (None, made[0])})
    if len(releases) > 1:
        named = ", ".join(name for name, _ in releases)
        raise AmbiguousReleaseError(
            f"namespace {agents_namespace} has agents of several releases ({named}). Name one of them with --release."
        )
    name, home = releases[0] if releases else (release or DEFAULT_RELEASE, namespace)
    kept = stored(api, home, name) if values is None else None
    declaration = _declaration(values, kept, namespace)
    names = {account for account, made in made_by.items() if made[0] == name}
    if declaration is not None and declaration.namespace == agents_namespace:
        names |= {one.name for one in (*declaration.agents, *declaration.quarantined)}
    if not names:
        raise UnknownAgentError(_no_agents(agents_namespace))
    target = TargetAccounts(agents_namespace, tuple(sorted(names)), _entries(declaration))
    existing = tuple(each for each in accounts if each["metadata"]["name"] in names)
    return FoundAgent(target, "", existing, name, home, values, kept, every=True)


def _declaration(values: Mapping[str, Any] | None, kept: Stored | None, namespace: str) -> Declaration | None:
    values = values if values is not None else kept.values if kept is not None else None
    return declare(values, namespace=namespace) if values is not None else None


def _no_agents(namespace: str) -> str:
    return f"namespace {namespace} has no agents. Set the namespace of the release with --namespace."


def _made_by(accounts: tuple[Mapping[str, Any], ...], release: str | None, namespace: str) -> tuple[str, str]:
    """(release, its namespace), from Helm's annotations of a ServiceAccount of the chart, else from the caller."""
    for account in accounts:
        labels, notes = (account["metadata"].get(field) or {} for field in ("labels", "annotations"))
        made = notes.get(f"{_HELM}name") or labels.get(RELEASE_LABEL)
        if AGENT_LABEL in labels and made and release in (None, made):
            return made, notes.get(f"{_HELM}namespace") or namespace
    return release or DEFAULT_RELEASE, namespace


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
