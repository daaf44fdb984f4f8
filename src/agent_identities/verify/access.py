"""What every identity may do on a live API server, by SubjectAccessReview, held against what the values declare.

A SubjectAccessReview takes the groups as they are given and adds none (k8s.io/kubernetes
pkg/registry/authorization/util/helpers.go), so each is asked with those that a ServiceAccount's token really has.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import chain
from typing import Any
from urllib.parse import quote

from agent_identities.declaration import (
    AGENT_LABEL,
    AGENT_PLACEHOLDER,
    EVERYWHERE,
    IMPERSONATION,
    Declaration,
    Identity,
)
from agent_identities.kube.client import DEFAULT_CONCURRENCY, Api, ApiError
from agent_identities.rbac import PolicyRule, Request, RoleRef, User, rule_allows
from agent_identities.report.model import Report, Result

_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_RELEASE_LABEL = "app.kubernetes.io/instance"

_ALL = "*"
_EVERY_VERB = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
_WRITES = ("create", "update", "patch", "delete")
_FOREIGN = ("default", *(f"kube-{name}" for name in ("system", "public", "node-lease")))
_CHUNK = 16  # answers between two reports of progress
_LAG_SECONDS = 1.0
_SIBLINGS = 2


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One thing that can be asked for.

    ``namespace`` is "" for cluster-scoped resources, ``name`` is "" for no object in particular.
    """

    verb: str
    api_group: str
    resource: str
    subresource: str = ""
    name: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        """As ``kubectl auth can-i`` has it: ``patch deployments.apps``, ``create pods/exec``; without the namespace."""
        return f"{self.verb} {self.target}" + (f" named {self.name}" if self.name else "")

    @property
    def target(self) -> str:
        """Resource, group and subresource, without verb and name."""
        group = f".{self.api_group}" if self.api_group and self.resource != _ALL else ""
        return f"{self.resource}{group}" + (f"/{self.subresource}" if self.subresource else "")

    def request(self, user: User) -> Request:
        """The request that a user makes who tries it."""
        return Request(
            user, self.verb, self.api_group, self.resource, self.subresource, name=self.name, namespace=self.namespace
        )

    def review(self, user: User) -> dict[str, Any]:
        """The SubjectAccessReview that asks for it."""
        attributes = {
            "verb": self.verb,
            "group": self.api_group,
            "resource": self.resource,
            "subresource": self.subresource,
            "name": self.name,
            "namespace": self.namespace,
        }
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user.name,
                "groups": list(user.groups),
                "resourceAttributes": {key: value for key, value in attributes.items() if value},
            },
        }


@dataclass(frozen=True, slots=True)
class Danger:
    """A permission that leads further than it looks, and in one word where to."""

    verb: str
    api_group: str
    resource: str
    leads_to: str
    subresource: str = ""
    cluster_scoped: bool = False

    def within(self, namespace: str) -> Permission:
        """The permission to ask for, for a release in this namespace."""
        where = "" if self.cluster_scoped else namespace
        # A request for one Namespace carries that namespace, so a Role in it may grant it (apiserver requestinfo.go).
        name = namespace if self.resource == "namespaces" else ""
        return Permission(self.verb, self.api_group, self.resource, self.subresource, name, where)


_RBAC = "rbac.authorization.k8s.io"

