"""The search order for binaries, and the errors for unusable binaries."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_identities.toolchain import (
    Tool,
    ToolchainError,
    component,
    installed_version,
    link,
    locate,
    provide,
    resolve,
)
from agent_identities.toolchain.cache import built, downloaded
from agent_identities.toolchain.golang import choose

Stub = Callable[[Path, str], Path]


def _build(name: str) -> Path:
    """A file at the path of a built binary."""
    pinned = component(name)
    path = built(pinned, choose(pinned.go).version)
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_the_search_order_is_test_asset_then_assets_folder_then_path_then_cache(
    monkeypatch: pytest.MonkeyPatch, on_path: Path, tmp_path: Path, stub: Stub
) -> None:
    origins = []
    _build("etcd")
    origins.append(locate("etcd"))
    stub(on_path / "etcd", "etcd Version: 3.6.1")
    origins.append(locate("etcd"))
    stub(tmp_path / "assets" / "etcd", "etcd Version: 3.6.2")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    origins.append(locate("etcd"))
    monkeypatch.setenv("TEST_ASSET_ETCD", str(stub(tmp_path / "my-etcd", "etcd Version: 3.6.3")))
    origins.append(locate("etcd"))
    assert [tool.origin for tool in origins if tool] == ["built", "PATH", "KUBEBUILDER_ASSETS", "TEST_ASSET_ETCD"]


def test_a_binary_that_does_not_exist_is_not_found() -> None:
    assert locate("etcd") is None


def test_a_variable_with_a_missing_file_is_an_error_even_if_path_has_the_binary(
    monkeypatch: pytest.MonkeyPatch, on_path: Path, stub: Stub
) -> None:
    stub(on_path / "etcd", "etcd Version: 3.6.1")
    monkeypatch.setenv("TEST_ASSET_ETCD", "/nowhere/etcd")
    with pytest.raises(ToolchainError, match=r"TEST_ASSET_ETCD=/nowhere/etcd: no such file.*unset TEST_ASSET_ETCD"):
        locate("etcd")


def test_a_variable_with_a_file_without_execute_permission_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stub: Stub
) -> None:
    stub(tmp_path / "etcd", "etcd Version: 3.6.1").chmod(0o644)
    monkeypatch.setenv("TEST_ASSET_ETCD", str(tmp_path / "etcd"))
    with pytest.raises(ToolchainError, match="not executable"):
        locate("etcd")


def test_a_variable_with_another_kubernetes_minor_is_an_error_with_both_versions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stub: Stub
) -> None:
    stub(tmp_path / "kube-apiserver", "Kubernetes v1.35.4")
    monkeypatch.setenv("TEST_ASSET_KUBE_APISERVER", str(tmp_path / "kube-apiserver"))
    with pytest.raises(ToolchainError, match=r"TEST_ASSET_KUBE_APISERVER=.*kube-apiserver 1\.35\.4.*1\.36 is required"):
        locate("kube-apiserver")


def test_a_binary_of_the_user_can_be_of_a_kubernetes_minor_without_a_pin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stub: Stub
) -> None:
    stub(tmp_path / "kube-apiserver", "Kubernetes v1.35.4")
    monkeypatch.setenv("TEST_ASSET_KUBE_APISERVER", str(tmp_path / "kube-apiserver"))
    tool = locate("kube-apiserver", kubernetes="1.35")
    assert tool == Tool("kube-apiserver", "1.35.4", tmp_path / "kube-apiserver", "TEST_ASSET_KUBE_APISERVER")


def test_a_variable_with_helm_4_2_1_is_an_error_with_the_issue(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stub: Stub
) -> None:
    monkeypatch.setenv("TEST_ASSET_HELM", str(stub(tmp_path / "helm", "v4.2.1")))
    with pytest.raises(ToolchainError, match=r"TEST_ASSET_HELM=.*helm/helm#32214"):
        locate("helm")


def test_a_missing_assets_folder_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", "/nowhere")
    with pytest.raises(ToolchainError, match="KUBEBUILDER_ASSETS=/nowhere: no such folder"):
        locate("etcd")


def test_an_assets_folder_without_an_api_server_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(ToolchainError, match=r"KUBEBUILDER_ASSETS=.*kube-apiserver: no such file"):
        locate("kube-apiserver")


@pytest.mark.parametrize("name", ["kube-controller-manager", "helm", "helm-3", "kubeconform", "helm-docs"])
def test_a_binary_that_envtest_does_not_include_is_found_outside_the_assets_folder(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = _build(name)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    tool = locate(name)
    assert tool
    assert (tool.path, tool.origin) == (path, "built")


def test_the_first_usable_binary_on_path_is_used_and_the_others_are_listed_with_reasons(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stub: Stub
) -> None:
    folders = [tmp_path / "old", tmp_path / "broken", tmp_path / "good"]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))
    stub(folders[0] / "kubectl", "Client Version: v1.32.4-dispatcher")
    stub(folders[1] / "kubectl", "").write_text("#!/bin/sh\necho 'no licence' >&2\nexit 3\n")
    stub(folders[2] / "kubectl", "Client Version: v1.36.1")
    found = resolve("kubectl", "1.36")
    assert found.tool == Tool("kubectl", "1.36.1", folders[2] / "kubectl", "PATH")
    assert "1.32.4" in found.skipped[0]
    assert "exit code 3: no licence" in found.skipped[1]


def test_helm_3_and_helm_4_are_distinguished_by_version_not_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stub: Stub
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'three'}:{tmp_path / 'four'}")
    stub(tmp_path / "three" / "helm", "v3.22.0")
    stub(tmp_path / "four" / "helm", "v4.3.0")
    assert {name: tool.version for name, tool in provide(["helm-4", "helm-3"]).items()} == {
        "helm-4": "4.3.0",
        "helm-3": "3.22.0",
    }


@pytest.mark.parametrize("file", ["helm", "helm-3", "helm3"])
def test_if_path_has_only_helm_3_it_is_used_and_nothing_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stub: Stub, file: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    stub(tmp_path / file, "v3.19.0")
    assert provide(["helm"])["helm"] == Tool("helm", "3.19.0", tmp_path / file, "PATH")
    assert locate("helm-4") is None


def test_a_variable_for_helm_can_point_to_helm_3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stub: Stub) -> None:
    monkeypatch.setenv("TEST_ASSET_HELM", str(stub(tmp_path / "helm", "v3.19.0")))
    assert provide(["helm"])["helm"].version == "3.19.0"
    with pytest.raises(ToolchainError, match=r"it is Helm 3\.19\.0, and Helm 4 is required"):
        locate("helm-4")


def test_a_relative_entry_on_path_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stub: Stub) -> None:
    monkeypatch.chdir(tmp_path)
    stub(tmp_path / "here" / "etcd", "etcd Version: 3.6.1")
    monkeypatch.setenv("PATH", "here::.")
    assert resolve("etcd", "1.36").skipped == ()
    assert locate("etcd") is None


def test_links_to_the_cache_on_path_do_not_override_a_newer_pin(on_path: Path, cache: Path, stub: Stub) -> None:
    older = stub(cache / "etcd-3.6.1-0123456789ab" / "etcd", "etcd Version: 3.6.1")
    link([Tool("etcd", "3.6.1", older, "built")], on_path)
    assert locate("etcd") is None


def test_a_downloaded_binary_is_found_in_the_cache() -> None:
    path = downloaded(component("etcd"))
    path.parent.mkdir(parents=True)
    path.touch()
    tool = locate("etcd")
    assert tool
    assert tool.origin == "downloaded"


def test_the_version_command_runs_once_and_again_if_the_file_changes(on_path: Path) -> None:
    binary = on_path / "kubeconform"
    shutil.copy("/bin/echo", binary)
    before = binary.stat()
    assert locate("kubeconform")
    binary.write_bytes(b"\x7fELF".ljust(before.st_size, b"\0"))  # not executable
    os.utime(binary, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert locate("kubeconform")
    os.utime(binary, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))
    assert locate("kubeconform") is None


def test_an_invalid_cache_of_versions_is_ignored(on_path: Path, cache: Path, stub: Stub) -> None:
    stub(on_path / "etcd", "etcd Version: 3.6.1")
    cache.mkdir(parents=True)
    (cache / "probed.json").write_text('{"etcd": ')
    assert locate("etcd")


@pytest.mark.parametrize("wrong", ["1.36.4", "v1.36", "latest", ""])
def test_kubernetes_is_selected_by_minor_version(wrong: str) -> None:
    with pytest.raises(ToolchainError, match=r"not a minor version\. Example: 1\.36"):
        locate("etcd", kubernetes=wrong)


def test_a_link_replaces_a_link_but_not_a_file(tmp_path: Path) -> None:
    folder, tool = tmp_path / ".tools" / "bin", Tool("etcd", "3.6.1", tmp_path / "etcd", "built")
    link([tool], folder)
    link([Tool("etcd", "3.6.2", tmp_path / "newer", "built")], folder)
    assert (folder / "etcd").readlink() == tmp_path / "newer"
    (folder / "etcd").unlink()
    (folder / "etcd").write_text("a file of the user")
    with pytest.raises(ToolchainError, match="not a symbolic link"):
        link([tool], folder)
    assert (folder / "etcd").read_text() == "a file of the user"


def test_a_folder_of_path_that_cannot_be_looked_into_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/" + "a" * 300)  # no folder can have that name
    assert installed_version.on_path("helm") == []
