"""Whom a name means: a ServiceAccount of an agent, or an entry of the values with its instances."""

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
from agent_identities.chart.names import AGENT_LABEL, INSTANCE_LABEL, RELEASE_LABEL
from agent_identities.declaration import Declaration, declare
from agent_identities.errors import AgentIdentitiesError
from agent_identities.kube.client import Api, ApiError
from agent_identities.quarantine.plan import TargetAccounts

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_HELM = "meta.helm.sh/release-"  # what Helm annotates all that it makes with (helm.sh/helm/v4 pkg/action/validate.go)
_METADATA_ONLY = {"accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
"""A record of Helm may be a megabyte."""


class UnknownAgentError(AgentIdentitiesError):
    """No agent of that name, neither on the cluster nor in the values."""


@dataclass(frozen=True, slots=True)
class FoundAgent:
    """The target, its ServiceAccounts as they are (none where they are gone), and the values, None where unknown.

    ``entry`` is the entry of the values where that was asked for, with all of its instances, else "". ``release`` is in
    the namespace ``home``, where Helm keeps its record, which need not be the agents'.
    """

    target: TargetAccounts
    entry: str = ""
    accounts: tuple[Mapping[str, Any], ...] = ()
    release: str = "agents"
    home: str = "agent-system"
    values: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def labels(self) -> Mapping[str, Mapping[str, str]]:
        """The labels of each ServiceAccount that is there."""
        return {each["metadata"]["name"]: each["metadata"].get("labels") or {} for each in self.accounts}


def find(
    api: Api, agent: str, namespace: str, *, release: str | None = None, values: Mapping[str, Any] | None = None
) -> FoundAgent:
    """The agent of this name, or the instances of the entry of this name.

    ``namespace`` is the release's; ``values`` are the merged ones where the caller has them. Where neither the values
    nor the cluster's labels tell, those that Helm keeps of the release do. Raises UnknownAgentError, ApiError.
    """
    if not _NAME.fullmatch(agent):
        raise UnknownAgentError(f"{agent!r}: no ServiceAccount can have that name. Name one agent: quarantine triage-2")
    place = (values or {}).get("namespaceOverride") or namespace
    accounts = _accounts(api, place, agent)
    names = tuple(each["metadata"]["name"] for each in accounts)
    name, home = _made_by(accounts, release, namespace)
    if accounts and values is None:
        return FoundAgent(TargetAccounts(place, names), "" if names == (agent,) else agent, accounts, name, home)
    if values is None:
        values = stored_values(api, home, name)
    declaration = declare(values, namespace=namespace) if values is not None else None
    declared = _declared(declaration, agent)
    if not names and not declared:
        raise UnknownAgentError(_unknown(api, agent, place, declaration))
    if declaration is not None and declared:
        place, names = declaration.namespace, tuple(sorted({*names, *declared}))
        accounts = tuple(item for each in names if (item := _account(api, place, each)) is not None)
        name, home = _made_by(accounts, release, namespace)
    return FoundAgent(TargetAccounts(place, names), "" if names == (agent,) else agent, accounts, name, home, values)


def _made_by(accounts: tuple[Mapping[str, Any], ...], release: str | None, namespace: str) -> tuple[str, str]:
    """(release, its namespace): as Helm has noted on an account that the chart made, else as the caller says."""
    for account in accounts:
        labels, notes = (account["metadata"].get(field) or {} for field in ("labels", "annotations"))
        made = notes.get(f"{_HELM}name") or labels.get(RELEASE_LABEL)
        if AGENT_LABEL in labels and made and release in (None, made):
            return made, notes.get(f"{_HELM}namespace") or namespace
    return release or "agents", namespace


def _accounts(api: Api, namespace: str, agent: str) -> tuple[Mapping[str, Any], ...]:
    """The ServiceAccounts whose labels say that they are this agent, or instances of this entry."""
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
        return f"{agent}: there is no agent at all in namespace {namespace}. Name the release's with --namespace."
    close = difflib.get_close_matches(agent, sorted(known), n=3)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"There are: {', '.join(sorted(known)[:10])}."
    return f"{agent}: no agent of that name in namespace {namespace}. {hint}"


def _records(namespace: str, release: str) -> str:
    """Where Helm's records of a release are."""
    return f"/api/v1/namespaces/{namespace}/secrets?labelSelector=owner%3Dhelm,name%3D{release}"


def unfinished(api: Api, namespace: str, release: str) -> str:
    """What Helm has begun on a release and not ended, in its own word: "pending-upgrade"; "" where there is nothing.

    Its records carry it as a label, and the newest counts. Raises ApiError where they cannot be read.
    """
    path = _records(namespace, release)
    answer = api.raw("GET", path, headers=_METADATA_ONLY, repeatable=True)
    if answer.status != HTTPStatus.OK:
        raise ApiError(answer.message or f"{path}: {answer.status}", status=answer.status)
    every = [each["metadata"].get("labels") or {} for each in answer.body.get("items") or ()]
    numbered = [labels for labels in every if str(labels.get("version", "")).isdecimal()]
    newest: Mapping[str, str] = max(numbered, key=lambda labels: int(labels["version"]), default={})
    status = str(newest.get("status", ""))
    return status if status.startswith("pending-") else ""


def stored_values(api: Api, namespace: str, release: str) -> dict[str, Any] | None:
    """The values of the newest revision of a release, over the chart's, as Helm keeps them; None if they are not there.

    Helm's Secret driver: JSON, compressed, in base64 (helm.sh/helm/v4 pkg/storage/driver/util.go).
    """
    try:
        kept = api.list_all(_records(namespace, release))
        newest = max(kept, key=lambda secret: int(secret["metadata"]["labels"].get("version", 0)))
        record = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(newest["data"]["release"]))))
        return values_files.with_defaults(record.get("config") or {}, record["chart"].get("values") or {})
    except (ApiError, ValueError, KeyError, TypeError, OSError, EOFError, binascii.Error):
        return None
