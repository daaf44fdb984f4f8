import json

import pytest

from agent_identities.audit.accounts import AgentAccounts
from agent_identities.audit.trace_report import attributed_percent, findings, rows, summary
from support.audit import denied, event, issue, traced, username


def test_requests_that_differ_only_in_verb_are_one_row() -> None:
    (row,) = rows(traced([event("reader"), event("reader", "get", name="a"), event("reader", "get", name="b")]).uses)
    assert (row.requests, row.count, row.by) == ("get list pods in team", 3, "RoleBinding team/reader-binding")


def test_requests_through_the_proxy_and_denied_requests_have_separate_rows() -> None:
    through = event("agent-proxy", impersonatedUser={"username": username("reader")})
    found = rows(traced([through, denied(event("reader")), event("reader")]).uses)
    assert [(row.sender, row.outcome) for row in found] == [
        ("itself", "allowed"),
        ("itself", "denied"),
        ("through agent-proxy", "allowed"),
    ]


def test_100_percent_is_reported_only_if_every_request_is_attributed() -> None:
    many = [event("reader")] * 25_000  # 99.996 %, which would be rounded up
    assert attributed_percent(traced([event("reader")])) == "100 %"
    assert attributed_percent(traced([*many, event("default")])) == "99.99 %"
    assert attributed_percent(traced([event("reader", user={"username": "admin"})])) == "none"


def test_a_token_that_impersonated_several_agents_counts_once() -> None:
    events = [event("agent-proxy", impersonatedUser={"username": username(name)}) for name in ("a", "b")]
    assert "1 token, 1 with the issuing event" in summary(traced([issue("agent-proxy"), *events]))


def test_the_finding_for_default_has_the_name_of_the_pod() -> None:
    user = {"username": username("default"), "extra": {"authentication.kubernetes.io/pod-name": ["lost-pod"]}}
    (finding,) = findings(traced([event("reader"), event("default", user=user)]))
    assert "team/default (pod lost-pod)" in finding.message


@pytest.mark.parametrize("agents", [1, 40])
def test_json_has_every_agent(agents: int) -> None:
    trace = traced((event(f"agent-{n}") for n in range(agents)), AgentAccounts.of_namespaces(["team"]))
    assert len(json.loads(trace.to_json())["agents"]) == agents
