from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_identities.audit.accounts import AgentAccounts
from agent_identities.audit.proposal import change
from agent_identities.audit.rightsize import MOST_NAMESPACES, Options, Proposal, rightsize
from agent_identities.audit.tracer import Limits, Tracer
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
from support.audit import Json, denied, event, traced, username
from support.audit_forms import aks_record, gke_entry, lines, native

CATALOGUE = Catalogue.load(chart_path() / "files" / "risk-catalogue.json")


def rule(verbs: str, resources: str = "pods", names: str = "", group: str = "") -> Json:
    manifest: Json = {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}
    return {**manifest, "resourceNames": names.split()} if names else manifest


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


def propose_for_log(given_values: Json, log: bytes, **options: Any) -> dict[str, Proposal]:
    declaration = declare(given_values, namespace="team")
    tracer = Tracer(AgentAccounts.declared(declaration))
    for _ in tracer.read("audit.log", [log]):
        pass
    return {one.entry: one for one in rightsize(tracer.result(), declaration, Options(**options))}


def text(proposal: Proposal, where: str = "team") -> set[str]:
    return {
        f"{' '.join(each.verbs)} {' '.join(each.resources)}" + "".join(f" {name}" for name in each.resource_names)
        for each in proposal.rules.get(where, ())
    }


WORKER = {"reader": {"tiers": ["worker"]}}


def test_unused_rules_are_removed() -> None:
    proposal = propose(values(WORKER, worker=[rule("get list watch delete", "pods services")]), [event("reader")])[
        "reader"
    ]
    assert text(proposal) == {"list pods"}
    assert PolicyRule(("delete",), ("",), ("pods",)) in proposal.unused["team"]


def test_a_tier_that_was_fully_used_is_unchanged() -> None:
    proposal = propose(values(WORKER, worker=[rule("list")]), [event("reader")])["reader"]
    assert (proposal.unchanged_reason, proposal.narrower) == ("", False)


def test_wildcards_become_the_used_resources_and_verbs() -> None:
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    logged = [event("reader"), event("reader", "get", "pods/log", "a")]
    assert text(propose(values(WORKER, worker=[everything]), logged)["reader"]) == {"list pods", "get pods/log a"}


def test_a_rule_has_resource_names_if_there_are_few() -> None:
    logged = [event("reader", "get", "configmaps", name) for name in ("a", "b")]
    assert text(propose(values(WORKER, worker=[rule("get", "configmaps")]), logged)["reader"]) == {"get configmaps a b"}


def test_a_rule_has_no_resource_names_if_there_are_many() -> None:
    logged = [event("reader", "get", "configmaps", name) for name in ("a", "b", "c")]
    given_values = values(WORKER, worker=[rule("get list", "configmaps")])
    assert text(propose(given_values, logged, most_names=2)["reader"]) == {"get configmaps"}


def test_generated_names_are_not_in_rules() -> None:
    logged = [event("reader", "get", "pods", "web-5d78c9869d-x2x8k")]
    assert text(propose(values(WORKER, worker=[rule("get list")]), logged)["reader"]) == {"get pods"}


def test_many_resource_names_are_kept_if_the_tier_has_resource_names() -> None:
    logged = [event("reader", "get", "configmaps", name) for name in ("a", "b", "c")]
    given_values = values(WORKER, worker=[rule("get", "configmaps", "a b c d")])
    assert text(propose(given_values, logged, most_names=2)["reader"]) == {"get configmaps a b c"}


def test_above_the_limit_of_names_the_resource_names_of_the_tier_are_kept() -> None:
    logged = [event("reader", "get", "configmaps", name) for name in ("a", "b", "c")]
    given_values = values(WORKER, worker=[rule("get", "configmaps", "a b c d"), rule("list")])
    proposal = propose(given_values, logged, Limits(names_of_use=2))["reader"]
    assert text(proposal) == {"get configmaps a b c d"}


def test_above_the_limit_of_names_a_rule_without_resource_names_has_none() -> None:
    logged = [event("reader", "get", "configmaps", name) for name in ("a", "b", "c")]
    given_values = values(WORKER, worker=[rule("get list", "configmaps")])
    assert text(propose(given_values, logged, Limits(names_of_use=2))["reader"]) == {"get configmaps"}


