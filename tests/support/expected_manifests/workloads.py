"""ServiceAccounts, and the Deployments that run as them."""

from collections.abc import Iterator

from agent_identities.declaration import TokenSettings
from support.expected_manifests.plan import Agent, Json, Plan

OF_THE_POD = (
    "affinity",
    "nodeSelector",
    "priorityClassName",
    "runtimeClassName",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
)
OF_THE_CONTAINER = (
    "args",
    "command",
    "env",
    "envFrom",
    "imagePullPolicy",
    "livenessProbe",
    "ports",
    "readinessProbe",
    "resources",
    "restartPolicy",
    "startupProbe",
)
CONTAINER_SECURITY: Json = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def accounts(plan: Plan) -> Iterator[Json]:
    """The ServiceAccount of the proxy, and of each agent whose account the chart creates."""
    yield _account(plan, plan.proxy["name"], plan.proxy.get("labels") or {}, plan.proxy.get("annotations") or {})
    for agent in plan.agents:
        if agent.identity.created:
            labels = {**agent.labels, **(agent.given.get("labels") or {})}
            annotations = {**(agent.given.get("annotations") or {}), **_for_clouds(agent)}
            yield _account(plan, agent.name, labels, annotations, automount=agent.token.mode == "automount")


def _account(plan: Plan, name: str, labels: Json, annotations: Json, *, automount: bool = False) -> Json:
    meta = plan.meta(name, **labels)
    if name in plan.values.get("adoptServiceAccounts", ()):
        annotations = {"agent-identities/adopted": "true", **annotations}
    if annotations:
        meta["annotations"] = annotations
    secrets = plan.values.get("imagePullSecrets")
    found = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta, "automountServiceAccountToken": automount}
    return found | ({"imagePullSecrets": secrets} if secrets else {})


def _for_clouds(agent: Agent) -> Json:
    """The annotations by which a cloud knows an agent (their webhooks' documentation)."""
    given = {name: one for name, one in agent.cloud.items() if isinstance(one, dict)}
    aws, gcp, azure = (given.get(name, {}) for name in ("aws", "gcp", "azure"))
    regional = aws.get("stsRegionalEndpoints")
    found = {
        "eks.amazonaws.com/role-arn": aws.get("roleArn"),
        "eks.amazonaws.com/audience": aws.get("audience"),
        "eks.amazonaws.com/token-expiration": aws.get("tokenExpirationSeconds"),
        "eks.amazonaws.com/sts-regional-endpoints": None if regional is None else str(regional).lower(),
        "iam.gke.io/gcp-service-account": gcp.get("serviceAccount"),
        "azure.workload.identity/client-id": azure.get("clientId"),
        "azure.workload.identity/tenant-id": azure.get("tenantId"),
        "azure.workload.identity/service-account-token-expiration": azure.get("tokenExpirationSeconds"),
    }
    return {key: str(value) for key, value in found.items() if value}


def workloads(plan: Plan) -> Iterator[Json]:
    """A Deployment for each agent with a workload, and the proxy's."""
    if workload := plan.proxy.get("workload"):
        labels = {"agent-identities/proxy": plan.proxy["name"]}
        yield _deployment(plan, plan.proxy["name"], labels, workload, plan.declaration.proxy.token, {}, {})
    for agent in plan.agents:
        if workload := agent.given.get("workload"):
            yield deployment_of(plan, agent, workload)


def deployment_of(plan: Plan, agent: Agent, workload: Json) -> Json:
    """The Deployment that runs as an agent."""
    azure = {"azure.workload.identity/use": "true"} if "azure" in agent.cloud else {}
    return _deployment(plan, agent.name, agent.labels, workload, agent.token, agent.tokens, azure)


