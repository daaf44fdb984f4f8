"""guards.bindings: who may give rights to agents."""

from typing import Any

from support.guard_probes.model import (
    ELSEWHERE,
    END,
    HERE,
    PER_AGENT,
    PER_TIER,
    ProbeRequest,
    Table,
    create,
    patch,
    remove,
    replace,
)
from support.guard_probes.stage import everybodys
from support.server import Json
from support.subjects import account, agents, binding, group, others, user

TABLE = Table("bindings", "bindings")
PLACES = {"here": HERE, "elsewhere": ELSEWHERE, "cluster": ""}
_KINDS = {"here": "RoleBinding", "elsewhere": "RoleBinding", "cluster": "ClusterRoleBinding"}


def bind(place: str, *subjects: Json) -> ProbeRequest:
    return create("rolebindings" if place != "cluster" else "clusterrolebindings", binding(*subjects), PLACES[place])


def rebind(name: str, *subjects: Json) -> ProbeRequest:
    return replace("rolebindings", name, binding(*subjects, name=name))


_CURE = (
    "Add a tier to the agent, or allow the user to bind agents: "
    'guards: {deployers: [{kind: User, name: "dev@$ns", bindAgents: true}]}' + END
)

_ALL = ("group of the namespace", "all accounts", "all users")
"""Quarantine refuses these, too: all agents are among them."""

for place in PLACES:
    for spelling, subject in agents(HERE).items():
        TABLE.refuses(
            f"{place}: {spelling}, after somebody",
            "dev",
            bind(place, user("somebody"), subject),
            f"dev@$ns may not bind {subject['kind']} {subject['name']} to ClusterRole view with "
            f"{_KINDS[place]} b: the subject is or includes a ServiceAccount of $ns. {_CURE}",
            also=("quarantine-bindings",) if spelling in _ALL else (),
            modes=(PER_AGENT,) if spelling == "proxy" else (PER_AGENT, PER_TIER),
        )
        modes = (PER_TIER,) if spelling in _ALL else (PER_AGENT,) if spelling == "proxy" else (PER_AGENT, PER_TIER)
        TABLE.admits(f"{place}: {spelling}", "binder", bind(place, subject), modes=modes)
    for spelling, subject in others(HERE).items():
        TABLE.admits(f"{place}: {spelling}", "dev", bind(place, subject))
    for who in ("user of all", "user elsewhere", "almost remover", "agent a", "wildcards of Kubernetes"):
        TABLE.refuses(f"{place}: an agent", who, bind(place, account("a", HERE)), "may not bind ServiceAccount a to")
    TABLE.admits(f"{place}: an agent", "remover", bind(place, account("a", HERE)))
    TABLE.admits(f"{place}: nobody", "dev", bind(place))

for name in ("system:serviceaccounts", "system:authenticated"):
    TABLE.admits(f"cluster: {name}", "remover", bind("cluster", group(name)))
TABLE.refuses(
    "here: an account without namespace", "dev", bind("here", account("a")), "may not bind ServiceAccount a to"
)
TABLE.admits("elsewhere: an account without namespace", "dev", bind("elsewhere", account("a")))
TABLE.refuses(
    "here: an account without namespace that no value names",
    "dev",
    bind("here", account("operator")),
    "may not bind ServiceAccount operator to",
)
TABLE.refuses(
    "cluster: the proxy of another name",
    "dev",
    bind("cluster", account("gateway", HERE)),
    "ServiceAccount gateway",
    modes=(PER_TIER,),
)
TABLE.refuses(
    "here: an account of another name",
    "dev",
    bind("here", account("other-bot", HERE)),
    "ServiceAccount other-bot",
    modes=(PER_AGENT,),
)
TABLE.admits("here: the user of another namespace", "dev", bind("here", user("system:serviceaccount:$e:a")))
TABLE.admits("here: a group that is called as an agent", "dev", bind("here", group("a")))

# updates
_held = account("a", HERE)
TABLE.admits("an update that keeps an agent and adds somebody", "dev", rebind("held", _held, user("somebody")))
TABLE.admits("an update that takes an agent out", "dev", rebind("held", user("somebody")))
TABLE.admits("an update to nobody", "dev", rebind("held"))
TABLE.admits(
    "a label of an agent's binding", "dev", patch("rolebindings", "held", {"metadata": {"labels": {"seen": "yes"}}})
)
TABLE.refuses(
    "an update that adds an agent to another", "dev", rebind("held", _held, account("b", HERE)), "ServiceAccount b"
)
TABLE.refuses(
    "an update that adds one to somebody", "dev", rebind("somebodys", user("somebody"), _held), "ServiceAccount a"
)
TABLE.refuses(
    "an update that adds one to nobody", "dev", rebind("empty", _held), "ServiceAccount a", "RoleBinding empty"
)
TABLE.admits("an update that adds one", "binder", rebind("held", _held, account("b", HERE)))
TABLE.refuses(
    "an update in the whole cluster",
    "dev",
    replace("clusterrolebindings", "$ns-held", binding(_held, account("b", HERE), name="$ns-held"), ""),
    "ServiceAccount b",
    "ClusterRoleBinding $ns-held",
)
TABLE.admits(
    "a label in the whole cluster",
    "dev",
    patch("clusterrolebindings", "$ns-held", {"metadata": {"labels": {"x": "y"}}}, ""),
)
TABLE.admits(
    "a label of a binding of 1,500", "dev", patch("rolebindings", "crowd", {"metadata": {"labels": {"x": "y"}}})
)
_more = everybodys(user("somebody"))
TABLE.admits("an update that keeps everybody", "dev", replace("rolebindings", "everybodys", _more))

