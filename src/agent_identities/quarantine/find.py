"""Find an agent by name: the name of its ServiceAccount, or of an entry of the values with all of its instances."""

import base64
import binascii
import difflib
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from agent_identities.chart import values as values_files
from agent_identities.chart.names import (
    AGENT_LABEL,
    CHART_LABEL,
    CHART_NAME,
    DEFAULT_NAMESPACE,
    DEFAULT_RELEASE,
    INSTANCE_LABEL,
    RELEASE_LABEL,
)
from agent_identities.declaration import Declaration, declare
from agent_identities.errors import AgentIdentitiesError
from agent_identities.kube.client import METADATA_ONLY, Api, ApiError
from agent_identities.quarantine.plan import TargetAccounts

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_HELM = "meta.helm.sh/release-"  # annotations of all objects that Helm creates (helm.sh/helm/v4 pkg/action/validate.go)
_MOST_NAMES = 10


class UnknownAgentError(AgentIdentitiesError):
    """Neither the cluster nor the values have an agent of that name."""


@dataclass(frozen=True, slots=True)
class FoundAgent:
    """The target, its existing ServiceAccounts, and the values of the release (None if they are unknown).

    ``entry`` is the entry of the values if the name is that of an entry, else "". ``release`` is the name of the
    release. ``home`` is the namespace of the release, where Helm stores its records; it can differ from the agents'
    namespace.
    """

    target: TargetAccounts
    entry: str = ""
    accounts: tuple[Mapping[str, Any], ...] = ()
    release: str = DEFAULT_RELEASE
    home: str = DEFAULT_NAMESPACE
    values: Mapping[str, Any] | None = field(default=None, repr=False)

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
    if values is None:
        values = stored_values(api, home, name)
    declaration = declare(values, namespace=namespace) if values is not None else None
    declared = _declared(declaration, agent)
    if not names and not declared:
        raise UnknownAgentError(_unknown(api, agent, agents_namespace, declaration))
    if declaration is not None and declared:
        agents_namespace, names = declaration.namespace, tuple(sorted({*names, *declared}))
        accounts = tuple(item for each in names if (item := _account(api, agents_namespace, each)) is not None)
        name, home = _made_by(accounts, release, namespace)
    target = TargetAccounts(agents_namespace, names)
    return FoundAgent(target, "" if names == (agent,) else agent, accounts, name, home, values)


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
    where = f"/api/v1/namespaces/{namespace}/serviceaccounts?labelSelector={INSTANCE_LABEL}%3D{agent}"
    return tuple(api.list_all(where))


def _account(api: Api, namespace: str, name: str) -> Mapping[str, Any] | None:
    try:
        return api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise


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
        return f"{agent}: namespace {namespace} has no agents. Set the namespace of the release with --namespace."
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


def _records(namespace: str, release: str) -> str:
    """The path of Helm's records of a release."""
    return f"/api/v1/namespaces/{namespace}/secrets?labelSelector=owner%3Dhelm,name%3D{release}"


def unfinished(api: Api, namespace: str, release: str) -> str:
    """The status of an unfinished Helm operation on a release, such as "pending-upgrade"; "" if there is none.

    The status is a label of the newest release record. Only metadata is read: a record can be as large as a megabyte.
    Raises ApiError if the records cannot be read.
    """
    path = _records(namespace, release)
    answer = api.raw("GET", path, headers=METADATA_ONLY, repeatable=True)
    if answer.status != HTTPStatus.OK:
        raise ApiError(answer.message or f"{path}: {answer.status}", status=answer.status)
    every = [each["metadata"].get("labels") or {} for each in answer.body.get("items") or ()]
    numbered = [labels for labels in every if str(labels.get("version", "")).isdecimal()]
    newest: Mapping[str, str] = max(numbered, key=lambda labels: int(labels["version"]), default={})
    status = str(newest.get("status", ""))
    return status if status.startswith("pending-") else ""


def stored_values(api: Api, namespace: str, release: str) -> dict[str, Any] | None:
    """The values of the newest revision of a release, merged with the chart's defaults; None if they cannot be read.

    The source is Helm's Secret driver: JSON, compressed, in base64 (helm.sh/helm/v4 pkg/storage/driver/util.go).
    """
    try:
        kept = api.list_all(_records(namespace, release))
        newest = max(kept, key=lambda secret: int(secret["metadata"]["labels"].get("version", 0)))
        record = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(newest["data"]["release"]))))
        defaults = record["chart"].get("values") or {}
        return values_files.completed(values_files.with_defaults(record.get("config") or {}, defaults), defaults)
    except (ApiError, ValueError, KeyError, TypeError, OSError, EOFError, binascii.Error):
        return None
