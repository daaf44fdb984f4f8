"""Tokens that change on disk, and tokens that cannot be the value of a header."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.errors import ClusterError
from agent_identities.kube.client import Api
from agent_identities.kube.credentials import Credential, CredentialError, TokenFile
from agent_identities.kube.kubeconfig import load
from support.played import Handler, Played


@pytest.mark.parametrize("ending", ["\n", "\r\n", " \t\n", ""])
def test_white_space_around_a_token_in_a_file_is_removed(
    play: Callable[..., Played], kubeconfig: Callable[..., Path], tmp_path: Path, ending: str
) -> None:
    (tmp_path / "token").write_text(f"secret-token{ending}")
    server = play((200, {}))
    Api(load(kubeconfig(server, user={"tokenFile": "token"}))).get("/")
    assert server.requests == [("GET", "/", "Bearer secret-token")]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"secret\ntoken", b"secret-\xc3\xa9", b"secret\xff", b"secret\x00token"]
)
def test_a_token_that_cannot_be_a_header_is_an_error_without_the_token(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(CredentialError) as raised:
        TokenFile(path, "user 'u'").get()
    assert str(raised.value).startswith(f"user 'u': tokenFile {path}: ")
    assert "secret" not in str(raised.value)


def test_a_token_file_has_precedence_over_a_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file")
    assert TokenFile(tmp_path / "token", "here", fallback="old").get().authorization == "Bearer from-file"
    assert TokenFile(tmp_path / "nowhere", "here", fallback="old").get().authorization == "Bearer old"


def test_a_renewed_token_is_sent_after_a_401(
    play: Callable[..., Played], kubeconfig: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("first")

    def respond(request: Handler) -> tuple[int, object]:
        if request.headers["authorization"] == "Bearer second":
            return 200, {}
        path.write_text("second")
        return 401, {"kind": "Status"}

    server = play(respond=respond)
    Api(load(kubeconfig(server, user={"tokenFile": "token"}))).post("/", {})
    assert [authorization for *_, authorization in server.requests] == ["Bearer first", "Bearer second"]


def test_the_last_token_is_used_if_its_file_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    source = TokenFile(path, "here")
    token = source.get()
    path.write_text("")
    assert not source.renew(token)
    assert source.get() == token


def test_an_expired_token_is_sent_once_and_reported(
    play: Callable[..., Played], kubeconfig: Callable[..., Path]
) -> None:
    server = play((401, {"kind": "Status", "message": "Unauthorized"}))
    with pytest.raises(ClusterError, match=r"401 Unauthorized: the credentials of context 'here' of .* expired"):
        Api(load(kubeconfig(server))).get("/")
    assert len(server.requests) == 1


def test_the_repr_of_a_credential_has_no_secret() -> None:
    for credential in (Credential.bearer("secret-token", "here"), Credential.basic("jane", "secret-token")):
        assert "secret" not in repr(credential)
        assert credential.authorization not in repr(credential)


def test_the_token_in_the_answer_of_a_token_request_is_not_redacted(
    play: Callable[..., Played], kubeconfig: Callable[..., Path]
) -> None:
    """The answer of a TokenRequest is a credential on purpose."""
    api = Api(load(kubeconfig(play((201, {"status": {"token": "eyJhbGciOiJub25lIn0.e30.c2ln"}})))))
    assert api.post("/token", {})["status"]["token"] == "eyJhbGciOiJub25lIn0.e30.c2ln"


def test_the_error_for_a_token_file_that_is_a_directory_has_its_path(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.mkdir()
    with pytest.raises(CredentialError, match=f"tokenFile {path}: Is a directory"):
        TokenFile(path, "here").get()
