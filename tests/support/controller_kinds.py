"""Kinds of controllers that create pods, as small CustomResourceDefinitions: only the fields that name an account.

Written from the definitions and the controllers of the projects, August 2026; independent of the chart's
files/controllers.json, so that the API server prunes a path that only the catalogue has. No controller runs here.

A path has [] for the items of a list and {} for the values of a map.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from support.server import Json, Server, eventually

DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POD: Final = ("serviceAccountName", "serviceAccount")


def spellings(path: str) -> tuple[tuple[str, Any], ...]:
    """Other spellings of a field of an object without a schema, which Go reads as the field: by case, by folding."""
    above, field = path.rsplit(".", 1)
    return tuple(
        (above, {other: "triage"}) for other in (field.capitalize(), field.upper(), field.replace("s", "\u017f"))
    )


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind in one version. ``names``: paths of names of accounts, or of objects that name one; ``opaque``: (path,
    value) that can name every account; ``harmless``: (path, value) that name none.

    ``own``: the accounts that a controller uses for an object with the name triage that names none.
    ``referred``: other kinds refer to it by name. ``unknown``: paths below which the definition keeps all fields.
    ``base``: what every object has, as the definition or a webhook of the project sets it.
    """

    controller: str
    kind: str
    resource: str
    group: str
    version: str
    names: tuple[str, ...] = ()
    opaque: tuple[tuple[str, Any], ...] = ()
    harmless: tuple[tuple[str, Any], ...] = ()
    own: tuple[str, ...] = ()
    referred: bool = False
    unknown: tuple[str, ...] = ()
    base: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.controller} {self.kind} {self.version}"

    def path(self, namespace: str) -> str:
        return f"/apis/{self.group}/{self.version}/namespaces/{namespace}/{self.resource}"

    def body(self, *fields: tuple[str, Any], name: str = "triage") -> Json:
        """An object with these fields."""
        made: Json = {"apiVersion": f"{self.group}/{self.version}", "kind": self.kind, "metadata": {"name": name}}
        for path, value in (*self.base, *fields):
            _put(made, path, value)
        return made

    @property
    def schema(self) -> Json:
        root: Json = {"type": "object", "properties": {}}
        fields = [(path, "triage") for path in self.names] + [*self.opaque, *self.harmless, *self.base]
        for path, value in fields:
            known = next((up for up in self.unknown if path.startswith(f"{up}.")), None)
            _describe(root, known or path, {} if known else value)
        return root


def _segments(path: str) -> Iterator[tuple[str, str]]:
    """(field, "[]", "[][]", "{}" or "") of a path."""
    for segment in path.split("."):
        field = segment.rstrip("[]{}")
        yield field, segment[len(field) :]


def _put(made: Json, path: str, value: Any) -> None:
    *above, (last, _) = _segments(path)
    here: Any = made
    for field, marker in above:
        if marker == "{}":
            here = here.setdefault(field, {}).setdefault("Launcher", {})
        elif marker:
            depth = len(marker) // 2
            items = here.setdefault(field, [[{}]] if depth == 2 else [{}])
            here = items[0][0] if depth == 2 else items[0]
        else:
            here = here.setdefault(field, {})
    here[last] = value


def _describe(root: Json, path: str, value: Any) -> None:
    here = root
    segments = list(_segments(path))
    for number, (field, marker) in enumerate(segments):
        leaf = number == len(segments) - 1
        here = here.setdefault("properties", {})
        if leaf:
            here.setdefault(field, _type(value))
            return
        if marker == "{}":
            here = here.setdefault(field, {"type": "object", "additionalProperties": {"type": "object"}})
            here = here["additionalProperties"]
        elif marker == "[][]":
            inner = {"type": "array", "items": {"type": "object"}}
            here = here.setdefault(field, {"type": "array", "items": inner})["items"]["items"]
        elif marker:
            here = here.setdefault(field, {"type": "array", "items": {"type": "object"}})["items"]
        else:
            here = here.setdefault(field, {"type": "object"})


def _type(value: Any) -> Json:
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, dict | list):
        return {"type": "array" if isinstance(value, list) else "object", **_anything(value)}
    return {"type": "string"}


