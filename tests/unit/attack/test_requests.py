import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from agent_identities import bundled
from agent_identities.attack.requests import (
    ABSENT,
    ALL_PAIRS_UP_TO,
    SIBLINGS,
    Move,
    Place,
    Token,
    catalogue_moves,
    entries,
    lateral_moves,
    listed_moves,
    moves_of,
    siblings_of,
    try_right,
)
from agent_identities.declaration import Declaration, declare
from agent_identities.rbac import Catalogue, Request, rule_allows
from agent_identities.rbac.request_info import request_info

HOME = "agent-system"
READ = {"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["get", "list", "watch"]}
NOTES = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["{agent}-state"], "verbs": ["get", "update"]}
SCALE = {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]}
LISTED = {entry["id"]: entry for entry in entries()}


def declaration(agents: dict[str, Any] | None = None, **tiers: dict[str, Any]) -> Declaration:
    values = {
        "proxy": {"name": "agent-proxy", "rules": [READ]},
        "tiers": {name: {"rules": [rule]} for name, rule in tiers.items()},
        "agents": {"a": {}, "b": {}} if agents is None else agents,
    }
    return declare(values, namespace=HOME)


def place(of: Declaration, name: str = "a") -> Place:
    identity = next(one for one in of.identities if one.name == name)
    return Place(of, identity, of.ungranted_namespace)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load(bundled.chart_path() / "files" / "risk-catalogue.json")


def of_a_busy_agent(catalogue: Catalogue) -> tuple[Move, ...]:
    """All moves where everything is there to be moved against."""
    agents = {"a": {"tiers": ["notes", "scale"]}, "b": {"tiers": ["notes"]}, "c": {"access": "proxied"}}
    busy = declaration(agents, notes=NOTES, scale=SCALE)
    pods = {"a": "a-pod", "b": "b-pod"}
    return tuple(move for name in ("a", "agent-proxy") for move in moves_of(place(busy, name), catalogue, pods))


# ---- the file


def test_no_two_moves_have_the_same_name() -> None:
    assert Counter(entry["id"] for entry in entries()).most_common(1)[0][1] == 1


@pytest.mark.parametrize("entry", LISTED.values(), ids=LISTED.keys())
def test_a_move_needs_what_it_says(entry: dict[str, Any]) -> None:
    assert request_info(entry["method"], entry["path"]).action == entry["needs"]


@pytest.mark.parametrize("entry", LISTED.values(), ids=LISTED.keys())
def test_a_move_has_only_fields_that_are_read(entry: dict[str, Any]) -> None:
    known = {"id", "method", "path", "headers", "contentType", "body", "needs", "rule", "control", "token", "why"}
    assert entry.keys() <= known
    assert entry.keys() >= {"id", "method", "path", "needs", "why"}


def test_every_rule_that_a_move_names_is_one_of_the_catalogue(catalogue: Catalogue) -> None:
    named = {entry["rule"] for entry in entries() if "rule" in entry}
    assert named <= {risk.id for risk in catalogue.risks}
    assert len(named) > 35


def test_there_are_positive_controls_and_moves_with_bad_tokens() -> None:
    assert {entry.get("control") for entry in entries()} == {None, "rules", "identity"}
    assert {entry.get("token") for entry in entries()} == {None, "other-audience", "deleted-account"}


def test_no_placeholder_is_left(catalogue: Catalogue) -> None:
    for move in of_a_busy_agent(catalogue):
        assert not re.search(r"\{[a-z]+\}", f"{move.path} {move.body} {move.headers}"), move


# ---- nothing is changed


def writes(catalogue: Catalogue) -> Iterator[tuple[Move, Request]]:
    for move in of_a_busy_agent(catalogue):
        if move.method not in ("GET", "HEAD"):
            yield move, request_info(move.method, move.path)


REVIEWS = {"selfsubjectrulesreviews", "selfsubjectreviews", "selfsubjectaccessreviews", "tokenreviews"}
NO_DRY_RUN = {("pods", "exec"), ("pods", "portforward"), ("nodes", "proxy")}


