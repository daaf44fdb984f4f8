import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from agent_identities.bundled import chart_path
from agent_identities.rbac import Catalogue, CatalogueError, PolicyRule, Risk, RoleRef

FILE: Final = chart_path() / "files/risk-catalogue.json"
CATALOGUE: Final = Catalogue.load(FILE)
RISKS: Final = {risk.id: risk for risk in CATALOGUE.risks}

READ, UPDATE = "get,list,watch", "update,patch"
WRITE = "create,update,patch"


def rule(verbs: str, resources: str, groups: str = "", names: str | None = None) -> PolicyRule:
    """A rule from comma-separated lists. With `names` None, it has no resource names."""
    resource_names = () if names is None else tuple(names.split(","))
    return PolicyRule(tuple(verbs.split(",")), tuple(groups.split(",")), tuple(resources.split(",")), resource_names)


def urls(verbs: str, *paths: str) -> PolicyRule:
    return PolicyRule(tuple(verbs.split(",")), non_resource_urls=paths)


def risks_of(*rules: PolicyRule, namespace: str | None = None) -> set[str]:
    """The risks of the rules of one subject, in `namespace` or cluster-wide."""
    findings = CATALOGUE.findings(rules, cluster_wide=namespace is None, namespace=namespace or "")
    return {match.risk.id for match in findings}


# The other risks that the bad rules of each risk also have, if they are granted cluster-wide.
COMPANIONS: Final = {
    "wild-all": {"wild-verb", "wild-resource-read", "wild-resource-write", "wild-apigroup"},
    "wild-verb": {
        "configmap-write-kube-system",
        "configmap-write",
        "configmap-read-wide",
        "delete-collection",
        "create-unbounded",
    },
    "wild-apigroup": {"secret-read"},
    "wild-subresource": {"pod-exec"},
    "names-empty-string": {"names-on-nameless-verb", "secret-read"},
    "names-on-nameless-verb": {"configmap-write-kube-system"},
    "rbac-delete": {"delete-collection"},
    "workload-template-write": {"create-unbounded"},
    "pod-exec-get": {"pod-exec"},
    "pod-delete": {"delete-any"},
    "node-proxy-get": {"node-proxy"},
    "configmap-write-kube-system": {"configmap-write"},
    "configmap-write": {"configmap-write-kube-system"},
    "lease-write-kube-system": {"lease-write"},
    "lease-write": {"lease-write-kube-system"},
    "create-unbounded": {"configmap-write", "configmap-write-kube-system"},
    "unknown-kind-write": {"create-unbounded"},
} | {
    risk: {"create-unbounded"}
    for risk in (
        "rbac-role-write",
        "rbac-binding-write",
        "secret-write",
        "csr-create",
        "trustbundle-write",
        "auth-delegator",
        "pod-create",
        "workload-write",
        "resource-claim-write",
        "servicecidr-write",
        "crd-workload-write",
        "crd-gitops-write",
        "crd-secret-write",
        "crd-cloud-write",
        "crd-admission-write",
        "crd-identity-write",
        "crd-network-write",
        "map-write",
        "apiservice-write",
        "flowcontrol-write",
        "priority-runtimeclass-write",
        "namespace-create",
        "endpoints-write",
        "ingress-gateway-write",
        "pv-write",
        "storageclass-write",
        "snapshot-clone",
        "events-write",
    )
}


def test_the_catalogue_has_every_risk() -> None:
    assert len(RISKS) == 96


@pytest.mark.parametrize("risk", RISKS.values(), ids=lambda risk: risk.id)
def test_the_bad_rules_of_a_risk_have_exactly_that_risk_and_its_companions(risk: Risk) -> None:
    assert risks_of(*risk.bad) == {risk.id} | COMPANIONS.get(risk.id, set())


@pytest.mark.parametrize("risk", RISKS.values(), ids=lambda risk: risk.id)
def test_a_cluster_scoped_risk_requires_a_cluster_role_binding(risk: Risk) -> None:
    only_in_kube_system = risk.id in ("configmap-write-kube-system", "lease-write-kube-system")
    assert (risk.id in risks_of(*risk.bad, namespace="agents")) == (risk.scope == "any" and not only_in_kube_system)


@pytest.mark.parametrize("risk", [risk for risk in RISKS.values() if len(risk.parts) > 1], ids=lambda risk: risk.id)
def test_a_risk_of_two_parts_requires_both(risk: Risk) -> None:
    assert [risk.id in risks_of(part) for part in risk.bad] == [False, False]


