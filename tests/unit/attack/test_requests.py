import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from agent_identities import bundled
from agent_identities.attack.request import ABSENT, AttackRequest, TokenKind, request_using
from agent_identities.attack.requests import (
    ALL_PAIRS_UP_TO,
    SIBLINGS,
    Attacker,
    attack_requests,
    entries,
    listed_requests,
    requests_against_sibling,
    requests_of_catalogue,
    sibling_entries,
    siblings_of,
)
from agent_identities.declaration import Declaration, declare
from agent_identities.rbac import Catalogue, Request, rule_allows
from agent_identities.rbac.request_info import request_info

HOME = "agent-system"
READ = {"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["get", "list", "watch"]}
NOTES = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["{agent}-state"], "verbs": ["get", "update"]}
SCALE = {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]}
LISTED = {entry["id"]: entry for entry in (*entries(), *sibling_entries())}


def declaration(agents: dict[str, Any] | None = None, **tiers: dict[str, Any]) -> Declaration:
    values = {
        "proxy": {"name": "agent-proxy", "rules": [READ]},
        "tiers": {name: {"rules": [rule]} for name, rule in tiers.items()},
        "agents": {"a": {}, "b": {}} if agents is None else agents,
    }
    return declare(values, namespace=HOME)


def attacker(of: Declaration, name: str = "a") -> Attacker:
    identity = next(one for one in of.identities if one.name == name)
    return Attacker(of, identity, of.ungranted_namespace)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load(bundled.chart_path() / "files" / "risk-catalogue.json")


def of_a_busy_agent(catalogue: Catalogue) -> tuple[AttackRequest, ...]:
    """All requests of an agent and of the proxy, in a fleet with pods, tiers and a proxied agent."""
    agents = {"a": {"tiers": ["notes", "scale"]}, "b": {"tiers": ["notes"]}, "c": {"access": "proxied"}}
    busy = declaration(agents, notes=NOTES, scale=SCALE)
    pods = {"a": "a-pod", "b": "b-pod"}
    return tuple(
        request for name in ("a", "agent-proxy") for request in attack_requests(attacker(busy, name), catalogue, pods)
    )


# ---- the file


def test_the_ids_of_requests_are_unique() -> None:
    assert Counter(entry["id"] for entry in (*entries(), *sibling_entries())).most_common(1)[0][1] == 1


@pytest.mark.parametrize("entry", LISTED.values(), ids=LISTED.keys())
def test_a_request_needs_the_right_of_its_entry(entry: dict[str, Any]) -> None:
    assert request_info(entry["method"], entry["path"]).action == entry["needs"]


@pytest.mark.parametrize("entry", LISTED.values(), ids=LISTED.keys())
def test_an_entry_has_only_known_fields(entry: dict[str, Any]) -> None:
    known = {"id", "method", "path", "headers", "contentType", "body", "needs", "rule", "control", "token", "why"}
    assert entry.keys() <= known
    assert entry.keys() >= {"id", "method", "path", "needs", "why"}


def test_every_rule_of_a_request_is_in_the_catalogue(catalogue: Catalogue) -> None:
    named = {entry["rule"] for entry in LISTED.values() if "rule" in entry}
    assert named <= {risk.id for risk in catalogue.risks}
    assert named


def test_there_are_positive_controls_and_requests_with_invalid_tokens() -> None:
    assert {entry.get("control") for entry in entries()} == {None, "rules", "identity"}
    assert {entry.get("token") for entry in entries()} == {None, "other-audience", "deleted-account"}


def test_all_placeholders_are_replaced(catalogue: Catalogue) -> None:
    for request in of_a_busy_agent(catalogue):
        assert not re.search(r"\{[A-Za-z]+\}", f"{request.path} {request.body} {request.headers}"), request


# ---- nothing is changed


def writes(catalogue: Catalogue) -> Iterator[tuple[AttackRequest, Request]]:
    for request in of_a_busy_agent(catalogue):
        if request.method not in ("GET", "HEAD"):
            yield request, request_info(request.method, request.path)


REVIEWS = {"selfsubjectrulesreviews", "selfsubjectreviews", "selfsubjectaccessreviews", "tokenreviews"}
NO_DRY_RUN = {("pods", "exec"), ("pods", "portforward"), ("nodes", "proxy")}


