"""Requests that change no agent, or that its deployers and the controllers of the cluster send: no guard refuses them.

The accounts of controllers have the names and the rights that Kubernetes, OpenShift and cloud providers publish; an
administrator sends their requests by impersonation.
"""

from collections.abc import Callable
from typing import Any

from support.border import (
    APPS,
    IMAGE,
    LABEL,
    NETWORK,
    Answer,
    Border,
    bindings_of_bot,
    bots_pod,
    configmap,
    deployment,
    merge,
    network_policy,
)
from support.guarded import pod
from support.server import RBAC
from support.workloads import workload

Act = Callable[[Border], Answer]
VIEW = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
HELM = {"owner": "helm", "name": "agents", "status": "deployed", "version": "9"}
WIDER = {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create"]}]}

BATCH = "/apis/batch/v1"
HPA = "/apis/autoscaling/v2"
AUTOSCALER = {
    "metadata": {"name": "bot"},
    "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "bot"}, "maxReplicas": 2},
}
PERSON = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "somebody"}
NEW_IMAGE = {"spec": {"template": {"spec": {"containers": [{"name": "agent", "image": f"{IMAGE}:2"}]}}}}


def evict(border: Border, **options: Any) -> Answer:
    name = bots_pod(border)
    body = {"metadata": {"name": name}, "deleteOptions": {"dryRun": ["All"], **options}}
    return border.create("eve", f"pods/{name}/eviction", body)


