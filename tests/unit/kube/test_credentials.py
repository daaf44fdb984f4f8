"""Tokens that change on disk, and tokens that no header can hold."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.errors import ClusterError
from agent_identities.kube.client import Api
from agent_identities.kube.credentials import Credential, CredentialError, TokenFile
from agent_identities.kube.kubeconfig import load
from support.played import Handler, Played


@pytest.mark.parametrize("ending", ["\n", "\r\n", " \t\n", ""])
def test_a_token_file_is_stripped_as_kubectl_does(
    play: Callable[..., Played], kubeconfig: Callable[..., Path], tmp_path: Path, ending: str
) -> None:
    (tmp_path / "token").write_text(f"secret-token{ending}")
    server = play((200, {}))
    Api(load(kubeconfig(server, user={"tokenFile": "token"}))).get("/")
    assert server.requests == [("GET", "/", "Bearer secret-token")]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"secret\ntoken", b"secret-\xc3\xa9", b"secret\xff", b"secret\x00token"]
)
def test_a_token_file_that_no_header_can_hold_is_named_without_its_content(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(CredentialError) as raised:
        TokenFile(path, "user 'u'").get()
    assert str(raised.value).startswith(f"user 'u': tokenFile {path}: ")
    assert "secret" not in str(raised.value)


def test_a_token_file_comes_before_the_token_beside_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file")
    assert TokenFile(tmp_path / "token", "here", fallback="old").get().authorization == "Bearer from-file"
    assert TokenFile(tmp_path / "nowhere", "here", fallback="old").get().authorization == "Bearer old"


def test_a_token_that_was_written_anew_is_sent_after_a_401(
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


def test_the_last_token_stays_while_its_file_cannot_be_read(tmp_path: Path) -> None:
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


def test_no_credential_is_in_its_repr() -> None:
    for credential in (Credential.bearer("secret-token", "here"), Credential.basic("jane", "secret-token")):
        assert "secret" not in repr(credential)
        assert credential.authorization not in repr(credential)


def test_a_token_in_an_answer_of_another_request_stays(
    play: Callable[..., Played], kubeconfig: Callable[..., Path]
) -> None:
    """A TokenRequest's answer is a credential, and it is what was asked for."""
    api = Api(load(kubeconfig(play((201, {"status": {"token": "eyJhbGciOiJub25lIn0.e30.c2ln"}})))))
    assert api.post("/token", {})["status"]["token"] == "eyJhbGciOiJub25lIn0.e30.c2ln"


def test_a_token_file_that_is_a_directory_is_named(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.mkdir()
    with pytest.raises(CredentialError, match=f"tokenFile {path}: Is a directory"):
        TokenFile(path, "here").get()
