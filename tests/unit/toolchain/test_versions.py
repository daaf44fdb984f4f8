"""Unsupported versions are refused with a remediation."""

from pathlib import Path

import pytest

from agent_identities.toolchain import ToolchainError, check_helm_version
from agent_identities.toolchain.versions import parse, problem

HELM = Path("/usr/local/bin/helm")


def test_helm_4_2_1_is_refused_with_the_issue_and_a_supported_version() -> None:
    with pytest.raises(ToolchainError, match=r"/usr/local/bin/helm: .*helm/helm#32214.*4\.2\.2"):
        check_helm_version("v4.2.1+g1234567", HELM)


def test_a_helm_4_2_without_patch_version_is_refused_because_it_can_be_4_2_1() -> None:
    with pytest.raises(ToolchainError, match="does not print its patch"):
        check_helm_version("v4.2", HELM)


@pytest.mark.parametrize("version", ["v4.2.2", "v4.2.0", "v4.3", "4.0.0", "v3.18.0", "v3.22.0+g6b2f1a5", "v5.0.0"])
def test_a_supported_helm_is_accepted(version: str) -> None:
    check_helm_version(version, HELM)


@pytest.mark.parametrize("version", ["v3.17.9", "v2.17.0", "v4.0.0-rc.1", "v4.0.0-beta.2", "1.0.0"])
def test_a_helm_that_is_too_old_is_refused_with_the_minimum_version(version: str) -> None:
    with pytest.raises(ToolchainError, match=r"too old\. Use Helm (3\.18|4\.0)\.0 or newer"):
        check_helm_version(version, HELM)


def test_a_helm_without_a_version_is_refused() -> None:
    with pytest.raises(ToolchainError, match="does not print a version"):
        check_helm_version("unknown", HELM)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("helm", "v4.3.0"),
        ("helm", "v3.18.0"),
        ("helm-4", "v4.3.0"),
        ("helm-3", "v3.22.0"),
        ("kube-apiserver", "Kubernetes v1.36.0"),
        ("kube-controller-manager", "Kubernetes v1.36.9+k3s1"),
        ("kubectl", "Client Version: v1.35.4\nKustomize Version: v5.7.1"),
        ("kubectl", "Client Version: v1.37.2"),
        ("etcd", "etcd Version: 3.5.13\nGit SHA: c9063a0dc\nGo Version: go1.21.8"),
        ("etcd", "etcd Version: 3.7.3"),
        ("kubeconform", "v0.7.0"),
        ("kubeconform", "development"),
        ("helm-docs", "helm-docs version 1.14.2"),
    ],
)
def test_a_supported_version_for_kubernetes_1_36_is_accepted(name: str, printed: str) -> None:
    assert problem(name, parse(printed), "1.36") is None


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("helm", "v3.17.3"),
        ("helm-4", "v3.22.0"),
        ("helm", "v4.2.1"),
        ("helm-3", "v4.3.0"),
        ("kube-apiserver", "Kubernetes v1.35.4"),
        ("kube-apiserver", "Kubernetes v1.37.0"),
        ("kube-controller-manager", "Kubernetes v0.0.0-master+$Format:%H$"),
        ("kubectl", "Client Version: v1.32.4-dispatcher"),
        ("kubectl", "Client Version: v1.38.0"),
        ("etcd", "etcd Version: 3.5.12"),
        ("etcd", "etcd Version: 3.4.23"),
        ("etcd", "development"),
        ("helm-docs", "helm-docs version 1.13.1"),
        ("helm-docs", "helm-docs version"),
    ],
)
def test_an_unsupported_version_for_kubernetes_1_36_is_refused(name: str, printed: str) -> None:
    assert problem(name, parse(printed), "1.36")
