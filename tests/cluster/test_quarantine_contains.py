"""What a quarantine must withstand: failed upgrades, edited siblings, foreign accounts, and what goes on afterwards."""

import json
import os
import shlex
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from agent_identities import quarantine, quarantine_all
from agent_identities.chart.helm import Helm, HelmError, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from agent_identities.errors import AgentIdentitiesError
from agent_identities.quarantine.result import Outliving, OutlivingKind, Revocation
from support.server import RBAC, Json, Server, eventually

MakeRelease = Callable[[Helm], Release]
WORKLOAD = {"image": "registry.example/agent:1"}


def agents(**entries: Any) -> Values:
    return Values(overrides={"agents": entries})


def accounts(server: Server, namespace: str) -> set[str]:
    return server.names(f"/api/v1/namespaces/{namespace}/serviceaccounts") - {"default", "agent-proxy"}


def run_printed(result: Revocation, release: Release, helm: Helm) -> str:
    """Run the line that the command prints for this Helm, with the path of the chart for CHART."""
    major = helm.version.removeprefix("v")[0]
    line: str = json.loads(result.to_json())["upgrade"][f"helm{major}"]
    program, *words = shlex.split(line)
    assert program == "helm"
    where = ["--kubeconfig", str(release.kubeconfig), *(["--kube-context", release.context] if release.context else [])]
    return helm.run(*[str(release.chart) if word == "CHART" else word for word in words], *where)


# ---- the values after the command


@pytest.mark.parametrize(("before", "after"), [("helm_4", "helm_4"), ("helm_3", "helm_3"), ("helm_3", "helm_4")])
def test_the_printed_upgrade_works_after_a_failed_upgrade_and_with_a_scaled_sibling(
    request: pytest.FixtureRequest,
    server: Server,
    cluster: Cluster,
    release: MakeRelease,
    namespace: str,
    before: str,
    after: str,
) -> None:
    """The values of a failed upgrade are in the newest record, and not in force."""
    ours = release(request.getfixturevalue(before))
    ours.install(agents(worker={"workload": WORKLOAD}, suspect={}))
    worker = f"/apis/apps/v1/namespaces/{namespace}/deployments/worker"
    scale = server.get(f"{worker}/scale")
    status, answer = server.request("PUT", f"{worker}/scale", {**scale, "spec": {"replicas": 5}})
    assert status == 200, answer
    with pytest.raises(HelmError, match=r"not-there|conflict"):
        ours.upgrade(agents(suspect={"quarantined": True}, worker={"namespaces": {"not-there": ["proxy"]}}))

    done = quarantine("suspect", cluster, namespace=namespace)
    assert done.ok, done.to_text()
    assert done.values_change == {"agents": {"suspect": {"quarantined": True}}}
    assert any("Revision 2 of release agents is failed" in note for note in done.notes)
    run_printed(done, ours, request.getfixturevalue(after))
    assert accounts(server, namespace) == {"worker"}
    assert "already have the quarantine" in quarantine("suspect", cluster, namespace=namespace, dry_run=True).to_text()


