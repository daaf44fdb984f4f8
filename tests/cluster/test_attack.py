"""`agent-identities attack` on a real API server finds every undeclared right."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from agent_identities.attack import report
from agent_identities.attack.result import Attack, Attempt
from agent_identities.attack.run import attack
from agent_identities.attack.tokens import TokenStatus
from agent_identities.attack.verdict import Outcome, rights_needed
from agent_identities.chart import values
from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.control_plane import ControlPlane, ControlPlaneConfig
from agent_identities.cluster.provide import Cluster
from agent_identities.declaration import Declaration, declare
from agent_identities.kube.client import Api
from agent_identities.kube.kubeconfig import load
from agent_identities.rbac import Catalogue, PolicyRule, Risk, rule_allows
from agent_identities.toolchain import DEFAULT_KUBERNETES
from support.server import RBAC, Json, Server, eventually

QUICKSTART = Path(__file__).parents[2] / "values" / "quickstart.yaml"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
WRITE_SECRETS = PolicyRule(("create", "patch"), ("",), ("secrets",))
CREATE_PODS = PolicyRule(("create",), ("",), ("pods",))
EVERYTHING = PolicyRule(("*",), ("*",), ("*",))

Attacking = Callable[..., Attack]
RecordProperty = Callable[[str, object], None]


@pytest.fixture(scope="session")
def catalogue(chart: Path) -> Catalogue:
    return Catalogue.load(chart / "files" / "risk-catalogue.json")


@pytest.fixture
def install(
    control_plane: Cluster, chart: Path, namespace: str, helm: Helm, release: Callable[[Helm], Release]
) -> Callable[..., Declaration]:
    """Installs values and returns what the values declare."""

    def run(file: Path) -> Declaration:
        release(helm).install(Values.read([file]))
        return declare(values.load(chart, [file]), namespace=namespace, kube_version=control_plane.version)

    return run


@pytest.fixture
def declaration(install: Callable[..., Declaration]) -> Declaration:
    """Installs values/quickstart.yaml."""
    return install(QUICKSTART)


@pytest.fixture
def attacking(control_plane: Cluster, catalogue: Catalogue) -> Attacking:
    def run(declaration: Declaration, *only: str) -> Attack:
        with Api(control_plane.access) as api:
            return attack(api, declaration, catalogue, only=only)

    return run


class ByHand:
    """Creates objects outside the release, and deletes them after the test, also cluster-scoped objects."""

    def __init__(self, server: Server, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        self._made: list[str] = []

    def create(self, collection: str, body: Json) -> None:
        self.server.create(collection, body)
        self._made.append(f"{collection}/{body['metadata']['name']}")

    def bind(
        self, name: str, *rules: PolicyRule, label: str = "oops", namespace: str = "", everywhere: bool = False
    ) -> str:
        """Creates a role and a binding, waits until the authorizer enforces them, and returns their name."""
        where = namespace or self.namespace
        title = f"{label}-{self.namespace}"
        collection, prefix = (RBAC, "Cluster") if everywhere else (f"{RBAC}/namespaces/{where}", "")
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": f"{prefix}Role", "name": title}
        who = [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}]
        self.create(
            f"{collection}/{prefix.lower()}roles",
            {"metadata": {"name": title}, "rules": [rule.to_manifest() for rule in rules]},
        )
        self.create(
            f"{collection}/{prefix.lower()}rolebindings",
            {"metadata": {"name": title}, "roleRef": role, "subjects": who},
        )
        for rule in rules:
            eventually(partial(self.may, name, rule, "" if everywhere else where))
        return title

    def may(self, name: str, rule: PolicyRule, namespace: str) -> bool:
        if rule.non_resource_urls:
            asked: Json = {"nonResourceAttributes": {"path": rule.non_resource_urls[0], "verb": rule.verbs[0]}}
        else:
            resource, _, subresource = rule.resources[0].partition("/")
            attributes = {"verb": rule.verbs[0], "group": rule.api_groups[0], "namespace": namespace}
            attributes |= {"resource": resource, "subresource": subresource, "name": (*rule.resource_names, "")[0]}
            asked = {"resourceAttributes": attributes}
        body = {"spec": {"user": f"system:serviceaccount:{self.namespace}:{name}", **asked}}
        answer = self.server.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
        return bool(answer["status"]["allowed"])

    def guard(self, resource: str, expression: str, canary: Callable[[], tuple[int, Json]]) -> str:
        """Creates an admission policy for the namespace, waits until it refuses the canary, and returns its name."""
        title = f"guard-{self.namespace}"
        ours = {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}}
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": [resource], "operations": ["CREATE"]}
        constraints = {"resourceRules": [rule], "namespaceSelector": ours}
        spec = {"matchConstraints": constraints, "validations": [{"expression": expression, "message": "not here"}]}
        self.create(f"{ADMISSION}/validatingadmissionpolicies", {"metadata": {"name": title}, "spec": spec})
        binding = {"policyName": title, "validationActions": ["Deny"]}
        self.create(f"{ADMISSION}/validatingadmissionpolicybindings", {"metadata": {"name": title}, "spec": binding})
        eventually(lambda: title in str(canary()[1].get("message")))
        return title

    def clear(self) -> None:
        for path in reversed(self._made):
            self.server.delete(path)


@pytest.fixture
def by_hand(server: Server, namespace: str) -> Iterator[ByHand]:
    made = ByHand(server, namespace)
    yield made
    made.clear()


def unexpected(found: Attack) -> dict[str, set[str]]:
    """The undeclared rights that were used, by agent."""
    used: dict[str, set[str]] = {}
    for each in found.of(Outcome.UNEXPECTED):
        if not each.request.control:
            used.setdefault(each.identity.name, set()).add(each.request.needs.action)
    return used


# ---- a correct release


def test_every_undeclared_request_of_the_quickstart_is_refused(
    declaration: Declaration, attacking: Attacking, record_property: RecordProperty
) -> None:
    found = attacking(declaration)
    for name, number in Counter(each.identity.name for each in found.attempts).items():
        record_property(f"requests by {name}", number)
    record_property("unexpected", found.count(Outcome.UNEXPECTED))
    record_property("not sent", found.count(Outcome.NOT_SENT))
    assert found.ok, found.to_markdown()
    harmless = {
        Outcome.RBAC,
        Outcome.ASKED,
        Outcome.TOKEN,
        Outcome.DECLARED,
        Outcome.EVERYONE,
    }
    assert {each.outcome for each in found.attempts} == harmless
    assert all(found.count(Outcome.RBAC, one) for one in declaration.identities)
    assert found.pairs == found.possible_pairs == 13 * 12


def test_declared_requests_and_positive_controls_succeed(declaration: Declaration, attacking: Attacking) -> None:
    found = attacking(declaration, "researcher", "sandboxed")
    controls = Counter(each.identity.name for each in found.attempts if each.request.control and each.status == 201)
    assert controls == {"researcher": 2, "sandboxed": 2}
    assert {each.identity.name for each in found.of(Outcome.DECLARED)} == {"researcher"}


def test_each_request_uses_a_token_that_is_bound_to_a_pod_of_the_agent(
    control_plane: Cluster, namespace: str, declaration: Declaration, attacking: Attacking
) -> None:
    if control_plane.audit_log is None:
        pytest.skip("needs the API server's audit log: run with --agent-identities-cluster embedded or kind")
    (holder,) = attacking(declaration, "researcher").holders
    pods = [
        event["user"].get("extra", {}).get("authentication.kubernetes.io/pod-name")
        for event in map(json.loads, control_plane.audit_log.read_text().splitlines())
        if event["user"].get("username") == f"system:serviceaccount:{namespace}:researcher"
    ]
    assert set(map(str, pods)) == {str([holder.pod])}


def test_the_requests_of_an_agent_with_all_rights_succeed_and_change_nothing(
    server: Server, namespace: str, declaration: Declaration, attacking: Attacking, by_hand: ByHand
) -> None:
    by_hand.bind("sandboxed", EVERYTHING, everywhere=True)
    before = objects(server, namespace)
    found = attacking(declaration, "sandboxed")
    assert found.count(Outcome.UNEXPECTED) > found.count(Outcome.RBAC)
    assert found.count(Outcome.NOT_SENT) == 0, found.to_markdown()
    assert found.leftovers == ()
    assert objects(server, namespace) == before


def objects(server: Server, namespace: str) -> dict[str, str]:
    """The version of every cluster-scoped object and of all objects in two namespaces, except events and leases."""
    found = {}
    beating = {"events", "leases"}
    groups = [f"/apis/{group['preferredVersion']['groupVersion']}" for group in server.get("/apis")["groups"]]
    for group in ["/api/v1", *groups]:
        for resource in server.get(group)["resources"]:
            if "list" not in resource["verbs"] or resource["name"] in beating:
                continue
            places = [f"/namespaces/{name}" for name in (namespace, "kube-system")] if resource["namespaced"] else [""]
            for place in places:
                path = f"{group}{place}/{resource['name']}"
                for item in server.items(path):
                    name, version = item["metadata"]["name"], item["metadata"].get("resourceVersion", "")
                    of_another_test = "test-" in name and namespace not in name
                    if not of_another_test and "deletionTimestamp" not in item["metadata"]:
                        found[f"{path}/{name}"] = version
    return found


# ---- undeclared rights


def test_an_undeclared_right_is_found_for_every_risk_of_the_catalogue(
    tmp_path: Path,
    install: Callable[..., Declaration],
    attacking: Attacking,
    by_hand: ByHand,
    catalogue: Catalogue,
    namespace: str,
    record_property: RecordProperty,
) -> None:
    """Agents without tiers, one for each risk. A binding outside the release grants the rules of the risk."""
    file = tmp_path / "fleet.yaml"
    names = [risk.id for risk in catalogue.risks]
    assert len(names) == 96
    file.write_text(yaml.safe_dump({"agents": {name: {"tiers": []} for name in (*names, "innocent")}}))
    declaration = install(file)
    bindings = {}
    for risk in catalogue.risks:
        extra = place_of(risk, catalogue, namespace)
        bindings[risk.id] = by_hand.bind(
            risk.id, *risk.bad, label=risk.id, namespace=extra.namespace, everywhere=extra.everywhere
        )
    found = attacking(declaration)
    assert not found.inconclusive
    assert found.count(Outcome.NOT_SENT) == 0, found.to_markdown()

    used: dict[str, list[Attempt]] = {}
    for each in found.of(Outcome.UNEXPECTED):
        if not each.request.control:
            used.setdefault(each.identity.name, []).append(each)
    record_property("rules found", len(set(used) & set(names)))
    record_property("rules", len(names))
    assert set(used) == set(names)  # neither `innocent` nor the proxy
    problems = []
    for risk in catalogue.risks:
        attempts = used[risk.id]
        problems += [f"{risk.id}: {rule} was not used" for rule in risk.bad if not any(uses(a, rule) for a in attempts)]
        problems += [
            f"{risk.id}: {a.request.method} {a.request.path} is none of its rights"
            for a in attempts
            if not any(uses(a, rule) for rule in risk.bad)
        ]
        problems += [
            f"{risk.id}: {a.allowed_by!r} is not {bindings[risk.id]}"
            for a in attempts
            if f'"{bindings[risk.id]}' not in a.allowed_by
        ]
    assert problems == []

    # No single request uses these rights. All other rights were found by a request that succeeded.
    only_asked = {name for name, attempts in used.items() if all(each.request.asks for each in attempts)}
    assert only_asked == {
        "verbs-unknown",
        "impersonate-group",
        "impersonate-extra-uid",
        "impersonate-constrained",
        "rbac-escalate",
        "rbac-bind",
        "scc-use",
    }


class Extra(NamedTuple):
    """The scope in which the rules of a risk must be bound, so that the risk applies."""

    namespace: str
    everywhere: bool = False


def place_of(risk: Risk, catalogue: Catalogue, namespace: str) -> Extra:
    for extra in (Extra(namespace), Extra("kube-system"), Extra("", everywhere=True)):
        met = catalogue.findings(risk.bad, cluster_wide=extra.everywhere, namespace=extra.namespace)
        urls = any(rule.non_resource_urls for rule in risk.bad)  # a Role cannot contain non-resource URLs
        if risk.id in {match.risk.id for match in met} and (extra.everywhere or not urls):
            return extra
    raise AssertionError(f"{risk.id}: its own rules do not match in any scope")


def uses(attempt: Attempt, rule: PolicyRule) -> bool:
    """Whether a rule allows one of the rights that a request needs."""
    return any(rule_allows(rule, right) for right in chain.from_iterable(rights_needed(attempt.request)))


def test_an_undeclared_right_on_one_sibling_is_found(
    namespace: str, declaration: Declaration, attacking: Attacking, by_hand: ByHand
) -> None:
    by_hand.bind("researcher", PolicyRule(("impersonate",), ("",), ("serviceaccounts",), ("triage-2",)), label="imp")
    by_hand.bind("researcher", PolicyRule(("create",), ("",), ("serviceaccounts/token",), ("triage-3",)), label="tok")
    found = attacking(declaration, "researcher")
    used = {(each.request.id, each.request.target) for each in found.of(Outcome.UNEXPECTED) if not each.request.control}
    assert used - {("undeclared-binding", namespace)} == {
        ("sibling-impersonate", "triage-2"),
        ("sibling-token", "triage-3"),
    }


def test_an_undeclared_right_in_another_namespace_is_found(
    declaration: Declaration, attacking: Attacking, by_hand: ByHand
) -> None:
    by_hand.bind("researcher", PolicyRule(("list",), ("",), ("services",)), namespace="default")
    found = attacking(declaration, "researcher", "sandboxed")
    assert unexpected(found) == {"researcher": {"list services"}}


@pytest.mark.parametrize("impersonation", ["legacy", "constrained"])
def test_requests_of_the_proxy_as_a_proxied_agent_are_compared_with_the_agents_tiers(
    control_plane: Cluster,
    tmp_path: Path,
    chart: Path,
    namespace: str,
    install: Callable[..., Declaration],
    attacking: Attacking,
    by_hand: ByHand,
    impersonation: str,
) -> None:
    if impersonation == "constrained" and control_plane.version < "v1.36":
        pytest.skip("constrained impersonation is on by default since Kubernetes 1.36")
    file = tmp_path / "proxied.yaml"
    agents = {"shopper": {"access": "proxied"}, "worker": {}}
    file.write_text(yaml.safe_dump({"proxy": {"impersonation": impersonation}, "agents": agents}))
    declaration = install(file)

    found = attacking(declaration, declaration.proxy.name)
    assert found.ok, found.to_markdown()
    through = Counter(each.outcome for each in found.attempts if each.request.id.startswith("through-proxy"))
    assert through[Outcome.RBAC]
    assert any(each.outcome is Outcome.DECLARED for each in found.attempts if each.request.id == "sibling-impersonate")

    by_hand.bind("shopper", PolicyRule(("list",), ("",), ("secrets",)), label="extra")
    by_hand.bind(
        declaration.proxy.name,
        PolicyRule(("impersonate-on:serviceaccount:list",), ("",), ("secrets",)),
        label="extra-acting",
    )
    again = attacking(declaration, declaration.proxy.name)
    used = {(each.request.id, each.request.target) for each in again.of(Outcome.UNEXPECTED) if not each.request.control}
    assert ("through-proxy-secret-list", "shopper") in used


# ---- guards


def test_a_request_that_a_guard_refuses_is_not_a_finding_and_the_guard_is_named(
    server: Server, namespace: str, declaration: Declaration, attacking: Attacking, by_hand: ByHand
) -> None:
    by_hand.bind("sandboxed", CREATE_PODS)
    user = f"system:serviceaccount:{namespace}:sandboxed"
    before = attacking(declaration, "sandboxed")
    assert unexpected(before) == {"sandboxed": {"create pods"}}
    token = Server.with_token(server, server.token(namespace, "sandboxed"))
    pod = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "c"}]}}
    name = by_hand.guard(
        "pods",
        f"request.userInfo.username != '{user}'",
        lambda: token.request("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", pod),
    )
    found = attacking(declaration, "sandboxed")
    guarded = found.of(Outcome.GUARD)
    assert {each.request.id for each in guarded} >= {"pod-as-sibling", "pod-with-secret", "sibling-pod-as"}
    assert {each.verdict.how for each in guarded} == {f"ValidatingAdmissionPolicy {name}: not here"}
    assert {each.request.needs.action for each in guarded} == {"create pods"}


def test_a_token_request_that_a_guard_refuses_is_reported_and_the_run_does_not_pass(
    server: Server, namespace: str, declaration: Declaration, attacking: Attacking, by_hand: ByHand
) -> None:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/researcher/token"
    name = by_hand.guard(
        "serviceaccounts/token", "request.name != 'researcher'", lambda: server.request("POST", path, {"spec": {}})
    )
    found = attacking(declaration, "researcher", "sandboxed")
    assert [(one.identity.name, one.token_status) for one in found.holders] == [
        ("researcher", TokenStatus.REFUSED),
        ("sandboxed", TokenStatus.READY),
    ]
    assert found.holders[0].note == f"ValidatingAdmissionPolicy {name}: not here"
    assert not found.ok
    assert not found.inconclusive
    assert "researcher" not in {each.identity.name for each in found.attempts}


# ---- failures


def test_an_agent_without_a_service_account_is_reported_and_the_run_does_not_pass(
    server: Server, namespace: str, declaration: Declaration, attacking: Attacking
) -> None:
    server.delete(f"/api/v1/namespaces/{namespace}/serviceaccounts/sandboxed")
    found = attacking(declaration, "sandboxed", "researcher")
    assert [one.identity.name for one in found.without_token] == ["sandboxed"]
    assert found.without_token[0].token_status is TokenStatus.ABSENT
    assert not found.ok
    assert not found.inconclusive


def test_missing_declared_rights_are_reported(
    server: Server, namespace: str, declaration: Declaration, attacking: Attacking, by_hand: ByHand
) -> None:
    server.delete(f"{RBAC}/namespaces/{namespace}/rolebindings/researcher-binding")
    get_pods = PolicyRule(("get",), ("",), ("pods",))
    eventually(lambda: not by_hand.may("researcher", get_pods, namespace))
    found = attacking(declaration, "researcher")
    assert {each.identity.name for each in found.of(Outcome.WITHHELD)} == {"researcher"}
    assert any("agent-identities verify" in note for note in report.notes(found))


def test_the_run_does_not_pass_if_the_server_stops_during_the_run(
    tmp_path: Path, chart: Path, helm: Helm, catalogue: Catalogue, request: pytest.FixtureRequest
) -> None:
    kubernetes = request.config.getoption("agent_identities_kubernetes") or DEFAULT_KUBERNETES
    with ControlPlane.start(tmp_path / "plane", ControlPlaneConfig(kubernetes=kubernetes)) as plane:
        Release(helm, chart, "agents", "agent-system", plane.kubeconfig, None).install(Values.read([QUICKSTART]))
        declaration = declare(values.load(chart, [QUICKSTART]), namespace="agent-system")

        apiserver = [plane.pids["kube-apiserver"]]

        def kill(done: int, _total: int) -> None:
            if done >= 500 and apiserver:
                os.kill(apiserver.pop(), signal.SIGKILL)

        with Api(load(plane.kubeconfig)) as api:
            found = attack(api, declaration, catalogue, on_progress=kill)
    assert found.count(Outcome.RBAC)  # from before
    assert found.count(Outcome.NOT_SENT)
    assert found.count(Outcome.UNEXPECTED) == 0
    assert not found.ok
    assert not found.inconclusive
    assert found.leftovers  # no server is left to delete the pods
    assert any("could not be sent" in finding.message for finding in found.findings)


# ---- the command


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the command."""
    command = [sys.executable, "-c", "from agent_identities.cli import main; main()", "attack", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)