def test_a_risk_of_two_parts_has_a_match_for_each_rule() -> None:
    rules = [rule(READ, "pods"), *RISKS["csr-sign"].bad]
    findings = CATALOGUE.findings(rules, cluster_wide=True, namespace="")
    assert [(match.risk.id, match.rule_index) for match in findings] == [("csr-sign", 1), ("csr-sign", 2)]


def replaced(dimension: str, value: str) -> Callable[[PolicyRule], PolicyRule]:
    def apply(rule: PolicyRule) -> PolicyRule:
        return replace(rule, **{dimension: (value,)})

    return apply


def with_condition(dimension: str) -> list[Risk]:
    return [
        risk for risk in RISKS.values() if all(getattr(pattern, dimension) for part in risk.parts for pattern in part)
    ]


@pytest.mark.parametrize(
    ("risk", "change"),
    [
        pytest.param(risk, replaced(dimension, value), id=f"{risk.id}-{dimension}")
        for dimension, value in (("api_groups", "example.org"), ("resources", "widgets"), ("verbs", "attest"))
        for risk in with_condition(dimension)
    ],
)
def test_a_rule_with_another_group_resource_or_verb_does_not_have_the_risk(
    risk: Risk, change: Callable[[PolicyRule], PolicyRule]
) -> None:
    assert risk.id not in risks_of(*(change(rule) for rule in risk.bad))