def test_values_files_with_the_quarantine_do_not_hide_that_the_release_is_without_it(
    cluster: Cluster, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    from agent_identities import load

    release(helm).install(agents(suspect={}, other={}))
    given = load(overrides={"agents": {"suspect": {"quarantined": True}, "other": {}}}, namespace=namespace)
    done = quarantine("suspect", cluster, agents=given, dry_run=True)
    assert done.values_change == {"agents": {"suspect": {"quarantined": True}}}
    assert any("the deployed release does not" in note for note in done.notes)


def test_the_record_of_a_release_can_be_a_configmap(
    cluster: Cluster, release: MakeRelease, either_helm: Helm, namespace: str
) -> None:
    ours = release(either_helm)
    where = ["--namespace", namespace, "--create-namespace", "--kubeconfig", str(ours.kubeconfig)]
    where += ["--kube-context", ours.context] if ours.context else []
    values = agents(triage={"instances": 2})
    either_helm.run(
        "install", "agents", str(ours.chart), *where, values=values, env={**os.environ, "HELM_DRIVER": "configmap"}
    )
    done = quarantine("triage", cluster, namespace=namespace, dry_run=True)
    assert done.values_change == {"agents": {"triage": {"quarantined": True}}}
    with pytest.raises(AgentIdentitiesError, match="Did you mean triage-1"):
        quarantine("traige-1", cluster, namespace=namespace)


def test_an_uninstalled_release_has_no_upgrade(
    cluster: Cluster, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    ours = release(helm)
    ours.install(agents(suspect={}))
    ours.uninstall("--keep-history")
    done = quarantine("suspect", cluster, namespace=namespace, dry_run=True)
    assert not done.upgradable
    assert any("is uninstalled: Helm cannot upgrade it" in note for note in done.notes)
    assert done.values_change == {"agents": {"suspect": {"quarantined": True}}}


# ---- an upgrade that contains nobody


def test_an_upgrade_that_quarantines_an_unknown_agent_is_refused(
    server: Server, cluster: Cluster, release: MakeRelease, either_helm: Helm, namespace: str
) -> None:
    ours = release(either_helm)
    ours.install(agents(suspect={}, legacy={"serviceAccount": {"name": "old-bot"}}, other={}))
    reuse = "--reset-then-reuse-values"
    for typo in ("suspct", "agent-proxyy", "suspect-1"):
        with pytest.raises(HelmError, match=f'quarantines nobody: there is no agent "{typo}"'):
            run(ours, reuse, f"agents.{typo}.quarantined=true")
    with pytest.raises(HelmError, match="expands to the ServiceAccount"):
        run(ours, reuse, "agents.old-bot.quarantined=true")
    assert accounts(server, namespace) == {"suspect", "old-bot", "other"}

    run(ours, reuse, "agents.other.quarantined=true")
    run(ours, reuse, "agents.other.quarantined=true")  # now without a ServiceAccount
    assert quarantine("suspect", cluster, namespace=namespace).ok
    run(ours, reuse, "agents.suspect.quarantined=true")  # the command first, then the value
    assert accounts(server, namespace) == {"old-bot"}


def run(release: Release, reuse: str, assignment: str) -> None:
    where = ["-n", release.namespace, "--kubeconfig", str(release.kubeconfig)]
    where += ["--kube-context", release.context] if release.context else []
    release.helm.run("upgrade", release.name, str(release.chart), reuse, "--set", assignment, *where)


def test_without_the_right_to_record_the_agent_the_printed_values_have_another_key(
    server: Server, cluster: Cluster, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    """The proxy's RoleBinding is missing, so that the name cannot be recorded there."""
    ours = release(helm)
    ours.install(agents(suspect={}))
    server.delete(f"{RBAC}/namespaces/{namespace}/rolebindings/agent-proxy-binding")
    done = quarantine("suspect", cluster, namespace=namespace)
    assert done.values_change == {"agents": {"suspect": {"access": "direct", "quarantined": True}}}
    run_printed(done, ours, helm)
    assert accounts(server, namespace) == set()


# ---- an account that the chart does not create


def test_a_foreign_account_is_named_by_the_notes_and_removed_by_the_command(
    server: Server, cluster: Cluster, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    server.make_namespace(namespace)
    server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "old-bot"}})
    legacy: Json = {"serviceAccount": {"create": False, "name": "old-bot"}}
    ours = release(helm)
    ours.install(agents(legacy=legacy, other={}))
    notes = ours.upgrade(agents(legacy={**legacy, "quarantined": True}, other={}))
    assert "the ServiceAccount old-bot is not of this chart" in notes
    assert f"agent-identities quarantine old-bot -n {namespace}" in notes
    assert "old-bot" in accounts(server, namespace)

    ours.upgrade(agents(legacy=legacy, other={}))
    done = quarantine("legacy", cluster, namespace=namespace)
    assert done.ok, done.to_text()
    assert "the next helm upgrade restores the bindings of old-bot" in done.to_text()
    ours.upgrade(agents(legacy=legacy, other={}))
    assert "old-bot" not in accounts(server, namespace)
    assert "old-bot-binding" in server.names(f"{RBAC}/namespaces/{namespace}/rolebindings")
    notes = ours.upgrade(agents(legacy={**legacy, "quarantined": True}, other={}))
    assert "is not of this chart" not in notes
    assert "old-bot-binding" not in server.names(f"{RBAC}/namespaces/{namespace}/rolebindings")


# ---- what goes on after a quarantine


@contextmanager
def watching(server: Server, token: str, path: str) -> Iterator[list[bytes]]:
    """A watch that an agent with this token opens; the list gets what the API server sends."""
    url = urlsplit(server.client.url)
    context = ssl.create_default_context(cafile=server.client.config.cluster["certificate-authority"].filename())
    received: list[bytes] = []
    with (
        socket.create_connection((url.hostname or "", url.port or 443), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=url.hostname) as sock,
    ):
        request = f"GET {path}?watch=1&timeoutSeconds=31536000 HTTP/1.1\r\nHost: {url.hostname}\r\n"
        sock.sendall(f"{request}Authorization: Bearer {token}\r\n\r\n".encode())

        def read() -> None:
            while chunk := sock.recv(65536):
                received.append(chunk)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        eventually(lambda: received)
        assert b"200 OK" in received[0]
        yield received
        sock.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def by_kind(result: Revocation) -> dict[OutlivingKind, list[Outliving]]:
    found: dict[OutlivingKind, list[Outliving]] = {}
    for each in result.outlives:
        found.setdefault(each.kind, []).append(each)
    return found


def test_a_watch_goes_on_and_everything_else_that_outlives_the_quarantine_is_reported(
    server: Server, cluster: Cluster, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    reads = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}
    suspect = {
        "tiers": ["watcher"],
        "tokens": {"vault": {"audience": "vault.example", "expirationSeconds": 600}},
        "cloud": {"aws": {"roleArn": "arn:aws:iam::111122223333:role/triage"}},
        "workload": WORKLOAD,
    }
    ours = release(helm)
    ours.install(
        Values(overrides={"tiers": {"watcher": {"rules": [reads]}}, "agents": {"suspect": suspect, "other": {}}})
    )
    plant(server, namespace)
    configmaps = f"/api/v1/namespaces/{namespace}/configmaps"
    with watching(server, server.token(namespace, "suspect"), configmaps) as received:
        done = quarantine("suspect", cluster, namespace=namespace)
        assert done.ok, done.to_text()
        server.create(configmaps, {"metadata": {"name": "after-the-quarantine"}})
        eventually(lambda: b"after-the-quarantine" in b"".join(received))

    found = by_kind(done)
    kinds = OutlivingKind
    assert set(found) >= {kinds.CONNECTION, kinds.CLOUD}
    assert [each.what.partition("audience ")[2].split()[0] for each in found[kinds.AUDIENCE]] == [
        "sts.amazonaws.com.",
        "vault.example.",
    ]
    assert [str(each.object) for each in found[kinds.FINALIZER]] == [f"RoleBinding {namespace}/held"]
    assert [str(each.object) for each in found[kinds.ANNOTATION]] == [f"ServiceAccount {namespace}/suspect"]
    assert f"RoleBinding {namespace}/everybody" in {str(each.object) for each in found[kinds.GROUP]}
    assert [each.remediation.rpartition("delete ")[2] for each in found[kinds.CONTROLLER]] == ["deployment foreign"]
    assert [str(each.object) for each in found[kinds.POD]] == [f"Pod {namespace}/impostor"]
    assert [str(each.object) for each in found[kinds.TRAFFIC]] == [f"NetworkPolicy {namespace}/open"]
    held = server.get(f"{RBAC}/namespaces/{namespace}/rolebindings/held")
    assert "deletionTimestamp" in held["metadata"]
    assert "subjects" not in held
    free(server, f"{RBAC}/namespaces/{namespace}/rolebindings/held")
    assert "held" not in server.names(f"{RBAC}/namespaces/{namespace}/rolebindings")


def plant(server: Server, namespace: str) -> None:
    """Objects of others that keep something of the agent `suspect`."""
    rbac, core = f"{RBAC}/namespaces/{namespace}", f"/api/v1/namespaces/{namespace}"
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    subject = {"kind": "ServiceAccount", "name": "suspect", "namespace": namespace}
    group = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Group",
        "name": f"system:serviceaccounts:{namespace}",
    }
    held = {"name": "held", "finalizers": ["example.com/hold"]}
    server.create(f"{rbac}/rolebindings", {"metadata": held, "roleRef": ref, "subjects": [subject]})
    server.create(f"{rbac}/rolebindings", {"metadata": {"name": "everybody"}, "roleRef": ref, "subjects": [group]})
    kept = {"metadata": {"annotations": {"helm.sh/resource-policy": "keep"}}}
    assert server.patch(f"{core}/serviceaccounts/suspect", kept)[0] == 200
    policies = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
    server.create(policies, {"metadata": {"name": "open"}, "spec": {"podSelector": {}, "egress": [{}]}})
    containers = [{"name": "c", **WORKLOAD}]
    template = {
        "metadata": {"labels": {"app": "foreign"}},
        "spec": {"serviceAccountName": "suspect", "containers": containers},
    }
    server.create(
        f"/apis/apps/v1/namespaces/{namespace}/deployments",
        {
            "metadata": {"name": "foreign"},
            "spec": {"selector": {"matchLabels": {"app": "foreign"}}, "template": template},
        },
    )
    label = {"agent-identities/agent": "suspect"}
    server.create(
        f"{core}/pods",
        {
            "metadata": {"name": "impostor", "labels": label},
            "spec": {"serviceAccountName": "other", "containers": containers},
        },
    )
    eventually(lambda: server.items(f"{core}/pods?labelSelector=app%3Dforeign"))


