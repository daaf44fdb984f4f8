"""The audit events are the same in every form of tests/support/audit_forms.py."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.audit.accounts import AgentAccounts
from agent_identities.audit.sources import LogError, read
from agent_identities.audit.trace import RequestOutcome, Trace
from agent_identities.audit.tracer import Tracer
from agent_identities.rbac import Request, ServiceAccount
from support import audit_forms
from support.audit import Json, denied, event
from support.audit_forms import FORMS, Form, gke_entry, native

COMPRESSED = (audit_forms.s3_export, audit_forms.firehose, audit_forms.firehose_twice)
READER = ServiceAccount("team", "reader")
TraceOf = Callable[[bytes], Trace]


@pytest.fixture
def trace_of(tmp_path: Path) -> TraceOf:
    def trace(log: bytes) -> Trace:
        path = tmp_path / "audit.log"
        path.write_bytes(log)
        tracer = Tracer(AgentAccounts.of_namespaces(["team"]))
        for _ in tracer.read("audit.log", read(str(path))):
            pass
        return tracer.result()

    return trace


def events() -> list[Json]:
    admin = {"username": "admin", "groups": ["system:masters"]}
    body = {"kind": "ConfigMap", "apiVersion": "v1", "data": {"text": 'a "quoted" {text}]\n with é and \\ '}}
    return [
        event("reader"),
        event("reader", "get", "configmaps", "a", requestObject=body),
        denied(event("reader", "list", "secrets")),
        event("x", user=admin),
        event("writer", "create", "pods/exec", "web"),
    ]


def attributed(trace: Trace) -> set[tuple[object, ...]]:
    return {
        (use.agent, use.request, use.outcome, use.reason, use.count, use.first, tuple(use.names)) for use in trace.uses
    }


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_form_has_the_same_requests_as_the_log_of_the_api_server(form: Form, trace_of: TraceOf) -> None:
    logged = events()
    found, expected = trace_of(form(logged)), trace_of(native(logged))
    assert attributed(found) == attributed(expected)
    assert (found.events, found.others, found.problems, found.skipped, found.incomplete) == (5, 1, (), (), ())
    assert {each.id for each in found.credentials} == {each.id for each in expected.credentials}


def test_several_forms_can_be_in_one_file(trace_of: TraceOf) -> None:
    forms = [form for form in FORMS if form not in (*COMPRESSED, audit_forms.utf_16)]
    found = trace_of(b"\n".join(form([event("reader")]) for form in forms))
    assert (found.events, found.attributed, found.problems) == (len(forms), len(forms), ())


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_log_that_is_cut_loses_only_what_is_cut_and_says_so(form: Form, trace_of: TraceOf) -> None:
    logged = [event("reader", name=f"object-{number}") for number in range(4)]
    whole = form(logged)
    counts = []
    for length in range(len(whole) // 2, len(whole), 211):
        try:
            found = trace_of(whole[:length])
        except LogError:
            counts.append(0)
            continue
        counts.append(found.events)
        between_records = form(logged[: found.events]).rstrip(b"\r\n\0") == whole[:length].rstrip(b"\r\n\0")
        assert found.events == 4 or found.incomplete or found.problems or between_records, length
    assert counts == sorted(counts)
    if form not in COMPRESSED and form not in (audit_forms.elasticsearch, audit_forms.loki, audit_forms.kinesis):
        assert counts[-1] >= 3


def test_the_line_of_a_record_in_a_document_is_that_of_the_record(trace_of: TraceOf) -> None:
    broken = {**event("reader"), "verb": 7}
    found = trace_of(json.dumps([event("reader"), broken], indent=2).encode())
    line = json.dumps([event("reader")], indent=2).count("\n") + 1
    assert [(each.location, each.reason) for each in found.problems] == [
        (f"audit.log:{line}", "is an audit event with fields of the wrong type")
    ]


@pytest.mark.parametrize("form", [audit_forms.native, audit_forms.indented, audit_forms.cloudwatch])
def test_an_event_that_is_cut_in_the_middle_of_a_log_loses_no_other_event(form: Form, trace_of: TraceOf) -> None:
    logged = [event("reader", name=f"object-{number}") for number in range(5)]
    whole = form(logged)
    start, end = whole.index(b"object-1"), whole.index(b"object-2") - 300
    found = trace_of(whole[:start] + b"\n" + form(logged[2:]) if form is not native else whole[:start] + whole[end:])
    assert {name for use in found.uses for name in use.names} >= {"object-0", "object-3", "object-4"}
    assert found.unreadable == 1


def test_a_file_that_starts_in_the_middle_of_a_document_is_read_from_the_next_event(trace_of: TraceOf) -> None:
    whole = audit_forms.array([event("reader", name=f"object-{number}") for number in range(3)])
    found = trace_of(whole[300:])
    assert {name for use in found.uses for name in use.names} == {"object-1", "object-2"}
    assert found.problems


def test_what_users_write_into_objects_is_not_read_as_an_event(trace_of: TraceOf) -> None:
    forged = audit_forms.text(event("forged"))
    body = {"kind": "ConfigMap", "apiVersion": "v1", "data": {"log": forged}}
    other = {"kind": "Event", "apiVersion": "v1", "message": forged}
    access = f'10.0.0.1 - - "GET / HTTP/1.1" 200 "{forged}"'
    found = trace_of(
        native([event("reader", requestObject=body)]) + audit_forms.lines([other, gke_entry(request=body), access])
    )
    assert {use.agent.name for use in found.uses} == {"reader"}


def test_the_text_and_the_fields_of_one_event_count_once(trace_of: TraceOf) -> None:
    assert trace_of(audit_forms.fluent_bit_merged([event("reader")])).attributed == 1


# ---- GKE


def gke(*entries: Json) -> bytes:
    """`gcloud logging read --format=json`"""
    return json.dumps(entries, indent=2).encode()


@pytest.mark.parametrize(
    ("method", "resource", "request_"),
    [
        ("io.k8s.core.v1.pods.list", "core/v1/namespaces/team/pods", Request("list", "", "pods", namespace="team")),
        (
            "io.k8s.core.v1.pods.exec.create",
            "core/v1/namespaces/team/pods/web/exec",
            Request("create", "", "pods", "exec", namespace="team"),
        ),
        (
            "io.k8s.authorization.rbac.v1.clusterroles.get",
            "rbac.authorization.k8s.io/v1/clusterroles/a",
            Request("get", "rbac.authorization.k8s.io", "clusterroles"),
        ),
        (
            "com.example.v1.widgets.delete",
            "example.com/v1/namespaces/team/widgets/a",
            Request("delete", "example.com", "widgets", namespace="team"),
        ),
        ("io.k8s.core.v1.nodes.watch", "core/v1/nodes", Request("watch", "", "nodes")),
    ],
)
def test_the_request_of_a_gke_entry(method: str, resource: str, request_: Request, trace_of: TraceOf) -> None:
    (use,) = trace_of(gke(gke_entry(method, resource))).uses
    assert (use.request, use.outcome) == (request_, RequestOutcome.ALLOWED)
    assert str(use.binding) == "RoleBinding team/reader-binding"


@pytest.mark.parametrize(
    ("method", "resource"),
    [
        ("io.k8s.core.v1.pods", "core/v1/namespaces/team/pods"),
        ("io.k8s.core.v1.pods.list", ""),
        ("io.k8s.core.v1.pods.list", "core/v1/namespaces/team/secrets"),
        ("io.k8s.core.v1.pods.invent", "core/v1/namespaces/team/pods"),
    ],
)
def test_a_gke_entry_that_does_not_say_the_request_is_not_guessed(
    method: str, resource: str, trace_of: TraceOf
) -> None:
    found = trace_of(gke(gke_entry(), gke_entry(method, resource, authorizationInfo=[])))
    assert (found.attributed, found.unreadable) == (1, 1)
    assert found.undecided == {READER: found.problems[0].location}


def test_a_gke_entry_without_labels_has_the_decision_of_its_permission_and_no_binding(trace_of: TraceOf) -> None:
    allowed, refused = gke_entry(), gke_entry("io.k8s.core.v1.pods.watch", status={"code": 7, "message": "forbidden"})
    del allowed["labels"], refused["labels"]
    refused["protoPayload"]["authorizationInfo"] = [{"permission": "io.k8s.core.v1.pods.watch"}]
    found = {use.request.verb: use for use in trace_of(gke(allowed, refused)).uses}
    assert {verb: use.outcome for verb, use in found.items()} == {
        "list": RequestOutcome.ALLOWED,
        "watch": RequestOutcome.DENIED,
    }
    assert found["list"].binding is None


def test_entries_without_an_id_count_each(trace_of: TraceOf) -> None:
    entry = gke_entry()
    del entry["insertId"], entry["operation"]
    assert trace_of(json.dumps([entry, entry]).encode()).attributed == 2


def test_the_two_entries_of_a_long_request_count_once(trace_of: TraceOf) -> None:
    first, last = gke_entry(), gke_entry()
    first["operation"]["last"], last["operation"]["first"] = False, False
    assert trace_of(gke(first, last)).attributed == 1


def test_an_entry_of_another_google_service_is_skipped(trace_of: TraceOf) -> None:
    other = gke_entry("google.container.v1.ClusterManager.GetCluster", serviceName="container.googleapis.com")
    found = trace_of(gke(gke_entry(), other))
    assert (found.attributed, found.unreadable) == (1, 0)


@pytest.mark.parametrize(
    ("log", "unlogged"),
    [
        (gke(gke_entry("io.k8s.core.v1.pods.create", log="activity")), {"get", "list", "watch"}),
        (gke(gke_entry(), gke_entry("io.k8s.core.v1.pods.create", log="activity")), set()),
        (audit_forms.lines([audit_forms.aks_record(event("reader"), "kube-audit-admin")]), {"get", "list"}),
        (json.dumps([audit_forms.aks_row(event("reader"), "AKSAuditAdmin")]).encode(), {"get", "list"}),
        (audit_forms.storage_account([event("reader")]), set()),
        (native([event("reader", "create")]), set()),
    ],
)
def test_a_log_that_leaves_out_requests_is_known_by_its_records(
    log: bytes, unlogged: set[str], trace_of: TraceOf
) -> None:
    assert trace_of(log).unlogged == unlogged


@pytest.mark.parametrize("first", ["kube-audit", "kube-audit-admin"])
def test_a_request_in_both_logs_of_aks_is_counted_once(first: str, trace_of: TraceOf) -> None:
    both = ("kube-audit", "kube-audit-admin")
    one, other = event("reader", "create"), event("reader", "create", name="b")
    order = both if first == "kube-audit" else both[::-1]
    records = [audit_forms.aks_record(each, log) for log in order for each in (one, other)]
    found = trace_of(audit_forms.lines([*records, audit_forms.aks_record(event("reader", "get"), "kube-audit")]))
    assert sorted((use.request.verb, use.count) for use in found.uses) == [("create", 2), ("get", 1)]
    rows = [audit_forms.aks_row(one, table) for table in ("AKSAudit", "AKSAuditAdmin")]
    assert [use.count for use in trace_of(json.dumps(rows).encode()).uses] == [1]


def test_an_event_that_is_cut_before_the_last_line_is_not_the_end_of_the_log(trace_of: TraceOf) -> None:
    lines = native([event("reader", name=f"object-{number}") for number in range(3)]).splitlines()
    for end in range(200, len(lines[1]) - 1, 40):
        found = trace_of(b"\n".join([lines[0], lines[1][:end], lines[2]]))
        assert {name for use in found.uses for name in use.names} == {"object-0", "object-2"}
        assert ([each.location for each in found.problems], found.incomplete) == (["audit.log:2"], ())


def test_a_csv_with_a_header_is_named_as_csv(trace_of: TraceOf) -> None:
    quoted = native([event("reader")]).decode().strip().replace('"', '""')
    with pytest.raises(LogError, match=r"is CSV\. Export the log as JSON"):
        trace_of(f'TenantId,log_s\nx,"{quoted}"\n'.encode())


def test_an_event_that_a_log_store_cut_is_not_the_end_of_the_log(trace_of: TraceOf) -> None:
    texts = [json.dumps(event("reader", name=name)) for name in ("a", "b", "c")]
    messages = [{"message": texts[0]}, {"message": texts[1][:400]}, {"message": texts[2]}]
    found = trace_of(json.dumps({"events": messages}).encode())
    assert {name for use in found.uses for name in use.names} == {"a", "c"}
    assert ([each.reason for each in found.problems], found.incomplete) == (["is an audit event that is cut"], ())
