"""No agent gets a token that is valid for more than a day."""

from collections.abc import Iterator, Mapping
from typing import Any

from agent_identities.chart.objects import KubeObject
from agent_identities.chart.pods import pod_specs
from agent_identities.checks.registry import Check, Install
from agent_identities.report.model import Finding, Severity

LONGEST_SECONDS = 86400
EXTENDED_SECONDS = 3607
"""The API server extends a token with this lifetime to a year (pkg/registry/core/serviceaccount/storage/token.go)."""

# The volume and its lifetime: plugin/pkg/admission/serviceaccount/admission.go.
_AUTOMOUNTED = (
    "makes Kubernetes mount a token for the API server into the file system of every container of the pod. The values "
    f"do not set its lifetime: Kubernetes requests {EXTENDED_SECONDS} s, and the API server extends them to a year, "
    "unless the guard shortTokens shortens them"
)


def _run(install: Install) -> Iterator[Finding]:
    for secret in install.objects.of_kind("Secret"):
        if secret.body.get("type") == "kubernetes.io/service-account-token":
            what = "is a ServiceAccount token that never expires"
            yield CHECK.finding(install.at(secret, "type"), what, "Use a projected token.")
    for account in install.objects.of_kind("ServiceAccount"):
        if account.body.get("secrets"):
            what = "lists token Secrets, which never expire"
            yield CHECK.finding(install.at(account, "secrets"), what, "Remove `secrets`.")
        if account.body.get("automountServiceAccountToken") is not False:
            yield _automounted(install, account, account.key.name)
    for obj, spec in pod_specs(install.objects):
        name = spec.get("serviceAccountName") or "default"
        if spec.get("automountServiceAccountToken") is not False:
            yield _automounted(install, obj, name)
        yield from _projections(install, obj, spec)


def _automounted(install: Install, obj: KubeObject, account: str) -> Finding:
    location = install.at(obj, "automountServiceAccountToken")
    identity = install.declaration.find(obj.key.namespace, account)
    if identity is not None and identity.token.mode == "automount":
        remediation = f"Set agents.{identity.entry}.token.mode: projected."
        declared = f"{_AUTOMOUNTED} (declared: token.mode is automount)"
        return CHECK.finding(location, declared, remediation, severity=Severity.WARNING)
    return CHECK.finding(location, _AUTOMOUNTED, "Set automountServiceAccountToken: false.")


def _projections(install: Install, obj: KubeObject, spec: Mapping[str, Any]) -> Iterator[Finding]:
    for index, volume in enumerate(spec.get("volumes") or ()):
        for source in (volume.get("projected") or {}).get("sources") or ():
            token = source.get("serviceAccountToken")
            if token is None:
                continue
            location = install.at(obj, f"volumes[{index}]")
            volume_name, seconds = volume["name"], token.get("expirationSeconds")
            if seconds is None:
                what = f"projects a token without expirationSeconds in volume {volume_name}"
                yield CHECK.finding(location, what, "Set expirationSeconds: 3600.")
            elif seconds == EXTENDED_SECONDS:
                what = f"projects a token of {seconds} s in volume {volume_name}: the API server extends it to a year"
                yield CHECK.finding(location, what, "Set expirationSeconds: 3600.")
            elif seconds > LONGEST_SECONDS:
                what = f"projects a token of {seconds} s in volume {volume_name}"
                yield CHECK.finding(location, what, f"Set expirationSeconds to at most {LONGEST_SECONDS}.")


CHECK = Check(
    id="token-expiry",
    title="no token is valid for more than a day, and every mounted token is declared",
    why="A stolen token works until it expires. The token that Kubernetes mounts by default is valid for a year.",
    run=_run,
)
