from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_identities.audit.accounts import AgentAccounts
from agent_identities.audit.proposal import change
from agent_identities.audit.rightsize import MOST_NAMESPACES, Options, Proposal, rightsize
from agent_identities.audit.trace import Limits
from agent_identities.bundled import chart_path
from agent_identities.declaration import EVERYWHERE, Declaration, Identity, declare
from agent_identities.rbac import (
    Authorizer,
    Binding,
    Catalogue,
    Policy,
    PolicyRule,
    Request,
    Role,
    RoleRef,
    Subject,
    breakdown,
    covers,
)
from support.audit import Json, denied, event, traced

CATALOGUE = Catalogue.load(chart_path() / "files" / "risk-catalogue.json")


def rule(verbs: str, resources: str = "pods", names: str = "", group: str = "") -> Json:
    made: Json = {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}
    return {**made, "resourceNames": names.split()} if names else made


def values(agents: Mapping[str, Any], **tiers: list[Json]) -> Json:
    return {
        "proxy": {"name": "agent-proxy", "rules": [rule("get list watch", "pods services")]},
        "tiers": {name: {"rules": rules} for name, rules in tiers.items()},
        "agents": dict(agents),
    }


def propose(
    given_values: Json, events: Iterable[Json], limits: Limits | None = None, **options: Any
) -> dict[str, Proposal]:
    declaration = declare(given_values, namespace="team")
    trace = traced(events, AgentAccounts.declared(declaration), limits)
    return {one.entry: one for one in rightsize(trace, declaration, Options(**options))}


def text(proposal: Proposal, where: str = "team") -> set[str]:
    return {
        f"{' '.join(each.verbs)} {' '.join(each.resources)}" + "".join(f" {name}" for name in each.resource_names)
        for each in proposal.rules.get(where, ())
    }


WORKER = {"reader": {"tiers": ["worker"]}}


def test_what_was_not_used_goes() -> None:
    proposal = propose(values(WORKER, worker=[rule("get list watch delete", "pods services")]), [event("reader")])[
        "reader"
    ]
    assert text(proposal) == {"list pods"}
    assert PolicyRule(("delete",), ("",), ("pods",)) in proposal.unused["team"]


def test_a_tier_that_was_used_wholly_is_left() -> None:
    proposal = propose(values(WORKER, worker=[rule("list")]), [event("reader")])["reader"]
    assert (proposal.untouched, proposal.narrower) == ("", False)


def test_wildcards_become_what_was_used() -> None:
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    made = [event("reader"), event("reader", "get", "pods/log", "a")]
    assert text(propose(values(WORKER, worker=[everything]), made)["reader"]) == {"list pods", "get pods/log a"}


def test_few_names_are_named() -> None:
    made = [event("reader", "get", "configmaps", name) for name in ("a", "b")]
    assert text(propose(values(WORKER, worker=[rule("get", "configmaps")]), made)["reader"]) == {"get configmaps a b"}


def test_many_names_are_not() -> None:
    made = [event("reader", "get", "configmaps", name) for name in ("a", "b", "c")]
    given_values = values(WORKER, worker=[rule("get list", "configmaps")])
    assert text(propose(given_values, made, most_names=2)["reader"]) == {"get configmaps"}


def test_names_that_kubernetes_made_up_are_not_named_for_they_do_not_come_back() -> None:
    made = [event("reader", "get", "pods", "web-5d78c9869d-x2x8k")]
    assert text(propose(values(WORKER, worker=[rule("get list")]), made)["reader"]) == {"get pods"}


def test_many_names_stay_named_where_the_tier_names_them() -> None:
    made = [event("reader", "get", "configmaps", name) for name in ("a", "b", "c")]
    given_values = values(WORKER, worker=[rule("get", "configmaps", "a b c d")])
    assert text(propose(given_values, made, most_names=2)["reader"]) == {"get configmaps a b c"}


def test_names_that_are_no_longer_known_are_all_those_of_the_tier() -> None:
    made = [event("reader", "get", "configmaps", name) for name in ("a", "b", "c")]
    given_values = values(WORKER, worker=[rule("get", "configmaps", "a b c d"), rule("list")])
    proposal = propose(given_values, made, Limits(names_of_use=2))["reader"]
    assert text(proposal) == {"get configmaps a b c d"}