def test_what_writes_is_a_dry_run_or_aims_at_what_is_not_there(catalogue: Catalogue) -> None:
    checked = 0
    for move, info in writes(catalogue):
        if info.resource in REVIEWS:
            continue
        dry = parse_qs(urlsplit(move.path).query).get("dryRun") == ["All"]
        if (info.resource, info.subresource) in NO_DRY_RUN:
            assert dry or info.name == ABSENT, move
        else:
            assert dry, move
        checked += 1
    assert checked > 300


def test_what_runs_or_forwards_something_aims_at_what_is_not_there(catalogue: Catalogue) -> None:
    tried = [move for move in of_a_busy_agent(catalogue) if move.info.subresource in ("exec", "attach", "portforward")]
    assert len(tried) > 5
    assert {move.info.name for move in tried} == {ABSENT}


def test_a_body_of_a_deletion_repeats_the_dry_run_since_the_server_then_ignores_the_query(
    catalogue: Catalogue,
) -> None:
    deletions = [move for move, _ in writes(catalogue) if move.method == "DELETE"]
    for move in deletions:
        if move.body:
            options = json.loads(move.body)
            assert options["dryRun"] == ["All"], move
            assert set(options["preconditions"]["uid"]) == {"0", "-"}, move
        else:
            assert move.info.verb == "deletecollection" or move.info.name == ABSENT, move
    assert {move.info.verb for move in deletions} == {"delete", "deletecollection"}


def test_a_deletion_of_many_selects_none(catalogue: Catalogue) -> None:
    many = [move for move, info in writes(catalogue) if info.verb == "deletecollection"]
    assert len(many) > 10
    for move in many:
        selector = parse_qs(urlsplit(move.path).query)["labelSelector"]
        assert selector == ["agent-identities/nothing=nothing"], move


def test_a_move_is_tried_against_a_sibling_and_never_against_itself(catalogue: Catalogue) -> None:
    sideways = [move for move in of_a_busy_agent(catalogue) if move.id.startswith("sibling-")]
    assert {move.target for move in sideways} == {"a", "b", "c", "agent-proxy"}
    two = declaration()
    assert {m.target for m in moves_of(place(two), catalogue, {}) if m.id == "sibling-token"} == {"agent-proxy", "b"}


# ---- from a right to its request


VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate", "bind")
RESOURCES = (("", "pods"), ("apps", "deployments"), ("", "namespaces"), ("example.org", "things"))


@pytest.mark.parametrize(
    ("verb", "resource", "subresource", "name", "namespace"),
    list(product(VERBS, RESOURCES, ("", "status"), ("", "x"), ("", HOME))),
)
def test_the_request_for_a_right_needs_just_that_right(
    verb: str, resource: tuple[str, str], subresource: str, name: str, namespace: str
) -> None:
    group, kind = resource
    if kind == "namespaces":
        name, namespace = ("", "") if verb in ("list", "watch", "create", "deletecollection") else (HOME, HOME)
        subresource = "" if not name else subresource
    right = Request(verb, group, kind, subresource, name, namespace)
    got = try_right(right, id="x", why="y")
    expected_name = right.name or (ABSENT if got.info.name == ABSENT else "")
    assert got.info == Request(verb, group, kind, subresource, expected_name, namespace)
    assert got.asks is not None or request_info(got.method, got.path) == got.info
    assert (got.asks is not None) == (
        verb in ("impersonate", "bind")
        or (bool(subresource) and verb in ("list", "watch", "deletecollection"))
        or (bool(name) and not subresource and verb in ("create", "deletecollection"))
    )


def test_a_right_to_a_url_is_tried_there() -> None:
    move = try_right(Request("get", path="/metrics"), id="x", why="y")
    assert (move.method, move.path) == ("GET", "/metrics")


def test_a_question_asks_about_the_right() -> None:
    move = try_right(Request("bind", "rbac.authorization.k8s.io", "roles", namespace=HOME), id="x", why="y")
    assert json.loads(move.body)["spec"]["resourceAttributes"] == {
        "verb": "bind",
        "group": "rbac.authorization.k8s.io",
        "resource": "roles",
        "namespace": HOME,
    }


