"""Find a binary of the user, or in the cache, without a build or a download."""

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
# The binaries in the archives of envtest. Other binaries are optional in the folder (controller-tools, hack/envtest).
_ENVTEST = frozenset({"etcd", "kube-apiserver", "kubectl"})


@dataclass(frozen=True, slots=True)
class Found:
    """The search result for one name. `skipped` has each unusable candidate on PATH, with the reason."""

    name: str
    tool: Tool | None
    skipped: tuple[str, ...] = ()


def locate(name: str, *, kubernetes: str = DEFAULT_KUBERNETES) -> Tool | None:
    """The binary that `provide` would use without a build or a download, or None.

    Raises ToolchainError: a variable points to an unusable binary, or `name` or `kubernetes` is unknown.
    """
    return resolve(name, kubernetes).tool


def resolve(name: str, kubernetes: str) -> Found:
    """As `locate`, with reasons. The order is TEST_ASSET_*, KUBEBUILDER_ASSETS, PATH, the cache.

    A program of this project is searched in the cache only.
    """
    check_minor(kubernetes)
    if name in OUR_NAMES:
        return Found(name, _in_cache(name, kubernetes))
    if tool := _override(name, kubernetes):
        return Found(name, tool)
    tool, skipped = _on_path(name, kubernetes)
    return Found(name, tool or _in_cache(name, kubernetes), skipped)


def check_minor(kubernetes: str) -> None:
    """Raise ToolchainError if `kubernetes` is not a minor version such as "1.36"."""
    parts = kubernetes.split(".")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise ToolchainError(f"Kubernetes {kubernetes!r}: not a minor version. Example: {DEFAULT_KUBERNETES}.")


def _override(name: str, kubernetes: str) -> Tool | None:
    """The binary that an environment variable points to. If it is unusable, that is an error, not a fallback."""
    own = f"TEST_ASSET_{name.upper().replace('-', '_')}"
    for variable in (own, "TEST_ASSET_HELM") if name == "helm-4" else (own,):
        if value := os.environ.get(variable):
            return _use_override(name, Path(value).absolute(), variable, f"{variable}={value}", kubernetes)
    variable = "KUBEBUILDER_ASSETS"
    if value := os.environ.get(variable):
        folder = Path(value).absolute()
        if not folder.is_dir():
            raise ToolchainError(
                f"{variable}={value}: no such folder. Set it to the folder of the binaries, or unset it."
            )
        if (folder / name).exists() or name in _ENVTEST:
            return _use_override(name, folder / name, variable, f"{variable}={value}, {name}", kubernetes)
    return None


def _use_override(name: str, path: Path, variable: str, location: str, kubernetes: str) -> Tool:
    remediation = f"Correct or unset {variable}."
    if not path.is_file():
        raise ToolchainError(f"{location}: no such file. {remediation}")
    if not os.access(path, os.X_OK):
        raise ToolchainError(f"{location}: not executable. {remediation}")
    version, reason = _check_version(name, path, kubernetes)
    if reason:
        raise ToolchainError(f"{location}: {reason}. {remediation}")
    return Tool(name, version, path, variable)


def _on_path(name: str, kubernetes: str) -> tuple[Tool | None, tuple[str, ...]]:
    skipped: list[str] = []
    for alias in _ON_PATH.get(name, (name,)):
        for path in installed_version.on_path(alias):
            if path.resolve().is_relative_to(cache.root().resolve()):
                continue  # a link from `--links`, which can point to a binary of an older pin
            version, reason = _check_version(name, path, kubernetes)
            if not reason:
                return Tool(name, version, path, "PATH"), tuple(skipped)
            skipped.append(f"{path}: {reason}")
    return None, tuple(skipped)


def _check_version(name: str, path: Path, kubernetes: str) -> tuple[str, str | None]:
    """The version of the binary at `path`, and why it is unusable, if it is."""
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
