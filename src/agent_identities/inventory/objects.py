"""Read the objects in the namespaces of the agents: token Secrets, pods and their owners, and NetworkPolicies."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

from agent_identities.chart.names import AGENT_LABEL, PROXY_LABEL
from agent_identities.declaration import Declaration, Identity
from agent_identities.declared_objects import DeclaredObjects, declared_objects
from agent_identities.inventory.accounts import Accounts, Manifest
from agent_identities.inventory.model import NotRead
from agent_identities.kube.client import Api, ApiError
from agent_identities.kube.fanout import fan_out

_Key = tuple[str, str]

_CONSEQUENCES = {
    "Secret": "token Secrets of agents, whose tokens never expire",
    "Pod": "pods that run as an agent and do not belong to the release, and the tokens of the agents' pods",
    "Deployment": "Deployments of the release that were changed",
    "ReplicaSet": "pods of ReplicaSets that do not belong to a Deployment of the release",
    "Job": "the CronJobs of pods that run as an agent",
    "NetworkPolicy": "NetworkPolicies that allow traffic of agents",
}
"""What is not looked for if the caller may not list objects of a kind."""


@dataclass(frozen=True, slots=True)
class AgentObjects:
    """The objects around the identities of a declaration, in their namespaces.

    ``declared`` are the declared objects by (namespace, name of the ServiceAccount). ``token_secrets`` (with metadata
    only) and ``policies`` are all of the namespaces; ``pods`` those that run as an identity or have the label of an
    identity, without pods that are being deleted. ``owners`` are the controllers that own such pods, by uid.
    ``unread`` are the kinds that could not be read, as (namespace, kind).
    """

    declaration: Declaration
    declared: Mapping[_Key, DeclaredObjects]
    accounts: Accounts
    token_secrets: tuple[Manifest, ...] = ()
    pods: tuple[Manifest, ...] = ()
    deployments: Mapping[_Key, Manifest] = field(default_factory=dict)
    owners: Mapping[str, Manifest] = field(default_factory=dict)
    policies: tuple[Manifest, ...] = ()
    unread: frozenset[_Key] = frozenset()
    not_read: tuple[NotRead, ...] = ()

    def of(self, identity: Identity) -> DeclaredObjects:
        """The declared objects of an identity."""
        return self.declared[identity.namespace, identity.name]

    @property
    def identities(self) -> Mapping[_Key, Identity]:
        """The identities by (namespace, name), also the quarantined ones."""
        return {(one.namespace, one.name): one for one in self.declaration.identities}


def read_objects(api: Api, declaration: Declaration, accounts: Accounts) -> AgentObjects:
    """Read the objects, all lists at the same time. What the caller may not list is in ``not_read``. Raises ApiError.

    Deployments and their ReplicaSets are read only if the values declare a workload, NetworkPolicies only if they
    declare one. No data of a Secret is read.
    """
    declared = {(one.namespace, one.name): declared_objects(declaration, one) for one in declaration.identities}
    read = _read_all(api, _lists(declared))
    pods = [pod for (_, kind), (items, _) in read.items() if kind == "Pod" for pod in items]
    read |= _read_all(api, _owner_lists(pods))

    def every(*kinds: str) -> Iterator[Manifest]:
        return (item for (_, kind), (items, _) in read.items() if kind in kinds for item in items)

    missing = {key: missed for key, (_, missed) in read.items() if missed is not None}
    return AgentObjects(
        declaration,
        declared,
        accounts,
        tuple(every("Secret")),
        tuple(every("Pod")),
        {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in every("Deployment")},
        {item["metadata"]["uid"]: item for item in every("ReplicaSet", "Job")},
        tuple(every("NetworkPolicy")),
        frozenset(missing),
        tuple(missing.values()),
    )


_Keep = Callable[[Manifest], bool]
_Read = tuple[list[Manifest], NotRead | None]


def _read_all(api: Api, lists: Mapping[_Key, _Keep]) -> dict[_Key, _Read]:
    """The objects of each (namespace, kind) that its function keeps."""
    read = fan_out(lambda each: _read(api, *each[0], each[1]), list(lists.items()), abort=api.abort)
    return dict(zip(lists, read, strict=True))


def _read(api: Api, namespace: str, kind: str, keep: _Keep) -> _Read:
    path, metadata_only = _PATHS[kind]
    try:
        items = api.list_as(
            path.format(namespace), lambda item: item if keep(item) else None, metadata_only=metadata_only
        )
        return [item for item in items if item is not None], None
    except ApiError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        plural = "NetworkPolicies" if kind == "NetworkPolicy" else f"{kind}s"
        return [], NotRead(f"{plural} in namespace {namespace}", _CONSEQUENCES[kind], str(error))


_PATHS = {
    "Secret": (
        "/api/v1/namespaces/{}/secrets?fieldSelector=type%3Dkubernetes.io%2Fservice-account-token",
        True,
    ),
    "Pod": ("/api/v1/namespaces/{}/pods", False),
    "Deployment": ("/apis/apps/v1/namespaces/{}/deployments", False),
    "ReplicaSet": ("/apis/apps/v1/namespaces/{}/replicasets", True),
    "Job": ("/apis/batch/v1/namespaces/{}/jobs", True),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies", False),
}
"""The path of each kind, and whether only metadata is needed."""


def _lists(declared: Mapping[_Key, DeclaredObjects]) -> dict[_Key, _Keep]:
    found: dict[_Key, _Keep] = {}
    for namespace in sorted({key[0] for key in declared}):
        here = {name: objects for (where, name), objects in declared.items() if where == namespace}
        found[namespace, "Secret"] = _everything
        found[namespace, "Pod"] = partial(_concerns, frozenset(here))
        if any(objects.containers is not None for objects in here.values()):
            found[namespace, "Deployment"] = _everything
        if any(objects.policy is not None for objects in here.values()):
            found[namespace, "NetworkPolicy"] = _everything
    return found


def _owner_lists(pods: Iterable[Manifest]) -> dict[_Key, _Keep]:
    """The lists with the controllers of pods that have a controller themselves: Deployments and CronJobs."""
    owners = ((pod["metadata"]["namespace"], controller_of(pod)) for pod in pods)
    kinds = {(namespace, owner["kind"]) for namespace, owner in owners if owner}
    return dict.fromkeys(sorted(key for key in kinds if key[1] in ("ReplicaSet", "Job")), _everything)


def _everything(_item: Manifest) -> bool:
    return True


def _concerns(names: frozenset[str], pod: Manifest) -> bool:
    """Whether a pod runs as an identity, or has the label of one, and is not being deleted."""
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    named = {account_of(pod), labels.get(AGENT_LABEL), labels.get(PROXY_LABEL)}
    return not metadata.get("deletionTimestamp") and not names.isdisjoint(named)


def account_of(pod: Manifest) -> str:
    """The name of the ServiceAccount of a pod."""
    return str(pod["spec"].get("serviceAccountName") or "default")


def controller_of(obj: Manifest) -> Manifest | None:
    """The owner reference of the controller of an object; None without one."""
    references = obj["metadata"].get("ownerReferences") or ()
    return next((each for each in references if each.get("controller")), None)
