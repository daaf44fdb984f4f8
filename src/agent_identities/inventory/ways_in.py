"""Who may become an agent on a cluster, and which of these ways the values declare or a guard closes."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache, cached_property
from importlib.resources import files

from agent_identities.chart.pods import configuration
from agent_identities.declaration import EVERYWHERE, Declaration, Identity, Trusted
from agent_identities.inventory.guards import (
    CONTROLLERS,
    GUARDS_GROUP,
    GUARDS_RESOURCE,
    Closure,
    Exemption,
    Guards,
    guards_in,
)
from agent_identities.inventory.release_objects import ReleaseObjects
from agent_identities.inventory.surroundings import Surroundings
from agent_identities.rbac import (
    Authorizer,
    Binding,
    Policy,
    Request,
    Role,
    RoleRef,
    ServiceAccount,
    Subject,
    User,
    rule_allows,
)
from agent_identities.rbac.authorizer import authenticated_as
from agent_identities.rbac.match import resource_matches, verb_matches
from agent_identities.rbac.request import AUTHENTICATED_GROUP, SERVICE_ACCOUNTS_GROUP
from agent_identities.rbac.ways import WAYS, Ask, Name, Objects, Way
from agent_identities.rbac.ways_in import Accounts, Bound, Opening, SubjectWays, Target, union, ways_in

_ROOT_CA = "kube-root-ca.crt"
_RECORD = "sh.helm.release.v1."
_DEPLOYING = frozenset({"pods", "tokens"})


class Verdict(Enum):
    """Why a way is open, or is not a finding."""

    OPEN = auto()
    REFUSED = auto()
    DECLARED = auto()
    TRUSTED = auto()
    KNOWN = auto()
    ADMINISTRATOR = auto()


@dataclass(frozen=True, slots=True)
class Judged:
    """An opening, or the part of it for ``accounts``. ``by`` is the guard, the reason of the values, or the add-on."""

    opening: Opening
    accounts: Accounts
    verdict: Verdict
    by: str = ""


@dataclass(frozen=True, slots=True)
class Entrant:
    """A subject that may become agents of ``namespace``."""

    ways: SubjectWays
    namespace: str
    judged: tuple[Judged, ...]

    def of(self, *verdicts: Verdict) -> tuple[Judged, ...]:
        """The openings with one of these verdicts."""
        return tuple(each for each in self.judged if each.verdict in verdicts)

    @property
    def subject(self) -> Subject:
        """The subject."""
        return self.ways.subject

    def bound(self, group: Iterable[Judged]) -> list[Bound]:
        """The bindings that allow the requests of some openings."""
        return [self.ways.bound[step.bound] for each in group for step in each.opening.steps]


@dataclass(frozen=True, slots=True)
class Entrants:
    """All subjects that may become agents.

    ``accounts``: the agents of each namespace; ``guards``: their guards. ``of_release``: whether the chart makes a
    binding.
    """

    subjects: tuple[Entrant, ...] = ()
    accounts: Mapping[str, Accounts] = field(default_factory=dict)
    guards: Mapping[str, Guards] = field(default_factory=dict)
    of_release: Callable[[Binding], bool] = lambda _binding: False

    @property
    def open(self) -> tuple[Entrant, ...]:
        """The subjects with a way that is open and not declared."""
        return tuple(each for each in self.subjects if each.of(Verdict.OPEN))


def entrants(declaration: Declaration, policy: Policy, around: Surroundings) -> Entrants:
    """The subjects of all bindings that may become one of the declared agents, or the proxy."""
    by_namespace: dict[str, list[Identity]] = {}
    for one in (declaration.proxy, *declaration.agents):
        by_namespace.setdefault(one.namespace, []).append(one)
    found: list[Entrant] = []
    guards: dict[str, Guards] = {}
    for namespace, identities in by_namespace.items():
        guards[namespace] = guards_in(namespace, around.policies, around.policy_bindings)
        target = target_of(namespace, identities, declaration, policy, around, guards[namespace])
        judge = _Judge(declaration, policy, target, guards[namespace])
        found += judge.entrants(ways_in(policy, target, (*WAYS, _record(declaration))))
    accounts = {name: frozenset(one.name for one in each) for name, each in by_namespace.items()}
    return Entrants(tuple(found), accounts, guards, ReleaseObjects(declaration).makes_binding)


def _record(declaration: Declaration) -> Way:
    """Helm's record of the release: the next upgrade or rollback applies what it says, with the installer's rights."""
    where = declaration.release_namespace or declaration.namespace
    return Way(
        "helm-record",
        "change Helm's record of the release",
        (
            (Ask(("create",), "secrets", name=Name.NONE, namespace=where),),
            (Ask(("update", "patch"), "secrets", prefix=_RECORD, namespace=where),),
        ),
    )


def target_of(
    namespace: str,
    identities: Iterable[Identity],
    declaration: Declaration,
    policy: Policy,
    around: Surroundings,
    guards: Guards,
) -> Target:
    """The ServiceAccounts of the identities, which are all in this namespace, with what belongs to them."""
    accounts = frozenset(one.name for one in identities)
    read: dict[tuple[str, str], set[str]] = {}
    for account, names in declaration.configuration.items():
        for kind_and_name in names if account in accounts else ():
            read.setdefault(kind_and_name, set()).add(account)
    pods = around.pods_in(namespace)
    for pod in pods or ():
        account = _account(pod)
        for kind_and_name in configuration(pod["spec"]) if account in accounts else ():
            read.setdefault(kind_and_name, set()).add(account)
    tokens = {name: frozenset((of,)) for name, of in around.tokens_in(namespace).items() if of in accounts}
    objects: dict[Objects, Mapping[str, Mapping[str, Accounts]]] = {
        Objects.TOKEN_SECRETS: {namespace: tokens},
        Objects.CONFIGMAPS: {namespace: _of_kind("ConfigMap", read)},
        Objects.TRUST_ANCHOR: {namespace: {_ROOT_CA: accounts}},
        Objects.SECRETS: {namespace: _of_kind("Secret", read)},
        Objects.POLICIES: {"": dict.fromkeys(guards.policies, accounts)},
        Objects.POLICY_BINDINGS: {"": dict.fromkeys(guards.bindings, accounts)},
        **_roles(namespace, accounts, policy),
    }
    if pods is not None:
        running = {pod["metadata"]["name"]: _account(pod) for pod in pods}
        objects[Objects.PODS] = {namespace: {name: frozenset((of,)) for name, of in running.items() if of in accounts}}
    return Target(namespace, accounts, objects)


def _account(pod: Mapping[str, object]) -> str:
    spec = pod["spec"]
    return str(spec.get("serviceAccountName") or "default") if isinstance(spec, Mapping) else ""


def _of_kind(kind: str, read: Mapping[tuple[str, str], set[str]]) -> dict[str, Accounts]:
    return {name: frozenset(accounts) for (of, name), accounts in read.items() if of == kind and name != _ROOT_CA}


def _roles(namespace: str, accounts: Accounts, policy: Policy) -> dict[Objects, Mapping[str, Mapping[str, Accounts]]]:
    """The roles that bindings give the accounts: those that exist, those that do not, and aggregated ones."""
    prefix = ServiceAccount(namespace, "").username
    groups = {AUTHENTICATED_GROUP, SERVICE_ACCOUNTS_GROUP, f"{SERVICE_ACCOUNTS_GROUP}:{namespace}"}
    held: dict[tuple[str, str, str], set[str]] = {}
    for binding in policy.bindings:
        where = binding.namespace if binding.role_ref.kind == "Role" else ""
        for subject in binding.subjects:
            kind, name = authenticated_as(subject, binding.namespace) or ("", "")
            if kind == "Group" and name in groups:
                of: Iterable[str] = accounts
            elif kind == "User" and name.startswith(prefix) and name[len(prefix) :] in accounts:
                of = (name[len(prefix) :],)
            else:
                continue
            held.setdefault((binding.role_ref.kind, where, binding.role_ref.name), set()).update(of)
    roles: dict[tuple[str, str, str], Role] = {(role.kind, role.namespace, role.name): role for role in policy.roles}
    found: dict[Objects, dict[str, dict[str, Accounts]]] = {
        kind: {}
        for kind in (
            *(Objects.ROLES, Objects.ABSENT_ROLES),
            *(Objects.CLUSTER_ROLES, Objects.ABSENT_CLUSTER_ROLES, Objects.AGGREGATED),
        )
    }
    for (kind, where, name), of in held.items():
        role = roles.get((kind, where, name))
        present, absent = (
            (Objects.ROLES, Objects.ABSENT_ROLES)
            if kind == "Role"
            else (Objects.CLUSTER_ROLES, Objects.ABSENT_CLUSTER_ROLES)
        )
        found[present if role else absent].setdefault(where, {})[name] = frozenset(of)
        if role and role.aggregation:
            found[Objects.AGGREGATED].setdefault("", {})[name] = frozenset(of)
    return dict(found)


@cache
def known_subjects() -> Mapping[str, tuple[str, frozenset[str]]]:
    """Subjects of Kubernetes and of add-ons, with the ways that their published roles open: known_subjects.json."""
    text = files("agent_identities.inventory").joinpath("known_subjects.json").read_text(encoding="utf-8")
    return {
        subject: (component, frozenset(ways))
        for component, subjects in json.loads(text)["components"].items()
        for subject, ways in subjects.items()
    }


def text_of(subject: Subject) -> str:
    """``User eve``, ``ServiceAccount ci/pipeline``."""
    name = f"{subject.namespace}/{subject.name}" if subject.kind == "ServiceAccount" else subject.name
    return f"{subject.kind} {name}"


class _Judge:
    def __init__(self, declaration: Declaration, policy: Policy, target: Target, guards: Guards) -> None:
        self._policy = policy
        self._target = target
        self._guards = guards
        self._release = ReleaseObjects(declaration)
        self._identities = {one.user.name: one for one in (declaration.proxy, *declaration.agents)}
        self._trusted: dict[tuple[str, str], list[Trusted]] = {}
        for each in declaration.trusted:
            key = authenticated_as(each.subject, each.subject.namespace)
            if key is not None:
                self._trusted.setdefault(key, []).append(each)

    @cached_property
    def _authorizer(self) -> Authorizer:
        return Authorizer(self._policy)

    def entrants(self, found: Iterable[SubjectWays]) -> Iterator[Entrant]:
        for ways in found:
            judged = tuple(self._judged(ways))
            if judged or ways.administrator:
                yield Entrant(ways, self._target.namespace, judged)

    def _judged(self, ways: SubjectWays) -> Iterator[Judged]:
        trusted = self._trusted.get((ways.kind, ways.name), ())
        reason = next((each.reason for each in trusted if not each.deployer), None)
        deployers = [each for each in trusted if each.deployer]
        known, known_ways = known_subjects().get(text_of(ways.subject), ("", frozenset()))
        itself = self._identities.get(ways.name) if ways.kind == "User" else None
        unguarded = any(each.way.id == "guards" for each in ways.openings)
        exempt = _Exempt(self._authorizer, ways) if self._guards.in_force else None
        for opening in ways.openings:
            accounts = opening.accounts
            if itself is not None and itself.namespace == self._target.namespace:
                accounts -= {itself.name}
            if not accounts:
                continue
            if reason is not None:
                yield Judged(opening, accounts, Verdict.TRUSTED, reason)
            elif opening.way.id in known_ways:
                yield Judged(opening, accounts, Verdict.KNOWN, known)
            elif itself is not None and all(_declared(itself, step.request) for step in opening.steps):
                yield Judged(opening, accounts, Verdict.DECLARED, "tiers of the agent")
            else:
                if deploys := union(self._deploys(each, opening, accounts) for each in deployers):
                    yield Judged(opening, deploys, Verdict.DECLARED, "guards.deployers")
                if left := _without(accounts, deploys):
                    yield from self._guarded(ways, opening, left, None if unguarded else exempt)

    def _guards_role(self, request: Request) -> bool:
        """Whether the guard `roles` covers the role of a request or, without a name, all roles of the agents."""
        kind = "Role" if request.resource == "roles" else "ClusterRole"
        kinds = (Objects.ROLES, Objects.ABSENT_ROLES)
        if kind == "ClusterRole":
            kinds = (Objects.CLUSTER_ROLES, Objects.ABSENT_CLUSTER_ROLES)
        held = (name for each in kinds for name in self._target.objects.get(each, {}).get(request.namespace, ()))
        names = [request.name] if request.name else held
        return all(self._release.guarded_role(request.namespace, RoleRef(kind, name)) for name in names)

    def _deploys(self, deployer: Trusted, opening: Opening, accounts: Accounts) -> Accounts:
        """The accounts that a deployer may become this way, as the values declare."""
        ways = _DEPLOYING | ({"exec"} if deployer.accounts is None else set())
        ways |= {"bindings"} if deployer.bind_agents else set()
        if opening.way.id not in ways or any(
            step.request.namespace != self._target.namespace for step in opening.steps
        ):
            return frozenset()
        return accounts if deployer.accounts is None else accounts & deployer.accounts

    def _guarded(
        self, ways: SubjectWays, opening: Opening, accounts: Accounts, exempt: "_Exempt | None"
    ) -> Iterator[Judged]:
        """The part that a guard in force refuses, then the part that is open."""
        refused: Accounts = frozenset()
        closed = None
        for step in opening.steps if exempt is not None else ():
            if opening.way.id != "roles" or self._guards_role(step.request):
                closed = closed or self._guards.closure(opening.way.id, step.request)
        if closed is not None and exempt is not None:
            closure, _ = closed
            if not (closure.controllers and _is_controller(ways)):
                refused = exempt.without(closure, accounts, self._target.namespace, self._guards.release_namespace)
        if refused and closed is not None:
            yield Judged(opening, refused, Verdict.REFUSED, closed[0].guard)
        if left := _without(accounts, refused):
            yield Judged(opening, left, Verdict.OPEN)


def _without(accounts: Accounts, others: Accounts) -> Accounts:
    return accounts - others if others else accounts


def _declared(identity: Identity, request: Request) -> bool:
    rules = identity.rules_in(EVERYWHERE) + (identity.rules_in(request.namespace) if request.namespace else ())
    return any(rule_allows(rule, request) for rule in rules)


def _is_controller(ways: SubjectWays) -> bool:
    """Whether the guards take the subject for a controller (agent-identities.notAController)."""
    return ways.kind == "User" and ways.name in CONTROLLERS


class _Exempt:
    """The rights of a subject that exempt it from guards."""

    def __init__(self, authorizer: Authorizer, ways: SubjectWays) -> None:
        account = ServiceAccount.of_user(ways.name) if ways.kind == "User" else None
        if account is not None:
            self._user = User.service_account(*account)
        else:
            name, groups = (ways.name, ()) if ways.kind == "User" else ("", (ways.name,))
            self._user = User(name, (*groups, AUTHENTICATED_GROUP))
        self._authorizer = authorizer
        self._known: dict[Exemption, Accounts | None] = {}

    def without(self, closure: Closure, accounts: Accounts, namespace: str, release: str) -> Accounts:
        """The accounts for which the subject is not exempt from the guard."""
        for exemption in closure.exemptions:
            if exemption not in self._known:
                self._known[exemption] = self._names(exemption, namespace, release)
            names = self._known[exemption]
            if names is None:
                return frozenset()
            if exemption.each:
                accounts -= names
        return accounts

    def _names(self, exemption: Exemption, namespace: str, release: str) -> Accounts | None:
        """The names for which the subject has the exempting verb; None: all."""
        names: set[str] = set()
        for rule in self._authorizer.rules_for(self._user, release):
            groups = rule.api_groups
            if (
                verb_matches(rule, exemption.verb)
                and ("*" in groups or GUARDS_GROUP in groups)
                and resource_matches(rule, GUARDS_RESOURCE, namespace)
            ):
                if not rule.resource_names:
                    return None
                names.update(rule.resource_names)
        return frozenset(names)
