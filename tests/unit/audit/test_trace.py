import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from agent_identities.audit.accounts import AgentAccounts
from agent_identities.audit.problems import Problem
from agent_identities.audit.sources import LogError, read
from agent_identities.audit.trace import MORE, Credential, RequestOutcome, Trace
from agent_identities.audit.tracer import Limits, Tracer
from agent_identities.declaration import declare
from agent_identities.rbac import ServiceAccount
from support.audit import Json, denied, event, issue, traced, username

EXCERPT = Path(__file__).with_name("excerpt.jsonl")
RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
VALUES: Json = {
    "proxy": {"name": "agent-proxy", "rules": RULES},
    "tiers": {},
    "agents": {"reader": {}, "triage": {"instances": 2}},
}


@pytest.fixture
def declared() -> AgentAccounts:
    return AgentAccounts.declared(declare(VALUES, namespace="team"))


@pytest.fixture(scope="module")
def excerpt() -> Trace:
    """A real log with tokens, a certificate, the token of a Secret, both kinds of impersonation, and refusals."""
    tracer = Tracer(AgentAccounts.of_namespaces(["team"]))
    for _ in tracer.read("excerpt", read(str(EXCERPT))):
        pass
    return tracer.result()


def counts(trace: Trace) -> dict[str, int]:
    found: dict[str, int] = {}
    for use in trace.uses:
        found[use.agent.name] = found.get(use.agent.name, 0) + use.count
    return found


def requests_of(trace: Trace, agent: str) -> set[tuple[str, str, str, str]]:
    return {(use.request.verb, use.target, use.outcome, use.via) for use in trace.uses if use.agent.name == agent}


def credential(trace: Trace, agent: str, id_: str = "") -> Credential:
    (found,) = (each for each in trace.credentials if each.agent.name == agent and each.id.startswith(id_))
    return found


def trace_of(log: bytes) -> Trace:
    return traced_pieces([log])


def traced_pieces(pieces: Iterable[bytes]) -> Trace:
    tracer = Tracer(AgentAccounts.of_namespaces(["team"]))
    for _ in tracer.read("audit.log", pieces):
        pass
    return tracer.result()


# ---- a real log


def test_every_request_of_a_real_log_except_that_of_default_is_attributed_to_one_agent(excerpt: Trace) -> None:
    assert counts(excerpt) == {"agent-proxy": 2, "log-analyst": 4, "researcher": 3, "summarizer": 1, "triage-1": 9}
    assert [(use.agent.name, use.count) for use in excerpt.unattributed] == [("default", 1)]
    assert (excerpt.unauthenticated, excerpt.others, excerpt.unreadable) == (1, 6, 0)
    assert not excerpt.ok


def test_a_request_through_the_proxy_is_attributed_to_the_agent(excerpt: Trace) -> None:
    assert requests_of(excerpt, "summarizer") == {("list", "pods", RequestOutcome.ALLOWED, username("agent-proxy"))}
    (use,) = (use for use in excerpt.uses if use.agent.name == "summarizer")
    assert use.constraint == "impersonate:serviceaccount"
    assert str(use.binding) == "RoleBinding team/summarizer-binding"


def test_a_refused_impersonation_is_attributed_to_the_proxy(excerpt: Trace) -> None:
    assert requests_of(excerpt, "agent-proxy") == {
        ("impersonate", "serviceaccounts", RequestOutcome.DENIED, ""),
        ("impersonate-on:serviceaccount:list", "services", RequestOutcome.DENIED, ""),
    }


def test_a_token_has_its_issuing_event(excerpt: Trace) -> None:
    token = credential(excerpt, "triage-1")
    assert token.issue is not None
    assert (token.issue.account, token.issue.by) == (ServiceAccount("team", "triage-1"), "admin")
    assert token.issue.time < token.first
    assert (token.pod, token.count) == ("triage-pod", 9)


def test_the_token_of_the_proxy_is_a_credential_of_the_agents_that_it_impersonated(excerpt: Trace) -> None:
    token = credential(excerpt, "summarizer")
    assert token.holder == username("agent-proxy")
    assert token.id == credential(excerpt, "agent-proxy").id


def test_the_token_of_a_secret_has_the_name_of_the_secret(excerpt: Trace) -> None:
    token = credential(excerpt, "researcher", "Secret")
    assert (token.id, token.issue) == ("Secret leg", None)