def test_an_agent_with_too_many_kinds_of_requests_keeps_its_tiers() -> None:
    logged = [event("reader", verb) for verb in ("get", "list", "watch")]
    proposal = propose(values(WORKER, worker=[rule("get list watch delete")]), logged, Limits(uses_of_agent=2))[
        "reader"
    ]
    assert "too many kinds of requests" in proposal.unchanged_reason


def test_a_list_with_a_field_selector_has_no_resource_names() -> None:
    logged = [event("reader", "list", "configmaps", "a")]
    assert text(propose(values(WORKER, worker=[rule("get list", "configmaps")]), logged)["reader"]) == {
        "list configmaps"
    }


def test_a_list_has_resource_names_if_the_tier_has_resource_names() -> None:
    logged = [event("reader", "list", "configmaps", "a")]
    given_values = values(WORKER, worker=[rule("list", "configmaps", "a b")])
    assert text(propose(given_values, logged)["reader"]) == {"list configmaps a"}


def test_a_create_has_no_resource_names_because_the_name_is_in_the_body() -> None:
    logged = [event("reader", "create", "configmaps", "a")]
    given_values = values(WORKER, worker=[rule("create get", "configmaps")])
    assert text(propose(given_values, logged)["reader"]) == {"create configmaps"}


def test_a_patch_that_created_its_object_keeps_create() -> None:
    logged = [event("reader", "patch", "configmaps", "a", responseStatus={"code": 201})]
    given_values = values(WORKER, worker=[rule("create patch delete", "configmaps")])
    assert text(propose(given_values, logged)["reader"]) == {"create patch configmaps a"}


def test_exec_over_a_websocket_keeps_create() -> None:
    logged = [event("reader", "get", "pods/exec", "a", responseStatus={"code": 101})]
    given_values = values(WORKER, worker=[rule("create get delete", "pods/exec")])
    assert text(propose(given_values, logged)["reader"]) == {"get create pods/exec a"}


def test_instances_have_one_tier_and_their_name_becomes_the_placeholder() -> None:
    given_values = values({"triage": {"tiers": ["worker"], "instances": 11}}, worker=[rule("get patch", "configmaps")])
    logged = [event(f"triage-{n}", "get", "configmaps", f"triage-{n}-state") for n in (1, 11)]
    assert text(propose(given_values, logged)["triage"]) == {"get configmaps {agent}-state"}


def test_the_name_of_another_instance_does_not_become_the_placeholder() -> None:
    given_values = values({"triage": {"tiers": ["worker"], "instances": 11}}, worker=[rule("get patch", "configmaps")])
    logged = [event("triage-1", "get", "configmaps", "triage-11-state")]
    assert text(propose(given_values, logged)["triage"]) == {"get configmaps triage-11-state"}


def test_a_placeholder_in_the_tier_is_kept() -> None:
    given_values = values(WORKER, worker=[rule("get patch", "configmaps", "{agent}-state")])
    logged = [event("reader", "get", "configmaps", "reader-state")]
    assert text(propose(given_values, logged)["reader"]) == {"get configmaps {agent}-state"}


def test_verbs_that_are_not_in_the_log_are_kept() -> None:
    roles = rule("bind escalate", "roles", group="rbac.authorization.k8s.io")
    proposal = propose(values(WORKER, worker=[roles, rule("list delete")]), [event("reader")])["reader"]
    assert text(proposal) == {"list pods", "bind escalate roles"}


def test_a_denied_request_is_reported_and_not_granted() -> None:
    logged = [event("reader"), denied(event("reader", "delete", name="a"))]
    proposal = propose(values(WORKER, worker=[rule("get list")]), logged)["reader"]
    assert text(proposal) == {"list pods"}
    assert [use.request.verb for use in proposal.denied] == ["delete"]
    assert not proposal.widened


def test_a_denied_request_is_granted_with_include_denied() -> None:
    logged = [event("reader"), denied(event("reader", "delete", name="a"))]
    proposal = propose(values(WORKER, worker=[rule("get list")]), logged, include_denied=True)["reader"]
    assert text(proposal) == {"list pods", "delete pods a"}
    assert proposal.widened


