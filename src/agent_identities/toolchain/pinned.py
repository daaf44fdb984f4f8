"""The binaries of the toolchain, and the pinned Go module of each binary."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from packaging.version import Version

from agent_identities.bundled import toolchain_path
from agent_identities.errors import ToolchainError

DEFAULT_KUBERNETES: Final = "1.36"
"""The default Kubernetes minor version. The patch version is in go.mod."""

_KUBERNETES_STAMPS = (
    "k8s.io/component-base/version.gitVersion=v{version}",
    "k8s.io/component-base/version.gitMajor={major}",
    "k8s.io/component-base/version.gitMinor={minor}",
    "k8s.io/client-go/pkg/version.gitVersion=v{version}",
)


@dataclass(frozen=True, slots=True)
class Tool:
    """An executable binary.

    `origin` is its source: the name of a TEST_ASSET_* variable, "KUBEBUILDER_ASSETS", "PATH", "built" or "downloaded".
    """

    name: str
    version: str
    path: Path
    origin: str


@dataclass(frozen=True, slots=True)
class Component:
    """A binary that ci/toolchain pins. `version` and `go` (the minimum Go version) are without "v" and "go"."""

    name: str
    folder: Path
    package: str
    version: str
    go: str
    ldflags: str
    seconds: int

    @property
    def title(self) -> str:
        """The name and the version, for messages."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class _Recipe:
    """`seconds`: the duration of a cold build on 2 cores, after the recipes above it.

    `module` is set if the program is part of this project, with its source in the folder. Its version is the version
    of this module.
    """

    folder: str
    seconds: int
    stamps: tuple[str, ...] = ()
    module: str = ""


_HELM_4_STAMPS = ("helm.sh/helm/v4/internal/version.version=v{versions[helm.sh/helm/v4]}",)
# As in Helm's Makefile. Without the last four, Helm 3 assumes Kubernetes 1.20 when it does not connect to a cluster.
_HELM_3_STAMPS = (
    "helm.sh/helm/v3/internal/version.version=v{versions[helm.sh/helm/v3]}",
    "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1",
    "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor={client_minor}",
    "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1",
    "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor={client_minor}",
)

_RECIPES: Final[Mapping[str, _Recipe]] = MappingProxyType(
    {
        "helm": _Recipe("helm-4", 110, _HELM_4_STAMPS),
        "helm-3": _Recipe("helm-3", 20, _HELM_3_STAMPS),
        "kube-apiserver": _Recipe("kubernetes-{kubernetes}", 245, _KUBERNETES_STAMPS),
        "kube-controller-manager": _Recipe("kubernetes-{kubernetes}", 60, _KUBERNETES_STAMPS),
        "kubectl": _Recipe("kubernetes-{kubernetes}", 20, _KUBERNETES_STAMPS),
        "etcd": _Recipe("etcd", 35),
        "kubeconform": _Recipe("kubeconform", 15, ("main.version=v{version}",)),
        "helm-docs": _Recipe("helm-docs", 10, ("main.version={version}",)),
    }
)
_OUR_RECIPES: Final[Mapping[str, _Recipe]] = MappingProxyType(
    {"render-worker": _Recipe("render-worker", 60, (*_HELM_4_STAMPS, *_HELM_3_STAMPS), "helm.sh/helm/v4")}
)

_SAME: Final[Mapping[str, str]] = MappingProxyType({"helm-4": "helm"})
"""Names with the recipe of another name. "helm" is any supported Helm that is found, and Helm 4 if it is built."""

NAMES: Final = tuple(_RECIPES)
"""The binaries of other projects, without "helm-4", which only the comparison of the two Helm versions uses."""

OUR_NAMES: Final = tuple(_OUR_RECIPES)
"""The binaries of this project. `provide` always builds them."""


def kubernetes_minors() -> tuple[str, ...]:
    """The Kubernetes minor versions that have a pinned module, oldest first: ("1.36", "1.37")."""
    found = (path.parent.name.removeprefix("kubernetes-") for path in toolchain_path().glob("kubernetes-*/go.mod"))
    return tuple(sorted(found, key=Version))


def component(name: str, kubernetes: str = DEFAULT_KUBERNETES) -> Component:
    """The pinned module of binary `name`, from its go.mod.

    Raises ToolchainError: the binary is unknown, no module is pinned for that Kubernetes minor version, or the go.mod
    is incomplete.
    """
    name = _SAME.get(name, name)
    recipe = _RECIPES.get(name) or _OUR_RECIPES.get(name)
    if recipe is None:
        raise ToolchainError(f"{name}: not a binary of the toolchain. Its binaries are {', '.join(NAMES + OUR_NAMES)}.")
    folder = toolchain_path() / recipe.folder.format(kubernetes=kubernetes)
    try:
        text = (folder / "go.mod").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ToolchainError(_not_pinned(name, kubernetes)) from None
    required = dict(re.findall(r"^\s*(?:require )?([^\s/]+/\S+) v(\S+)", text, re.M))
    package, module = ".", recipe.module
    if not module:
        package = _only(name, re.findall(r"^(?:tool |\t)(\S+/\S+)$", text, re.M), folder)
        module = max((path for path in required if f"{package}/".startswith(f"{path}/")), key=len, default="")
    go = re.search(r"^go (\S+)$", text, re.M)
    if module not in required or not go:
        raise ToolchainError(
            f"{folder / 'go.mod'}: has no version of {package}, or no go line. Run `go mod tidy` in that folder."
        )
    major, minor = required[module].split(".")[:2]
    client_minor = required.get("k8s.io/client-go", "0.0").split(".")[1]
    stamps = (
        stamp.format(version=required[module], versions=required, major=major, minor=minor, client_minor=client_minor)
        for stamp in recipe.stamps
    )
    ldflags = " ".join(("-s", "-w", *(f"-X {stamp}" for stamp in stamps)))
    return Component(name, folder, package, required[module], go[1], ldflags, recipe.seconds)


def _only(name: str, packages: list[str], folder: Path) -> str:
    """The package called `name` in the `tool` directive of a go.mod, or the only package."""
    named = [package for package in packages if package.rsplit("/", 1)[-1] == name] or packages
    if len(named) != 1:
        raise ToolchainError(f"{folder / 'go.mod'}: its tool directive must have exactly one package for {name}.")
    return named[0]


def _not_pinned(name: str, kubernetes: str) -> str:
    return (
        f"Kubernetes {kubernetes}: {name} can be built for {', '.join(kubernetes_minors())} only. Use one of these "
        f"versions, or set TEST_ASSET_{name.upper().replace('-', '_')} to the path of a binary."
    )
