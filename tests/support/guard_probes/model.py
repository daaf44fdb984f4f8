"""What a probe is: one request by one author, and what the guards make of it.

A table of probes holds for every release: $ns is the agents' namespace, $r that of the release, $e is a namespace
without guards.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent_identities.kube.client import Answer
from support.server import RBAC, Json

HERE, ELSEWHERE, OF_RELEASE = "$ns", "$e", "$r"
PER_AGENT, PER_TIER, FLEET = "perAgent", "perTier", "fleet"
END = "\N{PILCROW SIGN}"
"""Where a message ends; at the end of a part of it."""
DRY = "?dryRun=All"
_APPS = ("deployments", "replicasets", "statefulsets", "daemonsets", "controllerrevisions")
_BATCH = ("jobs", "cronjobs")
_RBAC = ("rolebindings", "clusterrolebindings", "roles", "clusterroles")
_NETWORK = ("networkpolicies",)


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """One request; ``path`` with its query. PATCH is a strategic merge patch, MERGE a merge patch."""

    method: str
    path: str
    body: Json


def collection(resource: str, namespace: str = HERE) -> str:
    """The path of a collection; in no namespace where that is ""."""
    group = (
        "/apis/apps/v1"
        if resource in _APPS
        else "/apis/batch/v1"
        if resource in _BATCH
        else RBAC
        if resource in _RBAC
        else "/apis/networking.k8s.io/v1"
        if resource in _NETWORK
        else "/api/v1"
    )
    return f"{group}/namespaces/{namespace}/{resource}" if namespace else f"{group}/{resource}"


def create(resource: str, body: Json, namespace: str = HERE) -> ProbeRequest:
    return ProbeRequest("POST", collection(resource, namespace) + DRY, body)


def patch(resource: str, name: str, body: Json, namespace: str = HERE) -> ProbeRequest:
    """``name`` may end in a subresource: p/scale."""
    return ProbeRequest("PATCH", f"{collection(resource, namespace)}/{name}{DRY}", body)


def replace(resource: str, name: str, body: Json, namespace: str = HERE) -> ProbeRequest:
    return ProbeRequest("PUT", f"{collection(resource, namespace)}/{name}{DRY}", body)


def remove(resource: str, name: str, namespace: str = HERE, **options: Any) -> ProbeRequest:
    """A deletion; options: DeleteOptions. With a body, the API server ignores the query, also its dryRun."""
    return ProbeRequest("DELETE", f"{collection(resource, namespace)}/{name}", {"dryRun": ["All"], **options})


def made(answer: Answer) -> bool:
    """Whether the server accepted the request."""
    return answer.status in (200, 201)


@dataclass(frozen=True, slots=True)
class Probe:
    """A request with what is expected: a refusal by ``policy``, whose message has all of ``refused``, or ``passes``.

    ``policy``: what its name ends in, after release and namespace. ``also``: policies of other guards that refuse the
    same request, so that any of them may be the one that is named. ``modes``: the releases that it is true of.
    """

    guard: str
    title: str
    who: str
    request: ProbeRequest
    policy: str
    refused: tuple[str, ...] | None = None
    passes: Callable[[Answer], bool] = made
    also: tuple[str, ...] = ()
    modes: tuple[str, ...] = (PER_AGENT, PER_TIER)

    def __str__(self) -> str:
        return f"{self.guard}: {self.title} ({self.who})"

    @property
    def invariant(self) -> str:
        """What it shows: that the guard refuses, admits, or (shortTokens) sets what it should."""
        if self.refused is not None:
            return f"guard-refuses:{self.guard}"
        return f"guard-{'sets' if self.guard == 'shortTokens' else 'admits'}:{self.guard}"


class Table:
    """The probes of one policy, written one by one."""

    def __init__(self, guard: str, policy: str) -> None:
        self.guard = guard
        self.policy = policy
        self.probes: list[Probe] = []

    def refuses(self, title: str, who: str, request: ProbeRequest, *parts: str, **more: Any) -> None:
        """Expected: the policy's refusal, with these parts in its message."""
        assert parts, f"{title}: a refusal without words could be an error of its expression"
        self.probes.append(Probe(self.guard, title, who, request, self.policy, parts, **more))

    def admits(self, title: str, who: str, request: ProbeRequest, **more: Any) -> None:
        """Expected: the server accepts the request."""
        self.probes.append(Probe(self.guard, title, who, request, self.policy, **more))
