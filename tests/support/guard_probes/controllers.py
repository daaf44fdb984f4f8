"""guards.controllers: who may write custom resources from which controllers run pods as agents."""

from typing import Any

from support.controller_kinds import KINDS, Kind
from support.guard_probes.model import DRY, ELSEWHERE, END, HERE, PER_AGENT, ProbeRequest, Table
from support.server import Json

TABLE = Table("runAs", "run-as-controllers")
PROBED = tuple(
    kind
    for kind in KINDS
    if (kind.controller, kind.kind, kind.version)
    in {
        ("agent-sandbox", "Sandbox", "v1beta1"),
        ("agent-sandbox", "SandboxTemplate", "v1beta1"),
        ("agent-sandbox", "SandboxClaim", "v1alpha1"),
        ("argo-workflows", "Workflow", "v1alpha1"),
        ("kubeflow-training-operator", "MPIJob", "v1"),
        ("kuberay", "RayCluster", "v1"),
        ("tekton", "TaskRun", "v1"),
    }
)
"""The kinds that the API server must serve: each way to write a path, and each way to imply an account."""
OF = {kind.kind: kind for kind in PROBED}
ON: dict[str, Any] = {"modes": (PER_AGENT,)}
_LAUNCHER = ("spec.mpiReplicaSpecs{}.template.spec.serviceAccountName", "b")
_SCALED = ("spec.enableInTreeAutoscaling", True)
_HEAD = ("spec.headGroupSpec.template.spec.serviceAccountName", "b")


def write(kind: Kind, *fields: tuple[str, Any], name: str = "a", namespace: str = HERE) -> ProbeRequest:
    return ProbeRequest("POST", kind.path(namespace) + DRY, kind.body(*fields, name=name))


def merge(kind: Kind, change: Json) -> ProbeRequest:
    """A change of the object that stands."""
    return ProbeRequest("MERGE", f"{kind.path(HERE)}/standing{DRY}", change)


def standing() -> list[tuple[str, Json]]:
    """The objects that probes change."""
    return [(OF["Workflow"].path(HERE), OF["Workflow"].body(_ACCOUNT, name="standing"))]


def _may_not(kind: str, accounts: str, name: str = "a", who: str = "dev") -> tuple[str, ...]:
    return (
        f"{who}@$ns may not write the {kind} {name}, from which a controller runs pods as the agent {accounts}: this",
        " requires the verb use on the agent. To allow the request: ",
        f'guards: {{deployers: [{{kind: User, name: "{who}@$ns", agents: [{accounts}]}}]}}{END}',
    )


_ANY = (
    "from which a controller runs pods as any agent: this requires the verb use on all agents of $ns. To allow",
    ' the request: guards: {deployers: [{kind: User, name: "',
    f'"}}]}}{END}',
)
_ACCOUNT = ("spec.serviceAccountName", "a")
for kind in PROBED:
    for path in kind.names:
        own = "a-launcher" if kind.kind == "MPIJob" and not path.endswith("Name") else ""
        asked = ", ".join(dict.fromkeys(filter(None, ("a", own))))
        TABLE.refuses(path, "dev", write(kind, (path, "a")), *_may_not(kind.kind, asked), **ON)
        if not own:
            TABLE.admits(path, "user of a", write(kind, (path, "a")), **ON)
        TABLE.refuses(path, "user of a", write(kind, (path, "b")), "requires the verb use on the agent", "b", **ON)
        TABLE.admits(path, "user of all", write(kind, (path, "b")), **ON)
    for path, value in kind.opaque:
        for who in ("dev", "user of a"):
            TABLE.refuses(f"{path}, any account", who, write(kind, (path, value)), *_ANY, **ON)
        TABLE.admits(f"{path}, any account", "user of all", write(kind, (path, value)), **ON)
    for path, value in kind.harmless:
        TABLE.admits(f"{path}: {value}", "user of a", write(kind, (path, value)), **ON)

_SANDBOX = OF["Sandbox"]
_POD = (_SANDBOX.names[0], "a")
for who in ("user of all", "remover", "controller", "controller manager", "administrator", "agent a", "workflows"):
    TABLE.admits("an agent's Sandbox", who, write(_SANDBOX, _POD), **ON)
for who in ("almost remover", "user elsewhere", "add-on", "a of elsewhere", "wildcards of Kubernetes"):
    TABLE.refuses("an agent's Sandbox", who, write(_SANDBOX, _POD), "pods as the agent a: this requires", **ON)
