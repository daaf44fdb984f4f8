"""The guards of thousands of agents with the longest names are accepted, in force, and within CEL's cost limits."""

from collections.abc import Iterator

import pytest

from agent_identities.chart.helm import Renderer, Target
from agent_identities.chart.objects import thaw
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support.guarded import Guarded, pod
from support.namespaces import ADMISSION, own_namespace
from support.server import RBAC, Json, Server, eventually

NAMES = [f"agent-{number:05}-{'x' * 51}" for number in range(5000)]
ENDS = (NAMES[0], NAMES[999], NAMES[1000], NAMES[-1])
VIEW = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}


@pytest.fixture(scope="module")
def fleet(server: Server, cluster: Cluster, renderer: Renderer) -> Iterator[Guarded]:
    """The guards of 5,000 agents, and the ServiceAccounts of four of these agents."""
    with own_namespace(server) as namespace:
        yield _installed(server, cluster, renderer, namespace)


def _installed(server: Server, cluster: Cluster, renderer: Renderer, namespace: str) -> Guarded:
    values: Json = {"agents": {name: {} for name in NAMES}, "guards": {"enabled": True}}
    values["agents"]["suspect"] = {"quarantined": True}
    version = cluster.version.lstrip("v")
    target = Target(namespace=namespace, kube_version=version)
    rendered = renderer.render(Values(overrides=values), target).objects
    server.make_namespace(namespace)
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    for name in (*ENDS, "agent-proxy", "other"):
        server.create(accounts, {"metadata": {"name": name}})
    kinds = {"Policy": "policies", "PolicyBinding": "policybindings"}
    for key, obj in rendered.items():
        if key.group == "admissionregistration.k8s.io":
            head, tail = key.kind.split("Policy")
            server.create(f"{ADMISSION}/{head.lower()}{kinds['Policy' + tail]}", thaw(obj.body))
    return Guarded(server, namespace, f"agents.{namespace}.")


@pytest.fixture(scope="module")
def dev(fleet: Guarded) -> Server:
    return fleet.user("dev")


def refused(fleet: Guarded, answer: tuple[int, Json], guard: str) -> bool:
    return answer[0] == 403 and f"ValidatingAdmissionPolicy '{fleet.policy}{guard}'" in answer[1].get("message", "")


def deployment(account: str) -> Json:
    template = pod(account)
    spec = {"selector": {"matchLabels": {"app": "p"}}, "template": template}
    return {"metadata": {"name": "d"}, "spec": spec}


def test_the_guards_apply_to_every_agent_and_to_every_other_account(fleet: Guarded, dev: Server) -> None:
    deployments = fleet.path("deployments", "/apis/apps/v1")
    secrets = fleet.path("secrets")
    tokens = fleet.path("serviceaccounts", dry_run=False)

    def secret(name: str) -> Json:
        meta = {"name": "s", "annotations": {"kubernetes.io/service-account.name": name}}
        return {"metadata": meta, "type": "kubernetes.io/service-account-token"}

    def guarded(name: str) -> bool:
        return (
            refused(fleet, dev.request("POST", deployments, deployment(name)), "run-as")
            and refused(fleet, dev.request("POST", secrets, secret(name)), "token-secrets")
            and refused(fleet, dev.request("POST", f"{tokens}/{name}/token", {"spec": {}}), "tokens")
        )

    eventually(lambda: guarded(ENDS[0]))
    assert all(guarded(name) for name in (*ENDS, "other"))


def test_a_binding_of_a_thousand_accounts_is_within_the_cost_limit(fleet: Guarded, dev: Server) -> None:
    path = fleet.path("rolebindings", RBAC)

    def bind(*subjects: Json) -> tuple[int, Json]:
        return dev.request("POST", path, {"metadata": {"name": "b"}, "roleRef": VIEW, "subjects": list(subjects)})

    others = [{"kind": "ServiceAccount", "name": name, "namespace": "default"} for name in NAMES[:1000]]
    eventually(lambda: refused(fleet, bind(*others, others[0] | {"namespace": fleet.namespace}), "bindings"))
    assert bind(*others)[0] == 201


def test_a_binding_of_a_thousand_agents_can_get_labels_and_cannot_get_agents(fleet: Guarded, dev: Server) -> None:
    def binding(*names: str) -> Json:
        subjects = [{"kind": "ServiceAccount", "name": name, "namespace": fleet.namespace} for name in names]
        return {"metadata": {"name": "many"}, "roleRef": VIEW, "subjects": subjects}

    path = fleet.path("rolebindings", RBAC, dry_run=False)
    fleet.server.create(path, binding(*NAMES[:700]))
    assert dev.patch(f"{path}/many?dryRun=All", {"metadata": {"labels": {"seen": "yes"}}})[0] == 200
    assert dev.request("PUT", f"{path}/many?dryRun=All", binding(*NAMES[:600]))[0] == 200
    eventually(lambda: refused(fleet, dev.request("PUT", f"{path}/many?dryRun=All", binding(*NAMES[:701])), "bindings"))


def test_pods_of_the_agents_get_short_tokens(fleet: Guarded, cluster: Cluster) -> None:
    if tuple(int(part) for part in cluster.version.lstrip("v").split(".")[:2]) < (1, 36):
        pytest.skip(f"MutatingAdmissionPolicy v1 came with Kubernetes 1.36; this is {cluster.version}")

    def lifetime(name: str) -> int:
        made = fleet.server.create(fleet.path("pods"), pod(name, automountServiceAccountToken=True))
        seconds: int = made["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"]
        return seconds

    eventually(lambda: lifetime(ENDS[0]) == 3600)
    assert [lifetime(name) for name in ENDS] == [3600] * len(ENDS)
    assert lifetime("other") == 3600
