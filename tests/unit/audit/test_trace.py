import gzip
import io
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from agent_identities.audit.accounts import AgentAccounts
from agent_identities.audit.lines import Line, LogError, lines, read
from agent_identities.audit.trace import MORE, Credential, Limits, RequestOutcome, Trace, Tracer
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
    """A real log: tokens, a certificate, a Secret's token, the proxy by both kinds of impersonation, refusals."""
    tracer = Tracer(AgentAccounts.of_namespaces(["team"]))
    for _ in tracer.read("excerpt", read(str(EXCERPT))):
        pass
    return tracer.result()


def counts(trace: Trace) -> dict[str, int]:
    found: dict[str, int] = {}
    for use in trace.uses:
        found[use.agent.name] = found.get(use.agent.name, 0) + use.count
    return found


def did(trace: Trace, agent: str) -> set[tuple[str, str, str, str]]:
    return {(use.request.verb, use.target, use.outcome, use.via) for use in trace.uses if use.agent.name == agent}


def credential(trace: Trace, agent: str, id_: str = "") -> Credential:
    (found,) = (one for one in trace.credentials if one.agent.name == agent and one.id.startswith(id_))
    return found


def read_all(tracer: Tracer, made: Iterable[Line]) -> Trace:
    for _ in tracer.read("audit.log", made):
        pass
    return tracer.result()


# ---- a real log


def test_every_request_of_a_real_log_is_one_agents_but_that_of_default(excerpt: Trace) -> None:
    assert counts(excerpt) == {"agent-proxy": 2, "log-analyst": 4, "researcher": 3, "summarizer": 1, "triage-1": 9}
    assert [(use.agent.name, use.count) for use in excerpt.unattributed] == [("default", 1)]
    assert (excerpt.unauthenticated, excerpt.others, excerpt.unreadable) == (1, 6, 0)
    assert not excerpt.ok


def test_a_request_through_the_proxy_is_the_agents(excerpt: Trace) -> None:
    assert did(excerpt, "summarizer") == {("list", "pods", RequestOutcome.ALLOWED, username("agent-proxy"))}
    (use,) = (use for use in excerpt.uses if use.agent.name == "summarizer")
    assert use.constraint == "impersonate:serviceaccount"
    assert str(use.binding) == "RoleBinding team/summarizer-binding"


def test_what_the_proxy_was_not_allowed_to_act_as_is_its_own(excerpt: Trace) -> None:
    assert did(excerpt, "agent-proxy") == {
        ("impersonate", "serviceaccounts", RequestOutcome.DENIED, ""),
        ("impersonate-on:serviceaccount:list", "services", RequestOutcome.DENIED, ""),
    }


def test_a_token_is_joined_to_the_event_that_issued_it(excerpt: Trace) -> None:
    one = credential(excerpt, "triage-1")
    assert one.issue is not None
    assert (one.issue.account, one.issue.by) == (ServiceAccount("team", "triage-1"), "admin")
    assert one.issue.time < one.first
    assert (one.pod, one.count) == ("triage-pod", 9)


def test_the_token_of_the_proxy_stands_for_the_agents_it_acted_as(excerpt: Trace) -> None:
    one = credential(excerpt, "summarizer")
    assert one.holder == username("agent-proxy")
    assert one.id == credential(excerpt, "agent-proxy").id


def test_the_token_of_a_secret_is_named_by_it(excerpt: Trace) -> None:
    one = credential(excerpt, "researcher", "Secret")
    assert (one.id, one.issue) == ("Secret leg", None)


def test_what_a_quota_refused_was_allowed_before(excerpt: Trace) -> None:
    assert ("create", "pods", RequestOutcome.REFUSED, "") in did(excerpt, "log-analyst")


def test_an_object_that_a_patch_made_is_noted(excerpt: Trace) -> None:
    (use,) = (use for use in excerpt.uses if (use.agent.name, use.request.verb) == ("log-analyst", "patch"))
    assert use.created == {"new"}


