"""Builds with the real Go, without a network. Concurrent builds run once, and a failed build leaves no files."""

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

# A process that builds a module. argv: the folder of the module.
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
    """A wrapper of the real Go that writes each command to a file, one per line."""
    if not system_go.is_file():
        pytest.skip("needs Go")
    go = on_path / "go"
    go.write_text(f'#!/bin/sh\necho "$1" >> "{on_path}/commands"\nexec "{system_go}" "$@"\n')
    go.chmod(0o755)
    return go


def _build(component: Component) -> Path:
    with Display(enabled=False) as show:
        return build(component, show).path


def _entries(cache: Path) -> set[str]:
    """The files and folders of the cache, without lock files and the cache of versions."""
    return {path.name for path in cache.iterdir() if path.suffix not in (".lock", ".json")}


def _python(code: str, *arguments: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_built_binary_runs_and_prints_its_version(hello: Component) -> None:
    done = subprocess.run([_build(hello)], capture_output=True, text=True, check=True)
    assert done.stderr == "hello v0.1.0\n"


def test_a_build_leaves_only_the_binary(hello: Component, cache: Path) -> None:
    binary = _build(hello)
    assert _entries(cache) == {binary.parent.name}
    assert list(binary.parent.iterdir()) == [binary]


def test_the_binary_contains_no_path_of_the_machine(hello: Component, tmp_path: Path) -> None:
    assert str(tmp_path).encode() not in _build(hello).read_bytes()


def test_variables_for_other_builds_are_ignored(hello: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOARCH", "wasm")
    monkeypatch.setenv("GOOS", "js")
    monkeypatch.setenv("GOFLAGS", "-tags=surprise -mod=mod -race")
    done = subprocess.run([_build(hello)], capture_output=True, text=True, check=True)
    assert done.stderr.startswith("hello")


def test_two_concurrent_processes_build_once(hello: Component, on_path: Path) -> None:
    both = [_python(BUILD_HELLO, hello.folder) for _ in range(2)]
    printed = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(printed) == 1
    assert (on_path / "commands").read_text().split().count("build") == 1


def test_a_change_of_a_pin_changes_the_cache_entry(hello: Component) -> None:
    first = _build(hello)
    (hello.folder / "go.sum").write_text(
        "example.test/other v1.0.0/go.mod h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    )
    assert _build(hello) != first


def test_a_failed_build_shows_the_end_of_the_output_and_keeps_the_complete_log(hello: Component, cache: Path) -> None:
    (hello.folder / "main.go").write_text("package main\n\nfunc main() { undeclared() }\n")
    with pytest.raises(ToolchainError, match=r"(?s)hello 0\.1\.0: go build failed.*undefined: undeclared") as caught:
        _build(hello)
    assert _entries(cache) == {"hello-0.1.0.log"}
    assert str(cache / "hello-0.1.0.log") in str(caught.value)


def test_without_a_network_the_error_says_that_the_first_build_needs_it(
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


def test_a_full_disk_is_one_error_with_the_folder_the_free_space_and_the_remediation(
    hello: Component, cache: Path
) -> None:
    # To the linker, a limit on the file size is the same as a full disk.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, {before[1]}))\n{BUILD_HELLO}"
    process = _python(code, hello.folder)
    stderr = process.communicate()[1]
    message = next((line for line in stderr.splitlines() if "ToolchainError: " in line), "")
    assert str(cache) in message, stderr
    assert "GB free" in message, stderr
    assert "Free some space" in message, stderr
    assert _entries(cache) == set()


def test_a_cache_that_is_not_writable_is_one_error_with_the_variable_to_set(
    hello: Component, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AGENT_IDENTITIES_CACHE", str(tmp_path / "file"))
    with pytest.raises(ToolchainError, match="AGENT_IDENTITIES_CACHE=/path/to/folder"):
        _build(hello)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_kills_go_and_its_compilers_and_leaves_no_files(
    signum: int, hello: Component, cache: Path, go_on_path: Path, on_path: Path, system_go: Path
) -> None:
    # `go build` hangs, with a compiler as child process. All other commands run the real Go.
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
    assert _entries(cache) == set()


def _runs(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def _wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("the condition was not true within 30 s")
