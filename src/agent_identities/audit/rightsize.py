"""The smallest rules that cover what agents did: never wider than their tiers, and one set for all of an entry.

An entry's instances hold the same tiers, so their requests are taken together; names that contain the agent's own stand
as {agent}. Verbs that the API server asks for beside the request itself (bind, escalate, use, impersonate, ...) leave
no trace in the log: those that a tier names are kept as they are.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent_identities.audit.trace import MORE, RequestOutcome, Trace, Use
from agent_identities.chart.names import AGENT_PLACEHOLDER, PROXY_TIER
from agent_identities.declaration import EVERYWHERE, Declaration, Identity, TierGrant
from agent_identities.rbac import VERBS, PolicyRule, Request, ServiceAccount, breakdown, covers, rule_allows

DEFAULT_MOST_NAMES = 10
"""Up to so many names a rule is limited to them."""

MOST_NAMESPACES = 20
"""What a cluster-wide tier was used for in more namespaces than this stays cluster-wide."""

_NAMED = frozenset({"get", "create", "update", "patch", "delete"})
_STREAMS = frozenset({"exec", "attach", "portforward"})

# How the API server ends the names that it makes up: k8s.io/apimachinery pkg/util/rand, SafeEncodeString.
_MADE_UP = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}\Z")


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one entry of the values needs.

    ``declared`` and ``rules`` (what is proposed) are by namespace, EVERYWHERE for the whole cluster; names may hold
    {agent}. ``kept`` are grants of roles that somebody else keeps, and that were used. ``unused`` are the parts of
    ``declared`` that ``rules`` does not have. ``denied`` are requests that no binding allowed, ``elsewhere`` those that
    something else allowed than the values declare. ``untouched``: why nothing is proposed, else "".
    """

    entry: str
    identities: tuple[Identity, ...]
    declared: Mapping[str, tuple[PolicyRule, ...]]
    rules: Mapping[str, tuple[PolicyRule, ...]]
    unused: Mapping[str, tuple[PolicyRule, ...]]
    kept: tuple[TierGrant, ...] = ()
    denied: tuple[Use, ...] = ()
    elsewhere: tuple[Use, ...] = ()
    untouched: str = ""

    @property
    def narrower(self) -> bool:
        """Whether there is anything to change."""
        return not self.untouched and (any(self.unused.values()) or self.widened)

    @property
    def widened(self) -> bool:
        """Whether it holds what was denied so far."""
        everywhere = self.declared.get(EVERYWHERE, ())
        return any(covers((*self.declared.get(where, ()), *everywhere), rules) for where, rules in self.rules.items())


