"""Where a release is: its namespace, with Helm's record, and the namespace of its agents (``namespaceOverride``).

The values files do not always say it: ``helm install --set namespaceOverride=...`` is not in them. The RoleBinding of
the proxy says it: every release has one, in the agents' namespace, with Helm's annotations of the release
(helm.sh/helm/v4 pkg/action/validate.go). What another client applied, such as Argo CD, has no annotations: then only
the values say it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from agent_identities.chart.names import AGENT_LABEL, CHART_LABEL, CHART_NAME, PROXY_TIER, TIER_LABEL
from agent_identities.errors import AgentIdentitiesError
from agent_identities.kube.client import Api, ApiError
from agent_identities.kube.roles import RBAC

if TYPE_CHECKING:
    from agent_identities.agents import Agents

HELM = "meta.helm.sh/release-"
"""The annotations of all objects that Helm creates: this prefix with ``name``, and with ``namespace``."""

_SELECTOR = f"{CHART_LABEL}={CHART_NAME},{TIER_LABEL}={PROXY_TIER},!{AGENT_LABEL}"


class AmbiguousReleaseError(AgentIdentitiesError):
    """The namespace has several releases, or agents of several releases."""


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A release, its namespace (``home``), and the namespace of its agents."""

    release: str
    home: str
    agents: str


Locate = Callable[[str, str | None], Location | None]
"""`locate` on a cluster or in a dump."""


def locate(api: Api, namespace: str, release: str | None = None) -> Location | None:
    """The release (of this name) with its agents in ``namespace``, or else the release that is in ``namespace``.

    None if there is none, if several releases have agents in ``namespace``, or if the API server does not show the
    RoleBindings. Raises AmbiguousReleaseError if releases in ``namespace`` have agents in several other namespaces.
    """
    here = _locations(_listed(api, f"{RBAC}/namespaces/{namespace}/rolebindings"), release)
    return _chosen(here or _locations(_listed(api, f"{RBAC}/rolebindings"), release), namespace)


def locate_among(manifests: Iterable[Mapping[str, Any]], namespace: str, release: str | None = None) -> Location | None:
    """The same in the objects of a dump, whose bindings are valid."""
    bindings = [each for each in manifests if each.get("kind") == "RoleBinding" and _has_labels(each)]
    return _chosen(_locations(bindings, release), namespace)


def as_installed(find: Locate, agents: "Agents") -> "Agents":
    """The same agents in the namespaces that their installed release has; unchanged if there is no such release."""
    namespace = agents.declaration.namespace
    found = find(namespace, agents.release) or find(namespace, None)
    if found is None or (namespace != agents.namespace and namespace != found.agents):
        return agents
    return agents.located(found.home, found.agents)


def _chosen(found: list[Location], namespace: str) -> Location | None:
    here = [each for each in found if each.agents == namespace]
    if here:
        return here[0] if len(here) == 1 else None
    there = [each for each in found if each.home == namespace]
    if len(there) > 1:
        names = ", ".join(sorted({each.agents for each in there}))
        raise AmbiguousReleaseError(
            f"the releases in namespace {namespace} have agents in several namespaces ({names}). Set one of them with "
            "--namespace."
        )
    return there[0] if there else None


def _listed(api: Api, path: str) -> list[dict[str, Any]]:
    try:
        return api.list_all(f"{path}?{urlencode({'labelSelector': _SELECTOR})}")
    except ApiError:
        return []


def _has_labels(binding: Mapping[str, Any]) -> bool:
    labels = binding["metadata"].get("labels") or {}
    return (labels.get(CHART_LABEL), labels.get(TIER_LABEL)) == (CHART_NAME, PROXY_TIER) and AGENT_LABEL not in labels


def _locations(bindings: Iterable[Mapping[str, Any]], release: str | None) -> list[Location]:
    found = {each for binding in bindings for each in _of(binding)}
    return sorted(each for each in found if release in (None, each.release))


def _of(binding: Mapping[str, Any]) -> Iterator[Location]:
    """The location in the RoleBinding of the proxy; nothing in the RoleBinding of agents with the tier ``proxy``."""
    metadata = binding["metadata"]
    notes = metadata.get("annotations") or {}
    subjects = [subject["name"] for subject in binding.get("subjects") or ()]
    if [metadata["name"]] == [f"{name}-binding" for name in subjects] and f"{HELM}name" in notes:
        yield Location(notes[f"{HELM}name"], notes.get(f"{HELM}namespace", ""), metadata["namespace"])
