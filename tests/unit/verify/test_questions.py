from typing import Any

import pytest

from agent_identities import bundled
from agent_identities.declaration import Declaration, Identity, declare
from agent_identities.rbac import Catalogue, PolicyRule, Request
from agent_identities.rbac.served import Served, ServedResource
from agent_identities.verify.questions import (
    DangerousRequest,
    dangerous_entries,
    dangerous_requests,
    expected,
    questions,
)

HOME = "agent-system"


def rule(verbs: str, resources: str, groups: str = "", names: str = "") -> dict[str, Any]:
    named = {"resourceNames": names.split()} if names else {}
    return {"apiGroups": groups.split() or [""], "resources": resources.split(), "verbs": verbs.split(), **named}


Rules = dict[str, Any]


def declaration(agents: dict[str, Any], *, namespace: str = HOME, tiers: dict[str, Rules] | None = None) -> Declaration:
    values = {
        "proxy": {"name": "agent-proxy", "rules": [rule("get", "pods")]},
        "tiers": {name: {"rules": [each]} for name, each in (tiers or {}).items()},
        "agents": agents,
    }
    return declare(values, namespace=namespace)


def agent(**tiers: dict[str, Any]) -> Identity:
    return declaration({"a": {"tiers": list(tiers)}}, tiers=tiers).agents[0]


def mentioned(**tiers: dict[str, Any]) -> set[Request]:
    return set(questions(declaration({}, tiers=tiers)).mentioned)


def test_every_verb_on_every_resource_of_every_tier_is_asked_about() -> None:
    asked = mentioned(a=rule("get list", "pods pods/log"), b=rule("patch", "deployments", "apps"))
    assert asked >= {
        Request(verb, "", "pods", subresource, namespace=HOME)
        for verb in ("get", "list")
        for subresource in ("", "log")
    }
    assert Request("patch", "apps", "deployments", namespace=HOME) in asked


def test_a_tier_without_agents_is_asked_about() -> None:
    assert Request("get", "", "endpoints", namespace=HOME) in mentioned(unused=rule("get", "endpoints"))


def test_a_named_object_is_asked_about_with_and_without_its_name() -> None:
    asked = mentioned(notes=rule("get", "configmaps", names="notes"))
    assert {each.name for each in asked if each.verb == "get" and each.resource == "configmaps"} == {"notes", ""}


def test_all_write_verbs_are_asked_about_for_a_read_only_resource() -> None:
    verbs = {each.verb for each in mentioned(reader=rule("get", "services")) if each.resource == "services"}
    assert verbs == {"get", "create", "update", "patch", "delete"}


def test_a_verb_wildcard_is_also_asked_about_verb_by_verb() -> None:
    verbs = {each.verb for each in mentioned(all=rule("*", "services")) if each.resource == "services"}
    assert verbs >= {"*", "get", "list", "watch", "delete", "deletecollection"}


def test_the_permissions_of_tiers_are_asked_about_in_another_namespace() -> None:
    elsewhere = questions(declaration({}, tiers={"a": rule("list", "services")})).elsewhere
    assert {(str(each), each.namespace) for each in elsewhere} == {
        ("get pods", "default"),
        ("list services", "default"),
    }


@pytest.mark.parametrize("namespace", ["default", "kube-system"])
def test_the_other_namespace_is_not_the_namespace_of_the_release(namespace: str) -> None:
    elsewhere = questions(declaration({}, namespace=namespace)).elsewhere
    assert elsewhere
    assert namespace not in {each.namespace for each in elsewhere}


def test_in_the_other_namespace_a_named_object_is_asked_about_only_with_its_name() -> None:
    elsewhere = questions(
        declaration({}, tiers={"a": rule("get", "configmaps"), "b": rule("get", "configmaps", names="notes")})
    ).elsewhere
    assert [each.name for each in elsewhere if each.resource == "configmaps"] == ["notes"]


def test_an_identity_has_no_duplicate_questions() -> None:
    one = declaration(
        {"a": {"tiers": ["x", "y"]}}, tiers={"x": rule("get list", "secrets"), "y": rule("get", "secrets", names="s")}
    )
    asked = questions(one).of(one.agents[0])
    assert len(asked) == len(set(asked))


def test_every_dangerous_permission_is_asked_about_for_each_identity() -> None:
    one = declaration({"a": {"tiers": []}})
    for identity in one.identities:
        assert set(questions(one).of(identity)) >= set(dangerous_requests(HOME))


@pytest.mark.parametrize(
    "text",
    [
        "get secrets",
        "list secrets",
        "create secrets",
        "create pods",
        "create pods/exec",
        "get pods/exec",
        "update pods/ephemeralcontainers",
        "impersonate users",
        "impersonate groups",
        "impersonate serviceaccounts",
        "escalate roles.rbac.authorization.k8s.io",
        "bind clusterroles.rbac.authorization.k8s.io",
        "create serviceaccounts/token",
        "create rolebindings.rbac.authorization.k8s.io",
        "get nodes/proxy",
        "patch validatingadmissionpolicies.admissionregistration.k8s.io",
        "* *",
    ],
)
def test_the_request_is_in_the_list_of_dangerous_requests(text: str) -> None:
    assert text in set(map(str, dangerous_requests(HOME)))