def test_names_that_are_no_longer_known_are_none_where_the_tier_has_none() -> None:
    made = [event("reader", "get", "configmaps", name) for name in ("a", "b", "c")]
    given_values = values(WORKER, worker=[rule("get list", "configmaps")])
    assert text(propose(given_values, made, Limits(names_of_use=2))["reader"]) == {"get configmaps"}


def test_an_agent_whose_requests_are_no_longer_told_apart_keeps_its_tiers() -> None:
    made = [event("reader", verb) for verb in ("get", "list", "watch")]
    proposal = propose(values(WORKER, worker=[rule("get list watch delete")]), made, Limits(uses_of_agent=2))["reader"]
    assert "more kinds of requests" in proposal.untouched


def test_a_list_is_not_named_though_a_field_selector_did() -> None:
    made = [event("reader", "list", "configmaps", "a")]
    assert text(propose(values(WORKER, worker=[rule("get list", "configmaps")]), made)["reader"]) == {"list configmaps"}


def test_a_list_stays_named_where_the_tier_names_it() -> None:
    made = [event("reader", "list", "configmaps", "a")]
    given_values = values(WORKER, worker=[rule("list", "configmaps", "a b")])
    assert text(propose(given_values, made)["reader"]) == {"list configmaps a"}


def test_a_create_is_not_named_for_the_name_is_in_the_body() -> None:
    made = [event("reader", "create", "configmaps", "a")]
    given_values = values(WORKER, worker=[rule("create get", "configmaps")])
    assert text(propose(given_values, made)["reader"]) == {"create configmaps"}


def test_a_patch_that_made_its_object_keeps_the_right_to_create_it() -> None:
    made = [event("reader", "patch", "configmaps", "a", responseStatus={"code": 201})]
    given_values = values(WORKER, worker=[rule("create patch delete", "configmaps")])
    assert text(propose(given_values, made)["reader"]) == {"create patch configmaps a"}


def test_exec_over_a_websocket_keeps_the_right_to_create() -> None:
    made = [event("reader", "get", "pods/exec", "a", responseStatus={"code": 101})]
    given_values = values(WORKER, worker=[rule("create get delete", "pods/exec")])
    assert text(propose(given_values, made)["reader"]) == {"get create pods/exec a"}


def test_instances_have_one_tier_and_their_own_name_stands_as_agent() -> None:
    given_values = values({"triage": {"tiers": ["worker"], "instances": 11}}, worker=[rule("get patch", "configmaps")])
    made = [event(f"triage-{n}", "get", "configmaps", f"triage-{n}-state") for n in (1, 11)]
    assert text(propose(given_values, made)["triage"]) == {"get configmaps {agent}-state"}


def test_a_siblings_name_stays_as_it_is() -> None:
    given_values = values({"triage": {"tiers": ["worker"], "instances": 11}}, worker=[rule("get patch", "configmaps")])
    made = [event("triage-1", "get", "configmaps", "triage-11-state")]
    assert text(propose(given_values, made)["triage"]) == {"get configmaps triage-11-state"}


def test_a_tier_that_says_agent_goes_on_saying_it() -> None:
    given_values = values(WORKER, worker=[rule("get patch", "configmaps", "{agent}-state")])
    made = [event("reader", "get", "configmaps", "reader-state")]
    assert text(propose(given_values, made)["reader"]) == {"get configmaps {agent}-state"}


def test_verbs_that_leave_no_trace_are_kept() -> None:
    roles = rule("bind escalate", "roles", group="rbac.authorization.k8s.io")
    proposal = propose(values(WORKER, worker=[roles, rule("list delete")]), [event("reader")])["reader"]
    assert text(proposal) == {"list pods", "bind escalate roles"}


def test_a_denied_request_is_told_and_not_proposed() -> None:
    made = [event("reader"), denied(event("reader", "delete", name="a"))]
    proposal = propose(values(WORKER, worker=[rule("get list")]), made)["reader"]
    assert text(proposal) == {"list pods"}
    assert [use.request.verb for use in proposal.denied] == ["delete"]
    assert not proposal.widened


def test_a_denied_request_is_proposed_where_that_is_asked_for() -> None:
    made = [event("reader"), denied(event("reader", "delete", name="a"))]
    proposal = propose(values(WORKER, worker=[rule("get list")]), made, include_denied=True)["reader"]
    assert text(proposal) == {"list pods", "delete pods a"}
    assert proposal.widened


