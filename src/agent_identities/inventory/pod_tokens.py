"""The tokens that pods of agents mount, and that the values do not declare: too long, or for another audience."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_identities.declared_objects import INJECTED_SECONDS, DeclaredObjects
from agent_identities.inventory.accounts import Manifest
from agent_identities.inventory.findings import INSTALL_AGAIN, compact, finding
from agent_identities.inventory.objects import AgentObjects, token_account
from agent_identities.inventory.workloads import AgentPod, describe, fixes, removals
from agent_identities.report.model import Finding, many
from agent_identities.report.words import label

_DEFAULT_SECONDS = 3600  # of a projected token without expirationSeconds
_MOST_LINES = 10


@dataclass(frozen=True, slots=True)
class _Token:
    """A token that a pod mounts. ``what`` continues "and mounts"; ``change`` is the change of the pod template.

    Without ``change``, only the deletion of the workload ends the token. ``keep`` says how to declare it.
    """

    what: str
    keep: str
    change: Mapping[str, Any] | None = field(default=None, hash=False)


def pod_tokens(found: AgentObjects, pods: Sequence[AgentPod]) -> Iterator[Finding]:
    """A finding for each kind of token; workloads with the same kind share the finding."""
    secrets = {
        (secret["metadata"]["namespace"], secret["metadata"]["name"]): token_account(secret)
        for secret in found.token_secrets
    }
    alike: dict[tuple[str, str], tuple[_Token, list[AgentPod]]] = {}
    for each in pods:
        if each.identity.quarantined:  # the pod itself is a finding
            continue
        for token in (*_projected(each, found.of(each.identity)), *_from_secrets(each, secrets)):
            _, group = alike.setdefault((token.what, compact(token.change)), (token, []))
            if each not in group[-1:]:
                group.append(each)
    for token, group in alike.values():
        yield _finding(token, group)


def _finding(token: _Token, group: Sequence[AgentPod]) -> Finding:
    names = list(dict.fromkeys(each.identity.name for each in group))
    workloads = list(dict.fromkeys(each.workload for each in group))
    lines = describe(group)
    actions = removals(workloads) if token.change is None else fixes(workloads, {"spec": token.change})
    one = len(group) == 1
    return finding(
        "undeclared-token",
        f"{many(len(group), 'pod')} {'runs' if one else 'run'} as {label(names)} and {'mounts' if one else 'mount'} "
        f"{token.what}.",
        [workload.key for workload in workloads],
        [each.identity for each in group],
        details=(*lines[:_MOST_LINES], *([f"and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else [])),
        remediation=(*actions, token.keep),
    )


def _projected(each: AgentPod, declared: DeclaredObjects) -> Iterator[_Token]:
    """The projected tokens of a pod that differ from the declared ones."""
    for volume in each.pod["spec"].get("volumes") or ():
        sources = (volume.get("projected") or {}).get("sources") or ()
        for source in sources:
            token = source.get("serviceAccountToken")
            if token is None:
                continue
            audience = token.get("audience") or ""
            seconds = int(token.get("expirationSeconds") or _DEFAULT_SECONDS)
            yield from _differs(each, declared, volume, audience, seconds)


def _differs(
    each: AgentPod, declared: DeclaredObjects, volume: Mapping[str, Any], audience: str, seconds: int
) -> Iterator[_Token]:
    entry = each.identity.entry
    injected = volume["name"].startswith("kube-api-access-") and not audience
    longest = declared.lifetimes.get(audience)
    if not declared.lifetimes:
        what = "a token, but the values give the agent no token (access: proxied)"
        keep = f"To give the agent tokens: agents: {{{entry}: {{access: direct}}}}"
        yield _Token(what, keep, _NO_AUTOMOUNT if injected else None)
    elif seconds == INJECTED_SECONDS and not audience:
        if declared.injected and injected:
            return
        what = f"a token of {seconds} s, which the API server extends to a year"
        if injected:
            keep = (
                f"A pod that needs a token mounts one of {longest} s at /var/run/secrets/kubernetes.io/serviceaccount: "
                f"projected: {{sources: [{{serviceAccountToken: {{path: token, expirationSeconds: {longest}}}}}]}}"
            )
            yield _Token(what, keep, _NO_AUTOMOUNT)
        else:
            yield _Token(what, INSTALL_AGAIN if each.workload.of_release else _KEEP, _shorter(volume, declared))
    elif longest is None:
        what = f"a token for the audience {audience}, which the values do not declare"
        keep = f"To keep it: agents: {{{entry}: {{tokens: {{other: {{audience: {audience!r}}}}}}}}}"
        yield _Token(what, keep)
    elif seconds > longest and not (declared.injected and injected):
        target = f" for the audience {audience}" if audience else ""
        what = f"a token{target} of {seconds} s, but the values declare at most {longest} s"
        yield _Token(what, INSTALL_AGAIN if each.workload.of_release else _KEEP, _shorter(volume, declared))


_KEEP = "To keep it: set the lifetime of the token in the values (token.expirationSeconds, or `tokens`)."
_NO_AUTOMOUNT: Mapping[str, Any] = {"automountServiceAccountToken": False}


def _shorter(volume: Mapping[str, Any], declared: DeclaredObjects) -> Mapping[str, Any]:
    """The change of the pod template that limits the tokens of a volume to the declared lifetimes."""
    sources = [_limited(source, declared) for source in volume["projected"]["sources"]]
    return {"volumes": [{"name": volume["name"], "projected": {"sources": sources}}]}


def _limited(source: Mapping[str, Any], declared: DeclaredObjects) -> Mapping[str, Any]:
    token = source.get("serviceAccountToken")
    if token is None:
        return source
    longest = declared.lifetimes.get(token.get("audience") or "", _DEFAULT_SECONDS)
    seconds = int(token.get("expirationSeconds") or _DEFAULT_SECONDS)
    return {**source, "serviceAccountToken": {**token, "expirationSeconds": min(seconds, longest)}}


def _from_secrets(each: AgentPod, secrets: Mapping[tuple[str, str], str]) -> Iterator[_Token]:
    """The token Secrets that a pod mounts, or has as environment variables."""
    namespace = each.pod["metadata"]["namespace"]
    for name in sorted(set(_secret_names(each.pod["spec"]))):
        account = secrets.get((namespace, name))
        if account is not None:
            what = f"the token Secret {name} of ServiceAccount {account}, whose token never expires"
            yield _Token(what, "Use a projected token of the pod's own ServiceAccount instead.")


def _secret_names(spec: Manifest) -> Iterator[str]:
    for volume in spec.get("volumes") or ():
        yield str((volume.get("secret") or {}).get("secretName", ""))
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield str((source.get("secret") or {}).get("name", ""))
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            for source in container.get("envFrom") or ():
                yield str((source.get("secretRef") or {}).get("name", ""))
            for variable in container.get("env") or ():
                yield str(((variable.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name", ""))
