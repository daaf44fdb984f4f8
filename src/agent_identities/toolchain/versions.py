"""Which versions of a binary are good enough to prove something with."""

import re
from pathlib import Path
from typing import Final

from packaging.version import Version

from agent_identities.errors import ToolchainError

# With the mark of a pre-release; a vendor's suffix (-gke.100, +k3s1) says nothing of what a binary can do.
_VERSION: Final = re.compile(r"\bv?(\d+\.\d+(?:\.\d+)?(?:-(?:alpha|beta|rc)\.?\d+)?)")

_HELM_LEAST: Final = {3: Version("3.18.0"), 4: Version("4.0.0")}
_ETCD_LEAST: Final = Version("3.5.13")  # 3.4 lacks --unsafe-no-fsync
_HELM_DOCS: Final = Version("1.14")  # what it writes is compared by the byte


def parse(text: str) -> Version | None:
    """The first version in what a binary printed: `v4.3.0+g1234567`, `etcd Version: 3.6.16`, `Kubernetes v1.36.4`."""
    found = _VERSION.search(text)
    return Version(found[1]) if found else None


def helm_problem(version: Version | None) -> str | None:
    """Why no chart should be rendered or installed by this Helm, or None."""
    if version is None:
        return "prints no version. Use a release of Helm"
    if version == Version("4.2.1"):
        return (
            "Helm 4.2.1 hangs with --wait and ignores --timeout (helm/helm#32214). "
            "Use Helm 4.2.2 or newer, or 4.2.0 or older"
        )
    if version.release == (4, 2):
        return (
            "this build of Helm 4.2 does not say its patch, and 4.2.1 hangs with --wait (helm/helm#32214). "
            "Use a release of Helm"
        )
    least = _HELM_LEAST[4 if version.major >= 4 else 3]
    return None if version >= least else f"Helm {version} is too old. Use Helm {least} or newer"


def check_helm_version(version: str, path: Path) -> None:
    """Refuse a Helm that hangs or is too old.

    `version` is what `helm version --short` or `--template '{{.Version}}'` prints, with or without the `v`.

    Raises ToolchainError: 4.2.1 (helm/helm#32214), older than 3.18, a pre-release of 4.0, or no version at all.
    """
    if problem := helm_problem(parse(version)):
        raise ToolchainError(f"{path}: {problem}.")


def problem(name: str, version: Version | None, kubernetes: str) -> str | None:
    """Why binary `name` at `version` cannot serve for Kubernetes minor `kubernetes`, or None if it can."""
    match name:
        case "helm" | "helm-4" | "helm-3":
            wanted = int(name[-1]) if name != "helm" else None
            if version and wanted and version.major != wanted:
                return f"it is Helm {version}, and Helm {wanted} is wanted"
            return helm_problem(version)
        case "kubeconform":
            return None  # `go install` leaves "development" for a version, and every version takes the same options
    if version is None:
        return "prints no version"
    if name == "helm-docs":
        same = version.release[:2] == _HELM_DOCS.release
        return None if same else f"it is helm-docs {version}, and {_HELM_DOCS} is wanted"
    if name == "etcd":
        return None if version >= _ETCD_LEAST else f"etcd {version} is too old: {_ETCD_LEAST} or newer is wanted"
    skew = 1 if name == "kubectl" else 0  # https://kubernetes.io/releases/version-skew-policy/#kubectl
    wanted_kubernetes = Version(kubernetes)
    if version.major != wanted_kubernetes.major or abs(version.minor - wanted_kubernetes.minor) > skew:
        return f"it is {name} {version}, and {kubernetes}{' or a neighbour' if skew else ''} is wanted"
    return None
