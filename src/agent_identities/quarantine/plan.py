"""Plan which objects to remove, so that an agent has no rights: from objects to steps, without a cluster.

First bindings, because authorization ends within milliseconds. Then the ServiceAccount: authentication ends when the
entry in the API server's token cache expires (10 s). Then the Deployment and the pods.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_identities.chart.names import AGENT_LABEL, INSTANCE_LABEL, agent_label
from agent_identities.chart.objects import Key
from agent_identities.kube.field_owner import Applied, applied_with
from agent_identities.kube.roles import RBAC
from agent_identities.rbac import Request, RoleRef, Subject, User, requests_of
from agent_identities.rbac.authorizer import authenticated_as
from agent_identities.rbac.model import PolicyRule
from agent_identities.rbac.request import AUTHENTICATED_GROUP, SERVICE_ACCOUNTS_GROUP

Manifest = Mapping[str, Any]

PREFIXES: Mapping[str, str] = {
    "ClusterRoleBinding": RBAC,
    "RoleBinding": RBAC,
    "ServiceAccount": "/api/v1",
    "Deployment": "/apis/apps/v1",
    "Pod": "/api/v1",
    "Secret": "/api/v1",
    "NetworkPolicy": "/apis/networking.k8s.io/v1",
    "CiliumNetworkPolicy": "/apis/cilium.io/v2",
    "CiliumClusterwideNetworkPolicy": "/apis/cilium.io/v2",
}
_BOOTSTRAP_LABEL = "kubernetes.io/bootstrapping"


@dataclass(frozen=True, slots=True)
class TargetAccounts:
    """The ServiceAccounts to quarantine: one agent, or all instances of one entry of the values.

    ``entries`` are the entries of ServiceAccounts whose names are not their labels.
    """

    namespace: str
    names: tuple[str, ...]
    entries: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def labels(self) -> Mapping[str, str]:
        """The ServiceAccounts by the value of AGENT_LABEL. A label has at most 63 characters, a name 253."""
        return {agent_label(name, self.entries.get(name, name)): name for name in self.names}

    @property
    def users(self) -> Mapping[str, User]:
        """The users of the ServiceAccounts, by user name."""
        every = (User.service_account(self.namespace, name) for name in self.names)
        return {user.name: user for user in every}


@dataclass(frozen=True, slots=True)
class Step:
    """An object to delete; with ``subjects``, a binding to patch so that only these subjects are left.

    ``uid`` and ``version`` are those of the object when the step was planned. ``note`` is a remark for the user.
    ``applied`` is the manifest that the field owner of the subjects applied, if there is an owner; it stays the owner.
    ``finalizers`` keep a deleted object: a binding with finalizers loses its subjects instead.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    version: str = ""
    subjects: tuple[Manifest, ...] | None = None
    role: RoleRef | None = None
    users: tuple[str, ...] = ()
    note: str = ""
    applied: Applied | None = None
    finalizers: tuple[str, ...] = ()

    @property
    def collection(self) -> str:
        """The path of the collection of the object."""
        where = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{PREFIXES[self.kind]}{where}/{self.kind.lower()}s"

    @property
    def key(self) -> Key:
        """The key of the object."""
        return _key(self.kind, self.namespace, self.name)

    def __str__(self) -> str:
        return str(self.key)


def binding_steps(bindings: Iterable[Manifest], target: TargetAccounts) -> Iterator[Step]:
    """A step for each binding with a subject for the target: delete the binding, or remove only these subjects.

    A deleted binding with finalizers stays, and still grants its role: such a binding first loses these subjects.
    """
    users = target.users
    for binding in bindings:
        metadata = binding["metadata"]
        namespace = metadata.get("namespace", "")
        subjects = tuple(binding.get("subjects") or ())
        mine = [user_of(subject, namespace) in users for subject in subjects]
        if not any(mine):
            continue
        left = tuple(subject for subject, hit in zip(subjects, mine, strict=True) if not hit)
        as_user = [subject for subject, hit in zip(subjects, mine, strict=True) if hit and subject["kind"] == "User"]
        finalizers = tuple(metadata.get("finalizers") or ())
        only_subjects = bool(left or finalizers)
        notes = [f"{sum(mine)} of {len(subjects)} subjects removed"] if only_subjects else []
        notes += ["subject of kind User"] if as_user else []
        notes += [f"has finalizers: {', '.join(finalizers)}"] if finalizers else []
        yield Step(
            kind=str(binding["kind"]),
            namespace=namespace,
            name=metadata["name"],
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
            subjects=left if only_subjects else None,
            role=RoleRef(binding["roleRef"]["kind"], binding["roleRef"]["name"]),
            users=tuple(
                dict.fromkeys(
                    str(user_of(subject, namespace)) for subject, hit in zip(subjects, mine, strict=True) if hit
                )
            ),
            note=", ".join(notes),
            applied=applied_with(binding, "subjects") if only_subjects else None,
            finalizers=finalizers,
        )


def user_of(subject: Manifest, binding_namespace: str) -> str | None:
    """The name of the user that a subject of a binding matches; None for groups and for invalid subjects."""
    found = authenticated_as(
        Subject(subject["kind"], subject["name"], subject.get("namespace") or ""), binding_namespace
    )
    return found[1] if found and found[0] == "User" else None


def group_bindings(bindings: Iterable[Manifest], target: TargetAccounts) -> Iterator[tuple[Key, str]]:
    """(binding, group) of each binding to a group with the target. It stays, because the siblings need it.

    Without the bindings that the API server itself creates.
    """
    groups = {SERVICE_ACCOUNTS_GROUP, f"{SERVICE_ACCOUNTS_GROUP}:{target.namespace}", AUTHENTICATED_GROUP}
    for binding in bindings:
        metadata = binding["metadata"]
        if _BOOTSTRAP_LABEL in (metadata.get("labels") or {}):
            continue
        for subject in binding.get("subjects") or ():
            if subject["kind"] == "Group" and subject["name"] in groups:
                yield key_of(binding), subject["name"]


