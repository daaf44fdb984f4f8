"""Discovery: the resources, subresources, scopes and verbs that an API server serves.

Aggregated discovery (apidiscovery.k8s.io, KEP-3352) needs two requests. An API server without it has a request for each
group and version.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from agent_identities.kube.client import DEFAULT_CONCURRENCY, Answer, Api
from agent_identities.kube.fanout import fan_out
from agent_identities.rbac.served import Served, ServedResource

_LIST = "g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
_ACCEPT = {
    "accept": ",".join(
        (*(f"application/json;{_LIST.format(version=version)}" for version in ("v2", "v2beta1")), "application/json")
    )
}
_AGGREGATED = "APIGroupDiscoveryList"
_CURRENT = "Current"


@dataclass(frozen=True, slots=True)
class Discovered:
    """The resources, and why those of some groups are unknown: by group, or by path if nothing could be read."""

    served: Served
    unread: Mapping[str, str]


def discover(api: Api, *, concurrency: int = DEFAULT_CONCURRENCY) -> Discovered:
    """Read the resources of an API server. A group that cannot be read is in ``unread``. Raises ApiError."""
    resources: list[ServedResource] = []
    unread: dict[str, str] = {}
    for path, answer in zip(("/api", "/apis"), _ask(api, ["/api", "/apis"], concurrency), strict=True):
        if answer.status != HTTPStatus.OK:
            reason = f"{path}: {answer.status} {answer.message}".rstrip()
            return Discovered(Served(known=False), {path: reason})
        if answer.body.get("kind") == _AGGREGATED:
            for group in answer.body.get("items") or ():
                name = (group.get("metadata") or {}).get("name", "")
                for version in group.get("versions") or ():
                    resources += _of_version(name, version)
                    if version.get("freshness", _CURRENT) != _CURRENT:
                        where = f"{name}/{version.get('version')}"
                        unread[name] = f"the resources of {where} are {str(version['freshness']).lower()}: is its API "
                        unread[name] += "server available?"
            continue
        paths = [(group, each) for group, each in _versions(path, answer.body)]
        listed = _ask(api, [each for _, each in paths], concurrency)
        for (group, where), one in zip(paths, listed, strict=True):
            if one.status == HTTPStatus.OK:
                resources += _of_list(group, one.body)
            else:
                unread[group] = f"{where}: {one.status} {one.message}".rstrip()
    return Discovered(Served(resources, unread=unread), unread)


def _ask(api: Api, paths: list[str], concurrency: int) -> list[Answer]:
    return fan_out(partial(_get, api), paths, concurrency=concurrency, abort=api.abort)


def _get(api: Api, path: str) -> Answer:
    answer = api.raw("GET", path, headers=_ACCEPT, repeatable=True)
    if answer.status == HTTPStatus.UNAUTHORIZED:
        api.get(path)  # raises the error with the remediation
    return answer


def _of_version(group: str, version: Mapping[str, Any]) -> Iterator[ServedResource]:
    """The resources of a version in aggregated discovery."""
    for each in version.get("resources") or ():
        name, namespaced = str(each.get("resource", "")), each.get("scope") == "Namespaced"
        kind = str((each.get("responseKind") or {}).get("kind", ""))
        spellings = frozenset({str(each.get("singularResource", "")), kind.lower(), *(each.get("shortNames") or ())})
        if each.get("verbs"):  # a resource that only groups subresources has no verbs
            yield ServedResource(group, name, namespaced, frozenset(each["verbs"]), spellings - {"", name})
        for sub in each.get("subresources") or ():
            yield ServedResource(
                group, f"{name}/{sub.get('subresource')}", namespaced, frozenset(sub.get("verbs") or ())
            )


def _versions(path: str, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(group, path of its resources) of each version in the old form of discovery."""
    for version in body.get("versions") or ():
        yield "", f"{path}/{version}"
    for group in body.get("groups") or ():
        for version in group.get("versions") or ():
            yield group.get("name", ""), f"{path}/{version.get('groupVersion')}"


def _of_list(group: str, body: Mapping[str, Any]) -> Iterator[ServedResource]:
    """The resources of an APIResourceList."""
    for each in body.get("resources") or ():
        name = str(each.get("name", ""))
        spellings = {str(each.get("singularName", "")), str(each.get("kind", "")).lower()}
        spellings |= set(each.get("shortNames") or ())
        known = frozenset() if "/" in name else frozenset(spellings - {"", name})
        yield ServedResource(group, name, bool(each.get("namespaced")), frozenset(each.get("verbs") or ()), known)