@dataclass(frozen=True, slots=True)
class Options:
    """``most_names``: up to so many names a rule is limited to them. ``include_idle``: who did nothing needs nothing.

    ``only``: entries or agents, all if empty.
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
    for one in declaration.identities:
        entries.setdefault((one is declaration.proxy, one.entry), []).append(one)
    proposals = [_propose(identities, declaration, uses, options) for identities in entries.values()]
    proxy = proposals[0]
    if not proxy.untouched:
        proposals[0] = replace(proxy, untouched=_why_the_proxy_stays(proxy, proposals[1:]))
    return tuple(proposals)


def _why_the_proxy_stays(proxy: Proposal, others: Iterable[Proposal]) -> str:
    holders = [
        one.entry for one in others if not one.narrower and any(PROXY_TIER in each.tiers for each in one.identities)
    ]
    if holders:
        more = f" and {len(holders) - 3} more" if len(holders) > 3 else ""
        return f"its rules are those of the tier {PROXY_TIER}, still that of {', '.join(holders[:3])}{more}"
    if not any(proxy.rules.values()):
        return "proxy.rules cannot be empty"
    return ""


def _propose(
    identities: Sequence[Identity],
    declaration: Declaration,
    uses: Mapping[ServiceAccount, Sequence[Use]],
    options: Options,
) -> Proposal:
    active = [one for one in identities if not one.quarantined]
    grants = active[0].grants if active else ()
    declared: dict[str, tuple[PolicyRule, ...]] = {}
    for grant in grants:
        if grant.tier in declaration.tiers:
            held = (*declared.get(grant.namespace, ()), *declaration.tiers[grant.tier])
            declared[grant.namespace] = tuple(dict.fromkeys(held))
    entry = identities[0].entry
    done = {one: uses.get(ServiceAccount(one.namespace, one.name), ()) for one in identities}
    needs = _Needs(declared, options)
    for one, each in done.items():
        for use in each:
            needs.add(one, use)
    kept = tuple(grant for grant in grants if grant.existing and any(_is_by(use, grant) for use in needs.elsewhere))
    proposal = Proposal(
        entry=entry,
        identities=tuple(identities),
        declared=declared,
        rules={},
        unused={},
        kept=kept,
        denied=tuple(use for each in done.values() for use in each if use.outcome is RequestOutcome.DENIED),
        elsewhere=tuple(use for use in needs.elsewhere if not any(_is_by(use, grant) for grant in kept)),
    )
    if why := _why_untouched(identities, active, done, needs, options):
        return replace(proposal, untouched=why)
    rules = needs.rules()
    everywhere = rules.get(EVERYWHERE, ())
    unused = {
        where: covers((*rules.get(where, ()), *(everywhere if where else ())), held) for where, held in declared.items()
    }
    return replace(proposal, rules=rules, unused=unused)


def _why_untouched(
    identities: Sequence[Identity],
    active: Sequence[Identity],
    done: Mapping[Identity, Sequence[Use]],
    needs: "_Needs",
    options: Options,
) -> str:
    if options.only and not options.only & {identities[0].entry, *(one.name for one in identities)}:
        return "not asked for"
    if not active:
        return "in quarantine: it holds nothing"
    if not any(done.values()) and not options.include_idle:
        return "no request in the log"
    if needs.incomplete:
        return "it made more kinds of requests than are told apart"
    return ""


def _is_by(use: Use, grant: TierGrant) -> bool:
    """Whether the role that a grant names allowed the requests."""
    binding = use.binding
    return (
        grant.existing is not None
        and binding is not None
        and (binding.role_kind, binding.role) == (grant.existing.kind, grant.existing.name)
        and binding.namespace == grant.namespace
    )


@dataclass(slots=True)
class _Names:
    """The names that one verb was used with; ``unknown``: with others, too; ``denied``: not all of it is declared."""

    names: set[str] = field(default_factory=set)
    unknown: bool = False
    denied: bool = False


_Kind = tuple[str, str, str]
"""API group, resource with its subresource, verb."""


class _Needs:
    """What an entry's agents did, by where a grant of it belongs."""

    def __init__(self, declared: Mapping[str, tuple[PolicyRule, ...]], options: Options) -> None:
        self._declared = declared
        self._options = options
        self._here: dict[str, dict[_Kind, _Names]] = {}
        self._by_cluster_wide: dict[str, dict[_Kind, _Names]] = {}
        self.elsewhere: list[Use] = []
        self.incomplete = False

    def add(self, identity: Identity, use: Use) -> None:
        """Takes the requests of one agent."""
        wanted = use.outcome in (RequestOutcome.ALLOWED, RequestOutcome.REFUSED)
        asked = self._options.include_denied and use.outcome is RequestOutcome.DENIED and use.request.verb in VERBS
        if not wanted and not asked:
            return
        if use.request.resource == MORE:
            self.incomplete = True
            return
        if not use.request.resource or use.acted_as:
            if not (use.binding and use.binding.to_everyone):
                self.elsewhere.append(use)
            return
        found = [self._add(identity, use, use.request.verb, name, force=asked) for name in _authorized_names(use)]
        if not all(found) and not (use.binding and use.binding.to_everyone):
            self.elsewhere.append(use)
        for name in use.created:
            self._add(identity, use, "create", name)
        # Over a WebSocket; since Kubernetes 1.35 this needs create, too.
        if use.request.verb == "get" and use.request.subresource in _STREAMS:
            for name in use.names:
                self._add(identity, use, "create", name)

    def _add(self, identity: Identity, use: Use, verb: str, name: str, *, force: bool = False) -> bool:
        """Whether the declared rules allow it, or it shall be allowed all the same."""
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
        names.names.add(self._spelled(identity, where, kind, name))
        names.unknown |= use.more_names
        names.denied |= force
        return True

    def _spelled(self, identity: Identity, where: str, kind: _Kind, name: str) -> str:
        """The name as the tiers spell it, or would: with {agent} for the agent's own name."""
        declared = self._declared_for(where)
        named = (each for rule in declared for each in rule.resource_names if AGENT_PLACEHOLDER in each)
        spellings = [each for each in named if each.replace(AGENT_PLACEHOLDER, identity.name) == name]
        if identity.name != identity.entry:
            own = rf"(?<![a-z0-9]){re.escape(identity.name)}(?![a-z0-9])"
            spellings.append(re.sub(own, AGENT_PLACEHOLDER, name))
        return next((each for each in spellings if not covers(declared, [_atom(kind, (each,))])), name)

    def _declared_for(self, where: str) -> tuple[PolicyRule, ...]:
        return (*self._declared.get(where, ()), *(self._declared.get(EVERYWHERE, ()) if where else ()))

    def rules(self) -> dict[str, tuple[PolicyRule, ...]]:
        """The rules, by namespace."""
        needs = {where: dict(kinds) for where, kinds in self._here.items()}
        for where, kinds in self._by_cluster_wide.items():
            target = needs.setdefault(where if len(self._by_cluster_wide) <= MOST_NAMESPACES else EVERYWHERE, {})
            for kind, names in kinds.items():
                both = target.setdefault(kind, _Names())
                target[kind] = _Names(both.names | names.names, both.unknown or names.unknown, both.denied)
        atoms = {where: list(self._atoms(where, kinds)) for where, kinds in needs.items()}
        for where, held in self._declared.items():
            atoms.setdefault(where, []).extend(_beside_requests(held))
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
        """Whether a rule names the objects: where they are few and stay the same, or where the tier does so already."""
        few = (
            kind[2] in _NAMED
            and "" not in names.names
            and len(names.names) <= self._options.most_names
            and not any(_MADE_UP.search(name) for name in names.names)
        )
        return not names.unknown and (few or not any_name)


