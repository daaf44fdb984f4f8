"""guards.runAs: who may run what as an agent."""

from typing import Any

from support.guard_probes.model import ELSEWHERE, END, PER_AGENT, PER_TIER, ProbeRequest, Table, create, patch, remove
from support.guard_probes.stage import NOWHERE, OWNER
from support.server import Json
from support.workloads import RESOURCES, workload

TABLE = Table("runAs", "run-as")
REVISIONS = Table("runAs", "run-as-revisions")
_IMAGE = {"name": "c", "image": "registry.example/mine:1"}
_NO_AGENT = (
    "without a serviceAccountName: the guard defaultAccount refuses its pods, and a later upgrade could run them"
)
_NOTE = {"annotations": {"note": "x"}}
_KINDS = {
    "pods": "Pod",
    "podtemplates": "PodTemplate",
    "replicationcontrollers": "ReplicationController",
    "deployments": "Deployment",
    "replicasets": "ReplicaSet",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "jobs": "Job",
    "cronjobs": "CronJob",
}


def run(resource: str, account: str | None, namespace: str = "$ns", **field: Any) -> ProbeRequest:
    return create(
        resource, workload(resource, account, automountServiceAccountToken=False, **NOWHERE, **field)[1], namespace
    )


def of_template(resource: str, change: Json) -> Json:
    """The same change of the pod template of a kind, or of the pod."""
    if resource in ("pods", "podtemplates"):
        return change if resource == "pods" else {"template": change}
    spec: Json = {"template": change}
    return {"spec": {"jobTemplate": {"spec": spec}} if resource == "cronjobs" else spec}


def _may_not(resource: str, account: str, who: str = "dev", name: str = "p") -> tuple[str, ...]:
    return (
        f"{who}@$ns may not run {_KINDS[resource]} {name} as the agent {account}: this requires the verb use on the",
        (
            " agent. To allow the request: "
            f'guards: {{deployers: [{{kind: User, name: "{who}@$ns", agents: [{account}]}}]}}{END}'
        ),
    )


for resource in RESOURCES:
    TABLE.refuses(f"{resource} as an agent", "dev", run(resource, "a"), *_may_not(resource, "a"))
    TABLE.refuses(
        f"{resource} as another agent than one's own", "user of a", run(resource, "b"), "as the agent b: this requires"
    )
    TABLE.admits(f"{resource} as the agent that it may use", "user of a", run(resource, "a"))
    TABLE.refuses(
        f"{resource} as an account that no value names", "dev", run(resource, "operator"), "as the agent operator"
    )
    TABLE.refuses(f"{resource} as an agent by an add-on of kube-system", "add-on", run(resource, "a"), "as the agent a")
    TABLE.admits(f"{resource} as an agent by a controller", "controller", run(resource, "a"))
    TABLE.admits(f"{resource} as an agent's namesake elsewhere", "dev", run(resource, "a", ELSEWHERE))
    old = "a" if resource == "pods" else "old"
    image: Json = {"spec": {"containers": [_IMAGE]}}
    if resource == "jobs":  # its template is immutable, except for some fields of a suspended Job
        image = {"metadata": _NOTE}
    TABLE.refuses(
        f"{resource}: another template",
        "dev",
        patch(resource, old, of_template(resource, image)),
        *_may_not(resource, "a", name=old),
    )
    TABLE.admits(
        f"{resource}: another template by who may use it",
        "user of a",
        patch(resource, old, of_template(resource, image)),
    )
    label_by = "dev" if resource != "replicasets" else "user of all"
    TABLE.admits(f"{resource}: a label", label_by, patch(resource, old, {"metadata": {"labels": {"seen": "yes"}}}))
    if resource not in ("pods",):
        TABLE.refuses(f"{resource} without an account", "dev", run(resource, None), _NO_AGENT)
        TABLE.admits(f"{resource} without an account", "user of all", run(resource, None))