DANGEROUS: tuple[Danger, ...] = (
    Danger(_ALL, _ALL, _ALL, "everything"),
    Danger("get", "", "secrets", "credentials"),
    Danger("list", "", "secrets", "credentials"),
    Danger("watch", "", "secrets", "credentials"),
    Danger("create", "", "secrets", "tokens"),  # one of type kubernetes.io/service-account-token never expires
    Danger("create", "", "serviceaccounts", "tokens", "token"),
    Danger("impersonate", "", "serviceaccounts", "identity"),
    Danger("impersonate", "", "users", "identity", cluster_scoped=True),
    Danger("impersonate", "", "groups", "identity", cluster_scoped=True),
    Danger("impersonate:serviceaccount", "authentication.k8s.io", "serviceaccounts", "identity"),  # KEP-5284
    Danger("create", "", "pods", "identity"),  # a pod runs as any ServiceAccount of its namespace
    Danger("create", "apps", "deployments", "identity"),
    Danger("create", "batch", "cronjobs", "identity"),
    Danger("create", "", "pods", "shell", "exec"),
    Danger("get", "", "pods", "shell", "exec"),  # over a WebSocket exec is a GET
    Danger("create", "", "pods", "shell", "attach"),
    Danger("update", "", "pods", "shell", "ephemeralcontainers"),
    Danger("create", "", "pods", "network", "portforward"),
    Danger("get", "", "nodes", "nodes", "proxy", cluster_scoped=True),
    Danger("escalate", _RBAC, "roles", "rights"),
    Danger("bind", _RBAC, "roles", "rights"),
    Danger("escalate", _RBAC, "clusterroles", "rights", cluster_scoped=True),
    Danger("bind", _RBAC, "clusterroles", "rights", cluster_scoped=True),
    Danger("create", _RBAC, "roles", "rights"),
    Danger("patch", _RBAC, "roles", "rights"),
    Danger("create", _RBAC, "rolebindings", "rights"),
    Danger("patch", _RBAC, "rolebindings", "rights"),
    Danger("create", _RBAC, "clusterrolebindings", "rights", cluster_scoped=True),
    Danger("patch", _RBAC, "clusterrolebindings", "rights", cluster_scoped=True),
    Danger("patch", "", "namespaces", "guards"),  # its labels choose the Pod Security level
    Danger("patch", "admissionregistration.k8s.io", "validatingadmissionpolicies", "guards", cluster_scoped=True),
)
"""What no agent should hold without someone having declared it; asked of every identity whatever the tiers say."""

BASELINE: tuple[PolicyRule, ...] = (
    PolicyRule(("create",), ("authorization.k8s.io",), ("selfsubjectaccessreviews", "selfsubjectrulesreviews")),
    PolicyRule(("create",), ("authentication.k8s.io",), ("selfsubjectreviews",)),
    PolicyRule(("get", "list", "watch"), ("certificates.k8s.io",), ("clustertrustbundles",)),
)
"""What every ServiceAccount may do on every cluster, by the ClusterRoles system:basic-user and, since Kubernetes 1.37,
system:cluster-trust-bundle-discovery: public certificates, so no finding before that either
(bootstrappolicy/policy.go)."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What the identities of a declaration are asked.

    ``mentioned``: every verb on every resource of every tier, in the namespaces where a tier is granted; by name where
    a rule names objects, and then without a name, too; and all verbs that write, on each resource that a tier mentions.
    ``elsewhere``: what the tiers mention, in a namespace where nothing is granted; by name alone where a rule names
    objects, since whoever may do it to all of them may do it to that one.
    ``dangerous``: DANGEROUS, for the release's namespace.
    """

    mentioned: tuple[Permission, ...]
    elsewhere: tuple[Permission, ...]
    dangerous: tuple[Permission, ...]

    def of(self, identity: Identity) -> tuple[Permission, ...]:
        """What this one is asked, each once: all of it, and what it holds by rules of its own."""
        own = (each for grant in identity.grants for each in _asked(grant.rules, grant.namespace))
        return tuple(dict.fromkeys(chain(self.mentioned, own, self.elsewhere, self.dangerous)))


def questions(declaration: Declaration) -> Questions:
    """What to ask about a declaration's identities."""
    home = declaration.namespace
    granted = dict.fromkeys((home, *(g.namespace for one in declaration.identities for g in one.grants)))
    rules_in = {place: _rules_granted(declaration, place) for place in granted}
    shared = (rule for rules in declaration.tiers.values() for rule in rules if not _of_each_agent(rule))
    rules_in[home] = tuple(dict.fromkeys((*shared, *rules_in[home])))
    mentioned = [each for place, rules in rules_in.items() for each in _asked(rules, place)]
    foreign = next(place for place in _FOREIGN if place not in granted)
    elsewhere = tuple(_atoms(rules_in[home], foreign))
    named = {replace(each, name="") for each in elsewhere if each.name}
    return Questions(
        tuple(dict.fromkeys(mentioned)),
        tuple(dict.fromkeys(each for each in elsewhere if each not in named)),
        tuple(danger.within(home) for danger in DANGEROUS),
    )


