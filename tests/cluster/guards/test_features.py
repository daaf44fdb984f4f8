"""Features that depend on the minor version of Kubernetes, and the chart's behaviour without them."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agent_identities.chart.helm import Helm, HelmError, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.provide import Cluster
from support.guarded import only
from support.server import RBAC, Json, Server, eventually

MakeRelease = Callable[[Helm], Release]
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"
WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "YWdlbnQtaWRlbnRpdGllcw==",
    "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
}
PODS = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]


def minor(cluster: Cluster) -> int:
    """The minor version: 36 for v1.36.4."""
    return int(cluster.version.lstrip("v").split(".")[1])


@pytest.fixture(scope="module")
def account(server: Server) -> Server:
    """A ServiceAccount without bindings."""
    return server.as_account("default", "nobody-bound-this-one")


def serves_mutating_policies(server: Server, account: Server) -> bool:
    return any(resource["name"] == "mutatingadmissionpolicies" for resource in server.get(ADMISSION)["resources"])


def everyone_reads_trust_bundles(server: Server, account: Server) -> bool:
    asked = {"verb": "list", "group": "certificates.k8s.io", "resource": "clustertrustbundles"}
    answer = account.create(f"{AUTHORIZATION}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": asked}})
    return bool(answer["status"]["allowed"])


def exec_by_get_needs_create(server: Server, account: Server) -> bool:
    """A WebSocket starts with GET. Without `create` on pods/exec, new servers refuse it before they look up the pod."""
    name = "exec-by-get"
    rule = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subject = {"kind": "User", "apiGroup": ref["apiGroup"], "name": name}
    for path in (f"{RBAC}/namespaces/default/roles", f"{RBAC}/namespaces/default/rolebindings"):
        server.delete(f"{path}/{name}")
    server.create(f"{RBAC}/namespaces/default/roles", {"metadata": {"name": name}, "rules": [rule]})
    binding = {"metadata": {"name": name}, "roleRef": ref, "subjects": [subject]}
    server.create(f"{RBAC}/namespaces/default/rolebindings", binding)
    user = server.as_user(name)
    user = Server(user.client, user.headers | WEBSOCKET)
    path = "/api/v1/namespaces/default/pods/not-there/exec?command=true&stdout=true"

    eventually(lambda: "RBAC" in why(server, name, "get"))
    status, answer = user.request("GET", path)
    assert (status, answer["reason"]) in ((403, "Forbidden"), (404, "NotFound")), answer
    return status == 403


def why(server: Server, user: str, verb: str) -> str:
    """The authorizer's reason for a user's request to pods/exec."""
    asked = {"namespace": "default", "verb": verb, "resource": "pods", "subresource": "exec"}
    spec = {"user": user, "resourceAttributes": asked}
    return str(server.create(f"{AUTHORIZATION}/subjectaccessreviews", {"spec": spec})["status"].get("reason", ""))


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of servers from 1.``since`` on, and a function that asks the server for it."""

    name: str
    since: int
    there: Callable[[Server, Server], bool]


FEATURES = (
    Feature("MutatingAdmissionPolicy v1", 36, serves_mutating_policies),
    Feature("pods/exec by GET needs create, too", 35, exec_by_get_needs_create),
    Feature("every ServiceAccount may read ClusterTrustBundles", 37, everyone_reads_trust_bundles),
)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_is_present_from_its_version_on_and_absent_before(
    cluster: Cluster, server: Server, account: Server, feature: Feature
) -> None:
    assert feature.there(server, account) == (minor(cluster) >= feature.since)


def guards(switch: bool | str) -> Values:
    given = only("shortTokens", {"agents": {"a": {}}})
    given["guards"]["shortTokens"] = {"enabled": switch}
    return Values(overrides=given)


def test_enabled_short_tokens_are_refused_if_the_api_is_absent(
    cluster: Cluster, server: Server, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    ours = release(helm)
    if minor(cluster) >= 36:
        ours.install(guards(True))
        assert server.names(f"{ADMISSION}/mutatingadmissionpolicies") == {f"agents.{namespace}.short-tokens"}
        ours.uninstall()
    else:
        with pytest.raises(
            HelmError, match=r"guards\.shortTokens\.enabled: is true, and Kubernetes v1\.\d+\.\d+ has no"
        ):
            ours.install(guards(True))
        assert server.items(f"/api/v1/namespaces/{namespace}/serviceaccounts") == []


def test_automatic_short_tokens_are_installed_if_the_api_is_present(
    cluster: Cluster, server: Server, release: MakeRelease, helm: Helm, namespace: str
) -> None:
    ours = release(helm)
    ours.install(guards("auto"))
    installed = server.get(f"{ADMISSION}")["resources"]
    served = any(resource["name"] == "mutatingadmissionpolicies" for resource in installed)
    found = server.names(f"{ADMISSION}/mutatingadmissionpolicies") if served else set()
    ours.uninstall()
    assert found == ({f"agents.{namespace}.short-tokens"} if minor(cluster) >= 36 else set())


def proxied(impersonation: str) -> Values:
    overrides: Json = {
        "proxy": {"impersonation": impersonation},
        "tiers": {"pods": {"rules": PODS}},
        "agents": {"shopper": {"access": "proxied", "tiers": ["pods"]}},
    }
    return Values(overrides=overrides)


@pytest.mark.parametrize("impersonation", ["auto", "constrained", "legacy"])
def test_the_kind_of_impersonation_depends_on_the_server(
    cluster: Cluster, server: Server, release: MakeRelease, helm: Helm, namespace: str, impersonation: str
) -> None:
    """constrained is refused before 1.35. On 1.35 it needs a feature gate, and the notes of the release say so."""
    ours = release(helm)
    if impersonation == "constrained" and minor(cluster) < 35:
        with pytest.raises(HelmError, match=r"proxy\.impersonation: is constrained, but Kubernetes v1\.34"):
            ours.install(proxied(impersonation))
        return
    notes = ours.install(proxied(impersonation))
    proxy = server.with_token(server.token(namespace, "agent-proxy"))
    acts = proxy.as_account(namespace, "shopper").request("GET", f"/api/v1/namespaces/{namespace}/pods")[0]
    gated = impersonation == "constrained" and minor(cluster) == 35
    assert acts == (403 if gated else 200)
    assert ("only with the feature gate" in " ".join(notes.split())) == gated
    (rule,) = server.get(f"{RBAC}/namespaces/{namespace}/roles/agent-proxy-impersonation")["rules"][:1]
    legacy = impersonation == "legacy" or (impersonation == "auto" and minor(cluster) < 36)
    assert rule["verbs"] == (["impersonate"] if legacy else ["impersonate:serviceaccount"])
