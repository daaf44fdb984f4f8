"""Read the objects in the namespaces of the agents: token Secrets, pods, workloads, and NetworkPolicies."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

from agent_identities.chart.names import AGENT_LABEL, PROXY_LABEL
from agent_identities.chart.objects import Key
from agent_identities.declaration import Declaration, Identity
from agent_identities.declared_objects import DeclaredObjects, declared_objects
from agent_identities.inventory.accounts import Accounts, Manifest
from agent_identities.inventory.model import NotRead
from agent_identities.kube.client import Api, ApiError
from agent_identities.kube.fanout import fan_out

_ACCOUNT = "kubernetes.io/service-account.name"
_Key = tuple[str, str]

_CONSEQUENCES = {
    "Secret": "token Secrets of agents, whose tokens never expire, and who may read them",
    "Pod": "pods that run as an agent and do not belong to the release, the tokens of the agents' pods, and ConfigMaps "
    "and Secrets that only they read",
    "Deployment": "Deployments of the release that were changed, and others that run pods as an agent",
    "ReplicaSet": "pods of ReplicaSets that do not belong to a Deployment of the release, and ReplicaSets of the "
    "release that were changed",
    "Job": "the CronJobs of pods that run as an agent, and Jobs that run pods as an agent",
    **{
        kind: f"{kind}s that run pods as an agent"
        for kind in ("StatefulSet", "DaemonSet", "CronJob", "ReplicationController")
    },
    "NetworkPolicy": "NetworkPolicies that allow traffic of agents",
}
"""What is not looked for if the caller may not list objects of a kind."""


@dataclass(frozen=True, slots=True)
class AgentObjects:
    """The objects around the identities of a declaration, in their namespaces.

    ``declared`` are the declared objects by (namespace, name of the ServiceAccount). ``token_secrets`` (with metadata
    only) and ``policies`` are all of the namespaces; ``pods`` those that run as an identity or have the label of an
    identity, without pods that are being deleted. ``owners`` are ReplicaSets and Jobs, by uid. ``templates`` are the
    pod templates that run as an identity, of workloads without a controller of their own. ``unread`` are the kinds
    that could not be read, as (namespace, kind).
    """

    declaration: Declaration
    declared: Mapping[_Key, DeclaredObjects]
    accounts: Accounts
    token_secrets: tuple[Manifest, ...] = ()
    pods: tuple[Manifest, ...] = ()
    deployments: Mapping[_Key, Manifest] = field(default_factory=dict)
    owners: Mapping[str, Manifest] = field(default_factory=dict)
    templates: Mapping[Key, Manifest] = field(default_factory=dict)
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

    NetworkPolicies are read only if the values declare one. No data of a Secret is read.
    """
    declared = {(one.namespace, one.name): declared_objects(declaration, one) for one in declaration.identities}
    read = _read_all(api, _lists(declared))

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
        dict(_templates(read, declared)),
        tuple(every("NetworkPolicy")),
        frozenset(missing),
        tuple(_not_read(missing)),
    )


def _not_read(missing: Mapping[_Key, NotRead]) -> Iterator[NotRead]:
    """What could not be read. The workloads of a namespace are one entry."""
    workloads: dict[str, list[str]] = {}
    for namespace, kind in missing:
        if kind in _WORKLOADS:
            workloads.setdefault(namespace, []).append(kind)
    for (namespace, kind), each in missing.items():
        kinds = workloads[namespace] if kind in _WORKLOADS else [kind]
        if kinds[0] != kind:
            continue
        if len(kinds) > 1:
            names = ", ".join(f"{other}s" for other in kinds)
            each = NotRead(
                f"{names} in namespace {namespace}", "; ".join(map(_CONSEQUENCES.__getitem__, kinds)), each.why
            )
        yield each


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
    "ReplicaSet": ("/apis/apps/v1/namespaces/{}/replicasets", False),
    "StatefulSet": ("/apis/apps/v1/namespaces/{}/statefulsets", False),
    "DaemonSet": ("/apis/apps/v1/namespaces/{}/daemonsets", False),
    "ReplicationController": ("/api/v1/namespaces/{}/replicationcontrollers", False),
    "Job": ("/apis/batch/v1/namespaces/{}/jobs", False),
    "CronJob": ("/apis/batch/v1/namespaces/{}/cronjobs", False),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies", False),
}
"""The path of each kind, and whether only metadata is needed."""

_WORKLOADS = {
    **dict.fromkeys(("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"), "apps"),
    **dict.fromkeys(("Job", "CronJob"), "batch"),
    "ReplicationController": "",
}
"""The API group of each kind with a pod template."""


def _lists(declared: Mapping[_Key, DeclaredObjects]) -> dict[_Key, _Keep]:
    found: dict[_Key, _Keep] = {}
    for namespace in sorted({key[0] for key in declared}):
        here = {name: objects for (where, name), objects in declared.items() if where == namespace}
        found[namespace, "Secret"] = _everything
        found[namespace, "Pod"] = partial(_concerns, frozenset(here))
        found |= dict.fromkeys(((namespace, kind) for kind in _WORKLOADS), _everything)
        if any(objects.policy is not None for objects in here.values()):
            found[namespace, "NetworkPolicy"] = _everything
    return found


def _templates(read: Mapping[_Key, _Read], declared: Mapping[_Key, DeclaredObjects]) -> Iterator[tuple[Key, Manifest]]:
    """The pod templates that run as an identity. Jobs that are finished create no more pods."""
    for (namespace, kind), (items, _) in read.items():
        for item in items if kind in _WORKLOADS else ():
            template = item["spec"]["jobTemplate" if kind == "CronJob" else "template"]
            template = template["spec"]["template"] if kind == "CronJob" else template
            finished = kind == "Job" and any(
                each["type"] in ("Complete", "Failed") and each["status"] == "True"
                for each in (item.get("status") or {}).get("conditions") or ()
            )
            if (namespace, account_of(template)) in declared and controller_of(item) is None and not finished:
                yield Key(_WORKLOADS[kind], kind, namespace, item["metadata"]["name"]), template


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


def token_account(secret: Manifest) -> str:
    """The name of the ServiceAccount of a token Secret; "" if it has none."""
    return str((secret["metadata"].get("annotations") or {}).get(_ACCOUNT, ""))


def controller_of(obj: Manifest) -> Manifest | None:
    """The owner reference of the controller of an object; None without one."""
    references = obj["metadata"].get("ownerReferences") or ()
    return next((each for each in references if each.get("controller")), None)
