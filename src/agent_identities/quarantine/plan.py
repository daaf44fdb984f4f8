"""What has to go so that an agent holds nothing: from objects to steps, without a cluster.

Bindings first, since authorization stops within milliseconds; then the account, with which authentication ends once the
API server's cache of tokens forgets (10 s); then what runs as it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_identities.chart.names import AGENT_LABEL, INSTANCE_LABEL
from agent_identities.chart.objects import Key
from agent_identities.kube.field_owner import Applied, applied_with
from agent_identities.kube.roles import RBAC
from agent_identities.rbac import Request, RoleRef, Subject, User, requests_of
from agent_identities.rbac.authorizer import authenticated_as
from agent_identities.rbac.model import PolicyRule
from agent_identities.rbac.request import SERVICE_ACCOUNTS_GROUP

Manifest = Mapping[str, Any]

PREFIXES: Mapping[str, str] = {
    "ClusterRoleBinding": RBAC,
    "RoleBinding": RBAC,
    "ServiceAccount": "/api/v1",
    "Deployment": "/apis/apps/v1",
    "Pod": "/api/v1",
}
_BOOTSTRAP_LABEL = "kubernetes.io/bootstrapping"


@dataclass(frozen=True, slots=True)
class TargetAccounts:
    """The ServiceAccounts to put out of action: one agent, or all instances of one entry of the values."""

    namespace: str
    names: tuple[str, ...]

    @property
    def users(self) -> Mapping[str, User]:
        """By the name that the API server knows each under."""
        every = (User.service_account(self.namespace, name) for name in self.names)
        return {user.name: user for user in every}


@dataclass(frozen=True, slots=True)
class Step:
    """One object to delete; or, with ``subjects``, a binding in which only those are to be left.

    ``uid`` and ``version`` are those it was planned for. ``note`` says what is particular about it. ``applied`` is what
    the owner of the subjects applied, where it did: it stays the owner.
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

    @property
    def collection(self) -> str:
        """The path of the objects of its kind, where it is."""
        where = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{PREFIXES[self.kind]}{where}/{self.kind.lower()}s"

    @property
    def key(self) -> Key:
        """What names the object."""
        path = PREFIXES[self.kind].split("/")
        return Key(path[2] if path[1] == "apis" else "", self.kind, self.namespace, self.name)

    def __str__(self) -> str:
        return str(self.key)


def binding_steps(bindings: Iterable[Manifest], target: TargetAccounts) -> Iterator[Step]:
    """A step for each binding that names the target, however it spells it: whole, or just its subjects."""
    for binding in bindings:
        metadata = binding["metadata"]
        namespace = metadata.get("namespace", "")
        subjects = tuple(binding.get("subjects") or ())
        mine = [user_of(subject, namespace) in target.users for subject in subjects]
        if not any(mine):
            continue
        left = tuple(subject for subject, hit in zip(subjects, mine, strict=True) if not hit)
        spelled = [subject for subject, hit in zip(subjects, mine, strict=True) if hit and subject["kind"] == "User"]
        notes = [f"{sum(mine)} of {len(subjects)} subjects taken out"] if left else []
        notes += ["it named the account as a User"] if spelled else []
        yield Step(
            kind=str(binding["kind"]),
            namespace=namespace,
            name=metadata["name"],
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
            subjects=left or None,
            role=RoleRef(binding["roleRef"]["kind"], binding["roleRef"]["name"]),
            users=tuple(
                dict.fromkeys(
                    str(user_of(subject, namespace)) for subject, hit in zip(subjects, mine, strict=True) if hit
                )
            ),
            note=", ".join(notes),
            applied=applied_with(binding, "subjects") if left else None,
        )


def user_of(subject: Manifest, binding_namespace: str) -> str | None:
    """The name of the user that a subject of a binding stands for; None for groups and for nobody."""
    found = authenticated_as(
        Subject(subject["kind"], subject["name"], subject.get("namespace") or ""), binding_namespace
    )
    return found[1] if found and found[0] == "User" else None


