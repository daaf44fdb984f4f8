import json
from typing import Any

import msgspec
import pytest

from agent_identities.audit.events import Event, NotAnEventError, from_json, from_object, refused_impersonation
from support.audit import event


def parsed(logged: dict[str, Any]) -> Event:
    found = from_json(json.dumps(logged).encode())
    assert found is not None
    assert found == from_object(logged)
    return found


@pytest.mark.parametrize("content", [{}, {"kind": "Event", "apiVersion": "v1"}, {"kind": "Pod", "auditID": "a"}])
def test_another_object_is_not_an_event(content: dict[str, Any]) -> None:
    assert from_json(json.dumps(content).encode()) is None
    assert from_object(content) is None


@pytest.mark.parametrize("missing", ["auditID", "stage", "verb"])
def test_an_event_without_a_field_that_attribution_needs_is_an_error(missing: str) -> None:
    logged = event("a")
    del logged[missing]
    with pytest.raises(NotAnEventError, match="missing fields"):
        from_object(logged)


@pytest.mark.parametrize("changes", [{"user": "a"}, {"verb": 7.5}, {"responseStatus": {"code": "200"}}])
def test_an_event_with_fields_of_the_wrong_type_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(NotAnEventError, match="wrong type"):
        from_object({**event("a"), **changes})


@pytest.mark.parametrize("text", [b"\xff\xfe", b"E1124 03:46:08", b'{"kind":"Event","auditID":"x', b"[" * 100_000])
def test_text_that_is_not_json_is_a_decode_error(text: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, RecursionError, UnicodeDecodeError)):
        from_json(text)


def test_a_field_that_is_null_is_absent() -> None:
    logged = {**event("a"), "impersonatedUser": None, "requestURI": None}
    logged["objectRef"]["apiGroup"] = None
    found = from_object(logged)
    assert found is not None
    assert (found.request.api_group, found.acted_as) == ("", "")


def test_the_item_of_an_event_list_is_an_event_without_its_kind() -> None:
    item = {key: value for key, value in event("a").items() if key not in ("kind", "apiVersion")}
    assert parsed(item).request.verb == "list"


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