def test_a_request_that_a_quota_refused_has_the_outcome_refused(excerpt: Trace) -> None:
    assert ("create", "pods", RequestOutcome.REFUSED, "") in requests_of(excerpt, "log-analyst")


def test_an_object_that_a_patch_created_is_recorded(excerpt: Trace) -> None:
    (use,) = (use for use in excerpt.uses if (use.agent.name, use.request.verb) == ("log-analyst", "patch"))
    assert use.created == {"new"}


def test_a_watch_with_two_events_counts_once(excerpt: Trace) -> None:
    (use,) = (use for use in excerpt.uses if use.request.verb == "watch")
    assert use.count == 1


# ---- attribution


def test_declared_agents_are_distinguished_from_other_accounts(declared: AgentAccounts) -> None:
    logged = [event(name) for name in ("reader", "triage-2", "agent-proxy", "ghost", "default")]
    found = traced(logged, declared)
    assert set(counts(found)) == {"reader", "triage-2", "agent-proxy"}
    assert {use.agent.name for use in found.unattributed} == {"ghost", "default"}
    assert not found.ok


def test_a_log_with_only_agents_is_ok(declared: AgentAccounts) -> None:
    assert traced([event("reader"), event("triage-1")], declared).ok


def test_a_log_without_an_agent_is_not_ok(declared: AgentAccounts) -> None:
    found = traced([event("x", user={"username": "admin"})], declared)
    assert (found.ok, found.others) == (False, 1)


def test_any_user_who_impersonates_an_agent_is_recorded() -> None:
    logged = event("x", user={"username": "admin"}, impersonatedUser={"username": username("reader")})
    assert requests_of(traced([logged]), "reader") == {("list", "pods", RequestOutcome.ALLOWED, "admin")}


def test_a_request_of_an_agent_that_impersonates_a_user_is_attributed_to_the_agent() -> None:
    (use,) = traced([event("reader", impersonatedUser={"username": "root"})]).uses
    assert (use.agent.name, use.acted_as, use.via) == ("reader", "root", "")


def test_an_account_of_another_namespace_counts_as_other(declared: AgentAccounts) -> None:
    logged = event("x", user={"username": username("reader", "other")})
    found = traced([event("reader"), logged], declared)
    assert (counts(found), found.others, found.ok) == ({"reader": 1}, 1, True)


def test_only_selects_agents_and_entries(declared: AgentAccounts) -> None:
    found = traced([event("reader"), event("triage-1"), event("triage-2")], declared)
    assert set(counts(found.only(["triage"]))) == {"triage-1", "triage-2"}
    assert set(counts(found.only(["triage-2"]))) == {"triage-2"}


# ---- counting


def test_a_request_with_a_started_and_a_completed_response_counts_once() -> None:
    started = event("reader", "watch", stage="ResponseStarted")
    assert counts(traced([started])) == {"reader": 1}
    assert counts(traced([started, {**started, "stage": "ResponseComplete"}])) == {"reader": 1}


def test_a_request_without_a_response_does_not_count() -> None:
    received = event("reader", stage="RequestReceived", annotations={})
    done = {**event("reader"), "auditID": received["auditID"]}
    assert counts(traced([received, done])) == {"reader": 1}


def test_a_rate_limited_request_is_undecided() -> None:
    logged = event("reader", annotations={}, responseStatus={"code": 429})
    assert requests_of(traced([logged]), "reader") == {("list", "pods", RequestOutcome.UNDECIDED, "")}


def test_since_and_until_limit_requests_but_not_issuing_events() -> None:
    early = {**event("reader"), "requestReceivedTimestamp": "2026-11-24T01:00:00.000000Z"}
    issued = {**issue("reader"), "requestReceivedTimestamp": "2026-11-24T00:00:00.000000Z"}
    late = {**event("reader"), "requestReceivedTimestamp": "2026-11-24T02:00:00.000000Z"}
    found = traced([issued, early, late], since="2026-11-24T01:30:00.000000Z", until="2026-11-24T03:00:00.000000Z")
    assert counts(found) == {"reader": 1}
    assert credential(found, "reader").issue is not None
    assert counts(traced([early, late], until="2026-11-24T02:00:00.000000Z")) == {"reader": 1}


