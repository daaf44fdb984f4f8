"""Compare the bindings of a cluster with the values: what agents hold, anywhere, that the values do not declare."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent_identities.chart.objects import Key
from agent_identities.declaration import EVERYWHERE, Declaration, Identity
from agent_identities.inventory.read import ClusterState
from agent_identities.inventory.release_objects import ReleaseObjects
from agent_identities.rbac import SEVERITIES, Binding, Catalogue, PolicyRule, Request, Risk, Role, covers, requests_of
from agent_identities.rbac.authorizer import authenticated_as
from agent_identities.rbac.default_grants import EVERY_SERVICE_ACCOUNT, NAMESPACES
from agent_identities.rbac.model import API_GROUP

_Holder = tuple[str, str]  # User or Group, and its name


@dataclass(frozen=True, slots=True)
class HeldRole:
    """A binding of a role to agents, of which the values do not declare the binding, or not all rules of the role.

    ``identities`` are the agents. ``subjects`` are the positions of the subjects that they match. ``beyond`` are the
    rights that the values do not declare for them, as single rights, the riskiest first; ``risks`` are their risks in
    the catalogue, the most severe first, each with the rights that have it. ``role`` is None if it does not exist;
    ``unread``: it could not be read. ``declared``: the values declare that each agent holds the role here, so the role
    has more rules than declared. ``own_name``: the binding has a name that the chart gives.
    """

    binding: Binding
    role: Role | None
    identities: tuple[Identity, ...]
    subjects: tuple[int, ...]
    beyond: tuple[PolicyRule, ...] = ()
    risks: "_Risks" = ()
    declared: bool = False
    own_name: bool = False
    unread: bool = False

    @property
    def namespace(self) -> str:
        """The namespace in which the binding grants; EVERYWHERE for a ClusterRoleBinding."""
        return self.binding.namespace

    @property
    def key(self) -> Key:
        """The binding."""
        return Key(API_GROUP, self.binding.kind, self.binding.namespace, self.binding.name)

    @property
    def role_key(self) -> Key:
        """The role, whether it exists or not."""
        ref = self.binding.role_ref
        return Key(API_GROUP, ref.kind, self.binding.namespace if ref.kind == "Role" else "", ref.name)

    def requests(self) -> Iterator[Request]:
        """The undeclared rights as requests in the namespace of the binding; EVERYWHERE: without a namespace."""
        for atom in self.beyond:
            yield from requests_of(atom, self.namespace)


def undeclared_roles(state: ClusterState, declaration: Declaration, catalogue: Catalogue) -> tuple[HeldRole, ...]:
    """The bindings with which agents hold what the values do not declare, in the order of their names.

    Bindings that give only what the values declare are included if the values do not declare the binding: ``beyond`` is
    empty. The bindings with which Kubernetes gives rights to every ServiceAccount are included only if their roles have
    other rules than those of Kubernetes.
    """
    return tuple(_Comparison(state, declaration, catalogue).run())


def holders_of(identity: Identity) -> tuple[_Holder, ...]:
    """The user and the groups through which bindings reach an agent."""
    return ("User", identity.user.name), *(("Group", group) for group in identity.user.groups)


class _Comparison:
    def __init__(self, state: ClusterState, declaration: Declaration, catalogue: Catalogue) -> None:
        self._state = state
        self._release = ReleaseObjects(declaration)
        self._catalogue = catalogue
        self._granted = frozenset(declaration.granted_namespaces)
        reached: dict[_Holder, list[Identity]] = {}
        for identity in declaration.identities:
            for holder in holders_of(identity):
                reached.setdefault(holder, []).append(identity)
        self._reached = reached
        self._declared: dict[tuple[str, str], _Rules] = {}
        self._same: dict[_Rules, _Rules] = {}
        self._beyond: dict[tuple[int, int], _Rules] = {}
        self._judged: dict[tuple[object, ...], tuple[_Rules, tuple[_Rules, _Risks]]] = {}
        self._rights: dict[tuple[object, ...], tuple[tuple[Identity, ...], _Rules, _Risks]] = {}

    def run(self) -> Iterator[HeldRole]:
        touching = [each for each in self._state.policy.bindings if any(self._positions(each))]
        for binding in sorted(touching, key=lambda each: (each.kind, each.namespace, each.name)):
            yield from self._compare(binding)

    def _positions(self, binding: Binding) -> Iterator[tuple[int, _Holder]]:
        """The subjects that are agents, or groups of agents."""
        for position, subject in enumerate(binding.subjects):
            holder = authenticated_as(subject, binding.namespace)
            if holder is not None and holder in self._reached:
                yield position, holder

    def _compare(self, binding: Binding) -> Iterator[HeldRole]:
        found = dict(self._positions(binding))
        ref, namespace = binding.role_ref, binding.namespace
        role = self._state.role(ref, namespace)
        unread = role is None and ref.kind in self._state.unread_roles
        own_name = self._release.makes_binding(binding)
        foreign: dict[int, _Holder] = {}
        declared: dict[int, _Holder] = {}
        for position, holder in found.items():
            (one,) = self._reached[holder] if holder[0] == "User" else (None,)
            as_declared = own_name and one is not None and self._release.holds(one, namespace, ref)
            (declared if as_declared else foreign)[position] = holder
        if role is not None and declared and self._release.makes_role(namespace, ref):
            more, beyond, risks = self._rights_of(role, declared.values(), namespace)
            if beyond:
                yield HeldRole(binding, role, more, tuple(declared), beyond, risks, declared=True, own_name=True)
        if unread or self._of_kubernetes(role):
            foreign = {position: holder for position, holder in foreign.items() if holder[0] != "Group"}
        if not foreign:
            return
        if role is None:
            reached = tuple(dict.fromkeys(one for holder in foreign.values() for one in self._reached[holder]))
            yield HeldRole(binding, None, reached, tuple(foreign), own_name=own_name, unread=unread)
            return
        more, beyond, risks = self._rights_of(role, foreign.values(), namespace)
        subjects = tuple(position for position, holder in foreign.items() if self._is_one_of(holder, more))
        yield HeldRole(binding, role, more, subjects, beyond, risks, own_name=own_name)

    def _of_kubernetes(self, role: Role | None) -> bool:
        """Whether Kubernetes itself gives every ServiceAccount all rules of a role."""
        return role is not None and not self._beyond_of(role.rules, ())

    def _is_one_of(self, holder: _Holder, identities: Sequence[Identity]) -> bool:
        return holder[0] == "Group" or self._reached[holder][0] in identities

    def _rights_of(
        self, role: Role, holders: Iterable[_Holder], namespace: str
    ) -> tuple[tuple[Identity, ...], "_Rules", "_Risks"]:
        """The agents without a declaration of all rules of a role, or else all agents; these rights; their risks."""
        place = namespace if namespace in self._granted else None  # all other namespaces are alike
        everyone = tuple(sorted(set(holders)))
        key = (
            everyone,
            place,
            namespace if namespace in NAMESPACES else None,
            id(role),
        )  # the catalogue has risks of kube-system
        if key not in self._rights:
            reached = tuple(dict.fromkeys(one for holder in everyone for one in self._reached[holder]))
            by_one = [self._beyond_of(role.rules, self._declared_of(one, namespace)) for one in reached]
            more = tuple(one for one, beyond in zip(reached, by_one, strict=True) if beyond) or reached
            beyond, risks = self._judge(_union(by_one), namespace)
            self._rights[key] = more, beyond, risks
        return self._rights[key]

    def _declared_of(self, one: Identity, namespace: str) -> "_Rules":
        key = one.user.name, namespace if namespace in self._granted else EVERYWHERE
        if key not in self._declared:
            here = one.rules_in(namespace) if namespace != EVERYWHERE else ()
            rules = tuple(dict.fromkeys((*one.rules_in(EVERYWHERE), *here)))
            self._declared[key] = self._same.setdefault(rules, rules)
        return self._declared[key]

    def _beyond_of(self, rules: "_Rules", declared: "_Rules") -> "_Rules":
        key = id(rules), id(declared)  # both live as long as this object
        if key not in self._beyond:
            self._beyond[key] = () if rules == declared else covers((*declared, *EVERY_SERVICE_ACCOUNT), rules)
        return self._beyond[key]

    def _judge(self, beyond: "_Rules", namespace: str) -> "tuple[_Rules, _Risks]":
        """The rights, the riskiest first, and their risks, the most severe first."""
        of_kubernetes = namespace if namespace in NAMESPACES else None  # the catalogue has risks of kube-system
        key = id(beyond), namespace == EVERYWHERE, of_kubernetes
        if key not in self._judged:
            self._judged[key] = beyond, self._judgement(beyond, namespace)
        return self._judged[key][1]

    def _judgement(self, beyond: "_Rules", namespace: str) -> "tuple[_Rules, _Risks]":
        matches = self._catalogue.findings(beyond, cluster_wide=namespace == EVERYWHERE, namespace=namespace)
        rank: dict[int, int] = {}
        for match in matches:
            severity = SEVERITIES.index(match.risk.severity)
            rank[match.rule_index] = min(severity, rank.get(match.rule_index, severity))
        order = sorted(range(len(beyond)), key=lambda index: rank.get(index, len(SEVERITIES)))
        risks: dict[Risk, set[PolicyRule]] = {}
        for match in matches:
            risks.setdefault(match.risk, set()).add(match.rule)
        severe_first = sorted(risks.items(), key=lambda item: SEVERITIES.index(item[0].severity))
        return (
            tuple(beyond[index] for index in order),
            tuple((risk, frozenset(having)) for risk, having in severe_first),
        )


_Rules = tuple[PolicyRule, ...]
_Risks = tuple[tuple[Risk, frozenset[PolicyRule]], ...]


def _union(several: Iterable[_Rules]) -> _Rules:
    distinct = list({id(rules): rules for rules in several}.values())  # the hash of a long tuple takes time
    return distinct[0] if len(distinct) == 1 else tuple(dict.fromkeys(rule for rules in distinct for rule in rules))
