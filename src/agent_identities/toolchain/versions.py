"""The supported versions of each binary."""

import re
from pathlib import Path
from typing import Final

from packaging.version import Version

from agent_identities.errors import ToolchainError

# Includes the suffix of a pre-release. The suffix of a vendor (-gke.100, +k3s1) is ignored.
_VERSION: Final = re.compile(r"\bv?(\d+\.\d+(?:\.\d+)?(?:-(?:alpha|beta|rc)\.?\d+)?)")

_HELM_MINIMUM: Final = {3: Version("3.18.0"), 4: Version("4.0.0")}
_ETCD_MINIMUM: Final = Version("3.5.13")  # 3.4 lacks --unsafe-no-fsync
_HELM_DOCS: Final = Version("1.14")  # its output is compared byte by byte


def parse(text: str) -> Version | None:
    """The first version in the output of a binary: `v4.3.0+g1234567`, `etcd Version: 3.6.16`, `Kubernetes v1.36.4`."""
    found = _VERSION.search(text)
    return Version(found[1]) if found else None


def helm_problem(version: Version | None) -> str | None:
    """Why this Helm version is not supported, or None."""
    if version is None:
        return "does not print a version. Use a release of Helm"
    if version == Version("4.2.1"):
        return (
            "Helm 4.2.1 hangs with --wait and ignores --timeout (helm/helm#32214). "
            "Use Helm 4.2.2 or newer, or 4.2.0 or older"
        )
    if version.release == (4, 2):
        return (
            "this build of Helm 4.2 does not print its patch version, and 4.2.1 hangs with --wait (helm/helm#32214). "
            "Use a release of Helm"
        )
    minimum = _HELM_MINIMUM[4 if version.major >= 4 else 3]
    return None if version >= minimum else f"Helm {version} is too old. Use Helm {minimum} or newer"


def check_helm_version(version: str, path: Path) -> None:
    """Refuse an unsupported Helm version.

    `version` is the output of `helm version --short` or `--template '{{.Version}}'`, with or without the `v`.

    Raises ToolchainError: 4.2.1 (helm/helm#32214), older than 3.18, a pre-release of 4.0, or not a version.
    """
    if problem := helm_problem(parse(version)):
        raise ToolchainError(f"{path}: {problem}.")


def problem(name: str, version: Version | None, kubernetes: str) -> str | None:
    """Why `version` of binary `name` is not supported for Kubernetes minor version `kubernetes`, or None."""
    match name:
        case "helm" | "helm-4" | "helm-3":
            major = int(name[-1]) if name != "helm" else None
            if version and major and version.major != major:
                return f"it is Helm {version}, and Helm {major} is required"
            return helm_problem(version)
        case "kubeconform":
            return None  # `go install` sets the version "development", and every version has the same options
    if version is None:
        return "does not print a version"
    if name == "helm-docs":
        same = version.release[:2] == _HELM_DOCS.release
        return None if same else f"it is helm-docs {version}, and {_HELM_DOCS} is required"
    if name == "etcd":
        return None if version >= _ETCD_MINIMUM else f"etcd {version} is too old: {_ETCD_MINIMUM} or newer is required"
    skew = 1 if name == "kubectl" else 0  # https://kubernetes.io/releases/version-skew-policy/#kubectl
    required = Version(kubernetes)
    if version.major != required.major or abs(version.minor - required.minor) > skew:
        within = " within one minor version" if skew else ""
        return f"it is {name} {version}, and {kubernetes}{within} is required"
    return None