# ---- what is generated


def test_every_rule_of_every_risk_has_a_move_that_it_alone_would_let_pass(catalogue: Catalogue) -> None:
    """The live test proves the same with real rights; this one tells at once which risk a change has lost."""
    moves = [*listed_moves(place(declaration())), *catalogue_moves(catalogue, HOME)]
    missed = [
        (risk.id, rule)
        for risk in catalogue.risks
        for rule in risk.bad
        if not any(rule_allows(rule, move.info) for move in moves)
    ]
    assert missed == []


def test_what_an_agent_may_do_is_tried_in_another_namespace() -> None:
    a = place(declaration({"a": {"tiers": ["scale"]}}, scale=SCALE))
    moved = [move for move in moves_of(a, Catalogue([], _vocabulary()), {}) if move.id == "other-namespace"]
    assert [move.info.action for move in moved] == ["patch deployments.apps/scale"]
    assert moved[0].info.namespace == "default"


def _vocabulary() -> Any:
    return Catalogue.load(bundled.chart_path() / "files" / "risk-catalogue.json")._vocabulary


def test_the_other_namespace_is_one_where_nothing_is_granted() -> None:
    assert declaration().ungranted_namespace == "default"
    assert declaration({"a": {"namespaces": {"default": ["scale"]}}}, scale=SCALE).ungranted_namespace == "kube-public"


def test_a_siblings_own_objects_are_tried_with_its_own_verbs() -> None:
    two = declaration({"a": {"tiers": ["notes"]}, "b": {"tiers": ["notes"]}}, notes=NOTES)
    sibling = next(one for one in two.agents if one.name == "b")
    own = [move for move in lateral_moves(place(two), sibling, "") if move.id == "sibling-object"]
    assert {(move.info.verb, move.info.name) for move in own} == {("get", "b-state"), ("update", "b-state")}


def test_a_siblings_pod_is_attacked_by_its_name() -> None:
    two = declaration()
    moves = list(lateral_moves(place(two), two.agents[1], "b-7f9c"))
    assert {move.info.name for move in moves if move.id in ("sibling-pod-patch", "sibling-pod-log")} == {"b-7f9c"}


def test_the_proxy_tries_everything_as_each_agent_it_acts_for(catalogue: Catalogue) -> None:
    mixed = declaration({"a": {}, "c": {"access": "proxied"}})
    through = [
        move for move in moves_of(place(mixed, "agent-proxy"), catalogue, {}) if move.id.startswith("through-proxy-")
    ]
    assert {move.target for move in through} == {"c"}
    assert {move.headers["Impersonate-User"] for move in through} == {"system:serviceaccount:agent-system:c"}
    assert len(through) > 60
    assert not [move for move in moves_of(place(mixed), catalogue, {}) if move.id.startswith("through-proxy-")]


def test_in_a_small_fleet_every_pair_is_played() -> None:
    fleet = declaration({f"a{number:03}": {} for number in range(ALL_PAIRS_UP_TO - 1)}).identities
    assert len(fleet) == ALL_PAIRS_UP_TO
    assert all(set(siblings_of(one, fleet)) == set(fleet) - {one} for one in fleet)


def test_in_a_large_fleet_everyone_attacks_and_is_attacked_by_as_many() -> None:
    fleet = declaration({f"a{number:03}": {} for number in range(100)}).identities
    attacked = Counter(sibling.name for one in fleet for sibling in siblings_of(one, fleet))
    assert set(attacked.values()) == {SIBLINGS}
    assert len(attacked) == len(fleet)


def test_nothing_is_generated_that_a_listed_move_has_tried_already(catalogue: Catalogue) -> None:
    moves = moves_of(place(declaration()), catalogue, {})
    generated = Counter((m.info, m.asks is None) for m in moves if m.id.startswith("risk-"))
    listed = {(m.info, m.asks is None) for m in moves if m.token is Token.OWN and not m.id.startswith("risk-")}
    as_others = {(m.info, m.asks is None) for m in moves if any("Impersonate" in name for name in m.headers)}
    assert max(generated.values()) == 1
    assert not generated.keys() & (listed - as_others)
