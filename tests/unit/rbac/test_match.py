"""Edge cases of RBAC matching that other tools get wrong."""

import pytest

from agent_identities.rbac import PolicyRule, Request, rule_allows


def rule(resources: str, verbs: str = "get", groups: str = "", names: tuple[str, ...] = ()) -> PolicyRule:
    return PolicyRule((verbs,), (groups,), (resources,), names)


def request(resource: str, verb: str = "get", group: str = "", name: str = "a") -> Request:
    resource, _, subresource = resource.partition("/")
    return Request(verb, group, resource, subresource, name, "agents")


@pytest.mark.parametrize(
    ("resources", "asked"),
    [
        ("pods", "pods"),
        ("pods/log", "pods/log"),
        ("*", "pods"),
        ("*", "pods/exec"),
        ("*/exec", "pods/exec"),
        ("*/scale", "deployments/scale"),
    ],
)
def test_a_rule_matches_the_resource(resources: str, asked: str) -> None:
    assert rule_allows(rule(resources), request(asked))


@pytest.mark.parametrize(
    ("resources", "asked"),
    [
        ("pods", "pods/log"),
        ("pods/log", "pods"),
        ("pods/*", "pods"),
        ("pods/*", "pods/exec"),
        ("*/exec", "exec"),
        ("*/exec", "pods"),
        ("*/exec", "pods/noexec"),
        ("*/*", "pods/exec"),
        ("pod*", "pods"),
        ("Pods", "pods"),
    ],
)
def test_a_rule_does_not_match_the_resource(resources: str, asked: str) -> None:
    assert not rule_allows(rule(resources), request(asked))


@pytest.mark.parametrize(
    ("verb", "asked", "allowed"),
    [
        ("get", "get", True),
        ("*", "deletecollection", True),
        ("*", "impersonate", True),
        ("get", "list", False),
        ("list", "watch", False),
        ("delete", "deletecollection", False),
        ("impersonate", "impersonate:serviceaccount", False),
        ("impersonate:*", "impersonate:serviceaccount", False),
        ("GET", "get", False),
    ],
)
def test_a_verb_matches_if_equal_or_star(verb: str, asked: str, *, allowed: bool) -> None:
    assert rule_allows(rule("pods", verb), request("pods", asked)) is allowed


@pytest.mark.parametrize(
    ("group", "asked", "allowed"),
    [
        ("", "", True),
        ("*", "", True),
        ("*", "apps", True),
        ("apps", "apps", True),
        ("", "apps", False),
        ("core", "", False),
        ("apps/v1", "apps", False),
    ],
)
def test_an_api_group_matches_if_equal_or_star(group: str, asked: str, *, allowed: bool) -> None:
    assert rule_allows(rule("pods", groups=group), request("pods", group=asked)) is allowed


@pytest.mark.parametrize(
    ("names", "asked", "allowed"),
    [
        ((), "a", True),
        ((), "", True),
        (("a", "b"), "b", True),
        (("a",), "b", False),
        (("a",), "", False),  # list, watch, create and deletecollection have no name
        (("",), "", True),  # equal: the rule has a resource name, but is not limited by it
        (("",), "a", False),
        (("*",), "a", False),
    ],
)
def test_a_resource_name_matches_if_equal(names: tuple[str, ...], asked: str, *, allowed: bool) -> None:
    assert rule_allows(rule("configmaps", names=names), request("configmaps", name=asked)) is allowed


@pytest.mark.parametrize(
    ("url", "path", "allowed"),
    [
        ("/healthz", "/healthz", True),
        ("/healthz", "/healthz/etcd", False),
        ("/healthz/*", "/healthz/etcd", True),
        ("/healthz/*", "/healthz", False),
        ("/health*", "/healthz", True),
        ("/logs/**", "/logs/audit", True),
        ("*", "/metrics", True),
        ("/*/pprof", "/debug/pprof", False),
    ],
)
def test_a_url_matches_if_equal_or_with_a_prefix_before_a_trailing_star(url: str, path: str, *, allowed: bool) -> None:
    assert rule_allows(PolicyRule(("get",), non_resource_urls=(url,)), Request("get", path=path)) is allowed


def test_a_star_in_resources_matches_no_url() -> None:
    everything = PolicyRule(("*",), ("*",), ("*",))
    assert not rule_allows(everything, Request("get", path="/metrics"))


def test_a_star_in_urls_matches_no_resource() -> None:
    assert not rule_allows(PolicyRule(("*",), non_resource_urls=("*",)), request("pods"))


def test_a_rule_without_api_groups_matches_no_resource() -> None:
    assert not rule_allows(PolicyRule(("get",), (), ("pods",)), request("pods"))
