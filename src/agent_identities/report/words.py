"""The wording of requests, of the bindings that allow them, and of names, in the reports of all jobs."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from agent_identities.rbac import Request, granted_by

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


def remediation(reason: str, *, allowed: bool) -> tuple[str, ...]:
    """The remediations for an answer that differs from the values, from the API server's reason; a line for each."""
    if not allowed:
        return ("A binding or a rule of its Role is missing: install these values again (helm upgrade).",)
    binding = granted_by(reason)
    if binding is None:
        return ("No RBAC binding allows it: check the other authorizers of the API server.",)
    where = ["-n", binding.namespace] if binding.namespace else []
    delete = shlex.join(["kubectl", *where, "delete", binding.kind.lower(), binding.name])
    return (
        f"To remove it: {delete}",
        "If the binding belongs to the chart, its Role was changed: install these values again (helm upgrade).",
        "To keep it: declare it in a tier.",
    )


def phrase(permissions: Sequence[Request]) -> str:
    """``read pods, services; delete pods in agent-system; impersonate users (cluster-scoped)``."""
    asked = set(permissions)
    verbs: dict[tuple[str, str], list[str]] = {}
    for each in permissions:
        if each._replace(verb="*", api_group="*", resource="*", subresource="", name="") in asked:
            verbs[each.namespace, "everything"] = ["do"]
        elif not each.name or each._replace(name="") not in asked:
            target = f"{each.target} named {each.name}" if each.name else each.target
            verbs.setdefault((each.namespace, target), []).append(each.verb)
    namespaces: dict[str, dict[str, list[str]]] = {}
    for (namespace, target), group in verbs.items():
        namespaces.setdefault(namespace, {}).setdefault(" ".join(abbreviate(group)), []).append(target)
    return "; ".join(
        _capped([f"{group} {', '.join(targets)}" for group, targets in by_verbs.items()])
        + (f" in {namespace}" if namespace else " (cluster-scoped)")
        for namespace, by_verbs in namespaces.items()
    )


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