@pytest.mark.parametrize(
    ("risk", "rules"),
    [
        ("wild-all", [rule("*", "*", "apps")]),
        ("wild-verb", [rule("get,list,watch,create,update,patch,delete", "configmaps")]),
        ("wild-resource-read", [rule("create", "*")]),
        ("wild-resource-read", [rule("get", "pods/*,*/log")]),
        ("wild-resource-write", [rule(READ, "*")]),
        ("wild-apigroup", [rule("get", "*", ",apps")]),
        ("wild-subresource", [rule("get", "pods/*,*")]),
        ("wild-nonresource", [urls("get", "/metrics", "/healthz", "/healthz/*", "/openapi/*", "/apis/*")]),
        ("names-empty-string", [rule("list", "secrets"), rule("get", "secrets", names="a")]),
        ("names-on-nameless-verb", [rule("get,update,patch,delete", "configmaps", names="a"), rule("create", "pods")]),
        ("names-on-nameless-verb", [rule("create", "serviceaccounts/token,pods/exec", names="a")]),
        ("verbs-unknown", [rule("get,impersonate,impersonate:serviceaccount,impersonate-on:user-info:get", "pods")]),
        ("verbs-unknown", [rule("*", "pods"), rule("bind,escalate,use,approve,sign,attest", "pods")]),
        ("verbs-unknown", [urls("get,post,head", "/healthz")]),
        ("impersonate-user", [rule("impersonate", "serviceaccounts"), rule("get", "users")]),
        ("impersonate-extra-uid", [rule("impersonate", "userextras", "authentication.k8s.io")]),
        ("impersonate-constrained", [rule("impersonate", "serviceaccounts")]),
        ("rbac-bind", [rule("bind", "rolebindings,clusterrolebindings", "rbac.authorization.k8s.io")]),
        ("rbac-role-write", [rule(READ, "roles", "rbac.authorization.k8s.io")]),
        ("sa-token-create", [rule("create", "serviceaccounts"), rule("get", "serviceaccounts/token")]),
        ("secret-read", [rule("create,delete", "secrets"), rule(READ, "secrets/status")]),
        ("pod-create", [rule("create", "pods/eviction,pods/*")]),
        ("workload-write", [rule(f"{READ},delete", "deployments", "apps"), rule(WRITE, "deployments/scale", "apps")]),
        ("workload-write", [rule(WRITE, "deployments", "batch"), rule(WRITE, "jobs", "apps")]),
        ("pod-exec", [rule("create,get", "pods/*,pods"), rule("delete", "pods/exec")]),
        ("pod-exec-get", [rule("create", "pods/exec,pods/attach,pods/portforward")]),
        ("pod-proxy", [rule("get", "nodes/proxy,pods,services")]),
        ("pod-log-delete", [rule("get", "pods/log")]),
        ("pod-delete", [rule("create", "pods"), rule("delete", "pods/log")]),
        ("workload-scale", [rule("get", "deployments/scale", "apps"), rule("patch", "deployments", "apps")]),
        ("crd-workload-write", [rule(READ, "sandboxes", "agents.x-k8s.io"), rule(WRITE, "appprojects", "argoproj.io")]),
        ("crd-workload-write", [rule("delete", "sandboxes", "agents.x-k8s.io"), rule(WRITE, "pods", "*")]),
        ("crd-gitops-write", [rule(READ, "applications", "argoproj.io"), rule(WRITE, "workflows", "argoproj.io")]),
        (
            "crd-secret-read",
            [rule(READ, "sealedsecrets", "bitnami.com"), rule("delete", "tokens", "management.cattle.io")],
        ),
        (
            "crd-cloud-write",
            [rule(WRITE, "x", "services.k8s.aws.example.com"), rule(READ, "x", "iam.services.k8s.aws")],
        ),
        ("crd-cloud-write", [rule(WRITE, "pods", "*")]),
        ("scc-use", [rule(WRITE, "securitycontextconstraints", "security.openshift.io")]),
        ("aggregated-proxy", [rule("get", "virtualmachineinstances", "subresources.kubevirt.io")]),
        ("apiservice-write", [rule(READ, "apiservices", "apiregistration.k8s.io")]),
        ("workload-template-write", [rule(READ, "controllerrevisions", "apps"), rule(WRITE, "podtemplates", "apps")]),
        ("csidriver-write", [rule(WRITE, "csinodes,storageclasses", "storage.k8s.io")]),
        (
            "status-write",
            [rule(WRITE, "pods/status,services/status"), rule(READ, "ingresses/status", "networking.k8s.io")],
        ),
        ("node-proxy", [rule("get", "nodes,nodes/metrics,pods/proxy")]),
        ("node-proxy-get", [rule("create", "nodes/proxy")]),
        ("node-subresource", [rule("get", "nodes"), rule("delete", "nodes/log")]),
        ("node-write", [rule(READ, "nodes"), rule("get", "nodes/status")]),
        ("namespace-patch", [rule("get,delete", "namespaces"), rule("patch", "namespaces/status")]),
        ("namespace-create", [rule("get,patch", "namespaces")]),
        ("namespace-delete", [rule("get,update", "namespaces")]),
        ("service-write", [rule(f"{READ},delete", "services"), rule("patch", "services/status")]),
        ("service-status-write", [rule("patch", "services"), rule("get", "services/status")]),
        ("configmap-write", [rule("get,update,patch", "configmaps", names="own-state"), rule(READ, "configmaps")]),
        ("configmap-write-kube-system", [rule(READ, "configmaps")]),
        ("lease-write", [rule("get,update,patch", "leases", "coordination.k8s.io", names="own")]),
        ("delete-collection", [rule("delete", "deployments", "apps")]),
        ("delete-any", [rule("delete", "configmaps"), rule("deletecollection", "deployments", "apps")]),
        ("create-unbounded", [rule("create", "pods/eviction"), rule("create,patch", "configmaps", names="own")]),
        ("csr-approve", [rule("update", "certificatesigningrequests/approval", "certificates.k8s.io")]),
        ("csr-create", [rule("create", "certificatesigningrequests/approval", "certificates.k8s.io")]),
    ],
)
def test_a_similar_rule_does_not_have_the_risk(risk: str, rules: list[PolicyRule]) -> None:
    assert risk in RISKS
    assert risk not in risks_of(*rules)