TABLE.refuses(
    "the field's old name", "dev", run("deployments", "a", field="serviceAccount"), *_may_not("deployments", "a")
)
_init = {"spec": {"initContainers": [{"name": "i", "image": "registry.example/mine:1"}]}}
TABLE.refuses("another init container", "dev", patch("pods", "a", _init), *_may_not("pods", "a", name="a"))
_simple = {"spec": {"containers": [_IMAGE]}}
TABLE.refuses(
    "a pod without init containers", "dev", patch("pods", "simple", _simple), *_may_not("pods", "a", name="simple")
)
TABLE.admits("another deadline of a pod", "dev", patch("pods", "a", {"spec": {"activeDeadlineSeconds": 60}}))
TABLE.admits("the labels of a pod without init containers", "dev", patch("pods", "simple", {"metadata": _NOTE}))
TABLE.refuses(
    "an annotation of a template, which may inject",
    "dev",
    patch("deployments", "old", of_template("deployments", {"metadata": _NOTE})),
    *_may_not("deployments", "a", name="old"),
)
_to_a: Json = {"spec": {"serviceAccountName": "a", "serviceAccount": "a"}}
_to_default: Json = {"spec": {"serviceAccountName": "default", "serviceAccount": "default"}}
TABLE.refuses(
    "a template that becomes an agent's",
    "dev",
    patch("deployments", "plain", of_template("deployments", _to_a)),
    *_may_not("deployments", "a", name="plain"),
)
_taken = "may not change Deployment old, which runs as the agent a: this requires the verb use on the agent"
for who in ("dev", "user of b"):
    TABLE.refuses(
        "a template that is an agent's no more",
        who,
        patch("deployments", "old", of_template("deployments", _to_default)),
        _taken,
    )
TABLE.refuses(
    "a template that is a sibling's now",
    "user of b",
    patch(
        "deployments", "old", of_template("deployments", {"spec": {"serviceAccountName": "b", "serviceAccount": "b"}})
    ),
    _taken,
)
TABLE.refuses(
    "a template that is no agent's",
    "user of a",
    patch("deployments", "old", of_template("deployments", _to_default)),
    _NO_AGENT,
)
TABLE.admits(
    "a template that is an agent's no more",
    "user of all",
    patch("deployments", "old", of_template("deployments", _to_default)),
)
TABLE.admits("scale", "dev", patch("deployments", "old", {"spec": {"replicas": 0}}))
TABLE.admits("the subresource scale", "dev", patch("deployments", "old/scale", {"spec": {"replicas": 0}}))

for account, modes in (("agent-proxy", (PER_AGENT,)), ("gateway", (PER_TIER,)), ("team-1", (PER_AGENT,))):
    TABLE.refuses(f"as {account}", "dev", run("deployments", account), *_may_not("deployments", account), modes=modes)
    TABLE.admits(f"as {account}", "user of all", run("deployments", account), modes=modes)
TABLE.refuses(
    "as an account of another name",
    "dev",
    run("deployments", "other-bot"),
    *_may_not("deployments", "other-bot"),
    modes=(PER_AGENT,),
)
TABLE.refuses("as a proxied agent", "dev", run("deployments", "proxied"), *_may_not("deployments", "proxied"))
TABLE.refuses(
    "as a quarantined agent",
    "dev",
    run("deployments", "suspect"),
    "run Deployment p as the agent suspect",
    also=("quarantine-pods",),
    modes=(PER_AGENT,),
)
TABLE.refuses(
    "as an agent, by who may use them elsewhere", "user elsewhere", run("deployments", "a"), "the agent a: this"
)
TABLE.admits("an agent as itself", "agent a", run("pods", "a"))
for account in ("a", "proxied"):  # not operator, who holds use: only the guard impersonation refuses it
    TABLE.refuses(
        f"{account} as itself, by impersonation",
        f"impersonated {account}",
        run("deployments", account),
        f"serviceaccount:$ns:{account} may not run Deployment p as the agent {account}",
        also=("impersonation",),
    )
TABLE.refuses(
    "by wildcards in the groups of Kubernetes", "wildcards of Kubernetes", run("deployments", "a"), "agent a: this"
)
TABLE.refuses(
    "by wildcards in the agents' namespace alone",
    "wildcards here",
    run("deployments", "a"),
    "agent a: this",
    modes=(PER_TIER,),
)
TABLE.admits(
    "by wildcards in the namespace of the release", "wildcards here", run("deployments", "a"), modes=(PER_AGENT,)
)
for who in ("dev", "user of a"):
    TABLE.refuses("a template of no agent", who, run("deployments", "default"), _NO_AGENT)
