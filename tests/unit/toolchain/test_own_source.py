"""A program of this project is always built from its source in ci/toolchain."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.toolchain import Tool, component, locate, provide
from agent_identities.toolchain.cache import built
from agent_identities.toolchain.pinned import NAMES, OUR_NAMES


def test_the_binaries_for_users_do_not_include_the_programs_of_this_project() -> None:
    assert OUR_NAMES == ("render-worker",)
    assert not set(OUR_NAMES) & set(NAMES)


def test_the_worker_has_the_version_stamps_of_helm_3_and_helm_4() -> None:
    stamps = component("render-worker").ldflags.split()
    for name in ("helm", "helm-3"):
        assert set(component(name).ldflags.split()) <= set(stamps)


@pytest.mark.parametrize(("name", "counts"), [("main.go", True), ("another.go", True), ("main_test.go", False)])
def test_a_change_of_the_source_changes_the_cache_entry(tmp_path: Path, name: str, counts: bool) -> None:
    pinned = component("render-worker")
    ours = dataclasses.replace(pinned, folder=Path(shutil.copytree(pinned.folder, tmp_path / "source")))
    before = built(ours, "1.26.8")
    with (ours.folder / name).open("a") as file:
        file.write("// changed\n")
    assert (built(ours, "1.26.8") != before) is counts


def test_the_worker_is_built_even_if_a_variable_path_or_download_offers_another_binary(
    monkeypatch: pytest.MonkeyPatch, on_path: Path, stub: Callable[[Path, str], Path]
) -> None:
    other = stub(on_path / "render-worker", "render-worker 4.3.0")
    monkeypatch.setenv("TEST_ASSET_RENDER_WORKER", str(other))
    monkeypatch.setenv("DOWNLOAD", "1")
    monkeypatch.setattr("agent_identities.toolchain.download.download", None)
    monkeypatch.setattr(
        "agent_identities.toolchain.build.build", lambda pinned, _: Tool(pinned.name, "", other, "built")
    )
    assert locate("render-worker") is None
    assert provide(["render-worker"], progress=False)["render-worker"].origin == "built"
