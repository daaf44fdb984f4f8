"""A program of our own is built from its source in ci/toolchain, and from nothing else."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.toolchain import Tool, component, locate, provide
from agent_identities.toolchain.cache import built
from agent_identities.toolchain.pinned import NAMES, OUR_NAMES


def test_what_all_is_built_for_a_user_does_not_hold_what_only_proofs_need() -> None:
    assert OUR_NAMES == ("render-worker",)
    assert not set(OUR_NAMES) & set(NAMES)


def test_the_worker_is_stamped_as_both_helms_are() -> None:
    stamps = component("render-worker").ldflags.split()
    for name in ("helm", "helm-3"):
        assert set(component(name).ldflags.split()) <= set(stamps)


@pytest.mark.parametrize(("name", "counts"), [("main.go", True), ("another.go", True), ("main_test.go", False)])
def test_a_change_of_the_source_is_another_binary(tmp_path: Path, name: str, counts: bool) -> None:
    pinned = component("render-worker")
    ours = dataclasses.replace(pinned, folder=Path(shutil.copytree(pinned.folder, tmp_path / "source")))
    before = built(ours, "1.26.8")
    with (ours.folder / name).open("a") as file:
        file.write("// changed\n")
    assert (built(ours, "1.26.8") != before) is counts


def test_no_other_program_of_that_name_is_taken_and_none_is_downloaded(
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
