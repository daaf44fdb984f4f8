"""Objects around the agents that decide who may become one: guards, pods, and Secrets with a token."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from agent_identities.chart.names import CHART_LABEL, CHART_NAME
from agent_identities.inventory.model import NotRead
from agent_identities.inventory.objects import AgentObjects, token_account
from agent_identities.kube.client import Api, ApiError

Manifest = Mapping[str, Any]

_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_CHARTS = f"?labelSelector={CHART_LABEL}%3D{CHART_NAME}"
_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 # a type of Secrets


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The objects of the agents' namespaces, by namespace. Pods that were not read are None.

    ``policies`` and ``policy_bindings`` are the ValidatingAdmissionPolicies of the chart and their bindings.
    ``token_secrets`` are the names of Secrets with a token, with the ServiceAccount of each.
    """

    policies: tuple[Manifest, ...] = ()
    policy_bindings: tuple[Manifest, ...] = ()
    pods: Mapping[str, tuple[Manifest, ...] | None] | None = None
    token_secrets: Mapping[str, Mapping[str, str]] | None = None

    def pods_in(self, namespace: str) -> tuple[Manifest, ...] | None:
        """The pods of a namespace, or None."""
        return (self.pods or {}).get(namespace)

    def tokens_in(self, namespace: str) -> Mapping[str, str]:
        """The Secrets with a token in a namespace, with the ServiceAccount of each."""
        return (self.token_secrets or {}).get(namespace, {})


Guards = tuple[tuple[Manifest, ...], tuple[Manifest, ...]]
"""The ValidatingAdmissionPolicies of the chart, and their bindings."""


def read_guards(api: Api) -> tuple[Guards, tuple[NotRead, ...]]:
    """Read the guards. What the caller may not list is in the second part. Raises ApiError for other failures."""
    missing: list[NotRead] = []

    def listed(kind: str) -> tuple[Manifest, ...]:
        try:
            return tuple(api.list_all(f"{_ADMISSION}/{kind.lower()}{_CHARTS}"))
        except ApiError as error:
            if error.status == HTTPStatus.FORBIDDEN:
                missing.append(NotRead(kind, "which ways into an agent a guard closes", str(error)))
            elif error.status != HTTPStatus.NOT_FOUND:  # this version does not serve it
                raise
            return ()

    guards = listed("ValidatingAdmissionPolicies"), listed("ValidatingAdmissionPolicyBindings")
    return guards, tuple(missing)


def surroundings_on(guards: Guards, objects: AgentObjects) -> Surroundings:
    """The guards, and the objects that were read in the namespaces of the agents."""
    namespaces = sorted({namespace for namespace, _ in objects.declared})

    def within(items: Iterable[Manifest], namespace: str) -> tuple[Manifest, ...]:
        return tuple(each for each in items if _metadata(each)["namespace"] == namespace)

    return Surroundings(
        *guards,
        {
            namespace: None if (namespace, "Pod") in objects.unread else within(objects.pods, namespace)
            for namespace in namespaces
        },
        {namespace: _token_secrets(within(objects.token_secrets, namespace)) for namespace in namespaces},
    )


def surroundings_of(manifests: Iterable[Manifest], namespaces: Iterable[str]) -> Surroundings:
    """The objects in a dump. Pods are not known if the dump has none."""
    by_kind: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        by_kind.setdefault(str(manifest.get("kind")), []).append(manifest)

    def within(kind: str, namespace: str) -> tuple[Manifest, ...]:
        return tuple(each for each in by_kind.get(kind, ()) if _metadata(each).get("namespace") == namespace)

    def charts(kind: str) -> tuple[Manifest, ...]:
        return tuple(
            each
            for each in by_kind.get(kind, ())
            if (_metadata(each).get("labels") or {}).get(CHART_LABEL) == CHART_NAME
        )

    names = tuple(namespaces)
    return Surroundings(
        charts("ValidatingAdmissionPolicy"),
        charts("ValidatingAdmissionPolicyBinding"),
        {name: within("Pod", name) if "Pod" in by_kind else None for name in names},
        {
            name: _token_secrets(each for each in within("Secret", name) if each.get("type", _TOKEN) == _TOKEN)
            for name in names
        },
    )


def _token_secrets(secrets: Iterable[Manifest]) -> dict[str, str]:
    named = {_metadata(each)["name"]: token_account(each) for each in secrets}
    return {name: account for name, account in named.items() if account}


def _metadata(manifest: Manifest) -> Mapping[str, Any]:
    metadata = manifest.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}
