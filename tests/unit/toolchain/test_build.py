"""Builds with the real Go, without a network: once, whole or not at all, and gone with whoever asked."""

import contextlib
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.toolchain import ToolchainError
from agent_identities.toolchain.build import build
from agent_identities.toolchain.pinned import Component
from agent_identities.toolchain.progress import Display

# What two people start at the same time; argv: folder of the module.
BUILD_HELLO = """
import sys
from pathlib import Path
from agent_identities.toolchain.build import build
from agent_identities.toolchain.pinned import Component
from agent_identities.toolchain.obtain import _unwinding_on_termination
from agent_identities.toolchain.progress import Display
hello = Component("hello", Path(sys.argv[1]), "example.test/hello", "0.1.0", "1.24", "-s -w", 1)
with _unwinding_on_termination(), Display(enabled=False) as show:
    print(build(hello, show).path)
"""


@pytest.fixture(autouse=True)
def go_on_path(system_go: Path, on_path: Path) -> Path:
    """The real Go, which keeps a line for each command it is given."""
    if not system_go.is_file():
        pytest.skip("needs Go")
    go = on_path / "go"
    go.write_text(f'#!/bin/sh\necho "$1" >> "{on_path}/commands"\nexec "{system_go}" "$@"\n')
    go.chmod(0o755)
    return go


def _build(component: Component) -> Path:
    with Display(enabled=False) as show:
        return build(component, show).path


def _left(cache: Path) -> set[str]:
    """What is in the cache besides locks and remembered versions."""
    return {path.name for path in cache.iterdir() if path.suffix not in (".lock", ".json")}


def _python(code: str, *arguments: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_what_is_built_runs_and_says_its_version(hello: Component) -> None:
    done = subprocess.run([_build(hello)], capture_output=True, text=True, check=True)
    assert done.stderr == "hello v0.1.0\n"


def test_nothing_but_the_binary_is_left(hello: Component, cache: Path) -> None:
    binary = _build(hello)
    assert _left(cache) == {binary.parent.name}
    assert list(binary.parent.iterdir()) == [binary]


def test_no_path_of_the_machine_gets_into_the_binary(hello: Component, tmp_path: Path) -> None:
    assert str(tmp_path).encode() not in _build(hello).read_bytes()


def test_a_variable_for_other_builds_does_not_reach_this_one(hello: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOARCH", "wasm")
    monkeypatch.setenv("GOOS", "js")
    monkeypatch.setenv("GOFLAGS", "-tags=surprise -mod=mod -race")
    done = subprocess.run([_build(hello)], capture_output=True, text=True, check=True)
    assert done.stderr.startswith("hello")


def test_two_at_the_same_time_build_once(hello: Component, on_path: Path) -> None:
    both = [_python(BUILD_HELLO, hello.folder) for _ in range(2)]
    printed = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(printed) == 1
    assert (on_path / "commands").read_text().split().count("build") == 1


def test_another_pin_is_another_binary(hello: Component) -> None:
    first = _build(hello)
    (hello.folder / "go.sum").write_text(
        "example.test/other v1.0.0/go.mod h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    )
    assert _build(hello) != first


def test_a_failed_build_shows_the_end_of_gos_output_and_keeps_the_whole_log(hello: Component, cache: Path) -> None:
    (hello.folder / "main.go").write_text("package main\n\nfunc main() { undeclared() }\n")
    with pytest.raises(ToolchainError, match=r"(?s)hello 0\.1\.0: go build failed.*undefined: undeclared") as caught:
        _build(hello)
    assert _left(cache) == {"hello-0.1.0.log"}
    assert str(cache / "hello-0.1.0.log") in str(caught.value)


def test_without_a_network_the_message_says_what_is_missing(
    hello: Component, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    (hello.folder / "main.go").write_text('package main\n\nimport _ "example.test/other"\n\nfunc main() {}\n')
    (hello.folder / "go.mod").write_text("module example.test/hello\n\ngo 1.24\n\nrequire example.test/other v1.0.0\n")
    (hello.folder / "go.sum").write_text(
        "example.test/other v1.0.0 h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
        "example.test/other v1.0.0/go.mod h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    )
    with pytest.raises(ToolchainError, match="The first build needs the network"):
        _build(hello)


def test_a_full_disk_is_one_message_with_the_folder_the_room_and_the_cure(hello: Component, cache: Path) -> None:
    # A limit on the size of files is met by the linker just as a full disk is, and this one is met by real Go.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, {before[1]}))\n{BUILD_HELLO}"
    process = _python(code, hello.folder)
    said = process.communicate()[1]
    message = next((line for line in said.splitlines() if "ToolchainError: " in line), "")
    assert str(cache) in message, said
    assert "GB free" in message, said
    assert "Free some space" in message, said
    assert _left(cache) == set()


def test_a_cache_that_cannot_be_written_is_one_message_with_the_variable_that_moves_it(
    hello: Component, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AGENT_IDENTITIES_CACHE", str(tmp_path / "file"))
    with pytest.raises(ToolchainError, match="AGENT_IDENTITIES_CACHE=/path/to/folder"):
        _build(hello)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_takes_go_and_its_compilers_with_it_and_leaves_nothing(
    signum: int, hello: Component, cache: Path, go_on_path: Path, on_path: Path, system_go: Path
) -> None:
    # `go build` that hangs, with a compiler under it; all else is the real Go.
    go_on_path.write_text(
        f'#!/bin/sh\n[ "$1" = build ] || exec "{system_go}" "$@"\n'
        f'/bin/sleep 600 &\necho $$ $! > "{on_path}/pids.new"; /bin/mv "{on_path}/pids.new" "{on_path}/pids"; wait\n'
    )
    process = _python(
        f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{BUILD_HELLO}", hello.folder
    )
    _wait_for((on_path / "pids").is_file)
    pids = [int(pid) for pid in (on_path / "pids").read_text().split()]
    process.send_signal(signum)
    process.communicate()
    _wait_for(lambda: not any(_runs(pid) for pid in pids))
    assert _left(cache) == set()


def _runs(pid: int) -> bool:
    """Whether the process is there and not only waiting for its parent to ask after it."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def _wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within 30 s")