def test_requests_that_write_are_dry_runs_or_name_absent_objects(catalogue: Catalogue) -> None:
    verbs = set()
    for request, info in writes(catalogue):
        if info.resource in REVIEWS:
            continue
        dry = parse_qs(urlsplit(request.path).query).get("dryRun") == ["All"]
        if (info.resource, info.subresource) in NO_DRY_RUN:
            assert dry or info.name == ABSENT, request
        else:
            assert dry, request
        verbs.add(info.verb)
    assert verbs >= {"create", "update", "patch", "delete", "deletecollection"}


def test_exec_attach_and_port_forward_name_absent_pods(catalogue: Catalogue) -> None:
    tried = [
        request
        for request in of_a_busy_agent(catalogue)
        if request.needs.subresource in ("exec", "attach", "portforward")
    ]
    assert {request.needs.subresource for request in tried} == {"exec", "attach", "portforward"}
    assert {request.needs.name for request in tried} == {ABSENT}


def test_the_body_of_a_deletion_has_the_dry_run_because_the_server_ignores_the_query(
    catalogue: Catalogue,
) -> None:
    deletions = [request for request, _ in writes(catalogue) if request.method == "DELETE"]
    for request in deletions:
        if request.body:
            options = json.loads(request.body)
            assert options["dryRun"] == ["All"], request
            assert set(options["preconditions"]["uid"]) == {"0", "-"}, request
        else:
            assert request.needs.verb == "deletecollection" or request.needs.name == ABSENT, request
    assert {request.needs.verb for request in deletions} == {"delete", "deletecollection"}


def test_a_delete_collection_request_selects_no_object(catalogue: Catalogue) -> None:
    many = [request for request, info in writes(catalogue) if info.verb == "deletecollection"]
    assert many
    for request in many:
        selector = parse_qs(urlsplit(request.path).query)["labelSelector"]
        assert selector == ["agent-identities/nothing=nothing"], request


def test_an_agent_attacks_its_siblings_and_never_itself(catalogue: Catalogue) -> None:
    against = [request for request in of_a_busy_agent(catalogue) if request.id.startswith("sibling-")]
    assert {request.target for request in against} == {"a", "b", "c", "agent-proxy"}
    two = declaration()
    assert {m.target for m in attack_requests(attacker(two), catalogue, {}) if m.id == "sibling-token"} == {
        "agent-proxy",
        "b",
    }


# ---- from a right to its request


VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate", "bind")
RESOURCES = (("", "pods"), ("apps", "deployments"), ("", "namespaces"), ("example.org", "things"))


@pytest.mark.parametrize(
    ("verb", "resource", "subresource", "name", "namespace"),
    list(product(VERBS, RESOURCES, ("", "status"), ("", "x"), ("", HOME))),
)
def test_the_request_for_a_right_needs_exactly_that_right(
    verb: str, resource: tuple[str, str], subresource: str, name: str, namespace: str
) -> None:
    group, kind = resource
    if kind == "namespaces":
        name, namespace = ("", "") if verb in ("list", "watch", "create", "deletecollection") else (HOME, HOME)
        subresource = "" if not name else subresource
    right = Request(verb, group, kind, subresource, name, namespace)
    got = request_using(right, id="x", why="y")
    expected_name = right.name or (ABSENT if got.needs.name == ABSENT else "")
    assert got.needs == Request(verb, group, kind, subresource, expected_name, namespace)
    assert got.asks is not None or request_info(got.method, got.path) == got.needs
    assert (got.asks is not None) == (
        verb in ("impersonate", "bind")
        or (bool(subresource) and verb in ("list", "watch", "deletecollection"))
        or (bool(name) and not subresource and verb in ("create", "deletecollection"))
    )


def test_the_request_for_a_non_resource_url_is_sent_to_the_url() -> None:
    request = request_using(Request("get", path="/metrics"), id="x", why="y")
    assert (request.method, request.path) == ("GET", "/metrics")


def test_a_review_contains_the_right() -> None:
    request = request_using(Request("bind", "rbac.authorization.k8s.io", "roles", namespace=HOME), id="x", why="y")
    assert json.loads(request.body)["spec"]["resourceAttributes"] == {
        "verb": "bind",
        "group": "rbac.authorization.k8s.io",
        "resource": "roles",
        "namespace": HOME,
    }


# ---- what is generated