def _as_declared(kind: _Kind, rules: Iterable[PolicyRule]) -> Iterator[PolicyRule]:
    """With all the names that rules have for it."""
    for rule in rules:
        for name in rule.resource_names:
            if not covers([rule], [_atom(kind, (name,))]):
                yield _atom(kind, (name,))


def _authorized_names(use: Use) -> Iterable[str]:
    """The names that the authorizer was asked about: a POST to a collection has none, whatever its body says."""
    return {""} if use.request.verb == "create" and not use.request.subresource else use.names


def _allow(rules: Iterable[PolicyRule], request: Request) -> bool:
    return any(rule_allows(rule, request) for rule in rules)


def _atom(kind: _Kind, names: tuple[str, ...] = ()) -> PolicyRule:
    group, resource, verb = kind
    return PolicyRule((verb,), (group,), (resource,), names)


def _beside_requests(rules: Iterable[PolicyRule]) -> Iterator[PolicyRule]:
    """What a log cannot show: verbs that are no request's."""
    for rule in rules:
        yield from (atom for atom in breakdown(rule) if atom.verbs[0] not in (*VERBS, "*"))


def compact(atoms: Iterable[PolicyRule]) -> tuple[PolicyRule, ...]:
    """The same rights in few rules, always in the same order."""
    names: dict[_Kind, set[str] | None] = {}
    for atom in (one for one in atoms if one.resources):
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
