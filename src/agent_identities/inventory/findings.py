"""Findings about objects of a cluster: their location, and the kubectl commands that end them."""

import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from agent_identities.chart.names import values_path
from agent_identities.chart.objects import Key
from agent_identities.declaration import Identity
from agent_identities.report.model import Finding, Location, Severity
from agent_identities.report.words import label

INSTALL_AGAIN = "Then install these values again: helm upgrade (Helm 4: --server-side=true --force-conflicts)."
"""The chart's objects stay as the values declare only if the release was installed with these values."""


def finding(
    rule: str,
    message: str,
    keys: Iterable[Key],
    identities: Iterable[Identity],
    *,
    field: str = "",
    details: Sequence[str] = (),
    remediation: Sequence[str] = (),
    severity: Severity = Severity.ERROR,
) -> Finding:
    """A finding about one object or several alike objects (then without an object in its location)."""
    objects, entries = list(dict.fromkeys(keys)), list(dict.fromkeys(one.entry for one in identities))
    location = Location(
        objects[0] if len(objects) == 1 else None, field, values_path(entries[0]) if len(entries) == 1 else ""
    )
    return Finding(rule, severity, message, location, tuple(details), tuple(remediation))


NAMES = "NAMES"
"""Stands for the names of the objects in the arguments of `kubectl`."""


def kubectl(namespace: str, names: Iterable[str], *arguments: str) -> str:
    """A command that works as it is printed."""
    filled = (each for part in arguments for each in (names if part == NAMES else (part,)))
    return shlex.join(["kubectl", "-n", namespace, *filled])


def compact(body: Any) -> str:
    """JSON for the command line."""
    return json.dumps(body, separators=(",", ":"))


def account_key(identity: Identity) -> Key:
    """The ServiceAccount of an identity."""
    return Key("", "ServiceAccount", identity.namespace, identity.name)


def objects(kind: str, namespace: str, names: Sequence[str]) -> str:
    """``Secret ns/a``, or ``a, b (2 Secrets) in namespace ns``."""
    if len(names) == 1:
        return f"{kind} {namespace}/{names[0]}"
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    return f"{label(names, plural)} in namespace {namespace}"
