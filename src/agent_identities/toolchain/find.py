"""Find a binary where users keep theirs, or in the cache; nothing is built or downloaded here."""

import os
from dataclasses import dataclass
from pathlib import Path

from agent_identities.errors import ToolchainError
from agent_identities.toolchain import cache, golang, installed_version
from agent_identities.toolchain.pinned import DEFAULT_KUBERNETES, OUR_NAMES, Tool, component
from agent_identities.toolchain.versions import parse, problem

_ON_PATH = {
    "helm": ("helm", "helm-4", "helm4", "helm-3", "helm3"),
    "helm-4": ("helm", "helm-4", "helm4"),
    "helm-3": ("helm-3", "helm3", "helm"),
}
# What envtest's archives hold; a folder that lacks another binary is still whole (controller-tools, hack/envtest).
_ENVTEST = frozenset({"etcd", "kube-apiserver", "kubectl"})


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for one name. `passed_over` tells of each candidate on PATH that could not serve, and why."""

    name: str
    tool: Tool | None
    passed_over: tuple[str, ...] = ()


def locate(name: str, *, kubernetes: str = DEFAULT_KUBERNETES) -> Tool | None:
    """The binary that `provide` would take without building or downloading one, or None.

    Raises ToolchainError: a variable names a binary that cannot serve, or nothing like `name` or `kubernetes` is known.
    """
    return look(name, kubernetes).tool


def look(name: str, kubernetes: str) -> Found:
    """As `locate`, with the reasons: TEST_ASSET_*, KUBEBUILDER_ASSETS, PATH, then the cache; our own only there."""
    check_minor(kubernetes)
    if name in OUR_NAMES:
        return Found(name, _in_cache(name, kubernetes))
    if tool := _named_by_variable(name, kubernetes):
        return Found(name, tool)
    tool, passed_over = _on_path(name, kubernetes)
    return Found(name, tool or _in_cache(name, kubernetes), passed_over)


def check_minor(kubernetes: str) -> None:
    """Refuse anything but a minor such as "1.36"."""
    parts = kubernetes.split(".")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise ToolchainError(f"Kubernetes {kubernetes!r}: not a minor version. Write it as {DEFAULT_KUBERNETES}.")


def _named_by_variable(name: str, kubernetes: str) -> Tool | None:
    """The binary that the user names is used or refused; no other is taken in its place."""
    own = f"TEST_ASSET_{name.upper().replace('-', '_')}"
    for variable in (own, "TEST_ASSET_HELM") if name == "helm-4" else (own,):
        if value := os.environ.get(variable):
            return _obey(name, Path(value).absolute(), variable, f"{variable}={value}", kubernetes)
    variable = "KUBEBUILDER_ASSETS"
    if value := os.environ.get(variable):
        folder = Path(value).absolute()
        if not folder.is_dir():
            raise ToolchainError(f"{variable}={value}: no such folder. Point it at the binaries, or unset it.")
        if (folder / name).exists() or name in _ENVTEST:
            return _obey(name, folder / name, variable, f"{variable}={value}, {name}", kubernetes)
    return None


def _obey(name: str, path: Path, origin: str, place: str, kubernetes: str) -> Tool:
    cure = f"Mend it, or unset {origin}."
    if not path.is_file():
        raise ToolchainError(f"{place}: no such file. {cure}")
    if not os.access(path, os.X_OK):
        raise ToolchainError(f"{place}: not executable. {cure}")
    version, reason = _judge(name, path, kubernetes)
    if reason:
        raise ToolchainError(f"{place}: {reason}. {cure}")
    return Tool(name, version, path, origin)


def _on_path(name: str, kubernetes: str) -> tuple[Tool | None, tuple[str, ...]]:
    passed_over: list[str] = []
    for alias in _ON_PATH.get(name, (name,)):
        for path in installed_version.on_path(alias):
            if path.resolve().is_relative_to(cache.root().resolve()):
                continue  # a link that `--links` made; what it points to may be of an older pin
            version, reason = _judge(name, path, kubernetes)
            if not reason:
                return Tool(name, version, path, "PATH"), tuple(passed_over)
            passed_over.append(f"{path}: {reason}")
    return None, tuple(passed_over)


def _judge(name: str, path: Path, kubernetes: str) -> tuple[str, str | None]:
    """The version of the binary at `path`, and why it cannot serve, if so."""
    try:
        printed = installed_version.printed_version(name, path)
    except ToolchainError as error:
        return "", str(error)
    version = parse(printed)
    return str(version or printed), problem(name, version, kubernetes)


def _in_cache(name: str, kubernetes: str) -> Tool | None:
    pinned = component(name, kubernetes)
    built = cache.built(pinned, golang.choose(pinned.go).version)
    for path, origin in ((built, "built"), (cache.downloaded(pinned), "downloaded")):
        if path.is_file():
            return Tool(name, pinned.version, path, origin)
    return None