def _anything(value: Any) -> Json:
    keep: Json = {"x-kubernetes-preserve-unknown-fields": True}
    return keep if isinstance(value, dict) else {"items": {"type": "object"} | keep}


def _pods(*above: str) -> tuple[str, ...]:
    return tuple(f"{path}.{field}" for path in above for field in POD)


# ---- Argo Workflows

_TEXT: Final = '{"serviceAccountName": "triage"}'
_GC: Final = "artifactGC.serviceAccountName"
_BODY: Final = (
    "serviceAccountName",
    "executor.serviceAccountName",
    f"inputs.artifacts[].{_GC}",
    f"outputs.artifacts[].{_GC}",
    f"data.source.artifactPaths.{_GC}",
    f"resource.manifestFrom.artifact.{_GC}",
)
_STEPS: Final = ("dag.tasks[]", "steps[][]")


def _workflow(root: str, *, spelled: bool = False) -> dict[str, Any]:
    """The paths of the specification of a workflow; spelled: with other spellings of the fields of inline templates."""
    names = [f"{root}.{path}" for path in ("serviceAccountName", "executor.serviceAccountName", _GC)]
    names += [f"{root}.arguments.artifacts[].{_GC}", f"{root}.workflowTemplateRef.name"]
    names += [f"{root}.hooks{{}}.arguments.artifacts[].{_GC}", f"{root}.hooks{{}}.templateRef.name"]
    opaque: list[tuple[str, Any]] = [
        (f"{root}.podSpecPatch", _TEXT),
        (f"{root}.artifactGC.podSpecPatch", _TEXT),
        (f"{root}.executorPlugins[].spec.sidecar.automountServiceAccountToken", True),
        (f"{root}.workflowTemplateRef.clusterScope", True),
        (f"{root}.hooks{{}}.templateRef.clusterScope", True),
    ]
    unknown = []
    for template in (f"{root}.templates[]", f"{root}.templateDefaults"):
        names += [f"{template}.{path}" for path in _BODY]
        opaque.append((f"{template}.podSpecPatch", _TEXT))
        for step in (f"{template}.{path}" for path in _STEPS):
            unknown.append(f"{step}.inline")
            for hook in (step, f"{step}.hooks{{}}"):
                names += [f"{hook}.arguments.artifacts[].{_GC}", f"{hook}.templateRef.name"]
                opaque.append((f"{hook}.templateRef.clusterScope", True))
            names += [f"{step}.inline.{path}" for path in _BODY]
            opaque.append((f"{step}.inline.podSpecPatch", _TEXT))
            for field in ("serviceAccountName", "podSpecPatch", "executor.serviceAccountName") if spelled else ():
                opaque += spellings(f"{step}.inline.{field}")
            opaque.append((f"{step}.inline.dag.tasks", [{"name": "t", "inline": {"serviceAccountName": "triage"}}]))
            opaque.append((f"{step}.inline.steps", [[{"name": "t", "inline": {"serviceAccountName": "triage"}}]]))
    harmless: tuple[tuple[str, Any], ...] = (
        (f"{root}.entrypoint", "main"),
        (f"{root}.templates[].name", "main"),
        (f"{root}.podSpecPatch", ""),
    )
    return {"names": tuple(names), "opaque": tuple(opaque), "unknown": tuple(unknown), "harmless": harmless}


def _argo() -> Iterator[Kind]:
    def kind(name: str, **fields: Any) -> Kind:
        return Kind("argo-workflows", name, f"{name.lower()}s", "argoproj.io", "v1alpha1", **fields)

    spec, spelled = _workflow("spec"), _workflow("spec", spelled=True)
    stored = ("status.storedTemplates", {"x": {"serviceAccountName": "triage"}})
    whole = ("status.storedWorkflowTemplateSpec", {"serviceAccountName": "triage"})
    results = (f"status.nodes{{}}.inputs.artifacts[].{_GC}", f"status.nodes{{}}.outputs.artifacts[].{_GC}")
    names = (*spec["names"], *results, f"status.outputs.artifacts[].{_GC}")
    yield kind("Workflow", **spec | {"names": names, "opaque": (*spelled["opaque"], stored, whole)})
    yield kind("WorkflowTemplate", **spec, referred=True)
    yield kind("CronWorkflow", **_workflow("spec.workflowSpec"))
    submit = "spec.submit"
    yield kind(
        "WorkflowEventBinding",
        names=(f"{submit}.workflowTemplateRef.name", f"{submit}.arguments.artifacts[].{_GC}"),
        opaque=((f"{submit}.workflowTemplateRef.clusterScope", True),),
        harmless=(("spec.event.selector", "true"),),
    )
    yield kind("WorkflowTaskSet", names=results, opaque=(("spec.tasks", {"x": {"name": "x"}}),))
    yield kind("WorkflowTaskResult", names=(f"outputs.artifacts[].{_GC}",), harmless=(("outputs.result", "x"),))
    yield kind("WorkflowArtifactGCTask", opaque=(("spec.artifactsByNode", {"x": {"artifacts": {}}}),))


