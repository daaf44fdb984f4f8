"""Credentials of agents that the values do not declare: token Secrets, and ServiceAccounts of quarantined agents."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent_identities.chart.objects import Key
from agent_identities.declaration import Identity
from agent_identities.inventory.accounts import Manifest
from agent_identities.inventory.findings import NAMES, account_key, compact, finding, kubectl, objects
from agent_identities.inventory.objects import AgentObjects, token_account
from agent_identities.report.model import Finding
from agent_identities.report.words import label

_CREATED_BY = ("kubernetes.io/created-by", "openshift.io/create-dockercfg-secrets")
_OPENSHIFT = (
    "OpenShift before 4.16 creates such a Secret for the pull secret of its image registry, and creates it again if "
    "it is deleted. Update OpenShift, or remove the registry (managementState: Removed), then delete the Secret."
)
KEEPING: Mapping[str, tuple[str, str]] = {
    "helm.sh/resource-policy": ("keep", "Helm does not delete the ServiceAccount"),
    "helm.sh/hook": ("", "Helm does not manage a hook as an object of the release"),
    "argocd.argoproj.io/hook": ("", "Argo CD does not manage a hook as an object of the application"),
    "argocd.argoproj.io/sync-options": ("Prune=false", "Argo CD does not delete the ServiceAccount"),
    "kustomize.toolkit.fluxcd.io/prune": ("disabled", "Flux does not delete the ServiceAccount"),
    "kustomize.toolkit.fluxcd.io/reconcile": ("disabled", "Flux does not change the ServiceAccount"),
}
"""Annotations with which an object outlives its release: a part of the value, and the effect."""


def token_secrets(found: AgentObjects) -> Iterator[Finding]:
    """A finding for each agent with token Secrets; agents with equally named Secrets do not exist."""
    identities = found.identities
    by_account: dict[tuple[str, str], list[Manifest]] = {}
    for secret in found.token_secrets:
        by_account.setdefault((secret["metadata"]["namespace"], token_account(secret)), []).append(secret)
    mine = {key: secrets for key, secrets in by_account.items() if key in identities}
    for namespace in sorted({namespace for namespace, _ in mine}):
        accounts = {name: secrets for (where, name), secrets in sorted(mine.items()) if where == namespace}
        names = [secret["metadata"]["name"] for secrets in accounts.values() for secret in secrets]
        openshift = any(_of_openshift(secret) for secrets in accounts.values() for secret in secrets)
        yield finding(
            "token-secret",
            f"{objects('Secret', namespace, names)}: {'a token' if len(names) == 1 else 'tokens'} of "
            f"{label(list(accounts), 'ServiceAccounts')} that never {'expires' if len(names) == 1 else 'expire'}. The "
            "values declare no such token.",
            [Key("", "Secret", namespace, name) for name in names],
            [identities[namespace, name] for name in accounts],
            details=tuple(f"{name}: {_about(secret)}" for name, secret in _each(accounts))[:_MOST_DETAILS],
            remediation=(
                f"To remove it: {kubectl(namespace, names, 'delete', 'secret', NAMES)}",
                *((_OPENSHIFT,) if openshift else ()),
            ),
        )


_MOST_DETAILS = 10


def _each(accounts: Mapping[str, list[Manifest]]) -> Iterator[tuple[str, Manifest]]:
    return ((secret["metadata"]["name"], secret) for secrets in accounts.values() for secret in secrets)


def _about(secret: Manifest) -> str:
    """Who made the Secret and when, and when its token was used last, as far as the API server says."""
    metadata = secret["metadata"]
    managers = [entry.get("manager", "") for entry in metadata.get("managedFields") or ()]
    by = next((each for each in managers if each and each != "kube-controller-manager"), "")
    used = (metadata.get("labels") or {}).get("kubernetes.io/legacy-token-last-used")
    parts = (
        f"of {token_account(secret)}",
        f"created {metadata.get('creationTimestamp', 'at an unknown time')}" + (f" with {by}" if by else ""),
        f"last used {used}" if used else "",
    )
    return ", ".join(part for part in parts if part)


def _of_openshift(secret: Manifest) -> bool:
    key, value = _CREATED_BY
    return (secret["metadata"].get("annotations") or {}).get(key) == value


def quarantined_accounts(found: AgentObjects) -> Iterator[Finding]:
    """A finding for the ServiceAccounts of quarantined agents that still exist, for each cause."""
    causes: dict[tuple[str, _Cause], list[Identity]] = {}
    for one in found.declaration.quarantined:
        account = found.accounts.of(one)
        if account is not None:
            cause = _cause(found, one, account)
            causes.setdefault((one.namespace, cause), []).append(one)
    for (namespace, cause), group in causes.items():
        names = [one.name for one in group]
        exist, agents = ("exists", "the agent") if len(names) == 1 else ("exist", "the agents")
        remove = f"To remove it: {kubectl(namespace, names, 'delete', 'serviceaccount', NAMES)}"
        yield finding(
            "quarantined-account",
            f"{objects('ServiceAccount', namespace, names)} still {exist}, but the values quarantine {agents}: tokens "
            "of an existing ServiceAccount are valid.",
            [account_key(one) for one in group],
            group,
            details=cause.details,
            remediation=(*(() if cause.being_deleted else (remove,)), *cause.actions),
        )


@dataclass(frozen=True, slots=True)
class _Cause:
    """Why the ServiceAccount of a quarantined agent still exists, and what to do besides deleting it."""

    details: tuple[str, ...]
    actions: tuple[str, ...]
    being_deleted: bool


def _cause(found: AgentObjects, one: Identity, account: Manifest) -> _Cause:
    metadata = account["metadata"]
    details, actions = [], []
    since = metadata.get("deletionTimestamp")
    if since:
        finalizers = ", ".join(metadata.get("finalizers") or ())
        details.append(
            f"Since {since}, it is being deleted, and waits for its finalizers ({finalizers}). The API server refuses "
            "its tokens 60 s after that time."
        )
        body = compact({"metadata": {"finalizers": None}})
        fix = kubectl(one.namespace, [one.name], "patch", "serviceaccount", NAMES, "--type=merge", "-p", body)
        actions.append(f"To remove it: {fix}")
    if not found.of(one).created:
        details.append("serviceAccount.create is false: the chart does not create or delete this ServiceAccount.")
        command = shlex.join(["agent-identities", "quarantine", one.name, "-n", one.namespace])
        actions.append(f"With its bindings and pods: {command}")
        actions.append("Its owner can create it again, with new tokens: stop the owner, too.")
    annotations = metadata.get("annotations") or {}
    for key, effect in keeping(annotations):
        details.append(f"Annotation {key}: {annotations[key]} ({effect}).")
        actions.append(f"If the values set {key}, remove it there: the next quarantine keeps the ServiceAccount, too.")
    if not details:
        details.append("Did the upgrade with `quarantined` finish? See helm status and helm history.")
    return _Cause(tuple(details), tuple(actions), bool(since))


def keeping(annotations: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The annotations with which an object outlives its release, and the effect of each."""
    for key, (part, effect) in KEEPING.items():
        if key in annotations and part.lower() in str(annotations[key]).lower().replace(" ", ""):
            yield key, effect
