"""Which versions of a binary are good enough to prove something with."""

import re
from pathlib import Path
from typing import NamedTuple

from agent_identities.errors import ToolchainError

_VERSION = re.compile(r"\bv?(\d+)\.(\d+)(?:\.(\d+))?(-[0-9A-Za-z.-]+)?")

_HELM_LEAST = {3: (3, 18, 0), 4: (4, 0, 0)}
_ETCD_LEAST = (3, 5, 13)  # 3.4 lacks --unsafe-no-fsync
_HELM_DOCS = (1, 14)  # what it writes is compared by the byte


class Version(NamedTuple):
    """A version as a binary prints it; `patch` is None where the build left it out, as an unstamped Helm does."""

    major: int
    minor: int
    patch: int | None
    suffix: str = ""

    def __str__(self) -> str:
        patch = "" if self.patch is None else f".{self.patch}"
        return f"{self.major}.{self.minor}{patch}{self.suffix}"

    def at_least(self, least: tuple[int, int, int]) -> bool:
        """Whether this is `least` or newer; a release candidate is older than its release."""
        own = (self.major, self.minor, self.patch or 0)
        return own > least or (own == least and not self.suffix.startswith(("-alpha", "-beta", "-rc")))


def parse(text: str) -> Version | None:
    """The first version in what a binary printed: `v4.3.0+g1234567`, `etcd Version: 3.6.16`, `Kubernetes v1.36.4`."""
    found = _VERSION.search(text)
    if not found:
        return None
    return Version(int(found[1]), int(found[2]), int(found[3]) if found[3] else None, found[4] or "")


def helm_problem(version: Version | None) -> str | None:
    """Why no chart should be rendered or installed by this Helm, or None."""
    if version is None:
        return "prints no version. Use a release of Helm"
    if version[:3] == (4, 2, 1):
        return (
            "Helm 4.2.1 hangs with --wait and ignores --timeout (helm/helm#32214). "
            "Use Helm 4.2.2 or newer, or 4.2.0 or older"
        )
    if version[:3] == (4, 2, None):
        return (
            "this build of Helm 4.2 does not say its patch, and 4.2.1 hangs with --wait (helm/helm#32214). "
            "Use a release of Helm"
        )
    least = _HELM_LEAST.get(min(version.major, max(_HELM_LEAST)), _HELM_LEAST[3])
    if not version.at_least(least):
        return f"Helm {version} is too old. Use Helm {'.'.join(map(str, least))} or newer"
    return None


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
        case "helm" | "helm-3":
            wanted = 4 if name == "helm" else 3
            if version and version.major != wanted:
                return f"it is Helm {version}, and Helm {wanted} is wanted"
            return helm_problem(version)
        case "kubeconform":
            return None  # `go install` leaves "development" for a version, and every version takes the same options
    if version is None:
        return "prints no version"
    if name == "helm-docs":
        wanted_docs = ".".join(map(str, _HELM_DOCS))
        return None if version[:2] == _HELM_DOCS else f"it is helm-docs {version}, and {wanted_docs} is wanted"
    if name == "etcd":
        least = ".".join(map(str, _ETCD_LEAST))
        return None if version.at_least(_ETCD_LEAST) else f"etcd {version} is too old: {least} or newer is wanted"
    skew = 1 if name == "kubectl" else 0  # https://kubernetes.io/releases/version-skew-policy/#kubectl
    major, minor = (int(part) for part in kubernetes.split("."))
    if version.major != major or abs(version.minor - minor) > skew:
        return f"it is {name} {version}, and {kubernetes}{' or a neighbour' if skew else ''} is wanted"
    return None
