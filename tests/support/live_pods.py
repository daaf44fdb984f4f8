"""The pod template of a Deployment of the chart, as an API server returns it: with its defaults."""

from typing import Any


def live_pod_spec(account: str) -> dict[str, Any]:
    """The spec of the pods of an agent whose workload is {image: x:1}."""
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    token = {"name": "agent-token", "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    container = {
        "name": "agent",
        "image": "x:1",
        "resources": {},
        "volumeMounts": [token, {"name": "agent-tmp", "mountPath": "/tmp"}],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    return {
        "volumes": [
            {"name": "agent-token", "projected": {"sources": sources, "defaultMode": 420}},
            {"name": "agent-tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        ],
        "containers": [container],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": account,
        "serviceAccount": account,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "schedulerName": "default-scheduler",
        "enableServiceLinks": False,
    }
