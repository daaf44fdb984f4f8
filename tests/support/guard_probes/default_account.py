"""guards.defaultAccount: no pod runs as `default`."""

from support.guard_probes.model import ELSEWHERE, END, Table, create, patch
from support.guard_probes.stage import standing
from support.guarded import pod

TABLE = Table("defaultAccount", "default-account")

for spelled, field in ((None, "serviceAccountName"), ("default", "serviceAccountName"), ("default", "serviceAccount")):
    TABLE.refuses(
        f"a pod with {field}: {spelled}",
        "dev",
        create("pods", pod(spelled, field=field)),
        'dev@$ns may not run the pod p as the ServiceAccount "default": every pod in this namespace must name ',
        "another ServiceAccount. Set in the pod spec: serviceAccountName: <agent>" + END,
    )
TABLE.refuses(
    "whoever writes it",
    "administrator",
    create("pods", pod(None)),
    'may not run the pod p as the ServiceAccount "default"',
)
TABLE.refuses("controllers, too", "controller", create("pods", pod(None)), "may not run the pod p as")
TABLE.admits("a pod of an agent", "administrator", create("pods", pod("a")))
TABLE.admits("a pod of another account", "user of all", create("pods", pod("operator")))
_mirror = pod(None, nodeName="nowhere")
_mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
TABLE.admits("a pod that a kubelet mirrors", "dev", create("pods", _mirror))
TABLE.admits("a pod elsewhere", "dev", create("pods", pod(None), ELSEWHERE))
TABLE.admits("labels of a pod that was there", "dev", patch("pods", "default", {"metadata": {"labels": {"x": "y"}}}))
_path, _body = standing("deployments", "new", "default")
TABLE.admits("a template: its pods are judged", "user of all", create("deployments", _body))
TABLE.admits("what is no pod", "user of all", create("podtemplates", standing("podtemplates", "new", "default")[1]))
