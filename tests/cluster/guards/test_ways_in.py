"""Which ways into an agent a guard in force closes: verify says so exactly if the API server refuses the request."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_identities.chart import values
from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from agent_identities.declaration import Declaration, declare
from agent_identities.inventory.ways_in import Entrant, Judged, Verdict
from agent_identities.kube.client import Api
from agent_identities.report.model import Finding, Severity
from support.certificates import log_in
from support.guarded import pod
from support.looked import looked_at
from support.namespaces import ADMISSION, own_namespace
from support.server import RBAC, Json, Server, eventually

RBAC_GROUP = "rbac.authorization.k8s.io"
AGENTS: Json = {"agents": {"bot": {}, "other": {}}}
DEPLOYERS = [
    {"kind": "User", "name": "deployer", "agents": ["bot"]},
    {"kind": "User", "name": "installer", "bindAgents": True},
]
ON_CALL = [{"kind": "User", "name": "on-call", "reason": "debugs agents in production"}]
GUARDED: Json = {**AGENTS, "guards": {"enabled": True, "deployers": DEPLOYERS}, "trustedSubjects": ON_CALL}
PROBE = "?dryRun=All"


class Installed:
    def __init__(self, server: Server, namespace: str, cluster: Cluster, declaration: Declaration) -> None:
        self.server, self.namespace, self.cluster, self.declaration = server, namespace, cluster, declaration

    def path(self, resource: str, group: str = "/api/v1") -> str:
        return f"{group}/namespaces/{self.namespace}/{resource}{PROBE}"

    def bind(self, user: str, role: str) -> None:
        ref = {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": role}
        subject = {"apiGroup": RBAC_GROUP, "kind": "User", "name": user}
        path = f"{RBAC}/namespaces/{self.namespace}/rolebindings"
        self.server.create(path, {"metadata": {"name": f"{user}-{role}"}, "roleRef": ref, "subjects": [subject]})

    def found(self, user: str) -> Entrant:
        with Api(self.cluster.access) as api:
            inventory = looked_at(api, self.declaration)
        assert inventory.entrants is not None
        (one,) = (each for each in inventory.entrants.subjects if each.subject.name == user)
        return one

    def refuses(self, answer: tuple[int, Json], guard: str) -> bool:
        named = f"ValidatingAdmissionPolicy 'agents.{self.namespace}.{guard}'" in answer[1].get("message", "")
        return answer[0] in (403, 422) and named


@pytest.fixture(scope="module")
def guarded(server: Server, cluster: Cluster, chart: Path, helm: Helm) -> Iterator[Installed]:
    with own_namespace(server) as namespace:
        ours = Release(helm, chart, "agents", namespace, cluster.kubeconfig, cluster.context)
        ours.install(Values(overrides=GUARDED))
        made = Installed(
            server, namespace, cluster, declare(values.load(chart, overrides=GUARDED), namespace=namespace)
        )
        eventually(lambda: made.refuses(server.request("POST", made.path("pods"), pod(None)), "default-account"))
        for user in ("eve", "deployer", "installer", "on-call"):
            made.bind(user, "admin")
        yield made


def ways(judged: tuple[Judged, ...]) -> set[str]:
    return {each.opening.way.id for each in judged}


def token_secret(made: Installed) -> Json:
    annotations = {"kubernetes.io/service-account.name": "bot"}
    return {"metadata": {"name": "t", "annotations": annotations}, "type": "kubernetes.io/service-account-token"}


def binding(made: Installed) -> Json:
    subject = {"kind": "ServiceAccount", "name": "bot", "namespace": made.namespace}
    ref = {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": "view"}
    return {"metadata": {"name": "b"}, "roleRef": ref, "subjects": [subject]}


CHANGE: Json = {"metadata": {"annotations": {"example.com/x": "y"}}}

REQUESTS: dict[str, Callable[[Installed, Server], tuple[int, Json]]] = {
    "run-as": lambda made, me: me.request("POST", made.path("pods"), pod("bot", "q")),
    "tokens": lambda made, me: me.request("POST", made.path("serviceaccounts/bot/token"), {"spec": {}}),
    "token-secrets": lambda made, me: me.request("POST", made.path("secrets"), token_secret(made)),
    "bindings": lambda made, me: me.request("POST", made.path("rolebindings", RBAC), binding(made)),
    "exec": lambda made, me: me.request("POST", made.path("pods/p/exec").replace(PROBE, "?command=id&stdout=true")),
    "accounts": lambda made, me: me.patch(made.path("serviceaccounts/bot"), CHANGE),
    "roles": lambda made, me: me.request("POST", made.path("roles", RBAC), {"metadata": {"name": "r"}, "rules": []}),
    "trust-anchor": lambda made, me: me.patch(made.path("configmaps/kube-root-ca.crt"), {"data": {"ca.crt": "x"}}),
    "records": lambda made, me: me.patch(made.path("secrets/sh.helm.release.v1.agents.v1"), CHANGE),
}
"""A request of each way that a guard closes. The key is the end of the policy's name."""
GUARD_OF = {
    "run-as": "runAs",
    "tokens": "tokens",
    "token-secrets": "tokenSecrets",
    "bindings": "bindings",
    "exec": "exec",
    "accounts": "accounts",
    "roles": "roles",
    "trust-anchor": "trustAnchor",
    "records": "records",
}