def test_a_request_that_an_undeclared_binding_allowed_is_reported_and_not_granted() -> None:
    proposal = propose(values(WORKER, worker=[rule("get list")]), [event("reader"), event("reader", "delete")])[
        "reader"
    ]
    assert text(proposal) == {"list pods"}
    assert [use.request.verb for use in proposal.undeclared] == ["delete"]


def test_a_grant_in_another_namespace_is_narrowed_in_that_namespace() -> None:
    agents = {"reader": {"tiers": [], "namespaces": {"other": ["worker"]}}}
    ref = {"resource": "pods", "namespace": "other", "name": "a"}
    proposal = propose(values(agents, worker=[rule("get list")]), [event("reader", "get", objectRef=ref)])["reader"]
    assert (text(proposal, "other"), text(proposal)) == ({"get pods a"}, set())


CLUSTER: Json = {**values(WORKER), "tiers": {"worker": {"scope": "Cluster", "rules": [rule("get list")]}}}


def list_in(namespace: str) -> Json:
    return event("reader", objectRef={"resource": "pods", "namespace": namespace})


def test_a_cluster_wide_tier_is_narrowed_to_the_namespaces_in_which_it_was_used() -> None:
    proposal = propose(CLUSTER, [list_in("a"), list_in("b")])["reader"]
    assert {where: text(proposal, where) for where in proposal.rules} == {"a": {"list pods"}, "b": {"list pods"}}


def test_a_cluster_wide_tier_that_was_used_across_namespaces_stays_cluster_wide() -> None:
    proposal = propose(CLUSTER, [list_in("a"), list_in("")])["reader"]
    assert {where: text(proposal, where) for where in proposal.rules} == {EVERYWHERE: {"list pods"}}


def test_a_cluster_wide_rule_is_not_repeated_in_a_namespace() -> None:
    ref = {"resource": "pods", "namespace": "a", "name": "x"}
    proposal = propose(CLUSTER, [list_in("a"), list_in(""), event("reader", "get", objectRef=ref)])["reader"]
    assert {where: text(proposal, where) for where in proposal.rules} == {
        EVERYWHERE: {"list pods"},
        "a": {"get pods x"},
    }


def test_a_cluster_wide_tier_that_was_used_in_many_namespaces_stays_cluster_wide() -> None:
    proposal = propose(CLUSTER, [list_in(f"n{number}") for number in range(MOST_NAMESPACES + 1)])["reader"]
    assert set(proposal.rules) == {EVERYWHERE}


def test_an_existing_role_is_kept_if_it_was_used() -> None:
    given_values = values({"reader": {"tiers": ["worker", "theirs", "unused"]}}, worker=[rule("list delete")])
    for name in ("theirs", "unused"):
        given_values["tiers"][name] = {"existingRole": {"kind": "ClusterRole", "name": name}}
    logged = event("reader", "get", "secrets", "a")
    logged["annotations"]["authorization.k8s.io/reason"] = (
        'RBAC: allowed by RoleBinding "b/team" of ClusterRole "theirs" to ServiceAccount "reader/team"'
    )
    proposal = propose(given_values, [event("reader"), logged])["reader"]
    assert [grant.tier for grant in proposal.kept] == ["theirs"]
    assert proposal.undeclared == ()


def test_an_agent_without_a_request_keeps_its_tiers_unless_include_idle() -> None:
    given_values = values({**WORKER, "idle": {"tiers": ["worker"]}}, worker=[rule("get list")])
    assert propose(given_values, [event("reader")])["idle"].unchanged_reason == "no request in the log"
    proposal = propose(given_values, [event("reader")], include_idle=True)["idle"]
    assert (proposal.narrower, proposal.rules) == (True, {})


def test_the_central_role_is_narrowed_only_if_no_agent_needs_it() -> None:
    logged = [event("agent-proxy"), event("reader", "get", "services", "a")]
    assert "idle still use" in propose(values({"reader": {}, "idle": {}}), logged)["proxy"].unchanged_reason
    assert text(propose(values({"reader": {}}), logged)["proxy"]) == {"list pods"}


