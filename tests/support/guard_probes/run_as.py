"""guards.runAs: who may run what as an agent."""

from typing import Any

from support.guard_probes.model import ELSEWHERE, END, PER_AGENT, PER_TIER, ProbeRequest, Table, create, patch
from support.guard_probes.stage import NOWHERE
from support.server import Json
from support.workloads import RESOURCES, workload

TABLE = Table("runAs", "run-as")
REVISIONS = Table("runAs", "run-as-revisions")
_IMAGE = {"name": "c", "image": "registry.example/mine:1"}
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
            " ServiceAccount. To allow the request: "
            f'guards: {{deployers: [{{kind: User, name: "{who}@$ns", agents: [{account}]}}]}}{END}'
        ),
    )


for resource in RESOURCES:
    TABLE.refuses(f"{resource} as an agent", "dev", run(resource, "a"), *_may_not(resource, "a"))
    TABLE.refuses(
        f"{resource} as another agent than one's own", "user of a", run(resource, "b"), "as the agent b: this requires"
    )
    TABLE.admits(f"{resource} as the agent that it may use", "user of a", run(resource, "a"))
    TABLE.admits(f"{resource} as another account", "dev", run(resource, "operator"))
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
    TABLE.admits(f"{resource}: a label", "dev", patch(resource, old, {"metadata": {"labels": {"seen": "yes"}}}))
    if resource not in ("pods",):
        TABLE.admits(f"{resource} without an account", "dev", run(resource, None))

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
TABLE.admits(
    "a template that is an agent's no more", "dev", patch("deployments", "old", of_template("deployments", _to_default))
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
_forge = create("controllerrevisions", _revision)
_relabel = patch("controllerrevisions", "old", {"metadata": {"labels": {"app": "other"}}})
for title, request, name in (("a new revision", _forge, "forged"), ("a label of a revision", _relabel, "old")):
    for who in ("dev", "user of a", "user elsewhere", "almost remover"):
        REVISIONS.refuses(
            title,
            who,
            request,
            f"@$ns may not write the ControllerRevision {name}, which a StatefulSet could run as an agent: this "
            "requires the verb use on all ServiceAccounts of $ns. To allow the request: "
            f'guards: {{deployers: [{{kind: User, name: "{who.replace(" ", "-")}@$ns"}}]}}{END}',
        )
    for who in ("user of all", "remover", "controller", "administrator"):
        REVISIONS.admits(title, who, request)
REVISIONS.admits("a new revision", "controller manager", _forge)
REVISIONS.admits("a new revision elsewhere", "dev", create("controllerrevisions", _revision, ELSEWHERE))