@pytest.mark.parametrize(
    ("risk", "rules"),
    [
        ("secret-read", [rule("*", "secrets")]),
        ("secret-read", [rule("get", "secrets", "*")]),
        ("secret-read", [rule("get", "pods,secrets", "apps,")]),
        ("pod-exec", [rule("get", "*/exec")]),
        ("node-proxy-get", [rule("get", "*/proxy")]),
        ("sa-token-create", [rule("create", "*/token")]),
        ("workload-scale", [rule("patch", "rollouts/scale", "argoproj.io")]),
        ("impersonate-extra-uid", [rule("impersonate", "userextras/anything", "authentication.k8s.io")]),
        ("impersonate-constrained", [rule("impersonate-on:serviceaccount:get", "pods")]),
        ("wild-nonresource", [urls("get", "/debug/*")]),
        ("wild-nonresource", [urls("get", "/a*")]),
        ("verbs-unknown", [urls("list", "/healthz")]),
        ("names-on-nameless-verb", [rule("*", "configmaps", names="a")]),
        ("trustbundle-write", [rule("attest", "signers", "certificates.k8s.io")]),
        ("auth-delegator", [rule("create", "tokenreviews", "authentication.k8s.io")]),
        ("crd-workload-write", [rule("patch", "anything", "kagent.dev")]),
        ("crd-workload-write", [rule("create", "anything", "apps,kagent.dev")]),
        ("crd-workload-write", [rule("*", "rayjobs/status", "ray.io")]),
        ("crd-gitops-write", [rule("delete", "appprojects", "argoproj.io")]),
        ("crd-gitops-write", [rule("patch", "gitrepositories", "source.toolkit.fluxcd.io")]),
        ("crd-cloud-write", [rule("patch", "roles", "iam.aws.upbound.io")]),
        ("crd-cloud-write", [rule("create", "machines", "infrastructure.cluster.x-k8s.io")]),
        ("crd-cloud-write", [rule("create", "buckets", "storage.azure.com")]),
        ("crd-identity-write", [rule("create", "rolebindings", "authorization.openshift.io")]),
        ("crd-network-write", [rule("delete", "anything", "security.istio.io")]),
        ("scc-use", [rule("use", "*", "security.openshift.io")]),
        ("scc-use", [rule("*", "securitycontextconstraints", "*")]),
        ("aggregated-proxy", [rule("get", "virtualmachineinstances/vnc", "subresources.kubevirt.io")]),
        ("apiservice-write", [rule("deletecollection", "apiservices", "apiregistration.k8s.io")]),
        ("workload-write", [rule("create", "jobs", "batch")]),
        ("workload-template-write", [rule("create", "podtemplates")]),
        ("trustbundle-write", [rule("patch", "podcertificaterequests/status", "certificates.k8s.io")]),
        ("configmap-write", [rule("create", "configmaps")]),
        ("configmap-write", [rule("patch", "configmaps", names="own,kube-root-ca.crt")]),
        ("configmap-write", [rule("update", "configmaps", names="istio-ca-root-cert")]),
        ("configmap-write", [rule("patch", "configmaps", names="cluster-info")]),
        ("delete-any", [rule("delete", "serviceaccounts,persistentvolumes")]),
        ("pod-delete", [rule("create", "pods/eviction")]),
        ("namespace-delete", [rule("update", "namespaces/finalize")]),
        ("map-write", [rule("delete", "mutatingadmissionpolicies", "admissionregistration.k8s.io")]),
        ("vap-write", [rule("deletecollection", "validatingadmissionpolicies", "admissionregistration.k8s.io")]),
    ],
)
def test_a_risk_is_found_in_every_notation(risk: str, rules: list[PolicyRule]) -> None:
    assert risk in risks_of(*rules)


@pytest.mark.parametrize(
    ("grant", "risks"),
    [
        (rule(READ, "*"), {"wild-resource-read"}),
        (rule("delete", "*"), {"wild-resource-write"}),
        (rule("get", "*,secrets"), {"wild-resource-read"}),
        (rule("*", "*"), {"wild-verb", "wild-resource-read", "wild-resource-write"}),
    ],
)
def test_all_resources_have_only_the_wildcard_risks(grant: PolicyRule, risks: set[str]) -> None:
    assert risks_of(grant) == risks


@pytest.mark.parametrize(
    ("grant", "risks"),
    [
        (rule("impersonate", "*"), {"impersonate-user", "impersonate-group", "impersonate-sa"}),
        (rule("bind,escalate", "*", "rbac.authorization.k8s.io"), {"rbac-bind", "rbac-escalate"}),
        (rule("impersonate:serviceaccount", "*", "authentication.k8s.io"), {"impersonate-constrained"}),
    ],
)
def test_all_resources_with_special_verbs_have_the_risks_of_these_verbs(grant: PolicyRule, risks: set[str]) -> None:
    assert risks_of(grant) == risks


@pytest.mark.parametrize(("namespace", "found"), [("kube-system", True), ("agents", False), (None, True)])
def test_config_maps_of_the_system_are_in_kube_system(namespace: str | None, *, found: bool) -> None:
    assert ("configmap-write-kube-system" in risks_of(rule("patch", "configmaps"), namespace=namespace)) is found


