import json

import pytest

from agent_identities.audit.accounts import AgentAccounts
from agent_identities.audit.trace_report import attributed_percent, findings, rows, summary
from support.audit import denied, event, issue, traced, username


def test_requests_that_differ_in_verb_alone_are_one_row() -> None:
    (row,) = rows(traced([event("reader"), event("reader", "get", name="a"), event("reader", "get", name="b")]).uses)
    assert (row.did, row.count, row.by) == ("get list pods in team", 3, "RoleBinding team/reader-binding")


def test_what_was_done_through_the_proxy_and_what_was_denied_have_rows_of_their_own() -> None:
    through = event("agent-proxy", impersonatedUser={"username": username("reader")})
    made = rows(traced([through, denied(event("reader")), event("reader")]).uses)
    assert [(row.sender, row.outcome) for row in made] == [
        ("itself", "allowed"),
        ("itself", "denied"),
        ("through agent-proxy", "allowed"),
    ]


def test_all_is_attributed_only_where_nothing_is_left() -> None:
    many = [event("reader")] * 25_000  # 99.996 %, which would be rounded up
    assert attributed_percent(traced([event("reader")])) == "100 %"
    assert attributed_percent(traced([*many, event("default")])) == "99.99 %"
    assert attributed_percent(traced([event("reader", user={"username": "admin"})])) == "nothing"


def test_a_token_counts_once_however_many_agents_it_acted_as() -> None:
    events = [event("agent-proxy", impersonatedUser={"username": username(name)}) for name in ("a", "b")]
    assert "1 token, 1 joined" in summary(traced([issue("agent-proxy"), *events]))


def test_a_pod_that_runs_as_default_is_named() -> None:
    user = {"username": username("default"), "extra": {"authentication.kubernetes.io/pod-name": ["lost-pod"]}}
    (finding,) = findings(traced([event("reader"), event("default", user=user)]))
    assert "team/default (pod lost-pod)" in finding.message


@pytest.mark.parametrize("agents", [1, 40])
def test_json_has_every_agent(agents: int) -> None:
    trace = traced((event(f"agent-{n}") for n in range(agents)), AgentAccounts.of_namespaces(["team"]))
    assert len(json.loads(trace.to_json())["agents"]) == agents
