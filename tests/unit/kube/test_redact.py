"""Redaction of credentials in external text."""

import pytest

from agent_identities.kube.redact import printable, redact, redact_output

JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "text",
    [
        'pods "x" is forbidden: User "system:serviceaccount:a:b" cannot list resource "pods" in API group ""',
        "ValidatingAdmissionPolicy 'agents-token' with binding 'b' denied request: spec.expirationSeconds: 600",
        "bearer tokens of this kind are not accepted",
        "exec: RequestId 123e4567-e89b-12d3-a456-426614174000 failed",
        "/usr/lib/python3.11/site-packages/kubelogin/__main__.py: AADSTS50173",
    ],
)
def test_text_without_credentials_is_unchanged(text: str) -> None:
    assert redact(text) == text
    assert redact_output(text) == text


@pytest.mark.parametrize("text", [f"got {JWT}!", f"Authorization: Bearer {JWT}", "basic amFuZTpwQHNzdw=="])
def test_tokens_are_redacted(text: str) -> None:
    assert "[redacted]" in redact(text)
    assert not {JWT, "amFuZTpwQHNzdw=="} & set(redact(text).split())


def test_private_keys_are_redacted() -> None:
    key = "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----"
    assert redact(f"a {key} b") == "a [redacted] b"
    assert redact(f"a {key[:40]}") == "a [redacted]"


@pytest.mark.parametrize(
    "text", ["password: hunter2", "client_secret=hunter2", '{"token": "hunter2"}', "AWS_SECRET_ACCESS_KEY=hunter2"]
)
def test_values_of_secret_names_are_redacted_in_the_output_of_programs(text: str) -> None:
    assert "hunter2" not in redact_output(text)


def test_control_characters_are_escaped() -> None:
    assert printable("a\tb\nc \x1b[0m\u202e") == "a b c \\x1b[0m\\x202e"