# ---- the others


def _agent_sandbox() -> Iterator[Kind]:
    for version in ("v1beta1", "v1alpha1"):
        more = ("agent-sandbox", "extensions.agents.x-k8s.io", version)

        def extension(name: str, of: tuple[str, str, str] = more, **fields: Any) -> Kind:
            return Kind(of[0], name, f"{name.lower()}s", of[1], of[2], **fields)

        pods, template = _pods("spec.podTemplate.spec"), "spec.sandboxTemplateRef.name"
        yield Kind("agent-sandbox", "Sandbox", "sandboxes", "agents.x-k8s.io", version, pods)
        yield extension("SandboxTemplate", names=pods, referred=True)
        yield extension("SandboxWarmPool", names=(template,), referred=True)
        if version == "v1beta1":
            yield extension("SandboxClaim", names=("spec.warmPoolRef.name",))
        else:
            harmless = tuple(("spec.warmpool", value) for value in ("none", "default"))
            yield extension("SandboxClaim", names=(template,), opaque=(("spec.warmpool", "pool"),), harmless=harmless)


def _kubeflow() -> Iterator[Kind]:
    group = "kubeflow.org"
    yield Kind("kubeflow-katib", "Experiment", "experiments", group, "v1beta1", opaque=(("spec.trialTemplate", {}),))
    yield Kind("kubeflow-katib", "Trial", "trials", group, "v1beta1", opaque=(("spec.runSpec", {}),))
    yield Kind("kubeflow-katib", "Suggestion", "suggestions", group, "v1beta1", opaque=(("spec.algorithm", {}),))
    yield Kind("kubeflow-notebooks", "Notebook", "notebooks", group, "v1", _pods("spec.template.spec"))
    yield Kind(
        "kubeflow-pipelines",
        "ScheduledWorkflow",
        "scheduledworkflows",
        group,
        "v1beta1",
        ("spec.serviceAccount",),
        (("spec.workflow", {"spec": "text"}), *spellings("spec.serviceAccount"), *spellings("spec.workflow")),
        (("spec.enabled", True),),
        unknown=("spec",),
    )
    for name in ("JAX", "MPI", "Paddle", "PyTorch", "TF", "XGBoost"):
        field = {"XGBoost": "xgb"}.get(name, name.lower())
        pods = _pods(f"spec.{field}ReplicaSpecs{{}}.template.spec")
        own = ("triage-launcher",) if name == "MPI" else ()
        yield Kind("kubeflow-training-operator", f"{name}Job", f"{name.lower()}jobs", group, "v1", pods, own=own)
    trainer = ("trainer.kubeflow.org", "v1alpha1")
    jobs = "template.spec.replicatedJobs[].template.spec.template.spec"

    def train(root: str) -> dict[str, Any]:
        names = ("podSpecOverrides[].serviceAccountName", "podTemplateOverrides[].spec.serviceAccountName")
        patch = f"runtimePatches[].trainingRuntimeSpec.{jobs}.serviceAccountName"
        return {
            "names": tuple(f"{root}.{name}" for name in (*names, patch, "runtimeRef.name")),
            "opaque": ((f"{root}.runtimeRef.kind", "ClusterTrainingRuntime"),),
            "base": ((f"{root}.runtimeRef.kind", "TrainingRuntime"),),
        }

    yield Kind("kubeflow-trainer", "TrainJob", "trainjobs", *trainer, **train("spec"))
    yield Kind(
        "kubeflow-trainer", "OptimizationJob", "optimizationjobs", *trainer, **train("spec.trainJobTemplate.spec")
    )
    yield Kind(
        "kubeflow-trainer", "TrainingRuntime", "trainingruntimes", *trainer, _pods(f"spec.{jobs}"), referred=True
    )