def _rules_granted(declaration: Declaration, namespace: str) -> tuple[PolicyRule, ...]:
    """What is granted in a namespace; of a tier on each agent's own objects only the first two agents' rules.

    All are asked about those two, and each about its own (``Questions.of``): every agent about every other's objects
    would be a question for each pair of agents.
    """
    rules: dict[PolicyRule, None] = {}
    own: Counter[str] = Counter()
    for one in declaration.identities:
        for grant in one.grants:
            if grant.namespace != namespace or grant.tier == IMPERSONATION:
                continue
            if any(_of_each_agent(rule) for rule in declaration.tiers[grant.tier]):
                own[grant.tier] += 1
                if own[grant.tier] > _SIBLINGS:
                    continue
            rules |= dict.fromkeys(grant.rules)
    return tuple(rules)


def _of_each_agent(rule: PolicyRule) -> bool:
    return any(AGENT_PLACEHOLDER in name for name in rule.resource_names)


def _asked(rules: Iterable[PolicyRule], namespace: str) -> Iterator[Permission]:
    for atom in _atoms(rules, namespace):
        yield atom
        if atom.name:
            yield replace(atom, name="")
        if not atom.subresource:
            yield from (replace(atom, verb=verb, name="") for verb in _WRITES)


def _atoms(rules: Iterable[PolicyRule], namespace: str) -> Iterator[Permission]:
    """Each single permission of the rules; ``*`` also verb by verb, lest a lesser surprise hide behind it."""
    for rule in rules:
        verbs = dict.fromkeys(
            chain.from_iterable((verb, *_EVERY_VERB) if verb == _ALL else (verb,) for verb in rule.verbs)
        )
        for group in rule.api_groups:
            for item in rule.resources:
                resource, _, subresource = item.partition("/")
                for verb in verbs:
                    for name in rule.resource_names or ("",):
                        yield Permission(verb, group, resource, subresource, name, namespace)


def expected(identity: Identity, permission: Permission) -> bool:
    """Whether the values declare it, or Kubernetes gives it to every ServiceAccount."""
    request = permission.request(identity.user)
    declared = identity.rules_in(EVERYWHERE)
    if permission.namespace:
        declared += identity.rules_in(permission.namespace)
    return any(rule_allows(rule, request) for rule in chain(declared, BASELINE))


@dataclass(frozen=True, slots=True)
class Cell:
    """One answer: what the values declare, what the API server says, and its reason, "" where it gives none."""

    identity: Identity
    permission: Permission
    expected: bool
    allowed: bool
    reason: str = ""

    @property
    def surprising(self) -> bool:
        """Whether the cluster differs from the values."""
        return self.expected != self.allowed


@dataclass(frozen=True, slots=True)
class Undeclared:
    """A ServiceAccount that carries the label of an agent, though the values declare none of that name."""

    namespace: str
    name: str
    release: str


@dataclass(frozen=True, slots=True)
class Matrix(Result):
    """Every identity against every permission, on one API server.

    ``absent`` are declared identities without a ServiceAccount; nothing is asked about them. ``seconds``: time spent.
    """

    server: str
    declaration: Declaration
    questions: Questions
    cells: tuple[Cell, ...]
    absent: tuple[Identity, ...] = ()
    undeclared: tuple[Undeclared, ...] = ()
    seconds: float = 0.0

    def report(self, *, listing: bool = False) -> Report:
        """The matrix in words and tables; ``listing`` adds every answer."""
        from agent_identities.verify.report import build

        return build(self, listing=listing)

    @property
    def surprises(self) -> tuple[Cell, ...]:
        """The cells where the cluster differs from the values."""
        return tuple(cell for cell in self.cells if cell.surprising)

    @property
    def ok(self) -> bool:
        """Whether the cluster is as the values say."""
        return not self.absent and not self.undeclared and not any(cell.surprising for cell in self.cells)

    @property
    def permissions(self) -> int:
        """How many different permissions were asked."""
        return len({cell.permission for cell in self.cells})

    def count(self, *, expected: bool, allowed: bool) -> int:
        """How many cells expect the one and got the other."""
        return sum(cell.expected == expected and cell.allowed == allowed for cell in self.cells)


Progress = Callable[[int, int], None]
"""Told how many of how many questions are answered, from the thread that called `verify`."""


