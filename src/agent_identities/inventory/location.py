"""Where a release is: its namespace, with Helm's record, and the namespace of its agents (``namespaceOverride``).

The values files do not always say it: ``helm install --set namespaceOverride=...`` is not in them. The RoleBinding of
the proxy says it: every release has one, in the agents' namespace, with Helm's annotations of the release
(helm.sh/helm/v4 pkg/action/validate.go). What another client applied, such as Argo CD, has no annotations: then only
the values say it.
"""

from collections.abc import Iterator, Mapping
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


def locate(api: Api, namespace: str, release: str | None = None) -> Location | None:
    """The release (of this name) with its agents in ``namespace``, or else the release that is in ``namespace``.

    None if there is none, if several releases have agents in ``namespace``, or if the API server does not show the
    RoleBindings. Raises AmbiguousReleaseError if releases in ``namespace`` have agents in several other namespaces.
    """
    here = _locations(api, f"{RBAC}/namespaces/{namespace}/rolebindings", release)
    if here:
        return here[0] if len(here) == 1 else None
    there = [each for each in _locations(api, f"{RBAC}/rolebindings", release) if each.home == namespace]
    if len(there) > 1:
        names = ", ".join(sorted({each.agents for each in there}))
        raise AmbiguousReleaseError(
            f"the releases in namespace {namespace} have agents in several namespaces ({names}). Set one of them with "
            "--namespace."
        )
    return there[0] if there else None


def as_installed(api: Api, agents: "Agents") -> "Agents":
    """The same agents in the namespaces that the release on the cluster has; unchanged if it has no such release."""
    namespace = agents.declaration.namespace
    found = locate(api, namespace, agents.release) or locate(api, namespace)
    if found is None or (namespace != agents.namespace and namespace != found.agents):
        return agents
    return agents.located(found.home, found.agents)


def _locations(api: Api, path: str, release: str | None) -> list[Location]:
    try:
        bindings = api.list_all(f"{path}?{urlencode({'labelSelector': _SELECTOR})}")
    except ApiError:
        return []
    found = {each for binding in bindings for each in _of(binding)}
    return sorted(each for each in found if release in (None, each.release))


def _of(binding: Mapping[str, Any]) -> Iterator[Location]:
    """The location in the RoleBinding of the proxy; nothing in the RoleBinding of agents with the tier ``proxy``."""
    metadata = binding["metadata"]
    notes = metadata.get("annotations") or {}
    subjects = [subject["name"] for subject in binding.get("subjects") or ()]
    if [metadata["name"]] == [f"{name}-binding" for name in subjects] and f"{HELM}name" in notes:
        yield Location(notes[f"{HELM}name"], notes.get(f"{HELM}namespace", ""), metadata["namespace"])