def test_what_a_stray_binding_allowed_is_told_and_not_proposed() -> None:
    proposal = propose(values(WORKER, worker=[rule("get list")]), [event("reader"), event("reader", "delete")])[
        "reader"
    ]
    assert text(proposal) == {"list pods"}
    assert [use.request.verb for use in proposal.elsewhere] == ["delete"]


def test_a_grant_in_another_namespace_is_narrowed_there() -> None:
    agents = {"reader": {"tiers": [], "namespaces": {"other": ["worker"]}}}
    ref = {"resource": "pods", "namespace": "other", "name": "a"}
    proposal = propose(values(agents, worker=[rule("get list")]), [event("reader", "get", objectRef=ref)])["reader"]
    assert (text(proposal, "other"), text(proposal)) == ({"get pods a"}, set())


CLUSTER: Json = {**values(WORKER), "tiers": {"worker": {"scope": "Cluster", "rules": [rule("get list")]}}}


def elsewhere(namespace: str) -> Json:
    return event("reader", objectRef={"resource": "pods", "namespace": namespace})


def test_a_cluster_wide_tier_is_narrowed_to_the_namespaces_where_it_was_used() -> None:
    proposal = propose(CLUSTER, [elsewhere("a"), elsewhere("b")])["reader"]
    assert {where: text(proposal, where) for where in proposal.rules} == {"a": {"list pods"}, "b": {"list pods"}}


def test_a_cluster_wide_tier_stays_so_where_it_was_used_across_namespaces() -> None:
    proposal = propose(CLUSTER, [elsewhere("a"), elsewhere("")])["reader"]
    assert {where: text(proposal, where) for where in proposal.rules} == {EVERYWHERE: {"list pods"}}


def test_what_is_held_in_the_whole_cluster_is_not_given_in_a_namespace_again() -> None:
    ref = {"resource": "pods", "namespace": "a", "name": "x"}
    proposal = propose(CLUSTER, [elsewhere("a"), elsewhere(""), event("reader", "get", objectRef=ref)])["reader"]
    assert {where: text(proposal, where) for where in proposal.rules} == {
        EVERYWHERE: {"list pods"},
        "a": {"get pods x"},
    }


def test_a_cluster_wide_tier_stays_so_where_it_was_used_in_many_namespaces() -> None:
    proposal = propose(CLUSTER, [elsewhere(f"n{number}") for number in range(MOST_NAMESPACES + 1)])["reader"]
    assert set(proposal.rules) == {EVERYWHERE}


def test_an_existing_role_is_kept_where_it_allowed_something() -> None:
    given_values = values({"reader": {"tiers": ["worker", "theirs", "unused"]}}, worker=[rule("list delete")])
    for name in ("theirs", "unused"):
        given_values["tiers"][name] = {"existingRole": {"kind": "ClusterRole", "name": name}}
    made = event("reader", "get", "secrets", "a")
    made["annotations"]["authorization.k8s.io/reason"] = (
        'RBAC: allowed by RoleBinding "b/team" of ClusterRole "theirs" to ServiceAccount "reader/team"'
    )
    proposal = propose(given_values, [event("reader"), made])["reader"]
    assert [grant.tier for grant in proposal.kept] == ["theirs"]
    assert proposal.elsewhere == ()


def test_who_made_no_request_keeps_its_tiers_unless_asked() -> None:
    given_values = values({**WORKER, "idle": {"tiers": ["worker"]}}, worker=[rule("get list")])
    assert propose(given_values, [event("reader")])["idle"].untouched == "no request in the log"
    proposal = propose(given_values, [event("reader")], include_idle=True)["idle"]
    assert (proposal.narrower, proposal.rules) == (True, {})


def test_the_central_role_is_narrowed_only_where_nobody_else_holds_it() -> None:
    made = [event("agent-proxy"), event("reader", "get", "services", "a")]
    assert "still that of idle" in propose(values({"reader": {}, "idle": {}}), made)["proxy"].untouched
    assert text(propose(values({"reader": {}}), made)["proxy"]) == {"list pods"}


def test_the_central_role_stays_while_an_agent_needs_all_of_it() -> None:
    made = [event("agent-proxy")]
    made += [event("reader", verb, kind) for verb in ("get", "list", "watch") for kind in ("pods", "services")]
    assert "still that of reader" in propose(values({"reader": {}}), made)["proxy"].untouched


