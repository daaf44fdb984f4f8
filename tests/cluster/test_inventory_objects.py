"""`verify` and `attack` find credentials, pods and objects of agents that the values do not declare.

Each test plants one difference, looks, types the command of the finding, and looks again: nothing is left.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_identities.chart.helm import Helm, Release, Renderer
from agent_identities.chart.objects import Key, thaw
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from agent_identities.declaration import Declaration, declare
from agent_identities.declared_objects import declared_objects
from agent_identities.inventory import Inventory
from agent_identities.inventory.pod_fields import differences
from agent_identities.kube.client import Api
from agent_identities.report.model import Finding, Severity
from agent_identities.toolchain import provide
from support.cases import cases
from support.looked import looked_at
from support.namespaces import own_namespace
from support.server import RBAC, Json, Server, eventually

ROLE = "arn:aws:iam::111122223333:role/cloudy"
VALUES = Values(
    overrides={
        "imagePullSecrets": [{"name": "registry"}],
        "network": {
            "enabled": True,
            "apiServer": {"cidrs": ["10.96.0.1/32"]},
            "cloud": {"aws": {"cidrs": ["192.0.2.0/24"]}},
        },
        "agents": {
            "bot": {"workload": {"image": "registry.example/bot:1"}},
            "helper": {},
            "brief": {"token": {"expirationSeconds": 900}},
            "shopper": {"access": "proxied"},
            "auto": {"token": {"mode": "automount"}},
            "cloudy": {"cloud": {"aws": {"roleArn": ROLE}}, "tokens": {"vault": {"audience": "vault.example"}}},
            "old": {"quarantined": True},
            "theirs": {"serviceAccount": {"create": False, "name": "their-bot"}},
            "gone": {"serviceAccount": {"create": False, "name": "gone-bot"}, "quarantined": True},
        },
    }
)
APPS, NETWORKING = "/apis/apps/v1", "/apis/networking.k8s.io/v1"


@pytest.fixture(scope="module")
def home(server: Server) -> Iterator[str]:
    """A namespace for all tests of this file."""
    with own_namespace(server) as name:
        yield name


@pytest.fixture(scope="module")
def declaration(chart: Path, home: str, helm_4: Helm, server: Server, cluster: Cluster) -> Declaration:
    """Installs VALUES, and waits for the pod of bot.

    No pod becomes ready here: only a Deployment with the strategy Recreate replaces its pods.
    """
    Release(helm_4, chart, "agents", home, cluster.kubeconfig, cluster.context).install(VALUES)
    server.create(f"/api/v1/namespaces/{home}/serviceaccounts", {"metadata": {"name": "their-bot"}})
    recreate = {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}
    status, answer = server.patch(f"{APPS}/namespaces/{home}/deployments/bot", recreate)
    assert status == 200, answer
    eventually(lambda: server.items(f"/api/v1/namespaces/{home}/pods"))
    return declare(VALUES.merged(chart), namespace=home)


PATHS = (
    f"{APPS}|deployments",
    "/apis/batch/v1|cronjobs",
    "/apis/batch/v1|jobs",
    f"{APPS}|replicasets",
    "/api/v1|pods",
    "/api/v1|secrets",
    "/api/v1|serviceaccounts",
    f"{NETWORKING}|networkpolicies",
)


@pytest.fixture(autouse=True)
def _restored(server: Server, home: str, declaration: Declaration) -> Iterator[None]:
    """After the test, deletes what it planted, and restores the objects of the release that it changed."""
    paths = [path.replace("|", f"/namespaces/{home}/") for path in PATHS]
    before = {f"{path}/{item['metadata']['name']}": item for path in paths for item in server.items(path)}
    yield
    for path in paths:
        for item in server.items(path):
            one = f"{path}/{item['metadata']['name']}"
            if one not in before and "bot" not in _owners(item):
                if item["metadata"].get("finalizers"):
                    server.patch(one, {"metadata": {"finalizers": None}})
                server.delete(f"{one}?propagationPolicy=Background")
    for one, item in before.items():
        resource = one.split("/")[-2]
        restored = resource in ("serviceaccounts", "networkpolicies", "deployments")
        if restored and _content(item) != _content(server.get(one)):
            metadata = {key: item["metadata"].get(key) or {} for key in ("labels", "annotations")}
            metadata["name"] = item["metadata"]["name"]
            status, answer = server.request("PUT", one, {**item, "metadata": metadata})
            assert status == 200, answer
    eventually(lambda: len(server.items(f"/api/v1/namespaces/{home}/pods")) == 1)


def _content(item: Json) -> Json:
    metadata = {key: item["metadata"].get(key) or {} for key in ("labels", "annotations")}
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}


def _owners(item: Json) -> str:
    """The names of the owners of an object."""
    return " ".join(each["name"] for each in item["metadata"].get("ownerReferences") or ())


@pytest.fixture
def looking(control_plane: Cluster, declaration: Declaration) -> Callable[[], Inventory]:
    def looked() -> Inventory:
        with Api(control_plane.access) as api:
            return looked_at(api, declaration, becoming=False)

    return looked


@pytest.fixture
def only(looking: Callable[[], Inventory]) -> Callable[[str], Finding]:
    """A function that returns the finding of a rule, and fails if there is another finding."""

    def found(rule: str) -> Finding:
        def ours() -> tuple[Finding, ...]:
            return looking().found

        findings = eventually(ours)
        assert [each.rule for each in findings] == [rule], findings
        return findings[0]

    return found


@pytest.fixture
def ends(control_plane: Cluster, looking: Callable[[], Inventory]) -> Callable[[Finding], None]:
    """Types every command of a finding that removes or fixes it, and waits until nothing is found."""

    def run(finding: Finding) -> None:
        commands = [line.partition(" it: ")[2] for line in finding.remediation if line.startswith(("To r", "To f"))]
        assert [each for each in commands if each.startswith("kubectl ")], finding
        path = f"{provide(['kubectl'])['kubectl'].path.parent}{os.pathsep}{os.environ['PATH']}"
        for command in filter(None, commands):
            environment = {**os.environ, "PATH": path, "KUBECONFIG": str(control_plane.kubeconfig)}
            done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (command, done.stderr)
        eventually(lambda: not looking().found)

    return run


def pod_spec(account: str, **fields: object) -> Json:
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "containers": [{"name": "c", "image": "registry.example/x:1"}],
        **fields,
    }


def labelled(agent: str) -> Json:
    return {"app": "planted", "agent-identities/agent": agent}


def projecting(**token: object) -> Json:
    source = {"serviceAccountToken": {"path": "token", **token}}
    return {"volumes": [{"name": "t", "projected": {"sources": [source]}}]}


def plant_pod(server: Server, home: str, account: str, labels: Json | None = None, **fields: object) -> None:
    metadata = {"name": "planted", "labels": labelled(account) if labels is None else labels}
    server.create(f"/api/v1/namespaces/{home}/pods", {"metadata": metadata, "spec": pod_spec(account, **fields)})


def plant_deployment(server: Server, home: str, account: str, labels: Json | None = None, **fields: object) -> None:
    labels = labelled(account) if labels is None else labels
    template = {"metadata": {"labels": labels}, "spec": pod_spec(account, **fields)}
    body = {
        "metadata": {"name": "planted"},
        "spec": {
            "selector": {"matchLabels": {"app": "planted"}},
            "strategy": {"type": "Recreate"},
            "template": template,
        },
    }
    server.create(f"{APPS}/namespaces/{home}/deployments", body)


def plant_token_secret(server: Server, home: str, account: str, name: str) -> None:
    metadata = {"name": name, "annotations": {"kubernetes.io/service-account.name": account}}
    body = {"metadata": metadata, "type": "kubernetes.io/service-account-token"}
    server.create(f"/api/v1/namespaces/{home}/secrets", body)


def patch_account(server: Server, home: str, name: str, change: Json) -> None:
    status, answer = server.patch(f"/api/v1/namespaces/{home}/serviceaccounts/{name}", change)
    assert status == 200, answer


Only = Callable[[str], Finding]
Ends = Callable[[Finding], None]


def test_nothing_is_found_in_a_new_release(looking: Callable[[], Inventory]) -> None:
    found = looking()
    assert (found.found, found.not_read, found.workloads) == ((), (), ())


# ---- token Secrets


def test_a_token_secret_of_an_agent_is_found(server: Server, home: str, only: Only, ends: Ends) -> None:
    plant_token_secret(server, home, "helper", "helper-forever")
    finding = only("token-secret")
    assert finding.location.object == Key("", "Secret", home, "helper-forever")
    assert finding.location.values == "agents.helper"
    ends(finding)


def test_token_secrets_of_several_accounts_share_a_finding(server: Server, home: str, only: Only, ends: Ends) -> None:
    for account in ("helper", "their-bot", "agent-proxy"):
        plant_token_secret(server, home, account, f"{account}-old")
    finding = only("token-secret")
    assert "3 Secrets" in finding.message
    ends(finding)


def test_a_token_secret_in_the_secrets_of_an_account_is_one_finding(
    server: Server, home: str, only: Only, ends: Ends
) -> None:
    plant_token_secret(server, home, "helper", "helper-token-x7k2p")
    patch_account(server, home, "helper", {"secrets": [{"name": "helper-token-x7k2p"}]})
    ends(only("token-secret"))


def test_secrets_of_other_types_and_of_other_accounts_are_not_found(
    server: Server, home: str, looking: Callable[[], Inventory]
) -> None:
    server.create(f"/api/v1/namespaces/{home}/serviceaccounts", {"metadata": {"name": "nobodys"}})
    plant_token_secret(server, home, "nobodys", "nobodys-token")
    annotations = {"kubernetes.io/service-account.name": "helper"}
    opaque = {"metadata": {"name": "opaque", "annotations": annotations}, "type": "Opaque"}
    server.create(f"/api/v1/namespaces/{home}/secrets", opaque)
    assert looking().found == ()


def test_a_pod_with_the_token_secret_of_another_account_is_found(
    server: Server, home: str, only: Only, ends: Ends
) -> None:
    server.create(f"/api/v1/namespaces/{home}/serviceaccounts", {"metadata": {"name": "admin"}})
    plant_token_secret(server, home, "admin", "admin-token")
    plant_pod(server, home, "helper", volumes=[{"name": "s", "secret": {"secretName": "admin-token"}}])
    finding = only("undeclared-token")
    assert "admin-token" in finding.message
    ends(finding)


# ---- ServiceAccounts


@pytest.mark.parametrize(
    ("account", "change", "part"),
    [
        ("helper", {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": ROLE}}}, "IAM role"),
        ("cloudy", {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": f"{ROLE}-2"}}}, "another value"),
        ("cloudy", {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": None}}}, "has no annotation"),
        ("helper", {"metadata": {"annotations": {"example.com/role": "admin"}}}, "example.com/role"),
        ("helper", {"metadata": {"annotations": {"helm.sh/resource-policy": "keep"}}}, "resource-policy"),
        ("agent-proxy", {"automountServiceAccountToken": True}, "mounts a token"),
        ("helper", {"automountServiceAccountToken": None}, "mounts a token"),
        ("auto", {"automountServiceAccountToken": False}, "mounts no token"),
        ("helper", {"imagePullSecrets": [{"name": "registry"}, {"name": "evil"}]}, "evil"),
        ("helper", {"imagePullSecrets": []}, "registry"),
        ("helper", {"metadata": {"labels": {"agent-identities/agent": "bot"}}}, "agent-identities/agent: bot"),
        ("helper", {"metadata": {"labels": {"agent-identities/agent": None}}}, "no label"),
        ("helper", {"secrets": [{"name": "some-file"}]}, "some-file"),
        ("their-bot", {"secrets": [{"name": "some-file"}]}, "some-file"),
    ],
)
def test_a_field_of_an_account_that_differs_is_found(
    server: Server, home: str, only: Only, ends: Ends, account: str, change: Json, part: str
) -> None:
    patch_account(server, home, account, change)
    finding = only("changed-account")
    assert finding.location.object == Key("", "ServiceAccount", home, account)
    assert part in finding.message
    ends(finding)


def test_accounts_with_the_same_difference_share_a_finding(server: Server, home: str, only: Only, ends: Ends) -> None:
    for account in ("helper", "brief", "shopper"):
        patch_account(server, home, account, {"automountServiceAccountToken": True})
    finding = only("changed-account")
    assert "3 ServiceAccounts" in finding.message
    ends(finding)


def test_records_of_tools_and_pull_secrets_of_openshift_are_not_found(
    server: Server, home: str, looking: Callable[[], Inventory]
) -> None:
    registry = {"name": "helper-dockercfg-x7k2p"}
    change = {
        "metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "a:/ServiceAccount:x/helper"}},
        "secrets": [registry],
        "imagePullSecrets": [{"name": "registry"}, registry],
    }
    patch_account(server, home, "helper", change)
    assert looking().found == ()


def test_the_fields_of_an_account_that_the_chart_does_not_create_are_not_compared(
    server: Server, home: str, looking: Callable[[], Inventory]
) -> None:
    patch_account(server, home, "their-bot", {"metadata": {"annotations": {"example.com/role": "theirs"}}})
    assert looking().found == ()


# ---- ServiceAccounts of quarantined agents


@pytest.mark.parametrize(
    "annotations",
    [
        {},
        {"helm.sh/resource-policy": "keep"},
        {"helm.sh/hook": "pre-install,pre-upgrade"},
        {"argocd.argoproj.io/hook": "PreSync"},
        {"argocd.argoproj.io/sync-options": "Validate=false, Prune=false"},
        {"kustomize.toolkit.fluxcd.io/prune": "disabled"},
    ],
)
def test_the_account_of_a_quarantined_agent_is_found_with_its_cause(
    server: Server, home: str, only: Only, ends: Ends, annotations: Json
) -> None:
    metadata = {"name": "old", "annotations": annotations, "labels": {"agent-identities/agent": "old"}}
    server.create(f"/api/v1/namespaces/{home}/serviceaccounts", {"metadata": metadata})
    finding = only("quarantined-account")
    assert finding.location.object == Key("", "ServiceAccount", home, "old")
    assert all(key in " ".join(finding.details) for key in annotations)
    ends(finding)


def test_the_account_of_a_quarantined_agent_that_the_chart_does_not_create_is_found(
    server: Server, home: str, only: Only, ends: Ends
) -> None:
    server.create(f"/api/v1/namespaces/{home}/serviceaccounts", {"metadata": {"name": "gone-bot"}})
    finding = only("quarantined-account")
    assert "serviceAccount.create is false" in finding.details[0]
    assert f"agent-identities quarantine gone-bot -n {home}" in " ".join(finding.remediation)
    ends(finding)


def test_an_account_that_a_finalizer_keeps_is_found(server: Server, home: str, only: Only, ends: Ends) -> None:
    path = f"/api/v1/namespaces/{home}/serviceaccounts"
    server.create(path, {"metadata": {"name": "old", "finalizers": ["example.com/stay"]}})
    server.delete(f"{path}/old")
    finding = only("quarantined-account")
    assert "example.com/stay" in finding.details[0]
    ends(finding)


# ---- pods


def test_a_pod_outside_the_deployment_of_the_release_is_found(
    server: Server, home: str, only: Only, ends: Ends
) -> None:
    plant_pod(server, home, "bot")
    finding = only("undeclared-pod")
    assert finding.location.object == Key("", "Pod", home, "planted")
    ends(finding)


def test_a_pod_of_another_deployment_is_found_with_the_deployment(
    server: Server, home: str, only: Only, ends: Ends
) -> None:
    plant_deployment(server, home, "bot")
    finding = only("undeclared-pod")
    assert finding.location.object == Key("apps", "Deployment", home, "planted")
    ends(finding)


def test_a_pod_of_a_cron_job_is_found_with_the_cron_job(server: Server, home: str, only: Only, ends: Ends) -> None:
    template = {"metadata": {"labels": labelled("bot")}, "spec": pod_spec("bot", restartPolicy="Never")}
    job = {"spec": {"template": template}}
    path = f"/apis/batch/v1/namespaces/{home}"
    cron = server.create(
        f"{path}/cronjobs",
        {"metadata": {"name": "nightly"}, "spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": job}},
    )
    owner = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": "nightly",
        "uid": cron["metadata"]["uid"],
        "controller": True,
    }
    server.create(f"{path}/jobs", {"metadata": {"name": "nightly-1", "ownerReferences": [owner]}, **job})
    finding = only("undeclared-pod")
    assert finding.location.object == Key("batch", "CronJob", home, "nightly")
    ends(finding)


def test_a_replica_set_with_the_name_of_the_releases_is_found(
    server: Server, home: str, only: Only, ends: Ends
) -> None:
    labels = {"app": "imitation", "agent-identities/agent": "bot", "pod-template-hash": "abc"}
    body = {
        "metadata": {"name": "bot-abc"},
        "spec": {
            "selector": {"matchLabels": {"app": "imitation"}},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec("bot")},
        },
    }
    server.create(f"{APPS}/namespaces/{home}/replicasets", body)
    finding = only("undeclared-pod")
    assert finding.location.object == Key("apps", "ReplicaSet", home, "bot-abc")
    ends(finding)


def test_a_pod_of_an_agent_without_a_workload_is_no_finding(
    server: Server, home: str, looking: Callable[[], Inventory]
) -> None:
    plant_deployment(server, home, "helper")
    (sentence,) = eventually(lambda: looking().workloads)
    assert looking().found == ()
    assert f"Deployment {home}/planted: 1 pod" in sentence


def test_a_pod_of_a_quarantined_agent_is_found(server: Server, home: str, looking: Callable[[], Inventory]) -> None:
    accounts = f"/api/v1/namespaces/{home}/serviceaccounts"
    server.create(accounts, {"metadata": {"name": "old"}})
    plant_pod(server, home, "old")
    server.delete(f"{accounts}/old")
    finding = next(each for each in looking().found if each.rule == "quarantined-pod")
    assert finding.location.object == Key("", "Pod", home, "planted")
    assert f"kubectl -n {home} delete pod planted" in finding.remediation[0]


# ---- tokens in pods


@pytest.mark.parametrize(
    ("planted", "account", "fields", "part"),
    [
        (plant_pod, "helper", {"automountServiceAccountToken": True}, "3607 s"),
        (plant_deployment, "helper", {"automountServiceAccountToken": True}, "3607 s"),
        (plant_deployment, "shopper", {"automountServiceAccountToken": True}, "no token"),
        (plant_pod, "shopper", projecting(expirationSeconds=600), "no token"),
        (plant_deployment, "helper", projecting(expirationSeconds=7200), "7200 s"),
        (plant_deployment, "helper", projecting(expirationSeconds=3607), "3607 s"),
        (plant_deployment, "brief", projecting(), "at most 900 s"),
        (plant_deployment, "helper", projecting(expirationSeconds=600, audience="vault.example"), "vault.example"),
        (plant_deployment, "cloudy", projecting(expirationSeconds=7200, audience="vault.example"), "at most 3600 s"),
    ],
)
def test_a_token_that_the_values_do_not_declare_is_found(
    server: Server,
    home: str,
    only: Only,
    ends: Ends,
    planted: Callable[..., None],
    account: str,
    fields: Json,
    part: str,
) -> None:
    planted(server, home, account, **fields)
    finding = only("undeclared-token")
    kind = Key("", "Pod", home, "planted") if planted is plant_pod else Key("apps", "Deployment", home, "planted")
    assert finding.location.object == kind
    assert part in finding.message
    ends(finding)


@pytest.mark.parametrize(
    ("account", "fields"),
    [
        ("helper", projecting(expirationSeconds=600)),
        ("auto", {"automountServiceAccountToken": True}),
        ("cloudy", projecting(expirationSeconds=3600, audience="vault.example")),
        ("cloudy", projecting(expirationSeconds=86400, audience="sts.amazonaws.com")),
        ("shopper", {}),
    ],
)
def test_declared_tokens_are_not_found(
    server: Server, home: str, looking: Callable[[], Inventory], account: str, fields: Json
) -> None:
    plant_pod(server, home, account, **fields)
    assert looking().found == ()


# ---- labels


def test_a_pod_with_the_label_of_an_agent_that_it_does_not_run_as_is_found(
    server: Server, home: str, only: Only, ends: Ends
) -> None:
    plant_pod(server, home, "default", labels=labelled("bot"))
    finding = only("agent-label")
    assert "another ServiceAccount" in finding.message
    ends(finding)


@pytest.mark.parametrize("planted", [plant_pod, plant_deployment])
def test_a_pod_without_the_label_of_its_agent_is_found(
    server: Server, home: str, only: Only, ends: Ends, planted: Callable[..., None]
) -> None:
    planted(server, home, "helper", labels={"app": "planted"})
    ends(only("agent-label"))


# ---- Deployments of the release


@pytest.mark.parametrize(
    ("change", "field", "part"),
    [
        ({"serviceAccountName": "helper", "serviceAccount": "helper"}, "serviceAccountName", "helper"),
        ({"containers": [{"name": "agent", "image": "evil.example/x"}]}, "containers[agent].image", "evil.example/x"),
        ({"containers": [{"name": "miner", "image": "evil.example/m"}]}, "containers[miner]", "miner"),
        ({"initContainers": [{"name": "first", "image": "evil.example/m"}]}, "containers[first]", "first"),
    ],
)
def test_a_changed_deployment_of_the_release_is_found(
    server: Server, home: str, looking: Callable[[], Inventory], ends: Ends, change: Json, field: str, part: str
) -> None:
    path = f"{APPS}/namespaces/{home}/deployments/bot"
    status, answer = server.patch(path, {"spec": {"template": {"spec": change}}})
    assert status == 200, answer
    (finding,) = [each for each in looking().found if each.rule == "changed-deployment"]
    assert finding.location.object == Key("apps", "Deployment", home, "bot")
    assert finding.location.field.endswith(field)
    assert part in finding.message
    ends(finding)


RUN: Json = {"exec": {"command": ["sh", "-c", "id"]}}


@pytest.mark.parametrize(
    ("of_container", "of_pod", "fields"),
    [
        (
            {
                "lifecycle": {"postStart": RUN},
                "env": [{"name": "LD_PRELOAD", "value": "/x"}],
                "envFrom": [{"configMapRef": {"name": "x"}}],
                "livenessProbe": RUN,
                "volumeMounts": [{"name": "theirs", "mountPath": "/x"}],
            },
            {
                "volumes": [{"name": "theirs", "configMap": {"name": "x"}}],
                "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["api"]}],
                "dnsPolicy": "None",
                "dnsConfig": {"nameservers": ["192.0.2.1"]},
                "imagePullSecrets": [{"name": "theirs"}],
                "shareProcessNamespace": True,
            },
            11,
        ),
        ({"securityContext": {"readOnlyRootFilesystem": None}, "tty": True}, {}, 2),
    ],
)
def test_fields_of_the_pod_template_that_the_values_do_not_declare_are_found(
    server: Server,
    home: str,
    looking: Callable[[], Inventory],
    ends: Ends,
    of_container: Json,
    of_pod: Json,
    fields: int,
) -> None:
    path = f"{APPS}/namespaces/{home}/deployments/bot"
    change = {"containers": [{"name": "agent", **of_container}], **of_pod}
    status, answer = server.patch(path, {"spec": {"template": {"spec": change}}})
    assert status == 200, answer
    (finding,) = [each for each in looking().found if each.rule == "changed-deployment"]
    assert finding.location.object == Key("apps", "Deployment", home, "bot")
    assert f" {fields} fields: " in finding.message
    restored = {"containers": [{"name": "agent", "securityContext": {"readOnlyRootFilesystem": True}}]}
    status, answer = server.patch(path, {"spec": {"template": {"spec": restored}}})  # as helm upgrade does
    assert status == 200, answer
    ends(finding)


def test_a_changed_replica_set_of_a_paused_deployment_is_found(
    server: Server, home: str, looking: Callable[[], Inventory], ends: Ends
) -> None:
    status, answer = server.patch(f"{APPS}/namespaces/{home}/deployments/bot", {"spec": {"paused": True}})
    assert status == 200, answer
    (current,) = (each for each in server.items(f"{APPS}/namespaces/{home}/replicasets") if each["spec"]["replicas"])
    path = f"{APPS}/namespaces/{home}/replicasets/{current['metadata']['name']}"
    change = {"containers": [{"name": "agent", "lifecycle": {"postStart": RUN}}]}
    status, answer = server.patch(path, {"spec": {"template": {"spec": change}}})
    assert status == 200, answer

    def found() -> list[Finding]:
        return [each for each in looking().found if each.rule == "changed-deployment"]

    (finding,) = eventually(found)
    assert finding.location.object == Key("apps", "ReplicaSet", home, current["metadata"]["name"])
    assert finding.location.field == "spec.template.spec.containers[agent].lifecycle.postStart"
    ends(finding)


def test_the_defaults_of_the_api_server_are_no_difference(server: Server, home: str, renderer: Renderer) -> None:
    compared = 0
    for case in (each for each in cases() if each.refusal is None and not each.files):
        declared = {one.name: declared_objects(case.declaration, one) for one in case.declaration.identities}
        if all(of.pod_spec is None for of in declared.values()):
            continue
        for deployment in renderer.render(case.given, case.target).objects.of_kind("Deployment"):
            body = {**thaw(deployment.body), "metadata": {"name": "dry-run"}}
            live = server.create(f"{APPS}/namespaces/{home}/deployments?dryRun=All", body)
            spec = declared[deployment.name].pod_spec
            assert spec is not None
            assert differences(live["spec"]["template"]["spec"], spec) == (), (case.name, deployment.name)
            compared += 1
    assert compared >= 20


def test_a_digest_that_a_webhook_adds_is_no_difference(
    server: Server, home: str, looking: Callable[[], Inventory]
) -> None:
    path = f"{APPS}/namespaces/{home}/deployments/bot"
    digest = f"registry.example/bot:1@sha256:{'0' * 64}"
    for image in (digest, "registry.example/bot:1"):
        change = {"spec": {"template": {"spec": {"containers": [{"name": "agent", "image": image}]}}}}
        status, answer = server.patch(path, change)
        assert status == 200, answer
        assert [each for each in looking().found if each.severity is Severity.ERROR] == []
    eventually(lambda: not looking().found)


def test_a_pod_of_the_release_with_another_image_is_a_warning(
    server: Server, home: str, only: Only, ends: Ends
) -> None:
    pods = f"/api/v1/namespaces/{home}/pods"
    (pod,) = server.items(pods)
    change = {"spec": {"containers": [{"name": "agent", "image": "evil.example/x"}]}}
    status, answer = server.patch(f"{pods}/{pod['metadata']['name']}", change)
    assert status == 200, answer
    finding = only("changed-pod")
    assert finding.severity is Severity.WARNING
    ends(finding)


# ---- NetworkPolicies

EVERYTHING: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]}
ONE: Json = {
    "podSelector": {"matchLabels": {"agent-identities/agent": "bot"}},
    "egress": [{}],
    "policyTypes": ["Egress"],
}
EXPRESSION: Json = {
    "podSelector": {"matchExpressions": [{"key": "agent-identities/instance-of", "operator": "DoesNotExist"}]},
    "policyTypes": ["Ingress"],
    "ingress": [{}],
}


@pytest.mark.parametrize("spec", [EVERYTHING, ONE, EXPRESSION])
def test_a_network_policy_that_allows_traffic_of_agents_is_found(
    server: Server, home: str, only: Only, ends: Ends, spec: Json
) -> None:
    path = f"{NETWORKING}/namespaces/{home}/networkpolicies"
    server.create(path, {"metadata": {"name": "opened"}, "spec": spec})
    finding = only("undeclared-network-policy")
    assert finding.location.object == Key("networking.k8s.io", "NetworkPolicy", home, "opened")
    ends(finding)


def test_a_network_policy_that_denies_or_selects_others_is_not_found(
    server: Server, home: str, looking: Callable[[], Inventory]
) -> None:
    path = f"{NETWORKING}/namespaces/{home}/networkpolicies"
    denies = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    others = {"podSelector": {"matchLabels": {"app": "database"}}, "ingress": [{}]}
    for name, spec in (("denies", denies), ("others", others)):
        server.create(path, {"metadata": {"name": name}, "spec": spec})
    assert looking().found == ()


@pytest.mark.parametrize("agent", ["helper", "old", "agent-proxy"])
def test_a_changed_or_deleted_network_policy_of_an_agent_is_found(
    server: Server, home: str, looking: Callable[[], Inventory], only: Only, ends: Ends, agent: str
) -> None:
    path = f"{NETWORKING}/namespaces/{home}/networkpolicies"
    before = server.get(f"{path}/{agent}")
    status, answer = server.patch(f"{path}/{agent}", {"spec": {"egress": [{}]}})
    assert status == 200, answer
    finding = only("changed-network-policy")
    assert "egress" in finding.message
    ends(finding)
    server.delete(f"{path}/{agent}")
    assert "does not exist" in only("changed-network-policy").message
    metadata = {key: before["metadata"][key] for key in ("name", "labels", "annotations")}
    server.create(path, {"metadata": metadata, "spec": before["spec"]})
    assert looking().found == ()


# ---- ServiceAccounts that existed before the release


def test_the_old_tokens_of_adopted_accounts_are_found(
    server: Server,
    namespace: str,
    chart: Path,
    control_plane: Cluster,
    release: Callable[[Helm], Release],
    either_helm: Helm,
) -> None:
    server.make_namespace(namespace)
    for name in ("billing-bot", "old-bot"):
        server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
        plant_token_secret(server, namespace, name, f"{name}-token")
    values = Values(
        overrides={
            "agents": {"billing-bot": {}, "legacy": {"serviceAccount": {"create": False, "name": "old-bot"}}},
            "adoptServiceAccounts": ["billing-bot"],
        }
    )
    release(either_helm).install(values, "--take-ownership")
    declaration = declare(values.merged(chart), namespace=namespace)
    with Api(control_plane.access) as api:
        (finding,) = looked_at(api, declaration, becoming=False).found
    assert finding.remediation[0] == (
        f"To remove it: kubectl -n {namespace} delete secret billing-bot-token old-bot-token"
    )


# ---- what the caller may not read


@pytest.fixture
def looking_as(
    server: Server, home: str, control_plane: Cluster, declaration: Declaration
) -> Callable[[list[Json]], Inventory]:
    """A function that looks as a ServiceAccount with these rules in the namespace."""

    def looked(rules: list[Json]) -> Inventory:
        where = f"{RBAC}/namespaces/{home}"
        server.create(f"{where}/roles", {"metadata": {"name": "viewer"}, "rules": rules})
        role_ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "viewer"}
        subjects = [{"kind": "ServiceAccount", "name": "viewer", "namespace": "default"}]
        binding = {"metadata": {"name": "viewer"}, "roleRef": role_ref, "subjects": subjects}
        server.create(f"{where}/rolebindings", binding)
        server.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "viewer"}})
        try:
            viewer = server.as_account("default", "viewer")
            eventually(lambda: viewer.request("GET", f"/api/v1/namespaces/{home}/serviceaccounts/helper")[0] == 200)
            with Api(control_plane.access) as api:
                mine = api.with_token(server.token("default", "viewer"))
                return looked_at(mine, declaration, becoming=False)
        finally:
            server.delete("/api/v1/namespaces/default/serviceaccounts/viewer")
            server.delete(f"{where}/rolebindings/viewer")
            server.delete(f"{where}/roles/viewer")

    return looked


def test_a_caller_that_may_only_get_accounts_reads_the_declared_ones(
    server: Server, home: str, looking_as: Callable[[list[Json]], Inventory]
) -> None:
    plant_token_secret(server, home, "helper", "helper-old")
    patch_account(server, home, "helper", {"secrets": [{"name": "helper-old"}]})
    found = looking_as([{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get"]}])
    (finding,) = found.found
    assert finding.rule == "changed-account"
    assert f"kubectl -n {home} delete secret helper-old" in finding.remediation[1]
    unread = [each.what for each in found.not_read]
    workloads = "Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, CronJobs, ReplicationControllers"
    for kind in ("ServiceAccounts", "Secrets", "Pods", workloads, "NetworkPolicies"):
        assert any(each.startswith(f"{kind} in namespace {home}") for each in unread), unread


def test_pods_are_judged_by_the_names_of_their_owners_if_owners_cannot_be_read(
    server: Server, home: str, looking_as: Callable[[list[Json]], Inventory]
) -> None:
    plant_pod(server, home, "bot")
    found = looking_as([{"apiGroups": [""], "resources": ["serviceaccounts", "pods"], "verbs": ["get", "list"]}])
    assert [(each.rule, each.location.object) for each in found.found] == [
        ("undeclared-pod", Key("", "Pod", home, "planted"))
    ]
    assert any("ReplicaSets" in each.what for each in found.not_read)
