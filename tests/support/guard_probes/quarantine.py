"""guards.quarantine: no user can restore the access of a quarantined agent."""

from support.guard_probes.bindings import bind, rebind
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
    replace,
)
from support.guard_probes.run_as import of_template, run
from support.guard_probes.stage import everybodys
from support.guard_probes.tokens import request
from support.server import Json
from support.subjects import account, binding, group, user
from support.workloads import RESOURCES

ACCOUNTS = Table("quarantine", "quarantine")
PODS = Table("quarantine", "quarantine-pods")
BINDINGS = Table("quarantine", "quarantine-bindings")
OURS = {"app.kubernetes.io/name": "agent-identities"}
_OTHERS = ({"app.kubernetes.io/name": "another"}, {"app.kubernetes.io/instance": "agent-identities"})
_ON = {"modes": (PER_AGENT,)}
STRONG = ("administrator", "all verbs", "remover")
"""The authors with all rights except this right."""


def lifts(entry: str) -> str:
    return f"the agent is quarantined. To end the quarantine: agents: {{{entry}: {{quarantined: false}}}}{END}"


def named(name: str, labels: Json | None = None) -> ProbeRequest:
    return create("serviceaccounts", {"metadata": {"name": name, "labels": labels or {}}})


# accounts and tokens
for name, entry in (("suspect", "suspect"), ("team-3", "team")):
    for who in STRONG:
        ACCOUNTS.refuses(
            f"the account {name}", who, named(name), f"may not create the ServiceAccount {name}: {lifts(entry)}", **_ON
        )
for labels in _OTHERS:
    ACCOUNTS.refuses(
        f"with the labels {labels}",
        "remover",
        named("suspect", labels),
        "may not create the ServiceAccount suspect",
        **_ON,
    )
for who in ("all verbs", "almost remover"):
    ACCOUNTS.refuses(
        "with the chart's label",
        who,
        named("suspect", OURS),
        f"@$ns may not create the ServiceAccount suspect: {lifts('suspect')}",
        also=("accounts",),
        **_ON,
    )
for who in ("administrator", "remover"):
    ACCOUNTS.admits("with the chart's label", who, named("suspect", OURS), **_ON)
for name in ("newcomer", "team-4"):
    ACCOUNTS.admits(f"the account {name}", "binder", named(name))
ACCOUNTS.admits(
    "its namesake elsewhere", "dev", create("serviceaccounts", {"metadata": {"name": "suspect"}}, ELSEWHERE)
)
ACCOUNTS.admits(
    "a label of its account that stays",
    "binder",
    patch("serviceaccounts", "kept-bot", {"metadata": {"labels": {"x": "y"}}}),
)
_also = {"also": ("tokens",)}
for who in ("administrator", "user and breaker"):
    ACCOUNTS.refuses(
        "a token of it",
        who,
        request("kept-bot"),
        f"may not create a token of the ServiceAccount kept-bot: {lifts('kept')}",
        **_ON,
    )
for who in ("kubelet", "remover"):
    ACCOUNTS.refuses(
        "a token of it", who, request("kept-bot"), "a token of the ServiceAccount kept-bot", **_also, **_ON
    )
ACCOUNTS.admits("a token of its sibling", "user of a", request("a"))

# pods
for resource in RESOURCES:
    for who in STRONG:
        PODS.refuses(
            f"{resource} as it", who, run(resource, "kept-bot"), f"as the agent kept-bot: {lifts('kept')}", **_ON
        )
    PODS.admits(f"{resource} as its sibling", "all verbs", run(resource, "a"))
    PODS.admits(f"{resource} as an account that no value names", "user of all", run(resource, "operator"))
PODS.refuses(
    "pods as it, by a controller",
    "controller",
    run("pods", "kept-bot"),
    "may not run Pod p as the agent kept-bot",
    **_ON,
)
for name, entry in (("suspect", "suspect"), ("team-3", "team")):
    PODS.refuses(
        f"a Deployment as {name}",
        "all verbs",
        run("deployments", name),
        f"all-verbs@$ns may not run Deployment p as the agent {name}: {lifts(entry)}",
        **_ON,
    )
PODS.admits("its namesake elsewhere", "dev", run("deployments", "kept-bot", ELSEWHERE))


def _labelled(labels: Json) -> ProbeRequest:
    given = run("deployments", "suspect")
    given.body["metadata"]["labels"] = labels
    return given


for labels in _OTHERS:
    PODS.refuses(f"with the labels {labels}", "remover", _labelled(labels), "as the agent suspect", **_ON)
for who in ("all verbs", "almost remover"):
    PODS.refuses("with the chart's label", who, _labelled(OURS), "as the agent suspect", also=("run-as",), **_ON)
for who in ("administrator", "remover"):
    PODS.admits("with the chart's label", who, _labelled(OURS), **_ON)
_image = {"spec": {"containers": [{"name": "c", "image": "registry.example/mine:1"}]}}
for resource in ("pods", "deployments", "podtemplates", "cronjobs"):
    name = "kept-bot" if resource == "pods" else "kept"
    another = patch(resource, name, of_template(resource, _image))
    PODS.refuses(
        f"{resource} of it that change",
        "administrator",
        another,
        f"{name} as the agent kept-bot: the agent is quar",
        **_ON,
    )
    PODS.admits(
        f"a label of {resource} of it", "dev", patch(resource, name, {"metadata": {"labels": {"x": "y"}}}), **_ON
    )