def test_the_central_role_is_unchanged_while_an_agent_needs_all_of_it() -> None:
    logged = [event("agent-proxy")]
    logged += [event("reader", verb, kind) for verb in ("get", "list", "watch") for kind in ("pods", "services")]
    assert "reader still use" in propose(values({"reader": {}}), logged)["proxy"].unchanged_reason


# ---- as values


def changed(given_values: Json, events: Iterable[Json], **options: Any) -> Any:
    declaration = declare(given_values, namespace="team")
    proposals = rightsize(traced(events, AgentAccounts.declared(declaration)), declaration, Options(**options))
    return change(proposals, declaration, given_values, CATALOGUE)


def test_the_change_adds_a_tier_for_the_entry() -> None:
    found = changed(values(WORKER, worker=[rule("get list")]), [event("reader")])
    assert found.values == {
        "tiers": {"reader-used": {"rules": [rule("list")]}},
        "agents": {"reader": {"tiers": ["reader-used"]}},
    }
    assert (found.removals, found.unassigned) == ((), ("worker",))


def test_a_tier_of_an_earlier_run_is_replaced_and_a_tier_of_another_entry_is_not() -> None:
    exclusive = values({"reader": {"tiers": ["reader-used"]}}, **{"reader-used": [rule("get list")]})
    assert set(changed(exclusive, [event("reader")]).values["tiers"]) == {"reader-used"}
    shared = {**exclusive, "agents": {**exclusive["agents"], "other": {"tiers": ["reader-used"]}}}
    assert set(changed(shared, [event("reader")]).values["tiers"]) == {"reader-used-2"}


def test_the_tier_of_an_entry_with_a_long_name_has_a_valid_name() -> None:
    name = "a" * 63
    (tier,) = changed(values({name: {"tiers": ["worker"]}}, worker=[rule("get list")]), [event(name)]).values["tiers"]
    assert len(tier) == 63


def test_an_unused_namespace_is_removed() -> None:
    given_values = values({"reader": {"tiers": ["worker"], "namespaces": {"other": ["worker"]}}}, worker=[rule("list")])
    found = changed(given_values, [event("reader")])
    assert found.removals == (("agents", "reader", "namespaces"),)
    (reader,) = declare(found.applied_to(given_values), namespace="team").agents
    assert {grant.namespace for grant in reader.grants} == {"team"}


def test_accepted_risks_are_kept_if_the_new_tier_has_them() -> None:
    given_values = values(WORKER, worker=[rule("get list", "secrets"), rule("create", "pods/exec")])
    present = {
        found.risk.id
        for found in CATALOGUE.findings(
            declare(given_values, namespace="team").tiers["worker"], cluster_wide=False, namespace="team"
        )
    }
    given_values["tiers"]["worker"]["acceptRisks"] = dict.fromkeys(present, "reviewed")
    logged = [event("reader", "list", "secrets")]
    tier = changed(given_values, logged).values["tiers"]["reader-used"]
    assert tier["acceptRisks"]
    assert set(tier["acceptRisks"]) < present


# ---- for any tiers and any requests

VERBS = ("get", "list", "create", "patch", "delete")
KINDS = (("", "pods"), ("", "pods/log"), ("", "configmaps"), ("apps", "deployments"))
NAMES = ("x", "y", "solo", "twin-1", "twin-1-state", "twin-2-state", "solo-state", "web-x2x8k")
NAMESPACES = ("team", "other", EVERYWHERE)
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
questions = st.lists(
    st.tuples(
        st.sampled_from(AGENTS),
        st.sampled_from(VERBS),
        st.sampled_from(KINDS),
        st.sampled_from(NAMES),
        st.sampled_from(NAMESPACES),
    ),
    min_size=1,
    max_size=25,
)


def authorizer(declaration: Declaration) -> Authorizer:
    """An authorizer with exactly the declared rules."""
    roles: list[Role] = []
    bindings: list[Binding] = []
    for identity in declaration.identities:
        name = identity.name
        subject = Subject("ServiceAccount", name, identity.namespace)
        for where in {grant.namespace for grant in identity.grants}:
            kind: Any = "Role" if where else "ClusterRole"
            roles.append(Role(kind, name, where, identity.rules_in(where)))
            ref = RoleRef(kind, name)
            bindings.append(Binding("RoleBinding" if where else "ClusterRoleBinding", name, where, ref, (subject,)))
    return Authorizer(Policy(tuple(roles), tuple(bindings)))