# ---- as values


def changed(given_values: Json, events: Iterable[Json], **options: Any) -> Any:
    declaration = declare(given_values, namespace="team")
    proposals = rightsize(traced(events, AgentAccounts.declared(declaration)), declaration, Options(**options))
    return change(proposals, declaration, given_values, CATALOGUE)


def test_the_snippet_gives_the_entry_a_tier_of_its_own() -> None:
    found = changed(values(WORKER, worker=[rule("get list")]), [event("reader")])
    assert found.values == {
        "tiers": {"reader-used": {"rules": [rule("list")]}},
        "agents": {"reader": {"tiers": ["reader-used"]}},
    }
    assert (found.removals, found.unheld) == ((), ("worker",))


def test_a_tier_of_an_earlier_run_is_replaced_and_another_entrys_is_not() -> None:
    mine = values({"reader": {"tiers": ["reader-used"]}}, **{"reader-used": [rule("get list")]})
    assert set(changed(mine, [event("reader")]).values["tiers"]) == {"reader-used"}
    shared = {**mine, "agents": {**mine["agents"], "other": {"tiers": ["reader-used"]}}}
    assert set(changed(shared, [event("reader")]).values["tiers"]) == {"reader-used-2"}


def test_an_entry_with_a_long_name_has_a_tier_with_a_name_that_fits() -> None:
    name = "a" * 63
    (tier,) = changed(values({name: {"tiers": ["worker"]}}, worker=[rule("get list")]), [event(name)]).values["tiers"]
    assert len(tier) == 63


def test_an_unused_namespace_is_taken_out() -> None:
    given_values = values({"reader": {"tiers": ["worker"], "namespaces": {"other": ["worker"]}}}, worker=[rule("list")])
    found = changed(given_values, [event("reader")])
    assert found.removals == (("agents", "reader", "namespaces"),)
    (reader,) = declare(found.applied_to(given_values), namespace="team").agents
    assert {grant.namespace for grant in reader.grants} == {"team"}


def test_risks_stay_accepted_where_they_are_left_and_only_there() -> None:
    given_values = values(WORKER, worker=[rule("get list", "secrets"), rule("create", "pods/exec")])
    met = {
        found.risk.id
        for found in CATALOGUE.findings(
            declare(given_values, namespace="team").tiers["worker"], cluster_wide=False, namespace="team"
        )
    }
    given_values["tiers"]["worker"]["acceptRisks"] = dict.fromkeys(met, "reviewed")
    made = [event("reader", "list", "secrets")]
    tier = changed(given_values, made).values["tiers"]["reader-used"]
    assert tier["acceptRisks"]
    assert set(tier["acceptRisks"]) < met


# ---- for any tiers and any requests

VERBS = ("get", "list", "create", "patch", "delete")
KINDS = (("", "pods"), ("", "pods/log"), ("", "configmaps"), ("apps", "deployments"))
NAMES = ("x", "y", "solo", "twin-1", "twin-1-state", "twin-2-state", "solo-state", "web-x2x8k")
PLACES = ("team", "other", EVERYWHERE)
AGENTS = ("solo", "twin-1", "twin-2", "agent-proxy")


def some(*choices: str, least: int = 1) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(choices), min_size=least, max_size=3, unique=True)


rules = st.builds(
    lambda verbs, groups, resources, names: {
        "verbs": verbs,
        "apiGroups": groups,
        "resources": resources,
        **({"resourceNames": names} if names else {}),
    },
    some(*VERBS, "*"),
    some("", "apps", "*"),
    some("pods", "pods/log", "configmaps", "deployments", "*", "*/log"),
    some("x", "{agent}-state", "{agent}", "twin-1-state", least=0),
)
tiers = st.fixed_dictionaries(
    {"rules": st.lists(rules, min_size=1, max_size=3)}, optional={"scope": st.sampled_from(["Cluster", "Namespace"])}
)
agents = st.fixed_dictionaries(
    {"tiers": some("one", "two", "proxy", least=0)},
    optional={"namespaces": st.dictionaries(st.just("other"), some("one", "two"), max_size=1)},
)
given_values_ = st.builds(
    lambda central, one, two, solo, twin: {
        "proxy": {"name": "agent-proxy", "rules": central},
        "tiers": {"one": one, "two": two},
        "agents": {"solo": solo, "twin": {**twin, "instances": 2}},
    },
    st.lists(rules, min_size=1, max_size=2),
    tiers,
    tiers,
    agents,
    agents,
)
asks = st.lists(
    st.tuples(
        st.sampled_from(AGENTS),
        st.sampled_from(VERBS),
        st.sampled_from(KINDS),
        st.sampled_from(NAMES),
        st.sampled_from(PLACES),
    ),
    min_size=1,
    max_size=25,
)