# finalizers
FINALIZERS = Table("bindings", "bindings-finalizers")
_KEPT = {"metadata": {"finalizers": ["example.com/keep"]}}


def keep(name: str) -> ProbeRequest:
    return patch("rolebindings", name, _KEPT)


def unbind(name: str, **options: Any) -> ProbeRequest:
    return remove("rolebindings", name, **options)


_DELETED: tuple[Json, ...] = (
    {"propagationPolicy": "Foreground"},
    {"propagationPolicy": "Orphan"},
    {"orphanDependents": True},
)
_WORDS = (
    "RoleBinding held so that a finalizer or Helm keeps it: it would grant ClusterRole view to ServiceAccount a "
    "after it is deleted. Delete it with --cascade=background, or allow the user to bind agents: guards: "
    "{deployers: [{kind: User, name: "
)
for who in ("dev", "user of all", "almost remover", "agent a"):
    FINALIZERS.refuses("another finalizer", who, keep("held"), "may not change " + _WORDS, "bindAgents: true}]}" + END)
    for options in _DELETED:
        FINALIZERS.refuses(f"{options}", who, unbind("held", **options), "may not delete " + _WORDS)
    for name in ("everybodys", "of-user", "of-group"):
        FINALIZERS.refuses(f"a finalizer of {name}", who, keep(name), f"may not change RoleBinding {name} so")
for who in ("binder", "remover", "cleaner", "administrator"):
    FINALIZERS.admits("another finalizer", who, keep("held"))
    for options in _DELETED:
        FINALIZERS.admits(f"{options}", who, unbind("held", **options))
_whole = ("clusterrolebindings", "$ns-held")
FINALIZERS.refuses("in the whole cluster", "dev", patch(*_whole, _KEPT, ""), "ClusterRoleBinding $ns-held")
FINALIZERS.refuses(
    "in the whole cluster", "dev", remove(*_whole, "", propagationPolicy="Foreground"), "ClusterRoleBinding $ns-held"
)
for options in ({}, {"propagationPolicy": "Background"}, {"orphanDependents": False}):
    FINALIZERS.admits(f"deleted at once: {options}", "dev", unbind("held", **options))
for name in ("somebodys", "empty"):
    FINALIZERS.refuses(f"a finalizer of {name}", "dev", keep(name), f"RoleBinding {name} so", "to an agent after it")
    FINALIZERS.admits(f"a finalizer of {name}", "binder", keep(name))
    FINALIZERS.admits(f"{name} in the foreground", "dev", unbind(name, propagationPolicy="Foreground"))
FINALIZERS.admits(
    "a finalizer that was there", "dev", patch("rolebindings", "kept-for-long", {"metadata": {"labels": {"x": "y"}}})
)
FINALIZERS.refuses(
    "a second finalizer",
    "dev",
    patch("rolebindings", "kept-for-long", {"metadata": {"finalizers": ["example.com/keep", "example.com/more"]}}),
    "RoleBinding kept-for-long",
)
FINALIZERS.admits(
    "without its finalizer", "dev", replace("rolebindings", "kept-for-long", binding(_held, name="kept-for-long"))
)
_HELM_KEEPS = {"metadata": {"annotations": {"helm.sh/resource-policy": "keep"}}}
for who in ("dev", "user of all", "agent a"):
    FINALIZERS.refuses(
        "kept by Helm", who, patch("rolebindings", "held", _HELM_KEEPS), "may not change RoleBinding held"
    )
FINALIZERS.refuses("kept by Helm in the whole cluster", "dev", patch(*_whole, _HELM_KEEPS, ""), "$ns-held")
FINALIZERS.admits("kept by Helm", "binder", patch("rolebindings", "held", _HELM_KEEPS))
FINALIZERS.refuses(
    "a person's, kept by Helm", "dev", patch("rolebindings", "somebodys", _HELM_KEEPS), "RoleBinding somebodys so"
)


def _kept_from_the_start(name: str, **meta: Any) -> Json:
    made = binding(name=name)
    made["metadata"] |= meta
    return made


for meta in (_KEPT["metadata"], _HELM_KEEPS["metadata"]):
    FINALIZERS.refuses(
        f"made with {meta}, before the agent is a subject",
        "dev",
        create("rolebindings", _kept_from_the_start("made", **meta)),
        "RoleBinding made so that a finalizer or Helm keeps it: it would grant ClusterRole view to an agent after it",
    )
    FINALIZERS.admits(f"made with {meta}", "binder", create("rolebindings", _kept_from_the_start("made", **meta)))
    FINALIZERS.refuses(
        f"made with {meta} in another namespace, with a name of the release",
        "dev",
        create("rolebindings", _kept_from_the_start("a:$ns:$release:reader-role", **meta), "$e"),
        "RoleBinding a:$ns:$release:reader-role so",
    )
    FINALIZERS.admits(
        f"made with {meta} in another namespace",
        "dev",
        create("rolebindings", _kept_from_the_start("made", **meta), "$e"),
    )
FINALIZERS.admits("another annotation", "dev", patch("rolebindings", "held", {"metadata": {"annotations": {"x": "y"}}}))
FINALIZERS.admits("a finalizer of 1,500", "binder", keep("crowd"))
