"""The command `agent-identities toolchain`."""

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from agent_identities.cli.toolchain import register
from agent_identities.toolchain import NAMES, component

Stub = Callable[[Path, str], Path]


@pytest.fixture
def run() -> Callable[..., str]:
    app = typer.Typer()
    register(app)

    def invoke(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return invoke


@pytest.fixture
def all_on_path(on_path: Path, stub: Stub) -> Path:
    for name in NAMES:
        printed = {"helm": "v4.3.0", "helm-3": "v3.22.0", "etcd": "3.6.1", "helm-docs": "1.14.2"}
        stub(on_path / name, printed.get(name, "v1.36.0"))
    return on_path


def test_list_shows_the_versions_to_build_without_a_build(run: Callable[..., str], cache: Path) -> None:
    rows = [line.split("\t") for line in run("--list").splitlines()]
    assert [row[:3] for row in rows] == [[name, component(name).version, "to be built"] for name in NAMES]
    assert not cache.exists()


def test_list_shows_why_a_binary_on_path_is_skipped(run: Callable[..., str], on_path: Path, stub: Stub) -> None:
    stub(on_path / "helm", "v4.2.1")
    helm = run("--list").splitlines()[0]
    assert "to be built" in helm
    assert f"{on_path / 'helm'}: Helm 4.2.1 hangs" in helm


def test_every_binary_is_shown_with_its_version_origin_and_path(run: Callable[..., str], all_on_path: Path) -> None:
    rows = [line.split("\t") for line in run().splitlines()]
    assert [(row[0], row[2], row[3]) for row in rows] == [(name, "PATH", str(all_on_path / name)) for name in NAMES]


def test_links_creates_a_link_to_every_binary_in_one_folder(
    run: Callable[..., str], all_on_path: Path, tmp_path: Path
) -> None:
    run("--links", str(tmp_path / ".tools" / "bin"))
    links = {link.name: str(link.readlink()) for link in (tmp_path / ".tools" / "bin").iterdir()}
    assert links == {name: str(all_on_path / name) for name in NAMES}
