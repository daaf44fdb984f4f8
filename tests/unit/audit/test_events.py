import json
from typing import Any

import pytest

from agent_identities.audit.events import Event, NotAnEventError, parse, refused_impersonation
from support.audit import event


def parsed(made: dict[str, Any]) -> Event:
    (found,) = parse(json.dumps(made).encode())
    return found


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"\xff\xfe", "no text"),
        (b"E1124 03:46:08 controller.go:1", "no JSON"),
        (b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"x', "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[1]", "no object"),
        (b"{}", "some other JSON"),
        (b'{"kind":"Event","apiVersion":"v1"}', "a Event of v1"),
        (b'{"kind":"Event","apiVersion":"audit.k8s.io/v1"}', "another shape"),
        (json.dumps({**event("a"), "user": "a"}).encode(), "another shape"),
        (json.dumps({**event("a"), "verb": None}).encode(), "another type"),
        (json.dumps({**event("a"), "responseStatus": {"code": "200"}, "verb": 7.5}).encode(), "another type"),
        (b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[1]}', "something else than events"),
    ],
)
def test_a_foreign_line_says_what_it_is(line: bytes, why: str) -> None:
    with pytest.raises(NotAnEventError, match=why):
        list(parse(line))


def test_a_list_of_events_is_read_as_each_of_them() -> None:
    item = {key: value for key, value in event("a").items() if key not in ("kind", "apiVersion")}
    batch = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": [item, item]}
    assert len(list(parse(json.dumps(batch).encode()))) == 2


def test_a_request_for_a_url_keeps_its_path_without_the_query() -> None:
    made = {**event("a", "get"), "requestURI": "/version?timeout=32s"}
    del made["objectRef"]
    found = parsed(made)
    assert (found.request.path, found.request.resource) == ("/version", "")


def refusal(message: str) -> Event | None:
    made = {**event("agent-proxy"), "responseStatus": {"code": 403, "message": message}, "annotations": {}}
    return refused_impersonation(parsed(made))


def test_a_refused_impersonation_is_told_as_what_was_asked_for() -> None:
    found = refusal(
        'serviceaccounts "triage-1" is forbidden: User "system:serviceaccount:team:agent-proxy" cannot impersonate '
        'resource "serviceaccounts" in API group "" in the namespace "team"'
    )
    assert found is not None
    assert (found.request.verb, found.request.resource, found.request.name, found.request.namespace) == (
        "impersonate",
        "serviceaccounts",
        "triage-1",
        "team",
    )


def test_a_refused_verb_of_a_constrained_impersonation_is_told_as_that_verb() -> None:
    found = refusal(
        'services is forbidden: User "system:serviceaccount:team:agent-proxy" cannot '
        'impersonate-on:serviceaccount:list resource "services" in API group "" in the namespace "team"'
    )
    assert found is not None
    assert (found.request.verb, found.request.resource, found.request.name) == (
        "impersonate-on:serviceaccount:list",
        "services",
        "",
    )


def test_another_refusal_is_left_as_it_is() -> None:
    assert refusal('pods is forbidden: User "x" cannot list resource "pods" in API group ""') is None
