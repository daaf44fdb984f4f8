import json
from typing import Any

import pytest

from agent_identities.audit.events import Event, NotAnEventError, parse, refused_impersonation
from support.audit import event


def parsed(logged: dict[str, Any]) -> Event:
    (found,) = parse(json.dumps(logged).encode())
    return found


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"E1124 03:46:08 controller.go:1", "not JSON"),
        (b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"x', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "not an object"),
        (b"{}", "JSON without kind and apiVersion"),
        (b'{"kind":"Event","apiVersion":"v1"}', "kind Event of v1"),
        (b'{"kind":"Event","apiVersion":"audit.k8s.io/v1"}', "missing or invalid fields"),
        (json.dumps({**event("a"), "user": "a"}).encode(), "missing or invalid fields"),
        (json.dumps({**event("a"), "verb": None}).encode(), "wrong type"),
        (json.dumps({**event("a"), "responseStatus": {"code": "200"}, "verb": 7.5}).encode(), "wrong type"),
        (b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[1]}', "items that are not events"),
    ],
)
def test_the_error_for_a_line_that_is_not_an_event_says_why(line: bytes, why: str) -> None:
    with pytest.raises(NotAnEventError, match=why):
        list(parse(line))


def test_an_event_list_has_several_events() -> None:
    item = {key: value for key, value in event("a").items() if key not in ("kind", "apiVersion")}
    batch = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": [item, item]}
    assert len(list(parse(json.dumps(batch).encode()))) == 2


def test_a_non_resource_request_has_its_path_without_the_query() -> None:
    logged = {**event("a", "get"), "requestURI": "/version?timeout=32s"}
    del logged["objectRef"]
    found = parsed(logged)
    assert (found.request.path, found.request.resource) == ("/version", "")


def refusal(message: str) -> Event | None:
    logged = {**event("agent-proxy"), "responseStatus": {"code": 403, "message": message}, "annotations": {}}
    return refused_impersonation(parsed(logged))


def test_a_refused_impersonation_is_a_request_to_impersonate() -> None:
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


def test_a_refused_constrained_impersonation_has_its_verb() -> None:
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


def test_another_refusal_is_not_an_impersonation() -> None:
    assert refusal('pods is forbidden: User "x" cannot list resource "pods" in API group ""') is None
