"""Helm's records of a release: whether an operation is running, and the values that the next `helm upgrade` reuses.

Helm stores a record for each revision: JSON, compressed, in base64, in a Secret or, with HELM_DRIVER=configmap, in a
ConfigMap. Its status is a label (helm.sh/helm/v4 pkg/storage/driver/{secrets,cfgmaps,util}.go).
"""

import base64
import binascii
import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from agent_identities.chart import values as values_files
from agent_identities.chart.names import CHART_NAME
from agent_identities.kube.client import Api, ApiError

_METADATA_ONLY = {"accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
"""Request only metadata: a record can be as large as a megabyte."""
_SECRETS, _CONFIGMAPS = "secrets", "configmaps"
_DEPLOYED = "deployed"
_REUSED_WITHOUT_DEPLOYED = ("failed", "superseded")


@dataclass(frozen=True, slots=True)
class Revision:
    """One record: its number, its status (deployed, superseded, failed, pending-upgrade ...), and where it is."""

    number: int
    status: str
    path: str

    @property
    def is_pending(self) -> bool:
        """Whether a Helm operation is running, or was interrupted."""
        return self.status.startswith("pending-")


@dataclass(frozen=True, slots=True)
class Stored:
    """The values of a release, merged with the defaults of its chart, and the revision that has them.

    ``newest`` is the newest revision. ``reused`` says whether the next `helm upgrade` reuses the values of
    ``revision``; if not, no upgrade is possible, as after `helm uninstall --keep-history`. ``values`` is None if they
    could not be read. ``within`` is the key of the chart in the values of a parent chart, "" without a parent chart.
    """

    revision: Revision
    newest: Revision
    reused: bool
    values: Mapping[str, Any] | None = field(default=None, repr=False)
    within: str = ""


def revisions(api: Api, namespace: str, release: str) -> tuple[Revision, ...]:
    """All records of a release, by number. Raises ApiError if they cannot be read."""
    found = _listed(api, namespace, release, _SECRETS)
    if not found:
        try:
            found = _listed(api, namespace, release, _CONFIGMAPS)
        except ApiError as error:
            if error.status != HTTPStatus.FORBIDDEN:  # the default is a Secret; without the right, there is none
                raise
    return found


def reused(every: Iterable[Revision]) -> tuple[Revision, bool] | None:
    """The revision whose values the next upgrade reuses, True; or the newest, False; None without a record.

    Helm takes the newest revision that is deployed. Without a deployed revision, it takes the newest if that is failed
    or superseded, and otherwise refuses the upgrade (helm.sh/helm/v4 pkg/action/upgrade.go: prepareUpgrade).
    """
    numbered = sorted(every, key=lambda each: each.number)
    if not numbered:
        return None
    for each in reversed(numbered):
        if each.status == _DEPLOYED:
            return each, True
    return numbered[-1], numbered[-1].status in _REUSED_WITHOUT_DEPLOYED


def stored(api: Api, namespace: str, release: str) -> Stored | None:
    """The values of a release that the next upgrade reuses. None without a readable record."""
    try:
        every = revisions(api, namespace, release)
    except ApiError:
        return None
    found = reused(every)
    if found is None:
        return None
    revision, is_reused = found
    within, values = _values_in(api, revision.path)
    return Stored(revision, max(every, key=lambda each: each.number), is_reused, values, within)


def _listed(api: Api, namespace: str, release: str, kind: str) -> tuple[Revision, ...]:
    collection = f"/api/v1/namespaces/{namespace}/{kind}"
    answer = api.raw(
        "GET", f"{collection}?labelSelector=owner%3Dhelm,name%3D{release}", headers=_METADATA_ONLY, repeatable=True
    )
    if answer.status != HTTPStatus.OK:
        raise ApiError(answer.message or f"{collection}: {answer.status}", status=answer.status)
    found = [
        (each["metadata"].get("labels") or {}, each["metadata"]["name"]) for each in answer.body.get("items") or ()
    ]
    return tuple(
        Revision(int(labels["version"]), str(labels.get("status", "")), f"{collection}/{name}")
        for labels, name in found
        if str(labels.get("version", "")).isdecimal()
    )


def _values_in(api: Api, path: str) -> tuple[str, Mapping[str, Any] | None]:
    """(key of the chart in a parent chart or "", values) of the record at a path; ("", None) if it is not readable."""
    try:
        data = base64.b64decode(api.get(path)["data"]["release"])
        record = json.loads(gzip.decompress(base64.b64decode(data) if f"/{_SECRETS}/" in path else data))
        chart = record["chart"]
        defaults = chart.get("values") or {}
        values = values_files.with_defaults(record.get("config") or {}, defaults)
        if (chart.get("metadata") or {}).get("name") == CHART_NAME:
            return "", values_files.completed(values, defaults)
        ours = [key for key, each in values.items() if isinstance(each, Mapping) and {"agents", "proxy"} <= each.keys()]
        return (ours[0], values[ours[0]]) if len(ours) == 1 else ("", None)
    except (ApiError, ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, binascii.Error):
        return "", None