LIFE: dict[str, Act] = {
    "a ConfigMap": lambda b: b.create("eve", "configmaps", configmap()),
    "a Secret": lambda b: b.create("eve", "secrets", {"metadata": {"name": "s"}}),
    "a record of another release": lambda b: b.create(
        "eve", "secrets", {"metadata": {"name": "sh.helm.release.v1.other.v1", "labels": HELM | {"name": "other"}}}
    ),
    "a Service": lambda b: b.create(
        "eve", "services", {"metadata": {"name": "bot"}, "spec": {"ports": [{"port": 80}], "selector": {LABEL: "bot"}}}
    ),
    "scale": lambda b: b.merge("eve", "deployments", "bot/scale", {"spec": {"replicas": 3}}, APPS),
    "replicas": lambda b: b.merge("eve", "deployments", "bot", {"spec": {"replicas": 3}}, APPS),
    "an autoscaler": lambda b: b.create("eve", "horizontalpodautoscalers", AUTOSCALER, HPA),
    "an annotation of a Deployment": lambda b: b.merge(
        "eve", "deployments", "bot", {"metadata": {"annotations": {"x": "y"}}}, APPS
    ),
    "a pod that is deleted": lambda b: b.remove("eve", "pods", bots_pod(b)),
    "a pod that is deleted at once": lambda b: b.remove("eve", "pods", bots_pod(b), gracePeriodSeconds=0),
    "a pod that is deleted in its time": lambda b: b.remove("eve", "pods", bots_pod(b), gracePeriodSeconds=30),
    "a node that is drained": lambda b: evict(b),
    "a node that is drained at once": lambda b: evict(b, gracePeriodSeconds=0),
    "a node that is drained slowly": lambda b: evict(b, gracePeriodSeconds=300),
    "a Deployment that is deleted": lambda b: b.remove("eve", "deployments", "bot", APPS),
    "an account that is deleted": lambda b: b.remove("eve", "serviceaccounts", "bot"),
    "a label of a pod": lambda b: b.merge("eve", "pods", bots_pod(b), {"metadata": {"labels": {"x": "y"}}}),
    "a person's rights": lambda b: b.create(
        "adam", "rolebindings", {"metadata": {"name": "p"}, "roleRef": VIEW, "subjects": [PERSON]}, RBAC
    ),
    "an agent that loses its rights": lambda b: b.remove("adam", "rolebindings", bindings_of_bot(b), RBAC),
    "a Role in another namespace": lambda b: b.create(
        "anna", "roles", {"metadata": {"name": "reader-role"}, **WIDER}, RBAC, namespace=b.team
    ),
    "a pod in another namespace": lambda b: b.create("anna", "pods", pod(None), namespace=b.team),
    "a network policy in another namespace": lambda b: b.create(
        "anna", "networkpolicies", network_policy(), NETWORK, namespace=b.team
    ),
    "a ClusterRole": lambda b: b.people["owner"].request(
        "POST", f"{RBAC}/clusterroles?dryRun=All", {"metadata": {"name": "mine"}, **WIDER}
    ),
    "an agent's own write": lambda b: b.create("stolen", "configmaps", configmap()),
    "an agent's pod of itself": lambda b: b.create("stolen", "pods", pod("triage", automountServiceAccountToken=False)),
    "a proxied agent's write, by the proxy": lambda b: b.create("proxy as shopper", "configmaps", configmap()),
    "another image by a deployer": lambda b: b.merge("runner", "deployments", "bot", NEW_IMAGE, APPS),
    "rollout pause by a deployer": lambda b: b.merge("runner", "deployments", "bot", {"spec": {"paused": True}}, APPS),
    "rollout restart by a deployer": lambda b: b.merge(
        "runner",
        "deployments",
        "bot",
        {"spec": {"template": {"metadata": {"annotations": {"restartedAt": "x"}}}}},
        APPS,
    ),
    "a pod by a deployer": lambda b: b.create("runner", "pods", pod("bot")),
    "the administrator's policy": lambda b: b.admin.request(
        "POST", b.path("networkpolicies", group=NETWORK), network_policy()
    ),
    # people of the agents' namespace
    "a disruption budget": lambda b: b.create(
        "eve",
        "poddisruptionbudgets",
        {"metadata": {"name": "p"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {LABEL: "bot"}}}},
        "/apis/policy/v1",
    ),
    "an eviction": lambda b: b.people["eve"].request(
        "POST",
        b.path("pods", f"{bots_pod(b)}/eviction", keep=True),
        {"metadata": {"name": bots_pod(b)}, "deleteOptions": {"dryRun": ["All"]}},
    ),
    "a claim of a volume": lambda b: b.create(
        "eve",
        "persistentvolumeclaims",
        {
            "metadata": {"name": "c"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        },
    ),
    "an Ingress": lambda b: b.create(
        "eve",
        "ingresses",
        {"metadata": {"name": "i"}, "spec": {"defaultBackend": {"service": {"name": "bot", "port": {"number": 80}}}}},
        NETWORK,
    ),
    "the CA's ConfigMap that is deleted, and comes again": lambda b: b.remove("eve", "configmaps", "kube-root-ca.crt"),
    "fewer replicas": lambda b: b.merge("eve", "deployments", "bot", {"spec": {"replicas": 0}}, APPS),
    "a strategy": lambda b: b.merge(
        "eve", "deployments", "bot", {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}, APPS
    ),
    "a Deployment that is deleted with its ReplicaSets": lambda b: b.remove(
        "eve", "deployments", "bot", APPS, propagationPolicy="Foreground"
    ),
    "a Deployment that is deleted in the background": lambda b: b.remove(
        "eve", "deployments", "bot", APPS, propagationPolicy="Background"
    ),
    "the status of pods": lambda b: b.people["eve"].request("GET", b.path("pods", f"{bots_pod(b)}/status", keep=True)),
    "the logs of pods": lambda b: b.people["eve"].request("GET", b.path("pods", keep=True)),
    "rights of a group of people": lambda b: b.create(
        "adam",
        "rolebindings",
        {"metadata": {"name": "g"}, "roleRef": VIEW, "subjects": [PERSON | {"kind": "Group", "name": "developers"}]},
        RBAC,
    ),
    "rights of an account of another namespace": lambda b: b.create(
        "adam",
        "rolebindings",
        {
            "metadata": {"name": "a"},
            "roleRef": VIEW,
            "subjects": [{"kind": "ServiceAccount", "name": "dashboard", "namespace": b.team}],
        },
        RBAC,
    ),
    "a label of a Role": lambda b: b.merge("adam", "roles", "reader-role", {"metadata": {"labels": {"x": "y"}}}, RBAC),
    "a Role that is deleted": lambda b: b.remove("adam", "roles", "reader-role", RBAC),
    # another namespace, in which agents have rights
    "an account of another namespace": lambda b: b.create(
        "anna", "serviceaccounts", {"metadata": {"name": "bot"}}, namespace=b.team
    ),
    "a token of another namespace": lambda b: b.create(
        "anna", "serviceaccounts/default/token", {"spec": {}}, namespace=b.team
    ),
    "a token Secret of another namespace": lambda b: b.create(
        "anna",
        "secrets",
        {
            "metadata": {"name": "t", "annotations": {"kubernetes.io/service-account.name": "default"}},
            "type": "kubernetes.io/service-account-token",
        },
        namespace=b.team,
    ),
    "rights of accounts of another namespace": lambda b: b.create(
        "anna",
        "rolebindings",
        {
            "metadata": {"name": "a"},
            "roleRef": VIEW,
            "subjects": [
                {"kind": "ServiceAccount", "name": "bot", "namespace": b.team},
                PERSON | {"kind": "Group", "name": f"system:serviceaccounts:{b.team}"},
            ],
        },
        RBAC,
        namespace=b.team,
    ),
    "a paused Deployment of another namespace": lambda b: b.create(
        "anna", "deployments", deployment("default", paused=True), APPS, namespace=b.team
    ),
    "a Service with the name of the API server's": lambda b: b.create(
        "anna", "services", {"metadata": {"name": "kubernetes"}, "spec": {"ports": [{"port": 443}]}}, namespace=b.team
    ),
    "a label of an agent in another namespace": lambda b: b.create(
        "anna",
        "pods",
        {"metadata": {"name": "p", "labels": {LABEL: "bot"}}, "spec": pod("default")["spec"]},
        namespace=b.team,
    ),
    # deployers
    "a Deployment by a deployer": lambda b: b.create("runner", "deployments", deployment("bot"), APPS),
    "a Job by a deployer": lambda b: b.create("runner", "jobs", workload("jobs", "triage")[1], BATCH),
    "a CronJob by a deployer": lambda b: b.create("runner", "cronjobs", workload("cronjobs", "bot")[1], BATCH),
    "a StatefulSet by a deployer": lambda b: b.create(
        "runner", "statefulsets", workload("statefulsets", "bot")[1], APPS
    ),
    "a DaemonSet by a deployer": lambda b: b.create("runner", "daemonsets", workload("daemonsets", "bot")[1], APPS),
    "a pod that a deployer takes out of its Deployment": lambda b: b.merge(
        "runner", "pods", bots_pod(b), {"metadata": {"labels": {"pod-template-hash": None}}}
    ),
    "a Deployment that orphans its ReplicaSets, by a deployer": lambda b: b.remove(
        "runner", "deployments", "bot", APPS, propagationPolicy="Orphan"
    ),
    "rollout undo by a deployer": lambda b: b.merge(
        "runner", "deployments", "bot", {"spec": {"template": {"metadata": {"labels": {"x": "y"}}}}}, APPS
    ),
    # the administrator, who can delete the guards
    "the administrator's binding": lambda b: b.admin.request(
        "POST",
        b.path("rolebindings", group=RBAC),
        {
            "metadata": {"name": "a"},
            "roleRef": VIEW,
            "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": b.namespace}],
        },
    ),
    "the administrator's account": lambda b: b.admin.request(
        "POST", b.path("serviceaccounts"), {"metadata": {"name": "triage-9"}}
    ),
    "the administrator's Role": lambda b: b.admin.request(
        "POST", b.path("roles", group=RBAC), {"metadata": {"name": "made-later"}, **WIDER}
    ),
    "the administrator's cloud role": lambda b: merge(
        b.admin, b.path("serviceaccounts", "bot"), {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "x"}}}
    ),
}