def request(question: tuple[str, str, tuple[str, str], str, str]) -> Request:
    _, verb, (group, resource), name, where = question
    resource, _, subresource = resource.partition("/")
    nameless = verb == "list" or (verb == "create" and not subresource)
    return Request(verb, group, resource, subresource, "" if nameless else name, where)


@settings(max_examples=300, deadline=None)
@given(given_values_, questions, st.integers(0, 3), st.data())
def test_the_proposal_allows_every_allowed_request_and_exceeds_neither_the_tiers_nor_the_log(
    given_values: Json, asked: list[tuple[str, str, tuple[str, str], str, str]], most_names: int, data: st.DataObject
) -> None:
    declaration = declare(given_values, namespace="team")
    server = authorizer(declaration)
    identities = {identity.name: identity for identity in declaration.identities}
    allowed: list[tuple[Identity, Request]] = []
    events: list[Json] = []
    for question in asked:
        identity, sent = identities[question[0]], request(question)
        kind = sent.resource + (f"/{sent.subresource}" if sent.subresource else "")
        name = sent.name or (question[3] if sent.verb == "create" else "")
        logged = event(question[0], sent.verb, kind, name)
        logged["objectRef"] |= {"apiGroup": sent.api_group, "namespace": sent.namespace}
        if not server.decide(identity.user, sent).allowed:
            events.append(denied(logged))
            continue
        creation = sent._replace(verb="create")
        allowed.append((identity, sent))
        if (
            sent.verb == "patch"
            and not sent.subresource
            and server.decide(identity.user, creation).allowed
            and data.draw(st.booleans())
        ):
            logged["responseStatus"] = {"code": 201}
            allowed.append((identity, creation))
        events.append(logged)
    trace = traced(events, AgentAccounts.declared(declaration))
    proposals = rightsize(trace, declaration, Options(most_names))
    after = declare(change(proposals, declaration, given_values, CATALOGUE).applied_to(given_values), namespace="team")

    rightsized = authorizer(after)
    assert [(one, each) for one, each in allowed if not rightsized.decide(one.user, each).allowed] == []
    changed_identities = {identity.name: identity for identity in after.identities}
    for identity in declaration.identities:
        changed_identity = changed_identities[identity.name]
        for where in {grant.namespace for grant in changed_identity.grants}:
            before = (*identity.rules_in(where), *identity.rules_in(EVERYWHERE))
            assert covers(before, changed_identity.rules_in(where)) == ()
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
def test_a_second_run_with_the_same_log_proposes_no_change(most_names: int) -> None:
    given_values = values(WORKER, worker=[rule("get list watch delete", "pods services")])
    logged = [event("reader"), event("reader", "get", "services", "a")]
    first = changed(given_values, logged, most_names=most_names)
    assert changed(first.applied_to(given_values), logged, most_names=most_names).values == {}


# ---- what a log does not say is not guessed

TWO = {"reader": {"tiers": ["worker"]}, "writer": {"tiers": ["worker"]}}
TWO_TIERS = {"worker": [rule("get list watch create", "pods services")]}


@pytest.mark.parametrize("code", [200, 429])
def test_a_request_without_a_decision_keeps_the_rule_that_allows_it(code: int) -> None:
    undecided = event("reader", "watch", annotations={}, responseStatus={"code": code})
    proposal = propose(values(WORKER, worker=[rule("list watch delete")]), [event("reader"), undecided])["reader"]
    assert text(proposal) == {"list watch pods"}
    assert proposal.undeclared == ()


@pytest.mark.parametrize("stage", ["RequestReceived", "ResponseStarted"])
def test_a_request_without_a_response_keeps_the_rule_that_allows_it(stage: str) -> None:
    open_ = event("reader", "watch", stage=stage, annotations={})
    proposal = propose(values(WORKER, worker=[rule("list watch delete")]), [event("reader"), open_])["reader"]
    assert text(proposal) == {"list watch pods"}


def test_a_request_without_a_decision_does_not_widen_the_rules() -> None:
    undecided = event("reader", "create", "secrets", annotations={})
    proposal = propose(values(WORKER, worker=[rule("list watch")]), [event("reader"), undecided])["reader"]
    assert text(proposal) == {"list pods"}