for who in ("user of all", "remover"):
    TABLE.admits("a template of no agent", who, run("deployments", "default"))
TABLE.admits("an agent as itself, by a Deployment", "agent a", run("deployments", "a"))
TABLE.refuses(
    "an agent as its sibling",
    "agent a",
    run("deployments", "b"),
    "serviceaccount:$ns:a may not run Deployment p as the agent b",
)
TABLE.refuses("its namesake elsewhere as the agent", "a of elsewhere", run("deployments", "a"), "as the agent a: this")
TABLE.admits("the administrator as an agent", "administrator", run("deployments", "a"))
TABLE.admits("who may remove the guard", "remover", run("deployments", "a"))
TABLE.refuses("who may remove other guards", "almost remover", run("deployments", "a"), "as the agent a: this requires")
TABLE.admits("the controller manager", "controller manager", run("pods", "a"))

_revision = {
    "metadata": {"name": "forged"},
    "revision": 7,
    "data": {"spec": {"template": {"spec": {"containers": []}}}},
}
_rollback = {"metadata": {"annotations": {"deprecated.deployment.rollback.to": "1"}}}
_paused = workload("deployments", "a", **NOWHERE)[1]
_paused["spec"] |= {"paused": True, "replicas": 0}
_annotated = workload("deployments", "a", **NOWHERE)[1]
_annotated["metadata"] |= _rollback["metadata"]
_EARLIER: dict[str, tuple[str, str, ProbeRequest]] = {
    "a new revision": ("write", "ControllerRevision forged", create("controllerrevisions", _revision)),
    "a label of a revision": (
        "write",
        "ControllerRevision old",
        patch("controllerrevisions", "old", {"metadata": {"labels": {"app": "other"}}}),
    ),
    "a rollback by annotation": ("write", "Deployment old", patch("deployments", "old", _rollback)),
    "a pause": ("write", "Deployment old", patch("deployments", "old", {"spec": {"paused": True}})),
    "a ReplicaSet of another owner": (
        "write",
        "ReplicaSet old",
        patch("replicasets", "old", {"metadata": {"ownerReferences": [OWNER]}}),
    ),
    "another label": ("write", "ReplicaSet old", patch("replicasets", "old", {"metadata": {"labels": {"app": "x"}}})),
    "a finalizer of a ReplicaSet": (
        "write",
        "ReplicaSet old",
        patch("replicasets", "old", {"metadata": {"finalizers": ["example.com/keep"]}}),
    ),
    "more replicas": ("write", "ReplicaSet old", patch("replicasets", "old", {"spec": {"replicas": 1}})),
    "more replicas by scale": ("write", "Scale old", patch("replicasets", "old/scale", {"spec": {"replicas": 1}})),
    "without the current revision": ("delete", "ReplicaSet old", remove("replicasets", "old")),
    "a Deployment that Helm keeps": (
        "write",
        "Deployment old",
        patch("deployments", "old", {"metadata": {"annotations": {"helm.sh/resource-policy": "keep"}}}),
    ),
    "a pod of another owner": (
        "write",
        "Pod simple",
        patch("pods", "simple", {"metadata": {"ownerReferences": [OWNER]}}),
    ),
    "a pod without a label": ("write", "Pod simple", patch("pods", "simple", {"metadata": {"labels": {"app": None}}})),
    "a pod with another label": (
        "write",
        "Pod simple",
        patch("pods", "simple", {"metadata": {"labels": {"app": "x"}}}),
    ),
    "a pod that is evicted in years": (
        "write",
        "Eviction simple",
        create(
            "pods/simple/eviction",
            {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": "simple"},
                "deleteOptions": {"gracePeriodSeconds": 315_360_000},
            },
        ),
    ),
    "dependents that stay, in the old spelling": (
        "delete",
        "Deployment old",
        remove("deployments", "old", orphanDependents=True),
    ),
}
for _resource, _kind in (
    ("deployments", "Deployment"),
    ("statefulsets", "StatefulSet"),
    ("daemonsets", "DaemonSet"),
    ("jobs", "Job"),
    ("cronjobs", "CronJob"),
    ("replicationcontrollers", "ReplicationController"),
):
    _EARLIER[f"dependents of {_resource} that stay"] = (
        "delete",
        f"{_kind} old",
        remove(_resource, "old", propagationPolicy="Orphan"),
    )
    _EARLIER[f"a finalizer of {_resource}"] = (
        "write",
        f"{_kind} old",
        patch(_resource, "old", {"metadata": {"finalizers": ["example.com/keep"]}}),
    )
    _EARLIER[f"dependents of {_resource} that will stay"] = (
        "write",
        f"{_kind} old",
        patch(_resource, "old", {"metadata": {"finalizers": ["orphan"]}}),
    )