PODS.admits("nothing of its Deployment runs", "dev", patch("deployments", "kept", {"spec": {"replicas": 0}}), **_ON)

# rights
_SUSPECT = {
    "account": account("suspect", HERE),
    "instance": account("team-3", HERE),
    "user": user("system:serviceaccount:$ns:suspect"),
}
_ENTRY = {"account": "suspect", "instance": "team", "user": "suspect"}
_EVERYBODY = ("system:serviceaccounts", "system:authenticated")
for place in ("here", "elsewhere", "cluster"):
    for spelling, subject in _SUSPECT.items():
        for who in ("administrator", "all verbs"):
            BINDINGS.refuses(
                f"{place}: {spelling}",
                who,
                bind(place, user("somebody"), subject),
                f"may not bind {subject['kind']} {subject['name']} to ClusterRole view: the subject is or "
                f"includes an agent of $ns, and {lifts(_ENTRY[spelling])}",
                **_ON,
            )
    everyone_here = group("system:serviceaccounts:$ns")
    BINDINGS.refuses(
        f"{place}: all accounts here",
        "administrator",
        bind(place, everyone_here),
        "may not bind Group system:serviceaccounts:$ns to",
        lifts("<agent>"),
        **_ON,
    )
    for name in _EVERYBODY:
        BINDINGS.refuses(
            f"{place}: {name}",
            "all verbs",
            bind(place, group(name)),
            f"may not bind Group {name} to",
            lifts("<agent>"),
            **_ON,
        )
        BINDINGS.refuses(
            f"{place}: {name}",
            "almost remover",
            bind(place, group(name)),
            f"may not bind Group {name} to",
            also=("bindings",),
            **_ON,
        )
        BINDINGS.admits(f"{place}: {name}", "remover", bind(place, group(name)), **_ON)
    BINDINGS.refuses(
        f"{place}: it and everybody",
        "remover",
        bind(place, group(_EVERYBODY[0]), account("suspect", HERE)),
        "may not bind ServiceAccount suspect to",
        **_ON,
    )
    BINDINGS.admits(f"{place}: its sibling", "all verbs", bind(place, account("a", HERE)))
    BINDINGS.admits(f"{place}: its sibling as a user", "all verbs", bind(place, user("system:serviceaccount:$ns:a")))
    BINDINGS.admits(f"{place}: its namesake elsewhere", "dev", bind(place, account("suspect", ELSEWHERE)))
    BINDINGS.admits(f"{place}: accounts elsewhere", "dev", bind(place, group("system:serviceaccounts:$e")))
    BINDINGS.admits(f"{place}: the user of its name", "dev", bind(place, user("suspect")))
    BINDINGS.admits(f"{place}: nobody", "dev", bind(place))


def _ours(*subjects: Json, labels: Json = OURS) -> ProbeRequest:
    given = binding(*subjects)
    given["metadata"]["labels"] = labels
    return create("rolebindings", given)


for who in ("administrator", "remover"):
    BINDINGS.admits("with the chart's label", who, _ours(account("suspect", HERE)), **_ON)
for who in ("all verbs", "almost remover"):
    BINDINGS.refuses(
        "with the chart's label",
        who,
        _ours(account("suspect", HERE)),
        "ServiceAccount suspect",
        also=("bindings",),
        **_ON,
    )
for labels in _OTHERS:
    BINDINGS.refuses(
        f"with the labels {labels}",
        "remover",
        _ours(account("suspect", HERE), labels=labels),
        "ServiceAccount suspect",
        **_ON,
    )
BINDINGS.refuses(
    "here: it without its namespace", "all verbs", bind("here", account("suspect")), "ServiceAccount suspect", **_ON
)
BINDINGS.admits("elsewhere: its name without a namespace", "dev", bind("elsewhere", account("suspect")))
_kept = account("kept-bot", HERE)
BINDINGS.admits("an update that keeps it", "administrator", rebind("kept", _kept, user("somebody")), **_ON)
BINDINGS.admits("an update that takes it out", "dev", rebind("kept", user("somebody")), **_ON)
BINDINGS.admits(
    "a label of its binding", "dev", patch("rolebindings", "kept", {"metadata": {"labels": {"x": "y"}}}), **_ON
)
for name in ("held", "somebodys", "empty"):
    BINDINGS.refuses(
        f"an update that adds it to {name}",
        "all verbs",
        rebind(name, account("a", HERE), _kept),
        "ServiceAccount kept-bot",
        lifts("kept"),
        **_ON,
    )
    BINDINGS.refuses(
        f"an update that adds all to {name}",
        "all verbs",
        rebind(name, group(_EVERYBODY[1])),
        f"Group {_EVERYBODY[1]}",
        **_ON,
    )
crowd = {"metadata": {"labels": {"x": "y"}}}
BINDINGS.admits("a label of a binding of 1,500", "dev", patch("rolebindings", "crowd-kept", crowd), **_ON)
_more = everybodys(user("somebody"))
BINDINGS.admits("an update that keeps everybody", "dev", replace("rolebindings", "everybodys", _more), **_ON)
BINDINGS.admits(
    "everybody, where nobody is quarantined", "binder", bind("cluster", group(_EVERYBODY[1])), modes=(PER_TIER,)
)
BINDINGS.refuses(
    "an update in the whole cluster",
    "all verbs",
    replace("clusterrolebindings", "$ns-held", binding(account("a", HERE), _kept, name="$ns-held"), ""),
    "ServiceAccount kept-bot",
    **_ON,
)