def test_a_watch_counts_once_though_it_has_two_events(excerpt: Trace) -> None:
    (use,) = (use for use in excerpt.uses if use.request.verb == "watch")
    assert use.count == 1


# ---- whose a request is


def test_declared_agents_are_told_from_other_accounts(declared: AgentAccounts) -> None:
    made = [event(name) for name in ("reader", "triage-2", "agent-proxy", "ghost", "default")]
    found = traced(made, declared)
    assert set(counts(found)) == {"reader", "triage-2", "agent-proxy"}
    assert {use.agent.name for use in found.unattributed} == {"ghost", "default"}
    assert not found.ok


def test_a_run_of_agents_alone_is_complete(declared: AgentAccounts) -> None:
    assert traced([event("reader"), event("triage-1")], declared).ok


def test_a_log_without_an_agent_is_not_complete(declared: AgentAccounts) -> None:
    found = traced([event("x", user={"username": "admin"})], declared)
    assert (found.ok, found.others) == (False, 1)


def test_who_acts_as_an_agent_is_named_whoever_it_is() -> None:
    made = event("x", user={"username": "admin"}, impersonatedUser={"username": username("reader")})
    assert did(traced([made]), "reader") == {("list", "pods", RequestOutcome.ALLOWED, "admin")}


def test_an_agent_that_acts_as_somebody_else_stays_the_one_who_did_it() -> None:
    (use,) = traced([event("reader", impersonatedUser={"username": "root"})]).uses
    assert (use.agent.name, use.acted_as, use.via) == ("reader", "root", "")


def test_an_account_of_another_namespace_is_nobodys_business(declared: AgentAccounts) -> None:
    made = event("x", user={"username": username("reader", "elsewhere")})
    found = traced([event("reader"), made], declared)
    assert (counts(found), found.others, found.ok) == ({"reader": 1}, 1, True)


def test_only_the_agents_asked_for_are_shown(declared: AgentAccounts) -> None:
    found = traced([event("reader"), event("triage-1"), event("triage-2")], declared)
    assert set(counts(found.only(["triage"]))) == {"triage-1", "triage-2"}
    assert set(counts(found.only(["triage-2"]))) == {"triage-2"}


# ---- what counts, and when


def test_a_request_that_is_still_answered_counts_and_again_when_it_ends_does_not() -> None:
    started = event("reader", "watch", stage="ResponseStarted")
    assert counts(traced([started])) == {"reader": 1}
    assert counts(traced([started, {**started, "stage": "ResponseComplete"}])) == {"reader": 1}


def test_a_request_that_was_only_received_does_not_count_yet() -> None:
    received = event("reader", stage="RequestReceived", annotations={})
    done = {**event("reader"), "auditID": received["auditID"]}
    assert counts(traced([received, done])) == {"reader": 1}


def test_too_many_requests_are_neither_allowed_nor_denied() -> None:
    made = event("reader", annotations={}, responseStatus={"code": 429})
    assert did(traced([made]), "reader") == {("list", "pods", RequestOutcome.UNDECIDED, "")}


def test_only_the_time_asked_for_counts_but_tokens_may_be_older() -> None:
    early = {**event("reader"), "requestReceivedTimestamp": "2026-11-24T01:00:00.000000Z"}
    issued = {**issue("reader"), "requestReceivedTimestamp": "2026-11-24T00:00:00.000000Z"}
    late = {**event("reader"), "requestReceivedTimestamp": "2026-11-24T02:00:00.000000Z"}
    found = traced([issued, early, late], since="2026-11-24T01:30:00.000000Z", until="2026-11-24T03:00:00.000000Z")
    assert counts(found) == {"reader": 1}
    assert credential(found, "reader").issue is not None
    assert counts(traced([early, late], until="2026-11-24T02:00:00.000000Z")) == {"reader": 1}


def test_the_event_that_issued_a_token_may_stand_below_its_use() -> None:
    assert credential(traced([event("reader"), issue("reader")]), "reader").issue is not None


def test_a_token_from_before_the_log_is_joined_to_nothing() -> None:
    assert credential(traced([event("reader"), issue("triage-1")]), "reader").issue is None