def authorizer(declaration: Declaration) -> Authorizer:
    """An API server with exactly what is declared."""
    roles: list[Role] = []
    bindings: list[Binding] = []
    for one in declaration.identities:
        subject = Subject("ServiceAccount", one.name, one.namespace)
        for where in {grant.namespace for grant in one.grants}:
            kind: Any = "Role" if where else "ClusterRole"
            roles.append(Role(kind, one.name, where, one.rules_in(where)))
            ref = RoleRef(kind, one.name)
            bindings.append(Binding("RoleBinding" if where else "ClusterRoleBinding", one.name, where, ref, (subject,)))
    return Authorizer(Policy(tuple(roles), tuple(bindings)))


def request(ask: tuple[str, str, tuple[str, str], str, str]) -> Request:
    _, verb, (group, resource), name, where = ask
    resource, _, subresource = resource.partition("/")
    nameless = verb == "list" or (verb == "create" and not subresource)
    return Request(verb, group, resource, subresource, "" if nameless else name, where)


@settings(max_examples=300, deadline=None)
@given(given_values_, asks, st.integers(0, 3), st.data())
def test_the_proposal_allows_all_that_was_allowed_and_nothing_that_was_not(
    given_values: Json, asked: list[tuple[str, str, tuple[str, str], str, str]], most_names: int, data: st.DataObject
) -> None:
    declaration = declare(given_values, namespace="team")
    server = authorizer(declaration)
    who = {one.name: one for one in declaration.identities}
    allowed: list[tuple[Identity, Request]] = []
    events: list[Json] = []
    for ask in asked:
        one, made = who[ask[0]], request(ask)
        kind = made.resource + (f"/{made.subresource}" if made.subresource else "")
        name = made.name or (ask[3] if made.verb == "create" else "")
        each = event(ask[0], made.verb, kind, name)
        each["objectRef"] |= {"apiGroup": made.api_group, "namespace": made.namespace}
        if not server.decide(one.user, made).allowed:
            events.append(denied(each))
            continue
        creation = made._replace(verb="create")
        allowed.append((one, made))
        if (
            made.verb == "patch"
            and not made.subresource
            and server.decide(one.user, creation).allowed
            and data.draw(st.booleans())
        ):
            each["responseStatus"] = {"code": 201}
            allowed.append((one, creation))
        events.append(each)
    trace = traced(events, AgentAccounts.declared(declaration))
    proposals = rightsize(trace, declaration, Options(most_names))
    after = declare(change(proposals, declaration, given_values, CATALOGUE).applied_to(given_values), namespace="team")

    rightsized = authorizer(after)
    assert [(one, each) for one, each in allowed if not rightsized.decide(one.user, each).allowed] == []
    now = {one.name: one for one in after.identities}
    for one in declaration.identities:
        for where in {grant.namespace for grant in now[one.name].grants}:
            before = (*one.rules_in(where), *one.rules_in(EVERYWHERE))
            assert covers(before, now[one.name].rules_in(where)) == ()
    for proposal in (each for each in proposals if each.narrower):
        names = {one.name for one in proposal.identities}
        used = {
            (each.verb, each.api_group, f"{each.resource}/{each.subresource}".rstrip("/"))
            for one, each in allowed
            if one.name in names
        }
        atoms = [atom for held in proposal.rules.values() for each in held for atom in breakdown(each)]
        assert {(atom.verbs[0], atom.api_groups[0], atom.resources[0]) for atom in atoms} <= used


@pytest.mark.parametrize("most_names", [0, 10])
def test_a_second_run_on_the_same_log_changes_nothing(most_names: int) -> None:
    given_values = values(WORKER, worker=[rule("get list watch delete", "pods services")])
    made = [event("reader"), event("reader", "get", "services", "a")]
    first = changed(given_values, made, most_names=most_names)
    assert changed(first.applied_to(given_values), made, most_names=most_names).values == {}
