from typing import Any

import pytest

from agent_identities import bundled
from agent_identities.declaration import Declaration, Identity, declare
from agent_identities.rbac import Catalogue, PolicyRule, Request
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


def test_every_verb_on_every_resource_of_every_tier_is_asked() -> None:
    asked = mentioned(a=rule("get list", "pods pods/log"), b=rule("patch", "deployments", "apps"))
    assert asked >= {
        Request(verb, "", "pods", subresource, namespace=HOME)
        for verb in ("get", "list")
        for subresource in ("", "log")
    }
    assert Request("patch", "apps", "deployments", namespace=HOME) in asked


def test_a_tier_that_nobody_holds_is_asked_all_the_same() -> None:
    assert Request("get", "", "endpoints", namespace=HOME) in mentioned(unused=rule("get", "endpoints"))


def test_an_object_with_a_name_is_asked_by_its_name_and_without() -> None:
    asked = mentioned(notes=rule("get", "configmaps", names="notes"))
    assert {each.name for each in asked if each.verb == "get" and each.resource == "configmaps"} == {"notes", ""}


def test_on_a_resource_that_may_only_be_read_every_writing_verb_is_asked() -> None:
    verbs = {each.verb for each in mentioned(reader=rule("get", "services")) if each.resource == "services"}
    assert verbs == {"get", "create", "update", "patch", "delete"}


def test_a_verb_wildcard_is_asked_verb_by_verb_too() -> None:
    verbs = {each.verb for each in mentioned(all=rule("*", "services")) if each.resource == "services"}
    assert verbs >= {"*", "get", "list", "watch", "delete", "deletecollection"}


def test_what_tiers_mention_is_asked_in_another_namespace() -> None:
    elsewhere = questions(declaration({}, tiers={"a": rule("list", "services")})).elsewhere
    assert {(str(each), each.namespace) for each in elsewhere} == {
        ("get pods", "default"),
        ("list services", "default"),
    }


@pytest.mark.parametrize("namespace", ["default", "kube-system"])
def test_the_other_namespace_is_never_that_of_the_release(namespace: str) -> None:
    elsewhere = questions(declaration({}, namespace=namespace)).elsewhere
    assert elsewhere
    assert namespace not in {each.namespace for each in elsewhere}


def test_in_the_other_namespace_a_named_object_is_asked_by_its_name_alone() -> None:
    elsewhere = questions(
        declaration({}, tiers={"a": rule("get", "configmaps"), "b": rule("get", "configmaps", names="notes")})
    ).elsewhere
    assert [each.name for each in elsewhere if each.resource == "configmaps"] == ["notes"]


def test_nobody_is_asked_the_same_twice() -> None:
    one = declaration(
        {"a": {"tiers": ["x", "y"]}}, tiers={"x": rule("get list", "secrets"), "y": rule("get", "secrets", names="s")}
    )
    asked = questions(one).of(one.agents[0])
    assert len(asked) == len(set(asked))


def test_every_identity_is_asked_every_dangerous_permission() -> None:
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
def test_it_is_among_the_dangerous(text: str) -> None:
    assert text in set(map(str, dangerous_requests(HOME)))


@pytest.mark.parametrize("entry", dangerous_entries(), ids=lambda entry: entry.request.action)
def test_a_dangerous_request_makes_use_of_the_risk_that_it_names(entry: DangerousRequest) -> None:
    catalogue = Catalogue.load(bundled.chart_path() / "files" / "risk-catalogue.json")
    request = entry.request
    item = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    rule = PolicyRule((request.verb,), (request.api_group,), (item,))
    found = catalogue.findings([rule], cluster_wide=entry.cluster_scoped, namespace=HOME)
    assert entry.risk in {match.risk.id for match in found}


def test_cluster_scoped_dangers_are_asked_without_a_namespace() -> None:
    scopes = {str(request): request.namespace for request in dangerous_requests(HOME)}
    assert scopes["impersonate users"] == scopes["get nodes/proxy"] == ""
    assert scopes["impersonate serviceaccounts"] == HOME


def test_its_own_namespace_object_is_asked_as_the_api_server_reads_the_request() -> None:
    found = [each for each in dangerous_requests(HOME) if each.resource == "namespaces"]
    assert [(each.namespace, each.name) for each in found] == [(HOME, HOME)]


def test_what_a_tier_of_its_own_grants_is_expected() -> None:
    assert expected(agent(reader=rule("get", "services")), Request("get", "", "services", namespace=HOME))


def test_what_only_other_agents_hold_is_not_expected() -> None:
    both = declaration({"a": {"tiers": []}, "b": {"tiers": ["reader"]}}, tiers={"reader": rule("get", "services")})
    wanted = {one.name: expected(one, Request("get", "", "services", namespace=HOME)) for one in both.agents}
    assert wanted == {"a": False, "b": True}


def test_a_grant_ends_at_its_namespace() -> None:
    holder = agent(reader=rule("get", "services"))
    for namespace in ("default", ""):
        assert not expected(holder, Request("get", "", "services", namespace=namespace))


def test_a_grant_for_one_object_is_none_for_all() -> None:
    holder = agent(notes=rule("get", "configmaps", names="notes"))
    assert expected(holder, Request("get", "", "configmaps", name="notes", namespace=HOME))
    assert not expected(holder, Request("get", "", "configmaps", namespace=HOME))


def test_what_kubernetes_gives_to_everybody_is_expected_of_everybody() -> None:
    review = Request("create", "authorization.k8s.io", "selfsubjectaccessreviews", namespace=HOME)
    assert expected(agent(), review)


def test_no_danger_is_expected_unless_it_is_declared() -> None:
    innocent, trusted = agent(reader=rule("get", "pods")), agent(secret=rule("get", "secrets"))
    assert not any(expected(innocent, request) for request in dangerous_requests(HOME))
    assert [str(each) for each in dangerous_requests(HOME) if expected(trusted, each)] == ["get secrets"]