def shared_rights(bindings: Iterable[Manifest], target: TargetAccounts) -> Iterator[str]:
    """Bindings to groups of ServiceAccounts that the target is in: its siblings live by them, so they stay."""
    groups = {SERVICE_ACCOUNTS_GROUP, f"{SERVICE_ACCOUNTS_GROUP}:{target.namespace}"}
    for binding in bindings:
        metadata = binding["metadata"]
        if _BOOTSTRAP_LABEL in (metadata.get("labels") or {}):
            continue
        for subject in binding.get("subjects") or ():
            if subject["kind"] == "Group" and subject["name"] in groups:
                where = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
                yield f"{binding['kind']} {where}{metadata['name']} to Group {subject['name']}"


def account_steps(accounts: Iterable[Manifest], target: TargetAccounts) -> Iterator[Step]:
    """A step for each of the target's ServiceAccounts that is there, and not on its way out already."""
    for account in accounts:
        if account["metadata"]["name"] in target.names and not account["metadata"].get("deletionTimestamp"):
            yield _whole("ServiceAccount", account, "")


def workload_steps(deployments: Iterable[Manifest], pods: Iterable[Manifest], target: TargetAccounts) -> Iterator[Step]:
    """The target's own Deployments (the chart's: labelled with the agent that they run as), then all of its pods."""
    mine = []
    for deployment in deployments:
        labels = deployment["metadata"].get("labels") or {}
        spec = deployment["spec"]["template"]["spec"]
        if labels.get(AGENT_LABEL) in target.names and spec.get("serviceAccountName") == labels[AGENT_LABEL]:
            mine.append(deployment["metadata"]["name"])
            yield _whole("Deployment", deployment, "")
    for pod in pods:
        if pod["spec"].get("serviceAccountName") in target.names:
            yield _whole("Pod", pod, _made_by(pod, mine))


def _made_by(pod: Manifest, deployments: Iterable[str]) -> str:
    """What would make the pod anew, were the account still there."""
    for owner in pod["metadata"].get("ownerReferences") or ():
        replica_set_of_ours = owner["kind"] == "ReplicaSet" and owner["name"].rpartition("-")[0] in deployments
        if owner.get("controller") and not replica_set_of_ours:
            return f"made by {owner['kind']} {owner['name']}, which stays, and can start no more without the account"
    return ""


def _whole(kind: str, item: Manifest, note: str) -> Step:
    metadata = item["metadata"]
    return Step(kind, metadata["namespace"], metadata["name"], metadata["uid"], note=note)


def rights(step: Step, rules: Iterable[PolicyRule]) -> tuple[tuple[User, Request], ...]:
    """Everything that a binding allows, for its users under no other name: not as members of their groups."""
    granted = [request for rule in rules for request in requests_of(rule, step.namespace)]
    return tuple(
        (User(user), request) for user in step.users for request in granted if not (step.namespace and request.path)
    )


def values_change(
    values: Mapping[str, Any] | None, labels: Mapping[str, Mapping[str, str]], names: Iterable[str]
) -> dict[str, Any]:
    """What to add to the values so that ``names`` stay out: {"agents": {entry: {"quarantined": True or [2]}}}.

    By the values where they are known, else by the labels of the ServiceAccounts (name -> its labels). Empty where the
    values say all of it already.
    """
    wanted: dict[str, _Out] = {}
    for name in names:
        entry, number, before, instances = _in_values(values, name) or _by_label(name, labels.get(name, {}))
        out = wanted.setdefault(entry, _Out(before, instances))
        out.numbers.add(number)
    return {"agents": {entry: {"quarantined": out.value} for entry, out in wanted.items() if out.value != out.before}}


@dataclass(slots=True)
class _Out:
    """Which instances of an entry are out: those that were ``before``, and ``numbers``; 0 stands for the entry."""

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
    """(entry, which of its instances or 0, what is quarantined already, how many instances or 0)."""
    for entry, agent in ((values or {}).get("agents") or {}).items():
        agent = agent or {}
        count, out = agent.get("instances", 0), agent.get("quarantined")
        numbers = {f"{entry}-{number}": number for number in range(1, count + 1)}
        if name in numbers:
            return entry, numbers[name], out, count
        if not count and name == ((agent.get("serviceAccount") or {}).get("name") or entry):
            return entry, 0, out, 0
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
