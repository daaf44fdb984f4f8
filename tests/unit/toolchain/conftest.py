"""A bare machine: an empty PATH, an empty cache, and no variable that points to a binary."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.toolchain.pinned import Component

Stub = Callable[[Path, str], Path]


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("TEST_ASSET_", "AGENT_IDENTITIES_")) or name in ("KUBEBUILDER_ASSETS", "DOWNLOAD"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AGENT_IDENTITIES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "toolchain"


@pytest.fixture
def on_path(tmp_path: Path) -> Path:
    """The only folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture
def stub() -> Stub:
    """Creates a program that prints a text for all arguments."""

    def make(path: Path, prints: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho '{prints}'\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture(scope="session")
def system_go() -> Path:
    """The Go of the machine. Its scope is the session, so that it is found before `bare_machine` empties PATH."""
    found = shutil.which("go")
    return Path(found) if found else Path()


@pytest.fixture
def hello(tmp_path: Path) -> Component:
    """A module of one file. It requires no other module, and so no network."""
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "go.mod").write_text("module example.test/hello\n\ngo 1.24\n")
    (folder / "go.sum").write_text("")
    (folder / "main.go").write_text('package main\n\nvar version = ""\n\nfunc main() { println("hello " + version) }\n')
    return Component("hello", folder, "example.test/hello", "0.1.0", "1.24", "-s -w -X main.version=v0.1.0", 1)
