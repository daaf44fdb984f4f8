"""The wording of requests, of the bindings that allow them, and of names, in the reports of all jobs."""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from agent_identities.rbac import GrantedBy, Request, Subject, granted_by
from agent_identities.rbac.default_grants import gives_by_default, of_kubernetes

ABBREVIATIONS = {"read": ("get", "list", "watch"), "write": ("create", "update", "patch", "delete")}
"""The words for several verbs, if an agent has all of them."""

ACTING = "as-agent:"
"""The prefix of verbs that the proxy may use when it impersonates a proxied agent."""

_IMPERSONATE_ON = "impersonate-on:serviceaccount:"
_MOST_TARGETS = 8
_MOST_NAMES = 3

AFTER_QUARANTINE = (
    "If `agent-identities quarantine` removed the agent, add the values that it printed (quarantined: true): helm "
    "upgrade without them restores the agent's rights."
)
"""The remediation for an agent without a ServiceAccount, after a quarantine that is not in the values."""


REINSTALL = (
    "Install these values again: helm upgrade, with Helm 4 also --server-side=true --force-conflicts (Helm 4 refuses "
    "to change an object that was edited by hand)."
)
"""The remediation for an object of the release that differs from the values."""

KEEP = "To keep it: declare it in a tier."
"""The alternative to the removal of an undeclared right."""


def remediation(
    reason: str, *, allowed: bool, of_release: Callable[[GrantedBy], bool] = lambda _binding: False
) -> tuple[str, ...]:
    """The remediations for an answer that differs from the values, from the API server's reason; a line for each.

    ``of_release``: whether the chart makes the binding of the reason. The rules of its Role then differ.
    """
    if not allowed:
        return (f"A binding or a rule of its Role is missing. {REINSTALL}",)
    binding = granted_by(reason)
    if binding is None:
        return ("No RBAC binding allows it: check the other authorizers of the API server.",)
    if of_release(binding):
        return (f"{binding} belongs to the release, and its {binding.role_kind} was changed. {REINSTALL}", KEEP)
    if of_kubernetes(binding.binding):
        return (f"{binding} belongs to Kubernetes, but was changed. To fix it: {_edit_command(binding)}", KEEP)
    return (f"To remove it: {delete_command(binding.kind, binding.namespace, binding.name)}", KEEP)


def _edit_command(granted: GrantedBy) -> str:
    """The kubectl command that edits a binding of Kubernetes; or its role, if the subject has it by default."""
    binding, kind, name = granted.binding, granted.kind, granted.name
    if gives_by_default(binding, Subject(granted.subject_kind, granted.subject)):
        kind, name = granted.role_kind, granted.role
    return shlex.join(
        ["kubectl", *(["-n", binding.namespace] if binding.namespace else []), "edit", kind.lower(), name]
    )


def delete_command(kind: str, namespace: str, name: str) -> str:
    """The kubectl command that deletes an object."""
    return shlex.join(["kubectl", *(["-n", namespace] if namespace else []), "delete", kind.lower(), name])


def phrase(permissions: Sequence[Request]) -> str:
    """``read pods, services; delete pods in agent-system; impersonate users (cluster-scoped)``."""
    namespaces: dict[str, list[Request]] = {}
    for each in permissions:
        namespaces.setdefault(each.namespace, []).append(each)
    return "; ".join(
        rights(group) + (f" in {namespace}" if namespace else " (cluster-scoped)")
        for namespace, group in namespaces.items()
    )


def rights(permissions: Sequence[Request]) -> str:
    """Permissions in one namespace, without its name: ``read pods, services; delete pods``."""
    asked = set(permissions)
    verbs: dict[str, list[str]] = {}
    for each in permissions:
        if each._replace(verb="*", api_group="*", resource="*", subresource="", name="") in asked:
            verbs["everything"] = ["do"]
        elif each.path == "*":
            verbs.setdefault("all URLs", []).append("use" if each.verb == "*" else each.verb)
        elif not each.name or each._replace(name="") not in asked:
            target = f"{each.target} named {each.name}" if each.name else each.target
            target = f"URL {target}" if each.path else target
            verbs.setdefault(target, []).append(each.verb)
    targets: dict[str, list[str]] = {}
    for target, group in verbs.items():
        targets.setdefault(" ".join(abbreviate(group)), []).append(target)
    return _capped([f"{group} {', '.join(alike)}" for group, alike in targets.items()])


def few_rights(permissions: Iterable[Request]) -> str:
    """`rights` for the first resources, and the number of the others."""
    by_target: dict[str, list[Request]] = {}
    for each in permissions:
        by_target.setdefault(f"{each.target} {each.name}", []).append(each)
    shown = [each for group in list(by_target.values())[:_MOST_TARGETS] for each in group]
    more = len(by_target) - _MOST_TARGETS
    return rights(shown) + (f"; and rights on {more} more" if more > 0 else "")


def _capped(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _MOST_TARGETS} more" if len(texts) > _MOST_TARGETS else ""
    return "; ".join(texts[:_MOST_TARGETS]) + more


def abbreviate(verbs: Sequence[str]) -> list[str]:
    """The verbs with `ABBREVIATIONS`: ``get list watch`` is ``read``. Other verbs are unchanged."""
    if "*" in verbs:
        return ["*"]
    acting = [verb.removeprefix(_IMPERSONATE_ON) for verb in verbs if verb.startswith(_IMPERSONATE_ON)]
    left, short = [verb for verb in dict.fromkeys(verbs) if not verb.startswith(_IMPERSONATE_ON)], []
    for word, abbreviated in ABBREVIATIONS.items():
        if set(abbreviated) <= set(left):
            short.append(word)
            left = [verb for verb in left if verb not in abbreviated]
    return [*short, *left, *(f"{ACTING}{verb}" for verb in (abbreviate(acting) if acting else ()))]


def label(names: Sequence[str], noun: str = "agents") -> str:
    """A short text for names: ranges of numbered names, and at most three of them. ``noun`` is a plural."""
    ranges = list(_ranges(names))
    shown = ", ".join(ranges[:_MOST_NAMES]) + (", …" if len(ranges) > _MOST_NAMES else "")
    return f"{shown} ({len(names)} {noun})" if len(names) > 1 else shown


def _ranges(names: Iterable[str]) -> Iterator[str]:
    numbered = sorted((*_split_number(name), name) for name in names)
    for _, run in groupby(enumerate(numbered), key=lambda item: (item[1][0], item[1][1] - item[0])):
        members = [name for _, (_, _, name) in run]
        yield from [f"{members[0]} … {members[-1]}"] if len(members) > 2 else members


def _split_number(name: str) -> tuple[str, int]:
    found = re.fullmatch(r"(.*?)(\d+)", name)
    return (found[1], int(found[2])) if found else (name, -1)