def free(server: Server, path: str) -> None:
    assert server.patch(path, {"metadata": {"finalizers": None}})[0] == 200


def test_a_deleted_account_that_a_finalizer_keeps_is_reported_with_the_command_that_ends_it(
    server: Server, cluster: Cluster, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    """The quarantine was by the value alone."""
    ours = release(helm)
    ours.install(agents(suspect={}))
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/suspect"
    assert server.patch(path, {"metadata": {"finalizers": ["example.com/hold"]}})[0] == 200
    ours.upgrade(agents(suspect={"quarantined": True}))
    found = by_kind(quarantine("suspect", cluster, namespace=namespace, dry_run=True))[OutlivingKind.FINALIZER]
    assert [str(each.object) for each in found] == [f"ServiceAccount {namespace}/suspect"]
    assert f"kubectl -n {namespace} patch serviceaccount suspect --type=merge" in found[0].remediation
    free(server, path)
    assert accounts(server, namespace) == set()


def test_a_token_secret_that_stays_is_reported(
    server: Server, cluster: Cluster, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    release(helm).install(agents(suspect={}))
    secret = {"name": "forever", "annotations": {"kubernetes.io/service-account.name": "suspect"}}
    server.create(
        f"/api/v1/namespaces/{namespace}/secrets",
        {"metadata": secret, "type": "kubernetes.io/service-account-token"},
    )
    found = by_kind(quarantine("suspect", cluster, namespace=namespace, dry_run=True))
    assert [str(each.object) for each in found[OutlivingKind.SECRET]] == [f"Secret {namespace}/forever"]


# ---- all agents at once


def test_all_agents_are_quarantined_at_once_and_one_value_ends_it(
    server: Server, cluster: Cluster, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    entries: dict[str, Any] = {f"agent-{number}": {} for number in range(25)} | {"triage": {"instances": 2}}
    ours = release(helm)
    ours.install(agents(**entries))
    before = accounts(server, namespace)
    assert len(before) == 27
    done = quarantine_all(cluster, namespace=namespace)
    assert done.ok, done.to_text()
    assert accounts(server, namespace) == set()
    assert server.as_account(namespace, "agent-7").request("GET", f"/api/v1/namespaces/{namespace}/pods")[0] == 403
    assert server.as_account(namespace, "agent-proxy").request("GET", f"/api/v1/namespaces/{namespace}/pods")[0] == 200
    assert done.values_change == {"quarantined": True}
    run_printed(done, ours, helm)
    assert accounts(server, namespace) == set()
    assert "already have the quarantine" in quarantine_all(cluster, namespace=namespace, dry_run=True).to_text()
    run(ours, "--reset-then-reuse-values", "quarantined=false")
    assert accounts(server, namespace) == before


def test_with_agents_of_two_releases_the_release_must_be_named(
    cluster: Cluster, chart: Path, helm: Helm, namespace: str
) -> None:
    for name in ("one", "two"):
        values = {"proxy": {"name": f"{name}-proxy"}, "agents": {f"{name}-agent": {}}}
        Release(helm, chart, name, namespace, cluster.kubeconfig, cluster.context).install(Values(overrides=values))
    with pytest.raises(AgentIdentitiesError, match=r"several releases \(one, two\)"):
        quarantine_all(cluster, namespace=namespace)
    assert quarantine_all(cluster, namespace=namespace, release="two", dry_run=True).target.names == ("two-agent",)