for title, (verb, what, request) in _EARLIER.items():
    for who in ("dev", "user of a", "user elsewhere", "almost remover"):
        REVISIONS.refuses(
            title,
            who,
            request,
            f"@$ns may not {verb} {what} so that an earlier revision could run as an agent, or outlive an upgrade: "
            "this requires the verb use on all agents of $ns. To allow the request: "
            f'guards: {{deployers: [{{kind: User, name: "{who.replace(" ", "-")}@$ns"}}]}}{END}',
        )
    REVISIONS.refuses(title, "add-on", request, f":add-on-$ns may not {verb} {what}")
    for who in ("user of all", "remover", "controller", "administrator"):
        REVISIONS.admits(title, who, request)
_kept = workload("deployments", "a", **NOWHERE)[1]
_kept["metadata"] |= {"annotations": {"helm.sh/resource-policy": "keep"}}
_final = workload("deployments", "a", **NOWHERE)[1]
_final["metadata"] |= {"finalizers": ["example.com/keep"]}
for title, made in (
    ("the annotation", _annotated),
    ("a pause", _paused),
    ("the annotation of Helm", _kept),
    ("a finalizer", _final),
):
    REVISIONS.refuses(
        f"a new Deployment with {title}", "user of a", create("deployments", made), "write Deployment p so"
    )
    REVISIONS.admits(f"a new Deployment with {title}", "user of all", create("deployments", made))
for title, (_, _, request) in list(_EARLIER.items())[:1]:
    REVISIONS.admits(title, "controller manager", request)
REVISIONS.admits("a new revision elsewhere", "dev", create("controllerrevisions", _revision, ELSEWHERE))
REVISIONS.admits("a pause that was there", "dev", patch("deployments", "paused", {"spec": {"replicas": 0}}))
REVISIONS.admits("an end of a pause", "dev", patch("deployments", "paused", {"spec": {"paused": False}}))
REVISIONS.admits("a note on a ReplicaSet", "dev", patch("replicasets", "old", {"metadata": _NOTE}))
REVISIONS.admits("fewer replicas of a ReplicaSet", "dev", patch("replicasets", "two", {"spec": {"replicas": 0}}))
REVISIONS.admits("a Deployment that goes", "dev", remove("deployments", "old"))
for _resource in ("deployments", "statefulsets", "jobs", "cronjobs", "replicationcontrollers"):
    REVISIONS.admits(f"{_resource} that go", "dev", remove(_resource, "old", propagationPolicy="Background"))
REVISIONS.admits(
    "a Deployment that goes, in the old spelling", "dev", remove("deployments", "old", orphanDependents=False)
)
REVISIONS.admits("another annotation of a Deployment", "dev", patch("deployments", "old", {"metadata": _NOTE}))
_relabelled = patch("pods", "simple", {"metadata": {"labels": {"app": "x"}}})
REVISIONS.admits("another label of its own pod", "agent a", _relabelled)
REVISIONS.refuses(
    "another label of its namesake's pod", "a of elsewhere", _relabelled, ":a may not write Pod simple so"
)
REVISIONS.refuses("another label by impersonation", "impersonated a", _relabelled, "simple", also=("impersonation",))
REVISIONS.admits("one more label", "dev", patch("pods", "simple", {"metadata": {"labels": {"more": "x"}}}))
REVISIONS.admits(
    "another label elsewhere", "dev", patch("pods", "a", {"metadata": {"labels": {"app": "x"}}}, ELSEWHERE)
)
