"""All guards at once: they do not block the chart itself or the rest of the cluster."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_identities.chart.helm import Helm, Release, Renderer, Target
from agent_identities.chart.objects import thaw
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support.guarded import Guarded, pod
from support.installed import installed
from support.namespaces import ADMISSION
from support.server import RBAC, Json, Server, eventually

HARDENED = Path(__file__).parents[3] / "values" / "hardened.yaml"
IMAGE = "registry.example/agent"
MakeRelease = Callable[[Helm], Release]

CHANGED: Json = {
    "agents": {
        "agent-worker-1": None,
        "agent-worker-2": {"tiers": ["pod-reader"]},
        "newcomer": {"workload": {"image": f"{IMAGE}:1"}},
        "triage": {"instances": 2, "workload": {"image": f"{IMAGE}:1"}},
        "log-analyst": {"workload": {"image": f"{IMAGE}:2"}, "token": {"expirationSeconds": 1200}},
        "shopper": {"access": "direct"},
        "researcher": {"access": "proxied"},
        "suspect": {"quarantined": False},
        "summarizer": {"quarantined": True},
    },
    "guards": {"tokenSecrets": {"enabled": False}},
}


def in_force(guarded: Guarded) -> bool:
    answer = guarded.server.request("POST", guarded.path("pods"), pod(None))
    return answer[0] == 403 and f"'agents.{guarded.namespace}.default-account'" in answer[1]["message"]


def running(server: Server, namespace: str, agent: str) -> list[Json]:
    return server.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector=agent-identities/agent%3D{agent}")


@pytest.mark.parametrize("installer", ["administrator", "least rights"])
def test_install_upgrade_rollback_and_uninstall_work_with_all_guards(
    server: Server, release: MakeRelease, either_helm: Helm, namespace: str, installer: str
) -> None:
    server.make_namespace(namespace)
    guarded = Guarded(server, namespace, "")
    flags = guarded.installer() if installer == "least rights" else []
    ours = release(either_helm)
    ours.upgrade(Values.read([HARDENED]), "--install", *flags)
    first = installed(server, ours).keys()
    eventually(lambda: in_force(guarded))
    eventually(lambda: running(server, namespace, "log-analyst"))

    ours.upgrade(Values.read([HARDENED], CHANGED), *flags)
    agents = ("newcomer", "triage-2", "log-analyst")
    eventually(lambda: all(running(server, namespace, agent) for agent in agents), seconds=60)
    assert installed(server, ours).keys() != first
    ours.rollback(1, *flags)
    assert installed(server, ours).keys() == first
    eventually(lambda: not running(server, namespace, "newcomer"), seconds=60)
    ours.uninstall(*flags)
    eventually(lambda: installed(server, ours) == {})
    eventually(lambda: server.items(f"/api/v1/namespaces/{namespace}/pods") == [], seconds=60)


@pytest.fixture
def hardened(server: Server, release: MakeRelease, helm: Helm, namespace: str) -> Guarded:
    """values/hardened.yaml with its guards in force."""
    release(helm).install(Values.read([HARDENED]))
    guarded = Guarded(server, namespace, "")
    eventually(lambda: in_force(guarded))
    return guarded


def test_a_kubelet_can_run_the_charts_pods(server: Server, hardened: Guarded) -> None:
    namespace = hardened.namespace
    meta = eventually(lambda: running(server, namespace, "log-analyst"))[0]["metadata"]
    path = f"/api/v1/namespaces/{namespace}/pods/{meta['name']}"
    node = {"apiVersion": "v1", "kind": "Node", "name": namespace}
    server.create("/api/v1/nodes", {"metadata": {"name": namespace}})
    try:
        scheduler = server.as_user("system:kube-scheduler")
        scheduler.create(f"{path}/binding", {"metadata": {"name": meta["name"]}, "target": node})
        kubelet = server.as_user(f"system:node:{namespace}", "system:nodes")
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        token = f"/api/v1/namespaces/{namespace}/serviceaccounts/log-analyst/token"
        spec = {"expirationSeconds": 3600, "boundObjectRef": bound}
        eventually(lambda: kubelet.request("POST", token, {"spec": spec})[0] == 201)
        status, answer = kubelet.patch(f"{path}/status", {"status": {"phase": "Running"}})
        assert status == 200, answer
        kubelet.delete(f"{path}?gracePeriodSeconds=0")
        # another pod replaces the deleted pod
        eventually(lambda: any(p["metadata"]["uid"] != meta["uid"] for p in running(server, namespace, "log-analyst")))
    finally:
        server.delete(f"/api/v1/nodes/{namespace}")


def test_the_namespace_can_be_deleted_with_all_guards(server: Server, hardened: Guarded) -> None:
    namespace = f"/api/v1/namespaces/{hardened.namespace}"
    eventually(lambda: running(server, hardened.namespace, "log-analyst"))
    server.delete(namespace)
    eventually(lambda: server.request("GET", namespace)[0] == 404, seconds=60)


def test_the_api_server_reports_no_warning_for_the_expressions(server: Server, hardened: Guarded) -> None:
    def checked() -> list[Json]:
        policies = server.items(f"{ADMISSION}/validatingadmissionpolicies")
        found = [policy for policy in policies if f".{hardened.namespace}." in policy["metadata"]["name"]]
        done = [policy for policy in found if policy.get("status", {}).get("observedGeneration")]
        return done if len(done) == len(found) > 0 else []

    for policy in eventually(checked):
        warnings = policy["status"].get("typeChecking", {}).get("expressionWarnings", [])
        assert warnings == [], policy["metadata"]["name"]


FILLED_IN = {
    "Deployment": {
        f"spec.{field}"
        for field in (
            "progressDeadlineSeconds",
            "replicas",
            "revisionHistoryLimit",
            "strategy",
            *(
                f"template.spec.{of_pod}"
                for of_pod in (
                    "dnsPolicy",
                    "restartPolicy",
                    "schedulerName",
                    "serviceAccount",
                    "terminationGracePeriodSeconds",
                    "containers[].imagePullPolicy",
                    "containers[].terminationMessagePath",
                    "containers[].terminationMessagePolicy",
                    "volumes[].projected.defaultMode",
                )
            ),
        )
    },
}
"""The fields that the API server fills in, for kinds with such fields. GitOps tools know those of a Deployment."""
_OF_THE_SERVER = {"uid", "creationTimestamp", "generation", "managedFields", "resourceVersion"}


def added(live: object, rendered: object, path: str = "") -> Iterator[str]:
    """The fields of a live object that the rendered object does not have."""
    if isinstance(live, dict):
        given = rendered if isinstance(rendered, dict) else {}
        for key, value in live.items():
            at = f"{path}.{key}".lstrip(".")
            if key in given:
                yield from added(value, given[key], at)
            elif at != "status" and not (path == "metadata" and key in _OF_THE_SERVER):
                yield at
    elif isinstance(live, list) and isinstance(rendered, list) and len(live) == len(rendered):
        for one, other in zip(live, rendered, strict=True):
            yield from added(one, other, f"{path}[]")


def test_the_api_server_adds_only_known_fields(
    server: Server, renderer: Renderer, cluster: Cluster, namespace: str
) -> None:
    """D4: what it adds is a difference for ever in GitOps tools."""
    server.make_namespace(namespace)
    served = served_paths(server)
    target = Target(namespace=namespace, kube_version=cluster.version.lstrip("v"))
    for key, obj in renderer.render(Values.read([HARDENED]), target).objects.items():
        body = thaw(obj.body)
        where = f"/namespaces/{namespace}" if key.namespace else ""
        root, resource = served[body["apiVersion"], key.kind]
        live = server.create(f"{root}{where}/{resource}?dryRun=All", body)
        assert set(added(live, body)) <= FILLED_IN.get(key.kind, set()), key


def served_paths(server: Server) -> dict[tuple[str, str], tuple[str, str]]:
    """(apiVersion, kind) -> (path of the group, resource)."""
    groups = [group["preferredVersion"]["groupVersion"] for group in server.get("/apis")["groups"]]
    return {
        (version, resource["kind"]): (root, resource["name"])
        for version, root in (("v1", "/api/v1"), *((group, f"/apis/{group}") for group in groups))
        for resource in server.get(root)["resources"]
        if "/" not in resource["name"]
    }


def test_the_guards_of_two_releases_are_independent(
    server: Server, release: MakeRelease, helm: Helm, chart: Path, namespace: str, hardened: Guarded
) -> None:
    ours = release(helm)
    other = Release(helm, chart, ours.name, f"{namespace}-b", ours.kubeconfig, ours.context)
    there = Guarded(server, other.namespace, "")
    try:
        other.install(Values.read([HARDENED]))
        eventually(lambda: in_force(there))
        other.uninstall()
        eventually(lambda: not in_force(there))
        assert in_force(hardened)
    finally:
        server.delete(f"/api/v1/namespaces/{other.namespace}")


def test_other_users_and_objects_are_not_affected(hardened: Guarded) -> None:
    dev = hardened.user("dev")
    view = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    subject = {"kind": "ServiceAccount", "name": "log-analyst", "namespace": "default"}
    binding = {"metadata": {"name": "b"}, "roleRef": view, "subjects": [subject]}
    here = f"/api/v1/namespaces/{hardened.namespace}"
    requests: tuple[tuple[str, Json], ...] = (
        ("/api/v1/namespaces/default/pods", pod(None)),
        (f"{RBAC}/namespaces/default/rolebindings", binding),
        (f"{RBAC}/clusterrolebindings", binding),
        (f"{here}/secrets", {"metadata": {"name": "s"}}),
        (f"{here}/configmaps", {"metadata": {"name": "c"}}),
        ("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}}),
    )
    eventually(lambda: all(dev.request("POST", f"{path}?dryRun=All", body)[0] == 201 for path, body in requests))
