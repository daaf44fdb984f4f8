"""What the controllers of a cluster send: of Kubernetes, of cloud providers, of OpenShift and of service meshes.

The controllers of Kubernetes have their own rights (plugin/pkg/auth/authorizer/rbac/bootstrappolicy), so each request
here is one that RBAC allows them. The others have the built-in ClusterRole edit in the agents' namespace.
"""

from collections.abc import Callable
from typing import Any

from support.border import APPS, IMAGE, LABEL, NETWORK, Answer, Border, bindings_of_bot, bots_pod, deployment, merge
from support.guarded import pod
from support.server import RBAC, Json, Server
from support.workloads import workload

Act = Callable[[Border], Answer]
BATCH = "/apis/batch/v1"
NOTE: Json = {"metadata": {"annotations": {"example.com/note": "x"}}}
OWNER: Json = {
    "apiVersion": "apps/v1",
    "kind": "ReplicaSet",
    "name": "r",
    "uid": "11111111-2222-3333-4444-555555555555",
}
READY: Json = {"status": {"conditions": [{"type": "example.com/ready", "status": "True"}]}}


def controller(border: Border, name: str) -> Server:
    return border.admin.as_account("kube-system", name)


def managed(border: Border, user: str) -> Server:
    """A controller outside of Kubernetes, which has edit in the agents' namespace (see support/border.py)."""
    return border.admin.as_user(user)


def pod_of(agent: str, name: str = "made", **spec: Any) -> Json:
    """A pod as a controller makes it from a template of the chart."""
    made = pod(agent, name, automountServiceAccountToken=False, **spec)
    made["metadata"]["labels"] |= {LABEL: agent}
    return made


def with_sidecar(agent: str, audience: str, seconds: int) -> Json:
    """The pod, after a webhook of a service mesh changed it."""
    token = {"serviceAccountToken": {"path": "token", "audience": audience, "expirationSeconds": seconds}}
    made = pod_of(agent, volumes=[{"name": "mesh-token", "projected": {"sources": [token]}}])
    made["spec"]["containers"].append({"name": "proxy", "image": "registry.example/proxy:1"})
    made["metadata"]["labels"] |= {"service.istio.io/canonical-name": agent}
    return made


def replicaset(border: Border) -> str:
    return str(border.admin.items(border.path("replicasets", group=APPS, keep=True))[0]["metadata"]["name"])


def creates(who: str, resource: str, body: Callable[[Border], Json] | Json, group: str = "/api/v1") -> Act:
    def act(border: Border) -> Answer:
        made = body(border) if callable(body) else body
        return controller(border, who).request("POST", border.path(resource, group=group), made)

    return act


def patches(who: str, resource: str, name: Callable[[Border], str], body: Json, group: str = "/api/v1") -> Act:
    return lambda b: merge(controller(b, who), b.path(resource, name(b), group), body)


def writes(who: str, resource: str, name: Callable[[Border], str], change: Json, group: str = "/api/v1") -> Act:
    """An update: these controllers may not patch."""

    def act(border: Border) -> Answer:
        body = border.admin.get(border.path(resource, name(border), group, keep=True))
        for part, fields in change.items():
            body[part] |= fields
        return controller(border, who).request("PUT", border.path(resource, name(border), group), body)

    return act


def deletes(who: str, resource: str, name: Callable[[Border], str], group: str = "/api/v1", **options: Any) -> Act:
    return lambda b: controller(b, who).request(
        "DELETE", b.path(resource, name(b), group), {"dryRun": ["All"], **options}
    )


def empties(resource: str, group: str) -> Act:
    """The deletion of a namespace."""
    return lambda b: controller(b, "namespace-controller").request(
        "DELETE", b.path(resource, group=group, keep=True) + "?dryRun=All", {"dryRun": ["All"]}
    )


def named(name: str, suffix: str = "") -> Callable[[Border], str]:
    return lambda _: f"{name}{suffix}"


def status_of(name: Callable[[Border], str]) -> Callable[[Border], str]:
    return lambda b: f"{name(b)}/status"


def ca(border: Border) -> Answer:
    """The publisher writes the ConfigMap as it is."""
    path = border.path("configmaps", "kube-root-ca.crt", keep=True)
    return controller(border, "root-ca-cert-publisher").request("PUT", f"{path}?dryRun=All", border.admin.get(path))