@pytest.mark.parametrize(("namespace", "found"), [("kube-system", True), ("kube-node-lease", True), ("agents", False)])
@pytest.mark.parametrize("names", [None, "kube-scheduler"])
def test_leases_of_the_control_plane_and_of_nodes_have_a_risk_of_their_own(
    namespace: str, names: str | None, *, found: bool
) -> None:
    lease = rule("update", "leases", "coordination.k8s.io", names=names)
    assert ("lease-write-kube-system" in risks_of(lease, namespace=namespace)) is found


@pytest.mark.parametrize(
    "grant",
    [
        rule("create", "widgets", "widgets.example.com"),
        rule("patch", "widgets/status", "widgets.example.com"),
        rule("deletecollection", "widgets", "widgets.example.com"),
        rule("*", "widgets", "widgets.example.com", names="a"),
        rule("get,update", "pods,widgets", "widgets.example.com,"),
        rule("create", "deployments", "batch"),
        rule("create", "projects", "argoproj.io"),
        rule("create", "clusters", "cluster.karmada.io"),
    ],
)
def test_a_write_of_a_resource_that_the_catalogue_does_not_know_is_a_risk(grant: PolicyRule) -> None:
    assert "unknown-kind-write" in risks_of(grant, namespace="agents")


@pytest.mark.parametrize(
    "grant",
    [
        rule(READ, "widgets", "widgets.example.com"),
        rule("use,impersonate", "widgets", "widgets.example.com"),
        rule("create", "widgets", "*"),
        rule("create", "*", "widgets.example.com"),
        rule("create", "*/widgets", "widgets.example.com"),
        rule("patch", "widgets/scale", "widgets.example.com"),
        rule("update", "widgets/finalizers", "widgets.example.com"),
        rule("deletecollection", "jobs", "batch"),
        rule("get,create,update,patch", "deployments,deployments/scale,deployments/status", "apps"),
        rule(f"{READ},{WRITE}", "policyreports", "wgpolicyk8s.io"),
        rule("get,update,patch", "configmaps", names="triage-state"),
        rule("create", "selfsubjectaccessreviews", "authorization.k8s.io"),
        urls("post", "/metrics"),
    ],
)
def test_a_read_a_known_write_and_a_wildcard_are_not_writes_of_an_unknown_resource(grant: PolicyRule) -> None:
    assert "unknown-kind-write" not in risks_of(grant, namespace="agents")


def built_in_resources() -> list[tuple[str, str]]:
    """The API groups and resources that Kubernetes serves, with the names that only impersonation uses."""
    listed = json.loads((FILE.parent / "api-resources.json").read_text(encoding="utf-8"))
    subresources = listed["subresources"]
    return [
        (group, item)
        for group, resources in listed["groups"].items()
        for resource in resources
        for item in (resource, *(f"{resource}/{sub}" for sub in subresources.get(group, {}).get(resource, ())))
    ]


def test_the_catalogue_knows_every_write_of_kubernetes() -> None:
    writes = [rule(verb, item, group) for group, item in built_in_resources() for verb in ("create", "patch", "delete")]
    assert len(writes) > 300
    assert [write for write in writes if "unknown-kind-write" in risks_of(write)] == []


@pytest.mark.parametrize(
    ("kind", "name", "risk"),
    [
        ("ClusterRole", "view", None),
        ("Role", "view", "existing-role-unknown"),
        ("ClusterRole", "admin", "existing-role-admin"),
        ("ClusterRole", "system:node", "existing-role-system"),
        ("ClusterRole", "team", "existing-role-unknown"),
    ],
)
def test_an_existing_role_has_the_risk_of_the_first_entry_that_matches(kind: str, name: str, risk: str | None) -> None:
    found = CATALOGUE.of_existing_role(RoleRef(kind, name))
    assert (found and found.id) == risk
    assert found is None or found.known == (risk != "existing-role-unknown")


@pytest.mark.parametrize(
    "tier",
    [
        [rule(READ, "pods,services,configmaps")],
        [rule(READ, "pods"), rule("get", "pods/log")],
        [rule("get,update,patch", "configmaps", names="triage-state")],
        [rule("get", "configmaps", names="triage-config"), rule(READ, "endpoints,events,persistentvolumeclaims")],
        [rule(READ, "deployments,replicasets,statefulsets,daemonsets", "apps"), rule(READ, "jobs,cronjobs", "batch")],
        [rule(READ, "horizontalpodautoscalers", "autoscaling"), rule(READ, "pods,nodes", "metrics.k8s.io")],
        [
            rule(READ, "ingresses,networkpolicies", "networking.k8s.io"),
            rule(READ, "roles", "rbac.authorization.k8s.io"),
        ],
        [rule("get,update,patch", "leases", "coordination.k8s.io", names="triage")],
        [rule("create", "events", "events.k8s.io"), rule("patch", "deployments/scale", "apps", names="web")],
        [rule("create", "selfsubjectaccessreviews", "authorization.k8s.io")],
    ],
)
def test_a_least_privilege_tier_has_no_critical_or_high_risk(tier: list[PolicyRule]) -> None:
    assert {RISKS[risk].severity for risk in risks_of(*tier, namespace="agents")} <= {"medium", "low"}