def _ray() -> Iterator[Kind]:
    def cluster(root: str) -> tuple[str, ...]:
        return _pods(f"{root}.headGroupSpec.template.spec", f"{root}.workerGroupSpecs[].template.spec")

    def job(root: str) -> tuple[str, ...]:
        return (*cluster(f"{root}.rayClusterSpec"), *_pods(f"{root}.submitterPodTemplate.spec"))

    for version in ("v1", "v1alpha1"):
        scaling = (("spec.enableInTreeAutoscaling", False),)
        yield Kind("kuberay", "RayCluster", "rayclusters", "ray.io", version, cluster("spec"), harmless=scaling)
        running = (("spec.clusterSelector", {"ray.io/cluster": "triage"}),)  # runs code in a cluster that runs
        yield Kind("kuberay", "RayJob", "rayjobs", "ray.io", version, job("spec"), running)
        yield Kind("kuberay", "RayService", "rayservices", "ray.io", version, cluster("spec.rayClusterConfig"))
    yield Kind("kuberay", "RayCronJob", "raycronjobs", "ray.io", "v1", job("spec.jobTemplate"))


def _tekton() -> Iterator[Kind]:
    for version in ("v1", "v1beta1"):
        of = ("tekton.dev", version)
        yield Kind("tekton", "TaskRun", "taskruns", *of, ("spec.serviceAccountName",))
        if version == "v1":
            names = ("spec.taskRunTemplate.serviceAccountName", "spec.taskRunSpecs[].serviceAccountName")
        else:
            names = ("spec.serviceAccountName", "spec.taskRunSpecs[].taskServiceAccountName")
        yield Kind("tekton", "PipelineRun", "pipelineruns", *of, names)
        for name in ("Task", "Pipeline"):
            yield Kind("tekton", name, f"{name.lower()}s", *of, referred=True)
    beta = ("tekton.dev", "v1beta1")
    yield Kind("tekton", "CustomRun", "customruns", *beta, ("spec.serviceAccountName",))
    yield Kind("tekton", "StepAction", "stepactions", *beta, referred=True)


def _toolhive() -> Iterator[Kind]:
    pods, account = _pods("spec.podTemplateSpec.spec"), "spec.serviceAccount"
    for name, own in (
        ("MCPServer", ("triage-sa", "triage-proxy-runner")),
        ("MCPRemoteProxy", ("triage-remote-proxy-runner",)),
        ("VirtualMCPServer", ("triage-vmcp",)),
        ("MCPRegistry", ("triage-registry-api",)),
        ("EmbeddingServer", ()),
    ):
        resource = {"MCPRemoteProxy": "mcpremoteproxies", "MCPRegistry": "mcpregistries"}
        names = pods if name in ("MCPRegistry", "EmbeddingServer") else (account, *pods)
        for version in ("v1beta1", "v1alpha1"):
            yield Kind(
                "toolhive",
                name,
                resource.get(name, f"{name.lower()}s"),
                "toolhive.stacklok.dev",
                version,
                names,
                (*spellings(pods[0]), *spellings(pods[1]), ("spec.podTemplateSpec.Spec", {POD[0]: "triage"})),
                own=own,
                unknown=("spec.podTemplateSpec",),
            )


def _kagent() -> Iterator[Kind]:
    fields = tuple(f"spec.{how}.deployment.serviceAccountName" for how in ("declarative", "byo"))
    for name in ("Agent", "SandboxAgent"):
        yield Kind("kagent", name, f"{name.lower()}s", "kagent.dev", "v1alpha2", fields, own=("triage",))
    account = ("spec.deployment.serviceAccountName",)
    yield Kind("kmcp", "MCPServer", "mcpservers", "kagent.dev", "v1alpha1", account, own=("triage",))


