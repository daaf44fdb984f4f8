"""The go.mod files are the only source of the versions that are built."""

import json
import subprocess
from pathlib import Path

import pytest

from agent_identities.bundled import toolchain_path
from agent_identities.toolchain import DEFAULT_KUBERNETES, NAMES, ToolchainError, component, kubernetes_minors


def _modules(folder: Path, go: Path) -> dict[str, str]:
    """The required modules, as Go reads them."""
    shown = subprocess.run([go, "mod", "edit", "-json"], cwd=folder, check=True, capture_output=True, text=True)
    return {module["Path"]: module["Version"] for module in json.loads(shown.stdout)["Require"]}


@pytest.mark.parametrize("kubernetes", kubernetes_minors())
@pytest.mark.parametrize("name", NAMES)
def test_a_binary_has_the_version_of_its_module(name: str, kubernetes: str, system_go: Path) -> None:
    if not system_go.is_file():
        pytest.skip("needs Go, to read go.mod")
    pinned = component(name, kubernetes)
    modules = _modules(pinned.folder, system_go)
    assert f"v{pinned.version}" in [version for path, version in modules.items() if pinned.package.startswith(path)]


def test_every_kubernetes_folder_is_a_supported_minor_version() -> None:
    folders = {path.name for path in toolchain_path().glob("kubernetes-*")}
    assert folders == {f"kubernetes-{minor}" for minor in kubernetes_minors()}
    assert DEFAULT_KUBERNETES in kubernetes_minors()


@pytest.mark.parametrize("minor", kubernetes_minors())
def test_kubernetes_has_a_version_stamp_because_helm_refuses_v0_0_0(minor: str) -> None:
    pinned = component("kube-apiserver", minor)
    assert pinned.version.startswith(f"{minor}.")
    assert f"-X k8s.io/component-base/version.gitVersion=v{pinned.version}" in pinned.ldflags
    assert f"-X k8s.io/component-base/version.gitMinor={minor.split('.')[1]}" in pinned.ldflags


def test_helm_3_has_the_version_stamp_of_its_kubernetes_client_instead_of_1_20() -> None:
    ldflags = component("helm-3").ldflags
    assert "pkg/chartutil.k8sVersionMinor=" in ldflags
    assert int(ldflags.split("pkg/chartutil.k8sVersionMinor=")[1].split()[0]) >= 36


def test_a_kubernetes_minor_without_a_pinned_module_is_refused_with_the_pinned_versions() -> None:
    with pytest.raises(ToolchainError, match=r"1\.19: .* for 1\.34, .*1\.36, .*TEST_ASSET_KUBE_APISERVER"):
        component("kube-apiserver", "1.19")


def test_an_unknown_binary_is_refused_with_the_list_of_binaries() -> None:
    with pytest.raises(ToolchainError, match=r"kubelet: not a binary of the toolchain.*kube-apiserver"):
        component("kubelet")
