"""ServiceAccounts of agents whose annotations, labels, automount, pull secrets or `secrets` differ from the values."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent_identities.chart.names import AGENT_LABEL
from agent_identities.declaration import Identity
from agent_identities.declared_objects import DeclaredObjects
from agent_identities.inventory.accounts import Manifest
from agent_identities.inventory.credentials import KEEPING
from agent_identities.inventory.findings import (
    INSTALL_AGAIN,
    NAMES,
    account_key,
    compact,
    finding,
    kubectl,
    objects,
)
from agent_identities.inventory.objects import AgentObjects, token_account
from agent_identities.kube.redact import printable, redact
from agent_identities.report.model import Finding

_TOOLS = (
    "meta.helm.sh/",
    "kubectl.kubernetes.io/",
    "argocd.argoproj.io/",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    "kapp.k14s.io/",
    "config.kubernetes.io/",
    "internal.config.kubernetes.io/",
    "config.k8s.io/",
    "objectset.rio.cattle.io/",
    "field.cattle.io/",
    "openshift.io/internal-registry-",
    "pulumi.com/",
)
"""Annotations with which tools that install objects keep their records; they give no rights. Not those of KEEPING."""

_CLOUDS = {
    "eks.amazonaws.com/": "an IAM role of AWS",
    "iam.gke.io/": "a service account of Google Cloud",
    "azure.workload.identity/": "an identity of Azure",
}
_LONGEST_VALUE = 100


@dataclass(frozen=True, slots=True)
class _Difference:
    """``what`` continues "ServiceAccount ns/a". ``command`` are the arguments of `kubectl`, ``more`` a second line."""

    field: str
    what: str
    command: tuple[str, ...]
    more: str


def changed_accounts(found: AgentObjects) -> Iterator[Finding]:
    """A finding for each difference; ServiceAccounts with the same difference share the finding."""
    alike: dict[tuple[str, _Difference], list[Identity]] = {}
    for one in found.declaration.identities:
        account = found.accounts.of(one)
        if account is None or one.quarantined:
            continue
        declared = found.of(one)
        differences = [*_listed_secrets(found, one, account)]
        if declared.created:
            differences += [*_annotations(account, declared), *_fields(one, account, declared)]
        for each in differences:
            alike.setdefault((one.namespace, each), []).append(one)
    for (namespace, each), group in alike.items():
        names = [one.name for one in group]
        yield finding(
            "changed-account",
            f"{objects('ServiceAccount', namespace, names)} {each.what}",
            [account_key(one) for one in group],
            group,
            field=each.field,
            remediation=(f"To fix it: {kubectl(namespace, names, *each.command)}", each.more),
        )


def _patch(body: object) -> tuple[str, ...]:
    return ("patch", "serviceaccount", NAMES, "-p", compact(body))


def _annotations(account: Manifest, declared: DeclaredObjects) -> Iterator[_Difference]:
    live: Mapping[str, str] = account["metadata"].get("annotations") or {}
    for key in sorted(live.keys() | declared.annotations.keys()):
        wanted, is_there = declared.annotations.get(key), live.get(key)
        if wanted == is_there or (wanted is None and _of_a_tool(key, str(is_there))):
            continue
        effect = next((f", which selects {what}" for prefix, what in _CLOUDS.items() if key.startswith(prefix)), "")
        shown = f"{key}: {printable(redact(str(is_there)))[:_LONGEST_VALUE]}" if effect else key
        where = f"metadata.annotations[{key}]"
        if wanted is None:
            keep = "To keep it: add the annotation to `annotations` (or `cloud`) of the agent in the values."
            what = f"has the annotation {shown}{effect}, but the values do not declare it."
            yield _Difference(where, what, ("annotate", "serviceaccount", NAMES, f"{key}-"), keep)
        elif is_there is None:
            what = f"has no annotation {key}, but the values declare it."
            yield _Difference(where, what, ("annotate", "serviceaccount", NAMES, f"{key}={wanted}"), INSTALL_AGAIN)
        else:
            what = f"has the annotation {shown}{effect}, but the values declare another value."
            yield _Difference(
                where, what, ("annotate", "--overwrite", "serviceaccount", NAMES, f"{key}={wanted}"), INSTALL_AGAIN
            )


def _of_a_tool(key: str, value: str) -> bool:
    if key in KEEPING and KEEPING[key][0].lower() in value.lower().replace(" ", ""):
        return False
    return key.startswith(_TOOLS)


def _fields(one: Identity, account: Manifest, declared: DeclaredObjects) -> Iterator[_Difference]:
    automount = account.get("automountServiceAccountToken")
    if (automount is not False) is not declared.automount:
        what = (
            "mounts a token into its pods by default (automountServiceAccountToken is not false), but the values do "
            "not declare it."
            if not declared.automount
            else "mounts no token into its pods (automountServiceAccountToken: false), but the values declare it."
        )
        body = {"automountServiceAccountToken": declared.automount}
        yield _Difference("automountServiceAccountToken", what, _patch(body), INSTALL_AGAIN)
    live = [each["name"] for each in account.get("imagePullSecrets") or ()]
    added = [name for name in live if name not in declared.pull_secrets and not _of_registry(one, name)]
    lost = [name for name in declared.pull_secrets if name not in live]
    if added or lost:
        parts = [f"has the pull secrets {', '.join(added)}, but the values do not declare them"] if added else []
        parts += [f"does not have the declared pull secrets {', '.join(lost)}"] if lost else []
        kept = [*declared.pull_secrets, *(name for name in live if _of_registry(one, name))]
        pulls = {"imagePullSecrets": [{"name": name} for name in kept]}
        yield _Difference("imagePullSecrets", f"{', and '.join(parts)}.", _patch(pulls), INSTALL_AGAIN)
    label = (account["metadata"].get("labels") or {}).get(AGENT_LABEL)
    wanted = declared.labels.get(AGENT_LABEL)
    if label != wanted:
        what = f"has {f'the label {AGENT_LABEL}: {label}' if label else f'no label {AGENT_LABEL}'}, but the values "
        what += f"declare {wanted!r}." if wanted else "declare no such label."
        change = f"{AGENT_LABEL}={wanted}" if wanted else f"{AGENT_LABEL}-"
        command = ("label", "--overwrite", "serviceaccount", NAMES, change)
        yield _Difference(f"metadata.labels[{AGENT_LABEL}]", what, command, INSTALL_AGAIN)


def _listed_secrets(found: AgentObjects, one: Identity, account: Manifest) -> Iterator[_Difference]:
    """The entries of `secrets`, without token Secrets that were read (each is a finding), and OpenShift's."""
    tokens = {
        secret["metadata"]["name"]
        for secret in found.token_secrets
        if (secret["metadata"]["namespace"], token_account(secret)) == (one.namespace, one.name)
    }
    listed = [str(each.get("name", "")) for each in account.get("secrets") or ()]
    others = [name for name in listed if name not in tokens and not _of_registry(one, name)]
    if not others:
        return
    body = {"secrets": [{"$patch": "delete", "name": name} for name in others]}
    what = f"lists the Secrets {', '.join(others)} in `secrets`, but the values do not declare them."
    more = "They are not token Secrets: pods can mount them."
    if (one.namespace, "Secret") in found.unread:
        columns = "custom-columns=NAME:.metadata.name,TYPE:.type"
        more = (
            "A Secret of type kubernetes.io/service-account-token is a token that never expires. To see the types: "
            f"{kubectl(one.namespace, others, 'get', 'secret', NAMES, '-o', columns)}. To end such a token: "
            f"{kubectl(one.namespace, others, 'delete', 'secret', NAMES)}"
        )
    yield _Difference("secrets", what, _patch(body), more)


def _of_registry(one: Identity, name: str) -> bool:
    """Whether OpenShift creates pull secrets of this name for its image registry, and lists them in the account.

    Its token expires (since OpenShift 4.16). Before, it was the token of a Secret that `token_secrets` finds.
    """
    return re.fullmatch(rf"{re.escape(one.name)}-dockercfg-[a-z0-9]{{5}}", name) is not None
