"""The words for requests, and for the bindings that allow them, in reports of every job."""

import shlex
from collections.abc import Sequence

from agent_identities.rbac import Request, granted_by

ABBREVIATIONS = {"read": ("get", "list", "watch"), "write": ("create", "update", "patch", "delete")}
"""What stands for several verbs where an agent has all of them."""

ACTING = "as-agent:"
"""What stands for the prefix of the verbs by which the proxy acts as its proxied agents."""

_IMPERSONATE_ON = "impersonate-on:serviceaccount:"
_MOST_TARGETS = 8


def remediation(reason: str, *, allowed: bool) -> tuple[str, ...]:
    """What to do about an answer that differs from the values, by the API server's reason; a line each."""
    if not allowed:
        return ("A binding or a rule of its Role is missing: install these values again (helm upgrade).",)
    binding = granted_by(reason)
    if binding is None:
        return ("It comes from no RBAC binding: look at the API server's other authorizers.",)
    where = ["-n", binding.namespace] if binding.namespace else []
    delete = shlex.join(["kubectl", *where, "delete", binding.kind.lower(), binding.name])
    return (
        f"Not wanted: {delete}",
        "The chart's own binding: its Role was changed; install these values again (helm upgrade).",
        "Wanted: declare it in a tier.",
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
    places: dict[str, dict[str, list[str]]] = {}
    for (namespace, target), group in verbs.items():
        places.setdefault(namespace, {}).setdefault(" ".join(abbreviate(group)), []).append(target)
    return "; ".join(
        _capped([f"{group} {', '.join(targets)}" for group, targets in by_verbs.items()])
        + (f" in {namespace}" if namespace else " (cluster-scoped)")
        for namespace, by_verbs in places.items()
    )


def _capped(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _MOST_TARGETS} more" if len(texts) > _MOST_TARGETS else ""
    return "; ".join(texts[:_MOST_TARGETS]) + more


def abbreviate(verbs: Sequence[str]) -> list[str]:
    """``get list watch`` as ``read``, and so on; other verbs as they are."""
    if "*" in verbs:
        return ["*"]
    acting = [verb.removeprefix(_IMPERSONATE_ON) for verb in verbs if verb.startswith(_IMPERSONATE_ON)]
    left, short = [verb for verb in dict.fromkeys(verbs) if not verb.startswith(_IMPERSONATE_ON)], []
    for word, meant in ABBREVIATIONS.items():
        if set(meant) <= set(left):
            short.append(word)
            left = [verb for verb in left if verb not in meant]
    return [*short, *left, *(f"{ACTING}{verb}" for verb in (abbreviate(acting) if acting else ()))]