@pytest.mark.parametrize(
    "tier",
    [
        [rule(READ, "pods,services,configmaps")],
        [rule("get,update,patch", "configmaps", names="triage-state")],
    ],
)
def test_the_simplest_tiers_have_no_risk(tier: list[PolicyRule]) -> None:
    assert risks_of(*tier, namespace="agents") == set()


def test_a_tier_that_writes_services_has_the_risk_service_write() -> None:
    assert risks_of(rule(f"{READ},{UPDATE}", "services"), namespace="agents") == {"service-write"}


def content() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"severity": "severe"}, "risk wild-all: severity"),
        ({"scope": "namespace"}, "risk wild-all: scope"),
        ({"title": ""}, "risk wild-all: title"),
        ({"match": "prose"}, "risk wild-all: unknown match"),
        ({"all": []}, "risk wild-all: unknown any"),
        ({"any": []}, r"risk wild-all: any: .*non-empty"),
        ({"any": [{}]}, r"risk wild-all: any\[0\]: an empty pattern"),
        ({"any": [{"verb": ["get"]}]}, r"risk wild-all: any\[0\]: unknown verb"),
        ({"any": [{"verbs": "get"}]}, r"risk wild-all: any\[0\]: verbs"),
        ({"any": [{"verbs": [7]}]}, r"risk wild-all: any\[0\]: verbs"),
        ({"any": [{"verbs": ["get"], "named": 1}]}, r"risk wild-all: any\[0\]: named"),
        ({"any": [{"wildcards": ["names"]}]}, r"risk wild-all: any\[0\]: wildcards"),
        ({"category": "node", "any": [{"resources": ["nodes"]}]}, "needs verbs"),
        ({"bad": [{"verbs": "get"}]}, r"risk wild-all: bad\[0\]"),
        ({"bad": ["get"]}, r"risk wild-all: bad\[0\]"),
        ({"id": "wild-verb"}, "risk wild-verb is defined twice"),
        ({"id": 7}, r"risks\[0\]: id"),
    ],
)
def test_an_invalid_entry_is_an_error_with_its_location(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    broken = content()
    broken["risks"][0] |= change
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(CatalogueError, match=message):
        Catalogue.load(file)


@pytest.mark.parametrize(
    ("entry", "change", "message"),
    [
        ("harmless", {"why": ""}, r"harmless\[0\]: why"),
        ("harmless", {"resources": []}, r"harmless\[0\]: resources"),
        ("harmless", {"namespaces": ["a"]}, r"harmless\[0\]: unknown namespaces"),
        ("harmlessRoles", {"name": ""}, r"harmlessRoles\[0\]: name"),
        ("harmlessRoles", {"names": ["a"]}, r"harmlessRoles\[0\]: unknown names"),
        ("existingRoles", {"severity": "severe"}, r"existingRoles\[0\]: severity"),
    ],
)
def test_an_invalid_entry_of_the_lists_beside_the_risks_is_an_error_with_its_location(
    entry: str, change: dict[str, Any], message: str
) -> None:
    broken = content()
    broken[entry][0] |= change
    with pytest.raises(CatalogueError, match=message):
        Catalogue.from_manifest(broken)


def test_a_harmless_write_of_every_resource_is_an_error() -> None:
    broken = content()
    broken["harmless"][0] = {"why": "all is well", "verbs": ["create"]}
    with pytest.raises(CatalogueError, match=r"harmless\[0\]"):
        Catalogue.from_manifest(broken)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"risks": []}'])
def test_a_file_that_is_not_a_catalogue_is_an_error_with_its_path(tmp_path: Path, text: str) -> None:
    file = tmp_path / "catalogue.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"catalogue\.json"):
        Catalogue.load(file)


def test_a_missing_file_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"absent\.json"):
        Catalogue.load(tmp_path / "absent.json")
