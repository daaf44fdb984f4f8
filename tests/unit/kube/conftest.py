"""Fake servers with the failures of a test, and kubeconfigs for them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_identities.cluster.pki import Authority
from support.played import Answer, Played, Respond

Start = Callable[..., Played]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("pki"), "ca")


@pytest.fixture
def play(authority: Authority) -> Iterator[Start]:
    """Start a server; ``name`` is the name in its certificate."""
    started: list[Played] = []

    def start(*answers: Answer, respond: Respond | None = None, name: str = "127.0.0.1") -> Played:
        started.append(Played(list(answers), respond).start(authority, name))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def kubeconfig(tmp_path: Path, authority: Authority) -> Callable[..., Path]:
    """Write a kubeconfig for a server, or a URL, with this user and these fields of the cluster."""

    def write(server: Played | str, user: dict[str, Any] | None = None, **cluster: Any) -> Path:
        trusted = {"certificate-authority": str(authority.files.certificate)}
        content = {
            "current-context": "here",
            "clusters": [
                {
                    "name": "c",
                    "cluster": {"server": server if isinstance(server, str) else server.url, **trusted, **cluster},
                }
            ],
            "users": [{"name": "u", "user": {"token": "secret-token"} if user is None else user}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    return write
