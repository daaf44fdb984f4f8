"""Objects around the agents that decide who may become one: guards, pods, and Secrets with a token."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from agent_identities.chart.names import CHART_LABEL, CHART_NAME
from agent_identities.inventory.model import NotRead
from agent_identities.kube.client import Api, ApiError

Manifest = Mapping[str, Any]

_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_CHARTS = f"?labelSelector={CHART_LABEL}%3D{CHART_NAME}"
_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 # a type of Secrets
_TOKENS = f"?fieldSelector=type%3D{_TOKEN.replace('/', '%2F')}"
_OF_ACCOUNT = "kubernetes.io/service-account.name"


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


def read_surroundings(api: Api, namespaces: Iterable[str]) -> tuple[Surroundings, tuple[NotRead, ...]]:
    """Read the objects. What the caller may not list is in the second part. Raises ApiError for other failures."""
    missing: list[NotRead] = []

    def listed(path: str, what: str, consequence: str, *, metadata_only: bool = False) -> tuple[Manifest, ...] | None:
        try:
            return tuple(api.list_all(path, metadata_only=metadata_only))
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:  # this version does not serve it
                return ()
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            missing.append(NotRead(what, consequence, str(error)))
            return None

    in_force = "which ways into an agent a guard closes"
    policies = listed(f"{_ADMISSION}/validatingadmissionpolicies{_CHARTS}", "ValidatingAdmissionPolicies", in_force)
    bindings = listed(
        f"{_ADMISSION}/validatingadmissionpolicybindings{_CHARTS}", "ValidatingAdmissionPolicyBindings", in_force
    )
    pods: dict[str, tuple[Manifest, ...] | None] = {}
    tokens: dict[str, Mapping[str, str]] = {}
    for namespace in namespaces:
        core = f"/api/v1/namespaces/{namespace}"
        pods[namespace] = listed(
            f"{core}/pods", f"Pods in namespace {namespace}", "ConfigMaps and Secrets that only they read"
        )
        secrets = listed(
            f"{core}/secrets{_TOKENS}",
            f"Secrets in namespace {namespace}",
            "who may read a Secret with a token of an agent",
            metadata_only=True,
        )
        tokens[namespace] = _token_secrets(secrets or ())
    return Surroundings(policies or (), bindings or (), pods, tokens), tuple(missing)


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
    account: Callable[[Manifest], str] = lambda each: (_metadata(each).get("annotations") or {}).get(_OF_ACCOUNT, "")  # noqa: E731
    return {_metadata(each)["name"]: account(each) for each in secrets if account(each)}


def _metadata(manifest: Manifest) -> Mapping[str, Any]:
    metadata = manifest.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}