def test_a_namespace_admin_is_refused_by_the_guards_that_verify_names_and_keeps_the_other_ways(
    guarded: Installed,
) -> None:
    eve = log_in(guarded.server, "eve")
    guarded.server.create(guarded.path("pods").replace(PROBE, ""), pod("bot"))
    for policy, send in REQUESTS.items():
        assert eventually(lambda send=send, policy=policy: guarded.refuses(send(guarded, eve), policy))  # type: ignore[misc] # bound now, not later
    found = guarded.found("eve")
    assert {each.by for each in found.of(Verdict.REFUSED)} == {*GUARD_OF.values()}
    still_open = ways(found.of(Verdict.OPEN))
    assert "impersonate" in still_open
    assert not {"tokens", "pods", "bindings", "account", "roles", "trust-anchor", "helm-record"} & still_open


def test_what_verify_calls_open_with_guards_is_open(guarded: Installed) -> None:
    agent = f"system:serviceaccount:{guarded.namespace}:bot"
    eve = log_in(guarded.server, "eve")
    assert eve.as_user(agent).request("GET", guarded.path("pods").replace(PROBE, ""))[0] == 200


@pytest.mark.parametrize("policy", ["tokens", "bindings"])
def test_a_guard_without_its_binding_closes_nothing(guarded: Installed, policy: str) -> None:
    name = f"agents.{guarded.namespace}.{policy}"
    path = f"{ADMISSION}/validatingadmissionpolicybindings"
    found = guarded.server.get(f"{path}/{name}")
    guarded.server.delete(f"{path}/{name}")
    try:
        eve = log_in(guarded.server, "eve")
        eventually(lambda: REQUESTS[policy](guarded, eve)[0] == 201)
        assert GUARD_OF[policy] not in {each.by for each in guarded.found("eve").of(Verdict.REFUSED)}
        assert policy in ways(guarded.found("eve").of(Verdict.OPEN))
        with Api(guarded.cluster.access) as api:
            findings = looked_at(api, guarded.declaration).found
        assert any("not in force: " + GUARD_OF[policy] in line for each in findings for line in each.details)
    finally:
        guarded.server.create(
            path,
            {key: found[key] for key in ("spec",)}
            | {"metadata": {"name": name, "labels": found["metadata"]["labels"]}},
        )
        eventually(lambda: guarded.refuses(REQUESTS[policy](guarded, log_in(guarded.server, "eve")), policy))


def test_a_user_who_can_delete_a_guard_is_not_stopped_by_guards(guarded: Installed) -> None:
    name = f"remover-{guarded.namespace}"
    ref = {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": name}
    rules = [
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["validatingadmissionpolicybindings"],
            "resourceNames": [f"agents.{guarded.namespace}.tokens"],
            "verbs": ["delete"],
        }
    ]
    subject = {"apiGroup": RBAC_GROUP, "kind": "User", "name": name}
    guarded.bind(name, "edit")
    guarded.server.create(f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules})
    guarded.server.create(
        f"{RBAC}/clusterrolebindings", {"metadata": {"name": name}, "roleRef": ref, "subjects": [subject]}
    )
    found = guarded.found(name)
    assert {"guards", "tokens", "pods"} <= ways(found.of(Verdict.OPEN))
    assert not found.of(Verdict.REFUSED)


def test_subjects_that_the_values_trust_are_no_findings(guarded: Installed) -> None:
    assert {each.verdict for each in guarded.found("on-call").judged} == {Verdict.TRUSTED}
    deployer, installer = guarded.found("deployer"), guarded.found("installer")
    assert {"pods", "tokens"} <= ways(deployer.of(Verdict.DECLARED))
    assert {each.accounts for each in deployer.of(Verdict.DECLARED)} == {frozenset({"bot"})}
    assert {"pods", "tokens", "exec", "bindings"} <= ways(installer.of(Verdict.DECLARED))
    # Deployers run pods. They do not impersonate.
    assert "impersonate" in ways(deployer.of(Verdict.OPEN)) & ways(installer.of(Verdict.OPEN))


def test_a_guard_that_only_warns_closes_nothing(guarded: Installed) -> None:
    path = f"{ADMISSION}/validatingadmissionpolicybindings/agents.{guarded.namespace}.run-as"
    found = guarded.server.get(path)
    status, answer = guarded.server.request(
        "PUT", path, {**found, "spec": {**found["spec"], "validationActions": ["Warn"]}}
    )
    assert status == 200, answer
    try:
        eve = log_in(guarded.server, "eve")
        eventually(lambda: REQUESTS["run-as"](guarded, eve)[0] == 201)
        assert "pods" in ways(guarded.found("eve").of(Verdict.OPEN))
    finally:
        now = guarded.server.get(path)
        guarded.server.request("PUT", path, {**now, "spec": found["spec"]})


@pytest.mark.parametrize("expression", ["object.spec.nothing == 1", "object.spec.jobTemplate.spec.parallelism == 1"])
def test_a_guard_that_does_not_fit_the_types_is_a_warning(guarded: Installed, expression: str) -> None:
    name = f"agents.{guarded.namespace}.odd"
    rules = [
        {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]}
        for group, resource in (("apps", "deployments"), ("batch", "cronjobs"))
    ]
    path = f"{ADMISSION}/validatingadmissionpolicies"
    labels = guarded.server.get(f"{path}/agents.{guarded.namespace}.run-as")["metadata"]["labels"]
    spec = {"matchConstraints": {"resourceRules": rules}, "validations": [{"expression": expression}]}
    guarded.server.create(path, {"metadata": {"name": name, "labels": labels}, "spec": spec})

    def warnings() -> list[Finding]:
        with Api(guarded.cluster.access) as api:
            return [one for one in looked_at(api, guarded.declaration).found if one.rule == "guard-type-warning"]

    try:
        assert eventually(warnings)[0].location.field == "spec.validations[0].expression"
        assert "undefined field" in warnings()[0].details[0]
        assert warnings()[0].severity is Severity.WARNING
    finally:
        guarded.server.delete(f"{path}/{name}")
    assert not warnings()