def test_an_agent_that_a_record_names_which_cannot_be_read_is_unchanged() -> None:
    cut = native([event("reader", "watch")])[:-200] + b"\n"
    found = propose_for_log(values(TWO, **TWO_TIERS), native([event("reader")]) + cut + native([event("writer")]))
    assert found["reader"].unchanged_reason == "audit.log:2 names it, but cannot be read"
    assert text(found["writer"]) == {"list pods"}


def test_a_part_of_an_event_that_can_be_of_any_agent_leaves_all_unchanged() -> None:
    cut = native([event("reader")]).partition(b'"user"')[0] + b"\n"
    found = propose_for_log(values(TWO, **TWO_TIERS), native([event("reader")]) + cut + native([event("writer")]))
    assert {one.narrower for one in found.values()} == {False}
    assert "audit.log:2 is a part of an audit event" in found["writer"].unchanged_reason


@pytest.mark.parametrize(
    "other", [b"10.0.0.1 - GET /\n", native([event("x", user={"username": "admin"})])[:-200] + b"\n"]
)
def test_a_line_that_cannot_be_a_request_of_an_agent_holds_nothing_back(other: bytes) -> None:
    found = propose_for_log(values(TWO, **TWO_TIERS), native([event("reader")]) + other + native([event("writer")]))
    assert text(found["reader"]) == {"list pods"}


def test_a_gke_log_without_reads_keeps_the_rules_to_read() -> None:
    create = gke_entry("io.k8s.core.v1.pods.create", "core/v1/namespaces/team/pods/a", log="activity")
    found = propose_for_log(values(WORKER, worker=[rule("get list watch create delete")]), lines([create]))
    assert text(found["reader"]) == {"get list watch create pods"}
    found = propose_for_log(values(WORKER, worker=[rule("get list create delete")]), lines([create, gke_entry()]))
    assert text(found["reader"]) == {"list create pods"}


def test_a_wildcard_becomes_the_verbs_that_the_log_leaves_out_and_those_that_were_used() -> None:
    record = aks_record(event("reader", "create"), "kube-audit-admin")
    found = propose_for_log(values(WORKER, worker=[rule("*")]), lines([record]))
    assert text(found["reader"]) == {"get list create pods"}


def test_a_gke_entry_that_does_not_say_the_request_leaves_its_agent_unchanged() -> None:
    unclear = gke_entry("io.k8s.core.v1.pods", "core/v1/namespaces/team/pods", authorizationInfo=[])
    found = propose_for_log(values(TWO, **TWO_TIERS), lines([gke_entry(), unclear]))
    assert "audit.log:2 names it" in found["reader"].unchanged_reason


def test_a_gke_log_does_not_say_whether_a_patch_created_the_object() -> None:
    patch = gke_entry("io.k8s.core.v1.pods.patch", "core/v1/namespaces/team/pods/a", log="activity")
    found = propose_for_log(values(WORKER, worker=[rule("create patch delete")]), lines([patch, gke_entry()]))
    assert text(found["reader"]) == {"create patch pods a"}


def test_an_existing_role_is_kept_if_the_log_does_not_name_the_binding() -> None:
    agents = {"reader": {"tiers": ["worker", "own"]}}
    given_values = values(agents, worker=[rule("list delete")])
    given_values["tiers"]["own"] = {"existingRole": {"kind": "Role", "name": "by-hand"}}
    entry = gke_entry("io.k8s.core.v1.secrets.get", "core/v1/namespaces/team/secrets/a")
    del entry["labels"]
    found = propose_for_log(given_values, lines([gke_entry(), entry]))
    assert [grant.tier for grant in found["reader"].kept] == ["own"]


def test_a_request_through_the_proxy_that_cannot_be_read_leaves_both_unchanged() -> None:
    through = event("agent-proxy", impersonatedUser={"username": username("reader")})
    found = propose_for_log(
        values(TWO, **TWO_TIERS), native([event("reader")]) + native([through])[:-2] + b"\n" + native([event("writer")])
    )
    assert {name: bool(one.unchanged_reason) for name, one in found.items()} == {
        "proxy": True,
        "reader": True,
        "writer": False,
    }