def test_every_rule_of_every_risk_allows_a_request(catalogue: Catalogue) -> None:
    """The cluster test proves the same with real rights; this test names the risk without a cluster."""
    requests = [*listed_requests(attacker(declaration())), *requests_of_catalogue(catalogue, HOME)]
    missed = [
        (risk.id, rule)
        for risk in catalogue.risks
        for rule in risk.bad
        if not any(rule_allows(rule, request.needs) for request in requests)
    ]
    assert missed == []


def test_the_rights_of_an_agent_are_tried_in_another_namespace() -> None:
    a = attacker(declaration({"a": {"tiers": ["scale"]}}, scale=SCALE))
    found = [
        request for request in attack_requests(a, Catalogue([], _vocabulary()), {}) if request.id == "other-namespace"
    ]
    assert [request.needs.action for request in found] == ["patch deployments.apps/scale"]
    assert found[0].needs.namespace == "default"


def _vocabulary() -> Any:
    return Catalogue.load(bundled.chart_path() / "files" / "risk-catalogue.json")._vocabulary


def test_in_the_other_namespace_no_rights_are_granted() -> None:
    assert declaration().ungranted_namespace == "default"
    assert declaration({"a": {"namespaces": {"default": ["scale"]}}}, scale=SCALE).ungranted_namespace == "kube-public"


def test_the_rights_of_a_sibling_are_tried_on_its_own_objects() -> None:
    two = declaration({"a": {"tiers": ["notes"]}, "b": {"tiers": ["notes"]}}, notes=NOTES)
    sibling = next(one for one in two.agents if one.name == "b")
    own = [
        request for request in requests_against_sibling(attacker(two), sibling, "") if request.id == "sibling-object"
    ]
    assert {(request.needs.verb, request.needs.name) for request in own} == {("get", "b-state"), ("update", "b-state")}


def test_the_pod_of_a_sibling_is_attacked_by_its_name() -> None:
    two = declaration()
    requests = list(requests_against_sibling(attacker(two), two.agents[1], "b-7f9c"))
    assert {request.needs.name for request in requests if request.id in ("sibling-pod-patch", "sibling-pod-log")} == {
        "b-7f9c"
    }


def test_the_proxy_sends_the_requests_as_each_proxied_agent(catalogue: Catalogue) -> None:
    mixed = declaration({"a": {}, "c": {"access": "proxied"}})
    through = [
        request
        for request in attack_requests(attacker(mixed, "agent-proxy"), catalogue, {})
        if request.id.startswith("through-proxy-")
    ]
    assert {request.target for request in through} == {"c"}
    assert {request.headers["Impersonate-User"] for request in through} == {"system:serviceaccount:agent-system:c"}
    listed = {entry["id"] for entry in entries()}
    direct = [each for each in attack_requests(attacker(mixed), catalogue, {}) if each.token is TokenKind.OWN]
    as_itself = {each.id for each in direct if not (each.control or each.asks or each.impersonates)} & listed
    assert as_itself <= {request.id.removeprefix("through-proxy-") for request in through}
    assert not [
        request
        for request in attack_requests(attacker(mixed), catalogue, {})
        if request.id.startswith("through-proxy-")
    ]


def test_in_a_small_fleet_every_pair_of_siblings_is_tried() -> None:
    fleet = declaration({f"a{number:03}": {} for number in range(ALL_PAIRS_UP_TO - 1)}).identities
    assert len(fleet) == ALL_PAIRS_UP_TO
    assert all(set(siblings_of(one, fleet)) == set(fleet) - {one} for one in fleet)


def test_in_a_large_fleet_each_agent_attacks_the_same_number_of_siblings() -> None:
    fleet = declaration({f"a{number:03}": {} for number in range(100)}).identities
    attacked = Counter(sibling.name for one in fleet for sibling in siblings_of(one, fleet))
    assert set(attacked.values()) == {SIBLINGS}
    assert len(attacked) == len(fleet)


def test_no_generated_request_repeats_a_listed_request(catalogue: Catalogue) -> None:
    requests = attack_requests(attacker(declaration()), catalogue, {})
    generated = Counter((m.needs, m.asks is None) for m in requests if m.id.startswith("risk-"))
    listed = {(m.needs, m.asks is None) for m in requests if m.token is TokenKind.OWN and not m.id.startswith("risk-")}
    as_others = {(m.needs, m.asks is None) for m in requests if any("Impersonate" in name for name in m.headers)}
    assert max(generated.values()) == 1
    assert not generated.keys() & (listed - as_others)