def _deployment(
    plan: Plan, name: str, labels: Json, workload: Json, token: TokenSettings, tokens: dict[str, Json], pod_labels: Json
) -> Json:
    mounts, volumes = _tokens(token, tokens)
    defaults = plan.values["workloadDefaults"]
    size = workload.get("tmp") or defaults.get("tmp", "none")
    kinds: dict[str, list[Json]] = {"containers": [], "initContainers": []}
    for kind, name_of, given in (
        ("containers", "agent", workload | {"mountToken": True}),
        *(("initContainers", one["name"], one) for one in workload.get("initContainers") or ()),
        *(("containers", one["name"], one) for one in workload.get("extraContainers") or ()),
    ):
        container, tmp = _container(name_of, given, mounts if given.get("mountToken") else [], size)
        kinds[kind].append(container)
        volumes += tmp
    volumes += list(workload.get("volumes") or ())
    spec = {
        "serviceAccountName": name,
        "automountServiceAccountToken": token.mode == "automount",
        "enableServiceLinks": False,
        "securityContext": pod_security(defaults, workload),
        **{kind: containers for kind, containers in kinds.items() if containers},
        **{field: workload[field] for field in OF_THE_POD if field in workload},
        **({"volumes": volumes} if volumes else {}),
    }
    template: Json = {
        "metadata": {"labels": {**labels, **pod_labels, **(workload.get("podLabels") or {})}},
        "spec": spec,
    }
    if workload.get("podAnnotations"):
        template["metadata"]["annotations"] = workload["podAnnotations"]
    selector = dict([next(iter(labels.items()))])
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": plan.meta(name, **labels),
        "spec": {
            **({"replicas": int(workload["replicas"])} if "replicas" in workload else {}),
            "selector": {"matchLabels": selector},
            "template": template,
        },
    }


def pod_security(defaults: Json, workload: Json) -> Json:
    """The security context of a pod: an ID that is "auto" or null is absent; the others are those of the user."""
    own = workload if "runAsUser" in workload else defaults
    ids = {
        field: workload.get(field, own.get(field, own.get("runAsUser")))
        for field in ("runAsUser", "runAsGroup", "fsGroup")
    }
    numbers = {field: int(one) for field, one in ids.items() if one not in (None, "auto")}
    return {"runAsNonRoot": True, **numbers, "seccompProfile": {"type": "RuntimeDefault"}}


def _container(name: str, given: Json, tokens: list[Json], size: str) -> tuple[Json, list[Json]]:
    """(container, its volume for /tmp): none if it mounts another volume there."""
    mounts = list(given.get("volumeMounts") or ())
    volume = "agent-tmp" if name == "agent" else f"agent-tmp-{name}"
    if size == "none" or any(f"/{mount['mountPath']}".replace("//", "/").rstrip("/") == "/tmp" for mount in mounts):
        volume = ""
    container = {
        "name": name,
        "image": given["image"],
        "securityContext": CONTAINER_SECURITY,
        **{field: given[field] for field in OF_THE_CONTAINER if field in given},
    }
    mounts = [*tokens, *([{"name": volume, "mountPath": "/tmp"}] if volume else []), *mounts]  # a path in the container
    container |= {"volumeMounts": mounts} if mounts else {}
    return container, [{"name": volume, "emptyDir": {"sizeLimit": size}}] if volume else []


def _tokens(token: TokenSettings, tokens: dict[str, Json]) -> tuple[list[Json], list[Json]]:
    """(mounts, volumes): the agent's own token where clients look for it, and one file for each other audience."""
    mounts, volumes = [], []
    if token.mode == "projected":
        own = {"path": "token", "expirationSeconds": token.expiration_seconds}
        own |= {"audience": token.audience} if token.audience else {}
        root = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
        namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
        sources = [
            {"serviceAccountToken": own},
            {"configMap": root},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
        ]
        volumes.append({"name": "agent-token", "projected": {"sources": sources}})
        path = "/var/run/secrets/kubernetes.io/serviceaccount"
        mounts.append({"name": "agent-token", "mountPath": path, "readOnly": True})
    if tokens:
        others = [
            {
                "serviceAccountToken": {
                    "path": one.get("path") or name,
                    "expirationSeconds": int(one.get("expirationSeconds") or 3600),
                    "audience": one["audience"],
                }
            }
            for name, one in tokens.items()
        ]
        volumes.append({"name": "agent-tokens", "projected": {"sources": others}})
        mounts.append({"name": "agent-tokens", "mountPath": "/var/run/secrets/tokens", "readOnly": True})
    return mounts, volumes