@pytest.fixture
def here(control_plane: Cluster, namespace: str) -> list[str | Path]:
    """The options that select this cluster and namespace."""
    context = ["--context", control_plane.context] if control_plane.context else []
    return ["-f", QUICKSTART, "--kubeconfig", control_plane.kubeconfig, *context, "--namespace", namespace]


@pytest.mark.usefixtures("declaration")
def test_the_command_exits_with_0_if_every_undeclared_request_is_refused(here: list[str | Path]) -> None:
    done = run(*here, "--yes-attack", "--agent", "researcher", "--agent", "triage-1")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "0 unexpected · 0 not sent" in " ".join(done.stdout.split())


@pytest.mark.usefixtures("declaration")
def test_the_command_exits_with_1_and_names_the_request_and_its_binding(
    by_hand: ByHand, here: list[str | Path], namespace: str
) -> None:
    name = by_hand.bind("researcher", WRITE_SECRETS)
    done = run(*here, "--yes-attack", "--agent", "researcher", "--output", "json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    reported = {(each["needs"], each["status"]) for each in found["unexpected"] if each["id"] != "own-rules"}
    assert ("create secrets", 201) in reported
    assert {needs for needs, _ in reported} == {"create secrets", "patch secrets"}
    reasons = {each["allowedBy"] for each in found["unexpected"] if each["id"] != "own-rules"}
    assert all(f'RoleBinding "{name}/{namespace}"' in reason for reason in reasons)
    text = run(*here, "--yes-attack", "--agent", "researcher").stdout
    assert f"kubectl -n {namespace} delete rolebinding {name}" in text


@pytest.mark.usefixtures("declaration")
def test_the_command_sends_nothing_to_a_users_cluster_without_yes_attack(
    control_plane: Cluster, namespace: str, here: list[str | Path], server: Server
) -> None:
    done = run(*here)
    assert done.returncode == 2
    assert "--yes-attack" in done.stderr
    assert not [p for p in server.names(f"/api/v1/namespaces/{namespace}/pods") if "attack" in p]
    if control_plane.audit_log is not None:
        assert f'system:serviceaccount:{namespace}:researcher"' not in control_plane.audit_log.read_text()


def test_the_command_exits_with_2_if_no_agent_has_a_token(here: list[str | Path]) -> None:
    done = run(*here, "--yes-attack")
    assert done.returncode == 2, done.stderr
    assert "no ServiceAccount" in done.stdout
    assert "INCONCLUSIVE" in done.stdout


def test_the_command_exits_with_2_for_an_agent_that_the_values_do_not_declare(here: list[str | Path]) -> None:
    done = run(*here, "--yes-attack", "--agent", "nobody")
    assert done.returncode == 2
    assert "--agent nobody: the values declare no such ServiceAccount" in done.stderr


def test_the_command_exits_with_1_for_an_undeclared_account_with_the_label_of_an_agent(
    server: Server, namespace: str, declaration: Declaration, here: list[str | Path]
) -> None:
    assert declaration.namespace == namespace
    metadata = {"name": "ghost", "labels": {"agent-identities/agent": "ghost"}}
    server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": metadata})
    done = run(*here, "--yes-attack", "-o", "json")
    assert done.returncode == 1, done.stderr
    assert [each["rule"] for each in json.loads(done.stdout)["findings"]] == ["undeclared-account"]