@pytest.mark.parametrize("entry", dangerous_entries(), ids=lambda entry: entry.request.action)
def test_the_catalogue_finds_the_risk_that_a_dangerous_request_names(entry: DangerousRequest) -> None:
    catalogue = Catalogue.load(bundled.chart_path() / "files" / "risk-catalogue.json")
    request = entry.request
    item = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    rule = PolicyRule((request.verb,), (request.api_group,), (item,))
    found = catalogue.findings([rule], cluster_wide=entry.cluster_scoped, namespace=HOME)
    assert entry.risk in {match.risk.id for match in found}


def test_cluster_scoped_dangerous_requests_have_no_namespace() -> None:
    scopes = {str(request): request.namespace for request in dangerous_requests(HOME)}
    assert scopes["impersonate users"] == scopes["get nodes/proxy"] == ""
    assert scopes["impersonate serviceaccounts"] == HOME


def test_a_request_for_the_namespace_object_has_its_name_and_its_namespace() -> None:
    found = [each for each in dangerous_requests(HOME) if each.resource == "namespaces"]
    assert [(each.namespace, each.name) for each in found] == [(HOME, HOME)]


def test_a_right_of_the_agents_own_tier_is_expected() -> None:
    assert expected(agent(reader=rule("get", "services")), Request("get", "", "services", namespace=HOME))


def test_a_right_of_another_agent_is_not_expected() -> None:
    both = declaration({"a": {"tiers": []}, "b": {"tiers": ["reader"]}}, tiers={"reader": rule("get", "services")})
    wanted = {one.name: expected(one, Request("get", "", "services", namespace=HOME)) for one in both.agents}
    assert wanted == {"a": False, "b": True}


def test_a_grant_applies_only_in_its_namespace() -> None:
    holder = agent(reader=rule("get", "services"))
    for namespace in ("default", ""):
        assert not expected(holder, Request("get", "", "services", namespace=namespace))


def test_a_grant_for_one_object_does_not_apply_to_all_objects() -> None:
    holder = agent(notes=rule("get", "configmaps", names="notes"))
    assert expected(holder, Request("get", "", "configmaps", name="notes", namespace=HOME))
    assert not expected(holder, Request("get", "", "configmaps", namespace=HOME))


def test_rights_of_all_service_accounts_are_expected_for_each_agent() -> None:
    review = Request("create", "authorization.k8s.io", "selfsubjectaccessreviews", namespace=HOME)
    assert expected(agent(), review)


def test_a_dangerous_request_is_expected_only_if_it_is_declared() -> None:
    pod_reader, secret_reader = agent(reader=rule("get", "pods")), agent(secret=rule("get", "secrets"))
    assert not any(expected(pod_reader, request) for request in dangerous_requests(HOME))
    assert [str(each) for each in dangerous_requests(HOME) if expected(secret_reader, each)] == ["get secrets"]


def test_urls_are_asked_about_as_paths_and_only_a_tier_for_the_cluster_grants_them() -> None:
    tiers = {
        "metrics": {"scope": "Cluster", "rules": [{"nonResourceURLs": ["/metrics", "/debug/*"], "verbs": ["get"]}]}
    }
    values = {"proxy": {"name": "agent-proxy", "rules": []}, "tiers": tiers, "agents": {"a": {"tiers": ["metrics"]}}}
    one = declare(values, namespace=HOME)
    asked = questions(one).of(one.agents[0])
    assert {"/metrics", "/debug/*"} == {each.path for each in asked if each.path}
    assert not any(each.namespace for each in asked if each.path)
    assert expected(one.agents[0], Request("get", path="/metrics"))
    assert not expected(one.proxy, Request("get", path="/metrics"))


def test_public_urls_are_expected_for_each_agent() -> None:
    assert expected(agent(), Request("get", path="/healthz"))


SERVED = Served(
    [
        ServedResource("", "pods", True, frozenset({"get", "list", "create", "patch", "delete"})),
        ServedResource("", "nodes", False, frozenset({"get", "list"})),
        ServedResource("", "namespaces", False, frozenset({"get", "list"})),
    ]
)


def test_requests_are_asked_about_as_the_api_server_authorizes_them() -> None:
    one = declaration({"a": {"tiers": ["t"]}}, tiers={"t": rule("get list", "pods nodes namespaces pod")})
    what = questions(one, SERVED)
    asked = {(str(each), each.namespace) for each in what.mentioned}
    assert ("get pods", HOME) in asked
    assert ("get nodes", "") in asked
    assert (f"get namespaces named {HOME}", HOME) in asked
    assert ("list namespaces", "") in asked
    assert {each.resource for each in what.mentioned} == {"pods", "nodes", "namespaces"}
    assert {each.resource for each in what.elsewhere} == {"pods", "namespaces"}
    assert [each.target for each in what.targets] == ["pods", "nodes", "namespaces", "pod"]
    assert not expected(one.agents[0], Request("get", "", "nodes"))


def test_a_create_request_has_a_name_only_if_an_apply_can_send_it() -> None:
    named = rule("create", "pods", names="a")
    asked = questions(declaration({"a": {"tiers": ["t"]}}, tiers={"t": named}), SERVED).mentioned
    assert Request("create", "", "pods", name="a", namespace=HOME) not in asked
    applied = questions(
        declaration({"a": {"tiers": ["t"]}}, tiers={"t": rule("create patch", "pods", names="a")}), SERVED
    )
    assert Request("create", "", "pods", name="a", namespace=HOME) in applied.mentioned
