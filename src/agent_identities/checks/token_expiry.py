"""No agent gets a token that does not expire soon."""

from collections.abc import Iterator, Mapping
from typing import Any

from agent_identities.chart.objects import KubeObject
from agent_identities.checks import Check, Finding, Install, Severity
from agent_identities.declaration import pod_specs

LONGEST_SECONDS = 86400
EXTENDED_SECONDS = 3607
"""The lifetime that the API server extends to a year (pkg/registry/core/serviceaccount/storage/token.go)."""


def _run(install: Install) -> Iterator[Finding]:
    for secret in install.objects.of_kind("Secret"):
        if secret.body.get("type") == "kubernetes.io/service-account-token":
            yield _error(secret, "is a ServiceAccount token that never expires", "Use a projected token.")
    for account in install.objects.of_kind("ServiceAccount"):
        if account.body.get("secrets"):
            yield _error(account, "lists token Secrets, which never expire", "Remove `secrets`.")
        if account.body.get("automountServiceAccountToken") is not False:
            yield _automounted(install, account, account.key.name)
    for obj, spec in pod_specs(install.objects):
        name = spec.get("serviceAccountName") or "default"
        if spec.get("automountServiceAccountToken") is not False:
            yield _automounted(install, obj, name)
        yield from _projections(obj, spec)


def _automounted(install: Install, obj: KubeObject, account: str) -> Finding:
    identity = install.declaration.find(obj.key.namespace, account)
    if identity is not None and identity.token.mode == "automount":
        cure = f"agents.{identity.entry}.token.mode: projected"
        return _finding(Severity.WARNING, obj, "mounts Kubernetes' own token, good for a year, as the values ask", cure)
    return _error(obj, "mounts Kubernetes' own token, good for a year", "Set automountServiceAccountToken: false.")


def _projections(obj: KubeObject, spec: Mapping[str, Any]) -> Iterator[Finding]:
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            token = source.get("serviceAccountToken")
            if token is None:
                continue
            seconds = token.get("expirationSeconds")
            if seconds is None:
                yield _error(obj, f"volume {volume['name']} has a token without expirationSeconds", "Ask for 3600.")
            elif seconds == EXTENDED_SECONDS:
                message = f"volume {volume['name']} asks for {seconds} s, which the API server extends to a year"
                yield _error(obj, message, "Ask for 3600.")
            elif seconds > LONGEST_SECONDS:
                message = f"volume {volume['name']} asks for a token of {seconds} s"
                yield _error(obj, message, f"Ask for {LONGEST_SECONDS} at most.")


def _error(obj: KubeObject, message: str, cure: str) -> Finding:
    return _finding(Severity.ERROR, obj, message, cure)


def _finding(severity: Severity, obj: KubeObject, message: str, cure: str) -> Finding:
    return Finding(CHECK.id, severity, str(obj.key), message, cure)


CHECK = Check(
    id="token-expiry",
    title="no token outlives a day, and none is mounted that the values do not ask for",
    why="A stolen token is good for as long as it lives; the one that Kubernetes mounts by itself lives for a year.",
    run=_run,
)
