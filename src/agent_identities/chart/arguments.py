"""The arguments of `helm install`, refused before anything runs where Helm or Kubernetes would refuse them."""

import re
from pathlib import Path

from agent_identities.errors import AgentIdentitiesError

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_RELEASE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_RELEASE = 53
_KUBE_VERSION = re.compile(r"v?(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})(\.(0|[1-9]\d{0,5}))?([-+][0-9A-Za-z.+-]+)?", re.ASCII)
_FILES = ("Chart.yaml", "values.yaml", "values.schema.json", "files/risk-catalogue.json")


class ArgumentError(AgentIdentitiesError):
    """A release name, namespace, Kubernetes version or chart that Helm or Kubernetes refuses."""


def check_namespace(namespace: str) -> None:
    """Raises ArgumentError unless Kubernetes accepts the name: a DNS label (pkg/apis/core/validation)."""
    if not _DNS_LABEL.fullmatch(namespace):
        raise ArgumentError(
            f"--namespace {namespace!r}: not a DNS label, so Kubernetes refuses it. Use lower-case letters, digits and "
            "'-', beginning and ending with a letter or digit, 63 at most."
        )


def check_release(release: str) -> None:
    """Raises ArgumentError unless Helm accepts the name of a release (helm.sh/helm/v4 pkg/chart/common/util)."""
    if not _RELEASE.fullmatch(release) or len(release) > _LONGEST_RELEASE:
        raise ArgumentError(
            f"--release {release!r}: Helm refuses this name. Use lower-case letters, digits, '-' and '.', beginning "
            f"and ending with a letter or digit, {_LONGEST_RELEASE} at most."
        )


def check_kube_version(version: str) -> None:
    """Raises ArgumentError unless the version is one of Kubernetes: 1.36, v1.36.4, 1.36.4-eks-1a2b."""
    if not _KUBE_VERSION.fullmatch(version):
        raise ArgumentError(f"--kube-version {version!r}: not a version of Kubernetes. Write it as 1.36 or 1.36.4.")


def check_chart(chart: Path) -> None:
    """Raises ArgumentError unless the folder holds the agent-identities chart, its schema and its risk catalogue."""
    missing = [name for name in _FILES if not (chart / name).is_file()]
    if missing:
        problem = "no such folder" if not chart.is_dir() else f"{missing[0]} is missing"
        raise ArgumentError(
            f"--chart {chart}: {problem}. Name the folder of the agent-identities chart (of a packed chart, the "
            "folder that `tar -xzf` makes), or leave --chart out to use the chart in this package."
        )
