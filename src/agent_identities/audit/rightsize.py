"""The smallest rules that cover the requests of agents. They never exceed the current tiers of the agents.

The instances of an entry have the same tiers, so their requests are combined. In a resource name, the name of the
agent becomes {agent}. The audit log does not show additional authorization checks of a request (bind, escalate, use,
impersonate, ...): rules with these verbs are kept unchanged.

What a log does not say is not guessed. A request without a decision or a response keeps the rules that allow it. An
agent that is named by a record that could not be read is unchanged. If a log leaves out a verb, its rules are kept.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent_identities.audit.trace import MORE, RequestOutcome, Trace, Use
from agent_identities.chart.names import AGENT_PLACEHOLDER, PROXY_TIER
from agent_identities.declaration import EVERYWHERE, Declaration, Identity, TierGrant
from agent_identities.rbac import VERBS, PolicyRule, Request, ServiceAccount, breakdown, covers, rule_allows

DEFAULT_MOST_NAMES = 10
"""A rule has resource names if the agent used at most this many objects."""

MOST_NAMESPACES = 20
"""A cluster-wide rule stays cluster-wide if the agent used it in more namespaces than this."""

_NAMED = frozenset({"get", "create", "update", "patch", "delete"})
_STREAMS = frozenset({"exec", "attach", "portforward"})

# The suffix of names that Kubernetes generates: k8s.io/apimachinery pkg/util/rand, SafeEncodeString.
_GENERATED = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}\Z")


@dataclass(frozen=True, slots=True)
class Proposal:
    """The rules that one entry of the values needs.

    ``declared`` are the current and ``rules`` the proposed rules, by namespace, with EVERYWHERE for the whole cluster.
    Resource names can contain {agent}. ``kept`` are the grants of existing roles that were used. ``unused`` are the
    rules in ``declared`` that ``rules`` does not cover. ``denied`` are requests that no binding allowed. ``undeclared``
    are requests that were allowed by a binding that the values do not declare. ``unchanged_reason``: why nothing is
    proposed, else "".
    """

    entry: str
    identities: tuple[Identity, ...]
    declared: Mapping[str, tuple[PolicyRule, ...]]
    rules: Mapping[str, tuple[PolicyRule, ...]]
    unused: Mapping[str, tuple[PolicyRule, ...]]
    kept: tuple[TierGrant, ...] = ()
    denied: tuple[Use, ...] = ()
    undeclared: tuple[Use, ...] = ()
    unchanged_reason: str = ""

    @property
    def narrower(self) -> bool:
        """Whether the proposal changes the rules."""
        return not self.unchanged_reason and (any(self.unused.values()) or self.widened)

    @property
    def widened(self) -> bool:
        """Whether the proposal grants requests that were denied."""
        everywhere = self.declared.get(EVERYWHERE, ())
        return any(covers((*self.declared.get(where, ()), *everywhere), rules) for where, rules in self.rules.items())


@dataclass(frozen=True, slots=True)
class Options:
    """``most_names``: a rule has resource names if the agent used at most this many objects.

    ``include_denied``: also grant denied requests. ``include_idle``: remove the rules of entries without a request.
    ``only``: the entries or agents to propose rules for, all if empty.
    """

    most_names: int = DEFAULT_MOST_NAMES
    include_denied: bool = False
    include_idle: bool = False
    only: frozenset[str] = field(default_factory=frozenset)


def rightsize(trace: Trace, declaration: Declaration, options: Options | None = None) -> tuple[Proposal, ...]:
    """A proposal for the proxy and for every entry, in the order of the values."""
    options = options or Options()
    uses: dict[ServiceAccount, list[Use]] = {}
    for use in trace.uses:
        uses.setdefault(use.agent, []).append(use)
    entries: dict[tuple[bool, str], list[Identity]] = {}
    for identity in declaration.identities:
        entries.setdefault((identity is declaration.proxy, identity.entry), []).append(identity)
    proposals = [_propose(identities, declaration, uses, trace, options) for identities in entries.values()]
    proxy = proposals[0]
    if not proxy.unchanged_reason:
        proposals[0] = replace(proxy, unchanged_reason=_proxy_unchanged_reason(proxy, proposals[1:]))
    return tuple(proposals)


def _proxy_unchanged_reason(proxy: Proposal, others: Iterable[Proposal]) -> str:
    holders = [
        other.entry
        for other in others
        if not other.narrower and any(PROXY_TIER in identity.tiers for identity in other.identities)
    ]
    if holders:
        more = f" and {len(holders) - 3} more" if len(holders) > 3 else ""
        return (
            f"proxy.rules are also the rules of the tier {PROXY_TIER}, which {', '.join(holders[:3])}{more} still use"
        )
    if not any(proxy.rules.values()):
        return "proxy.rules cannot be empty"
    return ""


def _propose(
    identities: Sequence[Identity],
    declaration: Declaration,
    uses: Mapping[ServiceAccount, Sequence[Use]],
    trace: Trace,
    options: Options,
) -> Proposal:
    active = [identity for identity in identities if not identity.quarantined]
    grants = active[0].grants if active else ()
    declared: dict[str, tuple[PolicyRule, ...]] = {}
    for grant in grants:
        if grant.tier in declaration.tiers:
            rules_there = (*declared.get(grant.namespace, ()), *declaration.tiers[grant.tier])
            declared[grant.namespace] = tuple(dict.fromkeys(rules_there))
    entry = identities[0].entry
    used = {identity: uses.get(ServiceAccount(identity.namespace, identity.name), ()) for identity in identities}
    needs = _Needs(declared, options, trace.unlogged)
    for identity, identity_uses in used.items():
        for use in identity_uses:
            needs.add(identity, use)
        for use in trace.unanswered:
            if use.agent == ServiceAccount(identity.namespace, identity.name):
                needs.add(identity, use)
    unsure = bool(trace.unlogged) or needs.unknown_binding
    kept = tuple(
        grant for grant in grants if grant.existing and (unsure or any(_is_by(use, grant) for use in needs.undeclared))
    )
    proposal = Proposal(
        entry=entry,
        identities=tuple(identities),
        declared=declared,
        rules={},
        unused={},
        kept=kept,
        denied=tuple(use for each in used.values() for use in each if use.outcome is RequestOutcome.DENIED),
        undeclared=tuple(use for use in needs.undeclared if not any(_is_by(use, grant) for grant in kept)),
    )
    reason = _unchanged_reason(identities, active, used, needs, options) or _undecided(identities, trace)
    if reason:
        return replace(proposal, unchanged_reason=reason)
    rules = needs.rules()
    everywhere = rules.get(EVERYWHERE, ())
    unused = {
        where: covers((*rules.get(where, ()), *(everywhere if where else ())), held) for where, held in declared.items()
    }
    return replace(proposal, rules=rules, unused=unused)


def _unchanged_reason(
    identities: Sequence[Identity],
    active: Sequence[Identity],
    used: Mapping[Identity, Sequence[Use]],
    needs: "_Needs",
    options: Options,
) -> str:
    if options.only and not options.only & {identities[0].entry, *(identity.name for identity in identities)}:
        return "not selected"
    if not active:
        return "quarantined, and so without rights"
    if not any(used.values()) and not options.include_idle:
        return "no request in the log"
    if needs.incomplete:
        return "too many kinds of requests to count separately"
    return ""


def _undecided(identities: Iterable[Identity], trace: Trace) -> str:
    """Why the log does not say everything that the agents did, else ""."""
    accounts = (ServiceAccount(identity.namespace, identity.name) for identity in identities)
    location = next((trace.undecided[account] for account in accounts if account in trace.undecided), "")
    if location:
        return f"{location} names it, but cannot be read"
    if trace.undecided_for_all:
        return f"{trace.undecided_for_all} is a part of an audit event, which can be a request of any agent"
    return ""


def _is_by(use: Use, grant: TierGrant) -> bool:
    """Whether the role of the grant allowed the requests."""
    binding = use.binding
    return (
        grant.existing is not None
        and binding is not None
        and (binding.role_kind, binding.role) == (grant.existing.kind, grant.existing.name)
        and binding.namespace == grant.namespace
    )


@dataclass(slots=True)
class _Names:
    """The names of the objects of one verb. ``unknown``: there are others. ``denied``: some requests were denied."""

    names: set[str] = field(default_factory=set)
    unknown: bool = False
    denied: bool = False


_Kind = tuple[str, str, str]
"""API group, resource with its subresource, and verb."""


class _Needs:
    """The requests of the agents of one entry, by the namespace of the grant that they need."""

    def __init__(
        self, declared: Mapping[str, tuple[PolicyRule, ...]], options: Options, unlogged: frozenset[str]
    ) -> None:
        self._declared = declared
        self._unlogged = unlogged
        self._options = options
        self._here: dict[str, dict[_Kind, _Names]] = {}
        self._by_cluster_wide: dict[str, dict[_Kind, _Names]] = {}
        self.undeclared: list[Use] = []
        self.incomplete = False
        self.unknown_binding = False
        """Whether requests that the rules do not allow were allowed by a binding that the log does not name."""

    def add(self, identity: Identity, use: Use) -> None:
        """Add requests of one agent."""
        allowed = use.outcome in (RequestOutcome.ALLOWED, RequestOutcome.REFUSED)
        include = self._options.include_denied and use.outcome is RequestOutcome.DENIED and use.request.verb in VERBS
        undecided = use.outcome is RequestOutcome.UNDECIDED
        if not allowed and not include and not undecided:
            return
        if use.request.resource == MORE:
            self.incomplete = True
            return
        if undecided and (not use.request.resource or use.acted_as):
            return
        if not use.request.resource or use.acted_as:
            if not (use.binding and use.binding.to_everyone):
                self.undeclared.append(use)
            return
        added = [self._add(identity, use, use.request.verb, name, force=include) for name in _authorized_names(use)]
        self.unknown_binding |= not all(added) and not use.reason and not include
        if not all(added) and not undecided and not (use.binding and use.binding.to_everyone):
            self.undeclared.append(use)
        for name in use.created:
            self._add(identity, use, "create", name)
        # A get over a WebSocket: since Kubernetes 1.35, the API server also requires create.
        if use.request.verb == "get" and use.request.subresource in _STREAMS:
            for name in use.names:
                self._add(identity, use, "create", name)

    def _add(self, identity: Identity, use: Use, verb: str, name: str, *, force: bool = False) -> bool:
        """Add a request if the declared rules allow it, or with ``force``. Returns whether it was added."""
        request = use.request._replace(verb=verb, name=name)
        resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
        where = request.namespace
        if where and _allow(identity.rules_in(where), request):
            needs = self._here.setdefault(where, {})
        elif _allow(identity.rules_in(EVERYWHERE), request):
            needs = (self._by_cluster_wide if where else self._here).setdefault(where, {})
        elif force:
            needs = self._here.setdefault(where, {})
        else:
            return False
        kind = request.api_group, resource, verb
        names = needs.setdefault(kind, _Names())
        names.names.add(self._resource_name(identity, where, kind, name))
        names.unknown |= use.more_names
        names.denied |= force
        return True

    def _resource_name(self, identity: Identity, where: str, kind: _Kind, name: str) -> str:
        """The resource name in a rule of a tier: with {agent} for the name of the agent, if the tier covers that."""
        declared = self._declared_for(where)
        templates = (each for rule in declared for each in rule.resource_names if AGENT_PLACEHOLDER in each)
        candidates = [each for each in templates if each.replace(AGENT_PLACEHOLDER, identity.name) == name]
        if identity.name != identity.entry:
            agent_name = rf"(?<![a-z0-9]){re.escape(identity.name)}(?![a-z0-9])"
            candidates.append(re.sub(agent_name, AGENT_PLACEHOLDER, name))
        return next((each for each in candidates if not covers(declared, [_atom(kind, (each,))])), name)

    def _declared_for(self, where: str) -> tuple[PolicyRule, ...]:
        return (*self._declared.get(where, ()), *(self._declared.get(EVERYWHERE, ()) if where else ()))

    def rules(self) -> dict[str, tuple[PolicyRule, ...]]:
        """The rules, by namespace."""
        needs = {where: dict(kinds) for where, kinds in self._here.items()}
        for where, kinds in self._by_cluster_wide.items():
            target = needs.setdefault(where if len(self._by_cluster_wide) <= MOST_NAMESPACES else EVERYWHERE, {})
            for kind, names in kinds.items():
                present = target.setdefault(kind, _Names())
                target[kind] = _Names(present.names | names.names, present.unknown or names.unknown, present.denied)
        atoms = {where: list(self._atoms(where, kinds)) for where, kinds in needs.items()}
        for where, held in self._declared.items():
            atoms.setdefault(where, []).extend(_unlogged(held, self._unlogged))
        everywhere = atoms.get(EVERYWHERE, [])
        return {
            where: compact(each if where == EVERYWHERE else covers(everywhere, each))
            for where, each in sorted(atoms.items())
            if each and (where == EVERYWHERE or covers(everywhere, each))
        }

    def _atoms(self, where: str, kinds: Mapping[_Kind, _Names]) -> Iterator[PolicyRule]:
        declared = self._declared_for(where)
        for kind, names in kinds.items():
            any_name = names.denied or not covers(declared, [_atom(kind)])
            if self._by_name(kind, names, any_name=any_name):
                yield from (_atom(kind, (name,)) for name in names.names)
            elif any_name:
                yield _atom(kind)
            else:
                yield from _as_declared(kind, declared)

    def _by_name(self, kind: _Kind, names: _Names, *, any_name: bool) -> bool:
        """Whether the rule has resource names: if the objects are few and not generated, or the tier has names too."""
        few = (
            kind[2] in _NAMED
            and "" not in names.names
            and len(names.names) <= self._options.most_names
            and not any(_GENERATED.search(name) for name in names.names)
        )
        return not names.unknown and (few or not any_name)


def _as_declared(kind: _Kind, rules: Iterable[PolicyRule]) -> Iterator[PolicyRule]:
    """A rule for each resource name that the declared rules have for this kind."""
    for rule in rules:
        for name in rule.resource_names:
            if not covers([rule], [_atom(kind, (name,))]):
                yield _atom(kind, (name,))


def _authorized_names(use: Use) -> Iterable[str]:
    """The names that were authorized. A POST to a collection is authorized without the name in its body."""
    return {""} if use.request.verb == "create" and not use.request.subresource else use.names


def _allow(rules: Iterable[PolicyRule], request: Request) -> bool:
    return any(rule_allows(rule, request) for rule in rules)


def _atom(kind: _Kind, names: tuple[str, ...] = ()) -> PolicyRule:
    group, resource, verb = kind
    return PolicyRule((verb,), (group,), (resource,), names)


def _unlogged(rules: Iterable[PolicyRule], verbs: frozenset[str]) -> Iterator[PolicyRule]:
    """The rules with verbs that the log does not show: no request has them, or the log leaves out their requests."""
    for rule in rules:
        for atom in breakdown(rule):
            verb = atom.verbs[0]
            if verb in verbs or verb not in (*VERBS, "*"):
                yield atom
            elif verb == "*":
                yield from (replace(atom, verbs=(each,)) for each in sorted(verbs))


def compact(atoms: Iterable[PolicyRule]) -> tuple[PolicyRule, ...]:
    """The same permissions with fewer rules, in a stable order."""
    names: dict[_Kind, set[str] | None] = {}
    for atom in (each for each in atoms if each.resources):
        kind = atom.api_groups[0], atom.resources[0], atom.verbs[0]
        held = names.get(kind, set())
        names[kind] = None if held is None or not atom.resource_names else held | set(atom.resource_names)
    verbs: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (group, resource, verb), each in names.items():
        verbs.setdefault((group, resource, tuple(sorted(each or ()))), []).append(verb)
    resources: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (group, resource, named), group_verbs in verbs.items():
        resources.setdefault((group, named, _in_order(group_verbs)), []).append(resource)
    return tuple(
        PolicyRule(group_verbs, (group,), tuple(sorted(each)), named)
        for (group, named, group_verbs), each in sorted(resources.items(), key=lambda item: (*item[0], item[1]))
    )


def _in_order(verbs: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(verbs, key=lambda verb: (VERBS.index(verb) if verb in VERBS else len(VERBS), verb)))