TABLE.refuses(
    "an agent's Sandbox by impersonation",
    "impersonated a",
    write(_SANDBOX, _POD),
    "pods as the agent a: this requires",
    also=("impersonation",),
    **ON,
)
TABLE.admits("a Sandbox elsewhere", "dev", write(_SANDBOX, _POD, namespace=ELSEWHERE), **ON)
TABLE.admits("a Sandbox without an account", "dev", write(_SANDBOX), **ON)
TABLE.admits("a Sandbox as default", "dev", write(_SANDBOX, (_SANDBOX.names[0], "default")), **ON)
TABLE.refuses("a template by its name", "dev", write(OF["SandboxTemplate"]), *_may_not("SandboxTemplate", "a"), **ON)
TABLE.admits("a template by its name", "user of a", write(OF["SandboxTemplate"]), **ON)
TABLE.refuses(
    "a template of another name", "user of a", write(OF["SandboxTemplate"], _POD, name="x"), "the agent a, x: ", **ON
)
TABLE.refuses("the launcher", "dev", write(OF["MPIJob"]), *_may_not("MPIJob", "a-launcher"), **ON)
TABLE.refuses("a launcher as an agent", "user of a", write(OF["MPIJob"], _LAUNCHER), "the agent b: this", **ON)
TABLE.admits("a cluster without autoscaling", "dev", write(OF["RayCluster"]), **ON)
TABLE.refuses("the autoscaler", "dev", write(OF["RayCluster"], _SCALED), *_may_not("RayCluster", "a"), **ON)
TABLE.refuses("an autoscaler as b", "user of a", write(OF["RayCluster"], _SCALED, _HEAD), "the agent b: this", **ON)
TABLE.refuses("the default of the values", "dev", write(OF["TaskRun"], name="x"), *_may_not("TaskRun", "b", "x"), **ON)
TABLE.admits("no default", "user of a", write(OF["TaskRun"], _ACCOUNT), **ON)

_WORKFLOW = OF["Workflow"]
_TEMPLATES = "spec.templates"


def _templates(*accounts: str) -> tuple[str, Any]:
    return _TEMPLATES, [{"serviceAccountName": one} for one in accounts]


_MANY = [f"x{number}" for number in range(9)]
TABLE.refuses("two accounts", "user of a", write(_WORKFLOW, _templates("a", "b", "a")), "the agent a, b: this", **ON)
TABLE.refuses(
    "eight accounts", "dev", write(_WORKFLOW, _templates(*_MANY[:8])), "x0, x1, x2, x3, x4, x5, x6, x7: ", **ON
)
TABLE.refuses("nine accounts", "user of a", write(_WORKFLOW, _templates(*_MANY)), *_ANY, **ON)
TABLE.admits("nine accounts", "user of all", write(_WORKFLOW, _templates(*_MANY)), **ON)
TABLE.admits("one account nine times", "user of a", write(_WORKFLOW, _templates(*["a"] * 9)), **ON)
for place in range(8):
    mine = [*_MANY[:place], "b", *_MANY[place:7]]
    TABLE.refuses(
        f"b in place {place}",
        "user of x",
        write(_WORKFLOW, _templates(*mine)),
        *_may_not("Workflow", ", ".join(mine), who="user-of-x"),
        **ON,
    )
TABLE.admits("eight accounts", "user of x", write(_WORKFLOW, _templates(*_MANY[:8])), **ON)
TABLE.refuses("the star", "user of a", write(_WORKFLOW, ("spec.serviceAccountName", "*")), *_ANY, **ON)
TABLE.refuses("the star as a name", "user of x", write(_WORKFLOW, ("spec.serviceAccountName", "*")), *_ANY, **ON)

TABLE.admits("a label", "dev", merge(_WORKFLOW, {"metadata": {"labels": {"x": "y"}}}), **ON)
for title, change in (
    ("another entry point", {"spec": {"entrypoint": "x"}}),
    ("another account", {"spec": {"serviceAccountName": "b"}}),
    ("stored templates", {"status": {"storedTemplates": {"x": {}}}}),
    (
        "an artifact",
        {"status": {"nodes": {"x": {"outputs": {"artifacts": [{"artifactGC": {"serviceAccountName": "b"}}]}}}}},
    ),
    ("a stored specification", {"status": {"storedWorkflowTemplateSpec": {"x": {}}}}),
):
    TABLE.refuses(title, "dev", merge(_WORKFLOW, change), "Workflow standing", "requires the verb use on", **ON)
    TABLE.admits(title, "workflows", merge(_WORKFLOW, change), **ON)
    if title != "another account":  # its agents are b
        TABLE.refuses(title, "impersonated workflows", merge(_WORKFLOW, change), "requires the verb use on", **ON)
TABLE.admits("another entry point", "user of a", merge(_WORKFLOW, {"spec": {"entrypoint": "x"}}), **ON)