def verify(
    api: Api,
    declaration: Declaration,
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    on_progress: Progress = lambda _done, _total: None,
) -> Matrix:
    """Ask an API server about every identity; nothing is written. Raises ApiError when any question gets no answer.

    A surprise is asked again a second later and only then believed: API servers learn of new bindings with some delay.
    """
    started = time.monotonic()
    accounts = _service_accounts(api, declaration)
    declaration = with_existing_roles(api, declaration)
    present = [one for one in declaration.identities if one.quarantined or (one.namespace, one.name) in accounts]
    asked = questions(declaration)
    cells = [
        Cell(identity, permission, expected(identity, permission), allowed=False)
        for identity in present
        for permission in asked.of(identity)
    ]
    cells = _answers(api, cells, concurrency, on_progress)
    doubtful = [index for index, cell in enumerate(cells) if cell.surprising]
    if doubtful:
        time.sleep(_LAG_SECONDS)
        again = _answers(
            api,
            [cells[index] for index in doubtful],
            concurrency,
            lambda done, total: on_progress(len(cells) + done, len(cells) + total),
        )
        for index, cell in zip(doubtful, again, strict=True):
            cells[index] = cell
    active = (declaration.proxy, *declaration.agents)
    declared = {(one.namespace, one.name) for one in active}
    return Matrix(
        api.server,
        declaration,
        asked,
        tuple(cells),
        absent=tuple(one for one in active if (one.namespace, one.name) not in accounts),
        undeclared=tuple(
            Undeclared(*key, labels.get(_RELEASE_LABEL, ""))
            for key, labels in sorted(accounts.items(), key=lambda item: item[0])
            if AGENT_LABEL in labels and key not in declared
        ),
        seconds=time.monotonic() - started,
    )


def with_existing_roles(api: Api, declaration: Declaration) -> Declaration:
    """The declaration with what roles of others hold on this cluster today; nothing for one that is not there."""
    seen: dict[tuple[RoleRef, str], tuple[PolicyRule, ...]] = {}

    def rules(role: RoleRef, namespace: str) -> tuple[PolicyRule, ...]:
        if (role, namespace) not in seen:
            place = "clusterroles" if role.kind == "ClusterRole" else f"namespaces/{namespace}/roles"
            try:
                found = api.get(f"/apis/rbac.authorization.k8s.io/v1/{place}/{quote(role.name, safe='')}")
            except ApiError as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
                found = {}
            seen[role, namespace] = tuple(PolicyRule.from_manifest(rule) for rule in found.get("rules") or ())
        return seen[role, namespace]

    def known(one: Identity) -> Identity:
        grants = (g if g.existing is None else replace(g, rules=rules(g.existing, g.namespace)) for g in one.grants)
        return replace(one, grants=tuple(grants))

    return replace(declaration, agents=tuple(known(one) for one in declaration.agents))


def _service_accounts(api: Api, declaration: Declaration) -> Mapping[tuple[str, str], Mapping[str, str]]:
    """Labels by (namespace, name)."""
    return {
        (namespace, item["metadata"]["name"]): item["metadata"].get("labels") or {}
        for namespace in sorted({one.namespace for one in declaration.identities})
        for item in api.list_all(f"/api/v1/namespaces/{namespace}/serviceaccounts")
    }


def _answers(api: Api, cells: Sequence[Cell], concurrency: int, on_progress: Progress) -> list[Cell]:
    """The cells with the server's answers, in order; the first failure, or Ctrl-C, ends them all."""
    answered: list[list[Cell]] = [[]] * len(range(0, len(cells), _CHUNK))
    done = 0
    stop = threading.Event()

    def ask_chunk(start: int) -> list[Cell]:
        return [_ask(api, cell) for cell in cells[start : start + _CHUNK] if not stop.is_set()]

    with ThreadPoolExecutor(concurrency, thread_name_prefix="verify") as pool:
        running = {pool.submit(ask_chunk, start): start // _CHUNK for start in range(0, len(cells), _CHUNK)}
        try:
            for future in as_completed(running):
                answered[running[future]] = future.result()
                done += len(future.result())
                on_progress(done, len(cells))
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return list(chain.from_iterable(answered))


def _ask(api: Api, cell: Cell) -> Cell:
    user = cell.identity.user
    status = api.post(_REVIEWS, cell.permission.review(user), repeatable=True).get("status") or {}
    if status.get("evaluationError") and not status.get("allowed"):
        where = f" in {cell.permission.namespace}" if cell.permission.namespace else ""
        raise ApiError(
            f"{api.server}: cannot decide whether {user.name} may {cell.permission}{where}: "
            f"{status['evaluationError']}. Mend that authorizer of the API server, then ask again."
        )
    return replace(cell, allowed=bool(status.get("allowed")), reason=status.get("reason") or "")
