"""Look for what outlives a quarantine. A look that fails is a note: nothing of the agent is known to be left."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from agent_identities.chart.names import AGENT_LABEL
from agent_identities.chart.objects import Key
from agent_identities.declaration import declare
from agent_identities.kube.client import ApiError
from agent_identities.quarantine import outlives, read
from agent_identities.quarantine.audiences import audiences
from agent_identities.quarantine.find import FoundAgent
from agent_identities.quarantine.plan import Step
from agent_identities.quarantine.result import Outliving
from agent_identities.quarantine.server import Server
from agent_identities.rbac import Request

Manifest = Mapping[str, Any]


@dataclass(slots=True)
class Seen:
    """Objects that a run read before it removed them. ``rights`` is None if they are unknown."""

    accounts: tuple[Manifest, ...] = ()
    bindings: list[Manifest] = field(default_factory=list)
    deployments: tuple[Manifest, ...] = ()
    pods: tuple[Manifest, ...] = ()
    groups: list[tuple[Key, str]] = field(default_factory=list)
    rights: tuple[Request, ...] | None = None


@dataclass(frozen=True, slots=True)
class Remaining:
    """What outlives the quarantine, and notes about what could not be looked at."""

    outlives: tuple[Outliving, ...]
    notes: tuple[str, ...]


def remaining(
    server: Server, found: FoundAgent, seen: Seen, steps: Iterable[Step], values: Mapping[str, Any] | None
) -> Remaining:
    """Look for it. ``steps`` are the steps that were done. Raises ServerGoneError."""
    target, notes = found.target, list[str]()
    declaration = declare(values, namespace=found.home) if values is not None else None

    def tried(what: str, look: Callable[[], Iterable[Outliving]]) -> list[Outliving]:
        try:
            return list(look())
        except ApiError as error:
            notes.append(f"Could not look for {what}: {error}")
            return []

    mounted = audiences(values, declaration, target.names, seen.pods)
    labels = [dict(pod["metadata"].get("labels") or {}) for pod in seen.pods] + [
        {AGENT_LABEL: label} for label in target.labels
    ]
    every = [
        *outlives.connections(target, seen.rights),
        *outlives.tokens_elsewhere(target.namespace, mounted),
        *outlives.cloud_identities(seen.accounts),
        *tried("finalizers", lambda: _held(server, found, steps)),
        *outlives.kept_by_annotations((*seen.accounts, *seen.bindings)),
        *outlives.groups(seen.groups),
        *outlives.controllers(seen.pods, seen.deployments, target),
        *tried("other pods with the label", lambda: outlives.impostors(read.labelled_pods(server, target), target)),
        *tried(
            "NetworkPolicies that allow traffic",
            lambda: outlives.open_traffic(read.network_policies(server, target), labels),
        ),
        *tried(
            "CiliumNetworkPolicies that allow traffic",
            lambda: outlives.open_cilium_traffic(read.cilium_policies(server, target), target, labels),
        ),
        *tried("Secrets with tokens", lambda: outlives.token_secrets(read.token_secrets(server, target), target)),
    ]
    return Remaining(tuple(every), tuple(notes))


def _held(server: Server, found: FoundAgent, steps: Iterable[Step]) -> Iterator[Outliving]:
    """The deleted objects that still exist because of finalizers, also those that an earlier run deleted."""
    terminating = {
        ("ServiceAccount", found.target.namespace, each["metadata"]["name"])
        for each in read.service_accounts(server, found.target).items
        if each["metadata"].get("deletionTimestamp")
    }
    planned = {(step.kind, step.namespace, step.name) for step in steps if step.finalizers}
    for kind, namespace, name in sorted(planned | terminating):
        step = Step(kind, namespace, name, "")
        item = server.get(f"{step.collection}/{quote(name, safe='')}")
        if item is not None and item["metadata"].get("finalizers"):
            where = f"-n {namespace} " if namespace else ""
            yield outlives.held({"kind": kind, **item}, f"{where}patch {kind.lower()} {name}")