REVISION: Json = {"metadata": {"name": "made"}, "revision": 1, "data": {}}
CLAIM: Json = {
    "metadata": {"name": "made"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
SLICE: Json = {"metadata": {"name": "made"}, "addressType": "IPv4", "endpoints": []}
EVENT: Json = {
    "metadata": {"name": "made"},
    "involvedObject": {"kind": "Pod", "name": "p"},
    "reason": "Made",
    "type": "Normal",
}
SCALE: Json = {"spec": {"replicas": 3}}
SETS = "replicaset-controller", "replication-controller", "statefulset-controller", "daemon-set-controller"
RS, DEPLOY, SS, DS = "replicasets", "deployments", "statefulset-controller", "daemon-set-controller"
GC, HPA = "generic-garbage-collector", "horizontal-pod-autoscaler"
PUBLISHED_BY_NAMESPACE_CONTROLLER = (
    ("pods", "/api/v1"),
    ("secrets", "/api/v1"),
    ("configmaps", "/api/v1"),
    ("services", "/api/v1"),
    ("serviceaccounts", "/api/v1"),
    ("deployments", APPS),
    ("replicasets", APPS),
    ("controllerrevisions", APPS),
    ("jobs", BATCH),
    ("networkpolicies", NETWORK),
    ("roles", RBAC),
    ("rolebindings", RBAC),
)


def job(_: Border) -> Json:
    return workload("jobs", "triage")[1]


KUBERNETES: dict[str, Act] = {
    **{
        f"{who} creates a pod of {agent}": creates(who, "pods", pod_of(agent))
        for who in (*SETS, "job-controller")
        for agent in ("bot", "triage", "agent-proxy")
    },
    "deployment-controller creates a ReplicaSet": creates(
        "deployment-controller", RS, deployment("bot", "made", replicas=1), APPS
    ),
    "deployment-controller scales a ReplicaSet": patches("deployment-controller", RS, replicaset, SCALE, APPS),
    "deployment-controller adopts a ReplicaSet": patches(
        "deployment-controller", RS, replicaset, {"metadata": {"ownerReferences": [OWNER]}}, APPS
    ),
    "deployment-controller deletes a ReplicaSet": deletes("deployment-controller", RS, replicaset, APPS),
    "deployment-controller writes a revision": writes("deployment-controller", DEPLOY, named("bot"), NOTE, APPS),
    "deployment-controller writes a status": writes(
        "deployment-controller", DEPLOY, named("bot", "/status"), NOTE, APPS
    ),
    "replicaset-controller deletes a pod": deletes("replicaset-controller", "pods", bots_pod),
    "replicaset-controller adopts a pod": patches(
        "replicaset-controller", "pods", bots_pod, {"metadata": {"ownerReferences": [OWNER]}}
    ),
    "replicaset-controller releases a pod": patches(
        "replicaset-controller", "pods", bots_pod, {"metadata": {"ownerReferences": None}}
    ),
    "statefulset-controller writes a revision": creates(SS, "controllerrevisions", REVISION, APPS),
    "statefulset-controller claims a volume": creates(SS, "persistentvolumeclaims", CLAIM),
    "daemon-set-controller writes a revision": creates(DS, "controllerrevisions", REVISION, APPS),
    "job-controller counts a pod": patches(
        "job-controller", "pods", bots_pod, {"metadata": {"finalizers": ["batch.kubernetes.io/job-tracking"]}}
    ),
    "cronjob-controller creates a Job": creates("cronjob-controller", "jobs", job, BATCH),
    "horizontal-pod-autoscaler scales a Deployment": writes(HPA, DEPLOY, named("bot", "/scale"), SCALE, APPS),
    "garbage collector releases a ReplicaSet": patches(
        GC, RS, replicaset, {"metadata": {"ownerReferences": None}}, APPS
    ),
    "garbage collector deletes a ReplicaSet": deletes(GC, RS, replicaset, APPS, propagationPolicy="Background"),
    "garbage collector deletes a pod": deletes(GC, "pods", bots_pod),
    "garbage collector ends a deletion in the foreground": patches(
        GC, DEPLOY, named("bot"), {"metadata": {"finalizers": []}}, APPS
    ),
    "garbage collector deletes a binding": deletes(GC, "rolebindings", bindings_of_bot, RBAC),
    "garbage collector deletes dependents first": deletes(
        GC, "rolebindings", bindings_of_bot, RBAC, propagationPolicy="Foreground"
    ),
    **{
        f"namespace-controller deletes {resource}": empties(resource, group)
        for resource, group in PUBLISHED_BY_NAMESPACE_CONTROLLER
    },
    "root-ca-cert-publisher writes the CA": ca,
    "service-account-controller creates an account": creates(
        "service-account-controller", "serviceaccounts", {"metadata": {"name": "made"}}
    ),
    "pod-garbage-collector deletes a pod": deletes("pod-garbage-collector", "pods", bots_pod),
    "pod-garbage-collector writes a status": patches("pod-garbage-collector", "pods", status_of(bots_pod), READY),
    "node-controller deletes a pod": deletes("node-controller", "pods", bots_pod),
    "node-controller writes a status": patches("node-controller", "pods", status_of(bots_pod), READY),
    "disruption-controller writes a status": patches("disruption-controller", "pods", status_of(bots_pod), READY),
    "endpointslice-controller writes a slice": creates(
        "endpointslice-controller", "endpointslices", SLICE, "/apis/discovery.k8s.io/v1"
    ),
    "endpoint-controller writes Endpoints": creates("endpoint-controller", "endpoints", {"metadata": {"name": "made"}}),
    "ephemeral-volume-controller claims a volume": creates(
        "ephemeral-volume-controller", "persistentvolumeclaims", CLAIM
    ),
    "scheduler binds a pod": lambda b: managed(b, "system:kube-scheduler").request(
        "POST",
        b.path("pods", f"{bots_pod(b)}/binding"),
        {"metadata": {"name": bots_pod(b)}, "target": {"kind": "Node", "name": "n"}},
    ),
    "scheduler writes a status": lambda b: merge(
        managed(b, "system:kube-scheduler"), b.path("pods", f"{bots_pod(b)}/status"), READY
    ),
    "scheduler writes an Event": lambda b: managed(b, "system:kube-scheduler").request(
        "POST", b.path("events"), EVENT | {"involvedObject": {"kind": "Pod", "name": "p", "namespace": b.namespace}}
    ),
}

PULL_SECRETS = "system:serviceaccount:openshift-infra:serviceaccount-pull-secrets-controller"
MANAGER = "system:kube-controller-manager"


def evict(user: str) -> Act:
    return lambda b: managed(b, user).request(
        "POST",
        b.path("pods", f"{bots_pod(b)}/eviction", keep=True),
        {"metadata": {"name": bots_pod(b)}, "deleteOptions": {"dryRun": ["All"]}},
    )


OTHERS: dict[str, Act] = {
    "a controller manager without accounts creates a pod": lambda b: managed(b, MANAGER).request(
        "POST", b.path("pods"), pod_of("bot")
    ),
    "a controller manager without accounts writes a revision": lambda b: merge(
        managed(b, MANAGER), b.path("deployments", "bot", APPS), NOTE
    ),
    "EKS annotates a pod with its network interface": lambda b: merge(
        managed(b, "eks:vpc-resource-controller"),
        b.path("pods", bots_pod(b)),
        {"metadata": {"annotations": {"vpc.amazonaws.com/pod-eni": "[]"}}},
    ),
    "GKE's and AKS' autoscaler evicts a pod": evict("system:cluster-autoscaler"),
    "the cluster autoscaler evicts a pod": evict("system:serviceaccount:kube-system:cluster-autoscaler"),
    "the cluster autoscaler deletes a pod": lambda b: managed(
        b, "system:serviceaccount:kube-system:cluster-autoscaler"
    ).request("DELETE", b.path("pods", bots_pod(b)), {"dryRun": ["All"]}),
    "the vertical autoscaler evicts a pod": evict("system:serviceaccount:kube-system:vpa-updater"),
    "OpenShift adds a pull secret to an account": lambda b: merge(
        managed(b, PULL_SECRETS),
        b.path("serviceaccounts", "bot"),
        {"imagePullSecrets": [{"name": "bot-dockercfg"}], "secrets": [{"name": "bot-dockercfg"}]},
    ),
    "OpenShift writes a pull secret": lambda b: managed(b, PULL_SECRETS).request(
        "POST",
        b.path("secrets"),
        {"metadata": {"name": "bot-dockercfg"}, "type": "kubernetes.io/dockercfg", "data": {".dockercfg": "e30="}},
    ),
    "a pod with the annotations of OpenShift's SCC": creates(
        "replicaset-controller", "pods", pod_of("bot") | {"metadata": {"name": "made", "labels": {LABEL: "bot"}} | NOTE}
    ),
    "a pod with the sidecar of Istio": creates("replicaset-controller", "pods", with_sidecar("bot", "istio-ca", 43200)),
    "a pod with the sidecar of Linkerd": creates(
        "replicaset-controller", "pods", with_sidecar("triage", "identity.l5d.io", 86400)
    ),
    "Istio's CNI agent annotates a pod": lambda b: merge(
        managed(b, "system:serviceaccount:istio-system:istio-cni"),
        b.path("pods", bots_pod(b)),
        {"metadata": {"annotations": {"ambient.istio.io/redirection": "enabled"}}},
    ),
    "cert-manager writes a certificate": lambda b: managed(
        b, "system:serviceaccount:cert-manager:cert-manager"
    ).request(
        "POST",
        b.path("secrets"),
        {"metadata": {"name": "tls"}, "type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}},
    ),
    "an operator's image is pulled again": creates(
        "replicaset-controller", "pods", pod_of("bot", imagePullSecrets=[{"name": f"{IMAGE.partition('/')[0]}-pull"}])
    ),
}

CONTROLLERS: dict[str, Act] = {**KUBERNETES, **OTHERS}