def _kruise() -> Iterator[Kind]:
    of = ("agents.kruise.io", "v1alpha1")
    pods, template, unknown = _pods("spec.template.spec"), "spec.templateRef.name", ("spec.template",)
    who = "openkruise-agents"
    yield Kind(who, "Sandbox", "sandboxes", *of, (*pods, template), unknown=unknown)
    yield Kind(who, "SandboxSet", "sandboxsets", *of, (*pods, template), referred=True, unknown=unknown)
    other = (*spellings(pods[0]), *spellings("spec.template.spec"))
    yield Kind(who, "SandboxTemplate", "sandboxtemplates", *of, pods, other, referred=True, unknown=unknown)
    yield Kind(who, "SandboxClaim", "sandboxclaims", *of, ("spec.templateName",))
    yield Kind(who, "SandboxUpdateOps", "sandboxupdateops", *of, opaque=(("spec.patch", {"spec": {}}),))


def _single() -> Iterator[Kind]:
    jobs = _pods("spec.replicatedJobs[].template.spec.template.spec")
    yield Kind("jobset", "JobSet", "jobsets", "jobset.x-k8s.io", "v1alpha2", jobs)
    for version in ("v1beta1", "v1beta2"):
        workload = _pods("spec.podSets[].template.spec")
        yield Kind("kueue", "Workload", "workloads", "kueue.x-k8s.io", version, workload)
    keda = ("keda.sh", "v1alpha1")
    yield Kind("keda", "ScaledJob", "scaledjobs", *keda, _pods("spec.jobTargetRef.template.spec"))
    yield Kind(
        "keda",
        "ScaledObject",
        "scaledobjects",
        *keda,
        opaque=(("spec.scaleTargetRef.kind", "ReplicaSet"),),
        harmless=tuple(("spec.scaleTargetRef.kind", kind) for kind in ("Deployment", "StatefulSet")),
    )
    tokens = ("spec.boundServiceAccountToken[].serviceAccountName", "spec.hashiCorpVault.credential.serviceAccountName")
    yield Kind("keda", "TriggerAuthentication", "triggerauthentications", *keda, tokens)
    knative = ("serving.knative.dev", "v1")
    for name in ("Service", "Configuration"):
        account = ("spec.template.spec.serviceAccountName",)
        yield Kind("knative-serving", name, f"{name.lower()}s", *knative, account)
    yield Kind("knative-serving", "Revision", "revisions", *knative, ("spec.serviceAccountName",))


KINDS: Final = (
    *_agent_sandbox(),
    *_argo(),
    *_kagent(),
    *_kruise(),
    *_kubeflow(),
    *_ray(),
    *_single(),
    *_tekton(),
    *_toolhive(),
)


def definitions(*kinds: Kind) -> list[Json]:
    """The CustomResourceDefinitions of kinds; one for all versions of a kind."""
    made: dict[str, Json] = {}
    for kind in kinds:
        names = {"kind": kind.kind, "listKind": f"{kind.kind}List", "plural": kind.resource}
        names["singular"] = kind.kind.lower()
        spec = {"group": kind.group, "names": names, "scope": "Namespaced", "versions": []}
        name = f"{kind.resource}.{kind.group}"
        versions = made.setdefault(name, {"metadata": {"name": name}, "spec": spec})["spec"]["versions"]
        if name.endswith(".x-k8s.io"):  # a protected group
            annotations = {"api-approved.kubernetes.io": "unapproved, a part of the definition for tests"}
            made[name]["metadata"]["annotations"] = annotations
        schema = {"openAPIV3Schema": kind.schema}
        versions.append({"name": kind.version, "served": True, "storage": not versions, "schema": schema})
    return list(made.values())


def define(server: Server, *kinds: Kind) -> None:
    """Makes an API server serve kinds, and waits until it does. It may do so already."""
    for definition in definitions(*kinds):
        status, answer = server.request("POST", DEFINITIONS, definition)
        assert status in (201, 409), answer
    for kind in kinds:
        url = f"{server.client.url}{kind.path('default')}"
        eventually(lambda url=url: server.client.session.get(url, timeout=30).status_code == 200)  # type: ignore[misc]


def remove(server: Server, *kinds: Kind) -> None:
    """Removes the definitions, and waits until they are gone."""
    names = {definition["metadata"]["name"] for definition in definitions(*kinds)}
    for name in names:
        server.delete(f"{DEFINITIONS}/{name}")
    eventually(lambda: not names & server.names(DEFINITIONS))