def test_the_issuing_event_of_a_token_can_come_after_its_use() -> None:
    assert credential(traced([event("reader"), issue("reader")]), "reader").issue is not None


def test_a_token_from_before_the_log_has_no_issuing_event() -> None:
    assert credential(traced([event("reader"), issue("triage-1")]), "reader").issue is None


def test_the_use_of_a_stale_token_is_counted() -> None:
    logged = event("reader")
    logged["annotations"]["authentication.k8s.io/stale-token"] = "subject: x, seconds after warning threshold: 9"
    assert credential(traced([logged, event("reader")]), "reader").stale == 1


# ---- lines that are not events


def test_invalid_lines_are_counted_by_reason_and_the_other_lines_count() -> None:
    good = json.dumps(event("reader")).encode()
    found = trace_of(good + b"\nE1124 oops\n\nE1124 again\n" + good + b"\n")
    assert counts(found) == {"reader": 2}
    assert found.problems == (Problem("audit.log:2", "is not JSON", 2),)
    assert (found.unreadable, found.ok) == (2, False)


def test_json_that_is_not_an_audit_event_is_skipped() -> None:
    other = b'{"kind":"Event","apiVersion":"v1","message":"pulled"}'
    found = trace_of(json.dumps(event("reader")).encode() + b"\n" + other + b"\n" + other + b"\n")
    (skipped,) = found.skipped
    assert (skipped.location, skipped.count, found.ok) == ("audit.log:2", 2, True)
    assert "the kind Event of v1" in skipped.reason


def test_an_incomplete_last_line_is_reported_and_is_not_an_error() -> None:
    good = json.dumps(event("reader")).encode()
    found = trace_of(good + b"\n" + good[:-9])
    assert (found.incomplete, found.unreadable, found.ok) == (("audit.log:2",), 0, True)


def test_a_last_line_without_a_line_ending_counts() -> None:
    good = json.dumps(event("reader")).encode()
    found = trace_of(good + b"\n" + good)
    assert (counts(found), found.incomplete) == ({"reader": 2}, ())


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (b"", "is empty"),
        (b"\n\n", "all lines are empty"),
        (b"agents: {}\n", "line 1 is not JSON"),
        (b"agents: {}", "line 1 is not JSON"),
        (b'{"level":"info"}\n' * 3, "line 1 is JSON without an audit event"),
        (b"\x7fELF\0\0\n", "line 1 is binary data"),
    ],
)
def test_a_file_that_is_not_an_audit_log_is_refused(log: bytes, why: str) -> None:
    with pytest.raises(LogError, match=why):
        trace_of(log)


def test_a_large_file_that_is_not_an_audit_log_is_not_read_to_its_end() -> None:
    pieces = 0

    def large_file() -> Iterator[bytes]:
        nonlocal pieces
        while pieces < 1_000:
            pieces += 1
            yield b"x\n" * 1_000

    with pytest.raises(LogError, match="first 100,000 lines"):
        traced_pieces(large_file())
    assert pieces == 100


# ---- limits


def test_above_the_limit_of_names_the_count_is_correct() -> None:
    found = traced((event("reader", "get", name=f"pod-{n}") for n in range(30)), limits=Limits(names_of_use=10))
    (use,) = found.uses
    assert (use.count, len(use.names), use.more_names) == (30, 10, True)


def test_above_the_limit_of_kinds_of_requests_the_count_is_correct() -> None:
    logged = [event("reader", resource=f"kind{n}") for n in range(30)] + [denied(event("reader")), event("triage-1")]
    found = traced(logged, limits=Limits(uses_of_agent=10))
    assert counts(found) == {"reader": 31, "triage-1": 1}
    (rest,) = (use for use in found.uses if use.request.resource == MORE)
    assert (rest.count, rest.outcome) == (20, RequestOutcome.ALLOWED)


def test_above_the_limit_of_credentials_the_number_of_evicted_credentials_is_reported() -> None:
    logged = [
        event(
            "reader",
            user={
                "username": username("reader"),
                "extra": {"authentication.kubernetes.io/credential-id": [f"JTI={n}"]},
            },
        )
        for n in range(30)
    ]
    found = traced(logged, limits=Limits(credentials=10))
    assert (len(found.credentials), found.evicted) == (10, {ServiceAccount("team", "reader"): 20})
    assert counts(found) == {"reader": 30}