def test_the_use_of_a_stale_token_is_counted() -> None:
    made = event("reader")
    made["annotations"]["authentication.k8s.io/stale-token"] = "subject: x, seconds after warning threshold: 9"
    assert credential(traced([made, event("reader")]), "reader").stale == 1


# ---- lines that are no events


def test_foreign_lines_are_named_and_the_others_count() -> None:
    good = json.dumps(event("reader")).encode()
    found = read_all(
        Tracer(AgentAccounts.of_namespaces(["team"])), lines(io.BytesIO(good + b"\nE1124 oops\n\n" + good + b"\n"))
    )
    assert counts(found) == {"reader": 2}
    assert [(each.place, each.what) for each in found.problems] == [("audit.log:2", "is no JSON")]
    assert not found.ok


def test_a_last_line_that_is_still_being_written_is_said_and_harms_nothing() -> None:
    good = json.dumps(event("reader")).encode()
    found = read_all(Tracer(AgentAccounts.of_namespaces(["team"])), lines(io.BytesIO(good + b"\n" + good[:-9])))
    assert (found.unended, found.unreadable, found.ok) == (("audit.log:2",), 0, True)


def test_a_gz_log_that_was_cut_off_is_read_as_far_as_it_goes() -> None:
    whole = gzip.compress(b"".join(json.dumps(event("reader")).encode() + b"\n" for _ in range(5_000)))
    packed = gzip.GzipFile(fileobj=io.BytesIO(whole[: len(whole) // 2]))
    found = read_all(Tracer(AgentAccounts.of_namespaces(["team"])), lines(packed))
    assert 1_000 < counts(found)["reader"] < 5_000
    assert (len(found.unended), found.unreadable) == (1, 0)


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (b"", "is empty"),
        (b"\n\n", "all are empty"),
        (b"agents: {}\n", "line 1 is no JSON"),
        (b"agents: {}", "line 1 is no JSON"),
        (b'{"level":"info"}\n' * 3, "line 1 is some other JSON"),
    ],
)
def test_a_log_that_is_no_audit_log_is_refused(log: bytes, why: str) -> None:
    with pytest.raises(LogError, match=why):
        read_all(Tracer(AgentAccounts.of_namespaces(["team"])), lines(io.BytesIO(log)))


def test_a_large_foreign_file_is_refused_without_reading_it_to_its_end() -> None:
    taken = 0

    def endless() -> Iterable[Line]:
        nonlocal taken
        while taken < 1_000_000:
            taken += 1
            yield Line(taken, b"x")

    with pytest.raises(LogError, match="first 1,000 lines"):
        read_all(Tracer(AgentAccounts.of_namespaces(["team"])), endless())
    assert taken == 1_000


# ---- bounds


def test_beyond_the_names_that_are_kept_the_count_stays_right() -> None:
    found = traced((event("reader", "get", name=f"pod-{n}") for n in range(30)), limits=Limits(names_of_use=10))
    (use,) = found.uses
    assert (use.count, len(use.names), use.more_names) == (30, 10, True)


def test_beyond_the_kinds_of_requests_that_are_kept_the_count_stays_right() -> None:
    made = [event("reader", resource=f"kind{n}") for n in range(30)] + [denied(event("reader")), event("triage-1")]
    found = traced(made, limits=Limits(uses_of_agent=10))
    assert counts(found) == {"reader": 31, "triage-1": 1}
    (rest,) = (use for use in found.uses if use.request.resource == MORE)
    assert (rest.count, rest.outcome) == (20, RequestOutcome.ALLOWED)


def test_beyond_the_credentials_that_are_kept_the_number_of_the_others_is() -> None:
    made = [
        event(
            "reader",
            user={
                "username": username("reader"),
                "extra": {"authentication.kubernetes.io/credential-id": [f"JTI={n}"]},
            },
        )
        for n in range(30)
    ]
    found = traced(made, limits=Limits(credentials=10))
    assert (len(found.credentials), found.forgotten) == (10, {ServiceAccount("team", "reader"): 20})
    assert counts(found) == {"reader": 30}