def key_of(item: Manifest) -> Key:
    """The key of an object of one of the kinds in ``PREFIXES``; it must have ``kind``."""
    return _key(str(item["kind"]), item["metadata"].get("namespace", ""), item["metadata"]["name"])


def _key(kind: str, namespace: str, name: str) -> Key:
    path = PREFIXES[kind].split("/")
    return Key(path[2] if path[1] == "apis" else "", kind, namespace, name)


def account_steps(accounts: Iterable[Manifest], target: TargetAccounts) -> Iterator[Step]:
    """A step for each existing ServiceAccount of the target that is not being deleted."""
    names = set(target.names)
    for account in accounts:
        if account["metadata"]["name"] in names and not account["metadata"].get("deletionTimestamp"):
            yield _whole("ServiceAccount", account, "")


def workload_steps(deployments: Iterable[Manifest], pods: Iterable[Manifest], target: TargetAccounts) -> Iterator[Step]:
    """Steps for the target's Deployments (with the label of the agent that they run as), then for all of its pods."""
    names, accounts, mine = set(target.names), target.labels, set()
    for deployment in deployments:
        account = accounts.get((deployment["metadata"].get("labels") or {}).get(AGENT_LABEL, ""))
        if account and deployment["spec"]["template"]["spec"].get("serviceAccountName") == account:
            mine.add(deployment["metadata"]["name"])
            yield _whole("Deployment", deployment, "")
    for pod in pods:
        if pod["spec"].get("serviceAccountName") in names:
            owner = controller_of(pod, mine)
            note = f"created by {owner}, which stays and cannot create pods without the account" if owner else ""
            yield _whole("Pod", pod, note)


def controller_of(pod: Manifest, deployments: Container[str]) -> str:
    """The controller of a pod, such as "ReplicaSet web-5d"; "" for none and for those of these Deployments."""
    for owner in pod["metadata"].get("ownerReferences") or ():
        replica_set_of_ours = owner["kind"] == "ReplicaSet" and owner["name"].rpartition("-")[0] in deployments
        if owner.get("controller") and not replica_set_of_ours:
            return f"{owner['kind']} {owner['name']}"
    return ""


def _whole(kind: str, item: Manifest, note: str) -> Step:
    metadata = item["metadata"]
    finalizers = tuple(metadata.get("finalizers") or ())
    return Step(kind, metadata["namespace"], metadata["name"], metadata["uid"], note=note, finalizers=finalizers)


def rights(step: Step, rules: Iterable[PolicyRule]) -> tuple[tuple[User, Request], ...]:
    """The requests that a binding allows, for its users only: not for members of groups."""
    granted = [request for rule in rules for request in requests_of(rule, step.namespace)]
    return tuple(
        (User(user), request) for user in step.users for request in granted if not (step.namespace and request.path)
    )


def values_change(
    values: Mapping[str, Any] | None, labels: Mapping[str, Mapping[str, str]], names: Iterable[str]
) -> dict[str, Any]:
    """The values to add so that ``names`` stay quarantined: {"agents": {entry: {"quarantined": True or [2]}}}.

    From the values if they are known, else from the labels of the ServiceAccounts (name -> its labels). Empty if the
    values already have the quarantine.
    """
    wanted: dict[str, _Quarantined] = {}
    for name in names:
        entry, number, before, instances = _in_values(values, name) or _by_label(name, labels.get(name, {}))
        quarantined = wanted.setdefault(entry, _Quarantined(before, instances))
        quarantined.numbers.add(number)
    return {
        "agents": {entry: {"quarantined": each.value} for entry, each in wanted.items() if each.value != each.before}
    }


@dataclass(slots=True)
class _Quarantined:
    """The quarantined instances of an entry: those of ``before``, and ``numbers``; 0 is the entry itself."""

    before: bool | list[int] | None
    instances: int
    numbers: set[int] = field(default_factory=set)

    @property
    def value(self) -> bool | list[int]:
        already = self.before if isinstance(self.before, list) else []
        every = sorted({*already, *self.numbers})
        whole = self.before is True or 0 in self.numbers or len(every) == self.instances
        return True if whole else every


def _in_values(values: Mapping[str, Any] | None, name: str) -> tuple[str, int, Any, int] | None:
    """(entry, number of the instance or 0, the present value of `quarantined`, number of instances or 0)."""
    for entry, agent in ((values or {}).get("agents") or {}).items():
        agent = agent or {}
        count, quarantined = agent.get("instances", 0), agent.get("quarantined")
        numbers = {f"{entry}-{number}": number for number in range(1, count + 1)}
        if name in numbers:
            return entry, numbers[name], quarantined, count
        if not count and name == ((agent.get("serviceAccount") or {}).get("name") or entry):
            return entry, 0, quarantined, 0
    return None


def _by_label(name: str, labels: Mapping[str, str]) -> tuple[str, int, Any, int]:
    entry = labels.get(INSTANCE_LABEL, name)
    number = name.removeprefix(f"{entry}-")
    return entry, int(number) if entry != name and number.isdecimal() else 0, None, 0


def instances_of(values: Mapping[str, Any], entries: Iterable[str]) -> tuple[str, ...]:
    """The names of all instances of these entries of the values."""
    agents = values.get("agents") or {}
    counts = {entry: (agents.get(entry) or {}).get("instances", 0) for entry in entries}
    return tuple(f"{entry}-{number}" for entry, count in counts.items() for number in range(1, count + 1))
